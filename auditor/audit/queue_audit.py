"""One audit of one queue: depth, age and letters, recorded and held against what the map allows."""

from __future__ import annotations

import logging
import time
import traceback
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from auditor.alerts import incidents
from auditor.audit.letter_scan import LetterScan
from auditor.ledger import QUEUE, LeaseLostError, Ledger, LedgerError, Transaction
from auditor.map.flow import Flow
from auditor.systems.reader import ReaderClosedError
from checks.backlog import about_to_drop, age_s, over_allowance, untold
from checks.fields import masked
from checks.letters import main_reason, unreadable_note
from checks.queue_figures import certain
from checks.queue_health import STALLED_AFTER_S, flowing, stalls, trend
from checks.queue_states import Flowing, QueueState
from probes.contract import Letter, ProbeError, QueueProbe, QueueReading, Reason
from probes.durations import format_duration
from probes.queues.message import distinct, sayable, storable
from probes.wording import counted

LOOK_S = 2.0
"""Seconds of one audit that are spent on letters; the next goes on from there."""

STALLED_READINGS = 10
"""A queue from which nothing left for so many readings is stalled. Source: the window of LinkedIn's Burrow."""

CLOCKS_AGREE_S = 1.0
"""Clocks that differ by no more are not worth a word here."""

NOTHING_TOLD = QueueReading(depth=None, oldest_at=None)

WHOLE_BROKER = frozenset({Reason.TIMEOUT, Reason.UNREACHABLE, Reason.AUTH, Reason.PERMISSION, Reason.OVER_BUDGET})
"""Failures to read letters after which the figures cannot be read either, or must not be asked for."""

log = logging.getLogger(__name__)

KEYS = {
    "integer": "an integer",
    "string": "text that can be a key",
    "uuid": "a UUID",
    "salesforce_id": "a Salesforce ID",
}
"""Types of keys in words."""


class QueueAuditor:
    """Audits one queue of a flow again and again.

    Args:
        settings: of the queue's plug-in; its `role` says what the messages in it are.
    """

    def __init__(
        self,
        *,
        flow: Flow,
        queue: str,
        settings: Any,
        probe: QueueProbe,
        ledger: Ledger,
        senders: Sequence[str] = (),
    ) -> None:
        self.flow = flow
        self.queue = queue
        self._settings = settings
        self._probe = probe
        self._ledger = ledger
        self._senders = tuple(senders)
        self._states: deque[QueueState] = deque(maxlen=STALLED_READINGS)
        self._scan = LetterScan(probe.page_limit)
        self._keyless: tuple[str, ...] = ()
        self._failures = 0
        self._closed = False
        self._untold = 0
        self._unkept = False
        self._still_since: datetime | None = None
        self._looked: QueueReading | None = None

    def audit(self, now: datetime) -> QueueReading | ProbeError:
        """Read the queue and record what was seen, also a failure.

        Raises:
            ReaderClosedError: it was closed meanwhile; nothing is recorded then.
            LedgerError: it cannot be recorded.
        """
        self._unkept = False
        try:
            return self._audit(now)
        except LedgerError:
            self._unkept = True
            raise
        finally:
            if self._unkept:
                self._scan = LetterScan(self._probe.page_limit)

    def _audit(self, now: datetime) -> QueueReading | ProbeError:
        try:
            reading, error = self._seen(now)
        except ProbeError as failure:
            self._failures += 1
            self._looked = None
            with self._ledger.write() as transaction:
                self._record(transaction, NOTHING_TOLD, now, failure)
                unmeasured = self._measured(transaction, NOTHING_TOLD, now, failure)
                self._move(transaction, [self._unread(str(failure)), unmeasured], now)
            return failure
        self._failures = self._failures + 1 if error else 0
        unread = self._unread(f"its letters cannot be read: {error}" if error else "")
        self._states.append(
            QueueState(
                read_at=now,
                depth=reading.depth,
                arrived=reading.arrived,
                taken=reading.taken,
                oldest_at=reading.oldest_at,
            )
        )
        with self._ledger.write() as transaction:
            there = self._scan.ended()
            if there is not None:
                self._ledger.queues.end_letters(transaction, self.flow.name, self.queue, there, now)
            if self._settings.role == "dead":
                odd = unreadable_note(self._ledger.queues.unreadable_letters(transaction, self.flow.name, self.queue))
                reading = replace(reading, notes=(*reading.notes, *([odd] if odd else [])))
            self._record(transaction, reading, now, None)
            reason = ""
            if self._lettered(reading):
                reason = main_reason(self._ledger.queues.letter_reasons(transaction, self.flow.name, self.queue))
            unmeasured = self._measured(transaction, reading, now, error)
            self._move(transaction, [*self._evidence(reading, now, reason), unread, unmeasured], now)
        return reading

    def _seen(self, now: datetime) -> tuple[QueueReading, ProbeError | None]:
        """The reading, and why its letters could not be read although its figures could.

        Letters that nobody can read must not hide how many there are.

        Raises:
            ProbeError: nothing could be read.
        """
        if self._settings.role != "dead":
            return self._read(0), None
        try:
            return self._look(now), None
        except ProbeError as error:
            if error.reason in WHOLE_BROKER:
                raise
            figures = self._read(0)
            self._looked = None
            return replace(figures, notes=(*figures.notes, f"its letters cannot be read: {error}")), error

    def _read(self, peek: int, after: str | None = None) -> QueueReading:
        """Read one page, or find that a stop has cut it off, which says nothing about the queue.

        Raises:
            ProbeError: it cannot be read, for whatever reason: what a broker answers is data.
        """
        try:
            reading = certain(self._probe.read(peek, after))
            if not reading.letters:
                return reading
            return replace(reading, letters=distinct(storable(letter) for letter in reading.letters))
        except Exception as error:
            if self._closed:
                raise ReaderClosedError(self.queue) from None
            if isinstance(error, ProbeError):
                raise
            # The text of the error may quote what the broker or a message says.
            kind, place = type(error).__name__, traceback.extract_tb(error.__traceback__)[-1]
            log.warning("queue %s/%s: %s in %s:%s", self.flow.name, self.queue, kind, place.filename, place.lineno)
            raise ProbeError(
                Reason.DECODE, f"an answer that nobody expected ({kind})", hint="where it was met is in the log"
            ) from None

    def _look(self, now: datetime) -> QueueReading:
        """Read the figures, and as many pages of letters as are new and there is time for."""
        if self._scan.resting:
            figures = self._read(0)
            if not self._scan.moved(figures, now):
                return self._as_looked(figures)
        else:
            self._scan.begin()
        first = page = self._read(self._probe.page_limit, self._scan.after)
        self._note_keyless(first)
        until = time.monotonic() + LOOK_S
        self._keep(page, now)
        while self._scan.take(page, now) and time.monotonic() < until:
            try:
                page = self._read(self._probe.page_limit, self._scan.after)
            except ProbeError as error:
                return replace(first, notes=(*first.notes, f"letters behind the first {self._scan.seen}: {error}"))
            self._keep(page, now)
        self._looked = first
        return first

    def _note_keyless(self, page: QueueReading) -> None:
        """Note it where no letter names its record although the map says where it does: then none explains any."""
        where = getattr(self._settings, "key", None)
        if not page.letters:
            return
        keyless = where is not None and all(self._as_kept(letter).key is None for letter in page.letters)
        met = counted(len(page.letters), "letter")
        self._keyless = (f"no usable key at {where} in {met}, so they explain no record",) if keyless else ()

    def _as_looked(self, figures: QueueReading) -> QueueReading:
        """Figures with what only the last look could tell, as long as the same number of messages waits."""
        looked = self._looked
        if looked is None or figures.depth != looked.depth or figures.oldest_at is not None:
            return figures
        return replace(figures, oldest_at=looked.oldest_at, age_of=looked.age_of, drops_at=looked.drops_at)

    def _keep(self, page: QueueReading, now: datetime) -> None:
        """Write down a page of letters; in a transaction of its own, so that nobody waits for all of them."""
        if not page.letters:
            return
        letters = [self._as_kept(letter) for letter in page.letters]
        try:
            with self._ledger.write() as transaction:
                self._ledger.queues.save_letters(transaction, self.flow.name, self.queue, letters, now)
        except LeaseLostError:
            raise
        except LedgerError:
            self._unkept = True  # what the figures tell is told all the same, and the letters are read again

    def _as_kept(self, letter: Letter) -> Letter:
        """A letter with its record's canonical key, told as far as its queue's evidence policy allows."""
        key = letter.key
        if key is not None:
            key = self.flow.parse_key(key)
            if key is None:
                unusable = f"its key is not {KEYS[self.flow.data_type.key_type]}"
                letter = replace(letter, reason=f"{letter.reason}; {unusable}" if letter.reason else unusable)
        policy = self._settings.evidence
        if policy == "private":
            return replace(letter, key=key, headers={}, payload=None)
        if policy == "clear":
            return replace(letter, key=key)
        headers = {name: masked(value) for name, value in letter.headers.items()}
        return replace(letter, key=key, headers=headers, payload=letter.payload and masked(letter.payload))

    def _record(
        self, transaction: Transaction, reading: QueueReading, now: datetime, error: ProbeError | None
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
            "looked_at": self._scan.seen if dead else None,
            "notes": sayable("; ".join((*reading.notes, *self._keyless, *_ahead(reading, now)))),
            "reason": error.reason.value if error else None,
            "message": sayable(error.message) if error else None,
        }
        self._ledger.queues.save_backlog(transaction, values)

    def _evidence(self, reading: QueueReading, now: datetime, reason: str) -> list[incidents.Evidence]:
        """What this reading says about each breach that a queue of this role can have."""
        role, depth, sla = self._settings.role, reading.depth, self.flow.settings.sla
        states = list(self._states)
        over = over_allowance(role, depth, age_s(reading.oldest_at, now), sla.allowance, trend(states))
        if role == "dead":
            dropping = about_to_drop(depth, reading.drops_at, reading.retention_s, sla.drop_notice_s, now)
            letters = replace(self._breach("dead_letters", over), detail=reason)
            return [letters, self._breach("expiring", dropping)]
        return [self._breach("backlog", over), self._breach("stalled", self._stalled(states, now))]

    def _stalled(self, states: list[QueueState], now: datetime) -> int | None:
        """How many messages nobody takes, None where that cannot be told (yet)."""
        flows = flowing(states) if len(states) == STALLED_READINGS else Flowing.UNKNOWN
        since_at = states[0].read_at
        if flows is Flowing.STALLED:
            flows = stalls(states, self._ledger.records.arrived_at(self.flow.name, since_at), least_s=0)
        if flows is not Flowing.STALLED:
            self._still_since = None
            return None if flows is Flowing.UNKNOWN else 0
        self._still_since = self._still_since or since_at
        lasts_s = (now - self._still_since).total_seconds()
        return states[-1].depth if lasts_s >= max(STALLED_AFTER_S, self.flow.window_s) else None

    def _measured(
        self, transaction: Transaction, reading: QueueReading, now: datetime, error: ProbeError | None = None
    ) -> incidents.Evidence:
        """Note what the reading cannot tell; evidence of a queue not measured for longer than the window."""
        role, sla = self._settings.role, self.flow.settings.sla
        why = untold(role, reading.depth, age_s(reading.oldest_at, now), sla.allowance)
        reason = "; ".join((why, *reading.notes)) if why else ""
        if error:
            reason = f"{'cannot be read' if reading is NOTHING_TOLD else 'its letters cannot be read'}: {error}"
        since_at = self._ledger.unverified.note(transaction, self.flow.name, QUEUE, self.queue, reason=reason, at=now)
        self._untold = self._untold + 1 if why and not error else 0
        lasts = since_at is not None and (now - since_at).total_seconds() > self.flow.window_s
        evidence = self._breach("unmeasured_queue", self._untold if lasts else 0 if not why else None)
        return replace(evidence, known=evidence.known and error is None, detail=reason)

    def _lettered(self, reading: QueueReading) -> bool:
        """Whether dead letters wait, and not as many as in the reading before."""
        changed = len(self._states) < 2 or self._states[-2].depth != reading.depth
        return self._settings.role == "dead" and bool(reading.depth) and changed

    def _unread(self, error: str = "") -> incidents.Evidence:
        """Evidence of audits in a row that could not read the queue: what is not watched may be anything."""
        rule = self.flow.settings.alert
        unread = self._breach("unread_queue", self._failures)
        return replace(unread, threshold=rule.failures, detail=error)

    def _move(self, transaction: Transaction, evidence: Sequence[incidents.Evidence], now: datetime) -> None:
        incidents.move(self._ledger, transaction, evidence, flow=self.flow, senders=self._senders, now=now)

    def _breach(self, breach: str, count: int | None) -> incidents.Evidence:
        """Evidence of so many messages; None where it cannot be told."""
        return incidents.Evidence(
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
        self._closed = True
        self._probe.close()


def _ahead(reading: QueueReading, now: datetime) -> list[str]:
    """A message from the future is told: its age is called 0, and one of the two clocks is wrong."""
    if reading.oldest_at is None or (ahead_s := (reading.oldest_at - now).total_seconds()) <= CLOCKS_AGREE_S:
        return []
    return [f"its oldest message is stamped {format_duration(ahead_s)} in the future: a clock is wrong"]
