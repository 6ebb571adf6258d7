"""The timetable: recurring jobs on a bounded pool of threads, none of which starves the others.

APScheduler keeps the time; who may run then is decided here. A job names the lanes it runs in, and a lane admits a
limited number of jobs at once: jobs that wait for a hung system fill its lanes and leave the other threads to the
rest. APScheduler itself runs nothing that takes time: it only notes that a job is due, so that its shutdown, which
holds the locks that `add_job` needs, never waits for a worker.
"""

from __future__ import annotations

import heapq
import itertools
import logging
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

NEVER = 52 * 100
"""Weeks between two instants that nobody asked for."""

log = logging.getLogger(__name__)

# It tells of every instant that it notes.
logging.getLogger("apscheduler").setLevel(logging.WARNING)


@dataclass(slots=True, eq=False)
class Lane:
    """What some jobs have in common, and how many of them may run at once.

    Attributes:
        most: jobs of this lane that may run at once.
        doubted: whether it is in doubt that jobs of this lane get on; one at a time tries it then.
        running: jobs of this lane that run.
    """

    name: str
    most: int
    doubted: Callable[[], bool] = bool
    running: int = 0

    @property
    def admits(self) -> bool:
        """Whether one more may run."""
        return self.running < (1 if self.doubted() else self.most)


@dataclass(slots=True, kw_only=True, eq=False)
class Job:
    """Something that is done again and again, one at a time.

    Attributes:
        name: unlike that of any other job.
        run: does it, told whether this is its turn or the instant it asked for besides. What it raises is logged, and
            the job comes again at its next turn.
        every_s: between two turns. One that comes while the job still runs follows at once; more than one are one.
        lanes: it runs when each of them admits it.
    """

    name: str
    run: Callable[[bool], None]
    every_s: float
    lanes: tuple[Lane, ...] = ()
    _turn_due_at: float | None = field(default=None, init=False)
    _asked_due_at: float | None = field(default=None, init=False)
    _ticket: int = field(default=0, init=False)
    _runs: bool = field(default=False, init=False)

    def _admitted(self) -> bool:
        return all(lane.admits for lane in self.lanes)

    def _come(self, *, in_turn: bool, now: float) -> None:
        """Note that it is due, since the first time that this was noted."""
        if in_turn and self._turn_due_at is None:
            self._turn_due_at = now
        elif not in_turn and self._asked_due_at is None:
            self._asked_due_at = now

    def _rank(self) -> tuple[bool, float] | None:
        """Where it stands among those that are due: what was asked for comes first; None where it is not due."""
        if self._asked_due_at is not None:
            return False, self._asked_due_at
        return None if self._turn_due_at is None else (True, self._turn_due_at)

    def _begin(self) -> bool:
        """Run for all that it is due for; answers whether this is a turn."""
        in_turn = self._turn_due_at is not None
        self._turn_due_at = self._asked_due_at = None
        self._runs = True
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
        threads: most jobs that run at once. A thread is only started when all others are busy.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._clock = BackgroundScheduler(
            executors={"default": DebugExecutor()},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone=UTC,
        )
        self._tickets = itertools.count(1)
        self._due: dict[tuple[Lane, ...], list[tuple[tuple[bool, float], int, Job]]] = defaultdict(list)
        self._started: SimpleQueue[tuple[Job, bool] | None] = SimpleQueue()
        self._workers: list[threading.Thread] = []
        self._dismissed = 0
        self._busy = 0
        self._changed = threading.Condition()
        self.stopping = threading.Event()

    def add(self, job: Job, *, after_s: float = 0.0) -> None:
        """Add a job whose first turn is due after so many seconds."""
        first_at = datetime.now(UTC) + timedelta(seconds=after_s)
        self._clock.add_job(
            self._note, "interval", (job, True), seconds=job.every_s, next_run_time=first_at, id=job.name
        )
        # It waits to be asked for. One that is made for an instant and taken away afterwards, as APScheduler's
        # `date` is, ends its thread with a traceback where a shutdown comes in between.
        self._clock.add_job(self._note, "interval", (job, False), weeks=NEVER, next_run_time=None, id=_asked(job))

    def start(self) -> None:
        """Begin; returns at once."""
        self._clock.start()

    def also(self, job: Job, after_s: float) -> None:
        """Run a job after so many seconds, too; from within the job or from anywhere.

        It goes before jobs whose turn it is. A job has one such instant at most: the last one said counts.
        """
        try:
            self._clock.modify_job(_asked(job), next_run_time=datetime.now(UTC) + timedelta(seconds=after_s))
        except JobLookupError:
            if not self.stopping.is_set():
                raise

    def stop(self, within_s: float) -> bool:
        """Start nothing any more, and wait for the jobs that run.

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

    def _note(self, job: Job, in_turn: bool) -> None:
        """Note that a job is due; called by APScheduler, which waits meanwhile."""
        with self._changed:
            job._come(in_turn=in_turn, now=time.monotonic())
            if not job._runs:
                self._await(job)
            self._fill()

    # -- who is next; all of these hold the lock

    def _await(self, job: Job) -> None:
        """Put a job among those that are due, if it is; what was said of it before is void by its ticket."""
        rank = job._rank()
        if rank is not None:
            job._ticket = next(self._tickets)
            heapq.heappush(self._due[job.lanes], (rank, job._ticket, job))

    def _next(self) -> Job | None:
        """The job that has been due the longest among those that its lanes admit."""
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
        """Start whatever may run now."""
        while (job := self._next()) is not None:
            job._ticket = 0
            in_turn = job._begin()
            self._busy += 1
            if self._busy > len(self._workers):
                self._hire()
            self._started.put((job, in_turn))

    def _hire(self) -> None:
        # A daemon thread: one that hangs in a driver must not keep the process from ending.
        worker = threading.Thread(target=self._work, name=f"turn-{len(self._workers) + 1}", daemon=True)
        self._workers.append(worker)
        worker.start()

    def _work(self) -> None:
        while (started := self._started.get()) is not None:
            job, in_turn = started
            if not self.stopping.is_set():
                try:
                    job.run(in_turn)
                except Exception:
                    if not self.stopping.is_set():
                        log.exception("%s failed; it is tried again in its next turn", job.name)
            with self._changed:
                job._end()
                self._busy -= 1
                self._await(job)
                self._fill()
                self._changed.notify_all()


def _asked(job: Job) -> str:
    """What APScheduler calls the instant that a job asks for."""
    return f"{job.name}, as it asked"
