"""The second look: records that differ are read again before a difference is reported."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from auditor.audit.gathered import Doubts, Failure, Gathered, Later
from auditor.audit.reading import paired
from auditor.map.flow import Flow
from auditor.systems.reader import SystemReader
from checks.causes import moved
from checks.comparison import Comparison, Copy
from checks.partition import partition, tell
from checks.record_history import NO_HISTORY, DivergenceState, History
from checks.records import RecordComparer
from checks.sides import UNREADABLE, Side
from checks.values import UnreadableError
from probes.contract import MARK, Key, Reading, Row

WITNESS_S = 1.0
"""How long one audit waits for all witnesses together: they are reported with a verdict but never decide it."""

WITNESSED = 500
"""Most records of one audit that are read at witnesses."""

TOLD_FIELDS = 3
"""Most fields of one record with groups of systems reported; the Record page shows them all."""


@dataclass(slots=True, kw_only=True)
class _Doubting:
    """The doubts during the second look.

    Attributes:
        owner_again: by record, the one copy that the owner holds now; None if it is not fully readable.
    """

    moving: set[Key] = field(default_factory=set)
    later: dict[Key, Later] = field(default_factory=dict)
    noisy: dict[Key, dict[int, str]] = field(default_factory=dict)
    rereads: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    witnesses: dict[Key, str] = field(default_factory=dict)
    owner_again: dict[Key, Copy | None] = field(default_factory=dict)
    error: Failure | None = None

    def failed(self, reading: Reading, differing: Iterable[Key]) -> bool:
        """Note a system that could not be read again; returns whether it failed."""
        if reading.error is not None:
            self.error = self.error or (reading.system, reading.error)
            self.moving.update(differing)
        return reading.error is not None

    def doubts(self) -> Doubts:
        """The doubts found."""
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
    """Reads differing records again.

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
        """Read the owner again for everything that differs; also the target for what differed before, and the other
        systems for what is suspected."""
        doubting = _Doubting()
        differing = {each.key: each for each in comparisons if not each.agrees and not each.unverifiable}
        if not differing:
            return Doubts()
        owner_again = self._owner(gathered, differing, doubting)
        live = {key: histories.get(key, NO_HISTORY).divergence for key in differing if key not in doubting.moving}
        seen_before = [key for key, divergence in live.items() if divergence is not None]
        if seen_before:
            self._target(gathered, {key: differing[key] for key in seen_before}, doubting)
        suspected = [
            key
            for key, divergence in live.items()
            if divergence is not None and divergence.state is DivergenceState.SUSPECTED and differing[key].places
        ]
        if suspected:
            self._witnesses({key: differing[key] for key in suspected}, doubting)
        if owner_again is not None:
            self._glimpse(owner_again, doubting)
        return doubting.doubts()

    def _glimpse(self, again: Reading, doubting: _Doubting) -> None:
        """Note what the owner held of moving records at the second look."""
        grouped = self.comparer.group(self.comparer.owner, again.rows)
        for key in doubting.moving - again.unreadable.keys() - grouped.unreadable.keys() - again.unpaired.keys():
            sent_at, received_at = again.when(key)
            second = grouped.rows.get(key, [])
            if key not in doubting.owner_again and len(second) == 1:
                self._copy_again(doubting, key, self.comparer.owner, second[0])
            copy = doubting.owner_again.get(key)
            if copy is not None or not second:
                doubting.later[key] = Later(copy=copy, sent_at=sent_at, received_at=received_at)

    def _copy_again(self, doubting: _Doubting, key: Key, side: Side, row: Row) -> Copy:
        """The copy of a row that was read again, as far as readable."""
        values, unread = self.comparer.readable(side, row)
        copy = self.comparer.copy_of(values, row[MARK])
        if side is self.comparer.owner:
            doubting.owner_again[key] = None if unread else copy
        return copy

    def _owner(self, gathered: Gathered, differing: Mapping[Key, Comparison], doubting: _Doubting) -> Reading | None:
        again = self.source.fetch(self.flow.source_spec, list(differing))
        if doubting.failed(again, differing):
            return None
        rows = paired(self.comparer.group(self.comparer.owner, again.rows).rows, again.unpaired, gathered.target_rows)
        spec = self.flow.source_spec
        marked = spec.mark is not None and spec.marks_records
        for key, comparison in differing.items():
            first, _ = gathered.rows_of(key)
            self._compare(doubting, comparison, self.comparer.owner, first, rows.get(key, []), marked=marked)
        return again

    def _target(self, gathered: Gathered, differing: Mapping[Key, Comparison], doubting: _Doubting) -> None:
        again = self.target.fetch(self.flow.target_spec, list(differing))
        if doubting.failed(again, differing):
            return
        rows = paired(self.comparer.group(self.comparer.target, again.rows).rows, again.unpaired, gathered.owner.rows)
        for key, comparison in differing.items():
            _, first = gathered.rows_of(key)
            self._compare(doubting, comparison, self.comparer.target, first, rows.get(key, []), marked=True)

    def _compare(
        self,
        doubting: _Doubting,
        comparison: Comparison,
        side: Side,
        first: Sequence[Row],
        second: Sequence[Row],
        *,
        marked: bool,
    ) -> None:
        """Compare two readings of one system; if they differ, decide whether it was written or is unstable.

        Args:
            marked: an unchanged stamp proves that it was not written. For a target without one, only fields that
                differ from themselves and from the owner both times count as noise.
        """
        key = comparison.key
        if len(first) != len(second):
            doubting.moving.add(key)
            return
        if len(first) != 1:
            if self._as_a_set(side, first) != self._as_a_set(side, second):
                doubting.moving.add(key)
            return
        before, other = comparison.owner, comparison.target
        if side is not self.comparer.owner:
            before, other = other, before
        assert before is not None  # one row, and it could be compared
        after = self._copy_again(doubting, key, side, second[0])
        unlike = [index for index in range(len(self.comparer.rules)) if moved(after.digests, before.digests, index)]
        if unlike and (not marked or before.raw_mark != after.raw_mark):
            doubting.moving.add(key)
            return
        if unlike and other is not None and any(not moved(after.digests, other.digests, index) for index in unlike):
            doubting.moving.add(key)  # it has just arrived
            return
        for index, (name, _) in enumerate(self.comparer.rules):
            doubting.count(side.system, name, differs=index in unlike)
        for index in unlike:
            doubting.noisy.setdefault(key, {})[index] = side.system

    def _as_a_set(self, side: Side, rows: Sequence[Row]) -> list[str] | None:
        try:
            return sorted(ascii(self.comparer.canonical(side, row)) for row in rows)
        except UnreadableError:
            return None

    def _witnesses(self, differing: Mapping[Key, Comparison], doubting: _Doubting) -> None:
        """Read the other systems that hold the data type to see which side they agree with; skip silent ones."""
        copies_of: dict[Key, dict[str, Copy]] = defaultdict(dict)
        keys = list(islice(differing, WITNESSED))
        until = time.monotonic() + WITNESS_S
        for name, reader in self.others.items():
            witness = self.flow.witnesses[name]
            reading = reader.fetch_aside(witness.spec, keys, until - time.monotonic())
            if reading is None or reading.error is not None:
                continue
            for key, rows in self.comparer.group(witness.side, reading.rows).rows.items():
                try:
                    values = self.comparer.canonical(witness.side, witness.spread(rows[-1]))
                except UNREADABLE:
                    continue
                if key in differing:
                    copies_of[key][name] = self.comparer.copy_of(values, None)
        for key, copies in copies_of.items():
            comparison = differing[key]
            assert comparison.owner is not None
            assert comparison.target is not None
            shown = {self.flow.source_name: comparison.owner, self.flow.target_name: comparison.target, **copies}
            sentences = []
            for difference, place in zip(comparison.differences, comparison.places, strict=True):
                carriers = {
                    system: copy
                    for system, copy in shown.items()
                    if system not in copies or self.flow.witnesses[system].carries(place.position)
                }
                if len(carriers) > 2:
                    sentences.append(tell(difference.field, partition(self._marks(carriers, place.position))))
            if sentences:
                doubting.witnesses[key] = "; ".join(sentences[:TOLD_FIELDS])

    def _marks(self, copies: Mapping[str, Copy], position: int) -> dict[str, bytes]:
        return {system: self.comparer.field_digest(copy, position) for system, copy in copies.items()}
