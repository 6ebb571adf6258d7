"""The timetable: recurring jobs on a bounded pool of threads, where no job starves the others.

APScheduler keeps the time; this module decides which due job runs. A job names the lanes it runs in, and a lane
admits a limited number of jobs at once: jobs that wait for a hung system fill its lanes and leave the other threads
to the rest. APScheduler itself runs nothing that takes time: it only notes that a job is due, so its shutdown, which
holds the locks that `add_job` needs, never waits for a worker.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import math
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from queue import SimpleQueue

from apscheduler.executors.debug import DebugExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler

from auditor.alerts.delivery import awake_s

NEVER = 52 * 100
"""Weeks between two automatic runs, in effect never."""

LOOKS_AT_CLOCK_EVERY_S = 1.0

STEP_S = 0.5
"""A clock that moves by more than this against one that nobody sets was set."""

log = logging.getLogger(__name__)

# It logs every instant that it notes.
logging.getLogger("apscheduler").setLevel(logging.WARNING)


@dataclass(slots=True, eq=False)
class Lane:
    """A resource that jobs share, and how many of them may run at once.

    Attributes:
        most: jobs of this lane that may run at once.
        doubted: whether jobs of this lane may be hanging; then only one at a time is tried.
        running: running jobs of this lane.
    """

    name: str
    most: int
    doubted: Callable[[], bool] = bool
    running: int = 0

    @property
    def admits(self) -> bool:
        """Whether one more job may run."""
        return self.running < (1 if self.doubted() else self.most)


@dataclass(slots=True, kw_only=True, eq=False)
class Job:
    """A recurring job; its runs never overlap.

    Attributes:
        name: unique among all jobs.
        run: does the work; its argument says whether this is a regular turn or a requested instant. Exceptions are
            logged, and the job runs again at its next turn.
        every_s: time between two turns. A turn that comes up while the job is running follows at once; several count
            as one.
        lanes: the job runs when each of them admits it.
        longest_s: a run that takes longer hangs.
    """

    name: str
    run: Callable[[bool], None]
    every_s: float
    lanes: tuple[Lane, ...] = ()
    longest_s: float = math.inf
    _begun_s: float = field(default=0.0, init=False)
    _turn_due_at: float | None = field(default=None, init=False)
    _asked_due_at: float | None = field(default=None, init=False)
    _ticket: int = field(default=0, init=False)
    _runs: bool = field(default=False, init=False)

    def _admitted(self) -> bool:
        return all(lane.admits for lane in self.lanes)

    def _come(self, *, in_turn: bool, now: float) -> None:
        """Mark the job as due, keeping the time at which it first became due."""
        if in_turn and self._turn_due_at is None:
            self._turn_due_at = now
        elif not in_turn and self._asked_due_at is None:
            self._asked_due_at = now

    def _rank(self) -> tuple[bool, float] | None:
        """Its rank among due jobs: requested instants come first; None if it is not due."""
        if self._asked_due_at is not None:
            return False, self._asked_due_at
        return None if self._turn_due_at is None else (True, self._turn_due_at)

    def _begin(self) -> bool:
        """Start one run for everything that is due; returns whether this is a regular turn."""
        in_turn = self._turn_due_at is not None
        self._turn_due_at = self._asked_due_at = None
        self._runs, self._begun_s = True, time.monotonic()
        for lane in self.lanes:
            lane.running += 1
        return in_turn

    def _end(self) -> None:
        self._runs = False
        for lane in self.lanes:
            lane.running -= 1


class Timetable:
    """Runs jobs when they are due, the one that has been due the longest first.

    Args:
        threads: the most jobs that run at once. A thread is only started when all others are busy.
        clock_set: called with how many seconds the machine's clock was set forward, or back if negative.
        wall_s: the machine's clock.
    """

    def __init__(
        self,
        threads: int,
        *,
        clock_set: Callable[[float], object] = lambda _: None,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        self.threads = threads
        self._clock_set = clock_set
        self._wall_s = wall_s
        self._clock = BackgroundScheduler(
            executors={"default": DebugExecutor()},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone=UTC,
        )
        self._tickets = itertools.count(1)
        self._due: dict[tuple[Lane, ...], list[tuple[tuple[bool, float], int, Job]]] = defaultdict(list)
        self._started: SimpleQueue[tuple[Job, bool] | None] = SimpleQueue()
        self._jobs: list[Job] = []
        self._workers: list[threading.Thread] = []
        self._dismissed = 0
        self._busy = 0
        self._changed = threading.Condition()
        self.stopping = threading.Event()

    def add(self, job: Job, *, after_s: float = 0.0) -> None:
        """Add a job with its first turn due after `after_s`."""
        self._jobs.append(job)
        first_at = datetime.now(UTC) + timedelta(seconds=after_s)
        self._clock.add_job(
            self._note, "interval", (job, True), seconds=job.every_s, next_run_time=first_at, id=job.name
        )
        # It waits to be requested. A job created for one instant and removed afterwards, like APScheduler's `date`,
        # would end its thread with a traceback if a shutdown came in between.
        self._clock.add_job(self._note, "interval", (job, False), weeks=NEVER, next_run_time=None, id=_asked(job))

    def start(self) -> None:
        """Start; returns at once."""
        self._clock.start()
        threading.Thread(target=self._follow_clock, name="clock-steps", daemon=True).start()

    def also(self, job: Job, after_s: float) -> None:
        """Also run a job after `after_s`; may be called from within the job or from anywhere else.

        It takes precedence over regular turns. A job has at most one such instant: the last request counts.
        """
        try:
            self._clock.modify_job(_asked(job), next_run_time=datetime.now(UTC) + timedelta(seconds=after_s))
        except JobLookupError:
            if not self.stopping.is_set():
                raise

    def stop(self, within_s: float) -> bool:
        """Start no more jobs, and wait for running ones.

        Returns:
            Whether all of them have ended.
        """
        deadline = time.monotonic() + within_s
        self.stopping.set()
        if self._clock.running:
            self._clock.shutdown(wait=False)
        with self._changed:
            ended = self._changed.wait_for(lambda: not self._busy, max(0.0, deadline - time.monotonic()))
            for _ in self._workers[self._dismissed :]:
                self._started.put(None)
            self._dismissed = len(self._workers)
        return ended

    def hanging(self) -> list[tuple[str, float]]:
        """The jobs that have been running for too long, and for how many seconds; waits for no lock."""
        now_s = time.monotonic()
        runs = [(job, now_s - job._begun_s) for job in tuple(self._jobs) if job._runs]
        return [(job.name, run_s) for job, run_s in runs if run_s > job.longest_s]

    def _follow_clock(self) -> None:
        """Move all turns when the machine's clock is set back: APScheduler would wait until it shows their time."""
        ahead_s = self._wall_s() - awake_s()
        while not self.stopping.wait(LOOKS_AT_CLOCK_EVERY_S):
            before_s, ahead_s = ahead_s, self._wall_s() - awake_s()
            by_s = ahead_s - before_s
            if by_s < -STEP_S:
                self._move(timedelta(seconds=by_s))
            if abs(by_s) > STEP_S:
                self._clock_set(by_s)

    def _move(self, by: timedelta) -> None:
        for each in self._clock.get_jobs():
            at = each.next_run_time
            if at is not None:
                with contextlib.suppress(JobLookupError):
                    each.modify(next_run_time=at + by)

    def _note(self, job: Job, in_turn: bool) -> None:
        """Mark a job as due; called by APScheduler, which waits meanwhile."""
        with self._changed:
            job._come(in_turn=in_turn, now=time.monotonic())
            if not job._runs:
                self._await(job)
            self._fill()

    # -- choosing the next job; all of these hold the lock

    def _await(self, job: Job) -> None:
        """Add a job to the due ones, if it is due; its new ticket voids earlier entries."""
        rank = job._rank()
        if rank is not None:
            job._ticket = next(self._tickets)
            heapq.heappush(self._due[job.lanes], (rank, job._ticket, job))

    def _next(self) -> Job | None:
        """The job that has been due the longest among those admitted by their lanes."""
        if self._busy >= self.threads or self.stopping.is_set():
            return None
        heads = []
        for waiting in self._due.values():
            while waiting and waiting[0][1] != waiting[0][2]._ticket:
                heapq.heappop(waiting)
            if waiting and waiting[0][2]._admitted():
                heads.append(waiting)
        return heapq.heappop(min(heads, key=lambda waiting: waiting[0][:2]))[2] if heads else None

    def _fill(self) -> None:
        """Start every job that may run now."""
        while (job := self._next()) is not None:
            job._ticket = 0
            in_turn = job._begin()
            self._busy += 1
            if self._busy > len(self._workers):
                self._hire()
            self._started.put((job, in_turn))

    def _hire(self) -> None:
        # A daemon thread, because a thread that hangs in a driver must not keep the process alive.
        worker = threading.Thread(target=self._work, name=f"turn-{len(self._workers) + 1}", daemon=True)
        try:
            worker.start()
        except RuntimeError:  # no more threads: a worker that gets free, or is hired with the next job, takes it
            log.error("cannot start another thread; jobs wait for each other")
            return
        self._workers.append(worker)

    def _work(self) -> None:
        while (started := self._started.get()) is not None:
            job, in_turn = started
            if not self.stopping.is_set():
                self._run(job, in_turn)
            with self._changed:
                job._end()
                self._busy -= 1
                self._await(job)
                self._fill()
                self._changed.notify_all()

    def _run(self, job: Job, in_turn: bool) -> None:
        """Run a job once; nothing that it raises, not even SystemExit, ends the worker."""
        try:
            job.run(in_turn)
        except BaseException:
            if not self.stopping.is_set():
                with contextlib.suppress(Exception):
                    log.exception("%s failed; it is tried again in its next turn", job.name)


def _asked(job: Job) -> str:
    """APScheduler's id for the instant that a job requests."""
    return f"{job.name}, as it asked"
