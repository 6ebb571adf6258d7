"""The timetable: turns, lanes, bounded threads, and a stop that waits for nobody who waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from auditor.daemon.timetable import Job, Lane, Timetable
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


def test_turns_that_come_while_a_job_runs_are_one(timetable: Timetable) -> None:
    hung, turns = threading.Event(), []

    def run(_: bool) -> None:
        turns.append(time.monotonic())
        hung.wait(PATIENCE_S)

    late = job("late", run, LATER_S)
    timetable.add(late)
    timetable.start()
    wait_until(lambda: turns)
    for _ in range(5):
        timetable._note(late, True)
    hung.set()
    wait_until(lambda: len(turns) == 2 and not late._runs)
    assert late._rank() is None


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
    busy = threading.Event()
    jobs = {name: job(name, lambda _, name=name: order.append(name), LATER_S) for name in ("b", "a", "deadline")}  # type: ignore[misc]
    first = job("first", hang(busy), LATER_S)
    timetable.add(first, after_s=-4.0)
    for name, due_s in (("b", 2.0), ("a", 3.0)):
        timetable.add(jobs[name], after_s=-due_s)
    timetable.add(jobs["deadline"], after_s=LATER_S)
    timetable.start()
    timetable.also(jobs["deadline"], 0.0)
    wait_until(lambda: first._runs and all(each._rank() for each in jobs.values()))
    busy.set()
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
    assert not timetable._clock.running
    for each in timetable._workers:
        each.join(PATIENCE_S)
        assert not each.is_alive()


def test_a_stop_waits_for_no_worker_that_asks_for_an_instant_meanwhile() -> None:
    """APScheduler's own shutdown would hold the lock that the worker waits for, and wait for the worker."""
    for _ in range(50):
        timetable, jobs = Timetable(4), list[Job]()

        def run(_: bool, timetable: Timetable = timetable, jobs: list[Job] = jobs) -> None:
            for asking in jobs:
                timetable.also(asking, 0.0)

        jobs += [job(f"asking {at}", run) for at in range(8)]
        for each in jobs:
            timetable.add(each)
        timetable.start()
        wait_until(lambda timetable=timetable: timetable._workers)  # type: ignore[misc]
        assert timetable.stop(PATIENCE_S)


def test_a_stop_dismisses_every_worker_once() -> None:
    timetable = Timetable(4)
    timetable._clock.start()
    with timetable._changed:
        timetable._hire()
    for _ in range(3):
        assert timetable.stop(PATIENCE_S)
    timetable._workers[0].join(PATIENCE_S)
    assert not timetable._workers[0].is_alive()
    assert timetable._started.empty()


def test_not_even_an_exit_ends_a_worker(timetable: Timetable, caplog: pytest.LogCaptureFixture) -> None:
    turns: list[bool] = []

    def run(in_turn: bool) -> None:
        turns.append(in_turn)
        raise SystemExit(3)

    timetable.add(job("leaves", run))
    timetable.start()
    wait_until(lambda: len(turns) >= 3)
    assert "leaves failed" in caplog.text


def test_a_job_that_runs_for_too_long_is_named(timetable: Timetable) -> None:
    hung = threading.Event()
    timetable.add(Job(name="stuck", run=hang(hung), every_s=SOON_S, longest_s=SOON_S))
    timetable.add(job("patient", hang(hung), LATER_S))
    timetable.start()
    wait_until(timetable.hanging)
    assert [name for name, _ in timetable.hanging()] == ["stuck"]
    with timetable._changed:  # a lock that is never given back must not hide it
        assert timetable.hanging()[0][1] > SOON_S
    hung.set()


def test_turns_come_in_time_although_the_clock_was_set_back() -> None:
    set_back, steps = threading.Event(), list[float]()
    timetable = Timetable(4, clock_set=steps.append, wall_s=lambda: time.time() - LATER_S * set_back.is_set())
    turns: list[bool] = []
    timetable.add(job("of an hour ago", turns.append, 10 * LATER_S), after_s=LATER_S)
    timetable.start()
    set_back.set()
    wait_until(lambda: turns)
    timetable.stop(PATIENCE_S)
    assert [round(each / LATER_S) for each in steps] == [-1]


def test_jobs_wait_for_each_other_where_no_thread_can_be_started(
    timetable: Timetable, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    start, hung, none_left = threading.Thread.start, threading.Event(), threading.Event()

    def starts(self: threading.Thread) -> None:
        if none_left.is_set() and self.name.startswith("turn-"):
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", starts)
    turns: list[str] = []
    timetable.add(job("first", hang(hung), LATER_S))
    timetable.start()
    wait_until(lambda: timetable._busy == 1)
    none_left.set()
    for name in ("second", "third"):
        timetable.add(job(name, lambda _, name=name: turns.append(name), LATER_S))  # type: ignore[misc]
    wait_until(lambda: "cannot start another thread" in caplog.text)
    assert turns == []
    hung.set()
    wait_until(lambda: sorted(turns) == ["second", "third"])
