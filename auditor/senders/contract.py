"""What a sender is, what the map says of one, and how a try to send can end.

A sender is one file beside this one, with its settings and its `Sender`, and one line in `auditor.senders.registry`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, Protocol, runtime_checkable

from pydantic import AfterValidator, SecretStr

from probes.addresses import WEB, check_address
from probes.settings import PluginSettings

TIMEOUT_S = 10.0
"""The deadline of one try."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a receiver shows an incident.

    Attributes:
        channel: its identity.
        ts: the identity of the incident's first message in it.
    """

    channel: str
    ts: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """What the outbox keeps of a message.

    Attributes:
        number: its identity, the same on every try; "" for a message that is not in the outbox.
        since_at: when it was queued; no try was earlier.
        place: where its incident already is, None if it is nowhere.
    """

    number: str = ""
    since_at: datetime | None = None
    place: Place | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """How one try ended.

    Attributes:
        outcome: `sent`; `refused`, certainly not delivered and worth another try; `rejected`, certainly not
            delivered and never will be; `ambiguous`, it may have arrived.
        error: why it was not sent; if it was, which recipients do not get it.
        retry_after_s: how long the receiver asks to wait.
        place: where the incident is now, for receivers that edit their messages.
        reply: the receiver's response, as far as a sender reads it.
    """

    outcome: Literal["sent", "refused", "rejected", "ambiguous"]
    error: str = ""
    retry_after_s: float | None = None
    place: Place | None = None
    reply: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)


class Sender(Protocol):
    """Sends one notice; never raises, never puts its secret address into the receipt.

    It is made of its settings, the address of the dashboard (None for none) and the deadline of one try.
    """

    def __init__(self, settings: Any, *, dashboard: str | None = None, timeout_s: float = TIMEOUT_S) -> None: ...

    def send(self, notice: Mapping[str, Any], *, possible_repeat: bool) -> Receipt:
        """Try once; answers by the deadline.

        Args:
            notice: what `auditor.alerts.notices` says of an incident; any text may stand in it.
            possible_repeat: an earlier try may have arrived; the message says so.
        """

    def close(self) -> None:
        """Cut off a try under way, from another thread."""


@runtime_checkable
class PlacedSender(Protocol):
    """A sender whose receiver lets it edit its messages and look for them."""

    def post(self, notice: Mapping[str, Any], posting: Posting, *, possible_repeat: bool) -> Receipt:
        """Try once, like `Sender.send`, in the place that the incident already has.

        If an earlier try may have arrived, it is looked for, and only if it did not is the message sent again.
        """


def _certain(address: SecretStr) -> SecretStr:
    if address.get_secret_value():
        check_address(address.get_secret_value(), login=False, schemes=WEB)
    return address


Address = Annotated[SecretStr, AfterValidator(_certain)]
"""The address of a receiver, a secret; an empty one is none, so that one from the environment need not be set."""


def _sendable(key: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[!-~]*", key.get_secret_value()):
        raise ValueError("the key has a blank or another character that no key has; copy it again")
    return key


Key = Annotated[SecretStr, AfterValidator(_sendable)]
"""A key that a receiver gave out, a secret; an empty one is none."""


class SenderSettings(PluginSettings):
    """What the map says of a sender, under its name in `alerts:`.

    Attributes:
        title: what people call the receiver.
        address_word: the word of the map that holds the `Address`.
        needs: further words that hold secrets without which nothing can be sent.
        closes: whether it closes what it opened for an incident when that is resolved.
        links: whether its messages carry links to the dashboard and to a flow's runbook.
        channels: whether it posts in channels that a flow or a route may name.
        folds: whether many messages may become one that counts them; not where each is about an alert of its own.
        acts: which acts of people it shows (acknowledged, unacknowledged, snoozed, assigned).
        ignores_channel: why it makes nothing of a flow's `slack_channel`; "" where it passes that on.
    """

    title: ClassVar[str]
    address_word: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    closes: ClassVar[bool] = False
    links: ClassVar[bool] = False
    channels: ClassVar[bool] = False
    folds: ClassVar[bool] = False
    acts: ClassVar[frozenset[str]] = frozenset()
    ignores_channel: ClassVar[str] = ""

    @property
    def address(self) -> str:
        """The secret address, "" for none."""
        address: SecretStr = getattr(self, self.address_word)
        return address.get_secret_value()

    @property
    def is_set(self) -> bool:
        """Whether there is anything to send with: no address or key is empty."""
        return bool(self.address) and all(getattr(self, name).get_secret_value() for name in self.needs)
