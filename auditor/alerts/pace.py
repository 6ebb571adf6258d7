"""When the next message may be posted in each channel of a sender. No clock is read here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

EVERY = timedelta(seconds=1)
"""Slack accepts about one message per second and channel. Source: https://docs.slack.dev/apis/web-api/rate-limits"""

DIGEST_EVERY = timedelta(minutes=3)
"""How long after a digest the messages for its channel are gathered before the next one."""

SINGLE = 2
"""Messages that are posted at once after a digest: what happens then may be urgent, and is no storm yet."""


class Pace:
    """The pace of one sender.

    Args:
        digests: by channel, when the last digest was sent; a predecessor's, too.
    """

    def __init__(self, digests: Mapping[str, datetime] | None = None) -> None:
        self._ready_at: dict[str, datetime] = {}
        self._digest_at = dict(digests or {})
        self._single: Counter[str] = Counter()

    def tried(self, channel: str, now: datetime, *, wait_s: float | None = None) -> None:
        """Note a try.

        Args:
            wait_s: how long the receiver asks to wait, for the whole channel.
        """
        wait = EVERY if wait_s is None else max(EVERY, timedelta(seconds=wait_s))
        self._ready_at[channel] = now + wait
        self._single[channel] += 1

    def digested(self, channel: str, now: datetime) -> None:
        """Note that a digest was sent."""
        self._digest_at[channel] = now
        self._single[channel] = 0

    def held(self, now: datetime) -> list[str]:
        """The channels in which nothing may be posted now."""
        self._ready_at = {channel: at for channel, at in self._ready_at.items() if at > now}
        return sorted(self._ready_at)

    def digested_lately(self, now: datetime) -> bool:
        """Whether messages may have to be gathered in any channel."""
        return any(at + DIGEST_EVERY > now for at in self._digest_at.values())

    def gathering(self, now: datetime, crowded: Collection[str] = ()) -> list[str]:
        """The channels whose messages wait for the next digest.

        Args:
            crowded: where more messages wait than are posted one by one.
        """
        self._digest_at = {channel: at for channel, at in self._digest_at.items() if at + DIGEST_EVERY > now}
        return sorted(channel for channel in self._digest_at if channel in crowded or self._single[channel] >= SINGLE)

    def ready_at(self, now: datetime) -> datetime | None:
        """When the next channel is free again, None if all are."""
        waits = [*self._ready_at.values(), *(at + DIGEST_EVERY for at in self._digest_at.values())]
        return min((at for at in waits if at > now), default=None)
