"""Canonical typed values: what a raw value means, whatever system it was read from.

A parser takes a raw value other than NULL and `MISSING` and answers its canonical form. Two canonical forms
of one type are equal exactly when the values mean the same; a value that cannot be read as its declared type
raises `UnreadableError`, and its record then cannot be verified.

Canonical forms: string and enum `str`; integer `int`; decimal `Decimal` without trailing zeros; float `float`;
boolean `bool`; timestamp `int` microseconds since 1970 UTC (or `"infinity"`, `"-infinity"`); date ISO `str`;
money `(Decimal, currency)`; uuid lower-case `str`; json nested tuples; set sorted `tuple`; salesforce_id
18-character `str`.
"""

from __future__ import annotations

import json
import re
import unicodedata
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from probes.contract import MISSING

Parser = Callable[[Any], Any]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
ZERO = Decimal(0)
UNITS_US = {"s": 1_000_000, "ms": 1_000, "us": 1}

# ISO 4217, table A.1: currencies whose minor unit is not a hundredth.
ZERO_DECIMAL = frozenset(
    [
        "BIF",
        "CLP",
        "DJF",
        "GNF",
        "ISK",
        "JPY",
        "KMF",
        "KRW",
        "PYG",
        "RWF",
        "UGX",
        "UYI",
        "VND",
        "VUV",
        "XAF",
        "XOF",
        "XPF",
    ]
)
THREE_DECIMAL = frozenset(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"])


def minor_digits(currency: str) -> int:
    """How many decimals a currency's minor unit has; two where ISO 4217 says nothing else."""
    return 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMAL else 2


TRUE_TOKENS = frozenset({"true", "t", "yes", "y", "on", "1"})
FALSE_TOKENS = frozenset({"false", "f", "no", "n", "off", "0"})

_INTEGER = re.compile(r"[+-]?\d+")
_MONEY = re.compile(r"([+-]?[\d.]+)\s*([A-Za-z]{3})")
_SALESFORCE_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")


class UnreadableError(ValueError):
    """A raw value that is not what its field declares; the text never quotes the value itself."""


def parse_integer(raw: Any) -> int:
    """Read an exact whole number; a float counts only where it is exact (below 2**53)."""
    if type(raw) is int:
        return raw
    if isinstance(raw, bool):
        raise UnreadableError("a boolean where an integer is declared")
    if isinstance(raw, str) and _INTEGER.fullmatch(raw.strip()):
        return int(raw)
    if isinstance(raw, Decimal) and raw.is_finite() and raw == raw.to_integral_value():
        return int(raw)
    if isinstance(raw, float) and raw.is_integer() and abs(raw) < 2**53:
        return int(raw)
    if isinstance(raw, int):
        return int(raw)
    raise UnreadableError(f"not an integer: {describe(raw)}")


def parse_decimal(raw: Any) -> Decimal:
    """Read an exact decimal; the scale and the sign of zero do not matter."""
    if type(raw) is Decimal and raw.is_finite():
        return _trimmed(raw)
    if isinstance(raw, bool):
        raise UnreadableError("a boolean where a decimal is declared")
    if isinstance(raw, float):
        raw = repr(raw)
    if isinstance(raw, Decimal | int | str):
        try:
            number = Decimal(raw.strip() if isinstance(raw, str) else raw)
        except InvalidOperation:
            raise UnreadableError(f"not a decimal: {describe(raw)}") from None
        if number.is_nan():
            return Decimal("NaN")
        return _trimmed(number) if number.is_finite() else number
    raise UnreadableError(f"not a decimal: {describe(raw)}")


def _trimmed(number: Decimal) -> Decimal:
    """Drop trailing zeros and the sign of zero exactly, also beyond the context's precision."""
    if not number:
        return ZERO
    short = number.normalize()
    if short == number:
        return short
    sign, digits, exponent = number.as_tuple()
    kept = len(digits)
    while kept > 1 and digits[kept - 1] == 0:
        kept -= 1
    return Decimal((sign, digits[:kept], int(exponent) + len(digits) - kept))


def parse_float(raw: Any) -> float:
    """Read a floating-point number, also NaN and the infinities."""
    if isinstance(raw, bool):
        raise UnreadableError("a boolean where a float is declared")
    if isinstance(raw, float):
        return raw
    try:
        return float(raw)
    except (TypeError, ValueError, OverflowError):
        raise UnreadableError(f"not a float: {describe(raw)}") from None


def boolean_parser(true: frozenset[str], false: frozenset[str]) -> Parser:
    """Make a parser that knows exactly these tokens (folded); anything else is unreadable."""

    def parse(raw: Any) -> bool:
        if isinstance(raw, bool):
            return raw
        if isinstance(raw, bytes) and raw in {b"\x00", b"\x01"}:
            return raw == b"\x01"
        if isinstance(raw, int | str):
            token = str(raw).strip().casefold()
            if token in true:
                return True
            if token in false:
                return False
        raise UnreadableError(f"not a boolean: {describe(raw)}")

    return parse


def timestamp_parser(zone: str | None, unit: str | None) -> Parser:
    """Make a parser of instants.

    Args:
        zone: IANA zone of instants that carry none; without it such an instant is unreadable.
        unit: `s`, `ms` or `us` since 1970 for numbers; without it a number is unreadable.
    """
    local: tzinfo | None = ZoneInfo(zone) if zone else None
    if zone in {"UTC", "Etc/UTC"}:
        local = UTC  # the same zone, but quicker to reckon with
    per_unit = UNITS_US[unit] if unit else None

    def parse(raw: Any) -> int | str:
        if isinstance(raw, datetime):
            at = raw
        elif isinstance(raw, int | float | Decimal) and not isinstance(raw, bool):
            if per_unit is None:
                raise UnreadableError("a number where a timestamp is declared; say its unit: s, ms or us")
            return round(Decimal(str(raw)) * per_unit)
        elif isinstance(raw, str):
            text = raw.strip()
            folded = text.casefold()
            if folded in {"infinity", "-infinity"}:
                return folded
            if folded.startswith("0000-00-00"):
                raise UnreadableError("a zero date, which is no instant")
            if per_unit is not None and _INTEGER.fullmatch(text):
                return int(text) * per_unit
            try:
                at = datetime.fromisoformat(text)
            except ValueError:
                raise UnreadableError(f"not a timestamp: {describe(raw)}") from None
        else:
            raise UnreadableError(f"not a timestamp: {describe(raw)}")
        if at.tzinfo is None:
            if local is None:
                raise UnreadableError("an instant without a time zone; say the system's zone")
            at = at.replace(tzinfo=local)
        return (at - EPOCH) // MICROSECOND

    return parse


def parse_date(raw: Any) -> str:
    """Read a calendar day; an instant counts only at midnight, so that no zone is ever guessed."""
    if isinstance(raw, datetime):
        if (raw.hour, raw.minute, raw.second, raw.microsecond) != (0, 0, 0, 0):
            raise UnreadableError("an instant with a time of day where a date is declared")
        return raw.date().isoformat()
    if isinstance(raw, date):
        return raw.isoformat()
    if isinstance(raw, str):
        text = raw.strip()
        try:
            if len(text) > 10:
                return parse_date(datetime.fromisoformat(text))
            return date.fromisoformat(text).isoformat()
        except ValueError as error:
            if isinstance(error, UnreadableError):
                raise
    raise UnreadableError(f"not a date: {describe(raw)}")


def parse_uuid(raw: Any) -> str:
    """Read a UUID with or without dashes and braces, or its 16 bytes."""
    try:
        if isinstance(raw, uuid.UUID):
            return str(raw)
        if isinstance(raw, bytes) and len(raw) == 16:
            return str(uuid.UUID(bytes=raw))
        if isinstance(raw, str):
            return str(uuid.UUID(raw.strip()))
    except ValueError:
        pass
    raise UnreadableError(f"not a UUID: {describe(raw)}")


def parse_salesforce_id(raw: Any) -> str:
    """Read a record id and lengthen 15 characters to 18.

    Source: Salesforce help, article 000383278: three characters, each the base-32 digit of which of
    five letters are capitals.
    """
    if not (isinstance(raw, str) and _SALESFORCE_ID.fullmatch(raw)):
        raise UnreadableError(f"not a Salesforce id: {describe(raw)}")
    letters = raw[:15]
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
    suffix = "".join(
        digits[sum(1 << i for i, letter in enumerate(letters[at : at + 5]) if letter.isupper())] for at in (0, 5, 10)
    )
    if len(raw) == 18 and raw[15:].upper() != suffix:
        raise UnreadableError("a Salesforce id whose checksum is wrong")
    return letters + suffix


def string_parser(*, strip: str, casefold: bool, strip_accents: bool, newlines: bool) -> Parser:
    """Make a parser of text: Unicode NFC always, everything else only where declared."""

    def parse_plain(raw: Any) -> str:
        text = raw if type(raw) is str else _text(raw)
        return text if text.isascii() else unicodedata.normalize("NFC", text)

    if strip == "none" and not (casefold or strip_accents or newlines):
        return parse_plain

    def parse(raw: Any) -> str:
        text = parse_plain(raw)
        if newlines:
            text = text.replace("\r\n", "\n")
        if strip == "trailing":
            text = text.rstrip(" ")
        elif strip == "both":
            text = text.strip()
        if strip_accents:
            decomposed = unicodedata.normalize("NFD", text)
            text = unicodedata.normalize("NFC", "".join(c for c in decomposed if not unicodedata.combining(c)))
        return text.casefold() if casefold else text

    return parse


def _text(raw: Any) -> str:
    if isinstance(raw, str):
        return str(raw)
    if isinstance(raw, bytes):
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise UnreadableError(f"not UTF-8 text: {describe(raw)}") from None
    if isinstance(raw, int | Decimal | uuid.UUID) and not isinstance(raw, bool):
        return str(raw)
    raise UnreadableError(f"not text: {describe(raw)}")


def enum_parser(mapping: Mapping[str, str] | None) -> Parser:
    """Make a parser of labels; with a mapping, a label that is not in it is unreadable."""

    def parse(raw: Any) -> str:
        text = _text(raw).strip()
        if mapping is None:
            return text
        if text in mapping:
            return mapping[text]
        raise UnreadableError(f"a label that the map does not list: {describe(raw)}")

    return parse


def money_parser(currency: str | None, *, minor_units: bool) -> Parser:
    """Make a parser of amounts of money.

    Args:
        currency: ISO 4217 code where the value carries none; without either the amount is unreadable.
        minor_units: whether the amount counts cents (or whatever the currency's minor unit is).
    """

    def parse(raw: Any) -> tuple[Decimal, str]:
        amount, code = raw, currency
        if isinstance(raw, Mapping):
            amount, code = raw.get("amount", raw.get("value")), raw.get("currency", currency)
        elif isinstance(raw, str) and (match := _MONEY.fullmatch(raw.strip())):
            amount, code = match.group(1), match.group(2)
        if not code:
            raise UnreadableError("an amount of money without a currency")
        code = str(code).upper()
        number = parse_decimal(amount)
        if minor_units:
            number = parse_decimal(number.scaleb(-minor_digits(code)))
        return number, code

    return parse


def json_parser(*, unordered: bool) -> Parser:
    """Make a parser of JSON, from text or already decoded; keys in any order, numbers by value."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in items}) < len(items):
            raise UnreadableError("JSON with a key twice in one object")
        return dict(items)

    def canonical(value: Any) -> Any:
        if value is None:
            return None
        if isinstance(value, bool):
            return ("boolean", value)  # True equals 1 in Python, and not in JSON
        if isinstance(value, str):
            return unicodedata.normalize("NFC", value)
        if isinstance(value, int | float | Decimal):
            return parse_decimal(value)
        if isinstance(value, Mapping):
            return ("object", *sorted((str(key), canonical(each)) for key, each in value.items()))
        if isinstance(value, list | tuple):
            items = [canonical(each) for each in value]
            return ("array", *(sorted(items, key=repr) if unordered else items))
        raise UnreadableError(f"not JSON: {describe(value)}")

    def parse(raw: Any) -> Any:
        if isinstance(raw, bytes | str):
            try:
                raw = json.loads(raw, parse_float=Decimal, parse_int=Decimal, object_pairs_hook=pairs)
            except UnreadableError:
                raise
            except (ValueError, RecursionError):
                raise UnreadableError(f"not JSON: {describe(raw)}") from None
        try:
            return canonical(raw)
        except RecursionError:
            raise UnreadableError("JSON nested too deeply") from None
        except TypeError:
            raise UnreadableError("JSON with keys that cannot be ordered") from None

    return parse


def set_parser(separator: str) -> Parser:
    """Make a parser of sets of labels, from a list or from text joined by `separator`."""

    def parse(raw: Any) -> tuple[str, ...]:
        if isinstance(raw, str):
            text = raw.strip()
            if text.startswith("["):
                try:
                    raw = json.loads(text)
                except ValueError:
                    raise UnreadableError(f"not a list: {describe(raw)}") from None
            else:
                raw = [part for part in text.split(separator) if part.strip()]
        if isinstance(raw, list | tuple | set | frozenset):
            return tuple(sorted({unicodedata.normalize("NFC", _text(part)).strip() for part in raw}))
        raise UnreadableError(f"not a set: {describe(raw)}")

    return parse


def empty_is_null(parse: Parser) -> Parser:
    """Wrap a parser so that empty text and an empty list mean NULL."""

    def parse_or_null(raw: Any) -> Any:
        empty = isinstance(raw, str | list | tuple) and not raw
        return None if empty else parse(raw)

    return parse_or_null


def describe(raw: Any) -> str:
    """Say what a value looks like without saying what it is: its type and length."""
    if raw is None:
        return "NULL"
    if raw is MISSING:
        return "missing"
    if isinstance(raw, str):
        return f"text of {len(raw)} characters" if raw else "empty text"
    if isinstance(raw, bytes):
        return f"{len(raw)} bytes"
    if isinstance(raw, list | tuple | set | frozenset | Mapping):
        return f"{type(raw).__name__} of {len(raw)} items"
    return type(raw).__name__
