"""Listening to the buttons of the messages in Slack, beside the audits and never in their way."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from auditor.audit.tenure import Tenure
from auditor.daemon.slack_acts import SlackActs
from auditor.daemon.trouble import News, Trouble
from auditor.ledger import Ledger
from auditor.map.integration_map import IntegrationMap
from auditor.senders.contract import Sender
from auditor.senders.slack_bot import SlackBotSender, SlackBotSettings
from auditor.senders.slack_buttons import Press, press_of
from auditor.senders.slack_people import SlackPeople
from auditor.senders.slack_socket import SWITCHED_OFF, NotListeningError, SlackSocket, SlackSockets
from auditor.workspace import Workspace

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 300.0
"""Pauses after failures, each twice as long as the one before."""

STEADY_S = 10.0
"""A connection that ends earlier counts as a failure."""

LOOK_S = 0.25
"""How often it is checked whether a connection lasts."""

LATE_S = 60.0
"""Without a connection for so long, messages get no buttons any more, and the auditor is not well."""

WAITING_MOST = 100
"""Presses that wait to be recorded; further ones are dropped."""

ENVELOPES_KEPT = 1_000
"""Envelopes that are known by their identity, in case one comes twice."""

JOIN_S = 0.8
"""How long a stop waits for what is being recorded."""

SILENT = "buttons in Slack do nothing"

BROKEN = "An error of the auditor has kept this from being recorded; its log has more."

log = logging.getLogger(__name__)


class SlackListener:
    """Keeps a connection to Slack and records what people press, on two threads of its own.

    Args:
        act: does what a press asks for; returns why it did not, "" if it did.
        tell: called with each notification about the listener itself.
        pause_s: the first pause after a failure.
        now: for the log and for notifications.
    """

    def __init__(
        self,
        sockets: SlackSockets,
        act: Callable[[Press], str],
        people: SlackPeople,
        *,
        tell: Callable[[News], None],
        pause_s: float = FIRST_PAUSE_S,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._pause_s = pause_s
        self._now = now
        self._sockets = sockets
        self._act = act
        self._people = people
        self._stopping = threading.Event()
        self._trouble = Trouble(SILENT, tell, verified=True)
        self._presses: queue.Queue[Press | None] = queue.Queue(WAITING_MOST)
        self._envelopes: OrderedDict[str, None] = OrderedDict()
        self._envelopes_lock = threading.Lock()
        self._failures = 0
        self._why = "it has not connected yet"
        self._silent_since_s: float | None = time.monotonic()
        self._lasting = False
        self._threads = [
            threading.Thread(target=work, name=f"slack {name}", daemon=True)
            for name, work in (("listener", self._listen), ("acts", self._record))
        ]

    def start(self) -> None:
        """Start; returns at once."""
        for each in self._threads:
            each.start()

    @property
    def listens(self) -> bool:
        """Whether it has a connection, or has lost it only a moment ago."""
        silent_since_s = self._silent_since_s
        return silent_since_s is None or not (self._lasting or time.monotonic() - silent_since_s > LATE_S)

    @property
    def failure(self) -> str | None:
        """Why it does not listen; "" if it has a connection, None if it has lost it only a moment ago."""
        if not self.listens:
            return self._why
        return "" if self._silent_since_s is None else None

    def close(self) -> None:
        """Listen no more, and end its threads."""
        self._stopping.set()
        self._sockets.close()
        self._people.close()
        until_s = time.monotonic() + JOIN_S
        for each in self._threads:
            if each.is_alive():
                each.join(max(0.0, until_s - time.monotonic()))

    def _listen(self) -> None:
        opened: SlackSocket | None = None
        while not self._stopping.is_set():
            before, opened, retry_after_s = opened, None, None
            try:
                opened = self._sockets.open(self._heard, self._stopping)
            except NotListeningError as error:
                self._failed(str(error), lasting=error.lasting)
                retry_after_s = error.retry_after_s
            except Exception as error:
                log.exception("listening to Slack failed")
                self._failed(f"an error of the auditor ({type(error).__name__}; its log has more)")
            if before is not None:  # only now, so that nothing is lost that is pressed in between
                before.close()
            if opened is not None:
                self._follow(opened)
            else:
                self._pause(retry_after_s)
        if opened is not None:
            opened.close()
        self._presses.put(None)

    def _follow(self, opened: SlackSocket) -> None:
        """Wait until a connection ends."""
        begun_s = time.monotonic()
        if self._silent_since_s is not None:
            log.info("listening to the buttons of messages in Slack")
        self._silent_since_s, self._lasting = None, False
        while opened.listens and not self._stopping.wait(LOOK_S):
            self._trouble.worked(self._now())
        if self._stopping.is_set():
            return
        if opened.ended_because == SWITCHED_OFF:
            self._failed("Socket Mode is switched off; switch it on in the settings of the app", lasting=True)
        elif time.monotonic() - begun_s < STEADY_S:
            self._failed(f"Slack ended the connection at once ({opened.ended_because or 'it did not say why'})")
        else:
            self._failures = 0
            return
        self._pause(None)

    def _failed(self, why: str, *, lasting: bool = False) -> None:
        if self._stopping.is_set():
            return
        self._failures += 1
        self._why, self._lasting = why, lasting
        if self._silent_since_s is None:
            self._silent_since_s = time.monotonic()
        self._trouble.failed(f"cannot listen to Slack: {why}", self._now())

    def _pause(self, retry_after_s: float | None) -> None:
        own_s = self._pause_s * 2.0 ** min(self._failures - 1, 16)
        self._stopping.wait(min(LONGEST_PAUSE_S, max(own_s, retry_after_s or 0.0)))

    def _heard(self, envelope: str, payload: Mapping[str, Any]) -> None:
        """Take what an acknowledged envelope holds; returns at once."""
        press = press_of(payload)
        if press is None:
            return
        with self._envelopes_lock:
            if envelope in self._envelopes:
                return
            self._envelopes[envelope] = None
            if len(self._envelopes) > ENVELOPES_KEPT:
                self._envelopes.popitem(last=False)
        try:
            self._presses.put_nowait(press)
        except queue.Full:
            log.warning("%d buttons pressed in Slack wait to be recorded; a further one is dropped", WAITING_MOST)

    def _record(self) -> None:
        """Record what was pressed, one after the other."""
        while (press := self._presses.get()) is not None:
            try:
                refused = self._act(press)
            except Exception:
                log.exception("a button pressed in Slack was not recorded")
                refused = BROKEN
            receipt = self._people.answer(press.channel, press.user, refused) if refused else None
            if receipt is not None and receipt.outcome != "sent":
                log.warning("an answer to a person in Slack: %s %s", receipt.outcome, receipt.error)


class ButtonsInSlack:
    """Listens to the buttons of Slack's bot, and lets its messages have them; does nothing if the map sets no
    app-level token.

    Args:
        senders: of the daemon.
        tenure: under which acts are recorded.
        tell: called with each notification about the listener itself.
    """

    def __init__(
        self,
        integration_map: IntegrationMap,
        workspace: Workspace,
        senders: Mapping[str, Sender],
        tenure: Tenure,
        tell: Callable[[News], None],
    ) -> None:
        self._listener: SlackListener | None = None
        self._acts: SlackActs | None = None
        self._noted: str | None = None
        settings, sender = integration_map.alerts.senders.get("slack_bot"), senders.get("slack_bot")
        if not isinstance(settings, SlackBotSettings) or not isinstance(sender, SlackBotSender):
            return
        if not settings.listens:
            return

        def ledger() -> Ledger:
            opened = workspace.ledger()
            opened.database.token = tenure.token
            return opened

        people = SlackPeople(settings)
        self._acts = acts = SlackActs(integration_map, settings, people, ledger)
        self._listener = listener = SlackListener(SlackSockets(settings), acts.act, people, tell=tell)
        sender.heard = lambda: listener.listens

    def start(self) -> None:
        """Start; returns at once."""
        if self._listener is not None:
            self._listener.start()

    def check(self, ledger: Ledger) -> list[str]:
        """Note in the ledger when listening has begun or ended. Raises LedgerError.

        Returns:
            Why buttons do nothing, in words; empty if they work or there are none.
        """
        failure = None if self._listener is None else self._listener.failure
        if failure is not None and failure != self._noted:
            ledger.listening.note(datetime.now(UTC), failure)
            self._noted = failure
        return [f"slack_bot: {SILENT}: {failure}"] if failure else []

    @property
    def closings(self) -> list[Callable[[], None]]:
        """What ends it; empty if there is nothing to end."""
        return [] if self._listener is None else [self._close]

    def _close(self) -> None:
        if self._listener is not None and self._acts is not None:
            self._listener.close()
            self._acts.close()
