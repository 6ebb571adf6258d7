"""Which senders there are: one line for each, imported on first use."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from auditor.senders.contract import TIMEOUT_S, Sender, SenderSettings

# name under `alerts:` of the map -> (module, settings, sender)
SENDERS: dict[str, tuple[str, str, str]] = {
    "slack": ("auditor.senders.slack", "SlackSettings", "SlackSender"),
    "slack_bot": ("auditor.senders.slack_bot", "SlackBotSettings", "SlackBotSender"),
    "pagerduty": ("auditor.senders.pagerduty", "PagerDutySettings", "PagerDutySender"),
    "opsgenie": ("auditor.senders.opsgenie", "OpsgenieSettings", "OpsgenieSender"),
    "teams": ("auditor.senders.teams", "TeamsSettings", "TeamsSender"),
    "email": ("auditor.senders.email", "EmailSettings", "EmailSender"),
    "apprise": ("auditor.senders.apprise", "AppriseSettings", "AppriseSender"),
    "webhook": ("auditor.senders.webhook", "WebhookSettings", "WebhookSender"),
}


def _load(module: str, name: str) -> Any:
    return getattr(import_module(module), name)


def sender_settings(name: str) -> type[SenderSettings]:
    """The settings model of a sender. Raises KeyError for an unknown one."""
    module, settings, _ = SENDERS[name]
    loaded: type[SenderSettings] = _load(module, settings)
    return loaded


def posts_in_channels(name: str) -> bool:
    """Whether a sender posts in channels that a flow or a route may name."""
    return name in SENDERS and sender_settings(name).channels


def acts_heard(name: str) -> frozenset[str]:
    """Which acts of people a sender shows; none for one that there is not."""
    return sender_settings(name).acts if name in SENDERS else frozenset()


def open_sender(
    name: str, settings: SenderSettings, *, dashboard: str | None = None, timeout_s: float = TIMEOUT_S
) -> Sender:
    """Open a sender; nothing is connected before the first message.

    Args:
        dashboard: its address, for links; None for none.
        timeout_s: the deadline of one try.
    """
    module, _, sender = SENDERS[name]
    opened: Sender = _load(module, sender)(settings, dashboard=dashboard, timeout_s=timeout_s)
    return opened
