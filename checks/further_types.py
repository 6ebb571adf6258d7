"""Canonical forms of database types other than text, numbers, instants and money.

As in `checks.values`, a parser takes a raw value other than NULL and `MISSING`, and two canonical forms are equal
exactly when the values mean the same.

Canonical forms: time `int` microseconds since midnight, with an offset `(int, offset in seconds)`; duration
`(months, microseconds)`; bytes `bytes`; bits `str` of 0 and 1; network and mac `str`; array `("array", *items)`;
range `("range", *spans)`, each span `(lower, its bound belongs to it, upper, its bound belongs to it)`.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any, Literal

from checks.numbers import EXACT
from checks.unreadable import UnreadableError, describe
from checks.values import UNITS_US, Parser
from probes.contract import Bits
from probes.exact_json import Undecodable, decode

Encoding = Literal["hex", "base64"]
"""How a system writes bytes that it holds as text."""

DAY_US = 24 * 60 * 60 * 1_000_000

ARRAY_DEPTH = 50
"""How deeply arrays may be nested; PostgreSQL's limit is 6."""

LONGEST_NUMBER = 30
"""Most digits of a number in a span of time; no system counts further."""

_CLOCK = re.compile(r"(\d+):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?")
_OFFSET = re.compile(r"\s*(?:(z|utc)|([+-])(\d\d)(?::?(\d\d)(?::?(\d\d))?)?)", re.IGNORECASE)
_WORDS = re.compile(
    r"\s*([+-]?)(?:(\d+):(\d\d):(\d\d)(?:\.(\d+))?|(\d+)\s*(years?|mons?|months?|weeks?|days?))(?=\s|$)",
    re.IGNORECASE,
)
_ISO = re.compile(
    r"([+-]?)P(?:([+-]?\d+)Y)?(?:([+-]?\d+)M)?(?:([+-]?\d+)W)?(?:([+-]?\d+)D)?"
    r"(?:T(?:([+-]?\d+)H)?(?:([+-]?\d+)M)?(?:([+-]?)(\d+)(?:[.,](\d+))?S)?)?",
    re.IGNORECASE,
)
_SPAN = re.compile(r"""([\[(])\s*("(?:[^"\\]|\\.|"")*"|[^,"]*),\s*("(?:[^"\\]|\\.|"")*"|[^,"]*?)\s*([\])])""")
_MONTHS = {"y": 12, "m": 1}
_DAYS = {"w": 7, "d": 1}


def _text(raw: Any) -> str | None:
    """The text of a raw value; databases without an encoding return bytes."""
    if isinstance(raw, bytes):
        try:
            return raw.decode().strip()
        except UnicodeDecodeError:
            return None
    return raw.strip() if isinstance(raw, str) else None


def _micro(fraction: str | None) -> int:
    """Decimals of a second as microseconds."""
    digits = (fraction or "").ljust(6, "0")
    if digits[6:].strip("0"):
        raise UnreadableError("a time finer than a microsecond")
    return int(digits[:6])


def parse_time(raw: Any) -> int | tuple[int, int]:
    """Read a time of day, 00:00 to 24:00. One with an offset equals only the same time with the same offset."""
    if isinstance(raw, time):
        raw = raw.isoformat()
    if isinstance(raw, timedelta):
        at_us = raw // timedelta(microseconds=1)
        if 0 <= at_us <= DAY_US:
            return at_us
        raise UnreadableError("a span of time that is not a time of day; declare a duration")
    text = _text(raw)
    clock = _CLOCK.match(text) if text is not None and len(text) < 100 else None
    if text is None or clock is None:
        raise UnreadableError(f"not a time of day: {describe(raw)}")
    hours, minutes, seconds, fraction = clock.groups()
    at_us = (int(hours) * 3600 + int(minutes) * 60 + int(seconds or 0)) * 1_000_000 + _micro(fraction)
    if len(hours) > 3 or int(minutes) > 59 or int(seconds or 0) > 59 or at_us > DAY_US:
        raise UnreadableError("a span of time that is not a time of day; declare a duration")
    rest = text[clock.end() :]
    if not rest:
        return at_us
    offset = _OFFSET.fullmatch(rest)
    if offset is None:
        raise UnreadableError(f"not a time of day: {describe(raw)}")
    _, sign, hour, minute, second = offset.groups()
    offset_s = int(hour or 0) * 3600 + int(minute or 0) * 60 + int(second or 0)
    return at_us, -offset_s if sign == "-" else offset_s


def duration_parser(unit: str | None) -> Parser:
    """Make a parser of spans of time.

    Args:
        unit: `s`, `ms` or `us` for numbers; without it a number is unreadable.

    Returns:
        Months apart from everything else, because a month has no fixed length; a day is 24 hours and a year 12
        months. Source: PostgreSQL 15, 8.5.4, and ISO 8601 durations.
    """

    def parse(raw: Any) -> tuple[int, int]:
        if isinstance(raw, timedelta):
            return 0, raw // timedelta(microseconds=1)
        if isinstance(raw, int | float | Decimal) and not isinstance(raw, bool):
            return 0, _counted(raw, unit)
        text = _text(raw)
        if not text or re.search(rf"\d{{{LONGEST_NUMBER}}}", text):
            raise UnreadableError(f"not a duration: {describe(raw)}")
        duration = _of_iso(text) or _of_words(text)
        if duration is None:
            if unit is not None and re.fullmatch(r"[+-]?\d+(\.\d+)?", text):
                return 0, _counted(Decimal(text), unit)
            raise UnreadableError(f"not a duration: {describe(raw)}")
        return duration

    return parse


def _counted(number: float | Decimal, unit: str | None) -> int:
    if unit is None:
        raise UnreadableError("a number where a duration is declared; say its unit: s, ms or us")
    exact = Decimal(repr(number) if isinstance(number, float) else number)
    if not exact.is_finite() or abs(exact.adjusted()) > LONGEST_NUMBER:
        raise UnreadableError("not a duration: a number beyond any span of time")
    held_us = EXACT.multiply(exact, Decimal(UNITS_US[unit]))
    if held_us != held_us.to_integral_value(context=EXACT):
        raise UnreadableError("a duration finer than a microsecond")
    return int(held_us)


def _of_iso(text: str) -> tuple[int, int] | None:
    match = _ISO.fullmatch(text)
    if match is None or text[-1] in "PTpt":
        return None
    sign, years, months, weeks, days, hours, minutes, minus, seconds, fraction = match.groups()
    turned = -1 if sign == "-" else 1
    held_us = (int(seconds or 0) * 1_000_000 + _micro(fraction)) * (-1 if minus == "-" else 1)
    held_us += (int(hours or 0) * 3600 + int(minutes or 0) * 60) * 1_000_000
    held_us += (int(weeks or 0) * 7 + int(days or 0)) * DAY_US
    return turned * (int(years or 0) * 12 + int(months or 0)), turned * held_us


def _of_words(text: str) -> tuple[int, int] | None:
    """`1 year 2 mons -3 days +04:05:06.789` as PostgreSQL writes it, or `-838:59:59` as MariaDB does."""
    months = held_us = at = 0
    while at < len(text):
        match = _WORDS.match(text, at)
        if match is None:
            return None
        at = match.end()
        sign, hours, minutes, seconds, fraction, number, word = match.groups()
        turned = -1 if sign == "-" else 1
        if word:
            first = word[0].lower()
            months += turned * int(number) * _MONTHS.get(first, 0)
            held_us += turned * int(number) * _DAYS.get(first, 0) * DAY_US
        else:
            whole = int(hours) * 3600 + int(minutes) * 60 + int(seconds)
            held_us += turned * (whole * 1_000_000 + _micro(fraction))
    return months, held_us


def bytes_parser(encoding: Encoding | None) -> Parser:
    """Make a parser of bytes.

    Args:
        encoding: how text stands for bytes; without it only PostgreSQL's own form `\\x00ff` is readable.
    """

    def parse(raw: Any) -> bytes:
        if isinstance(raw, bytes | bytearray | memoryview):
            return bytes(raw)
        if not isinstance(raw, str):
            raise UnreadableError(f"not bytes: {describe(raw)}")
        text = raw.strip()
        try:
            if text.startswith("\\x"):
                return bytes.fromhex(text[2:])
            if encoding == "hex":
                return bytes.fromhex(text.removeprefix("0x"))
            if encoding == "base64":
                plain = "".join(text.split()).translate(str.maketrans("-_", "+/")).rstrip("=")
                return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
        except (ValueError, binascii.Error):
            raise UnreadableError(f"not bytes in {encoding or 'hex'}: {describe(raw)}") from None
        raise UnreadableError("text where bytes are declared; say its encoding: hex or base64")

    return parse


def parse_bits(raw: Any) -> str:
    """Read a string of bits; its length is part of it."""
    text = str(raw) if isinstance(raw, Bits) else _text(raw)
    if text is None or text.strip("01"):
        raise UnreadableError(f"not bits: {describe(raw)}")
    return text


def parse_network(raw: Any) -> str:
    """Read an IP address or network, of version 4 or 6; a mask that leaves a single address is dropped."""
    text = str(raw) if isinstance(raw, ipaddress.IPv4Address | ipaddress.IPv6Address) else _text(raw)
    try:
        interface = ipaddress.ip_interface(text or "")
    except ValueError:
        raise UnreadableError(f"not a network address: {describe(raw)}") from None
    single = interface.network.prefixlen == interface.max_prefixlen
    return str(interface.ip) if single else f"{interface.ip}/{interface.network.prefixlen}"


def parse_mac(raw: Any) -> str:
    """Read a MAC address of 6 or 8 bytes, however it is grouped."""
    text = _text(raw)
    digits = re.sub(r"[:.-]", "", text or "").lower()
    if not re.fullmatch(r"(?:[0-9a-f]{12}|[0-9a-f]{16})", digits):
        raise UnreadableError(f"not a MAC address: {describe(raw)}")
    return ":".join(digits[at : at + 2] for at in range(0, len(digits), 2))


def array_parser(of_items: Parser, *, unordered: bool) -> Parser:
    """Make a parser of arrays, from a list or from JSON text; arrays within arrays keep their nesting.

    Args:
        of_items: reads each item; NULL stays NULL.
        unordered: the order of the items does not matter.
    """

    def of_list(items: list[Any] | tuple[Any, ...], depth: int = 0) -> tuple[Any, ...]:
        if depth == ARRAY_DEPTH:
            raise UnreadableError(f"lists nested more than {ARRAY_DEPTH} deep")
        parsed = []
        for each in items:
            if isinstance(each, Undecodable):
                raise UnreadableError(each.reason)
            nested = isinstance(each, list | tuple)
            parsed.append(None if each is None else of_list(each, depth + 1) if nested else of_items(each))
        return ("array", *(sorted(parsed, key=repr) if unordered else parsed))

    def parse(raw: Any) -> Any:
        if isinstance(raw, str | bytes):
            try:
                raw = decode(raw)
            except ValueError:
                raise UnreadableError(f"not a list: {describe(raw)}") from None
        if not isinstance(raw, list | tuple):
            raise UnreadableError(f"not a list: {describe(raw)}")
        return of_list(raw)

    return parse


def range_parser(of_bounds: Parser) -> Parser:
    """Make a parser of ranges and of sets of them, as PostgreSQL writes them: `[1,5)`, `{[1,2),[4,)}`, `empty`.

    Ranges of whole numbers and of days are the same however their bounds are written: `[1,4]` is `[1,5)`.
    """

    def bound(text: str) -> Any:
        if not text:
            return None
        if text.startswith('"'):
            text = re.sub(r'\\(.)|"(")', lambda match: match[1] or match[2], text[1:-1])
        return of_bounds(text)

    def span(match: re.Match[str]) -> tuple[Any, ...] | None:
        lower, upper = bound(match[2]), bound(match[3])
        at, to = _next_of(lower), _next_of(upper)
        closed = [match[1] == "[" and lower is not None, match[4] == "]" and upper is not None]
        if at is not None and not closed[0]:
            lower, closed[0] = at, True
        if to is not None and closed[1]:
            upper, closed[1] = to, False
        empty = lower is not None and lower == upper and not all(closed)
        return None if empty else (lower, closed[0], upper, closed[1])

    def parse(raw: Any) -> Any:
        text = _text(raw)
        if text is None:
            raise UnreadableError(f"not a range: {describe(raw)}")
        if text.casefold() == "empty":
            return ("range",)
        several = text.startswith("{") and text.endswith("}")
        inner = text[1:-1].strip() if several else text
        spans: list[tuple[Any, ...] | None] = []
        at = 0
        while at < len(inner):
            match = _SPAN.match(inner, at)
            if match is None or (spans and not several):
                raise UnreadableError(f"not a range: {describe(raw)}")
            spans.append(span(match))
            at = match.end()
            comma = re.compile(r"\s*,\s*|\s*$").match(inner, at)
            if comma is None:
                raise UnreadableError(f"not a range: {describe(raw)}")
            at = comma.end()
        if not spans and not several:
            raise UnreadableError(f"not a range: {describe(raw)}")
        return ("range", *(each for each in spans if each is not None))

    return parse


def _next_of(bound: Any) -> Any:
    """The successor of a whole number or a day; None if there is none."""
    if isinstance(bound, int) and not isinstance(bound, bool):
        return bound + 1
    if isinstance(bound, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", bound):
        try:
            return (date.fromisoformat(bound) + timedelta(days=1)).isoformat()
        except (ValueError, OverflowError):
            return None
    return None


def text_of_further(type_: str, value: Any) -> str:
    """Write a canonical value of one of these types as people read it."""
    if type_ == "time":
        at_us, offset_s = value if isinstance(value, tuple) else (value, None)
        seconds, rest_us = divmod(at_us, 1_000_000)
        text = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
        text += f".{rest_us:06d}".rstrip("0") if rest_us else ""
        if offset_s is None:
            return text
        minutes, odd_s = divmod(abs(offset_s), 60)
        odd = f":{odd_s:02d}" if odd_s else ""
        return f"{text}{'-' if offset_s < 0 else '+'}{minutes // 60:02d}:{minutes % 60:02d}{odd}"
    if type_ == "duration":
        months, held_us = value
        spelled = f"{Decimal(held_us).scaleb(-6).normalize():f} s"
        return f"{months} months {spelled}" if months else spelled
    if type_ == "bytes":
        return "\\x" + bytes(value).hex()
    if type_ == "range":
        return "{" + ",".join(_span_text(*span) for span in value[1:]) + "}"
    return str(value)


def _span_text(lower: Any, lower_closed: bool, upper: Any, upper_closed: bool) -> str:
    ends = ["" if each is None else str(each) for each in (lower, upper)]
    return f"{'[' if lower_closed else '('}{ends[0]},{ends[1]}{']' if upper_closed else ')'}"
