"""Every row of the three-way table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from checks.cause import Cause, Kind
from checks.causes import RING_LENGTH, Baseline, classify
from checks.comparison import Comparison, Copy, Place, Tombstone
from checks.records import FIELD_DIGEST_BYTES


def mark(version: str) -> bytes:
    return version.encode().ljust(FIELD_DIGEST_BYTES)[:FIELD_DIGEST_BYTES]


BASE = Baseline(owner=b"0", target=b"0", owner_digests=mark("0"), target_digests=mark("0"), ring=(b"old",))


def held(version: str | None) -> Copy | None:
    return None if version is None else Copy((version,), version.encode(), None, mark(version))


def compared(
    owner: str | None, target: str | None, duplicates: tuple[str, ...] = (), shared: bool = False
) -> Comparison:
    places = (Place(0, shared=shared),) if owner is not None and target is not None and owner != target else ()
    return Comparison(key=1, owner=held(owner), target=held(target), places=places, duplicates=duplicates)


# owner, target, baseline, target may write -> kind, cause, the owner's change is on its way, at once
ROWS: list[tuple[str, str | None, str | None, Baseline | None, bool, tuple[Any, ...]]] = [
    ("source ahead", "1", "0", BASE, False, (Kind.VALUE, Cause.LATE, True, False)),
    ("foreign write", "0", "9", BASE, False, (Kind.VALUE, Cause.FOREIGN_WRITE, False, True)),
    ("failed reverse sync", "0", "9", BASE, True, (Kind.VALUE, Cause.FOREIGN_WRITE, False, False)),
    ("conflict", "1", "9", BASE, False, (Kind.VALUE, Cause.WRITE_CONFLICT, False, False)),
    ("delete not propagated", None, "0", BASE, False, (Kind.ORPHAN, Cause.LATE, True, False)),
    ("delete/update conflict", None, "9", BASE, False, (Kind.ORPHAN, Cause.WRITE_CONFLICT, False, False)),
    ("target lost the row", "0", None, BASE, False, (Kind.MISSING, Cause.LOST, False, True)),
    ("update/delete conflict", "1", None, BASE, False, (Kind.MISSING, Cause.WRITE_CONFLICT, False, False)),
    ("create not propagated", "1", None, None, False, (Kind.MISSING, Cause.LATE, True, False)),
    ("orphan", None, "9", None, False, (Kind.ORPHAN, Cause.ORPHAN, False, False)),
    ("never agreed", "1", "9", None, False, (Kind.VALUE, Cause.UNEXPLAINED, False, False)),
    ("regression", "0", "old", BASE, False, (Kind.VALUE, Cause.REGRESSION, False, True)),
]


@pytest.mark.parametrize(
    ("row", "owner", "target", "baseline", "may_write", "expected"), ROWS, ids=[r[0] for r in ROWS]
)
def test_row(
    row: str,
    owner: str | None,
    target: str | None,
    baseline: Baseline | None,
    may_write: bool,
    expected: tuple[Any, ...],
) -> None:
    found = classify(compared(owner, target, shared=may_write), baseline)
    assert (found.kind, found.cause, found.source_ahead, found.at_once) == expected, row


def test_what_the_owner_marks_as_deleted_was_there_and_its_copy_is_late() -> None:
    gone = replace(compared(None, "9"), owner_deleted=Tombstone("crm", "is_deleted", None))
    found = classify(gone, None)
    assert (found.kind, found.cause, found.source_ahead) == (Kind.ORPHAN, Cause.LATE, True)
    assert classify(gone, BASE).cause is Cause.WRITE_CONFLICT  # the target moved on from what both agreed on


def test_several_rows_take_precedence_over_everything() -> None:
    for owner, target in (("0", "0"), ("1", "9"), (None, "9")):
        found = classify(compared(owner, target, ("b",)), BASE)
        assert (found.kind, found.cause, found.at_once) == (Kind.DUPLICATE, Cause.DUPLICATE, True)


def test_a_target_that_shows_a_version_on_its_way_is_behind_and_no_conflict() -> None:
    found = classify(compared("2", "1"), BASE, versions=[b"1", b"2"])
    assert (found.cause, found.source_ahead) == (Cause.LATE, True)


def test_a_target_that_shows_a_deletion_on_its_way_is_behind_and_lost_nothing() -> None:
    for owner in ("0", "1"):
        found = classify(compared(owner, None), BASE, versions=[b""])
        assert (found.kind, found.cause, found.source_ahead) == (Kind.MISSING, Cause.LATE, True)


def test_the_ring_keeps_what_was_held_between_two_agreements_each_once() -> None:
    known = Baseline(owner=b"0", target=b"0").advance(b"2", b"2", between=[b"1", b"0", b"", b"1", b"2"])
    assert known.ring == (b"0", b"1")


def test_the_ring_keeps_the_last_versions_and_never_the_present_one() -> None:
    known = Baseline(owner=b"0", target=b"0")
    for number in range(1, 20):
        known = known.advance(str(number).encode(), str(number).encode())
    assert known.ring == tuple(str(number).encode() for number in range(19 - RING_LENGTH, 19))
    back = known.advance(b"15", b"15")
    assert b"15" not in back.ring


def record(first: str, second: str) -> Copy:
    return Copy((first, second), f"{first}/{second}".encode(), None, mark(first) + mark(second))


def both(owner: Copy, target: Copy, **of_second: bool) -> Comparison:
    places = [
        Place(at, **(of_second if at else {}))
        for at, (left, right) in enumerate(zip(owner.values, target.values, strict=True))
        if left != right
    ]
    return Comparison(key=1, owner=owner, target=target, places=tuple(places))


AGREED = record("0", "0")
BASE_OF_TWO = Baseline(
    owner=AGREED.fingerprint,
    target=AGREED.fingerprint,
    owner_digests=AGREED.digests,
    target_digests=AGREED.digests,
)


def test_each_field_is_judged_for_itself_and_the_record_called_by_the_gravest() -> None:
    found = classify(both(record("1", "0"), record("0", "9")), BASE_OF_TWO)
    assert found.fields == (Cause.LATE, Cause.FOREIGN_WRITE)
    assert (found.cause, found.at_once, found.arrived) == (Cause.FOREIGN_WRITE, True, False)


def test_a_change_that_arrived_beside_a_foreign_write_has_arrived() -> None:
    found = classify(both(record("1", "0"), record("1", "9")), BASE_OF_TWO)
    assert (found.fields, found.arrived) == ((Cause.FOREIGN_WRITE,), True)


def test_a_field_that_the_target_owns_is_judged_the_other_way_round() -> None:
    ahead = classify(both(record("0", "0"), record("0", "9"), target_leads=True), BASE_OF_TWO)
    assert (ahead.cause, ahead.source_ahead, ahead.arrived) == (Cause.LATE, True, True)
    foreign = classify(both(record("0", "9"), record("0", "0"), target_leads=True), BASE_OF_TWO)
    assert (foreign.cause, foreign.at_once) == (Cause.FOREIGN_WRITE, False)
    conflict = classify(both(record("0", "8"), record("0", "9"), target_leads=True), BASE_OF_TWO)
    assert conflict.cause is Cause.WRITE_CONFLICT


def test_what_looks_made_of_the_owners_new_value_is_a_transformation() -> None:
    mangled = classify(both(record("0", "1"), record("0", "9"), derived=True), BASE_OF_TWO)
    assert (mangled.cause, mangled.arrived, mangled.at_once) == (Cause.TRANSFORMATION, None, False)
    cut = classify(both(record("0", "0"), record("0", "9"), derived=True), BASE_OF_TWO)
    assert (cut.cause, cut.arrived, cut.at_once) == (Cause.TRANSFORMATION, True, True), "the owner stood still"
    edited = classify(both(record("0", "0"), record("0", "9"), derived=True, shared=True), BASE_OF_TWO)
    assert (edited.cause, edited.permitted) == (Cause.FOREIGN_WRITE, True), (
        "who may write it may give it another form"
    )
    led = classify(both(record("0", "9"), record("0", "0"), derived=True, target_leads=True), BASE_OF_TWO)
    assert (led.cause, led.at_once) == (Cause.TRANSFORMATION, False)
    behind = classify(both(record("0", "1"), record("0", "0"), derived=True), BASE_OF_TWO)
    assert behind.cause is Cause.LATE
    fresh = classify(both(record("0", "1"), record("0", "9"), derived=True), None)
    assert fresh.cause is Cause.TRANSFORMATION


def test_only_an_edit_of_who_may_write_is_permitted() -> None:
    assert classify(both(record("0", "0"), record("0", "9"), shared=True), BASE_OF_TWO).permitted
    assert not classify(both(record("0", "0"), record("0", "9")), BASE_OF_TWO).permitted
    assert classify(both(record("0", "1"), record("0", "9"), shared=True), BASE_OF_TWO).permitted
