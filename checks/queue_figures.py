"""Checks the figures that a queue reports about itself for plausibility. Pure.

A figure that cannot be true is reported as unknown: it is never shown, judged or stored.
"""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime
from typing import Any

from probes.queue_contract import QueueReading

MOST_FIGURE = 2**63 - 1
"""The ledger stores counts in 64 bits."""

MOST_RETENTION_S = 9.0e15
"""A longer retention means forever; many brokers write forever as the largest number they have."""


def certain(reading: QueueReading) -> QueueReading:
    """The reading with every impossible figure set to unknown and noted."""
    notes: list[str] = []

    def count(name: str, words: str) -> int | None:
        value: Any = getattr(reading, name)
        if value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_FIGURE):
            return value
        notes.append(f"{words} is not known: the broker reports an impossible number")
        return None

    def instant(name: str, words: str) -> datetime | None:
        value: Any = getattr(reading, name)
        if value is None or (isinstance(value, datetime) and value.tzinfo is not None):
            return value
        notes.append(f"{words} is not known: the broker reports an impossible instant")
        return None

    depth = count("depth", "how many messages wait")
    arrived = count("arrived", "how many messages came in")
    taken = count("taken", "how many messages went out")
    oldest_at = instant("oldest_at", "the age of its oldest message")
    drops_at = instant("drops_at", "when it drops its oldest message")
    retention_s: Any = reading.retention_s
    if retention_s is not None and not _is_time(retention_s):
        notes.append("its retention is not known: the broker reports an impossible time")
        retention_s = None
    elif retention_s is not None and retention_s > MOST_RETENTION_S:
        retention_s = None
    if not notes:
        return reading if retention_s == reading.retention_s else replace(reading, retention_s=retention_s)
    return replace(
        reading,
        depth=depth,
        arrived=arrived,
        taken=taken,
        oldest_at=oldest_at,
        drops_at=drops_at,
        retention_s=retention_s,
        truncated=reading.truncated or depth is None,
        notes=(*reading.notes, *notes),
    )


def _is_time(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return value >= 0 and (isinstance(value, int) or math.isfinite(value))
