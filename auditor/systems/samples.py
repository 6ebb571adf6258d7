"""What a discovery reads of one system: the first records of each collection, and records by keys.

An API may take a call for each record, and allows only so many. So a collection is listed once where its list does
not depend on the key, and keys that no record can have are not looked up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from auditor.systems.matches import KeyFields
from auditor.systems.pairing import key_type
from auditor.systems.reader import SystemReader
from checks.keys import composite_parser, key_parser
from checks.values import Parser, UnreadableError
from probes.composite_keys import joined
from probes.contract import KEY, MISSING, VALUES_FROM, CollectionSchema, Key, ProbeError, ReadSpec, Row
from probes.phone_numbers import PHONE

SAMPLE = 200
"""Most records of one collection with compared values."""

TRIED = 8
"""Keys that are looked up first where each takes a call: if the system has none of them, the others are not."""

MANY_BATCHES = 4
"""From so many batches on, looking all keys up is worth a try with a few."""

LOOKED_INTO = 10
"""Most collections that are listed to know whether a system holds any record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """How the keys of two systems may be the same.

    Attributes:
        types: of each part.
        region: of phone numbers without a country code.
    """

    types: tuple[str, ...]
    region: str | None = None


class Samples:
    """One system.

    Attributes:
        name: of the system.
        unread: by collection, why its records cannot be listed.
    """

    def __init__(self, reader: SystemReader) -> None:
        self._reader = reader
        self.name = reader.name
        self.kind = reader.kind
        self.unread: dict[str, ProbeError] = {}
        self._pages: dict[tuple[str, ...], Sequence[Row]] = {}

    def page(self, collection: CollectionSchema, key: KeyFields) -> Sequence[Row]:
        """The first records by this key; none if they cannot be read."""
        if self.kind.lists_by_key or not collection.fields:
            return self._page(collection, key)
        first = next((each for each in collection.fields if each.unique), collection.fields[0])
        at = [VALUES_FROM + collection.fields.index(each) for each in key]
        return [
            (row[at[0]] if len(at) == 1 else tuple(row[place] for place in at), *row[1:])
            for row in self._page(collection, (first,))
        ]

    def _page(self, collection: CollectionSchema, key: KeyFields) -> Sequence[Row]:
        name = (collection.name, *(each.name for each in key))
        if name not in self._pages:
            reading = self._reader.page(_spec(collection, key), None, SAMPLE)
            if reading.error is not None:
                self.unread.setdefault(collection.name, reading.error)
            self._pages[name] = [] if reading.error is not None else reading.rows
        return self._pages[name]

    def fetch(
        self, collection: CollectionSchema, key: KeyFields, values: Sequence[Any], writing: Writing | None = None
    ) -> dict[str, Row]:
        """The records with these keys, by label; those that can be read."""
        parse = parser(writing or Writing(types=tuple(map(key_type, key))), self.name)
        keys: list[Key] = []
        for value in values:
            try:
                keys.append(parse(value))
            except UnreadableError:
                continue
        spec = _spec(collection, key, writing)
        batches = len(keys) / max(1, self._reader.probe.batch_limit(spec))
        walks = not self.kind.reads_by_any_field and not all(each.unique for each in key)
        if not keys or ((batches >= MANY_BATCHES or walks) and not self._may_hold(collection, key, values, writing)):
            return {}
        if batches >= MANY_BATCHES and not self._fetched(spec, keys[:: -(-len(keys) // TRIED)]):
            return {}
        return {label(row[KEY]): row for row in self._fetched(spec, keys)}

    def _fetched(self, spec: ReadSpec, keys: Sequence[Key]) -> Sequence[Row]:
        reading = self._reader.fetch(spec, keys)
        return [] if reading.error is not None else reading.rows

    def _may_hold(
        self, collection: CollectionSchema, key: KeyFields, values: Sequence[Any], writing: Writing | None
    ) -> bool:
        """Whether these keys look like those of the first records."""
        theirs = [row[KEY] for row in self.page(collection, key) if is_whole(row[KEY])]
        if writing is not None and PHONE in writing.types:
            return bool(theirs)
        return bool(theirs) and _look_alike(values, theirs)

    def is_bare(self, collection: CollectionSchema) -> bool:
        """Whether the collection was looked into, and holds no record that may be read."""
        pages = [rows for (name, *_), rows in self._pages.items() if name == collection.name]
        return bool(pages) and not any(pages) and collection.name not in self.unread

    def holds_none(self, collections: Sequence[CollectionSchema]) -> bool:
        """Whether no record was found in the first collections."""
        some = [each for each in collections if each.fields][:LOOKED_INTO]
        return not any(self._pages.values()) and not any(self.page(each, (each.fields[0],)) for each in some)


def _look_alike(ours: Iterable[Any], theirs: Iterable[Any]) -> bool:
    """Whether no sign is in all values of one side and in none of the other: `@`, or any letter."""
    signs = [[_signs(each) for each in side] for side in (ours, theirs)]
    always = [frozenset.intersection(*side) if side else frozenset() for side in signs]
    ever = [frozenset.union(*side) if side else frozenset() for side in signs]
    return always[0] <= ever[1] and always[1] <= ever[0]


def _signs(value: Any) -> frozenset[str]:
    """The signs of a text; one stands for all digits, one for all letters."""
    return frozenset("0" if sign.isdigit() else "a" if sign.isalpha() else sign for sign in label(value))


def is_whole(raw: Any) -> bool:
    """Whether a record has a key, with all its parts."""
    return all(part is not None and part is not MISSING for part in (raw if isinstance(raw, tuple) else (raw,)))


def label(raw: Any) -> str:
    """A key as a text that the other system's key shares."""
    return joined(map(str, raw)) if isinstance(raw, tuple) else str(raw)


def parser(writing: Writing, system: str) -> Parser:
    """Reads keys that are written like this."""
    if len(writing.types) == 1:
        return key_parser(writing.types[0], system, region=writing.region)
    return composite_parser(writing.types, system, region=writing.region)


def _spec(collection: CollectionSchema, key: KeyFields, writing: Writing | None = None) -> ReadSpec:
    types = (key_type(key[0]),) if writing is None else writing.types
    return ReadSpec(
        data_type=collection.name,
        collection=collection.name,
        key=key[0].name,
        key_parts=tuple(each.name for each in key) if len(key) > 1 else (),
        changed_at=None,
        key_type=types[0] if len(key) == 1 else "string",
        part_types=types if len(key) > 1 and writing is not None else (),
        key_region=None if writing is None else writing.region,
        fields=tuple(each.name for each in collection.fields),
    )
