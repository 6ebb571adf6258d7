"""When a promised share is broken, kept, or neither can be said."""

from __future__ import annotations

import random

import pytest

from checks.objectives import ShareObjective, Standing, WindowCounts


@pytest.mark.parametrize(
    ("met", "breach", "undecided", "goal", "standing"),
    [
        (0, 123, 0, 0.99, Standing.BROKEN),
        (0, 0, 0, 0.99, Standing.NO_TRAFFIC),
        (0, 1, 0, 0.99, Standing.UNDECIDED),
        (99, 1, 0, 0.99, Standing.KEPT),
        (97, 3, 0, 0.99, Standing.UNDECIDED),
        (9_000, 1_000, 0, 0.99, Standing.BROKEN),
        (10, 0, 0, 0.99, Standing.KEPT),
        (10, 0, 5, 0.99, Standing.UNDECIDED),
        (0, 0, 50, 0.99, Standing.UNDECIDED),
        (999, 1, 0, 1.0, Standing.BROKEN),
        (0, 5, 0, 0.0, Standing.KEPT),
    ],
)
def test_an_objective(met: int, breach: int, undecided: int, goal: float, standing: Standing) -> None:
    assert ShareObjective(counts=WindowCounts(met, breach, undecided), goal=goal).standing is standing


def test_a_quiet_flow_that_keeps_its_promise_is_not_called_broken_by_chance() -> None:
    chance, false = random.Random(7), 0
    for _ in range(200):
        met = breach = 0
        for _ in range(60):  # looked at after every change
            late = chance.random() < 0.01
            met, breach = met + (not late), breach + late
            objective = ShareObjective(counts=WindowCounts(met, breach), goal=0.99)
            if objective.standing is Standing.BROKEN:
                false += 1
                break
    assert false <= 10  # one in twenty at most, however often one looks


@pytest.mark.parametrize(
    ("counts", "goal", "left"),
    [
        (WindowCounts(1_000, 0), 0.99, (1.0, 1.0)),
        (WindowCounts(995, 5), 0.99, (0.5, 0.5)),
        (WindowCounts(980, 20), 0.99, (-1.0, -1.0)),
        (WindowCounts(985, 5, 10), 0.99, (-0.5, 0.5)),
        (WindowCounts(10, 0), 1.0, None),
        (WindowCounts(), 0.99, None),
    ],
)
def test_an_error_budget(counts: WindowCounts, goal: float, left: tuple[float, float] | None) -> None:
    found = ShareObjective(counts=counts, goal=goal).budget_left
    assert found == (None if left is None else pytest.approx(left))
