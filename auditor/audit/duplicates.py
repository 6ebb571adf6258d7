"""Duplicates: records of one system that share a key that must be unique, such as a customer's e-mail."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from auditor.audit.gathered import Failure
from auditor.ledger import Ledger
from auditor.map.flow import Flow
from auditor.systems.reader import SystemReader
from checks.comparison import Comparison, Copy
from checks.duplicates import Twin, is_the_double, shared, tell
from checks.records import RecordComparer
from checks.sides import Side
from checks.values import UnreadableError
from probes.contract import MARK, Key, ReadSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Identities:
    """What to store about one unique key of one system's records.

    Attributes:
        called: the unique key's display name.
        held: by record, the digest of its unique key.
        gone: records that no longer have one.
    """

    system: str
    called: str
    held: Mapping[Key, bytes]
    gone: Collection[Key]


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubles:
    """The records of one audit that share a unique key with another one.

    Attributes:
        reasons: by record, what is wrong, for people.
        identities: what the ledger should store.
        error: a system could not be read for the other records.
    """

    reasons: Mapping[Key, Sequence[str]] = field(default_factory=dict)
    identities: Sequence[Identities] = ()
    error: Failure | None = None

    def marked(self, comparisons: Sequence[Comparison]) -> Sequence[Comparison]:
        """The comparisons, with duplicate records marked."""
        if not self.reasons:
            return comparisons
        return [
            replace(each, duplicates=(*each.duplicates, *self.reasons[each.key]))
            if each.key in self.reasons
            else each
            for each in comparisons
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _OneSide:
    """The findings for one unique key in one system; `reasons` as in `Doubles`, one sentence for each record."""

    identities: Identities
    reasons: Mapping[Key, str] = field(default_factory=dict)
    error: Failure | None = None


class DuplicateFinder:
    """Finds records with the same unique key in both systems of a flow.

    Records that are not read again are stored as keyed digests in the ledger; before a record is called a duplicate,
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

    def find(self, comparisons: Sequence[Comparison]) -> Doubles:
        """Find the duplicates among the records read, and what to store for the next audits."""
        if not self.comparer.unique_keys:
            return Doubles()
        by_key = {each.key: each for each in comparisons if not each.unverifiable}
        sides = [
            self._on_one_side(by_key, called, side)
            for called in self.comparer.unique_keys
            for side, _, _ in self._sides
        ]
        reasons: dict[Key, list[str]] = {}
        for each in sides:
            for key, what in each.reasons.items():
                reasons.setdefault(key, []).append(what)
        return Doubles(
            reasons=reasons,
            identities=[each.identities for each in sides],
            error=next((each.error for each in sides if each.error is not None), None),
        )

    def _on_one_side(self, by_key: Mapping[Key, Comparison], called: str, side: Side) -> _OneSide:
        copies_read = {key: copy for key, each in by_key.items() if (copy := self._copy(each, side)) is not None}
        identities = {
            key: identity for key, copy in copies_read.items() if (identity := self.comparer.identity(copy, called))
        }
        gone = [key for key in by_key if key not in identities]
        holders = self.ledger.identities.holders(self.flow.name, side.system, called, set(identities.values()))
        # The ledger's data on records that were read just now is out of date.
        suspects = shared(
            identities,
            {
                identity: [key for key in self.flow.parse_keys(texts) if key not in by_key]
                for identity, texts in holders.items()
            },
        )
        if not suspects:
            return _OneSide(identities=Identities(system=side.system, called=called, held=identities, gone=gone))
        others = {key for sharing in suspects.values() for key in sharing}
        again, error = self._read(side, [key for key in others if key not in copies_read])
        copies = {key: copies_read[key] for key in others & copies_read.keys()} | again
        at_owner, owner_error = self._at_owner({*suspects, *others}, by_key)
        error = error or owner_error
        names = [self.comparer.rules[position][0] for position in self.comparer.unique_keys[called]]
        stale: list[Key] = [key for key in others if key not in copies]
        reasons: dict[Key, str] = {}
        for key, sharing in suspects.items():
            twins = [
                Twin(key=other, at_owner=other in at_owner, same=copies[other].values == copies_read[key].values)
                for other in sharing
                if other in copies and self.comparer.identity(copies[other], called) == identities[key]
            ]
            stale += [other for other in sharing if other in copies and other not in {twin.key for twin in twins}]
            if twins and is_the_double(at_owner=key in at_owner, twins=twins):
                reasons[key] = tell(called, names, side.system, twins)
        if error is None:
            gone += [key for key in stale if key not in identities]
        return _OneSide(
            identities=Identities(system=side.system, called=called, held=identities, gone=gone),
            reasons=reasons,
            error=error,
        )

    def _copy(self, comparison: Comparison, side: Side) -> Copy | None:
        return comparison.owner if side is self.comparer.owner else comparison.target

    def _read(self, side: Side, keys: Sequence[Key]) -> tuple[dict[Key, Copy], Failure | None]:
        """Records of one system as they are now, or why it cannot be read."""
        if not keys:
            return {}, None
        reader, spec = next((reader, spec) for each, reader, spec in self._sides if each is side)
        reading = reader.fetch(spec, keys)
        if reading.error is not None:
            return {}, (reading.system, reading.error)
        copies: dict[Key, Copy] = {}
        for key, rows in self.comparer.group(side, reading.rows).rows.items():
            try:
                copies[key] = self.comparer.copy_of(self.comparer.canonical(side, rows[0]), rows[0][MARK])
            except UnreadableError:
                continue
        return copies, None

    def _at_owner(self, keys: set[Key], by_key: Mapping[Key, Comparison]) -> tuple[set[Key], Failure | None]:
        """Which of these records the owner has."""
        present = {key for key in keys if key in by_key and by_key[key].owner is not None}
        read, error = self._read(self.comparer.owner, [key for key in keys if key not in by_key])
        return present | read.keys(), error
