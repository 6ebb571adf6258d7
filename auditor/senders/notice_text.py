"""The parts of a notice as plain text, and its links, for senders whose receivers format them. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

from auditor.escaping import visible
from checks.breaches import MEANINGS
from probes.durations import format_duration, measured

REPEAT = "possible duplicate: the previous attempt may have been delivered"

URL_LIMIT = 2000

_ADDRESS = re.compile(r"https?://[!-~]+")


def clipped(text: object, limit: int) -> str:
    """The text on one line, no longer than `limit`; a truncated one says how much is left out."""
    whole = visible(text)
    if len(whole) <= limit:
        return whole
    kept = limit - len(f"… ({len(whole):,} more characters)")
    return f"{whole[:kept]}… ({len(whole) - kept:,} more characters)"


def incident_key(notice: Mapping[str, Any]) -> str:
    """A short key of the incident, the same in all its notices; ASCII."""
    subject = json.dumps([notice.get(name) for name in ("flow", "system", "breach", "opened_at")])
    return f"plumbline-{notice['incident']}-{sha256(subject.encode()).hexdigest()[:16]}"


def since(notice: Mapping[str, Any]) -> datetime:
    """When its incident began, this time: before it came back, it was over."""
    return datetime.fromisoformat(str(notice.get("since_at") or notice["opened_at"]))


def facts(notice: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a notice says besides its summary: a name and a text each."""
    listed = [("Now", str(notice["count"]))] if counts_now(notice) else []
    listed.append(("Peak", str(notice["peak"])))
    if notice.get("flow"):
        listed += [
            ("Flow", f"{notice['flow']} ({notice['source']} → {notice['target']})"),
            ("Window", format_duration(notice["window_s"])),
        ]
    if notice.get("lines"):
        listed.append(("Counts", "; ".join(notice["lines"])))
    further = {
        "Note": str(notice.get("act") or ""),
        "Acts on it": acting_text(notice),
        "Team": str(notice.get("team") or ""),
        "Likely cause": words_of(notice.get("cause")),
        "Worst": "; ".join(record_lines(notice)),
        "What to do": str(notice.get("advice") or "") if notice["transition"] != "resolved" else "",
    }
    listed += [(name, text) for name, text in further.items() if text]
    listed.append(("Since", f"{since(notice):%Y-%m-%d %H:%M:%S %Z}"))
    if notice["transition"] == "resolved":
        lasted_s = (datetime.fromisoformat(str(notice["at"])) - since(notice)).total_seconds()
        listed.append(("Resolved after", measured(lasted_s)))
    return [*listed, ("Incident", str(notice["incident"]))]


def counts_now(notice: Mapping[str, Any]) -> bool:
    """Whether the count of a notice is one of now; missed changes are counted when it is decided about them."""
    meaning = MEANINGS.get(notice.get("breach", ""))
    return meaning is None or meaning.present


def words_of(name: object) -> str:
    """A cause in words: `stopped_consumer` is "stopped consumer"."""
    return str(name or "").replace("_", " ")


def acting_text(notice: Mapping[str, Any]) -> str:
    """Who acts on the copy: names, with their roles where those are given."""
    consumers = notice.get("consumers") or ()
    return ", ".join(_consumer(each) for each in ([consumers] if isinstance(consumers, str) else consumers))


def _consumer(each: object) -> str:
    if not isinstance(each, Mapping):
        return str(each)
    role = str(each.get("role") or "").replace("-", " ")
    return f"{each.get('name', '')} ({role})" if role else str(each.get("name", ""))


def worst_records(notice: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The worst records that a notice names."""
    return [each for each in notice.get("records") or () if isinstance(each, Mapping)]


def record_lines(notice: Mapping[str, Any]) -> list[str]:
    """One line for each of the worst records: its key, with its data type where there are several, and its lag,
    of which the window is a part."""
    records = worst_records(notice)
    several = len({each.get("data_type") for each in records}) > 1
    lines = []
    for each in records:
        named = f"{each.get('data_type', '')} {each.get('key', '')}" if several else str(each.get("key", ""))
        lines.append(f"{named} (lag {measured(each['lag_s'])})" if each.get("lag_s") else named)
    return lines


def record_links(record: Mapping[str, Any], limit: int = URL_LIMIT) -> list[tuple[str, str]]:
    """Where people see a record: a system and an address each. What is no web address is left out."""
    links = record.get("links")
    named = links.items() if isinstance(links, Mapping) else ()
    return [(str(name), str(url)) for name, url in named if _ADDRESS.fullmatch(str(url)) and len(str(url)) <= limit]


def lag_text(notice: Mapping[str, Any]) -> str:
    """The greatest lag of the worst records against the window; the window alone if no lag is known."""
    if not notice.get("flow"):
        return ""
    window = f"window {format_duration(notice['window_s'])}"
    lags = [each["lag_s"] for each in worst_records(notice) if each.get("lag_s")]
    return f"{measured(max(lags))}, {window}" if lags else window


def dashboard_link(dashboard: str | None, notice: Mapping[str, Any]) -> str:
    """The address of the page that shows the incident; "" without a dashboard."""
    if not dashboard:
        return ""
    if path := notice.get("dashboard_path"):
        return f"{dashboard.rstrip('/')}/{str(path).lstrip('/')}"
    page = "drift?" + urlencode({"flow": notice["flow"]}, errors="surrogatepass") if notice.get("flow") else "sla"
    return f"{dashboard.rstrip('/')}/{page}"


def links(dashboard: str | None, notice: Mapping[str, Any], limit: int = URL_LIMIT) -> list[tuple[str, str]]:
    """The links of a notice: a name and an address each. What is no web address is left out."""
    named = [("Open", dashboard_link(dashboard, notice)), ("Runbook", str(notice.get("runbook") or ""))]
    return [(name, url) for name, url in named if _ADDRESS.fullmatch(url) and len(url) <= limit]
