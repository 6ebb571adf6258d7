"""Instants and days beyond Python's calendar, and local times that stand for two instants."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checks import instants
from checks.comparison import Comparison
from checks.difference_kinds import blurred, pattern_of
from checks.differences import Shape, shape_of
from checks.equality import agree
from checks.field_text import plain, show
from checks.fields import FieldRule, parser_for
from checks.records import RecordComparer
from checks.sides import Side
from checks.values import UnreadableError

EVIDENCE = ("private", "masked", "clear")
BERLIN, UTC_ZONE = "Europe/Berlin", "UTC"


def rule(**words: Any) -> FieldRule:
    return FieldRule.model_validate({"type": "timestamp", **words})


def read(raw: Any, zone: str | None = None, of: FieldRule | None = None) -> Any:
    return parser_for(of or rule(), "a", zone)(raw)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("infinity", "infinity"),
        ("-Infinity", "-infinity"),
        ("12026-03-01 00:00:00+00", "12026-03-01 00:00:00+00:00"),
        ("+012026-03-01T00:00:00Z", "12026-03-01 00:00:00+00:00"),
        ("294276-12-31 23:59:59.999999+00", "294276-12-31 23:59:59.999999+00:00"),
        ("0044-03-15 12:00:00+00 BC", "0044-03-15 12:00:00+00:00 BC"),
        ("-0043-03-15T12:00:00Z", "0044-03-15 12:00:00+00:00 BC"),
        ("4713-01-01 00:00:00+00 BC", "4713-01-01 00:00:00+00:00 BC"),
        ("9999-12-31 23:00:00-05", "10000-01-01 04:00:00+00:00"),
        ("0001-01-01 00:00:00+05", "0001-12-31 19:00:00+00:00 BC"),
    ],
)
def test_instants_that_python_does_not_have(written: str, shown: str) -> None:
    assert instants.instant_text(read(written)) == shown
    assert read(shown) == read(written)
    assert {show(rule(evidence=each), read(written)) for each in EVIDENCE}
    assert plain(rule(), read(written)) == shown


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("infinity", "infinity"),
        ("12026-03-01", "12026-03-01"),
        ("0044-03-15 BC", "0044-03-15 BC"),
        ("-0043-03-15", "0044-03-15 BC"),
        ("12026-03-01 00:00:00", "12026-03-01"),
        ("2026-03-01", "2026-03-01"),
    ],
)
def test_days_that_python_does_not_have(written: str, shown: str) -> None:
    assert read(written, of=rule(type="date")) == shown


@pytest.mark.parametrize(
    "text", ["2026-02-30", "12026-02-29", "12026-13-01", "0000-00-00", "12026-03-01 05:00", "1-1-1"]
)
def test_days_that_are_none(text: str) -> None:
    with pytest.raises(UnreadableError):
        read(text, of=rule(type="date"))


@pytest.mark.parametrize("raw", [datetime.min, datetime.max, "0001-01-01", "9999-12-31 23:59:59.999999"])
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago", "Asia/Tokyo", BERLIN])
def test_the_ends_of_the_calendar_are_the_same_under_every_evidence_policy(raw: Any, zone: str) -> None:
    verdicts = set()
    for evidence in EVIDENCE:
        of = rule(evidence=evidence)
        made = comparer(of, (zone, UTC_ZONE))
        found = made.compare(1, [(1, None, raw)], [(1, None, raw)]).differences
        verdicts.add(str([blurred(each.pattern) for each in found]))
    assert len(verdicts) == 1
    assert verdicts != {"[]"}


@given(st.datetimes(), st.timezones())
@settings(deadline=None)
def test_reckoning_with_whole_numbers_is_what_python_does(at: datetime, zone: Any) -> None:
    found = instants.instant_of(at, zone)
    readings = found if isinstance(found, tuple) else (found,)
    expected = {(at.replace(tzinfo=zone, fold=fold) - instants.EPOCH) // instants.MICROSECOND for fold in (0, 1)}
    assert set(readings) == expected
    days = (at.date() - instants.EPOCH.date()).days
    assert instants.day_number(at.year, at.month, at.day) == days
    assert instants.civil(days) == (at.year, at.month, at.day)


@given(st.integers(-(10**19), 10**19))
@settings(deadline=None)
def test_what_is_written_is_read_again(instant: int) -> None:
    assert instants.instant_written(instants.instant_text(instant), None) == instant


@given(
    st.datetimes(datetime(2000, 1, 1), datetime(2399, 1, 1)), st.sampled_from([BERLIN, "America/New_York", UTC_ZONE])
)
@settings(deadline=None)
def test_a_zone_keeps_its_rules_beyond_the_years_that_python_has(at: datetime, zone: str) -> None:
    """The calendar, week-days included, begins anew every 400 years, and a zone's last rule holds for good."""
    at = at.replace(year=at.year + 7200)  # where the tables of every zone have ended
    apart = 20 * 146_097 * instants.DAY_US
    near = instants.instant_of(at, ZoneInfo(zone))
    far = instants.instant_written(f"{at.year + 8000}-{at:%m-%d %H:%M:%S.%f}", ZoneInfo(zone))
    assert isinstance(near, tuple) == isinstance(far, tuple)
    assert instants.earliest(far) == (instants.earliest(near) or 0) + apart


# -- a local time in an hour that comes twice

FOLD, GAP = "2026-10-25 02:30:00", "2026-03-29 02:30:00"


def comparer(of: FieldRule, zones: tuple[str | None, str | None] = (BERLIN, UTC_ZONE)) -> RecordComparer:
    sides = [
        Side(
            system=system,
            parse_key=parser_for(FieldRule(type="integer"), system, None),
            parse_changed_at=parser_for(FieldRule(type="timestamp"), system, zone),
            parsers=(parser_for(of, system, zone),),
        )
        for system, zone in zip(("a", "b"), zones, strict=True)
    ]
    return RecordComparer(rules=[("at", of)], owner=sides[0], target=sides[1], digest_key=b"k" * 32)


@pytest.mark.parametrize("local", [FOLD, datetime.fromisoformat(FOLD), datetime.fromisoformat(FOLD).replace(fold=1)])
@pytest.mark.parametrize(
    ("utc", "agrees"),
    [
        ("2026-10-25 00:30:00Z", True),
        ("2026-10-25 01:30:00Z", True),
        ("2026-10-25 02:30:00Z", False),
        ("2026-10-24 23:30:00Z", False),
        ("2026-10-25 00:30:01Z", False),
    ],
)
def test_a_repeated_local_time_agrees_with_either_instant(local: Any, utc: str, agrees: bool) -> None:
    for precision in ("us", "s"):
        found = comparer(rule(precision=precision)).compare(1, [(1, None, local)], [(1, None, utc)])
        assert not found.unverifiable
        assert found.agrees is agrees


@pytest.mark.parametrize(("utc", "agrees"), [("00:30", True), ("01:30", True), ("02:30", False)])
def test_a_local_time_that_is_skipped_agrees_with_either_instant(utc: str, agrees: bool) -> None:
    found = comparer(rule()).compare(1, [(1, None, GAP)], [(1, None, f"2026-03-29 {utc}:00Z")])
    assert found.agrees is agrees


@pytest.mark.parametrize(
    ("type_", "local", "utc", "agrees"),
    [
        ("array", [[FOLD], [None]], [["2026-10-25 01:30:00Z"], [None]], True),
        ("array", [[FOLD], [None]], [["2026-10-25 02:30:00Z"], [None]], False),
        ("array", [FOLD], [FOLD + "Z", FOLD + "Z"], False),
        ("array", [FOLD], [["2026-10-25 01:30:00Z"]], False),
        ("range", f'["{FOLD}",)', '["2026-10-25 00:30:00Z",)', True),
        ("range", f'["{FOLD}",)', '("2026-10-25 00:30:00Z",)', False),
        ("range", f'["{FOLD}",)', '["2026-10-25 03:30:00Z",)', False),
    ],
)
def test_the_items_of_an_array_and_the_ends_of_a_range_agree_as_they_would_alone(
    type_: str, local: Any, utc: Any, agrees: bool
) -> None:
    made = comparer(rule(type=type_, items="timestamp"))
    found = made.compare(1, [(1, None, local)], [(1, None, utc)])
    assert not found.unverifiable
    assert found.agrees is agrees


def test_the_same_local_time_in_both_systems_agrees_and_shares_its_fingerprint() -> None:
    found = comparer(rule(), (BERLIN, BERLIN)).compare(1, [(1, None, FOLD)], [(1, None, FOLD)])
    assert found.agrees
    assert found.owner is not None
    assert found.target is not None
    assert found.owner.fingerprint == found.target.fingerprint


def test_an_agreement_by_one_of_two_readings_is_kept_as_both_copies_stand() -> None:
    """As with a tolerance: the copies have fingerprints of their own, the same at every reading."""
    made = comparer(rule())
    first, again = (made.compare(1, [(1, None, FOLD)], [(1, None, "2026-10-25 01:30:00Z")]) for _ in range(2))
    assert first.owner is not None
    assert first.target is not None
    assert first.owner.fingerprint != first.target.fingerprint
    assert (first.owner, first.target) == (again.owner, again.target)
    assert isinstance(made.meet(1, [(1, None, FOLD)], [(1, None, "2026-10-25 01:30:00Z")]), Comparison)


def test_the_shift_is_told_from_the_nearer_instant() -> None:
    one, other = read(FOLD, BERLIN), read("2026-10-25 03:30:00Z")
    assert shape_of(rule(), one, other) is Shape.ZONE_SHIFTED
    assert pattern_of(rule(), Shape.ZONE_SHIFTED, one, other) == "+02:00"
    assert pattern_of(rule(), Shape.ZONE_SHIFTED, other, one) == "-02:00"
    assert not agree(rule(), one, other)


def test_a_stamp_that_may_be_one_of_two_is_no_bound_of_a_commit() -> None:
    made = comparer(rule())
    copy = made.compare(1, [(1, FOLD, NOON)], []).owner
    assert copy is not None
    assert made.changed_at_us(made.owner, copy) is None


NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("stamp", ["infinity", "12026-03-01 00:00:00Z", "0001-01-01 00:00:00Z", datetime.max])
def test_a_stamp_at_the_end_of_the_calendar_is_no_bound_of_a_commit(stamp: Any) -> None:
    made = comparer(rule())
    copy = made.compare(1, [(1, stamp, NOON)], []).owner
    assert copy is not None
    assert made.changed_at_us(made.owner, copy) is None


@pytest.mark.parametrize(
    ("type_", "valid", "value", "broken"),
    [
        ("timestamp", {"min": "2020-01-01"}, "12026-03-01 00:00Z", ""),
        ("timestamp", {"min": "2020-01-01"}, "0044-03-15 00:00:00Z BC", "below 2020-01-01"),
        ("timestamp", {"max": "2030-01-01T00:00:00Z"}, "infinity", "above 2030-01-01T00:00:00Z"),
        ("timestamp", {"min": "2020-01-01"}, "-infinity", "below 2020-01-01"),
        ("timestamp", {"min": "2026-03-01T12:00:00Z"}, NOON, ""),
        ("timestamp", {"max": "2026-03-01T12:00:00Z"}, NOON.astimezone(timezone(timedelta(hours=2))), ""),
        ("date", {"min": "2020-01-01"}, "12026-03-01", ""),
        ("date", {"max": "2030-01-01"}, "12026-03-01", "above 2030-01-01"),
        ("date", {"max": "2030-01-01"}, "0044-03-15 BC", ""),
        ("date", {"max": "2030-01-01"}, "infinity", "above 2030-01-01"),
    ],
)
def test_bounds_of_instants_and_days(type_: str, valid: dict[str, str], value: Any, broken: str) -> None:
    of = rule(type=type_, valid=valid, evidence="clear")
    found = comparer(of, (UTC_ZONE, UTC_ZONE)).compare(1, [(1, None, value)], [(1, None, value)])
    assert found.agrees
    assert [each.owner_value.rpartition(": ")[2] for each in found.invalid] == (
        [broken.rpartition(": ")[2]] if broken else []
    )
