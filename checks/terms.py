"""When a record was read, and the terms of its flow for judging the reading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from checks.comparison import Comparison

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
        field_windows_s: by position, the windows of fields that may arrive later than the others.
    """

    window_s: float
    every_s: float
    guard_s: float
    confirm_s: float
    every_version: bool = False
    field_windows_s: Mapping[int, float] = field(default_factory=dict)

    def of(self, comparison: Comparison) -> Terms:
        """The terms of what differs: the shortest window of these fields, longer than the flow's if all of them may
        arrive later. Fields that were left out, because they are noise or unreadable, may be any."""
        if not self.field_windows_s or not comparison.places or comparison.partial or comparison.unread:
            return self
        windows_s = (self.field_windows_s.get(place.position, self.window_s) for place in comparison.places)
        return replace(self, window_s=max(self.window_s, min(windows_s)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """When the target was read: the instants around the request, local clock."""

    sent_at: datetime
    received_at: datetime
