"""The timetable: recurring jobs on a bounded pool of threads, none of which starves the others.

A job names the lanes it runs in, and a lane admits a limited number of jobs at once: jobs that wait for a hung system
fill its lanes and leave the other threads to the rest. Jobs never start other jobs: they only say when they
are due again, so that stopping has nobody to wait for but the jobs that are running.
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
from queue import SimpleQueue

log = logging.getLogger(__name__)


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
        run: does it, told whether this is its turn or the instant it asked for besides. What it raises is logged, and
            the job comes again at its next turn.
        every_s: between the beginnings of two turns. A turn that cannot begin in time is late; turns that were
            missed are left out.
        lanes: it runs when each of them admits it.
        turn_at: when its next turn is due, in monotonic seconds.
        also_at: an earlier instant at which it is to run as well, or None.
    """

    name: str
    run: Callable[[bool], None]
    every_s: float
    lanes: tuple[Lane, ...] = ()
    turn_at: float = 0.0
    also_at: float | None = None
    _ticket: int = field(default=0, init=False)

    @property
    def due_at(self) -> float:
        """When it is to run next."""
        return self.turn_at if self.also_at is None else min(self.turn_at, self.also_at)

    def _admitted(self) -> bool:
        return all(lane.admits for lane in self.lanes)

    def _begin(self, now: float) -> bool:
        """Move on to the next turn, leaving out those that were missed; answers whether this is a turn."""
        for lane in self.lanes:
            lane.running += 1
        self.also_at = None
        if self.turn_at > now:
            return False
        missed = int((now - self.turn_at) // self.every_s)
        self.turn_at += (missed + 1) * self.every_s
        return True

    def _end(self) -> None:
        for lane in self.lanes:
            lane.running -= 1


class Timetable:
    """Runs jobs when they are due, the one that has been due the longest first.

    Args:
        threads: most jobs that run at once. A thread is only started when all others are busy.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._jobs: list[Job] = []
        self._tickets = itertools.count(1)
        self._coming: list[tuple[float, int, Job]] = []
        self._due: dict[tuple[Lane, ...], list[tuple[bool, float, int, Job]]] = defaultdict(list)
        self._started: SimpleQueue[tuple[Job, bool] | None] = SimpleQueue()
        self._workers: list[threading.Thread] = []
        self._busy = 0
        self._changed = threading.Condition()
        self._dispatcher = threading.Thread(target=self._dispatch, name="timetable", daemon=True)
        self.stopping = threading.Event()

    def add(self, job: Job, *, after_s: float = 0.0) -> None:
        """Add a job whose first turn is due after so many seconds; before `start` only."""
        job.turn_at = time.monotonic() + after_s
        self._jobs.append(job)
        self._await(job)

    def start(self) -> None:
        """Begin; returns at once."""
        self._dispatcher.start()

    def also(self, job: Job, after_s: float) -> None:
        """Run a job after so many seconds, too, where its turn comes later; from within the job or from anywhere.

        It goes before jobs whose turn it is. A job has one such instant at most: the last one said counts.
        """
        with self._changed:
            now = time.monotonic()
            due = job.due_at <= now
            job.also_at = now + after_s
            if job._ticket and not due:  # one that runs is put back when it ends, one that is due begins soon
                self._await(job)
                self._changed.notify_all()

    def stop(self, within_s: float) -> bool:
        """Start nothing any more, and wait for the jobs that run.

        Returns:
            Whether all of them have ended.
        """
        self.stopping.set()
        deadline = time.monotonic() + within_s
        with self._changed:
            self._changed.notify_all()
            ended = self._changed.wait_for(lambda: not self._busy, max(0.0, deadline - time.monotonic()))
        for _ in self._workers:
            self._started.put(None)
        return ended

    # -- who is next; all of these hold the lock

    def _await(self, job: Job) -> None:
        """Put a job among those to come; what was said of it before is void by its ticket."""
        job._ticket = next(self._tickets)
        heapq.heappush(self._coming, (job.due_at, job._ticket, job))

    def _take_due(self, now: float) -> None:
        while self._coming and self._coming[0][0] <= now:
            due_at, ticket, job = heapq.heappop(self._coming)
            if ticket == job._ticket:
                in_turn = job.also_at is None or job.also_at > now
                heapq.heappush(self._due[job.lanes], (in_turn, due_at, ticket, job))

    def _next(self) -> Job | None:
        """The job that has been due the longest among those that its lanes admit."""
        if self._busy >= self.threads:
            return None
        heads = [waiting for waiting in self._due.values() if waiting and waiting[0][3]._admitted()]
        return heapq.heappop(min(heads, key=lambda waiting: waiting[0][:3]))[3] if heads else None

    def _dispatch(self) -> None:
        with self._changed:
            while not self.stopping.is_set():
                now = time.monotonic()
                self._take_due(now)
                job = self._next()
                if job is None:
                    wait_s = max(0.0, self._coming[0][0] - now) if self._coming else None
                    self._changed.wait(wait_s)
                    continue
                job._ticket = 0
                in_turn = job._begin(now)
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
                self._changed.notify_all()
