"""The bus: takes jobs from the queue and writes them to their targets; what a target refuses is dead-lettered."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from demo.company import Company, units
from demo.conditions import Conditions
from demo.stores import STAMP, Job, StoreError, Writer, stamp

WAITING = 2_000
"""Jobs that are looked at in a round."""

BATCH = 200
"""Jobs that are done at a time."""

TRIES = 5
AHEAD = timedelta(hours=2)
"""Local time of the company's office."""


class RefusedError(Exception):
    """A target does not accept a record."""


class Bus:
    """Carries jobs to their targets, each target's in the order in which they were queued."""

    def __init__(self, company: Company, conditions: Conditions) -> None:
        self._company = company
        self._conditions = conditions
        self._loaded_s = 0.0

    def work(self) -> int:
        """Do the jobs that can be done; returns how many.

        Raises:
            StoreError: the queue cannot be used, or a target cannot; the jobs of the others are done.
        """
        done: list[Job] = []
        refused: list[tuple[Job, str]] = []
        failed: StoreError | None = None
        for target, mine in self._taken(self._company.queue.waiting(WAITING)).items():
            try:
                refused += self._deliver(target, mine)
                done += mine
            except StoreError as error:
                failed = error
        if done:
            self._company.queue.settle(done, refused, TRIES)
        if failed is not None:
            raise failed
        return len(done)

    def _deliver(self, target: str, jobs: Sequence[Job]) -> list[tuple[Job, str]]:
        """Write jobs to their target in one transaction; returns those that it refuses, and why."""
        refused = []
        with self._company.writer(target) as writer:
            for job in jobs:
                try:
                    self._write(writer, job)
                except RefusedError as error:
                    refused.append((job, str(error)))
        return refused

    def _taken(self, jobs: Sequence[Job]) -> Mapping[str, Sequence[Job]]:
        """By target, the jobs that are done in this round."""
        conditions, loading = self._conditions, self._is_time_to_load()
        taken: defaultdict[str, list[Job]] = defaultdict(list)
        for job in jobs:
            target = job.target
            if target in conditions.held | conditions.down or (job.entity == "invoice" and not loading):
                continue
            if target in conditions.slow and taken[target]:
                if conditions.lanes:
                    continue
                break  # the one queue waits for it
            if len(taken[target]) < BATCH:
                taken[target].append(job)
        return taken

    def _is_time_to_load(self) -> bool:
        if time.monotonic() - self._loaded_s < self._conditions.batch_s:
            return False
        self._loaded_s = time.monotonic()
        return True

    def discard(self) -> None:
        """Discard all dead letters; what is in them has been queued again."""
        self._company.queue.discard()

    def _write(self, writer: Writer, job: Job) -> None:
        """Write one record to its target, replacing what was there.

        Raises:
            RefusedError: the target does not accept it.
        """
        target, entity, key, row = job.target, job.entity, job.key, json.loads(job.payload)
        if entity.startswith("deleted "):
            writer.delete(entity.removeprefix("deleted "), key)
        elif target == "billing" and "@" not in row[2]:
            raise RefusedError(f"422 from billing: email of {key} is not valid")
        elif entity == "customer":
            signed_at = self._written(row[5]) if target == "warehouse" else row[5]
            writer.put(entity, (*row[:5], signed_at, stamp()))
        elif entity == "welcome":
            if not (self._conditions.idempotent and writer.holds(entity, key)):
                writer.put(entity, (*row, stamp()))
        else:
            writer.put(entity, (*row[:2], units(row[2]), *row[3:-1], stamp()))

    def _written(self, signed_at: str) -> str:
        if not self._conditions.local_time:
            return signed_at
        return stamp(datetime.strptime(signed_at, STAMP) + AHEAD)
