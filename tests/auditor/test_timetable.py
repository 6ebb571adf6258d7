"""The timetable: turns, lanes, bounded threads, and a stop that waits for nobody who waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from auditor.timetable import Job, Lane, Timetable
from tests.waiting import PATIENCE_S, wait_until

SOON_S = 0.01
LATER_S = 3600.0


@pytest.fixture
def timetable() -> Iterator[Timetable]:
    made = Timetable(4)
    yield made
    made.stop(PATIENCE_S)


def hang(until: threading.Event) -> Callable[[bool], None]:
    def run(_: bool) -> None:
        until.wait(PATIENCE_S)

    return run


def job(name: str, run: Callable[[bool], None], every_s: float = SOON_S, *lanes: Lane) -> Job:
    return Job(name=name, run=run, every_s=every_s, lanes=lanes)


def test_jobs_come_again_and_never_twice_at_once(timetable: Timetable) -> None:
    inside, most, turns = 0, 0, 0

    def run(in_turn: bool) -> None:
        nonlocal inside, most, turns
        inside += 1
        most = max(most, inside)
        time.sleep(2 * SOON_S)
        turns += in_turn
        inside -= 1

    timetable.add(job("slow", run))
    timetable.start()
    wait_until(lambda: turns >= 5)
    assert most == 1


def test_missed_turns_are_left_out(timetable: Timetable) -> None:
    late = job("late", lambda _: None, 10.0)
    late.turn_at = 100.0
    assert late._begin(135.0)
    assert late.turn_at == 140.0
    assert not late._begin(139.0)


def test_a_job_that_fails_comes_again(timetable: Timetable, caplog: pytest.LogCaptureFixture) -> None:
    turns: list[bool] = []

    def run(in_turn: bool) -> None:
        turns.append(in_turn)
        raise ZeroDivisionError

    timetable.add(job("broken", run))
    timetable.start()
    wait_until(lambda: len(turns) >= 3)
    assert "broken failed" in caplog.text


def test_a_job_asks_for_an_instant_before_its_next_turn(timetable: Timetable) -> None:
    seen: list[bool] = []

    def run(in_turn: bool) -> None:
        seen.append(in_turn)
        if len(seen) < 3:
            timetable.also(asking, SOON_S)

    asking = job("asking", run, LATER_S)
    timetable.add(asking)
    timetable.start()
    wait_until(lambda: len(seen) == 3)
    assert seen == [True, False, False]


def test_an_instant_asked_for_from_outside_replaces_the_one_before(timetable: Timetable) -> None:
    seen: list[bool] = []
    waiting = job("waiting", seen.append, LATER_S)
    timetable.add(waiting, after_s=LATER_S)
    timetable.start()
    timetable.also(waiting, LATER_S / 2)
    timetable.also(waiting, SOON_S)
    wait_until(lambda: seen == [False])


def test_jobs_that_hang_fill_their_lane_and_leave_the_threads_to_the_others(timetable: Timetable) -> None:
    hung, healthy = threading.Event(), 0
    lane = Lane("hung", 2)

    def count(_: bool) -> None:
        nonlocal healthy
        healthy += 1

    for at in range(10):
        timetable.add(job(f"hung {at}", hang(hung), SOON_S, lane))
    for at in range(10):
        timetable.add(job(f"healthy {at}", count))
    timetable.start()
    wait_until(lambda: healthy >= 100)
    assert lane.running == 2
    assert len(timetable._workers) <= timetable.threads
    hung.set()


def test_a_lane_in_doubt_admits_one_who_tries(timetable: Timetable) -> None:
    doubt, hung = True, threading.Event()
    lane = Lane("doubted", 3, doubted=lambda: doubt)
    for at in range(5):
        timetable.add(job(f"trying {at}", hang(hung), LATER_S, lane))
    others: list[bool] = []
    timetable.add(job("other", others.append))
    timetable.start()
    wait_until(lambda: len(others) > 5)
    assert lane.running == 1
    doubt = False
    wait_until(lambda: lane.running == 3)
    hung.set()


def test_a_thread_is_started_only_when_all_others_are_busy(timetable: Timetable) -> None:
    turns: list[bool] = []
    timetable.add(job("alone", turns.append))
    timetable.start()
    wait_until(lambda: len(turns) >= 10)
    assert len(timetable._workers) == 1


def test_the_one_that_has_been_due_the_longest_is_next_and_a_deadline_goes_first() -> None:
    timetable = Timetable(1)
    order: list[str] = []
    jobs = {name: job(name, lambda _, name=name: order.append(name), LATER_S) for name in ("b", "a", "deadline")}  # type: ignore[misc]
    now = time.monotonic()
    for name, due_s in (("a", 3.0), ("b", 2.0)):
        timetable.add(jobs[name], after_s=-due_s)
    timetable.add(jobs["deadline"], after_s=LATER_S)
    jobs["deadline"].also_at = now - 1
    timetable._await(jobs["deadline"])
    timetable.start()
    wait_until(lambda: len(order) == 3)
    assert order == ["deadline", "a", "b"]
    assert timetable.stop(PATIENCE_S)


def test_stopping_waits_for_what_runs_and_starts_nothing_more(timetable: Timetable) -> None:
    hung, begun, ended = threading.Event(), 0, 0

    def run(_: bool) -> None:
        nonlocal begun, ended
        begun += 1
        hung.wait(PATIENCE_S)
        timetable.also(waiting, SOON_S)  # as an audit does when a window runs out soon
        ended += 1

    waiting = job("waiting", run)
    timetable.add(waiting)
    timetable.start()
    wait_until(lambda: begun)
    assert not timetable.stop(SOON_S)
    hung.set()
    assert timetable.stop(PATIENCE_S)
    assert (begun, ended) == (1, 1)
    for each in (*timetable._workers, timetable._dispatcher):
        each.join(PATIENCE_S)
        assert not each.is_alive()
