"""The jobs that notify people: sending what waits in the outbox, escalating, and ending snoozes and silences."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from auditor.alerts.delivery import deliver_next, deliver_unrecorded, open_pace, settle_unrecorded
from auditor.alerts.escalation import escalate
from auditor.alerts.silencing import hold_back, keep_windows
from auditor.alerts.waking import wake
from auditor.daemon.ledger_watch import LedgerWatch
from auditor.ledger import LeaseLostError, Ledger, LedgerError
from auditor.map.settings import Alerts
from auditor.senders.contract import Sender
from probes.wording import counted

SEND_EVERY_S = 1.0
"""Slack accepts about one message per second and channel."""

SEND_FOR_S = 30.0
"""How long a sender goes on before it is its turn again, so that one that hangs can be recognised."""

log = logging.getLogger(__name__)


class Messages:
    """What a daemon does about messages, with the senders of its map."""

    def __init__(self, ledger: Ledger, senders: Mapping[str, Sender], settings: Alerts) -> None:
        self._ledger = ledger
        self._senders = senders
        self._settings = settings

    def sending(self, to: str, watch: LedgerWatch, stopping: threading.Event) -> Callable[[], None]:
        """The job that sends what waits for one receiver, also what a failing ledger could not record."""
        unrecorded = watch.unrecorded
        pace = open_pace(self._ledger, to, datetime.now(UTC))

        def each(deliver: Callable[[], bool], pause_s: float = SEND_EVERY_S) -> None:
            until_s = time.monotonic() + SEND_FOR_S
            while not stopping.is_set() and deliver() and time.monotonic() < until_s:
                stopping.wait(pause_s)

        def run() -> None:
            try:
                settle_unrecorded(self._ledger, unrecorded, to=to)
                # The pace of each channel lets further ones go on at once.
                each(lambda: deliver_next(self._ledger, self._senders, datetime.now(UTC), to=to, pace=pace), 0.0)
                if unrecorded.waits(datetime.now(UTC), to=to):
                    self._ledger.lease.confirm()  # only the process with the lease may send
                    each(lambda: unrecorded.deliver_next(self._senders, datetime.now(UTC), to=to))
            except LeaseLostError:
                raise
            except LedgerError as error:
                watch.failed(None, error)
                each(lambda: deliver_unrecorded(self._ledger, self._senders, datetime.now(UTC), unrecorded, to=to))

        return run

    def escalate(self) -> None:
        """Escalate what nobody has acknowledged."""
        escalated = escalate(self._ledger, self._settings.routing, datetime.now(UTC))
        if escalated:
            log.info("escalated %s that nobody has acknowledged", counted(escalated, "incident"))

    def wake(self) -> None:
        """Begin and end silences, and report again what a snooze or a silence has held back."""
        now = datetime.now(UTC)
        keep_windows(self._ledger, self._settings.windows, now)
        hold_back(self._ledger, now)
        woken = wake(self._ledger, list(self._senders), now)
        if woken:
            log.info("reported %s again: a snooze or a silence has ended", counted(woken, "incident"))
