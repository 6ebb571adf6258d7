"""The second look: what differs is read again before anybody is blamed for it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from auditor.audit.gathered import Doubts, Failure, Gathered, Later
from auditor.map.flow import Flow
from auditor.systems.reader import SystemReader
from checks.causes import moved
from checks.comparison import Comparison, Copy
from checks.partition import partition, tell
from checks.record_history import NO_HISTORY, DivergenceState, History
from checks.records import RecordComparer
from checks.sides import UNREADABLE, Side
from checks.values import UnreadableError
from probes.contract import KEY, MARK, Key, Reading, Row

WITNESS_S = 1.0
"""How long one audit waits for all witnesses together: what they say is told beside a verdict and decides none."""

WITNESSED = 500
"""Records of one audit that witnesses are asked about."""

TOLD_FIELDS = 3
"""Fields of one record whose groups of systems are told; the Record page shows them all."""


@dataclass(slots=True, kw_only=True)
class _Doubting:
    """Doubts while the second look is under way.

    Attributes:
        owner_again: by record, the one copy that the owner held now; None where it cannot be read whole.
    """

    moving: set[Key] = field(default_factory=set)
    later: dict[Key, Later] = field(default_factory=dict)
    noisy: dict[Key, dict[int, str]] = field(default_factory=dict)
    rereads: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    witnesses: dict[Key, str] = field(default_factory=dict)
    owner_again: dict[Key, Copy | None] = field(default_factory=dict)
    error: Failure | None = None

    def failed(self, reading: Reading, differing: Iterable[Key]) -> bool:
        """Whether a system could not be read again."""
        if reading.error is not None:
            self.error = self.error or (reading.system, reading.error)
            self.moving.update(differing)
        return reading.error is not None

    def doubts(self) -> Doubts:
        """What was found."""
        return Doubts(
            moving=self.moving,
            later=self.later,
            noisy=self.noisy,
            rereads=self.rereads,
            witnesses=self.witnesses,
            error=self.error,
        )

    def count(self, system: str, name: str, *, differs: bool) -> None:
        """Count one field that was read twice."""
        read, differed = self.rereads.get((system, name), (0, 0))
        self.rereads[system, name] = read + 1, differed + differs


class SecondLook:
    """Reads again what differs.

    Args:
        others: readers of further systems that hold the data type.
    """

    def __init__(
        self,
        flow: Flow,
        source: SystemReader,
        target: SystemReader,
        comparer: RecordComparer,
        others: Mapping[str, SystemReader],
    ) -> None:
        self.flow = flow
        self.source = source
        self.target = target
        self.comparer = comparer
        self.others = {name: others[name] for name in flow.witnesses if name in others}

    def take(self, gathered: Gathered, comparisons: Sequence[Comparison], histories: Mapping[Key, History]) -> Doubts:
        """Read the owner again for everything that differs; for what differed before also the target, and for
        what is suspected the other systems, too."""
        found = _Doubting()
        differing = {each.key: each for each in comparisons if not each.agrees and not each.unverifiable}
        if not differing:
            return Doubts()
        owner_again = self._owner(gathered, differing, found)
        live = {key: histories.get(key, NO_HISTORY).divergence for key in differing if key not in found.moving}
        seen_before = [key for key, divergence in live.items() if divergence is not None]
        if seen_before:
            self._target(gathered, {key: differing[key] for key in seen_before}, found)
        suspected = [
            key
            for key, divergence in live.items()
            if divergence is not None and divergence.state is DivergenceState.SUSPECTED and differing[key].places
        ]
        if suspected:
            self._witnesses({key: differing[key] for key in suspected}, found)
        if owner_again is not None:
            self._glimpse(owner_again, found)
        return found.doubts()

    def _glimpse(self, again: Reading, found: _Doubting) -> None:
        """Note what the owner held at the second look of the records that moved."""
        rows, _ = self.comparer.group(self.comparer.owner, again.rows)
        for key in found.moving - again.unreadable.keys():
            sent_at, received_at = again.when(key)
            second = rows.get(key, [])
            if key not in found.owner_again and len(second) == 1:
                self._copy_again(found, key, self.comparer.owner, second[0])
            copy = found.owner_again.get(key)
            if copy is not None or not second:
                found.later[key] = Later(copy=copy, sent_at=sent_at, received_at=received_at)

    def _copy_again(self, found: _Doubting, key: Key, side: Side, row: Row) -> Copy:
        """The copy of a row that was read again, as far as it can be read."""
        values, unread = self.comparer.readable(side, row)
        copy = self.comparer.copy_of(values, row[MARK])
        if side is self.comparer.owner:
            found.owner_again[key] = None if unread else copy
        return copy

    def _owner(self, gathered: Gathered, differing: Mapping[Key, Comparison], found: _Doubting) -> Reading | None:
        again = self.source.fetch(self.flow.source_spec, list(differing))
        if found.failed(again, differing):
            return None
        rows, _ = self.comparer.group(self.comparer.owner, again.rows)
        marked = self.flow.source_spec.mark is not None
        for key, comparison in differing.items():
            first, _ = gathered.rows_of(key)
            self._compare(found, comparison, self.comparer.owner, first, rows.get(key, []), marked=marked)
        return again

    def _target(self, gathered: Gathered, differing: Mapping[Key, Comparison], found: _Doubting) -> None:
        again = self.target.fetch(self.flow.target_spec, list(differing))
        if found.failed(again, differing):
            return
        rows, _ = self.comparer.group(self.comparer.target, again.rows)
        for key, comparison in differing.items():
            _, first = gathered.rows_of(key)
            self._compare(found, comparison, self.comparer.target, first, rows.get(key, []), marked=True)

    def _compare(
        self,
        found: _Doubting,
        comparison: Comparison,
        side: Side,
        first: Sequence[Row],
        second: Sequence[Row],
        *,
        marked: bool,
    ) -> None:
        """Whether one system answered the same twice; if not, whether it was written or is never the same.

        Args:
            marked: an unchanged stamp proves that nobody wrote. Of a target without one only what differs from
                itself and from the owner both times is called noise.
        """
        key = comparison.key
        if len(first) != len(second):
            found.moving.add(key)
            return
        if len(first) != 1:
            if self._as_a_set(side, first) != self._as_a_set(side, second):
                found.moving.add(key)
            return
        before, other = comparison.owner, comparison.target
        if side is not self.comparer.owner:
            before, other = other, before
        assert before is not None  # one row, and it could be compared
        after = self._copy_again(found, key, side, second[0])
        unlike = [index for index in range(len(self.comparer.rules)) if moved(after.digests, before.digests, index)]
        if unlike and (not marked or before.raw_mark != after.raw_mark):
            found.moving.add(key)
            return
        if unlike and other is not None and any(not moved(after.digests, other.digests, index) for index in unlike):
            found.moving.add(key)  # it has just arrived
            return
        for index, (name, _) in enumerate(self.comparer.rules):
            found.count(side.system, name, differs=index in unlike)
        for index in unlike:
            found.noisy.setdefault(key, {})[index] = side.system

    def _as_a_set(self, side: Side, rows: Sequence[Row]) -> list[str] | None:
        try:
            return sorted(ascii(self.comparer.canonical(side, row)) for row in rows)
        except UnreadableError:
            return None

    def _witnesses(self, differing: Mapping[Key, Comparison], found: _Doubting) -> None:
        """Ask the other systems that hold the data type which side they are on; who does not answer is left out."""
        held: dict[Key, dict[str, Copy]] = defaultdict(dict)
        asked = list(islice(differing, WITNESSED))
        until = time.monotonic() + WITNESS_S
        for name, reader in self.others.items():
            witness = self.flow.witnesses[name]
            reading = reader.fetch_aside(witness.spec, asked, until - time.monotonic())
            if reading is None or reading.error is not None:
                continue
            for row in reading.rows:
                try:
                    key = witness.side.parse_key(row[KEY])
                    values = self.comparer.canonical(witness.side, witness.spread(row))
                except UNREADABLE:
                    continue
                if key in differing:
                    held[key][name] = self.comparer.copy_of(values, None)
        for key, copies in held.items():
            comparison = differing[key]
            assert comparison.owner is not None
            assert comparison.target is not None
            shown = {self.flow.source_name: comparison.owner, self.flow.target_name: comparison.target, **copies}
            told = []
            for difference, place in zip(comparison.differences, comparison.places, strict=True):
                carriers = {
                    system: copy
                    for system, copy in shown.items()
                    if system not in copies or self.flow.witnesses[system].carries(place.position)
                }
                if len(carriers) > 2:
                    told.append(tell(difference.field, partition(self._marks(carriers, place.position))))
            if told:
                found.witnesses[key] = "; ".join(told[:TOLD_FIELDS])

    def _marks(self, copies: Mapping[str, Copy], position: int) -> dict[str, bytes]:
        return {system: self.comparer.field_digest(copy, position) for system, copy in copies.items()}
