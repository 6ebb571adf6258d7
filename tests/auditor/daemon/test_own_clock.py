"""Steps of this machine's clock: which ones people hear of, and when that is over."""

from __future__ import annotations

from datetime import UTC, datetime

from auditor.daemon.own_clock import STEADY_S, TOLD_STEP_S, OwnClock
from auditor.daemon.trouble import News

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Told:
    """An own clock, and what people have heard of it."""

    def __init__(self) -> None:
        self.news: list[News] = []
        self.elapsed_s = 0.0
        self.clock = OwnClock(self.news.append, now=lambda: NOW, elapsed_s=lambda: self.elapsed_s)

    def after(self, elapsed_s: float) -> list[str]:
        self.elapsed_s += elapsed_s
        self.clock.look()
        return [each.transition for each in self.news]


def test_people_hear_of_a_step_and_once_that_the_clock_is_steady_again() -> None:
    told = Told()
    told.clock.was_set(-3600.0)
    assert told.news[0].summary == "The clock of this machine was set back by 60 min"
    assert told.after(STEADY_S) == ["opened"]
    assert told.after(1) == ["opened", "resolved"]
    assert told.after(2 * STEADY_S) == ["opened", "resolved"]
    assert [(each.breach, each.since_at) for each in told.news] == [("clock_step", NOW)] * 2


def test_another_step_keeps_the_message_open() -> None:
    told = Told()
    told.clock.was_set(TOLD_STEP_S)
    assert told.after(STEADY_S) == ["opened"]
    told.clock.was_set(TOLD_STEP_S)
    assert told.after(STEADY_S) == ["opened", "opened"]
    assert told.after(1) == ["opened", "opened", "resolved"]
    assert "set forward by 10 s" in told.news[0].summary


def test_a_small_step_is_no_news() -> None:
    told = Told()
    told.clock.was_set(TOLD_STEP_S - 0.1)
    assert told.after(STEADY_S + 1) == []
