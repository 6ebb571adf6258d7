"""Twins: records of one system that share a key of which there may be only one, such as a customer's e-mail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from auditor.audit.reading import Gathered
from auditor.ledger import Ledger
from auditor.map.flow import Flow
from auditor.systems.reader import SystemReader
from checks.duplicates import Twin, is_the_double, shared, tell
from checks.records import Comparison, Copy, RecordComparer, Side
from checks.values import UnreadableError
from probes.contract import Key, ReadSpec


class Twins:
    """Keeps, for both systems of a flow, who has which unique key, and finds whoever has the same.

    What is not read again is remembered as keyed digests in the ledger; before a record is called a duplicate
    the other one is read again.
    """

    def __init__(
        self, flow: Flow, source: SystemReader, target: SystemReader, comparer: RecordComparer, ledger: Ledger
    ) -> None:
        self.flow = flow
        self.comparer = comparer
        self.ledger = ledger
        self._sides: tuple[tuple[Side, SystemReader, ReadSpec], ...] = (
            (comparer.owner, source, flow.source_spec),
            (comparer.target, target, flow.target_spec),
        )

    def find(self, gathered: Gathered, comparisons: Sequence[Comparison]) -> list[Comparison]:
        """The same comparisons, those with a twin marked as duplicates."""
        if not self.comparer.unique_keys or gathered.error is not None:
            return list(comparisons)
        told: dict[Key, list[str]] = {}
        by_key = {each.key: each for each in comparisons if not each.unverifiable}
        for called in self.comparer.unique_keys:
            for side, _, _ in self._sides:
                self._on_one_side(gathered, by_key, called, side, told)
        return [
            replace(each, duplicates=(*each.duplicates, *told[each.key])) if each.key in told else each
            for each in comparisons
        ]

    def _on_one_side(
        self, gathered: Gathered, by_key: dict[Key, Comparison], called: str, side: Side, told: dict[Key, list[str]]
    ) -> None:
        held = {key: copy for key, each in by_key.items() if (copy := self._copy(each, side)) is not None}
        identities = {
            key: identity for key, copy in held.items() if (identity := self.comparer.identity(copy, called))
        }
        gone = [key for key in by_key if key not in identities]
        flow, system = self.flow.name, side.system
        self.ledger.save_identities(flow, system, called, identities, gone)
        known = self.ledger.holders(flow, system, called, set(identities.values()))
        suspects = shared(identities, {identity: self._to_keys(texts) for identity, texts in known.items()})
        if not suspects:
            return
        others = {key for found in suspects.values() for key in found}
        copies = {key: held[key] for key in others & held.keys()}
        copies |= self._read(gathered, side, [key for key in others if key not in held])
        at_owner = self._at_owner(gathered, {*suspects, *others}, by_key)
        names = [self.comparer.rules[position][0] for position in self.comparer.unique_keys[called]]
        stale: list[Key] = [key for key in others if key not in copies]
        for key, found in suspects.items():
            twins = [
                Twin(key=other, at_owner=other in at_owner, same=copies[other].values == held[key].values)
                for other in found
                if other in copies and self.comparer.identity(copies[other], called) == identities[key]
            ]
            stale += [other for other in found if other in copies and other not in {twin.key for twin in twins}]
            if twins and is_the_double(at_owner=key in at_owner, twins=twins):
                told.setdefault(key, []).append(tell(called, names, system, twins))
        if stale and gathered.error is None:
            self.ledger.save_identities(flow, system, called, {}, [key for key in stale if key not in identities])

    def _copy(self, comparison: Comparison, side: Side) -> Copy | None:
        return comparison.owner if side is self.comparer.owner else comparison.target

    def _to_keys(self, texts: Sequence[str]) -> list[Key]:
        found: list[Key] = []
        for text in texts:
            try:
                found.append(self.comparer.owner.parse_key(text))
            except UnreadableError:
                continue
        return found

    def _read(self, gathered: Gathered, side: Side, keys: Sequence[Key]) -> dict[Key, Copy]:
        """Records of one system as they are now."""
        if not keys:
            return {}
        reader, spec = next((reader, spec) for each, reader, spec in self._sides if each is side)
        reading = reader.fetch(spec, keys)
        if gathered.fail(reading):
            return {}
        found: dict[Key, Copy] = {}
        grouped, _ = self.comparer.group(side, reading.rows)
        for key, rows in grouped.items():
            try:
                found[key] = self.comparer.copy_of(self.comparer.canonical(side, rows[0]), rows[0][1])
            except UnreadableError:
                continue
        return found

    def _at_owner(self, gathered: Gathered, keys: set[Key], by_key: dict[Key, Comparison]) -> set[Key]:
        """Which of these records the owner knows."""
        known = {key for key in keys if key in by_key and by_key[key].owner is not None}
        return known | self._read(gathered, self.comparer.owner, [key for key in keys if key not in by_key]).keys()
