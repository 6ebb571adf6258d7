"""Every row of the three-way table."""

from __future__ import annotations

from typing import Any

import pytest

from checks.causes import RING_LENGTH, Baseline, Cause, Kind, classify
from checks.records import MARK_BYTES, Comparison, Copy, Place


def mark(version: str) -> bytes:
    return version.encode().ljust(MARK_BYTES)[:MARK_BYTES]


BASE = Baseline(owner=b"0", target=b"0", owner_marks=mark("0"), target_marks=mark("0"), ring=(b"old",))


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
    ("conflict", "1", "9", BASE, False, (Kind.VALUE, Cause.CONFLICT, False, False)),
    ("delete not propagated", None, "0", BASE, False, (Kind.ORPHAN, Cause.LATE, True, False)),
    ("delete/update conflict", None, "9", BASE, False, (Kind.ORPHAN, Cause.CONFLICT, False, False)),
    ("target lost the row", "0", None, BASE, False, (Kind.MISSING, Cause.LOST, False, True)),
    ("update/delete conflict", "1", None, BASE, False, (Kind.MISSING, Cause.CONFLICT, False, False)),
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


def test_several_rows_take_precedence_over_everything() -> None:
    for owner, target in (("0", "0"), ("1", "9"), (None, "9")):
        found = classify(compared(owner, target, ("b",)), BASE)
        assert (found.kind, found.cause, found.at_once) == (Kind.DUPLICATE, Cause.DUPLICATE, True)


def test_a_target_that_shows_a_version_on_its_way_is_behind_and_no_conflict() -> None:
    found = classify(compared("2", "1"), BASE, versions=[b"1", b"2"])
    assert (found.cause, found.source_ahead) == (Cause.LATE, True)


def test_the_ring_keeps_the_last_versions_and_never_the_present_one() -> None:
    known = Baseline(owner=b"0", target=b"0")
    for number in range(1, 20):
        known = known.advance(str(number).encode(), str(number).encode())
    assert known.ring == tuple(str(number).encode() for number in range(19 - RING_LENGTH, 19))
    back = known.advance(b"15", b"15")
    assert b"15" not in back.ring
