"""Each flow's share of a system that several flows read, or whose calls are limited.

Every flow has a purse for each of its systems. It is filled continuously with the flow's share
(`auditor.audit.budget.shares`, by what this flow and the others needed last); what the flow really used, including
second readings, is deducted afterwards. A flow that used more than it had pays that back first.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from auditor.audit.budget import EVERYBODY, SLICE_CALLS, UNLIMITED, Calls, Plan, shares
from auditor.map.flow import Flow
from auditor.systems.allowance import PLANNED, Worth
from auditor.systems.reader import SystemReader

IDLE_TURNS = 3
"""A flow that has not drawn for this many of its intervals currently needs nothing."""

PATIENCE_TURNS = round(1 / EVERYBODY)
"""After this many turns without a sample or without listing changes, a flow gets these first. A turn that reads
nothing does not count: where calls are few, changes are listed as often before any are saved for a sample."""

FIRST_CALLS = 1.0
"""With as many calls a flow starts, so that it lists at once what has changed while nothing was audited."""

LEAST_SAVED = 8.0
"""At least this much is saved for a flow with a smaller share, so that it can read something eventually."""


@dataclass(slots=True, kw_only=True)
class _Purse:
    """The purse of one flow.

    Attributes:
        every_s: the time between two of its turns.
        needs: what it needed last per second, by kind; None before it has drawn.
        wanted: what it needed in its last turn, in total.
        has: what it may use, negative if it owes.
        used: what it had used in total when it drew last.
        drawn_at: when that was.
    """

    every_s: float
    needs: Sequence[float] | None = None
    wanted: float = 0.0
    has: float = 0.0
    used: float = 0.0
    drawn_at: float


class Purses:
    """A limited rate of one system, shared by its flows; safe to share between threads.

    Args:
        rate: the rate per second.
        every_s: the seconds between two turns of each flow.
        now: monotonic seconds.
        least: what each flow has at least at the beginning.
    """

    def __init__(self, rate: float, every_s: Mapping[str, float], now: float, *, least: float = 0.0) -> None:
        self._rate = rate
        self._at = now
        self._purses = {
            flow: _Purse(every_s=seconds, has=max(least, rate * seconds / len(every_s)), drawn_at=now)
            for flow, seconds in every_s.items()
        }
        self._lock = threading.Lock()

    def draw(self, flow: str, now: float, needs: Sequence[float], used: float) -> float:
        """What a flow may use now.

        Args:
            needs: what this turn needs, by kind, the most urgent first.
            used: what the flow has used in total.
        """
        with self._lock:
            self._fill(now)
            purse = self._purses[flow]
            purse.has -= used - purse.used
            purse.used, purse.drawn_at = used, now
            purse.wanted = sum(needs)
            purse.needs = [each / purse.every_s for each in needs]
            return purse.has

    def _fill(self, now: float) -> None:
        passed = max(0.0, now - self._at)
        self._at = max(now, self._at)
        purses = list(self._purses.values())
        given = shares(self._rate, [self._needs(purse, now) for purse in purses])
        for purse, rate in zip(purses, given, strict=True):
            most = max(rate * purse.every_s, purse.wanted, LEAST_SAVED)
            purse.has = min(max(most, purse.has), purse.has + rate * passed)

    def _needs(self, purse: _Purse, now: float) -> Sequence[float]:
        if now - purse.drawn_at > IDLE_TURNS * purse.every_s:
            return [0.0] * len(Worth)
        return purse.needs or [*[0.0] * (len(Worth) - 1), self._rate]


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What one audit may use.

    Attributes:
        records: how many may be read.
        least: one record of each kind may be read in any case.
        calls: how many may be sent.
        evenly: the sample or the changes have waited for a long time.
    """

    records: int
    least: bool = True
    calls: Calls = UNLIMITED
    evenly: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _System:
    """What the flows of one system share.

    Attributes:
        records: None if only one flow reads it.
        calls: None if they are not limited.
    """

    reader: SystemReader
    records: Purses | None = None
    calls: Purses | None = None


class Shares:
    """The shares of all flows in their systems.

    Args:
        flows: the flows audited in this process, each at its own interval.
        readers: the readers of their systems.
    """

    def __init__(self, flows: Sequence[Flow], readers: Mapping[str, SystemReader]) -> None:
        self._systems: dict[str, _System] = {}
        self._found: Counter[str] = Counter()
        self._waited: Counter[str] = Counter()
        for name, reader in readers.items():
            every_s = {flow.name: flow.every_s for flow in flows if name in {flow.source_name, flow.target_name}}
            if not every_s:
                continue
            now, spare = reader.allowance.steady(), reader.allowance.calls_per_s
            records_per_s = reader.allowance.records_per_s
            self._systems[name] = _System(
                reader=reader,
                records=Purses(records_per_s, every_s, now) if len(every_s) > 1 else None,
                calls=None if spare is None else Purses(spare * PLANNED, every_s, now, least=FIRST_CALLS),
            )

    def means(self, flow: Flow, *, deadlines: int, rechecks: int, panel: int, sample: int, burst: int = 0) -> Means:
        """What a flow's next audit may use, by the tighter of its two systems."""
        records = [deadlines, rechecks, 1 + 2 * self._found[flow.name], panel, 2 * sample + burst]
        systems = [self._systems[name] for name in dict.fromkeys((flow.source_name, flow.target_name))]
        kept = [self._records(flow, system, records) for system in systems]
        calls = [self._calls(flow, system, records) for system in systems]
        return Means(
            records=min(number for number, _ in kept),
            least=all(alone for _, alone in kept),
            calls=Calls(
                left=min(each.left for each in calls),
                batch=min(each.batch for each in calls),
                more=max(each.more for each in calls),
            ),
            evenly=self._waited[flow.name] >= PATIENCE_TURNS,
        )

    def note(self, flow: str, planned: Plan, *, sample: int, found: int) -> None:
        """Note the result of a turn.

        Args:
            sample: the keys of the sweep that the flow needed.
            found: the changes that it found; it may find as many again.
        """
        self._found[flow] = found
        whole = planned.changes and (planned.sample or not sample)
        if whole:
            self._waited[flow] = 0
        elif planned.changes or planned.rechecks or planned.panel or planned.sample:
            self._waited[flow] += 1

    def _records(self, flow: Flow, system: _System, needs: Sequence[float]) -> tuple[int, bool]:
        allowance = system.reader.allowance
        if system.records is None:
            return int(allowance.records_per_s * flow.every_s), True
        used = allowance.used(flow.name).records
        return max(0, math.floor(system.records.draw(flow.name, allowance.steady(), needs, used))), False

    def _calls(self, flow: Flow, system: _System, records: Sequence[float]) -> Calls:
        if system.calls is None:
            return UNLIMITED
        spec = flow.source_spec if system.reader.name == flow.source_name else flow.target_spec
        batch, more = system.reader.costs(spec)
        each = more + 1 / batch
        deadlines, rechecks, changes, panel, sample = (number * each for number in records)
        needs = [math.ceil(deadlines), rechecks + 1, changes + 1, panel, sample + SLICE_CALLS if sample else 0.0]
        allowance = system.reader.allowance
        left = system.calls.draw(flow.name, allowance.steady(), needs, allowance.used(flow.name).calls)
        return Calls(left=left, batch=batch, more=more)
