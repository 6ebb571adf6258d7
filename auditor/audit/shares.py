"""What each flow may use of a system that several share, or whose calls are few.

Every flow has a purse for each of its systems. What `auditor.audit.budget.shares` gives it, by what it and the others
needed last, comes into it all the time; what the flow really used, second readings and all, is taken out afterwards.
A flow that had to use more than it had pays that back before it gets anything again.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from auditor.audit.budget import EVERYBODY, SLICE_CALLS, UNLIMITED, Calls, Plan, shares
from auditor.map.flow import Flow
from auditor.systems.allowance import CLOCK_SHARE, KEPT, Worth
from auditor.systems.reader import SystemReader

PLANNED = 1 - KEPT[Worth.SWEEP] - CLOCK_SHARE
"""The part of the calls that flows plan with: without what is kept for the more urgent, and what clocks take."""

IDLE_TURNS = 3
"""A flow that has not drawn for so many of its intervals needs nothing at present."""

PATIENCE_TURNS = round(1 / EVERYBODY)
"""After so many turns in which a flow got no sample, or did not ask for changes, it gets them first."""

LEAST_SAVED = 8.0
"""So much at least is saved for a flow whose share is smaller than that, so that it comes to something in the end."""


@dataclass(slots=True, kw_only=True)
class _Purse:
    """What one flow has.

    Attributes:
        every_s: between two of its turns.
        needs: what it needed last, by kind, a second; None before it has drawn.
        wanted: the same of one turn, altogether.
        has: what it may use, less than nothing where it owes.
        used: what it had used altogether when it drew last.
        drawn_at: when that was.
    """

    every_s: float
    needs: Sequence[float] | None = None
    wanted: float = 0.0
    has: float = 0.0
    used: float = 0.0
    drawn_at: float


class Purses:
    """One thing that a system can spare so much of a second, shared by flows; safe to share between threads.

    Args:
        rate: so much, a second.
        every_s: of each flow, the seconds between two of its turns.
        now: seconds of a clock that is never set.
    """

    def __init__(self, rate: float, every_s: Mapping[str, float], now: float) -> None:
        self._rate = rate
        self._at = now
        self._purses = {
            flow: _Purse(every_s=seconds, has=rate * seconds / len(every_s), drawn_at=now)
            for flow, seconds in every_s.items()
        }
        self._lock = threading.Lock()

    def draw(self, flow: str, now: float, needs: Sequence[float], used: float) -> float:
        """What a flow may use now.

        Args:
            needs: what this turn of it needs, by kind, the most urgent first.
            used: what it has used altogether.
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
        records: that may be read.
        least: one record of each kind may be read however few these are.
        calls: that may be sent.
        evenly: the sample or the changes have waited for long.
    """

    records: int
    least: bool = True
    calls: Calls = UNLIMITED
    evenly: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _System:
    """What the flows of one system share.

    Attributes:
        records: None where one flow alone reads it.
        calls: None where they are not limited.
    """

    reader: SystemReader
    records: Purses | None = None
    calls: Purses | None = None


class Shares:
    """What flows may use of their systems.

    Args:
        flows: that are audited in this process, each in its own rhythm.
        readers: of their systems.
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
                calls=None if spare is None else Purses(spare * PLANNED, every_s, now),
            )

    def means(self, flow: Flow, *, deadlines: int, rechecks: int, panel: int, sample: int) -> Means:
        """What a flow's next audit may use, by the tighter of its two systems."""
        records = [deadlines, rechecks, 1 + 2 * self._found[flow.name], panel, 2 * sample]
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
        """Note what became of a turn.

        Args:
            sample: keys that the flow wanted of the sweep.
            found: changes that it found; it may find as many again.
        """
        self._found[flow] = found
        whole = planned.changes and (planned.sample or not sample)
        self._waited[flow] = 0 if whole else self._waited[flow] + 1

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
