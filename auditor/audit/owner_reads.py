"""What one turn reads of a data type at its owner: once, for all the flows that start there."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol, TypeVar

from auditor.map.flow import Flow
from checks.sides import read_key
from probes.contract import KEY, VALUES, VALUES_FROM, Key, Reading, ReadSpec, Row

ResultT = TypeVar("ResultT")


class Owner(Protocol):
    """The reads of an audit at its flow's owner while gathering records: `SystemReader`, or `OwnerReads` of it."""

    @property
    def name(self) -> str:
        """The system's name."""

    def changed(self, spec: ReadSpec, since: datetime | int | None, limit: int) -> Reading:
        """See `SystemReader.changed`."""

    def page(self, spec: ReadSpec, after: str | None, limit: int) -> Reading:
        """See `SystemReader.page`."""

    def fetch(self, spec: ReadSpec, keys: Sequence[Key]) -> Reading:
        """See `SystemReader.fetch`."""

    def ranked(self, spec: ReadSpec, seed: str, lower: int, upper: int, limit: int) -> Sequence[tuple[Any, int]]:
        """See `SystemReader.ranked`."""

    def can_rank(self, spec: ReadSpec, seed: str) -> bool:
        """See `SystemReader.can_rank`."""

    def highest_version(self, spec: ReadSpec) -> int | None:
        """See `SystemReader.highest_version`."""


@dataclass(slots=True, kw_only=True)
class _Known:
    """What was read of a set of fields.

    Attributes:
        rows: by canonical key; empty for an absent record.
        seen: around the read that returned each record.
        listings: by arguments, what was listed.
    """

    rows: dict[Key, list[Row]] = field(default_factory=dict)
    seen: dict[Key, tuple[datetime, datetime]] = field(default_factory=dict)
    listings: dict[Hashable, Reading] = field(default_factory=dict)


class OwnerReads:
    """Reads a data type at its owner for several flows, with the fields of all of them, and nothing twice.

    It serves one turn: the flows that are due together are planned for the same instant, before anything is read
    here. Each reading keeps the instants at which it was made, however much later a flow takes it, so that a flow
    concludes from it exactly what it would conclude from a reading of its own at that time. Second readings, clocks
    and duplicates are not served here: they have to be fresh.

    A flow must not suffer from the fields of another one. A record that cannot be read with the fields of all flows
    is read again with those of the flow alone, as it would be without the others.

    Args:
        flows: of one data type, from the same owner.

    Attributes:
        records: how many the owner has returned, each as often as it was read.
    """

    def __init__(self, reader: Owner, flows: Sequence[Flow]) -> None:
        self._name = reader.name
        self._reader = reader
        self._fields = tuple(dict.fromkeys(name for flow in flows for name in flow.source_spec.fields))
        self._parse_key = flows[0].data_type.key_parser(reader.name)
        self.records = 0
        self._known: dict[tuple[str, ...], _Known] = {}
        self._answers: dict[Hashable, Any] = {}

    @property
    def name(self) -> str:
        """The system's name."""
        return self._name

    def changed(self, spec: ReadSpec, since: datetime | int | None, limit: int) -> Reading:
        """The same as `SystemReader.changed`."""
        return self._listed(spec, ("changed", since, limit), lambda wide: self._reader.changed(wide, since, limit))

    def page(self, spec: ReadSpec, after: str | None, limit: int) -> Reading:
        """The same as `SystemReader.page`."""
        return self._listed(spec, ("page", after, limit), lambda wide: self._reader.page(wide, after, limit))

    def fetch(self, spec: ReadSpec, keys: Sequence[Key]) -> Reading:
        """As `SystemReader.fetch` for keys not read yet; records read before carry their own instants."""
        if not keys:
            return self._reader.fetch(spec, keys)
        wide = self._wide(spec)
        cache = self._of(wide)
        unread = [key for key in keys if key not in cache.seen]
        reading = self._reader.fetch(wide, unread) if unread else None
        if reading is not None:
            self._keep(cache, reading, [key for key in unread if key in reading.instants])
        again = [key for key in keys if key not in cache.seen] if wide.fields != spec.fields else []
        narrow = self._reader.fetch(spec, again) if again else None
        served = [key for key in keys if key in cache.seen]
        made = [each for each in (reading, narrow) if each is not None]
        self.records += sum(len(each.instants) for each in made) if not spec.keys_alone else 0
        last = narrow or reading
        return Reading(
            system=self._name,
            sent_at=min([*(cache.seen[key][0] for key in served), *(each.sent_at for each in made)]),
            received_at=max([*(cache.seen[key][1] for key in served), *(each.received_at for each in made)]),
            rows=[
                *_narrowed((row for key in served for row in cache.rows.get(key, ())), wide, spec),
                *(narrow.rows if narrow else ()),
            ],
            error=last.error if last else None,
            unreadable=last.unreadable if last else {},
            instants={**{key: cache.seen[key] for key in served}, **(narrow.instants if narrow else {})},
        )

    def ranked(self, spec: ReadSpec, seed: str, lower: int, upper: int, limit: int) -> Sequence[tuple[Any, int]]:
        """The same as `SystemReader.ranked`. Raises ProbeError."""
        return self._once(
            ("ranked", seed, lower, upper, limit), lambda: self._reader.ranked(spec, seed, lower, upper, limit)
        )

    def can_rank(self, spec: ReadSpec, seed: str) -> bool:
        """The same as `SystemReader.can_rank`. Raises ProbeError."""
        return self._once(("can_rank", seed), lambda: self._reader.can_rank(spec, seed))

    def highest_version(self, spec: ReadSpec) -> int | None:
        """The same as `SystemReader.highest_version`. Raises ProbeError."""
        return self._once("highest_version", lambda: self._reader.highest_version(spec))

    def _once(self, question: Hashable, ask: Callable[[], ResultT]) -> ResultT:
        if question not in self._answers:
            self._answers[question] = ask()
        answer: ResultT = self._answers[question]
        return answer

    def _listed(self, spec: ReadSpec, question: Hashable, ask: Callable[[ReadSpec], Reading]) -> Reading:
        wide = self._wide(spec)
        cache = self._of(wide)
        reading = cache.listings.get(question) or self._counted(ask(wide), wide)
        if reading.error is not None:
            return reading if wide.fields == spec.fields else self._counted(ask(spec), spec)
        cache.listings[question] = reading
        return replace(reading, rows=_narrowed(reading.rows, wide, spec))

    def _counted(self, reading: Reading, spec: ReadSpec) -> Reading:
        """The reading, with its records counted; keys alone do not count."""
        self.records += len(reading.rows) if not spec.keys_alone else 0
        return reading

    def _wide(self, spec: ReadSpec) -> ReadSpec:
        """The spec with the fields of all flows; unchanged if it reads no fields."""
        return spec if spec.keys_alone else replace(spec, fields=self._fields)

    def _of(self, wide: ReadSpec) -> _Known:
        return self._known.setdefault(wide.fields, _Known())

    def _keep(self, cache: _Known, reading: Reading, keys: Sequence[Key]) -> None:
        """Keep records that were read by key; a list of changes may show only some rows of a record."""
        fresh: dict[Key, list[Row]] = {key: [] for key in keys}
        for row in reading.rows:
            key = read_key(self._parse_key, row[KEY])
            if key is not None and key in fresh:
                fresh[key].append(row)
        cache.rows.update(fresh)
        cache.seen.update({key: reading.when(key) for key in fresh})


def _narrowed(rows: Iterable[Row], wide: ReadSpec, spec: ReadSpec) -> list[Row]:
    """Rows with only the fields of one flow, in its order."""
    if wide.fields == spec.fields:
        return list(rows)
    positions = [wide.fields.index(name) for name in spec.fields]
    return [(*row[:VALUES_FROM], *(row[VALUES][at] for at in positions)) for row in rows]
