"""Fields are paired by name and by value, however many there are, as comparing each with each would pair them."""

from __future__ import annotations

import random
from typing import Any

import pytest

from auditor.systems.alike_names import alike
from auditor.systems.matches import ENOUGH
from auditor.systems.pairing import ALIKE, HELD, FieldPairs, common_key_type, compared
from probes.contract import MISSING, CollectionSchema, FieldSchema, Row

WORDS = ("first", "last", "mail", "city", "zip", "total", "code", "state")
TYPES = ("string", "integer", "decimal", "boolean", "enum", "timestamp")


def field(name: str, type_: str = "string") -> FieldSchema:
    return FieldSchema(name=name, type=type_, described=type_)


def collection(seed: random.Random, count: int) -> CollectionSchema:
    names = {"_".join(seed.sample(WORDS, 2)) for _ in range(count)}
    return CollectionSchema(name="c", fields=tuple(field(each, seed.choice(TYPES)) for each in sorted(names)))


def value(seed: random.Random) -> Any:
    """Something of a small range, so that fields agree by chance, or nothing."""
    found = [
        None,
        MISSING,
        "A",
        "a",
        " a",
        1,
        0,
        "1",
        1.5,
        "1.50",
        True,
        "true",
        "2026-01-02",
        "2026-01-02T00:00:00Z",
    ]
    return seed.choice([*found, "x" * seed.randrange(4), []])


def each_with_each(mine: CollectionSchema, theirs: CollectionSchema, common: list[tuple[Row, Row]]) -> list[Any]:
    """The pairs, found in the plain way."""
    pairs = []
    for at, one in enumerate(mine.fields):
        for to, other in enumerate(theirs.fields):
            near = alike(one.name, other.name)
            values = [(left[2 + at], right[2 + to]) for left, right in common]
            found = compared(values, one, other, coded=near >= ALIKE)
            if near < 1.0 and not found.of and one.type != other.type and len(common) >= ENOUGH:
                continue
            if near >= ALIKE or (found.of >= ENOUGH and found.share >= HELD):
                pairs.append((one, other, near, found))
    chosen: list[Any] = []
    for pair in sorted(pairs, key=lambda each: -(each[2] + each[3].share)):
        if all(pair[0] != one and pair[1] != other for one, other, *_ in chosen):
            chosen.append(pair)
    return sorted(chosen, key=lambda each: mine.fields.index(each[0]))


@pytest.mark.parametrize("seeded", range(12))
def test_fields_are_paired_as_by_comparing_each_with_each(seeded: int) -> None:
    seed = random.Random(seeded)
    mine, theirs = collection(seed, 12), collection(seed, 15)
    common = []
    for _ in range(seed.choice([0, 3, 40])):
        shared = value(seed)
        common.append(
            tuple(
                (None, None, *(shared if seed.random() < 0.6 else value(seed) for _ in side.fields))
                for side in (mine, theirs)
            )
        )
    found = FieldPairs(mine, theirs).matched(((), ()), common)  # type: ignore[arg-type]
    assert [(each.left, each.right, each.alike, each.compared) for each in found] == each_with_each(
        mine,
        theirs,
        common,  # type: ignore[arg-type]
    )


def test_fields_of_the_key_are_paired_with_nothing() -> None:
    mine = CollectionSchema(name="a", fields=(field("id"), field("name")))
    common: list[tuple[Row, Row]] = [((n, None, n, f"n{n}"), (n, None, n, f"n{n}")) for n in range(9)]
    keys = ((mine.fields[0],), (mine.fields[0],))
    assert [each.left.name for each in FieldPairs(mine, mine).matched(keys, common)] == ["name"]


@pytest.mark.parametrize(
    ("name", "records", "own"), [("created", 9, True), ("created", 4, False), ("city", 9, False)]
)
def test_what_each_system_has_of_its_own_is_not_compared(name: str, records: int, own: bool) -> None:
    mine = CollectionSchema(name="a", fields=(field(f"{name}_at"),))
    theirs = CollectionSchema(name="b", fields=(field(f"{name}at"),))
    common: list[tuple[Row, Row]] = [((n, None, f"a{n}"), (n, None, f"b{n}")) for n in range(records)]
    (found,) = FieldPairs(mine, theirs).matched(((), ()), common)
    assert (found.own, found.incomparable) == (own, own)


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ("integer", "integer", "integer"),
        ("integer", "string", "string"),
        ("salesforce_id", "string", "salesforce_id"),
        ("string", "salesforce_id", "salesforce_id"),
        ("salesforce_id", "integer", "string"),
        ("enum", "boolean", "string"),
    ],
)
def test_the_type_of_a_key(one: str, other: str, both: str) -> None:
    assert common_key_type(field("id", one), field("id", other)) == both
