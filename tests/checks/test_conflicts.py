"""Every conflict policy: whose copy counts, and when it abstains and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.cause import Cause, Kind
from checks.causes import Finding
from checks.clocks import ClockBounds
from checks.comparison import Comparison, Copy, Place
from checks.conflicts import MergeError, Policy, Resolution, Winner, Written, resolve, written_between
from checks.differences import Difference, Shape
from checks.fields import FieldRule

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RULES = [("name", FieldRule()), ("status", FieldRule()), ("plan", FieldRule())]
SYSTEMS = ("crm", "billing")


def copy(*values: str) -> Copy:
    return Copy(values, "|".join(values).encode(), None)


def compared(
    owner: Copy | None = None,
    target: Copy | None = None,
    *,
    shared: Sequence[str] = ("name", "status", "plan"),
    target_leads: Sequence[str] = (),
) -> Comparison:
    owner, target = owner or copy("Ada", "active", "pro"), target or copy("Ada", "paused", "pro")
    differing = [(at, name) for at, (name, _) in enumerate(RULES) if owner.values[at] != target.values[at]]
    return Comparison(
        key=1,
        owner=owner,
        target=target,
        differences=tuple(
            Difference(field=name, shape=Shape.VALUE, owner_value="", target_value="") for _, name in differing
        ),
        places=tuple(Place(at, name in target_leads, name in shared) for at, name in differing),
    )


def found(*causes: Cause) -> Finding:
    cause = Cause.WRITE_CONFLICT if Cause.WRITE_CONFLICT in causes else causes[0]
    return Finding(kind=Kind.VALUE, cause=cause, fields=causes, permitted=True)


def asked(policy: Policy, comparison: Comparison, finding: Finding, **more: Any) -> Resolution:
    return resolve(policy, comparison, finding, systems=SYSTEMS, rules=RULES, target_may_write=True, **more)


def at(seconds: float, spread_s: float = 0.1) -> Written:
    begin = NOW + timedelta(seconds=seconds)
    return Written(from_at=begin, to_at=begin + timedelta(seconds=spread_s))


@pytest.mark.parametrize("policy", [policy for policy in Policy if policy is not Policy.MANUAL])
def test_who_may_not_write_never_wins(policy: Policy) -> None:
    for cause in (Cause.FOREIGN_WRITE, Cause.WRITE_CONFLICT, Cause.REGRESSION, Cause.LATE):
        told = asked(policy, compared(shared=()), found(cause), owner=at(0), target=at(60))
        assert (told.winner, told.fields) == (Winner.OWNER, {"status": Winner.OWNER})
        assert "crm is the source of truth" in told.why


def test_a_field_with_an_owner_of_its_own_counts_there() -> None:
    both = compared(copy("Ada", "active", "pro"), copy("Eve", "paused", "pro"), target_leads=["status"])
    told = asked(Policy.SOURCE_OF_TRUTH, both, found(Cause.LATE, Cause.LATE))
    assert told.fields == {"name": Winner.OWNER, "status": Winner.TARGET}
    assert told.winner is Winner.MERGED
    assert told.why == "billing and crm are the source of truth"


@given(apart_s=st.floats(-100, 100), left_s=st.floats(0, 10), right_s=st.floats(0, 10))
def test_last_write_wins_only_where_the_clocks_separate_the_writes(
    apart_s: float, left_s: float, right_s: float
) -> None:
    owner, target = at(0, left_s), at(apart_s, right_s)
    told = asked(Policy.LAST_WRITE, compared(), found(Cause.WRITE_CONFLICT), owner=owner, target=target)
    assert owner.from_at is not None
    assert owner.to_at is not None
    assert target.from_at is not None
    assert target.to_at is not None
    if told.winner is Winner.TARGET:
        assert target.from_at > owner.to_at
    elif told.winner is Winner.OWNER:
        assert owner.from_at > target.to_at
    else:
        assert told.abstains
        assert target.from_at <= owner.to_at
        assert owner.from_at <= target.to_at
        assert "not known well enough" in told.why


def test_last_write_wins_abstains_where_a_copy_does_not_tell_when() -> None:
    told = asked(Policy.LAST_WRITE, compared(), found(Cause.WRITE_CONFLICT), owner=at(0))
    assert told.abstains
    assert "billing cannot tell when" in told.why


def test_the_higher_version_wins_and_equal_ones_decide_nothing() -> None:
    newer = asked(
        Policy.VERSION, compared(), found(Cause.WRITE_CONFLICT), owner=Written(version=3), target=Written(version=4)
    )
    assert newer.winner is Winner.TARGET
    same = asked(
        Policy.VERSION, compared(), found(Cause.WRITE_CONFLICT), owner=Written(version=4), target=Written(version=4)
    )
    assert same.abstains
    silent = asked(Policy.VERSION, compared(), found(Cause.WRITE_CONFLICT), owner=Written(version=4))
    assert "billing carries no version" in silent.why


def test_fields_are_merged_where_only_one_side_changed_each() -> None:
    both = compared(copy("Ada", "active", "team"), copy("Ada", "paused", "pro"))
    told = asked(Policy.FIELD_MERGE, both, found(Cause.FOREIGN_WRITE, Cause.LATE))
    assert told.fields == {"status": Winner.TARGET, "plan": Winner.OWNER}
    assert told.winner is Winner.MERGED
    clash = asked(Policy.FIELD_MERGE, both, found(Cause.WRITE_CONFLICT, Cause.LATE))
    assert clash.abstains
    assert clash.why == "field-merge: both sides changed status"


def test_merging_keeps_to_who_may_write() -> None:
    both = compared(copy("Ada", "active", "team"), copy("Ada", "paused", "pro"), shared=["status"])
    told = asked(Policy.FIELD_MERGE, both, found(Cause.FOREIGN_WRITE, Cause.FOREIGN_WRITE))
    assert told.fields == {"status": Winner.TARGET, "plan": Winner.OWNER}


def test_a_merge_function_may_answer_what_neither_holds() -> None:
    def merge(
        owner: Mapping[str, Any], target: Mapping[str, Any], changed: Mapping[str, Sequence[str]]
    ) -> Mapping[str, Any]:
        assert changed == {"owner": ["status", "plan"], "target": ["status"]}
        return {"status": f"{owner['status']}+{target['status']}", "plan": owner["plan"]}

    both = compared(copy("Ada", "active", "team"), copy("Ada", "paused", "pro"))
    told = asked(Policy.MERGE_FUNCTION, both, found(Cause.WRITE_CONFLICT, Cause.LATE), merge=merge)
    assert (told.winner, told.merged) == (Winner.MERGED, {"status": "active+paused"})
    assert told.fields == {"status": Winner.MERGED, "plan": Winner.OWNER}


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"status": "x", "colour": "red"}, "it returned unknown fields colour"),
        ({}, "it returned nothing for status"),
        (MergeError("it raised ValueError"), "it raised ValueError"),
    ],
)
def test_a_merge_function_that_fails_decides_nothing(answer: Any, why: str) -> None:
    def merge(*_: Any) -> Mapping[str, Any]:
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)

    told = asked(Policy.MERGE_FUNCTION, compared(), found(Cause.WRITE_CONFLICT), merge=merge)
    assert told.abstains
    assert told.why == f"merge-function: {why}"


def test_manual_and_avoidance_leave_it_to_people_and_say_why() -> None:
    assert "leaves the decision" in asked(Policy.MANUAL, compared(), found(Cause.WRITE_CONFLICT)).why
    assert "breach of the design" in asked(Policy.AVOIDANCE, compared(), found(Cause.WRITE_CONFLICT)).why
    assert asked(Policy.MANUAL, compared(shared=()), found(Cause.UNEXPLAINED)).abstains


def test_a_deletion_is_decided_by_the_source_of_truth_alone() -> None:
    gone = Comparison(key=1, owner=None, target=copy("Ada", "paused", "pro"))
    conflict = Finding(kind=Kind.ORPHAN, cause=Cause.WRITE_CONFLICT)
    assert asked(Policy.SOURCE_OF_TRUTH, gone, conflict).winner is Winner.OWNER
    for policy in (Policy.LAST_WRITE, Policy.VERSION, Policy.FIELD_MERGE, Policy.MERGE_FUNCTION):
        assert "cannot compare a deletion" in asked(policy, gone, conflict).why


def test_duplicates_and_invalid_records_are_for_people() -> None:
    twice = Finding(kind=Kind.DUPLICATE, cause=Cause.DUPLICATE)
    wrong = Finding(kind=Kind.INVALID, cause=Cause.INVALID)
    assert "cannot be determined from outside" in asked(Policy.SOURCE_OF_TRUTH, compared(), twice).why
    assert "only its owner" in asked(Policy.SOURCE_OF_TRUTH, compared(), wrong).why


def test_a_write_lies_within_the_bounds_of_its_clock() -> None:
    clock = ClockBounds(lower_s=-1, upper_s=2, measured_at=NOW)
    stamp_us = int(NOW.timestamp() * 1_000_000)
    told = written_between(stamp_us, clock, 0.5)
    assert told.bounds == (NOW - timedelta(seconds=2), NOW + timedelta(seconds=1.5))
    assert written_between(None, clock, 0).bounds is None
    assert written_between(stamp_us, None, 0).bounds is None
    assert written_between(10**30, clock, 0).bounds is None
