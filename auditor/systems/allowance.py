"""The calls that may be sent to a system: one account per system in this process, shared by all that read it.

No call is sent that the map's limits do not allow. Calls per second and per minute are counted here, exactly; those
of 24 hours in the ledger as well, so that they survive restarts and crashes: a few calls are reserved there before
the first of them is sent, and those that a crash leaves unused count as sent.

When little is left, the more urgent reads go first (`Worth`): a part of each limit is kept for them.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import ROUND_CEILING
from enum import IntEnum
from typing import Protocol
from uuid import uuid4

from auditor.storage.ledger_error import LedgerError
from auditor.systems.call_limits import SlidingLimit, ToldLimit
from probes.call_deadline import spare
from probes.contract import Key, Reason
from probes.durations import measured
from probes.metering import RateLimit, SpentError, current_operation
from probes.settings import Budget, OperationLimits, SystemSettings
from probes.wording import counted

DAY_S = 86_400.0

SLOT_S = 60.0
"""A day's calls are stored per minute, and count until 24 hours after the end of that minute."""

BLOCKS = 1_000
"""Blocks in which a day's calls are reserved in the ledger; a crash loses at most one."""

BLOCK_MOST = 1_000
"""The largest block."""

LONGEST_WAIT_S = 10.0
"""The longest wait for a call, also without a deadline."""

TOLD_KEEPS_S = 900.0
"""How long a vendor's limit counts at most if it does not report when it resets: its window may slide."""

MARGIN, LONGEST_MARGIN_S = 0.1, 1.0
"""Calls count a tenth longer than the window of their limit, at most this much longer: 1.1 s and 61 s. The system
counts them on arrival, and the second of two calls may travel for less time than the first."""

CLOCK_SHARE = 0.05
"""The part of a day's calls that readings of the system's clock may use in one process, besides those for a verdict;
one reading is always allowed."""


class Worth(IntEnum):
    """What a call is for, the most urgent first."""

    DEADLINE = 0
    RECHECK = 1
    CHANGE = 2
    PANEL = 3
    SWEEP = 4


PURPOSES: Mapping[Worth, str] = {
    Worth.DEADLINE: "records whose window ends",
    Worth.RECHECK: "rechecks",
    Worth.CHANGE: "changes",
    Worth.PANEL: "the panel",
    Worth.SWEEP: "the sweep",
}

KEPT: Mapping[Worth, float] = {
    Worth.DEADLINE: 0.0,
    Worth.RECHECK: 0.02,
    Worth.CHANGE: 0.05,
    Worth.PANEL: 0.10,
    Worth.SWEEP: 0.15,
}
"""The part of a limit that is kept for more urgent calls; none of a second's calls is, as the next second is near."""

PLANNED = 1 - KEPT[Worth.SWEEP] - CLOCK_SHARE
"""The part of the calls that flows plan with: without those kept for more urgent reads, and those for clocks."""


@dataclass(frozen=True, slots=True)
class Spender:
    """The purpose of calls.

    Attributes:
        worth: their urgency.
        flow: the flow that is audited, "" for none.
        keys: the urgency of each record, if they differ.
    """

    worth: Worth = Worth.RECHECK
    flow: str = ""
    keys: Mapping[Key, Worth] = field(default_factory=dict)

    def worth_of(self, key: Key) -> Worth:
        """The urgency of a record."""
        return self.keys.get(key, self.worth)


_SOMEBODY = Spender()
_spender: ContextVar[Spender] = ContextVar("spender", default=_SOMEBODY)


def spender() -> Spender:
    """The purpose of the current calls."""
    return _spender.get()


@contextmanager
def spending(worth: Worth, *, flow: str | None = None, keys: Mapping[Key, Worth] | None = None) -> Iterator[None]:
    """Set the purpose of calls inside the block; without a flow, that of the current one is kept."""
    token = _spender.set(Spender(worth, _spender.get().flow if flow is None else flow, keys or {}))
    try:
        yield
    finally:
        _spender.reset(token)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserved:
    """A reservation in the ledger.

    Attributes:
        calls: how many may be spent now; they count from now on, sent or not.
        counted: calls of the last 24 hours, including these.
        free_at: when the oldest of them stop counting, None if there are none.
    """

    calls: int
    counted: int
    free_at: datetime | None = None


class DayBook(Protocol):
    """Stores the calls of the last 24 hours."""

    def reserve(
        self, system: str, holder: str, slot_at: datetime, *, calls: int, limit: int, sent: Mapping[datetime, int]
    ) -> Reserved:
        """Reserve up to this many calls, in a separate transaction.

        Args:
            holder: who reserves; unlike any other.
            slot_at: the minute in which they may be sent; see `slot_of`.
            limit: the most calls within 24 hours, of all holders together.
            sent: by earlier minute, how many of the calls reserved for it were sent; the others are given back.

        Raises:
            LedgerError: it cannot be written, and nothing is reserved.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """The clocks of an allowance, and how it waits.

    Attributes:
        steady: monotonic seconds.
        now: the present instant.
        sleep: waits for some seconds.
    """

    steady: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    sleep: Callable[[float], object] = time.sleep


@dataclass(frozen=True, slots=True)
class Used:
    """The usage of one flow, or of all, since the process started."""

    calls: int = 0
    records: int = 0


class Allowance:
    """The calls that may be sent to one system, and the records read from it; safe to share between threads.

    Args:
        system: its name in the map.
        book: stores a day's calls; without one they are counted only within this process.
        operations: separate limits of single operations (`probes.metering.operation`).
    """

    def __init__(
        self,
        system: str,
        budget: Budget,
        book: DayBook | None = None,
        clocks: Clocks | None = None,
        operations: Mapping[str, OperationLimits] | None = None,
    ) -> None:
        self.system = system
        self._budget = budget
        self._clocks = clocks or Clocks()
        self._book = book if budget.calls_per_day is not None else None
        self._holder = uuid4().hex
        self._limits = {
            name: SlidingLimit(limit, counted_s(seconds), grain_s=SLOT_S if seconds >= DAY_S else 0.0)
            for name, (limit, seconds) in budget.call_limits.items()
        }
        self._operations = {
            operation: {
                f"{operation} {name}": SlidingLimit(limit, counted_s(seconds))
                for name, (limit, seconds) in limits.call_limits.items()
            }
            for operation, limits in (operations or {}).items()
        }
        per_day = budget.calls_per_day
        self._looks = None if per_day is None else SlidingLimit(max(1, int(CLOCK_SHARE * per_day)), DAY_S)
        self._told: dict[float | None, ToldLimit] = {}
        self._in_hand = 0
        self._slot: datetime | None = None
        self._sent: Counter[datetime] = Counter()
        self._counted = 0
        self._refused_until: dict[Worth, float] = {}
        self._waiting: Counter[tuple[Worth, str]] = Counter()
        self._calls: Counter[str] = Counter()
        self._records: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def forgets(self) -> bool:
        """Whether a day's calls are forgotten when the process ends."""
        return self._budget.calls_per_day is not None and self._book is None

    @property
    def limited(self) -> bool:
        """Whether calls are currently limited, by the map or by the vendor."""
        return bool(self._limits or self._told or any(self._operations.values()))

    @property
    def clock_keeps_s(self) -> float:
        """The minimum time that a reading of the clock is kept, so that readings use few of a day's calls."""
        per_day = self._budget.calls_per_day
        return 0.0 if per_day is None else DAY_S / (CLOCK_SHARE * per_day)

    @property
    def looks_left(self) -> float:
        """How many readings of the clock still fit into their part of a day's calls."""
        with self._lock:
            return math.inf if self._looks is None else self._looks.limit - self._looks.used(self._clocks.steady())

    def look(self, *, needed: bool = False) -> bool:
        """Count a reading of the clock that is about to be sent; false if its part of a day's calls is spent.

        Args:
            needed: a verdict depends on it, so it is counted and never refused here.
        """
        with self._lock:
            now = self._clocks.steady()
            if self._looks is None:
                return True
            if not needed and self._looks.wait_s(now, 1) > 0.0:
                return False
            self._looks.spend(now, 1)
            return True

    @property
    def records_per_s(self) -> float:
        """How many records per second may be read on average."""
        return self._budget.records_per_s

    def steady(self) -> float:
        """Monotonic seconds."""
        return self._clocks.steady()

    @property
    def calls_per_s(self) -> float | None:
        """The sustained number of calls per second that the limits allow, None for any number."""
        return min((each.limit / each.seconds for each in self._limits.values()), default=None)

    def used(self, flow: str | None = None) -> Used:
        """The usage since the process started, of one flow or in total."""
        with self._lock:
            if flow is None:
                return Used(self._calls.total(), self._records.total())
            return Used(self._calls[flow], self._records[flow])

    # -- spending

    def spend(self, calls: int = 1) -> None:
        """Spend calls that are about to be sent; see `probes.metering.Meter`."""
        spender, operation = _spender.get(), current_operation()
        waited_s = 0.0
        while True:
            with self._lock:
                wait_s = self._wait_s(calls, spender.worth, operation)
                if wait_s <= 0.0:
                    self._take(calls, spender.flow, operation)
                    return
                if wait_s > min(spare(), LONGEST_WAIT_S - waited_s):
                    raise self._refusal(calls, spender.worth, wait_s, operation)
                self._waiting[spender.worth, operation] += calls
            try:
                self._clocks.sleep(wait_s)
            finally:
                waited_s += wait_s
                with self._lock:
                    self._waiting[spender.worth, operation] -= calls

    def learned(self, limit: RateLimit) -> None:
        """Take a limit that the vendor reports into account; see `probes.metering.Meter`."""
        if limit.left is None:
            return
        told_s = limit.resets_in_s
        lasts_s = min(limit.per or TOLD_KEEPS_S, TOLD_KEEPS_S) if told_s is None else told_s
        with self._lock:
            until = self._clocks.steady() + max(0.0, min(lasts_s, DAY_S))
            self._told[limit.per] = ToldLimit(limit=limit.limit, left=max(0, limit.left), until=until)

    def read(self, records: int) -> None:
        """Count records that were read."""
        with self._lock:
            self._records[_spender.get().flow] += records

    def free(self, worth: Worth) -> float:
        """How many calls of this worth may be sent before one has to wait for longer than a second."""
        with self._lock:
            now = self._clocks.steady()
            counted = [limit for limit in self._limits.values() if limit.seconds >= SLOT_S]
            free = [float(limit.limit - kept_of(limit.limit, worth) - limit.used(now)) for limit in counted]
            told = [each for each in self._told.values() if now < each.until]
            free += [float(each.left - kept_of(each.limit or each.left, worth)) for each in told]
            return max(0.0, min(free, default=math.inf))

    def room_s(self, worth: Worth, calls: int) -> float:
        """How long until this many calls of this worth are free (`free`), or as many as ever can be."""
        with self._lock:
            now = self._clocks.steady()
            waits = [0.0]
            for limit in self._limits.values():
                if limit.seconds >= SLOT_S:
                    kept = kept_of(limit.limit, worth)
                    waits.append(limit.wait_s(now, min(calls, max(1, limit.limit - kept)), kept=kept))
            for told in self._told.values():
                kept = kept_of(told.limit or told.left, worth)
                most = calls if told.limit is None else min(calls, max(1, told.limit - kept))
                waits.append(told.wait_s(now, most, kept=kept))
            return max(waits)

    def wait_s(self, worth: Worth) -> float:
        """How long until a call of this worth may be sent."""
        with self._lock:
            return self._wait_s(1, worth)

    def close(self) -> None:
        """Return what was reserved and not sent."""
        with self._lock:
            if self._book is None or self._slot is None:
                return
            slot, self._slot, self._in_hand = self._slot, None, 0
            sent, self._sent = dict(self._sent), Counter()
            with contextlib.suppress(LedgerError):  # then it counts as sent, as after a crash
                self._book.reserve(self.system, self._holder, slot, calls=0, limit=0, sent=sent)
            self._holder = uuid4().hex  # later calls are separate from what was settled

    # -- all of these hold the lock

    def _wait_s(self, calls: int, worth: Worth, operation: str = "") -> float:
        now = self._clocks.steady()
        first = {use: number for use, number in self._waiting.items() if use[0] < worth}
        ahead = sum(first.values())
        of_operation = sum(number for (_, other), number in first.items() if other == operation)
        waits = [0.0]
        for limits, before in ((self._limits, ahead), (self._operations.get(operation, {}), of_operation)):
            for limit in limits.values():
                kept = kept_of(limit.limit, worth) if limit.seconds >= SLOT_S else 0
                at_once = min(calls + before, max(calls, limit.limit - kept))
                waits.append(limit.wait_s(now, at_once, kept=kept))
        for per, told in list(self._told.items()):
            if now >= told.until:
                del self._told[per]
            else:
                waits.append(told.wait_s(now, calls + ahead, kept=kept_of(told.limit or told.left, worth)))
        longest = max(waits)
        return longest if longest > 0.0 or self._book is None else self._provide(calls, worth, now)

    def _take(self, calls: int, flow: str, operation: str) -> None:
        now = self._clocks.steady()
        for limit in (*self._limits.values(), *self._operations.get(operation, {}).values()):
            limit.spend(now, calls)
        for told in self._told.values():
            told.left = max(0, told.left - calls)
        if self._slot is not None:
            self._in_hand -= calls
            self._sent[self._slot] += calls
        self._calls[flow] += calls

    def _provide(self, calls: int, worth: Worth, now: float) -> float:
        """Reserve this many calls in the ledger; returns how long until that is possible, 0 if they are."""
        limit = self._budget.calls_per_day or 0
        allowed = limit - kept_of(limit, worth)
        slot = slot_of(self._clocks.now())
        if self._slot is not None:
            slot = max(slot, self._slot)  # a clock that was set back must not settle anything twice
        if slot == self._slot:
            if self._in_hand >= calls and self._counted - self._in_hand + calls <= allowed:
                return 0.0
            if now < self._refused_until.get(worth, 0.0):
                return self._refused_until[worth] - now
        block = max(calls, min(BLOCK_MOST, limit // BLOCKS))
        try:
            found = self._reserve(slot, block, allowed)
        except LedgerError as error:
            raise SpentError(
                Reason.OVER_BUDGET,
                f"nothing is sent to {self.system}: its calls_per_day cannot be recorded: {error}",
            ) from None
        if self._in_hand >= calls and self._counted - self._in_hand + calls <= allowed:
            return 0.0
        wait_s = SLOT_S
        if found.free_at is not None:
            wait_s = min(DAY_S, max(1.0, (found.free_at - self._clocks.now()).total_seconds()))
        self._refused_until[worth] = now + wait_s
        return wait_s

    def _reserve(self, slot: datetime, calls: int, limit: int) -> Reserved:
        assert self._book is not None
        sent = {earlier: number for earlier, number in self._sent.items() if earlier != slot}
        found = self._book.reserve(self.system, self._holder, slot, calls=calls, limit=limit, sent=sent)
        if slot != self._slot:
            self._slot, self._in_hand, self._refused_until = slot, 0, {}
            self._sent = Counter({slot: 0})
        self._in_hand += found.calls
        self._counted = found.counted
        return found

    def _refusal(self, calls: int, worth: Worth, wait_s: float, operation: str) -> SpentError:
        apply = self._limits | self._operations.get(operation, {})
        limits = ", ".join(f"{name}: {limit.limit}" for name, limit in apply.items()) or "by the vendor"
        message = f"the calls of {self.system} are spent ({limits})"
        if not math.isfinite(wait_s):
            hint = f"{counted(calls, 'call')} at once are more than it allows"
            return SpentError(Reason.OVER_BUDGET, message, hint=hint)
        again = f"calls for {PURPOSES[worth]} go on in {measured(max(1.0, wait_s), ROUND_CEILING)}"
        hint = f"{again}; raise the system's budget if the system can take more calls"
        return SpentError(Reason.OVER_BUDGET, message, hint=hint, retry_after_s=wait_s)


def counted_s(seconds: float) -> float:
    """How long a call counts for a limit with this window; see `MARGIN`. A day's slots already are a margin."""
    return seconds if seconds >= DAY_S else seconds + min(LONGEST_MARGIN_S, MARGIN * seconds)


def kept_of(limit: int, worth: Worth) -> int:
    """The calls of a limit that are kept for more urgent ones."""
    return int(limit * KEPT[worth])


def slot_of(at: datetime) -> datetime:
    """The minute under which calls are stored."""
    return at.replace(second=0, microsecond=0)


class CallMeter:
    """The meter of one call of a probe.

    Attributes:
        calls: requests or statements that it has sent.
    """

    def __init__(self, allowance: Allowance) -> None:
        self._allowance = allowance
        self.calls = 0

    def spend(self, calls: int = 1) -> None:
        """See `probes.metering.Meter`."""
        self._allowance.spend(calls)
        self.calls += calls

    def learned(self, limit: RateLimit) -> None:
        """See `probes.metering.Meter`."""
        self._allowance.learned(limit)


def open_allowances(
    systems: Mapping[str, SystemSettings], book: DayBook | None = None, clocks: Clocks | None = None
) -> dict[str, Allowance]:
    """An allowance for every system; one set of them serves all that read in a process."""
    return {
        name: Allowance(name, settings.budget, book, clocks, settings.operation_limits)
        for name, settings in systems.items()
    }
