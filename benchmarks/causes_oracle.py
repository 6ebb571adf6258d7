"""The three-way table of docs/concepts.md, written down a second time, plainly and row by row, as an oracle.

States are names of versions: `v0` is what both agreed on, `v1` what the owner holds since, `mid` a version of the
owner's in between, `old` one from before `v0`, `other` what only the target ever held.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

ABSENT = "absent"
OWNER_STATES = (ABSENT, "v0", "v1")
TARGET_STATES = (ABSENT, "v0", "v1", "mid", "old", "other")
HISTORIES = ("none", "agreed", "agreed twice")
"""Never agreed; on `v0`; first on `old` and then on `v0`."""


@dataclass(frozen=True, slots=True)
class Pair:
    """What is known of one owner and one target.

    Attributes:
        pending: what the owner was seen to hold in between and may be on its way: `mid`, `absent`, or "" for nothing.
        duplicates: which side holds several records for the key: "", owner or target.
        shared: the map lets the target write.
        derived: the target's value looks made of the owner's: cut off, scaled, shifted.
    """

    owner: str
    target: str
    history: str
    pending: str
    duplicates: str
    shared: bool
    derived: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table.

    Attributes:
        at_once: it counts without waiting for the window.
        on_its_way: within the window it is in flight.
    """

    kind: str
    cause: str
    at_once: bool = False
    on_its_way: bool = False


AGREED = Row("", "agreed")


def pairs(*, shared: tuple[bool, ...] = (False, True), derived: tuple[bool, ...] = (False, True)) -> Iterator[Pair]:
    """Every pair of states there is; only what is there on both sides can be made of the other."""
    for owner, target, history, pending, duplicates, both, made in itertools.product(
        OWNER_STATES, TARGET_STATES, HISTORIES, ("", "mid", ABSENT), ("", "owner", "target"), shared, derived
    ):
        if made and (ABSENT in {owner, target} or owner == target):
            continue
        if (duplicates == "owner" and owner == ABSENT) or (duplicates == "target" and target == ABSENT):
            continue
        yield Pair(owner, target, history, pending, duplicates, both, made)


def row_of(pair: Pair) -> Row:
    """The row that a pair falls into."""
    a, b = pair.owner, pair.target
    if pair.duplicates:
        return Row("duplicate", "duplicate", at_once=True)
    if a == b:
        return AGREED
    agreed = pair.history != "none"
    # any | equals an older version than B once showed
    if b == "old" and pair.history == "agreed twice":
        return Row("orphan" if a == ABSENT else "value", "regression", at_once=True)
    if b == pair.pending == "mid":  # an earlier new version of A
        return Row("orphan" if a == ABSENT else "value", "late", on_its_way=True)
    if b == pair.pending == ABSENT:  # deleted and created again
        return Row("missing", "late", on_its_way=True)
    if not agreed:
        if a == ABSENT:
            return Row("orphan", "orphan")
        if b == ABSENT:
            return Row("missing", "late", on_its_way=True)
        return Row("value", "transformation" if pair.derived else "unexplained")
    a_changed, b_changed = a != "v0", b != "v0"
    if a == ABSENT:
        return Row("orphan", "write_conflict") if b_changed else Row("orphan", "late", on_its_way=True)
    if b == ABSENT:
        return Row("missing", "write_conflict") if a_changed else Row("missing", "lost", at_once=True)
    if a_changed and b_changed:
        return Row("value", "transformation" if pair.derived else "write_conflict")
    if a_changed:
        return Row("value", "late", on_its_way=True)
    if pair.derived and not pair.shared:
        return Row("value", "transformation", at_once=True)
    return Row("value", "foreign_write", at_once=not pair.shared)


def alone(states: Mapping[str, str]) -> set[str]:
    """The systems outside the one largest group of equal states; nobody where there is no single largest."""
    sizes = {state: sum(each == state for each in states.values()) for state in states.values()}
    largest = [state for state, size in sizes.items() if size == max(sizes.values())]
    return set() if len(largest) > 1 else {system for system, state in states.items() if state != largest[0]}
