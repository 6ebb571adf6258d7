"""Waiting for what a flow's owner announces, so that a change is enrolled as it happens and not in the next turn.

Announcements are an addition: if they fail or are late, changes are found by their stamps as before.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

from auditor.audit.flow_audit import Auditor
from auditor.ledger import LedgerError
from auditor.systems.allowance import Worth, spending
from auditor.systems.caller import ReaderClosedError
from probes.contract import ProbeError, Reason

AT_ONCE = 500
"""Announcements taken at once."""

UNREAD_MOST = 5_000
"""No more are taken while this many have not been read."""

WAIT_S = 300.0
"""How long one wait lasts: event buses send something every few minutes, if only that there is nothing."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 300.0
"""Pauses after failures, each twice as long as the one before."""

LOOK_S = 0.5
"""How often it is checked whether an audit has made room for more."""

BREATH_S = 0.1
"""The pause after a response without announcements: a server may send them without end."""

WAKES_SHARE = 0.2
"""The part of a day's calls that audits between two turns may cost."""

CALLS_OF_WAKE = 2
"""Calls of a system that such an audit takes: a reading and, if something differs, a second one."""

DAY_S, HOUR_S = 86_400.0, 3_600.0

log = logging.getLogger(__name__)


class Wakes:
    """How many audits between two turns a system's calls per day allow; a bucket that fills up within an hour.

    Args:
        calls_per_day: None for any number.
        now: returns monotonic seconds.
    """

    def __init__(self, calls_per_day: int | None, *, now: Callable[[], float] = time.monotonic) -> None:
        self._per_s = None if calls_per_day is None else WAKES_SHARE * calls_per_day / CALLS_OF_WAKE / DAY_S
        self._now = now
        self._lock = threading.Lock()
        self._filled_at = now()
        self._left = 0.0 if self._per_s is None else max(1.0, self._per_s * HOUR_S)
        self._most = self._left

    def take(self) -> bool:
        """Take one; returns whether there was one."""
        if self._per_s is None:
            return True
        with self._lock:
            now = self._now()
            self._left = min(self._most, self._left + (now - self._filled_at) * self._per_s)
            self._filled_at = now
            if self._left < 1.0:
                return False
            self._left -= 1.0
            return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscriber:
    """A flow that is to have the announcements of its owner.

    Attributes:
        wake: has the flow audited soon.
    """

    auditor: Auditor
    wake: Callable[[], None]

    @property
    def full(self) -> bool:
        """Whether too many announced records have not been read yet."""
        return self.auditor.announced >= UNREAD_MOST


def grouped(subscribers: Iterable[Subscriber]) -> list[list[Subscriber]]:
    """Flows that can share a subscription: they start from the same data type of one owner, at the same position.

    Raises:
        LedgerError: the positions could not be read.
    """
    groups: dict[Hashable, list[Subscriber]] = {}
    for subscriber in subscribers:
        flow = subscriber.auditor.flow
        shared = (flow.source_name, flow.settings.data_type, subscriber.auditor.announced_to())
        groups.setdefault(shared, []).append(subscriber)
    return list(groups.values())


class Listener:
    """Listens for some flows that share a subscription, on a thread of its own.

    Args:
        subscribers: see `grouped`.
        stopping: set when the daemon stops.
    """

    def __init__(self, subscribers: Sequence[Subscriber], stopping: threading.Event) -> None:
        self._subscribers = subscribers
        self._first = subscribers[0].auditor
        self._stopping = stopping
        self._failures = 0

    def start(self) -> None:
        """Start; returns at once. The thread ends once its reader is closed."""
        name = f"announcements {self._first.flow.name}"
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def _run(self) -> None:
        position, known = None, False
        while not self._stopping.is_set():
            try:
                if not known:
                    position, known = self._first.announced_to(), True
                position = self._listen(position)
            except ReaderClosedError:
                return
            except LedgerError:
                self._pause()  # the audits report it
            except ProbeError as failure:
                position = self._failed(failure, position)
            except Exception:
                if not self._stopping.is_set():
                    log.exception("announcements of %s failed", self._first.flow.source_name)
                self._pause()

    def _listen(self, position: str | None) -> str | None:
        """Wait for announcements and hand them on; returns the position after them."""
        while all(each.full for each in self._subscribers):
            if self._stopping.wait(LOOK_S):
                return position
        flow, source = self._first.flow, self._first.source
        with spending(Worth.CHANGE, flow=flow.name):
            announced = source.announced(flow.source_spec, position, AT_ONCE, WAIT_S)
        if self._failures:
            log.info("%s announces changes again", flow.source_name)
        self._failures = 0
        for each in self._subscribers:
            if each.full and announced.keys:  # the others need not wait for it
                each.auditor.announce_gap()
                continue
            each.auditor.announce(announced)
            if each.auditor.announced:
                each.wake()
        if not announced.keys:
            self._stopping.wait(BREATH_S)
        return announced.position or position

    def _failed(self, failure: ProbeError, position: str | None) -> str | None:
        """Report a failure and pause; returns the position from which to go on."""
        name = self._first.flow.source_name
        if failure.reason is Reason.CURSOR_LOST and position is not None:
            log.warning(
                "announcements of %s were lost, changes since then are found by their stamps or by the sweep: %s",
                name,
                failure,
            )
            for each in self._subscribers:
                each.auditor.announce_gap()
            return None
        if self._failures == 0:
            log.warning(
                "%s announces no changes, they are found by their stamps meanwhile: %s",
                name,
                failure,
            )
        self._pause()
        return position

    def _pause(self) -> None:
        self._stopping.wait(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**self._failures))
        self._failures = min(self._failures + 1, 16)
