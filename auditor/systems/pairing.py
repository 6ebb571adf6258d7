"""Which fields of two collections hold the same, by their names and by the values of records that are in both.

Each field's values are read once under each rule, not once for every field of the other collection: of two catalogues
with hundreds of fields there are tens of thousands of pairs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import compress
from operator import eq
from typing import Any

from auditor.systems.alike_names import alike, alike_from
from auditor.systems.matches import ENOUGH, NUMBERS, Compared, FieldMatch, KeyFields
from checks.fields import FieldRule, parser_for
from checks.values import UnreadableError
from probes.contract import MISSING, VALUES_FROM, CollectionSchema, FieldSchema, Row

ALIKE = 0.55
"""Names less similar than this are only matched if their values agree."""

HELD = 0.5
"""From this share of equal values on, two fields are matched whatever their names."""

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


class FieldPairs:
    """The fields of two collections, to be paired for one key after another."""

    def __init__(self, mine: CollectionSchema, theirs: CollectionSchema) -> None:
        self._mine, self._theirs = mine, theirs
        names = [[each.name for each in side.fields] for side in (mine, theirs)]
        self._near = {(at, to): near for at, to, near in alike_from(ALIKE, *names)}

    def matched(self, keys: tuple[KeyFields, KeyFields], common: Sequence[tuple[Row, Row]]) -> tuple[FieldMatch, ...]:
        """The fields that are probably the same, in the order of the left.

        Args:
            common: the records that both have, by these keys.
        """
        mine, theirs = self._mine.fields, self._theirs.fields
        ours = [_Column([left[VALUES_FROM + at] for left, _ in common]) for at in range(len(mine))]
        others = [_Column([right[VALUES_FROM + to] for _, right in common]) for to in range(len(theirs))]
        pairs: list[tuple[int, int, FieldMatch]] = []
        for at, one in enumerate(mine):
            if one in keys[0]:
                continue
            for to, other in enumerate(theirs):
                near = self._near.get((at, to), 0.0)
                if not near and (ours[at].there & others[to].there).bit_count() < ENOUGH:
                    continue
                if other in keys[1]:
                    continue
                found = _compared(one, other, ours[at], others[to], coded=near >= ALIKE)
                if near < 1.0 and not found.equal and len(common) >= ENOUGH:
                    if one.unique != other.unique:
                        continue  # an id, and a reference to something else
                    if not found.of and one.type != other.type:
                        continue  # nothing but a part of the name speaks for it
                if near or (found.of >= ENOUGH and found.share >= HELD):
                    near = near or alike(one.name, other.name)
                    pairs.append((at, to, FieldMatch(left=one, right=other, alike=near, compared=found)))
        fields: dict[int, FieldMatch] = {}
        taken: set[int] = set()
        for at, to, pair in sorted(pairs, key=lambda each: -(each[2].alike + each[2].compared.share)):
            if at not in fields and to not in taken:
                fields[at] = pair
                taken.add(to)
        return tuple(fields[at] for at in sorted(fields))


class _Absent:
    """Stands for a value that is not there or cannot be read: equal to nothing, itself of the other side included."""


class _Column:
    """The values of one field in some records, read under a rule when it is asked for.

    Attributes:
        raw: as they were read.
        there: the places of those that are there, as ones.
    """

    def __init__(self, raw: Sequence[Any]) -> None:
        self.raw = raw
        self.present = [each is not None and each is not MISSING for each in raw]
        self.there = sum(1 << at for at in compress(range(len(raw)), self.present))
        self._read: dict[str, tuple[list[Any], list[bool]]] = {}

    def read(self, rule: Mapping[str, Any]) -> tuple[list[Any], list[bool]]:
        """The values, and which of them can be read under this rule."""
        name = repr(sorted(rule.items()))
        if name not in self._read:
            parse = parser_for(FieldRule.model_validate(rule), "", "UTC")
            values: list[Any] = []
            good: list[bool] = []
            for each, there in zip(self.raw, self.present, strict=True):
                value: Any = _Absent()
                readable = False
                if there:
                    try:
                        value = parse(each)
                        readable = True
                    except (UnreadableError, ValueError, TypeError, ArithmeticError):
                        pass
                values.append(value)
                good.append(readable)
            self._read[name] = values, good
        return self._read[name]


def compared(pairs: Sequence[tuple[Any, Any]], left: FieldSchema, right: FieldSchema, *, coded: bool) -> Compared:
    """How many pairs of present values mean the same, and with which settings of a field.

    Args:
        coded: whether one side may have codes for the other side's labels.
    """
    return _compared(left, right, _Column([one for one, _ in pairs]), _Column([to for _, to in pairs]), coded=coded)


def _compared(left: FieldSchema, right: FieldSchema, one: _Column, other: _Column, *, coded: bool) -> Compared:
    of = (one.there & other.there).bit_count()
    type_ = common_type(left, right)
    plain = _equal(one, other, {"type": type_})
    found = Compared(equal=plain, plain=plain, of=of, constant=_is_constant(one, other, {"type": type_}))
    if found.constant or found.share >= HELD:
        return found
    for words in READINGS if type_ == "string" else ():
        equal = _equal(one, other, {"type": type_, **words})
        if equal / of >= HELD:
            return replace(found, equal=equal, words=words)
    if coded and {left.type, right.type} & {"string", "enum"} and {left.type, right.type} <= CODED:
        side = 0 if left.type == "integer" else 1
        there = [
            pair
            for pair, *both in zip(zip(one.raw, other.raw, strict=True), one.present, other.present, strict=True)
            if all(both)
        ]
        labels = labels_of([pair if side else (pair[1], pair[0]) for pair in there])
        if labels:
            meant = sum(
                labels.get(str(pair[side])) == str(pair[1 - side]) for pair in there if labels.get(str(pair[side]))
            )
            return replace(found, equal=meant, labels=labels, coded=side)
    return found


def _equal(one: _Column, other: _Column, rule: Mapping[str, Any]) -> int:
    """How many values mean the same under a rule."""
    return sum(map(eq, one.read(rule)[0], other.read(rule)[0]))


def _is_constant(one: _Column, other: _Column, rule: Mapping[str, Any]) -> bool:
    """Whether the left has one value in all records that both hold, as far as both can be read."""
    (ours, good), (_, theirs_good) = one.read(rule), other.read(rule)
    first: str | None = None
    for at, both in enumerate(zip(one.present, other.present, strict=True)):
        if all(both):
            value = repr(ours[at] if good[at] and theirs_good[at] else one.raw[at])
            if first is not None and value != first:
                return False
            first = value
    return True


def labels_of(pairs: Sequence[tuple[Any, Any]]) -> dict[str, str | None]:
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


KEYS = frozenset({"integer", "uuid", "salesforce_id"})
"""Types of keys that are not read as text."""


def key_type(key: FieldSchema) -> str:
    """The key type of this field."""
    return key.type if key.type in KEYS else "string"


def common_key_type(one: FieldSchema, other: FieldSchema) -> str:
    """The type under which two fields hold one part of a key."""
    types = {key_type(one), key_type(other)}
    if types == {"salesforce_id", "string"}:
        return "salesforce_id"
    return types.pop() if len(types) == 1 else "string"
