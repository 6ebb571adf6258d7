"""Canonical values. Each case begins with what it is about."""

from __future__ import annotations

import unicodedata
import uuid
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks import values
from checks.currencies import minor_digits
from checks.differences import Shape, shape_of
from checks.equality import agree
from checks.fields import FieldRule, parser_for
from checks.values import UnreadableError
from probes.contract import MISSING

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def rule(**words: Any) -> FieldRule:
    return FieldRule.model_validate(words)


# subject, rule, owner's raw value, target's raw value, whether they agree
CASES: list[tuple[str, FieldRule, Any, Any, bool]] = [
    ("precision", rule(type="timestamp", precision="ms"), NOON.replace(microsecond=123600), NOON.replace(microsecond=124000), True),
    ("precision", rule(type="timestamp", precision="ms"), NOON.replace(microsecond=123600), NOON.replace(microsecond=123000), True),
    ("precision", rule(type="timestamp", precision="ms"), NOON.replace(microsecond=123600), NOON.replace(microsecond=125000), False),
    ("precision", rule(type="timestamp"), NOON.replace(microsecond=1), NOON, False),
    ("zone", rule(type="timestamp"), NOON, NOON.astimezone(timezone(timedelta(hours=8))), True),
    ("zone", rule(type="timestamp"), NOON, "2026-03-01T12:00:00Z", True),
    ("zone", rule(type="timestamp"), NOON, NOON + timedelta(hours=8), False),
    ("day", rule(type="date"), date(2026, 3, 1), datetime(2026, 3, 1), True),
    ("day", rule(type="date"), "2026-03-01", "2026-03-01 00:00:00", True),
    ("unit", rule(type="timestamp", unit={"a": "s", "b": "ms"}), 1_772_366_400, 1_772_366_400_000, True),
    ("unit", rule(type="timestamp"), "infinity", "Infinity", True),
    ("decimal", rule(type="decimal"), Decimal("0.710"), ".71", True),
    ("decimal", rule(type="decimal"), "-0", Decimal(0), True),
    ("decimal", rule(type="decimal"), "1E+2", 100, True),
    ("decimal", rule(type="decimal"), "1.00000000000000000000000000000000001", 1, False),
    ("float", rule(type="float", relative_tolerance=1e-6), 0.1, 0.10000001, True),
    ("float", rule(type="float", ulps=1), 0.1 + 0.2, 0.3, True),
    ("float", rule(type="float"), 0.1 + 0.2, 0.3, False),
    ("float", rule(type="float", nan_equal=True), float("nan"), "NaN", True),
    ("float", rule(type="float"), float("nan"), float("nan"), False),
    ("float", rule(type="float", tolerance="1"), float("inf"), 1e308, False),
    ("number in JSON", rule(type="json"), '{"a": 1.50}', {"a": Decimal("1.5")}, True),
    ("integer", rule(type="integer"), 2**53 + 1, str(2**53 + 1), True),
    ("integer", rule(type="integer"), 2**53 + 1, 2**53, False),
    ("money", rule(type="money", currency="JPY", minor_units=["a"]), 500, 500, True),
    ("money", rule(type="money", currency="BHD", minor_units=["a"]), 1500, "1.5", True),
    ("money", rule(type="money", currency="EUR", minor_units=["a"]), 1999, Decimal("19.99"), True),
    ("money", rule(type="money"), {"amount": 5, "currency": "EUR"}, "5.00 eur", True),
    ("money", rule(type="money"), "5 EUR", "5 USD", False),
    ("boolean", rule(type="boolean"), True, 1, True),
    ("boolean", rule(type="boolean"), "t", "Y", True),
    ("boolean", rule(type="boolean"), "false", b"\x00", True),
    ("uuid", rule(type="uuid"), "{6BA7B810-9DAD-11D1-80B4-00C04FD430C8}", uuid.UUID("6ba7b8109dad11d180b400c04fd430c8").bytes, True),
    ("uuid", rule(type="string"), "6BA7B8109DAD11D180B400C04FD430C8", "6ba7b8109dad11d180b400c04fd430c8", False),
    ("salesforce id", rule(type="salesforce_id"), "001D000000IqhSL", "001D000000IqhSLIAZ", True),
    ("salesforce id", rule(type="salesforce_id"), "001D000000IqhSL", "001d000000iqhsl", False),
    ("padding", rule(type="string", strip="trailing"), "DE ", "DE", True),
    ("padding", rule(type="string"), "DE ", "DE", False),
    ("case and accents", rule(type="string"), "Straße", "STRASSE", False),
    ("case and accents", rule(type="string", casefold=True), "Straße", "STRASSE", True),
    ("case and accents", rule(type="string", strip_accents=True), "Chloé", "Chloe", True),
    ("unicode form", rule(type="string"), "Chlo\u00e9", "Chloe\u0301", True),
    ("unicode form", rule(type="string"), "a b", "a\u00a0b", False),
    ("null, empty, missing", rule(type="string"), None, "", False),
    ("null, empty, missing", rule(type="string"), None, MISSING, False),
    ("null, empty, missing", rule(type="string", null_is=["empty"]), None, "", True),
    ("null, empty, missing", rule(type="string", null_is=["missing"]), None, MISSING, True),
    ("json", rule(type="json"), '{"b": 1, "a": [1, 2]}', {"a": [1, 2], "b": 1}, True),
    ("json", rule(type="json"), "[1, 2]", "[2, 1]", False),
    ("json", rule(type="json", unordered=True), "[1, 2]", "[2, 1]", True),
    ("set", rule(type="set"), "red;green", ["green", "red"], True),
    ("set", rule(type="set", separator=","), "a, b", '["b", "a"]', True),
    ("label", rule(type="enum", map={"a": {"Active": "active"}, "b": {"1": "active"}}), "Active", 1, True),
    ("line ends", rule(type="string", newlines=True), "a\r\nb", "a\nb", True),
    ("line ends", rule(type="string"), "a\r\nb", "a\nb", False),
    ("tolerance", rule(type="decimal", tolerance="0.01"), "1.00", "1.01", True),
    ("tolerance", rule(type="decimal", tolerance="0.01"), "1.00", "1.02", False),
    ("scale", rule(type="decimal", scale=2), "1.004", "1.00", True),
]  # fmt: skip


def canonical(of: FieldRule, system: str, raw: Any) -> Any:
    if raw is None:
        return None
    if raw is MISSING:
        return None if "missing" in of.null_is else MISSING
    return parser_for(of, system, None)(raw)


@pytest.mark.parametrize(("subject", "of", "owner", "target", "expected"), CASES)
def test_agreement(subject: str, of: FieldRule, owner: Any, target: Any, expected: bool) -> None:
    left, right = canonical(of, "a", owner), canonical(of, "b", target)
    assert agree(of, left, right) is expected, subject
    assert agree(of, right, left) is expected, f"{subject}, swapped"


UNREADABLE: list[tuple[str, FieldRule, Any, str]] = [
    ("zone", rule(type="timestamp"), datetime(2026, 3, 1), "without a time zone"),
    ("day", rule(type="date"), datetime(2026, 3, 1, 5), "time of day"),
    ("unit", rule(type="timestamp"), 1_772_366_400, "say its unit"),
    ("unit", rule(type="timestamp"), "0000-00-00 00:00:00", "zero date"),
    ("integer", rule(type="integer"), 1e300, "not an integer"),
    ("integer", rule(type="integer"), True, "boolean"),
    ("money", rule(type="money"), "5.00", "without a currency"),
    ("boolean", rule(type="boolean"), 2, "not a boolean"),
    ("salesforce id", rule(type="salesforce_id"), "001D000000IqhSLIAA", "checksum"),
    ("json", rule(type="json"), '{"a": 1, "a": 2}', "twice"),
    ("label", rule(type="enum", map={"a": {"Active": "active"}}), "Paused", "does not list"),
    ("text", rule(type="string"), b"\xff\xfe", "not UTF-8"),
    ("decimal", rule(type="decimal"), "twelve", "not a decimal"),
    ("json", rule(type="json"), "{", "not JSON"),
]


@pytest.mark.parametrize(("subject", "of", "raw", "message"), UNREADABLE)
def test_what_cannot_be_read_is_said_and_never_guessed(subject: str, of: FieldRule, raw: Any, message: str) -> None:
    with pytest.raises(UnreadableError, match=message):
        parser_for(of, "a", None)(raw)


def test_the_text_of_an_error_never_quotes_the_value() -> None:
    secret = "4111-1111-1111-1111"
    for type_ in ("integer", "decimal", "float", "boolean", "timestamp", "date", "uuid", "json"):
        with pytest.raises(UnreadableError) as failed:
            parser_for(rule(type=type_), "a", None)(secret)
        assert secret not in str(failed.value)


SHAPES = [
    (rule(type="string"), "abcdef", "abcd", Shape.TRUNCATED),
    (rule(type="string"), "Ada", "ada", Shape.CASE),
    (rule(type="string"), "a b", "a\u200b b", Shape.WHITESPACE),
    (rule(type="string"), "Chloé", "Chloe", Shape.ACCENTS),
    (rule(type="string"), "x", None, Shape.NULL),
    (rule(type="string"), None, "", Shape.EMPTY),
    (rule(type="string"), "x", MISSING, Shape.MISSING),
    (rule(type="timestamp"), NOON, NOON + timedelta(hours=8), Shape.ZONE_SHIFTED),
    (rule(type="timestamp"), NOON + timedelta(microseconds=400), NOON, Shape.ROUNDED),
    (rule(type="timestamp"), NOON + timedelta(milliseconds=700), NOON + timedelta(seconds=1), Shape.ROUNDED),
    (rule(type="timestamp"), NOON, NOON + timedelta(microseconds=400), Shape.VALUE),
    (rule(type="timestamp"), NOON, NOON + timedelta(seconds=1), Shape.VALUE),
    (rule(type="decimal"), "1.256", "1.26", Shape.ROUNDED),
    (rule(type="decimal"), "-1.256", "-1.25", Shape.ROUNDED),
    (rule(type="decimal"), "1999.60", "2000", Shape.ROUNDED),
    (rule(type="decimal"), "0.1", "0.100000001490116", Shape.ROUNDED),
    (rule(type="decimal"), "1.26", "1.256", Shape.VALUE),
    (rule(type="decimal"), "1.256", "1.27", Shape.VALUE),
    (rule(type="decimal"), "1000", "1999", Shape.VALUE),
    (rule(type="decimal"), "1999", "2000", Shape.VALUE),
    (rule(type="decimal"), "100.00", "100.01", Shape.VALUE),
    (rule(type="decimal"), "20.00", "19.99", Shape.VALUE),
    (rule(type="decimal"), "12.50", "12.59", Shape.VALUE),
    (rule(type="decimal"), "0", "0.75", Shape.VALUE),
    (rule(type="decimal"), "100", "150", Shape.VALUE),
    (rule(type="string"), "abcd", "abcdef", Shape.VALUE),
    (rule(type="decimal"), "5", "-5", Shape.SIGN),
    (rule(type="decimal"), "12.34", "1234", Shape.SCALED),
    (rule(type="money"), "5 EUR", "5 USD", Shape.CURRENCY),
    (rule(type="integer"), 5, 7, Shape.VALUE),
]


@pytest.mark.parametrize(("of", "owner", "target", "expected"), SHAPES)
def test_a_difference_says_what_it_looks_like(of: FieldRule, owner: Any, target: Any, expected: Shape) -> None:
    assert shape_of(of, canonical(of, "a", owner), canonical(of, "b", target)) is expected


@given(st.decimals(allow_nan=False, allow_infinity=False), st.integers(0, 5))
def test_trailing_zeros_never_matter(number: Decimal, zeros: int) -> None:
    padded = f"{number:f}" + ("." if "." not in f"{number:f}" else "") + "0" * zeros
    assert values.parse_decimal(padded) == values.parse_decimal(number)
    assert ascii(values.parse_decimal(padded)) == ascii(values.parse_decimal(number))


@given(st.datetimes(min_value=datetime(1971, 1, 1)), st.integers(-14 * 4, 14 * 4))
def test_an_instant_is_the_same_in_every_zone(at: datetime, quarters: int) -> None:
    parse = values.timestamp_parser(None, None)
    there = at.replace(tzinfo=UTC)
    assert parse(there) == parse(there.astimezone(timezone(timedelta(minutes=15 * quarters))))
    assert parse(there) == parse(there.isoformat())


@given(st.text())
def test_composed_and_decomposed_text_are_the_same(text: str) -> None:
    parse = values.string_parser(strip="none", casefold=False, strip_accents=False, newlines=False)
    assert parse(unicodedata.normalize("NFD", text)) == parse(unicodedata.normalize("NFC", text))


@pytest.mark.parametrize(
    ("currency", "digits"),
    [
        ("EUR", 2),
        ("JPY", 0),
        ("KWD", 3),
        ("CLF", 4),
        ("ISK", 0),
        ("BGN", 2),
        ("ITL", 0),
        ("XAU", None),
        ("EURO", None),
    ],
)
def test_a_currency_has_the_minor_units_of_iso_4217_even_after_it_was_withdrawn(
    currency: str, digits: int | None
) -> None:
    assert minor_digits(currency) == digits
