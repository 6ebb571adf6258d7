"""What is measured beside the records: lags, samples, the systems' health and clocks, queues."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from auditor.ledger import tables as t
from auditor.ledger.database import IN_LIMIT, Store, Transaction, chunks
from auditor.systems.reader import ClockStep, Health
from checks.clocks import ClockBounds
from checks.convergence import Change, Verdict
from checks.lag_cells import cells_of
from checks.letters import signature
from checks.sampling import Cohort
from probes.contract import Letter

_CLOCK_COLUMNS = ("clock_lower_s", "clock_upper_s", "clock_at", "clock_stepped_at", "clock_trusted_from_at")
_CELL_KEYS = ("flow", "hour_at", "verdict", "lower_cell", "upper_cell")


class Measuring(Store):
    """Counts by hour, the latest of every system, and what waits in queues."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._save_health = self.upsert(t.systems, keep_if_null=("last_ok_at", "latency_s", *_CLOCK_COLUMNS))
        self._add_cells = self.accumulate(t.lag_cells, _CELL_KEYS)
        self._add_noise = self.accumulate(t.noise, ("flow", "system", "field", "hour_at"))
        self._add_samples = self.accumulate(t.samples, ("flow", "hour_at", "policy"))

    def count_lags(self, connection: Transaction, rev: int, flow: str, changes: Iterable[Change]) -> None:
        """Add those of the changes that are settled to the lag cells of the hour."""
        counted: Counter[tuple[datetime, str, int, int]] = Counter()
        for change in changes:
            cells = cells_of(change.lag_lower_s, change.lag_upper_s)
            if cells is not None and change.settled_at is not None:
                counted[_hour(change.settled_at), change.verdict.value, *cells] += 1
        rows = [
            {"rev": rev, "flow": flow, **dict(zip(_CELL_KEYS[1:], cell, strict=True)), "changes": count}
            for cell, count in counted.items()
        ]
        if rows:
            connection.execute(self._add_cells, rows)

    def windows_of(self, flow: str, since: datetime) -> dict[Verdict, int]:
        """How many changes of a flow have which verdict, from the hour of `since` on; pending ones are left out.

        A change that has missed its window counts at once, although it is followed until it arrives.
        """
        cell, change = t.lag_cells.c, t.changes.c
        settled = (
            sa.select(cell.verdict, sa.func.sum(cell.changes))
            .where(cell.flow == flow, cell.hour_at >= _hour(since))
            .group_by(cell.verdict)
        )
        followed = (
            sa.select(change.verdict, sa.func.count())
            .where(change.flow == flow, change.settled_at.is_(None), change.verdict != Verdict.PENDING.value)
            .group_by(change.verdict)
        )
        counts: Counter[Verdict] = Counter()
        with self.read() as connection:
            for asked in (settled, followed):
                for verdict, count in connection.execute(asked):
                    counts[Verdict(verdict)] += int(count)
        return dict(counts)

    def save_samples(
        self, connection: Transaction, rev: int, flow: str, cohorts: Mapping[str, Cohort], at: datetime
    ) -> None:
        """Add cohorts, by policy, to those of the hour."""
        rows = [
            {"rev": rev, "flow": flow, "hour_at": _hour(at), "policy": policy, **asdict(cohort)}
            for policy, cohort in cohorts.items()
        ]
        if rows:
            connection.execute(self._add_samples, rows)

    def count_noise(
        self,
        connection: Transaction,
        rev: int,
        flow: str,
        rereads: Mapping[tuple[str, str], tuple[int, int]],
        at: datetime,
    ) -> None:
        """Add what was read twice, and how often it differed from itself, to the hour."""
        rows = [
            {
                "rev": rev,
                "flow": flow,
                "system": system,
                "field": name,
                "hour_at": _hour(at),
                "reread": read,
                "differed": differed,
            }
            for (system, name), (read, differed) in rereads.items()
        ]
        if rows:
            connection.execute(self._add_noise, rows)

    def save_clock_steps(self, connection: Transaction, rev: int, steps: Sequence[ClockStep]) -> None:
        """Append to `clock_steps`."""
        if steps:
            connection.execute(sa.insert(t.clock_steps), [{"rev": rev, **asdict(step)} for step in steps])

    def clocks(self) -> dict[str, ClockBounds]:
        """The last known clock bounds of every system, to begin with after a restart."""
        with self.read() as connection:
            rows = connection.execute(sa.select(t.systems).where(t.systems.c.clock_at.is_not(None)))
            return {
                row.name: ClockBounds(
                    lower_s=row.clock_lower_s,
                    upper_s=row.clock_upper_s,
                    measured_at=row.clock_at,
                    stepped_at=row.clock_stepped_at,
                    trusted_from_at=row.clock_trusted_from_at,
                )
                for row in rows
            }

    def save_health(self, connection: Transaction, name: str, health: Health, clock: ClockBounds | None) -> None:
        """Write how a system has been answering and its clock bounds."""
        connection.execute(
            self._save_health,
            {
                "name": name,
                "failures": health.failures,
                "failing_since_at": health.failing_since,
                "last_ok_at": health.last_ok_at,
                "latency_s": health.latency_s,
                "reason": health.reason,
                "message": health.message,
                "clock_lower_s": clock.lower_s if clock else None,
                "clock_upper_s": clock.upper_s if clock else None,
                "clock_at": clock.measured_at if clock else None,
                "clock_stepped_at": clock.stepped_at if clock else None,
                "clock_trusted_from_at": clock.trusted_from_at if clock else None,
            },
        )

    def save_backlog(self, connection: Transaction, rev: int, backlog: Mapping[str, Any]) -> None:
        """Append one row to `backlogs`."""
        connection.execute(sa.insert(t.backlogs), [{"rev": rev, **backlog}])

    def save_letters(
        self, connection: Transaction, rev: int, flow: str, queue: str, letters: Sequence[Letter], at: datetime
    ) -> None:
        """Write the dead letters seen now; those known already stay as they are."""
        column = t.dead_letters.c
        known: set[str] = set()
        for chunk in chunks([letter.letter_id for letter in letters], IN_LIMIT):
            mine = (column.flow == flow) & (column.queue == queue) & column.gone_at.is_(None)
            found = connection.execute(sa.select(column.letter_id).where(mine & column.letter_id.in_(chunk)))
            known.update(found.scalars())
        new = [
            {
                "rev": rev,
                "flow": flow,
                "queue": queue,
                "letter_id": letter.letter_id,
                "key": None if letter.key is None else str(letter.key),
                "reason": letter.reason,
                "signature": signature(letter.reason),
                "attempts": letter.attempts,
                "first_failed_at": letter.first_failed_at,
                "last_failed_at": letter.last_failed_at,
                "headers": json.dumps(dict(letter.headers), ensure_ascii=False) if letter.headers else None,
                "payload": letter.payload,
                "unreadable": letter.unreadable or None,
                "note": letter.note or None,
                "first_seen_at": at,
                "last_seen_at": at,
            }
            for letter in letters
            if letter.letter_id not in known
        ]
        if new:
            connection.execute(sa.insert(t.dead_letters), new)

    def main_reason(self, connection: Transaction, flow: str, queue: str) -> str:
        """Why most of a queue's letters were given up on, for people; "" where none is known."""
        column, count = t.dead_letters.c, sa.func.count()
        mine = (column.flow == flow) & (column.queue == queue) & column.gone_at.is_(None)
        asked = sa.select(column.signature, count).where(mine).group_by(column.signature).order_by(count.desc())
        rows = connection.execute(asked).all()
        if not rows or rows[0][0] is None:
            return ""
        return f"{rows[0][1]} of {sum(row[1] for row in rows)}: {rows[0][0]}"

    def unreadable_letters(self, connection: Transaction, flow: str, queue: str) -> list[str]:
        """How many of a queue's letters could not be read whole, and why most of them; nothing where all could."""
        column, count = t.dead_letters.c, sa.func.count()
        mine = (column.flow == flow) & (column.queue == queue) & column.gone_at.is_(None)
        asked = sa.select(column.unreadable, count).where(mine & column.unreadable.is_not(None))
        rows = connection.execute(asked.group_by(column.unreadable).order_by(count.desc(), column.unreadable)).all()
        if not rows:
            return []
        many = sum(row[1] for row in rows)
        most = "" if len(rows) == 1 else f" {rows[0][1]} of them:"
        return [f"{many:,} letter{'s' * (many != 1)} could not be read whole:{most} {rows[0][0]}"]

    def end_letters(
        self, connection: Transaction, rev: int, flow: str, queue: str, there: Container[str], at: datetime
    ) -> None:
        """Write that all letters of a queue but these are gone."""
        column = t.dead_letters.c
        mine = (column.flow == flow) & (column.queue == queue) & column.gone_at.is_(None)
        waiting = connection.execute(sa.select(column.letter_id, column.id).where(mine))
        gone = [row.id for row in waiting if row.letter_id not in there]
        for chunk in chunks(gone, IN_LIMIT):
            connection.execute(sa.update(t.dead_letters).where(column.id.in_(chunk)).values(rev=rev, gone_at=at))


def _hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)
