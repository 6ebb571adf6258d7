"""The layout of a map's picture: nothing overlaps, lines lead from left to right, and kinds stay together."""

from __future__ import annotations

import math
import random
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.map.layout import Layout, Line, columns, lay_out, spread


def company(size: int, *, seed: int = 0, room: float = math.inf) -> Layout:
    """A made-up company: owners, copies of theirs, copies of these, and consumers."""
    chance = random.Random(seed)
    names = [f"system {number}" for number in range(size)]
    systems = {name: chance.choice(["sql", "rest", "salesforce"]) for name in names}
    flows: dict[str, tuple[str, str]] = {}
    for number, name in enumerate(names[1:], 1):
        for source in chance.sample(names[: max(1, (number + 1) // 2)], k=min(1 + number % 2, (number + 1) // 2)):
            flows[f"{source} to {name} {len(flows)}"] = (source, name)
    flows["back"] = (names[-1], names[0])
    flows["beside"] = next(iter(flows.values()))
    reads = [(chance.choice(names), f"consumer {number}") for number in range(max(2, size // 4))]
    return lay_out(systems, flows, [*reads, (names[0], "consumer 0")], room=room)


SIZES = pytest.mark.parametrize("size", [2, 3, 6, 30])


@SIZES
@pytest.mark.parametrize("seed", range(5))
def test_no_box_and_no_label_overlaps_another(size: int, seed: int) -> None:
    drawn = company(size, seed=seed)
    labels = [line.label for line in drawn.flows.values() if line.label is not None]
    assert len(labels) == len(drawn.flows)
    boxes = [*drawn.systems.values(), *drawn.consumers.values(), *labels]
    assert [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])] == []
    assert all(box.left >= 0 and box.right <= drawn.width for box in boxes)
    assert all(box.top >= 0 and box.bottom <= drawn.height for box in boxes)
    for heading in drawn.headings:
        assert all(not (box.top < heading.y < box.bottom and box.left < heading.x < box.right) for box in boxes)


def test_columns_move_together_where_there_is_less_room() -> None:
    wide = company(30)
    drawn = company(30, room=wide.width - 100)
    assert drawn.width == pytest.approx(wide.width - 100)
    labels = [line.label for line in drawn.flows.values() if line.label is not None]
    boxes = [*drawn.systems.values(), *drawn.consumers.values(), *labels]
    assert [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])] == []
    assert wide.width - 100 > company(30, room=1).width > wide.width / 2
    assert company(30, room=wide.width) == wide


@SIZES
def test_lines_lead_from_left_to_right_and_pass_no_box(size: int) -> None:
    drawn = company(size)
    boxes = [*drawn.systems.values(), *drawn.consumers.values()]
    labels = {name: line.label for name, line in drawn.flows.items()}
    lines: list[tuple[object, Line]] = [*drawn.flows.items(), *drawn.reads.items()]
    for name, line in lines:
        points = line.points()
        across = [x for x, _ in points]
        assert across == sorted(across)
        for box in [*boxes, *(label for each, label in labels.items() if each != name)]:
            assert box is not None
            assert not any(box.left + 0.5 < x < box.right - 0.5 and box.top < y < box.bottom for x, y in points), name


@SIZES
def test_a_line_begins_and_ends_at_its_systems(size: int) -> None:
    chance = company(size)
    for name, line in chance.flows.items():
        if " to " not in name:
            continue
        source, target = name.rpartition(" ")[0].split(" to ")
        left, right = (target, source) if line.back else (source, target)
        assert line.stops[0][0] == chance.systems[left].right
        assert line.stops[-1][0] == chance.systems[right].left
        assert chance.systems[left].top < line.stops[0][1] < chance.systems[left].bottom
        assert chance.systems[right].top < line.stops[-1][1] < chance.systems[right].bottom
    assert chance.flows["back"].back


@SIZES
def test_consumers_come_last(size: int) -> None:
    drawn = company(size)
    assert max(box.right for box in drawn.systems.values()) < min(box.left for box in drawn.consumers.values())


def test_systems_of_a_kind_stand_together_under_its_name() -> None:
    systems = {"a": "sql", "b": "rest", "c": "sql", "d": "rest", "e": "sql"}
    drawn = lay_out(systems, {}, [])
    below = sorted(drawn.systems, key=lambda name: drawn.systems[name].y)
    assert ["".join(systems[name] for name in below)] in (["sqlsqlsqlrestrest"], ["restrestsqlsqlsql"])
    assert sorted(each.text for each in drawn.headings) == ["rest", "sql"]


def test_several_flows_between_two_systems_are_kept_apart() -> None:
    drawn = lay_out({"a": "sql", "b": "sql"}, {str(each): ("a", "b") for each in range(9)}, [])
    ends = {line.stops[-1] for line in drawn.flows.values()}
    assert len(ends) == 9


def test_an_empty_map_is_an_empty_picture() -> None:
    assert lay_out({}, {}, []).systems == {}


def test_a_circle_of_flows_does_not_count_in_the_columns() -> None:
    assert columns(["a", "b", "c"], [("a", "b"), ("b", "c"), ("c", "a")]) == [["a"], ["b"], ["c"]]


def test_a_map_with_many_ways_is_laid_out_at_once() -> None:
    names = [f"{number}" for number in range(40)]
    pairs = [(left, right) for left, right in combinations(names, 2) if int(right) - int(left) < 4]
    assert len(columns(names, pairs)) == 40


def test_the_picture_of_a_map_is_always_the_same() -> None:
    assert company(30) == company(30)


@given(st.lists(st.floats(-1000, 1000), min_size=1, max_size=12), st.floats(0, 50))
def test_places_keep_their_distance_and_their_middle(wanted: list[float], gap: float) -> None:
    placed = spread(wanted, [gap] * (len(wanted) - 1))
    assert all(after - before >= gap - 1e-6 for before, after in pairwise(placed))
    assert sum(placed) == pytest.approx(sum(wanted), abs=1e-6)
