"""Names are compared quickly, and exactly as one by one."""

from __future__ import annotations

import random

from auditor.systems.alike_names import alike, alike_from, nearest

PARTS = ("hs", "first", "name", "mail", "e", "city", "", "Zip", "zz" * 30, "Ünicode", "1", "id", "_", "s")


def names(seed: random.Random, count: int) -> list[str]:
    return [
        seed.choice(["", "dim_", "x."]) + seed.choice("_. ").join(seed.choices(PARTS, k=seed.randrange(4)))
        for _ in range(count)
    ]


def test_many_names_are_compared_as_one_by_one() -> None:
    seed = random.Random(4)
    for _ in range(20):
        left, right = names(seed, 15), names(seed, seed.randrange(15))
        assert nearest(left, right) == [max((alike(one, other) for other in right), default=0.0) for one in left]
        assert [*alike_from(0.55, left, right)] == [
            (at, to, near)
            for at, one in enumerate(left)
            for to, other in enumerate(right)
            if (near := alike(one, other)) >= 0.55
        ]
