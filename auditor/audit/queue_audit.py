"""One audit of one queue: depth, age and letters, recorded and compared with what the map allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from auditor.alerts.reporter import Reporter
from auditor.audit.memory import QueueMemory, no_queue_memory
from auditor.audit.queue_reading import QueueReader, QueueSeen
from auditor.ledger import QUEUE, LeaseLostError, Ledger, LedgerError, Transaction
from auditor.map.flow import Flow
from checks.backlog import about_to_drop, age_s, over_allowance, untold
from checks.breach_life import BreachSignal
from checks.breaches import Breach
from checks.letters import main_reason, unreadable_note
from checks.queue_health import STALLED_AFTER_S, STALLED_READINGS, flowing, late_stall, stalls, trend
from checks.queue_states import Flowing, QueueState
from probes.contract import ProbeError
from probes.durations import measured
from probes.queue_contract import Letter, QueueProbe, QueueReading
from probes.queues.message import sayable

CLOCKS_AGREE_S = 1.0
"""Clock differences up to this are not reported here."""

NOTHING_TOLD = QueueReading(depth=None, oldest_at=None)


class QueueAuditor:
    """Audits one queue of a flow repeatedly.

    Args:
        settings: of the queue's plug-in; its `role` says what the messages in it are.
        reporter: of the whole map; by default of this flow, notifying nobody.

    Attributes:
        memory: what is remembered from one audit to the next; replaced at the end of an audit.
        probe: closed by `close()`.
    """

    def __init__(
        self,
        *,
        flow: Flow,
        queue: str,
        settings: Any,
        probe: QueueProbe,
        ledger: Ledger,
        reporter: Reporter | None = None,
    ) -> None:
        self.flow = flow
        self.queue = queue
        self.memory = no_queue_memory(probe.page_limit)
        self.probe = probe
        self._settings = settings
        self._reader = QueueReader(flow, queue, settings, probe, self._keep)
        self._ledger = ledger
        self._reporter = reporter or Reporter(ledger, [flow])

    def audit(self, now: datetime) -> QueueReading | ProbeError:
        """Read the queue and record what was seen, including a failure.

        Raises:
            ReaderClosedError: it was closed meanwhile; nothing is recorded then.
            LedgerError: it cannot be recorded.
        """
        before = self.memory
        try:
            reading, self.memory = self._audited(now, before)
        except LedgerError:
            self.memory = before.to_look_again()
            raise
        return reading

    def _audited(self, now: datetime, before: QueueMemory) -> tuple[QueueReading | ProbeError, QueueMemory]:
        try:
            seen = self._reader.read(now, before)
        except ProbeError as failure:
            memory = replace(before, failures=before.failures + 1, looked=None, untold=0)
            with self._ledger.write() as transaction:
                self._record(transaction, NOTHING_TOLD, now, failure, memory)
                unmeasured = self._measured(transaction, NOTHING_TOLD, now, failure, memory)
                self._move(transaction, [self._unread(memory, str(failure)), unmeasured], now)
            return failure, memory
        states = self._states(seen, now)
        late = self._late_states(states)
        flows = self._flows(states) if self._settings.role != "dead" else Flowing.UNKNOWN
        if late:
            flows = Flowing.STALLED
        memory = self._remembered(seen, now, states, flows, late)
        unread = self._unread(memory, f"its letters cannot be read: {seen.error}" if seen.error else "")
        reading = seen.reading
        with self._ledger.write() as transaction:
            if seen.letters is not None:
                self._ledger.queues.end_letters(transaction, self.flow.name, self.queue, seen.letters, now)
            if self._settings.role == "dead":
                odd = unreadable_note(self._ledger.queues.unreadable_letters(transaction, self.flow.name, self.queue))
                reading = replace(reading, notes=(*reading.notes, *([odd] if odd else [])))
            self._record(transaction, reading, now, None, memory)
            reason = ""
            if self._lettered(memory):
                reason = main_reason(self._ledger.queues.letter_reasons(transaction, self.flow.name, self.queue))
            unmeasured = self._measured(transaction, reading, now, seen.error, memory)
            self._move(transaction, [*self._signals(reading, now, reason, memory, flows), unread, unmeasured], now)
        return reading, memory if seen.kept else memory.to_look_again()

    def _states(self, seen: QueueSeen, now: datetime) -> tuple[QueueState, ...]:
        """The last readings, including this one."""
        reading = seen.reading
        state = QueueState(
            read_at=now,
            depth=reading.depth,
            arrived=reading.arrived,
            taken=reading.taken,
            oldest_at=reading.oldest_at,
        )
        return (*seen.memory.states, state)[-STALLED_READINGS:]

    def _remembered(
        self,
        seen: QueueSeen,
        now: datetime,
        states: tuple[QueueState, ...],
        flows: Flowing,
        late: tuple[QueueState, ...],
    ) -> QueueMemory:
        """What is remembered once this reading is recorded."""
        memory = seen.memory
        return replace(
            memory,
            states=states,
            failures=memory.failures + 1 if seen.error else 0,
            untold=memory.untold + 1 if self._untold(seen.reading, now) and not seen.error else 0,
            still_since=(memory.still_since or (late or states)[0].read_at) if flows is Flowing.STALLED else None,
            late=bool(late),
        )

    def _keep(self, letters: Sequence[Letter], now: datetime) -> bool:
        """Record a page of letters; if that fails, they are read again later, and the figures are reported anyway."""
        try:
            with self._ledger.write() as transaction:
                self._ledger.queues.save_letters(transaction, self.flow.name, self.queue, letters, now)
        except LeaseLostError:
            raise
        except LedgerError:
            return False
        return True

    def _record(
        self,
        transaction: Transaction,
        reading: QueueReading,
        now: datetime,
        error: ProbeError | None,
        memory: QueueMemory,
    ) -> None:
        dead = self._settings.role == "dead" and error is None
        values = {
            "flow": self.flow.name,
            "queue": self.queue,
            "role": self._settings.role,
            "read_at": now,
            "depth": reading.depth,
            "oldest_at": reading.oldest_at,
            "oldest_age_s": age_s(reading.oldest_at, now),
            "age_of": reading.age_of,
            "arrived": reading.arrived,
            "taken": reading.taken,
            "retention_s": reading.retention_s,
            "drops_at": reading.drops_at,
            "looked_at": len(memory.scan.met) if dead else None,
            "notes": sayable("; ".join((*reading.notes, *memory.keyless, *_ahead(reading, now)))),
            "reason": error.reason.value if error else None,
            "message": sayable(error.message) if error else None,
        }
        self._ledger.queues.save_backlog(transaction, values)

    def _signals(
        self, reading: QueueReading, now: datetime, reason: str, memory: QueueMemory, flows: Flowing
    ) -> list[BreachSignal]:
        """The signals of this reading for each breach that a queue of this role can have."""
        role, depth, sla = self._settings.role, reading.depth, self.flow.settings.sla
        over = over_allowance(role, depth, age_s(reading.oldest_at, now), sla.allowance, trend(memory.states))
        if role == "dead":
            dropping = about_to_drop(depth, reading.drops_at, reading.retention_s, sla.drop_notice_s, now)
            letters = replace(self._breach(Breach.DEAD_LETTERS, over), detail=reason)
            return [letters, self._breach(Breach.EXPIRING, dropping)]
        return [self._breach(Breach.BACKLOG, over), self._breach(Breach.STALLED, self._stalled(memory, flows, now))]

    def _flows(self, states: Sequence[QueueState]) -> Flowing:
        """Whether messages leave the queue; unknown if that is not known (yet)."""
        flows = flowing(states) if len(states) == STALLED_READINGS else Flowing.UNKNOWN
        if flows is Flowing.STALLED:
            return stalls(states, self._ledger.records.arrived_at(self.flow.name, states[0].read_at), least_s=0)
        return flows

    def _late_states(self, states: tuple[QueueState, ...]) -> tuple[QueueState, ...]:
        """The readings of the last window if messages wait while changes of the flow are late, () if not."""
        waits = self._settings.role != "dead" and late_stall(states, None, self.flow.window_s)
        if not waits or not self._ledger.records.any_late(self.flow.name):
            return ()
        arrived_at = self._ledger.records.arrived_at(self.flow.name, waits[0].read_at)
        return tuple(late_stall(states, arrived_at, self.flow.window_s))

    def _stalled(self, memory: QueueMemory, flows: Flowing, now: datetime) -> int | None:
        """How many messages are not being consumed, None if that is not known (yet)."""
        if memory.still_since is None:
            return None if flows is Flowing.UNKNOWN else 0
        lasts_s = (now - memory.still_since).total_seconds()
        if lasts_s >= max(STALLED_AFTER_S, self.flow.window_s):
            return memory.states[-1].depth
        return memory.states[-1].depth if memory.late and lasts_s >= self.flow.window_s else None

    def _untold(self, reading: QueueReading, now: datetime) -> str:
        """Which required figures are missing."""
        sla = self.flow.settings.sla
        return untold(self._settings.role, reading.depth, age_s(reading.oldest_at, now), sla.allowance)

    def _measured(
        self,
        transaction: Transaction,
        reading: QueueReading,
        now: datetime,
        error: ProbeError | None,
        memory: QueueMemory,
    ) -> BreachSignal:
        """Note missing figures; returns the signal of a queue not measured for longer than the window."""
        why = self._untold(reading, now)
        reason = "; ".join((why, *reading.notes)) if why else ""
        if error:
            reason = f"{'cannot be read' if reading is NOTHING_TOLD else 'its letters cannot be read'}: {error}"
        since_at = self._ledger.unverified.note(transaction, self.flow.name, QUEUE, self.queue, reason=reason, at=now)
        lasts = since_at is not None and (now - since_at).total_seconds() > self.flow.window_s
        signal = self._breach(Breach.UNMEASURED_QUEUE, memory.untold if lasts else 0 if not why else None)
        return replace(signal, known=signal.known and error is None, detail=reason)

    def _lettered(self, memory: QueueMemory) -> bool:
        """Whether dead letters are waiting, in a different number than at the last reading."""
        depth = memory.states[-1].depth
        changed = len(memory.states) < 2 or memory.states[-2].depth != depth
        return self._settings.role == "dead" and bool(depth) and changed

    def _unread(self, memory: QueueMemory, error: str) -> BreachSignal:
        """The signal of consecutive audits that could not read the queue: an unwatched queue may hold anything."""
        rule = self.flow.settings.alert
        unread = self._breach(Breach.UNREAD_QUEUE, memory.failures)
        return replace(unread, threshold=rule.failures, detail=error)

    def _move(self, transaction: Transaction, signals: Sequence[BreachSignal], now: datetime) -> None:
        self._reporter.report(transaction, signals, now)

    def _breach(self, breach: Breach, count: int | None) -> BreachSignal:
        """The signal of so many messages; None if the number is unknown."""
        return BreachSignal(
            breach=breach,
            fingerprint=f"flow/{self.flow.name}/{breach}/{self.queue}",
            count=count or 0,
            threshold=1,
            clear_after_s=self.flow.clear_after_s,
            known=count is not None,
            flow=self.flow.name,
            queue=self.queue,
        )

    def close(self) -> None:
        """Close the queue's probe, cutting off a read under way."""
        self._reader.close()


def _ahead(reading: QueueReading, now: datetime) -> list[str]:
    """Notes on messages from the future: their age is reported as 0, and one of the two clocks is wrong."""
    if reading.oldest_at is None or (ahead_s := (reading.oldest_at - now).total_seconds()) <= CLOCKS_AGREE_S:
        return []
    return [f"its oldest message is stamped {measured(ahead_s)} in the future: a clock is wrong"]
