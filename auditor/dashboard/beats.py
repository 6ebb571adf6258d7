"""Heartbeats of a flow: what its audits found, slot by slot of the time range. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Beat(StrEnum):
    """What the audits of one slot found, the gravest first."""

    DIFFERS = "differed"
    LATE = "late"
    CANNOT_VERIFY = "could not verify"
    AGREES = "agreed"
    NO_DATA = "no data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """A span during which records of a flow differed.

    Attributes:
        timing: only because they were late.
        first, last: the slots in which it began and ended.
    """

    timing: bool
    first: int
    last: int


def beats(read: Mapping[int, bool], episodes: Iterable[Episode], *, slots: int, bridged: int) -> list[Beat]:
    """The beat of each slot, oldest first.

    Args:
        read: by slot in which an audit began, whether something could not be read.
        bridged: for how many slots without an audit the last one still speaks: as many as pass between two audits.
    """
    differs, late = set[int](), set[int]()
    for each in episodes:
        (late if each.timing else differs).update(range(max(each.first, 0), min(each.last, slots - 1) + 1))
    found = []
    last: int | None = None
    for slot in range(slots):
        last = slot if slot in read else last
        if last is None or slot - last > bridged:
            found.append(Beat.NO_DATA)
        elif slot in differs:
            found.append(Beat.DIFFERS)
        elif slot in late:
            found.append(Beat.LATE)
        else:
            found.append(Beat.CANNOT_VERIFY if read[last] else Beat.AGREES)
    return found
