"""Waiting for what a flow's owner announces, so that a change is enrolled as it happens and not in the next turn.

Announcements are an addition: if they fail or are late, changes are found by their stamps as before.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

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

log = logging.getLogger(__name__)


class Listener:
    """Listens for one flow, on a thread of its own.

    Args:
        wake: has the flow audited soon.
        stopping: set when the daemon stops.
    """

    def __init__(self, auditor: Auditor, wake: Callable[[], None], stopping: threading.Event) -> None:
        self._auditor = auditor
        self._wake = wake
        self._stopping = stopping
        self._failures = 0

    def start(self) -> None:
        """Start; returns at once. The thread ends once its reader is closed."""
        name = f"announcements {self._auditor.flow.name}"
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def _run(self) -> None:
        position, known = None, False
        while not self._stopping.is_set():
            try:
                if not known:
                    position, known = self._auditor.announced_to(), True
                position = self._listen(position)
            except ReaderClosedError:
                return
            except LedgerError:
                self._pause()  # the audits report it
            except ProbeError as failure:
                position = self._failed(failure, position)
            except Exception:
                if not self._stopping.is_set():
                    log.exception("flow %s: announcements failed", self._auditor.flow.name)
                self._pause()

    def _listen(self, position: str | None) -> str | None:
        """Wait for announcements and hand them on; returns the position after them."""
        auditor = self._auditor
        while auditor.announced >= UNREAD_MOST:
            if self._stopping.wait(LOOK_S):
                return position
        with spending(Worth.CHANGE, flow=auditor.flow.name):
            heard = auditor.source.announced(auditor.flow.source_spec, position, AT_ONCE, WAIT_S)
        if self._failures:
            log.info("flow %s: %s announces changes again", auditor.flow.name, auditor.flow.source_name)
        self._failures = 0
        auditor.hear(heard)
        if auditor.announced:
            self._wake()
        return heard.position or position

    def _failed(self, failure: ProbeError, position: str | None) -> str | None:
        """Report a failure and pause; returns the position from which to go on."""
        if failure.reason is Reason.CURSOR_LOST and position is not None:
            log.warning(
                "flow %s: announcements of %s were lost, changes since then are found by their stamps or by the "
                "sweep: %s",
                self._auditor.flow.name,
                self._auditor.flow.source_name,
                failure,
            )
            self._auditor.hear_of_gap()
            return None
        if self._failures == 0:
            log.warning(
                "flow %s: %s announces no changes, they are found by their stamps meanwhile: %s",
                self._auditor.flow.name,
                self._auditor.flow.source_name,
                failure,
            )
        self._pause()
        return position

    def _pause(self) -> None:
        self._stopping.wait(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**self._failures))
        self._failures = min(self._failures + 1, 16)
