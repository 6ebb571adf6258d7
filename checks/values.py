"""Canonical typed values: what a raw value means, whatever system it was read from.

A parser takes a raw value other than NULL and `MISSING` and returns its canonical form. Two canonical forms of one
type are equal exactly when the values mean the same; a value that cannot be read as its declared type raises
`UnreadableError`, and its record is then unverifiable.

Canonical forms: string and enum `str`; integer `int`; decimal `Decimal` without trailing zeros; float `float`;
boolean `bool`; timestamp as in `checks.instants`; date ISO `str`; money `(Decimal, currency)`; uuid lower-case
`str`; json nested tuples; set sorted `tuple`; salesforce_id 18-character `str`.

Every parser is total: whatever it is given, it returns or raises `UnreadableError`, and a number is refused before it
is expanded (`checks.numbers`).
"""

from __future__ import annotations

import re
import unicodedata
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from checks import instants, numbers
from checks.currencies import minor_digits
from checks.instants import EPOCH, MICROSECOND, Instant
from checks.numbers import ZERO
from checks.unreadable import UnreadableError, describe
from probes.contract import Bits, Labels
from probes.exact_json import LEVELS, MAX_DIGITS, TOO_DEEP, TOO_LONG, TooDeepError, Undecodable, decode

__all__ = ["EPOCH", "MICROSECOND", "ZERO", "UnreadableError", "describe", "minor_digits"]

Parser = Callable[[Any], Any]

UNITS_US = {"s": 1_000_000, "ms": 1_000, "us": 1}

TRUE_TOKENS = frozenset({"true", "t", "yes", "y", "on", "1"})
FALSE_TOKENS = frozenset({"false", "f", "no", "n", "off", "0"})

_INTEGER = re.compile(r"[+-]?\d+")
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")
_MONEY = re.compile(r"([+-]?[\d.]+)\s*([A-Za-z]{3})")
_SALESFORCE_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")


def refuse(raw: Any, what: str) -> UnreadableError:
    """The error for a raw value that is not what it should be."""
    return UnreadableError(raw.reason if isinstance(raw, Undecodable) else f"not {what}: {describe(raw)}")


def parse_integer(raw: Any) -> int:
    """Read an exact whole number; a float counts only if it is exact (below 2**53)."""
    if type(raw) is int and raw.bit_length() <= numbers.MAX_BITS:
        return raw
    if isinstance(raw, bool):
        raise UnreadableError("a boolean where an integer is declared")
    if isinstance(raw, int):
        if raw.bit_length() > numbers.MAX_BITS:
            raise UnreadableError(TOO_LONG)
        return int(raw)
    if isinstance(raw, str):
        text = raw.strip()
        if isinstance(raw, Bits) and len(text) <= numbers.MAX_BITS:
            return int(raw.number)
        if _INTEGER.fullmatch(text):
            if len(text) > MAX_DIGITS:
                raise UnreadableError(TOO_LONG)
            return int(text)
    elif isinstance(raw, Decimal):
        number = _finite(raw)
        if number is not None and number == number.to_integral_value(context=numbers.EXACT):
            return int(number)
    elif isinstance(raw, float) and raw.is_integer() and abs(raw) < 2**53:
        return int(raw)
    raise refuse(raw, "an integer")


def parse_version(raw: Any) -> int:
    """Read the version number of a record: a whole number of 64 bits, the size of the ledger's column."""
    number = int(parse_integer(raw))
    if not -(2**63) <= number < 2**63:
        raise UnreadableError("a version number of more than 64 bits")
    return number


def parse_decimal(raw: Any) -> Decimal:
    """Read an exact decimal; the scale and the sign of zero do not matter."""
    number = raw if type(raw) is Decimal else _decimal(raw)
    if number.is_finite():
        short = numbers.trimmed(number)
        if short is None:
            raise UnreadableError(TOO_LONG)
        return short
    return Decimal("NaN") if number.is_nan() else number


def _decimal(raw: Any) -> Decimal:
    if isinstance(raw, Bits):
        raw = parse_integer(raw)
    if isinstance(raw, bool):
        raise UnreadableError("a boolean where a decimal is declared")
    if isinstance(raw, float):
        return Decimal(repr(raw))
    if isinstance(raw, int):
        if raw.bit_length() > numbers.MAX_BITS:
            raise UnreadableError(TOO_LONG)
        return Decimal(raw)
    if isinstance(raw, Decimal):
        return raw
    if isinstance(raw, str):
        if len(raw) > 3 * MAX_DIGITS:
            raise UnreadableError(f"{TOO_LONG}, or no number at all")
        if "_" not in raw:  # only Python accepts it as part of a number
            try:
                return Decimal(raw.strip())
            except InvalidOperation:
                pass
    raise refuse(raw, "a decimal")


def _finite(raw: Decimal) -> Decimal | None:
    """A finite number below the ceiling; None for NaN and the infinities. Raises UnreadableError."""
    number = parse_decimal(raw)
    return number if number.is_finite() else None


def parse_float(raw: Any) -> float:
    """Read a floating-point number, also NaN and the infinities; the sign of zero does not matter."""
    if isinstance(raw, float):
        return raw + 0.0
    number = parse_decimal(raw) if not isinstance(raw, bool) else None
    if number is None:
        raise UnreadableError("a boolean where a float is declared")
    result = float(number)
    if number.is_finite() and result in {float("inf"), float("-inf")}:
        raise UnreadableError("a number beyond the range of a float")
    return result + 0.0


def boolean_parser(true: frozenset[str], false: frozenset[str]) -> Parser:
    """Make a parser of exactly these tokens (folded); anything else is unreadable."""

    def parse(raw: Any) -> bool:
        if isinstance(raw, bool):
            return raw
        if isinstance(raw, bytes) and raw in {b"\x00", b"\x01"}:
            return raw == b"\x01"
        if (isinstance(raw, int) and raw.bit_length() < 64) or isinstance(raw, str):
            token = str(raw).strip().casefold()
            if token in true:
                return True
            if token in false:
                return False
            if isinstance(raw, Bits) and len(raw) == 1:
                return bool(raw.number)
        raise refuse(raw, "a boolean")

    return parse


def timestamp_parser(zone: str | None, unit: str | None) -> Parser:
    """Make a parser of instants.

    Args:
        zone: IANA zone of instants without one; without it they are unreadable.
        unit: `s`, `ms` or `us` since 1970 for numbers; without it a number is unreadable.
    """
    local: tzinfo | None = ZoneInfo(zone) if zone else None
    if zone in {"UTC", "Etc/UTC"}:
        local = UTC  # the same zone, but faster
    per_unit = UNITS_US[unit] if unit else None

    def parse(raw: Any) -> Instant:
        if isinstance(raw, datetime):
            return (raw - EPOCH) // MICROSECOND if raw.tzinfo is not None else instants.instant_of(raw, local)
        if isinstance(raw, str):
            text = raw.strip()
            if per_unit is None or not _NUMBER.fullmatch(text):
                return instants.instant_written(text, local)
            raw = text
        elif not isinstance(raw, int | float | Decimal) or isinstance(raw, bool):
            raise refuse(raw, "a timestamp")
        if per_unit is None:
            raise UnreadableError("a number where a timestamp is declared; say its unit: s, ms or us")
        number = parse_decimal(raw)
        if not number.is_finite() or number.adjusted() > 30:
            raise UnreadableError("a number beyond every calendar")
        instant_us = int(numbers.EXACT.multiply(number, Decimal(per_unit)).to_integral_value(context=numbers.EXACT))
        if abs(instant_us) > instants.LIMIT_US:
            raise UnreadableError("a number beyond every calendar")
        return instant_us

    return parse


def parse_date(raw: Any) -> str:
    """Read a calendar day; an instant counts only at midnight, so a zone is never guessed."""
    if isinstance(raw, datetime):
        return instants.day_of(raw)
    if isinstance(raw, date):
        return raw.isoformat()
    if isinstance(raw, str):
        return instants.day_written(raw.strip())
    raise refuse(raw, "a date")


def parse_uuid(raw: Any) -> str:
    """Read a UUID with or without dashes and braces, or its 16 bytes."""
    try:
        if isinstance(raw, uuid.UUID):
            return str(raw)
        if isinstance(raw, bytes) and len(raw) == 16:
            return str(uuid.UUID(bytes=raw))
        if isinstance(raw, str) and len(raw) < 100 and "_" not in raw:
            return str(uuid.UUID(raw.strip()))
    except ValueError:
        pass
    raise refuse(raw, "a UUID")


def parse_salesforce_id(raw: Any) -> str:
    """Read a record id and lengthen 15 characters to 18.

    Source: Salesforce help, article 000383278: three characters, each the base-32 digit of which of
    five letters are capitals.
    """
    if not (isinstance(raw, str) and _SALESFORCE_ID.fullmatch(raw)):
        raise refuse(raw, "a Salesforce id")
    letters = raw[:15]
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
    suffix = "".join(
        digits[sum(1 << i for i, letter in enumerate(letters[at : at + 5]) if letter.isupper())] for at in (0, 5, 10)
    )
    if len(raw) == 18 and raw[15:].upper() != suffix:
        raise UnreadableError("a Salesforce id whose checksum is wrong")
    return letters + suffix


def composed(text: str) -> str:
    """Text in Unicode NFC."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def string_parser(
    *, strip: str, casefold: bool, strip_accents: bool, newlines: bool, normalize: str = "nfc"
) -> Parser:
    """Make a parser of text: Unicode NFC unless it is declared otherwise, everything else only if declared."""
    compose = normalize == "nfc"

    def parse_plain(raw: Any) -> str:
        text = raw if type(raw) is str else _text(raw)
        return text if text.isascii() or not compose else unicodedata.normalize("NFC", text)

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
    if isinstance(raw, int) and not isinstance(raw, bool) and raw.bit_length() > numbers.MAX_BITS:
        raise UnreadableError(TOO_LONG)
    if isinstance(raw, int | Decimal | uuid.UUID) and not isinstance(raw, bool):
        return str(raw)
    raise refuse(raw, "text")


def enum_parser(mapping: Mapping[str, str] | None, *, normalize: str = "nfc") -> Parser:
    """Make a parser of labels; with a mapping, a label that is not in it is unreadable."""
    form = composed if normalize == "nfc" else str
    labels = None if mapping is None else {form(label): meaning for label, meaning in mapping.items()}

    def parse(raw: Any) -> str:
        text = form(_text(raw).strip())
        if labels is None:
            return text
        if text in labels:
            return labels[text]
        raise UnreadableError(f"a label that the map does not list: {describe(raw)}")

    return parse


class Amount(NamedTuple):
    """A raw amount of money with the currency from another field of its record."""

    amount: Any
    currency: Any


def money_parser(currency: str | None, *, minor_units: bool) -> Parser:
    """Make a parser of amounts of money.

    Args:
        currency: ISO 4217 code for values that carry none; without either the amount is unreadable.
        minor_units: whether the amount counts cents (or whatever the currency's minor unit is).
    """

    def parse(raw: Any) -> tuple[Decimal, str]:
        code: Any = currency
        if isinstance(raw, Amount):
            raw, code = raw
        amount = raw
        if isinstance(raw, Mapping) and not isinstance(raw, Undecodable):
            amount, code = raw.get("amount", raw.get("value")), raw.get("currency", code)
        elif isinstance(raw, str) and len(raw) <= 3 * MAX_DIGITS and (match := _MONEY.fullmatch(raw.strip())):
            amount, code = match.group(1), match.group(2)
        if isinstance(code, Undecodable):
            raise UnreadableError(code.reason)
        if not isinstance(code, str) or not code.strip():
            raise UnreadableError("an amount of money without a currency")
        code = code.strip().upper()
        number = parse_decimal(amount)
        if minor_units and number.is_finite():
            digits = minor_digits(code)
            if digits is None:
                raise UnreadableError("an amount in the minor units of a currency that ISO 4217 does not list")
            number = parse_decimal(numbers.shifted(number, -digits))
        return number, code

    return parse


def factor_parser(factor: Decimal, parse: Parser) -> Parser:
    """Make a parser of decimals held in another unit: the value meant is the one held times `factor`."""

    def parse_times(raw: Any) -> Any:
        number = parse_decimal(raw)
        return parse(numbers.EXACT.multiply(number, factor) if number.is_finite() else number)

    return parse_times


def json_parser(*, unordered: bool, normalize: str = "nfc") -> Parser:
    """Make a parser of JSON, from text or already decoded; keys in any order, numbers by value."""

    def canonical(value: Any, depth: int = 0) -> Any:
        if value is None:
            return None
        if isinstance(value, bool):
            return ("boolean", value)  # True equals 1 in Python, and not in JSON
        if isinstance(value, str):
            return composed(value) if normalize == "nfc" else value
        if isinstance(value, int | float | Decimal):
            number = parse_decimal(value)
            if not number.is_finite():
                raise UnreadableError("NaN or an infinity, which JSON does not have")
            return number
        if depth == LEVELS:
            raise UnreadableError(TOO_DEEP)
        if isinstance(value, Undecodable):
            raise UnreadableError(value.reason)
        if isinstance(value, Mapping):
            if not all(isinstance(key, str) for key in value):
                raise UnreadableError("JSON whose keys are not text")
            return ("object", *sorted((key, canonical(each, depth + 1)) for key, each in value.items()))
        if isinstance(value, list | tuple):
            items = [canonical(each, depth + 1) for each in value]
            return ("array", *(sorted(items, key=repr) if unordered else items))
        raise refuse(value, "JSON")

    def parse(raw: Any) -> Any:
        if isinstance(raw, bytes | str):
            try:
                raw = decode(raw)
            except TooDeepError as error:
                raise UnreadableError(str(error)) from None
            except ValueError:
                raise refuse(raw, "JSON") from None
        return canonical(raw)

    return parse


def set_parser(separator: str, *, normalize: str = "nfc") -> Parser:
    """Make a parser of sets of labels, from a list or from text joined by `separator`."""

    def parse(raw: Any) -> tuple[str, ...]:
        if isinstance(raw, str):
            text = raw.strip()
            if text.startswith("["):
                try:
                    raw = decode(text)
                except ValueError:
                    raise refuse(raw, "a list") from None
            else:
                parted = text.split("," if isinstance(raw, Labels) else separator)
                raw = [part for part in parted if part.strip()]
        if isinstance(raw, list | tuple | set | frozenset):
            labels = (_text(part) for part in raw)
            return tuple(sorted({(composed(each) if normalize == "nfc" else each).strip() for each in labels}))
        raise refuse(raw, "a set")

    return parse


def empty_is_null(parse: Parser) -> Parser:
    """Wrap a parser so that empty text and an empty list mean NULL."""

    def parse_or_null(raw: Any) -> Any:
        empty = isinstance(raw, str | list | tuple) and not raw
        return None if empty else parse(raw)

    return parse_or_null
