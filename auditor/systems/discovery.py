"""A first map: what two systems have in common, with the evidence for each match, for a person to edit."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import permutations
from typing import Any

from auditor.systems.alike_names import alike, nearest, words_of
from auditor.systems.matches import Found, KeyFields, Match
from auditor.systems.pairing import ALIKE, HELD, FieldPairs, common_key_type, key_type
from auditor.systems.reader import SystemReader
from auditor.systems.samples import Samples, Writing, is_whole, label, parser
from checks.values import Parser, UnreadableError
from probes.contract import DESCRIBING_CALLS, KEY, VALUES_FROM, CollectionSchema, FieldSchema, ProbeError, Row
from probes.letter_case import CASELESS
from probes.phone_numbers import PHONE, NotPhoneNumberError, digits_of, e164, library, region_of

CANDIDATES = 3
"""Most collections of the other system that are tried for each one."""

CANDIDATES_OF_AN_API = 20
"""The same of a database for a collection of an API, whose names say less; the lookups cost the API nothing."""

FEW_FIELDS = 5
"""A collection with about so many fields resembles others by chance."""

UNIQUE = 0.9
"""From this share of different values on, a field identifies records, although some may be there twice."""

MANY = 5
"""Fewer values than this are no evidence that a field holds keys."""

PARTS = 4
"""Most fields of a key whose order is looked for."""

SHORTEST_NUMBER = 7
"""Digits of a phone number; fewer are rather a number or a code."""

REGIONS = 3
"""Most regions that are tried for phone numbers without a country code."""

_KEY = re.compile(r"(?i:(?:^|[_.])(?:id|key|no|number|code)(?:__c)?$)|(?<=[a-z0-9])(?:Id|ID|Key|No|Number|Code)$")


class NotReadError(ProbeError):
    """A system cannot be read; the text begins with its name."""

    def __init__(self, system: str, error: ProbeError) -> None:
        super().__init__(error.reason, error.message, hint=error.hint, retry_after_s=error.retry_after_s)
        self.args = (f"{system}: {error}",)


def discover(
    left: SystemReader,
    right: SystemReader,
    *,
    described: tuple[Sequence[CollectionSchema], Sequence[CollectionSchema]] | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Found:
    """Compare what two systems hold.

    Args:
        described: what `describe` has answered for both; None to ask them.
        tell: called with progress messages.

    Raises:
        NotReadError: a system has no catalog, or cannot be read.
    """
    mine, theirs = described or (describe(left, tell=tell), describe(right, tell=tell))
    ours, others = Samples(left), Samples(right)
    proposal = Found(systems=(left.name, right.name), stale_s=max(left.probe.delay_floor_s, right.stale_reads_s))
    taken: set[str] = set()
    candidates: list[Match] = []
    databases = [side.kind.lists_by_key for side in (ours, others)]
    resemblance = _resemblance if all(databases) else _likeness
    tried = CANDIDATES_OF_AN_API if databases == [False, True] else CANDIDATES
    for at, collection in enumerate(mine, 1):
        likeliest = sorted(theirs, key=lambda each: -resemblance(collection, each))[:tried]
        for other in likeliest:
            tell(f"comparing {collection.name} with {other.name} ({at} of {len(mine)})")
            match = _match(ours, others, collection, other)
            if match is not None and (match.common or _named_alike(match)):
                candidates.append(match)
    for match in sorted(candidates, key=lambda each: -each.score):
        if match.left.name not in taken and f"→{match.right.name}" not in taken:
            taken |= {match.left.name, f"→{match.right.name}"}
            proposal.matches.append(match)
    proposal.alone = {
        left.name: [each.name for each in mine if each.name not in taken],
        right.name: [each.name for each in theirs if f"→{each.name}" not in taken],
    }
    if not any(match.common for match in proposal.matches):
        sides = ((ours, mine), (others, theirs))
        proposal.empty = tuple(side.name for side, schemas in sides if side.holds_none(schemas))
    for side, schemas in ((ours, mine), (others, theirs)):
        alone = proposal.alone[side.name]
        if bare := [each.name for each in schemas if each.name in alone and side.is_bare(each)]:
            proposal.bare[side.name] = bare
        if side.unread:
            proposal.unread[side.name] = {name: str(error) for name, error in side.unread.items()}
    return proposal


def _named_alike(match: Match) -> bool:
    """Whether the names of two collections and of their keys are evidence enough where no record is in both."""
    keys = _alike_parts(match.left, match.keys[0], match.right, match.keys[1])
    return min(alike(match.left.name, match.right.name), keys) >= ALIKE


def describe(reader: SystemReader, *, tell: Callable[[str], None] = lambda _: None) -> Sequence[CollectionSchema]:
    """What a system holds, as it describes it.

    Raises:
        NotReadError: it has no catalog, or cannot be read.
    """
    tell(f"reading the schema of {reader.name}")
    try:
        return reader.call(reader.probe.collections, requests=DESCRIBING_CALLS)
    except ProbeError as error:
        raise NotReadError(reader.name, error) from None


def _resemblance(left: CollectionSchema, right: CollectionSchema) -> float:
    names = nearest([each.name for each in left.fields], [each.name for each in right.fields])
    return alike(left.name, right.name) + sum(names) / max(1, len(names))


def _likeness(left: CollectionSchema, right: CollectionSchema) -> float:
    """The resemblance where one has perhaps hundreds of fields: how many of the other's it has."""
    few, many = sorted(([each.name for each in side.fields] for side in (left, right)), key=len)
    return alike(left.name, right.name) + sum(nearest(few, many)) / (len(few) + FEW_FIELDS)


def _match(left: Samples, right: Samples, mine: CollectionSchema, theirs: CollectionSchema) -> Match | None:
    """Find the key by which most records of one are found in the other, and compare their values."""
    best: Match | None = None
    pairs = FieldPairs(mine, theirs)
    for key in _keys(left, mine):
        rows = left.page(mine, key)
        by_key = {label(row[KEY]): row for row in rows if is_whole(row[KEY])}
        if not _identifies(key, rows, by_key):
            continue
        values = [row[KEY] for row in by_key.values()]
        named = _counterparts(_keys(right, theirs), mine, key, theirs)
        for others in (named, _by_values(left, right, mine, theirs, key, values)):
            if best is not None and best.share >= HELD and others is not named:
                break
            for other in others:
                theirs_by_key = right.fetch(theirs, other, values)
                common = {each: (by_key[each], row) for each, row in theirs_by_key.items() if each in by_key}
                match = _paired(pairs, (mine, theirs), (key, other), common, len(by_key))
                if match.common < match.asked:
                    match = _in_other_writings(right, pairs, match, by_key)
                if best is None or _worth(match) > _worth(best):
                    best = match
    return best


def _worth(match: Match) -> tuple[float, int]:
    """How good a match is; of two that are as good, the one by keys that every system looks up."""
    return match.score, sum(each.unique for key in match.keys for each in key)


def _paired(
    pairs: FieldPairs,
    sides: tuple[CollectionSchema, CollectionSchema],
    keys: tuple[KeyFields, KeyFields],
    common: Mapping[Any, tuple[Row, Row]],
    asked: int,
) -> Match:
    fields = pairs.matched(keys, [*common.values()])
    matched = (
        {each.left.name for each in fields} | {each.name for each in keys[0]},
        {each.right.name for each in fields} | {each.name for each in keys[1]},
    )
    mine, theirs = sides
    return Match(
        left=mine,
        right=theirs,
        keys=keys,
        common=len(common),
        asked=asked,
        fields=fields,
        unmatched=(
            tuple(each.name for each in mine.fields if each.name not in matched[0]),
            tuple(each.name for each in theirs.fields if each.name not in matched[1]),
        ),
    )


def _in_other_writings(right: Samples, pairs: FieldPairs, match: Match, by_key: Mapping[str, Row]) -> Match:
    """The match by keys that each system writes in its own way, if it finds more records; otherwise the given one."""
    best = match
    for writing in _writings(right, match, [row[KEY] for row in by_key.values()]):
        parse = parser(writing, right.name)
        ours = _by_form(parse, by_key.values())
        theirs = right.fetch(match.right, match.keys[1], [row[KEY] for row in by_key.values()], writing)
        common = {form: (ours[form], row) for form, row in _by_form(parse, theirs.values()).items() if form in ours}
        if len(common) > best.common:
            found = _paired(pairs, (match.left, match.right), match.keys, common, len(ours))
            best = replace(found, as_written=match.common, key_types=writing.types, key_region=writing.region)
    return best


def _writings(right: Samples, match: Match, ours: Sequence[Any]) -> Iterator[Writing]:
    """The types under which the parts of a key may be the same although they are written differently."""
    types = tuple(common_key_type(one, other) for one, other in zip(*match.keys, strict=True))
    texts = _texts(*match.keys)
    if not texts:
        return
    yield Writing(types=tuple(CASELESS if at in texts else type_ for at, type_ in enumerate(types)))
    at = next((at for at in texts if _are_numbers([_part(each, at) for each in ours])), None)
    if at is None:
        return
    theirs = [row[KEY] for row in right.page(match.right, match.keys[1]) if is_whole(row[KEY])]
    for region in _regions([_part(each, at) for each in (*ours, *theirs)]):
        yield Writing(types=(*types[:at], PHONE, *types[at + 1 :]), region=region)


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


def _keys(side: Samples, collection: CollectionSchema) -> list[KeyFields]:
    """What may identify a record: fields that are unique or named like a key, and several fields together."""
    unique = [each for each in collection.fields if each.unique]
    named = [each for each in collection.fields if _KEY.search(each.name) and not side.kind.keys_are_unique]
    # An API hardly says what is unique; people are known by their e-mail address everywhere.
    mails = [] if side.kind.lists_by_key or side.kind.keys_are_unique else [*filter(_is_mail, collection.fields)]
    alone: list[KeyFields] = [(each,) for each in dict.fromkeys([*unique[:3], *mails[:1], *unique, *named[:2]])]
    together = tuple(each for name in collection.key for each in collection.fields if each.name == name)
    return [*([together] if len(together) > 1 else []), *alone[:4]]


def _is_mail(field: FieldSchema) -> bool:
    return words_of(field.name) in {"email", "email address"}


def _counterparts(
    keys: Sequence[KeyFields], mine: CollectionSchema, key: KeyFields, theirs: CollectionSchema
) -> list[KeyFields]:
    """What may hold the same key in the other collection, its parts in the same order; by likeness of names."""
    alike_keys = []
    for other in keys:
        if len(other) == len(key) <= PARTS:
            ordered = max(permutations(other), key=lambda parts: _alike_parts(mine, key, theirs, parts))
            alike_keys.append((_alike_parts(mine, key, theirs, ordered), ordered))
    return [other for _, other in sorted(alike_keys, key=lambda each: -each[0])]


def _alike_parts(mine: CollectionSchema, key: KeyFields, theirs: CollectionSchema, other: KeyFields) -> float:
    pairs = zip(key, other, strict=True)
    return sum(alike(_key_name(mine, one), _key_name(theirs, another)) for one, another in pairs) / len(key)


def _by_values(
    left: Samples,
    right: Samples,
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
    if len(key) > 1 or not key[0].unique or not theirs.fields or right.kind.keys_are_unique:
        return
    tried = {each[0].name for each in _keys(right, theirs) if len(each) == 1}
    rows = right.page(theirs, (theirs.fields[0],))
    for at, field in enumerate(theirs.fields):
        if field.name in tried or field.type not in {key[0].type, "string"}:
            continue
        values = {
            str(row[VALUES_FROM + at]): row[VALUES_FROM + at] for row in rows if is_whole(row[VALUES_FROM + at])
        }
        if len(values) < max(MANY, UNIQUE * len(rows)):
            continue
        raw = list(values.values())
        writings: list[Writing | None] = [None]
        if _texts(key, (field,)):
            writings.append(Writing(types=(CASELESS,)))
            if _are_numbers(raw):
                writings += [Writing(types=(PHONE,), region=region) for region in _regions([*raw, *ours])]
        if any(len(left.fetch(mine, key, raw, each)) >= HELD * len(values) for each in writings):
            yield (field,)


def _identifies(key: KeyFields, rows: Sequence[Row], by_key: Mapping[str, Row]) -> bool:
    """Whether hardly any records share a key."""
    return all(each.unique for each in key) or len(by_key) >= UNIQUE * len(rows)
