"""An API's rate limits from the headers of a response. Pure.

Sources: draft-ietf-httpapi-ratelimit-headers 06 (`RateLimit-Limit`, `-Remaining`, `-Reset`), 07 (`RateLimit` with
`limit`, `remaining`, `reset`) and 10 (`RateLimit-Policy` with `q` and `w`, `RateLimit` with `r` and `t`); Salesforce
REST API Developer Guide, "Limit Info Header"; HubSpot, "API usage guidelines and limits"; Zendesk, "Rate limits";
GitHub REST API, "Rate limits for the REST API" (`X-RateLimit-Reset` in seconds since 1970); Okta, "Rate limits".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime

from probes.metering import RateLimit

DAY_S = 86_400.0

MOST_LIMITS = 8
"""Most limits read of one response: a server may name any number of them."""

LONGEST_S = 31 * DAY_S
"""Spans longer than a month are ignored."""

SHORT_SPAN_S = 60.0
"""The longest wait for a used-up limit without a known end."""

_COUNT = re.compile(r"\s*(\d{1,15})\s*")
_USAGE = re.compile(r"\s*api-usage\s*=\s*(\d{1,12})\s*/\s*(\d{1,12})\s*")
_SINCE_1970_S, _SINCE_1970_MS = 1_000_000_000.0, 1_000_000_000_000.0
_FAMILIES = (
    ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"),
    ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"),
    ("x-rate-limit-limit", "x-rate-limit-remaining", "x-rate-limit-reset"),
    ("x-rate-limit", "x-rate-limit-remaining", "x-rate-limit-reset"),
)


def rate_limits(headers: Mapping[str, str], now: datetime | None = None) -> tuple[RateLimit, ...]:
    """The limits in a response, each once; empty if there are no readable ones.

    Args:
        headers: by lower-case name, or a case-insensitive mapping.
        now: the server's own clock, to which ends in seconds since 1970 refer; without it such ends are ignored.
    """
    if not any("limit" in name.lower() for name in headers):
        return ()
    limits = [*_by_draft(headers), *_of_salesforce(headers), *_of_hubspot(headers)]
    limits += [each for names in _FAMILIES if (each := _of_family(headers, names, now)) is not None]
    return tuple(dict.fromkeys(limits))[:MOST_LIMITS]


def wait_s(limits: Iterable[RateLimit]) -> float | None:
    """How long to wait for the next call if a limit is used up; None if none is, or if unknown."""
    waits = []
    for each in limits:
        if each.left != 0:
            continue
        if each.resets_in_s is not None:
            waits.append(each.resets_in_s)
        elif each.per is not None and each.per <= SHORT_SPAN_S:
            waits.append(each.per)
    return max(waits, default=None)


def _by_draft(headers: Mapping[str, str]) -> list[RateLimit]:
    """`RateLimit-Policy` and `RateLimit`, with items matched by name."""
    policies = {name: (_count(of.get("q", "")), _span(of.get("w"))) for name, of in _items(headers, "-policy")}
    limits = []
    for name, of in _items(headers, ""):
        limit, per = policies.get(name, (None, None))
        left = _count(of.get("r", ""))
        if left is not None:
            limits.append(RateLimit(limit=limit, left=left, resets_in_s=_span(of.get("t")), per=per))
    words = dict(re.findall(r"\b(limit|remaining|reset)\s*=\s*(\d{1,15})", headers.get("ratelimit", "")))
    if "remaining" in words:
        limit = _count(words.get("limit", ""))
        limits.append(RateLimit(limit=limit, left=_count(words["remaining"]), resets_in_s=_span(words.get("reset"))))
    return limits


def _items(headers: Mapping[str, str], suffix: str) -> list[tuple[str, dict[str, str]]]:
    """The items of a structured list, each with its parameters. Source: RFC 9651, sections 3.1 and 3.1.2."""
    items = []
    for item in headers.get(f"ratelimit{suffix}", "").split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        pairs = (part.partition("=") for part in parameters)
        if name:
            items.append((name.strip('"'), {key.strip().lower(): value.strip() for key, _, value in pairs}))
    return items


def _of_family(headers: Mapping[str, str], names: tuple[str, str, str], now: datetime | None) -> RateLimit | None:
    limit_name, left_name, reset_name = names
    if left_name not in headers or limit_name not in headers:
        return None
    first, _, further = headers[limit_name].partition(",")
    limit, left = _count(first.partition(";")[0]), _count(headers[left_name])
    if limit is None or left is None:
        return None
    span = re.search(rf"(?:^|,)\s*{limit}\s*;[^,]*\bw\s*=\s*(\d{{1,9}})", f"{first},{further}")
    resets_in_s = _reset(headers.get(reset_name), now)
    return RateLimit(limit=limit, left=left, resets_in_s=resets_in_s, per=_span(span[1]) if span else None)


def _of_salesforce(headers: Mapping[str, str]) -> list[RateLimit]:
    """Calls used and allowed in the last 24 hours, for the whole org."""
    usage = headers.get("sforce-limit-info", "")
    match = next((match for part in usage.split(";") if (match := _USAGE.fullmatch(part))), None)
    if match is None:
        return []
    used, limit = int(match[1]), int(match[2])
    return [RateLimit(limit=limit, left=max(0, limit - used), per=DAY_S)]


def _of_hubspot(headers: Mapping[str, str]) -> list[RateLimit]:
    """The ten-second limit, and the daily one, which OAuth apps do not get."""
    limits = []
    spans = (
        ("-max", "-remaining", headers.get("x-hubspot-ratelimit-interval-milliseconds")),
        ("-daily", "-daily-remaining", None),
    )
    for limit_name, left_name, interval in spans:
        limit = _count(headers.get(f"x-hubspot-ratelimit{limit_name}", ""))
        left = _count(headers.get(f"x-hubspot-ratelimit{left_name}", ""))
        if limit is None or left is None:
            continue
        span = _span(interval)
        per = DAY_S if limit_name == "-daily" else None if span is None else span / 1000
        limits.append(RateLimit(limit=limit, left=left, per=per))
    return limits


def _count(value: str) -> int | None:
    match = _COUNT.fullmatch(value)
    return int(match[1]) if match else None


def _span(value: str | None) -> float | None:
    """A span in its own unit; None for an implausible one."""
    try:
        span = float(value) if value is not None else -1.0
    except ValueError:
        return None
    return span if 0 <= span <= LONGEST_S else None


def _reset(value: str | None, now: datetime | None) -> float | None:
    """Seconds until a limit restarts; some APIs send seconds, others an instant since 1970."""
    try:
        number = float(value) if value is not None else -1.0
    except ValueError:
        return None
    if number >= _SINCE_1970_S:
        if now is None:
            return None
        at_s = number / 1000 if number >= _SINCE_1970_MS else number
        return _span(str(max(0.0, at_s - now.timestamp())))
    return _span(value)
