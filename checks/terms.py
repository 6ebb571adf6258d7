"""When a record was read, and the terms of its flow for judging the reading."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

TIMER_S = 0.05
"""How late a due probe may run; part of the guard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the map says about judging a flow.

    Attributes:
        window_s: the consistency window.
        every_s: the flow's probe interval.
        guard_s: clock half-width plus round trip plus `TIMER_S`: the distance of the probes from the window's end.
        confirm_s: the minimum time between a first reading and its confirmation.
        every_version: the target must show every version, a later one does not stand for it.
    """

    window_s: float
    every_s: float
    guard_s: float
    confirm_s: float
    every_version: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """When the target was read: the instants around the request, local clock."""

    sent_at: datetime
    received_at: datetime
