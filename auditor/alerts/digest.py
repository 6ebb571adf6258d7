"""A digest: in a storm, one message that counts the messages it replaces. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from auditor.senders.notice_text import words_of
from checks.routes import SEVERITIES, severity_of
from probes.durations import measured
from probes.wording import counted

FOLD_ABOVE = 5
"""If more messages than this wait for one channel, they become a digest."""

LINES = 10
"""Rows of the table that senders without tables show."""


def digest(notices: Sequence[Mapping[str, Any]], now: datetime) -> dict[str, Any]:
    """The notice that replaces several, with a table of their counts, the most severe first."""
    rows = _rows(notices)
    severities = Counter(severity_of(each) for each in notices)
    incidents = len({str(each.get("incident")) for each in notices})
    begun_at = min(datetime.fromisoformat(str(each["at"])) for each in notices)
    shares = ", ".join(f"{severities[each]:,} {each}" for each in SEVERITIES if severities[each])
    span = measured((now - begun_at).total_seconds())
    about = f"{counted(len(notices), 'message')} about {counted(incidents, 'incident')} in {span}"
    lines = [f"{severity}: {count:,} × {what}, {where}" for severity, count, what, where in rows[:LINES]]
    if len(rows) > LINES:
        lines.append(f"and {len(rows) - LINES:,} more kinds")
    nothing = dict.fromkeys(("flow", "system", "data_type", "source", "target", "team", "runbook"))
    channel = notices[0].get("channel")
    return {
        **nothing,
        "incident": "digest",
        "transition": "digest",
        "breach": "digest",
        "severity": next(each for each in SEVERITIES if severities[each]),
        "summary": f"{about}, in one: {shares}",
        "detail": "",
        "rows": rows,
        "lines": lines,
        "channel": channel,
        "count": incidents,
        "told": incidents,
        "peak": incidents,
        "window_s": 0.0,
        "opened_at": begun_at.isoformat(),
        "at": now.isoformat(),
    }


def _rows(notices: Sequence[Mapping[str, Any]]) -> list[tuple[str, int, str, str]]:
    """Severity, number, what, and where; the most severe first, then the most frequent."""
    kinds = Counter(
        (
            severity_of(each),
            f"{words_of(each.get('cause') or each.get('breach'))}, {each['transition']}",
            str(each.get("flow") or each.get("system") or "–"),
        )
        for each in notices
    )
    ordered = sorted(kinds.items(), key=lambda kind: (SEVERITIES.index(kind[0][0]), -kind[1], kind[0]))
    return [(severity, count, what, where) for (severity, what, where), count in ordered]
