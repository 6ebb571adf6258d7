"""Reading a system whose records have keys of their own: a crosswalk pairs them with the keys of the data type.

Readers of such a system give and get keys of the data type. Pairs are read in both directions: a key whose record is
claimed by another key as well is a duplicate, and never merged with it. For a key that has lost its pair, the pair
that this process read last still leads to its record, unless another key has that record now.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from checks.sides import read_key
from checks.values import Parser
from probes.contract import KEY, MISSING, VALUES, Key, Pairs, Reading, ReadSpec, Row

REMEMBERED = 20_000
"""Most keys of one crosswalk whose last pair is kept in memory."""

Fetch = Callable[[ReadSpec, Sequence[Key]], Reading]


class PairReader(Protocol):
    """Reads the system that holds the pairs: a `SystemReader`."""

    def fetch(self, spec: ReadSpec, keys: Sequence[Key]) -> Reading:
        """See `SystemReader.fetch`."""


@dataclass(frozen=True, slots=True)
class _Found:
    """Pairs as read in one direction.

    Attributes:
        of: by key on one side, its keys on the other.
        unreadable: keys of which the pairs cannot be read, and why.
    """

    reading: Reading
    of: dict[Key, list[Key]] = field(default_factory=dict)
    unreadable: dict[Key, str] = field(default_factory=dict)


class Crosswalk:
    """The pairs of one data type's keys and those of one system.

    Args:
        system: the name of the system with keys of its own.
        reader: of the system that holds the pairs.
    """

    def __init__(self, system: str, pairs: Pairs, reader: PairReader) -> None:
        self._system = system
        self._pairs = pairs
        self._reader = reader
        self._last = _LastPairs()

    def fetch(self, spec: ReadSpec, keys: Sequence[Key], fetch: Fetch) -> Reading:
        """Read records by keys of the data type; see `SystemReader.fetch`.

        Args:
            fetch: reads records by the system's own keys.
        """
        pairs = self._pairs
        forth = self._read(pairs.by_key, keys, pairs.parse_key, pairs.parse_own_key)
        if forth.reading.error is not None:
            return forth.reading
        lost = {
            key: owns
            for key in keys
            if key not in forth.of and key not in forth.unreadable and (owns := self._last.owns(key))
        }
        led_to = list(dict.fromkeys(own for several in (*forth.of.values(), *lost.values()) for own in several))
        back = self._read(pairs.by_own_key, led_to, pairs.parse_own_key, pairs.parse_key)
        if back.reading.error is not None:
            return back.reading
        claims: dict[Key, list[Key]] = {}
        for key, several in forth.of.items():
            for own in several:
                claims.setdefault(own, []).append(key)
        for key, last in lost.items():
            for own in last:
                if not back.of.get(own) and own not in back.unreadable:
                    claims.setdefault(own, []).append(key)
        reading = fetch(replace(spec, pairs=None), list(claims))
        self._last.keep(forth.of)
        wanted = set(keys)
        unreadable = {key: why for key, why in forth.unreadable.items() if key in wanted}
        for own, why in {**back.unreadable, **reading.unreadable}.items():
            unreadable |= dict.fromkeys(claims.get(own, ()), why)
        instants = {key: forth.reading.when(key) for key in keys if key not in unreadable}
        for own, claiming in claims.items():
            for key in claiming:
                if key in instants:
                    sent_at, received_at = instants[key]
                    instants[key] = sent_at, max(received_at, reading.when(own)[1])
        rows = self._renamed(reading.rows, claims)
        return replace(
            reading,
            sent_at=min(forth.reading.sent_at, reading.sent_at),
            rows=rows,
            unreadable=unreadable,
            instants=instants,
            doubled=self._doubled(forth, back, unreadable),
            unpaired={
                key: f"{pairs.called} pairs it with no record of {self._system}"
                for key in keys
                if key not in forth.of and key not in unreadable
            },
            traced=frozenset(lost),
            own_keys={**forth.of, **lost},
        )

    def listed(self, reading: Reading) -> Reading:
        """What the system has listed, by keys of the data type; a row that no pair leads to has no key.

        Records listed as deleted are named by the last pair that was read, if theirs is deleted as well.
        """
        if reading.error is not None:
            return replace(reading, rows=())
        parse = self._pairs.parse_own_key
        owns = [read_key(parse, row[KEY]) for row in reading.rows]
        absent = [own for raw in reading.absent if (own := read_key(parse, raw)) is not None]
        there = list(dict.fromkeys([*(own for own in owns if own is not None), *absent]))
        back = self._read(self._pairs.by_own_key, there, parse, self._pairs.parse_key)
        if back.reading.error is not None:
            return replace(back.reading, rows=(), next=reading.next, truncated=True, absent=())
        rows: list[Row] = []
        for own, row in zip(owns, reading.rows, strict=True):
            keys = () if own is None else self._keys_of(own, back)
            rows += [(key, *row[1:]) for key in keys or (None,)]
        gone = [key for own in absent for key in self._keys_of(own, back)]
        self._last.meet(back.of)
        return replace(reading, rows=rows, absent=gone)

    def _keys_of(self, own: Key, back: _Found) -> Sequence[Key]:
        """The keys of a record, by its pairs or by the last one that was read."""
        if own in back.unreadable:
            return ()
        return back.of.get(own) or self._last.keys(own)

    def _renamed(self, rows: Sequence[Row], claims: Mapping[Key, Sequence[Key]]) -> list[Row]:
        """Rows with own keys as rows of the keys that claim them."""
        owns = ((read_key(self._pairs.parse_own_key, row[KEY]), row) for row in rows)
        return [(key, *row[1:]) for own, row in owns if own is not None for key in claims.get(own, ())]

    def _doubled(self, forth: _Found, back: _Found, unreadable: Mapping[Key, str]) -> dict[Key, str]:
        """Keys whose record another key claims as well, and that in words."""
        why = f"{self._pairs.called} pairs its record of {self._system} with another key as well"
        return {
            key: why
            for key, owns in forth.of.items()
            if key not in unreadable and any(other != key for own in owns for other in back.of.get(own, ()))
        }

    def _read(self, spec: ReadSpec, keys: Sequence[Key], parse: Parser, parse_other: Parser) -> _Found:
        """The pairs of these keys; those of a key are left out if one of them cannot be read."""
        reading = self._reader.fetch(spec, keys)
        found = _Found(reading, unreadable=dict(reading.unreadable))
        for row in reading.rows if reading.error is None else ():
            key, values = read_key(parse, row[KEY]), tuple(row[VALUES])
            if key is None or all(each is None or each is MISSING or each == "" for each in values):
                continue  # the record stores no key of the other system
            other = read_key(parse_other, values[0] if len(values) == 1 else values)
            if other is None:
                found.unreadable[key] = f"{self._pairs.called} pairs it with a key that cannot be read"
            elif other not in found.of.setdefault(key, []):
                found.of[key].append(other)
        for key in found.unreadable:
            found.of.pop(key, None)
        return found


class _LastPairs:
    """The pairs read last, in both directions; several threads use them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owns: OrderedDict[Key, tuple[Key, ...]] = OrderedDict()
        self._key: dict[Key, Key] = {}

    def owns(self, key: Key) -> tuple[Key, ...]:
        """The own keys that a key was paired with."""
        with self._lock:
            return self._owns.get(key, ())

    def keys(self, own: Key) -> tuple[Key, ...]:
        """The key that an own key was paired with."""
        with self._lock:
            return (self._key[own],) if own in self._key else ()

    def keep(self, owns_of: Mapping[Key, Sequence[Key]]) -> None:
        """Remember all pairs of some keys."""
        with self._lock:
            for key, owns in owns_of.items():
                self._owns[key] = tuple(owns)
                self._owns.move_to_end(key)
                self._key.update(dict.fromkeys(owns, key))
            while len(self._owns) > REMEMBERED:
                key, owns = self._owns.popitem(last=False)
                for own in owns:
                    if self._key.get(own) == key:
                        del self._key[own]

    def meet(self, keys_of: Mapping[Key, Sequence[Key]]) -> None:
        """Remember the pairs of some own keys."""
        owns_of: dict[Key, list[Key]] = {}
        for own, keys in keys_of.items():
            for key in keys:
                owns_of.setdefault(key, []).append(own)
        self.keep(owns_of)
