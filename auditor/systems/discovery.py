"""A first map: what two systems have in common, with the evidence for each match, for a person to edit."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

from auditor.systems.alike_names import alike, words_of
from auditor.systems.matches import NUMBERS, Compared, FieldMatch, Found, KeyFields, Match
from auditor.systems.reader import SystemReader
from checks.fields import FieldRule, parser_for
from checks.keys import composite_parser, key_parser
from checks.values import Parser, UnreadableError
from probes.composite_keys import joined
from probes.contract import (
    KEY,
    MISSING,
    VALUES_FROM,
    CollectionSchema,
    FieldSchema,
    Key,
    ProbeError,
    ReadSpec,
    Row,
)
from probes.letter_case import CASELESS
from probes.phone_numbers import PHONE, NotPhoneNumberError, digits_of, e164, library, region_of

SAMPLE = 200
"""Most records of one collection with compared values."""

CANDIDATES = 3
"""Most collections of the other system that are tried for each one."""

ALIKE = 0.55
"""Names less similar than this are only matched if their values agree."""

HELD = 0.5
"""From this share of equal values on, two fields are matched whatever their names."""

UNIQUE = 0.9
"""From this share of different values on, a field identifies records, although some may be there twice."""

MANY = 5
"""Fewer values than this are no evidence that a field holds keys."""

PARTS = 4
"""Most fields of a key whose order is looked for."""


CODED = frozenset({"string", "enum", "integer"})
"""Types of fields that may hold codes or labels."""

LABELS = 20
"""More distinct values than this are not codes."""

LABEL_LENGTH = 100
"""Longer text is prose, not a code or a label, and YAML accepts no key beyond 1,024 characters."""

CERTAIN = 0.9
"""From this share of its records on, the value found next to a code is its meaning."""

READINGS: tuple[Mapping[str, Any], ...] = (
    {"casefold": True},
    {"strip": "both"},
    {"casefold": True, "strip": "both"},
)
"""Text settings that are tried if values differ, the weakest first."""

COMMON = {
    frozenset({"time", "duration"}): "duration",
    frozenset({"bits", "integer"}): "integer",
    frozenset({"bits", "boolean"}): "boolean",
    frozenset({"integer", "boolean"}): "boolean",
    frozenset({"array", "json"}): "array",
    frozenset({"array", "set"}): "set",
    frozenset({"bytes", "uuid"}): "uuid",
    frozenset({"enum", "string"}): "enum",
}
"""The type under which two compatible types are compared."""

SHORTEST_NUMBER = 7
"""Digits of a phone number; fewer are rather a number or a code."""

REGIONS = 3
"""Most regions that are tried for phone numbers without a country code."""

_KEY = re.compile(r"(?i:(?:^|[_.])(?:id|key|no|number|code)$)|(?<=[a-z0-9])(?:Id|ID|Key|No|Number|Code)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Writing:
    """How the keys of two systems may be the same.

    Attributes:
        types: of each part.
        region: of phone numbers without a country code.
    """

    types: tuple[str, ...]
    region: str | None = None


class NotReadError(ProbeError):
    """A system cannot be read; the text begins with its name."""

    def __init__(self, system: str, error: ProbeError) -> None:
        super().__init__(error.reason, error.message, hint=error.hint, retry_after_s=error.retry_after_s)
        self.args = (f"{system}: {error}",)


def discover(left: SystemReader, right: SystemReader, *, tell: Any = lambda _: None) -> Found:
    """Compare what two systems hold.

    Args:
        tell: called with progress messages.

    Raises:
        NotReadError: a system has no catalog, or cannot be read.
    """
    mine, theirs = _schema(left, tell), _schema(right, tell)
    proposal = Found(systems=(left.name, right.name))
    taken: set[str] = set()
    candidates: list[Match] = []
    for collection in mine:
        nearest = sorted(theirs, key=lambda each: -_resemblance(collection, each))[:CANDIDATES]
        for other in nearest:
            tell(f"comparing {collection.name} with {other.name}")
            match = _match(left, right, collection, other)
            if match is not None and (match.common or alike(collection.name, other.name) >= ALIKE):
                candidates.append(match)
    for match in sorted(candidates, key=lambda each: -each.score):
        if match.left.name not in taken and f"→{match.right.name}" not in taken:
            taken |= {match.left.name, f"→{match.right.name}"}
            proposal.matches.append(match)
    proposal.alone = {
        left.name: [each.name for each in mine if each.name not in taken],
        right.name: [each.name for each in theirs if f"→{each.name}" not in taken],
    }
    return proposal


def _schema(reader: SystemReader, tell: Any) -> Sequence[CollectionSchema]:
    tell(f"reading the schema of {reader.name}")
    try:
        return reader.call(reader.probe.collections)
    except ProbeError as error:
        raise NotReadError(reader.name, error) from None


def _resemblance(left: CollectionSchema, right: CollectionSchema) -> float:
    names = [max((alike(one.name, other.name) for other in right.fields), default=0.0) for one in left.fields]
    return alike(left.name, right.name) + sum(names) / max(1, len(names))


def _match(left: SystemReader, right: SystemReader, mine: CollectionSchema, theirs: CollectionSchema) -> Match | None:
    """Find the key by which most records of one are found in the other, and compare their values."""
    best: Match | None = None
    for key in _keys(mine):
        rows = _page(left, mine, key)
        by_key = {_label(row[KEY]): row for row in rows if _is_whole(row[KEY])}
        if not _identifies(key, rows, by_key):
            continue
        values = [row[KEY] for row in by_key.values()]
        named = _counterparts(mine, key, theirs)
        for others in (named, _by_values(left, right, mine, theirs, key, values)):
            if best is not None and best.share >= HELD and others is not named:
                break
            for other in others:
                theirs_by_key = _fetch(right, theirs, other, values)
                common = {label: (by_key[label], row) for label, row in theirs_by_key.items() if label in by_key}
                match = _paired(mine, theirs, (key, other), common, len(by_key))
                if match.common < match.asked:
                    match = _in_other_writings(right, match, by_key)
                if best is None or match.score > best.score:
                    best = match
    return best


def _in_other_writings(right: SystemReader, match: Match, by_key: Mapping[str, Row]) -> Match:
    """The match by keys that each system writes in its own way, if it finds more records; otherwise the given one."""
    best = match
    for writing in _writings(right, match, [row[KEY] for row in by_key.values()]):
        parse = _parser(writing, right.name)
        ours = _by_form(parse, by_key.values())
        theirs = _fetch(right, match.right, match.keys[1], [row[KEY] for row in by_key.values()], writing)
        common = {form: (ours[form], row) for form, row in _by_form(parse, theirs.values()).items() if form in ours}
        if len(common) > best.common:
            found = _paired(match.left, match.right, match.keys, common, len(ours))
            best = replace(found, as_written=match.common, key_types=writing.types, key_region=writing.region)
    return best


def _writings(right: SystemReader, match: Match, ours: Sequence[Any]) -> Iterator[_Writing]:
    """The types under which the parts of a key may be the same although they are written differently."""
    types = tuple(common_key_type(one, other) for one, other in zip(*match.keys, strict=True))
    texts = _texts(*match.keys)
    if not texts:
        return
    yield _Writing(types=tuple(CASELESS if at in texts else type_ for at, type_ in enumerate(types)))
    at = next((at for at in texts if _are_numbers([_part(each, at) for each in ours])), None)
    if at is None:
        return
    theirs = [row[KEY] for row in _page(right, match.right, match.keys[1]) if _is_whole(row[KEY])]
    for region in _regions([_part(each, at) for each in (*ours, *theirs)]):
        yield _Writing(types=(*types[:at], PHONE, *types[at + 1 :]), region=region)


def _texts(key: KeyFields, other: KeyFields) -> list[int]:
    """The parts of two keys that are texts in both."""
    pairs = enumerate(zip(key, other, strict=True))
    return [at for at, (one, another) in pairs if key_type(one) == key_type(another) == "string"]


def _are_numbers(values: Sequence[Any]) -> bool:
    """Whether nearly all values have the signs of phone numbers."""
    written = [digits_of(each).removeprefix("+") for each in values if isinstance(each, str)]
    numbers = sum(each.isdecimal() and each.isascii() and len(each) >= SHORTEST_NUMBER for each in written)
    return len(values) >= MANY and numbers >= UNIQUE * len(values)


def _regions(values: Sequence[Any]) -> list[str | None]:
    """Where numbers without a country code may be: none of them, or where the others are, most of them first."""
    found: Counter[str] = Counter()
    for each in values:
        try:
            region = region_of(e164(str(each), None))
        except NotPhoneNumberError:
            continue
        found.update([region] if region else [])
    return [None, *(region for region, _ in found.most_common(REGIONS))] if library() is not None else []


def _part(raw: Any, at: int) -> Any:
    return raw[at] if isinstance(raw, tuple) else raw


def _by_form(parse: Parser, rows: Iterable[Row]) -> dict[Any, Row]:
    """Records by the one form of their keys, without those that have none."""
    found: dict[Any, Row] = {}
    for row in rows:
        with contextlib.suppress(UnreadableError):
            found.setdefault(parse(row[KEY]), row)
    return found


def _key_name(collection: CollectionSchema, key: FieldSchema) -> str:
    """`id` of customers is the customer's id."""
    return key.name if len(words_of(key.name)) > 2 else f"{words_of(collection.name)} {key.name}"


def _keys(collection: CollectionSchema) -> list[KeyFields]:
    """What may identify a record: fields that are unique or named like a key, and several fields together."""
    unique = [each for each in collection.fields if each.unique]
    named = [each for each in collection.fields if _KEY.search(each.name)]
    alone: list[KeyFields] = [(each,) for each in dict.fromkeys([*unique, *named[:2]])]
    together = tuple(each for name in collection.key for each in collection.fields if each.name == name)
    return [*([together] if len(together) > 1 else []), *alone[:4]]


def _counterparts(mine: CollectionSchema, key: KeyFields, theirs: CollectionSchema) -> list[KeyFields]:
    """What may hold the same key in the other collection, its parts in the same order; by likeness of names."""
    alike_keys = []
    for other in _keys(theirs):
        if len(other) == len(key) <= PARTS:
            ordered = max(permutations(other), key=lambda parts: _alike_parts(mine, key, theirs, parts))
            alike_keys.append((_alike_parts(mine, key, theirs, ordered), ordered))
    return [other for _, other in sorted(alike_keys, key=lambda each: -each[0])]


def _alike_parts(mine: CollectionSchema, key: KeyFields, theirs: CollectionSchema, other: KeyFields) -> float:
    pairs = zip(key, other, strict=True)
    return sum(alike(_key_name(mine, one), _key_name(theirs, another)) for one, another in pairs) / len(key)


def _by_values(
    left: SystemReader,
    right: SystemReader,
    mine: CollectionSchema,
    theirs: CollectionSchema,
    key: KeyFields,
    ours: Sequence[Any],
) -> Iterator[KeyFields]:
    """Further fields of the other collection whose values are keys of this one, whatever their names.

    The values of a field's first records are looked up here, by a key that is unique.

    Args:
        ours: values of the key here.
    """
    if len(key) > 1 or not key[0].unique or not theirs.fields:
        return
    tried = {each[0].name for each in _keys(theirs) if len(each) == 1}
    rows = _page(right, theirs, (theirs.fields[0],))
    for at, field in enumerate(theirs.fields):
        if field.name in tried or field.type not in {key[0].type, "string"}:
            continue
        values = {
            str(row[VALUES_FROM + at]): row[VALUES_FROM + at] for row in rows if _is_whole(row[VALUES_FROM + at])
        }
        if len(values) < max(MANY, UNIQUE * len(rows)):
            continue
        raw = list(values.values())
        writings: list[_Writing | None] = [None]
        if _texts(key, (field,)):
            writings.append(_Writing(types=(CASELESS,)))
            if _are_numbers(raw):
                writings += [_Writing(types=(PHONE,), region=region) for region in _regions([*raw, *ours])]
        if any(len(_fetch(left, mine, key, raw, each)) >= HELD * len(values) for each in writings):
            yield (field,)


def _identifies(key: KeyFields, rows: Sequence[Row], by_key: Mapping[str, Row]) -> bool:
    """Whether hardly any records share a key."""
    return all(each.unique for each in key) or len(by_key) >= UNIQUE * len(rows)


def _is_whole(raw: Any) -> bool:
    """Whether a record has a key, with all its parts."""
    return all(part is not None and part is not MISSING for part in (raw if isinstance(raw, tuple) else (raw,)))


def _label(raw: Any) -> str:
    """A key as a text that the other system's key shares."""
    return joined(map(str, raw)) if isinstance(raw, tuple) else str(raw)


def _spec(collection: CollectionSchema, key: KeyFields, writing: _Writing | None = None) -> ReadSpec:
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


def key_type(key: FieldSchema) -> str:
    """The key type of this field."""
    return key.type if key.type in {"integer", "uuid"} else "string"


def common_key_type(one: FieldSchema, other: FieldSchema) -> str:
    """The type under which two fields hold one part of a key."""
    return key_type(one) if key_type(one) == key_type(other) else "string"


def _parser(writing: _Writing, system: str) -> Parser:
    if len(writing.types) == 1:
        return key_parser(writing.types[0], system, region=writing.region)
    return composite_parser(writing.types, system, region=writing.region)


def _page(reader: SystemReader, collection: CollectionSchema, key: KeyFields) -> Sequence[Row]:
    reading = reader.page(_spec(collection, key), None, SAMPLE)
    return [] if reading.error is not None else reading.rows


def _fetch(
    reader: SystemReader,
    collection: CollectionSchema,
    key: KeyFields,
    values: Sequence[Any],
    writing: _Writing | None = None,
) -> dict[str, Row]:
    parse = _parser(writing or _Writing(types=tuple(map(key_type, key))), reader.name)
    keys: list[Key] = []
    for value in values:
        try:
            keys.append(parse(value))
        except UnreadableError:
            continue
    if not keys:
        return {}
    reading = reader.fetch(_spec(collection, key, writing), keys)
    return {} if reading.error is not None else {_label(row[KEY]): row for row in reading.rows}


def _paired(
    mine: CollectionSchema,
    theirs: CollectionSchema,
    keys: tuple[KeyFields, KeyFields],
    common: dict[str, tuple[Row, Row]],
    asked: int,
) -> Match:
    pairs = []
    for at, one in enumerate(mine.fields):
        for to, other in enumerate(theirs.fields):
            if one in keys[0] or other in keys[1]:
                continue
            near = alike(one.name, other.name)
            value_pairs = [(left[VALUES_FROM + at], right[VALUES_FROM + to]) for left, right in common.values()]
            compared = _compared(value_pairs, one, other, coded=near >= ALIKE)
            if near >= ALIKE or (compared.of >= 5 and compared.share >= HELD):
                pairs.append(FieldMatch(left=one, right=other, alike=near, compared=compared))
    fields: list[FieldMatch] = []
    for pair in sorted(pairs, key=lambda each: -(each.alike + each.compared.share)):
        if all(pair.left != taken.left and pair.right != taken.right for taken in fields):
            fields.append(pair)
    order = [each.name for each in mine.fields]
    fields.sort(key=lambda each: order.index(each.left.name))
    matched = (
        {each.left.name for each in fields} | {each.name for each in keys[0]},
        {each.right.name for each in fields} | {each.name for each in keys[1]},
    )
    return Match(
        left=mine,
        right=theirs,
        keys=keys,
        common=len(common),
        asked=asked,
        fields=tuple(fields),
        unmatched=(
            tuple(each.name for each in mine.fields if each.name not in matched[0]),
            tuple(each.name for each in theirs.fields if each.name not in matched[1]),
        ),
    )


def _compared(pairs: Sequence[tuple[Any, Any]], left: FieldSchema, right: FieldSchema, *, coded: bool) -> Compared:
    """How many pairs of present values mean the same, and with which settings of a field.

    Args:
        coded: whether one side may have codes for the other side's labels.
    """
    there = [
        (one, other)
        for one, other in pairs
        if one is not None and other is not None and one is not MISSING and other is not MISSING
    ]
    type_ = common_type(left, right)
    plain, distinct = _equal(there, {"type": type_})
    compared = Compared(equal=plain, plain=plain, of=len(there), constant=distinct < 2)
    if compared.constant or compared.share >= HELD:
        return compared
    for words in READINGS if type_ == "string" else ():
        equal, _ = _equal(there, {"type": type_, **words})
        if equal / compared.of >= HELD:
            return replace(compared, equal=equal, words=words)
    if coded and {left.type, right.type} & {"string", "enum"} and {left.type, right.type} <= CODED:
        side = 0 if left.type == "integer" else 1
        labels = _labels([pair if side else (pair[1], pair[0]) for pair in there])
        if labels:
            meant = sum(
                labels.get(str(pair[side])) == str(pair[1 - side]) for pair in there if labels.get(str(pair[side]))
            )
            return replace(compared, equal=meant, labels=labels, coded=side)
    return compared


def _equal(pairs: Sequence[tuple[Any, Any]], rule: Mapping[str, Any]) -> tuple[int, int]:
    """How many pairs mean the same under a rule, and how many values the left has."""
    parse = parser_for(FieldRule.model_validate(rule), "", "UTC")
    values = []
    for one, other in pairs:
        try:
            values.append((parse(one), parse(other)))
        except (UnreadableError, ValueError, TypeError, ArithmeticError):
            values.append((one, None))
    return sum(one == other for one, other in values), len({repr(one) for one, _ in values})


def _labels(pairs: Sequence[tuple[Any, Any]]) -> dict[str, str | None]:
    """The meaning of each code, from the values next to it; empty if there are too many for codes."""
    beside: dict[str, Counter[str]] = {}
    for label, code in pairs:
        beside.setdefault(str(code), Counter())[str(label)] += 1
    labels = {label for counts in beside.values() for label in counts}
    if max(len(beside), len(labels)) > LABELS or 3 * max(len(beside), len(labels)) > len(pairs):
        return {}
    if any(len(each) > LABEL_LENGTH for each in (*beside, *labels)):
        return {}
    meant: dict[str, str | None] = {}
    for code in sorted(beside):
        (label, count), *_ = beside[code].most_common(1)
        meant[code] = label if count >= CERTAIN * beside[code].total() else None
    taken = Counter(meant.values())
    return {code: label if label is not None and taken[label] == 1 else None for code, label in meant.items()}


def common_type(left: FieldSchema, right: FieldSchema) -> str:
    """A canonical type that both can be read as."""
    if left.type == right.type:
        return left.type
    alike_types = COMMON.get(frozenset({left.type, right.type}))
    if alike_types is not None:
        return alike_types
    if left.type in NUMBERS and right.type in NUMBERS:
        return max(left.type, right.type, key=NUMBERS.index)
    # A database without such types holds instants and numbers as text.
    return left.type if right.type == "string" else right.type if left.type == "string" else "string"
