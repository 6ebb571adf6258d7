"""A test message through the senders of the map, past the outbox: it is about no incident."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from auditor.alerts.own_notice import own_notice
from auditor.senders.contract import TIMEOUT_S, Receipt, SenderSettings
from auditor.senders.registry import open_sender
from auditor.senders.slack_bot import SlackBotSettings

SUMMARY = "This is a test message of Plumbline. Nothing has happened, and nothing needs to be done."


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """How a test message to one receiver ended.

    Attributes:
        sender: the name under `alerts:` of the map.
        receipt: of the message, or of closing what it opened if that failed.
        buttons: it is about the buttons of its messages, and not about a message.
    """

    sender: str
    receipt: Receipt
    closing: bool = False
    buttons: bool = False

    @property
    def passed(self) -> bool:
        """Whether everything was accepted."""
        return self.receipt.outcome == "sent" and not self.receipt.error

    @property
    def advice(self) -> str:
        """What to do now."""
        if self.closing:
            return "the test message was accepted, but not what closes it; close the alert by hand"
        if self.buttons and self.passed:
            return "the auditor can listen to the buttons of its messages"
        if self.buttons:
            return f"buttons do nothing; correct alerts.{self.sender}.app_token of the map, or the app in Slack"
        match self.receipt.outcome:
            case "sent" if self.receipt.error:
                return f"correct the addresses under alerts.{self.sender} of the map"
            case "sent":
                return "accepted; check that it has arrived"
            case "rejected":
                return f"not delivered; correct alerts.{self.sender} of the map"
            case "refused":
                wait_s = self.receipt.retry_after_s
                later = f"in {wait_s:.0f} s" if wait_s is not None else "later"
                return f"not delivered; check the network and the service, and try again {later}"
            case _:
                return "it may have arrived; look there before you test again"

    def as_row(self) -> dict[str, Any]:
        """The row for tables and JSON."""
        return {
            "sender": f"{self.sender} (buttons)" if self.buttons else self.sender,
            "outcome": self.receipt.outcome,
            "error": self.receipt.error,
            "advice": self.advice,
        }


def trial_notice(now: datetime, channel: str = "") -> dict[str, Any]:
    """A notice that says it is a test.

    Args:
        channel: where it is posted; "" for the sender's own.
    """
    about = {"breach": "test", "summary": SUMMARY, "detail": ""}
    return own_notice("test", **about, count=0, peak=0, opened_at=now, at=now, incident=0)


def send_test(
    name: str,
    settings: SenderSettings,
    now: datetime,
    *,
    dashboard: str | None = None,
    timeout_s: float = TIMEOUT_S,
    channel: str = "",
) -> Trial:
    """Send a test message through one sender, and close what it opens."""
    notice: Mapping[str, Any] = trial_notice(now, channel)
    sender = open_sender(name, settings, dashboard=dashboard, timeout_s=timeout_s)
    try:
        receipt = sender.send(notice, possible_repeat=False)
        if receipt.outcome == "sent" and settings.closes:
            closed = sender.send({**notice, "transition": "resolved"}, possible_repeat=False)
            if closed.outcome != "sent":
                return Trial(sender=name, receipt=closed, closing=True)
        return Trial(sender=name, receipt=receipt)
    finally:
        sender.close()


def try_buttons(name: str, settings: SenderSettings, *, timeout_s: float = TIMEOUT_S) -> Trial | None:
    """Try whether the auditor can listen to the buttons of a sender's messages; None for one that has none."""
    if not isinstance(settings, SlackBotSettings) or not settings.listens:
        return None
    from auditor.senders.slack_socket import SlackSockets

    return Trial(sender=name, receipt=SlackSockets(settings, timeout_s=timeout_s).try_out(), buttons=True)
