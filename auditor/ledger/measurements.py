"""Measurements other than records: lags, samples, noise, the systems' health and clocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import sqlalchemy as sa

from auditor.ledger import tables as t
from auditor.ledger.database import Database
from auditor.ledger.transaction import Transaction
from auditor.systems.health import ClockStep, Health
from checks.clocks import ClockBounds
from checks.convergence import Change, Verdict
from checks.lag_cells import cells_of
from checks.objectives import WindowCounts
from checks.sampling import Cohort
from checks.values import EPOCH, MICROSECOND

_CLOCK_COLUMNS = ("clock_lower_s", "clock_upper_s", "clock_at", "clock_stepped_at", "clock_trusted_from_at")


_COHORT = tuple(each.name for each in fields(Cohort))

SLOT = timedelta(minutes=5)
"""The time over which verdicts on windows are counted together: the shortest burn-rate window."""

HOUR = timedelta(hours=1)

KEPT = timedelta(days=92)
"""How long these counts are kept: the longest period of an objective."""

_WINDOWS = tuple(each.name for each in fields(WindowCounts))

_CELL_KEYS = ("flow", "hour_at", "verdict", "lower_cell", "upper_cell")


class Measurements:
    """Counts by hour, and the latest readings of every system."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._save_health = database.statements.upsert(
            t.systems, keep_if_null=("last_ok_at", "latency_s", *_CLOCK_COLUMNS)
        )
        self._add_cells = database.statements.accumulate(t.lag_cells, _CELL_KEYS)
        self._add_windows = database.statements.accumulate(t.window_counts, ("flow", "slot_at"))
        self._add_noise = database.statements.accumulate(t.noise, ("flow", "system", "field", "hour_at"))
        self._add_samples = database.statements.accumulate(t.samples, ("flow", "hour_at", "policy"))

    def count_lags(self, transaction: Transaction, flow: str, changes: Iterable[Change]) -> None:
        """Add the settled changes to the lag cells of the hour."""
        counted: Counter[tuple[datetime, str, int, int]] = Counter()
        for change in changes:
            cells = cells_of(change.lag_lower_s, change.lag_upper_s)
            if cells is not None and change.settled_at is not None:
                counted[_hour(change.settled_at), change.verdict.value, *cells] += 1
        rows = [
            {
                "rev": transaction.revision,
                "flow": flow,
                **dict(zip(_CELL_KEYS[1:], cell, strict=True)),
                "changes": count,
            }
            for cell, count in counted.items()
        ]
        if rows:
            transaction.execute(self._add_cells, rows)

    def count_windows(
        self, transaction: Transaction, flow: str, decided: Mapping[Verdict, int], at: datetime
    ) -> None:
        """Add verdicts on windows to the slot of an instant."""
        counts = asdict(WindowCounts.of(decided))
        if any(counts.values()):
            row = {"rev": transaction.revision, "flow": flow, "slot_at": _slot(at), **counts}
            transaction.execute(self._add_windows, [row])
            column = t.window_counts.c
            transaction.execute(sa.delete(t.window_counts).where(column.flow == flow, column.slot_at < at - KEPT))

    def windows(self, flow: str, since: Sequence[datetime]) -> list[WindowCounts]:
        """The verdicts on windows of a flow since each of these instants, in slots of five minutes."""
        instants = {f"since_{number}": at - SLOT for number, at in enumerate(since)}
        with self._database.read() as connection:
            parameters = {"flow": flow, "first": min(since) - SLOT, **instants}
            found = [int(each) for each in connection.execute(_window_sums(len(since)), parameters).one()]
        return [WindowCounts(*found[at : at + len(_WINDOWS)]) for at in range(0, len(found), len(_WINDOWS))]

    def missed_after(self, transaction: Transaction, flow: str, at: datetime) -> int:
        """How many windows of a flow were missed after an instant, in slots that began after it."""
        column = t.window_counts.c
        missed = sa.select(sa.func.coalesce(sa.func.sum(column.missed), 0))
        return int(transaction.execute(missed.where(column.flow == flow, column.slot_at > at)).scalar_one())

    def windows_by_hour(self, flow: str, since: datetime) -> list[WindowCounts]:
        """The verdicts on windows of a flow by hour, oldest first, hours without any left out."""
        column = t.window_counts.c
        # Literal, because PostgreSQL does not recognize an expression with parameters in GROUP BY.
        microseconds = sa.literal_column(str(HOUR // MICROSECOND), sa.BigInteger)
        hour = sa.type_coerce(column.slot_at, sa.BigInteger) // microseconds
        sums = [sa.func.sum(column[name]) for name in _WINDOWS]
        wanted = (
            sa.select(*sums).where(column.flow == flow, column.slot_at > since - SLOT).group_by(hour).order_by(hour)
        )
        with self._database.read() as connection:
            return [WindowCounts(*map(int, row)) for row in connection.execute(wanted)]

    def save_samples(self, transaction: Transaction, flow: str, cohorts: Mapping[str, Cohort], at: datetime) -> None:
        """Add cohorts, by policy, to the hour's cohorts."""
        rows = [
            {"rev": transaction.revision, "flow": flow, "hour_at": _hour(at), "policy": policy, **asdict(cohort)}
            for policy, cohort in cohorts.items()
        ]
        if rows:
            transaction.execute(self._add_samples, rows)

    def cohorts_since(self, at: datetime) -> dict[str, Cohort]:
        """The samples from the hour of an instant on, by flow."""
        column = t.samples.c
        sums = [sa.func.sum(column[name]) for name in _COHORT]
        wanted = sa.select(column.flow, *sums).where(column.hour_at >= _hour(at)).group_by(column.flow)
        with self._database.read() as connection:
            rows = connection.execute(wanted).all()
        return {flow: Cohort(**dict(zip(_COHORT, counts, strict=True))) for flow, *counts in rows}

    def count_noise(
        self,
        transaction: Transaction,
        flow: str,
        rereads: Mapping[tuple[str, str], tuple[int, int]],
        at: datetime,
    ) -> None:
        """Add to the hour how many values were read twice, and how many of them were unstable."""
        rows = [
            {
                "rev": transaction.revision,
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
            transaction.execute(self._add_noise, rows)

    def save_clock_steps(self, transaction: Transaction, steps: Sequence[ClockStep]) -> None:
        """Append to `clock_steps`."""
        if steps:
            transaction.execute(
                sa.insert(t.clock_steps), [{"rev": transaction.revision, **asdict(step)} for step in steps]
            )

    def clocks(self) -> dict[str, ClockBounds]:
        """The last known clock bounds of every system, as a start after a restart."""
        with self._database.read() as connection:
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

    def save_health(self, transaction: Transaction, name: str, health: Health, clock: ClockBounds | None) -> None:
        """Write a system's health and its clock bounds."""
        transaction.execute(
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


@cache
def _window_sums(spans: int) -> sa.Select[Any]:
    """The sums of so many spans; making this statement takes longer than its execution."""
    column = t.window_counts.c
    sums = []
    for number in range(spans):
        since = sa.bindparam(f"since_{number}", type_=column.slot_at.type)
        sums += [
            sa.func.coalesce(sa.func.sum(sa.case((column.slot_at > since, column[name]), else_=0)), 0)
            for name in _WINDOWS
        ]
    first = sa.bindparam("first", type_=column.slot_at.type)
    return sa.select(*sums).where(column.flow == sa.bindparam("flow"), column.slot_at > first)


def _slot(at: datetime) -> datetime:
    return at - (at - EPOCH) % SLOT


def _hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)
