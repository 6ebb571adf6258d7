"""What holds for every type and every value: parsing ends, agreement has no side, and nothing raises afterwards."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, get_args

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from checks.difference_kinds import KINDS, blurred, pattern_of
from checks.differences import shape_of
from checks.equality import agree
from checks.field_text import plain, show
from checks.fields import FieldRule, FieldType, parser_for
from checks.records import RecordComparer
from checks.sides import Side
from checks.unreadable import DESCRIBED
from checks.values import UnreadableError
from probes.contract import MISSING
from probes.exact_json import Undecodable

unhurried = settings(deadline=None)

TYPES = get_args(FieldType)
EVIDENCE = ("private", "masked", "clear")

OUTLANDISH: list[Any] = [
    "1e10000000",
    "-1E-10000000",
    Decimal("1e10000000"),
    Decimal("-1e-10000000"),
    Decimal("sNaN"),
    "NaN",
    "-Infinity",
    float("nan"),
    float("-inf"),
    -0.0,
    "9" * 5_000,
    "9" * 1_000_000,
    10**5_000,
    -(10**20_000),
    "[" * 100_000,
    '{"a": 1e10000000}',
    '{"a": 1, "a": 2}',
    "[NaN]",
    "infinity",
    "-infinity",
    "12026-03-01 00:00:00+00",
    "999999-12-31 23:59:59.999999-18",
    "0044-03-15 00:00:00+00 BC",
    "0044-03-15 BC",
    "0000-00-00",
    "2026-02-30",
    "12026-13-45",
    datetime.min,
    datetime.max,
    datetime.min.replace(tzinfo=UTC),
    datetime.max.replace(tzinfo=UTC),
    date.min,
    date.max,
    b"\xff" * 16,
    "\ud800",
    "\x00",
    "1_000",
    [],
    {},
    [None],
    {"amount": "1e10000000", "currency": "EUR"},
    {"amount": None, "currency": None},
    {1: 2, "1": 3},
    True,
    object(),
]

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.decimals()
    | st.text()
    | st.binary()
    | st.datetimes()
    | st.datetimes(timezones=st.timezones())
    | st.dates()
    | st.uuids()
    | st.from_regex(r"[+-]?\d{1,6}(-\d\d){0,2}([ T]\d\d(:\d\d){1,2}(\.\d{1,7})?)?(Z|[+-]\d\d)?( BC)?", fullmatch=True)
    | st.from_regex(r"[+-]?\d{1,40}(\.\d{1,40})?([eE][+-]?\d{1,12})?", fullmatch=True)
    | st.sampled_from(OUTLANDISH)
)
RAW = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(st.text(max_size=3), SCALARS, max_size=3)
ZONES = st.sampled_from([None, "UTC", "Europe/Berlin", "Pacific/Kiritimati", "Pacific/Apia", "America/New_York"])


def rule_of(type_: str, evidence: str = "clear") -> FieldRule:
    words: dict[str, Any] = {"type": type_, "evidence": evidence, "nan_equal": True}
    if type_ == "money":
        words["currency"] = "EUR"
    if type_ == "timestamp":
        words["unit"] = {"counted": "ms"}
    return FieldRule.model_validate(words)


def read(rule: FieldRule, raw: Any, zone: str | None, system: str = "a") -> Any:
    """The canonical value, `MISSING` where there is none: any other error than `UnreadableError` fails the test."""
    try:
        return parser_for(rule, system, zone)(raw)
    except UnreadableError:
        return MISSING


BEYOND = ["1e10000000", "-1E-10000000", "9" * 5_000, "9" * 1_000_000, Decimal("1e10000000"), 10**5_000]


@pytest.mark.parametrize("type_", ["integer", "decimal", "float", "money", "json", "timestamp"])
@pytest.mark.parametrize("raw", BEYOND, ids=lambda raw: type(raw).__name__)
def test_a_number_is_refused_before_it_is_expanded(type_: str, raw: Any) -> None:
    with pytest.raises(UnreadableError):
        parser_for(rule_of(type_), "counted", None)(raw)


@pytest.mark.parametrize("type_", TYPES)
def test_what_json_left_undecided_is_read_as_nothing_at_all(type_: str) -> None:
    for raw in (Undecodable("twice"), [Undecodable("twice")], {"amount": Undecodable("twice"), "currency": "EUR"}):
        with pytest.raises(UnreadableError):
            parser_for(rule_of(type_), "counted", None)(raw)


@pytest.mark.parametrize("type_", TYPES)
def test_an_outlandish_value_is_read_or_refused(type_: str) -> None:
    for raw in OUTLANDISH:
        for zone, system in (("Europe/Berlin", "a"), (None, "counted")):
            value = read(rule_of(type_), raw, zone, system)
            show(rule_of(type_), value)
            plain(rule_of(type_), value)
            ascii(value)


@unhurried
@given(type_=st.sampled_from(TYPES), raw=RAW, zone=ZONES, system=st.sampled_from(["a", "counted"]))
def test_reading_a_value_answers_or_says_why_not(type_: str, raw: Any, zone: str | None, system: str) -> None:
    value = read(rule_of(type_), raw, zone, system)
    for evidence in EVIDENCE:
        rule = rule_of(type_, evidence)
        assert isinstance(show(rule, value), str)
        plain(rule, value)


@unhurried
@given(type_=st.sampled_from(TYPES), raws=st.lists(st.tuples(RAW, ZONES), min_size=1, max_size=6))
def test_agreement_has_no_side_and_nothing_raises_of_what_differs(
    type_: str, raws: list[tuple[Any, str | None]]
) -> None:
    rule = rule_of(type_)
    found = [value for raw, zone in raws if (value := read(rule, raw, zone)) is not MISSING]
    for one in found:
        assert agree(rule, one, one)
        for other in found:
            assert agree(rule, one, other) == agree(rule, other, one)
            if not agree(rule, one, other):
                pattern_of(rule, shape_of(rule, one, other), one, other)


def equals_itself(value: Any) -> bool:
    """False where there is a NaN in it; a tuple compares its parts by identity first."""
    return all(map(equals_itself, value)) if isinstance(value, tuple) else bool(value == value)


@unhurried
@given(type_=st.sampled_from(TYPES), raws=st.lists(st.tuples(RAW, ZONES), min_size=2, max_size=6))
def test_equal_values_have_equal_fingerprints_and_others_do_not(
    type_: str, raws: list[tuple[Any, str | None]]
) -> None:
    rule = rule_of(type_)
    made = RecordComparer(
        rules=[("it", rule)], owner=side("a", rule, None), target=side("b", rule, None), digest_key=b"k" * 32
    )
    found = [value for raw, zone in raws if (value := read(rule, raw, zone)) is not MISSING]
    comparable = [value for value in found if equals_itself(value)]
    for one in comparable:
        for other in comparable:
            assert (made.fingerprint((one,)) == made.fingerprint((other,))) == (one == other)


@unhurried
@given(type_=st.sampled_from(TYPES), left=RAW, right=RAW, zone=ZONES)
@example(type_="mac", left=False, right=10**5000, zone=None)
def test_the_verdict_is_the_same_under_every_evidence_policy(
    type_: str, left: Any, right: Any, zone: str | None
) -> None:
    verdicts = set()
    for evidence in EVIDENCE:
        rule = rule_of(type_, evidence)
        made = RecordComparer(
            rules=[("it", rule)], owner=side("a", rule, zone), target=side("b", rule, zone), digest_key=b"k" * 32
        )
        found = made.compare(1, [(1, None, left)], [(1, None, right)])
        kinds = ((each.shape, blurred(each.pattern)) for each in found.differences)
        verdicts.add((found.agrees, found.unverifiable, *kinds))
        for each in found.differences:
            assert blurred(each.pattern) in KINDS
            assert evidence == "clear" or each.pattern in KINDS
            if evidence == "private":
                assert {each.owner_value, each.target_value} <= DESCRIBED
    assert len(verdicts) == 1


def side(system: str, rule: FieldRule, zone: str | None) -> Side:
    return Side(
        system=system,
        parse_key=parser_for(FieldRule(type="integer"), system, None),
        parse_changed_at=parser_for(FieldRule(type="timestamp"), system, "UTC"),
        parsers=(parser_for(rule, system, zone),),
    )
