"""What a queue tells of itself, held against what can be true. Pure.

A figure that cannot be true is unknown, and is said to be: it is never shown, judged or kept.
"""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime
from typing import Any

from probes.queue_contract import QueueReading

MOST_FIGURE = 2**63 - 1
"""The ledger keeps 64 bits of a count."""

MOST_RETENTION_S = 9.0e15
"""A queue that keeps its messages for longer keeps them for good; for ever is often the largest number there is."""


def certain(reading: QueueReading) -> QueueReading:
    """The reading without what cannot be true, each such figure unknown and noted."""
    notes: list[str] = []

    def count(name: str, words: str) -> int | None:
        told: Any = getattr(reading, name)
        if told is None or (isinstance(told, int) and not isinstance(told, bool) and 0 <= told <= MOST_FIGURE):
            return told
        notes.append(f"{words} is not known: the broker tells a number that cannot be true")
        return None

    def instant(name: str, words: str) -> datetime | None:
        told: Any = getattr(reading, name)
        if told is None or (isinstance(told, datetime) and told.tzinfo is not None):
            return told
        notes.append(f"{words} is not known: the broker tells no instant that could be true")
        return None

    depth = count("depth", "how many messages wait")
    arrived = count("arrived", "how many messages came in")
    taken = count("taken", "how many messages went out")
    oldest_at = instant("oldest_at", "the age of its oldest message")
    drops_at = instant("drops_at", "when it drops its oldest message")
    retention_s: Any = reading.retention_s
    if retention_s is not None and not _is_time(retention_s):
        notes.append("how long it keeps its messages is not known: the broker tells a time that cannot be true")
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


def _is_time(told: object) -> bool:
    if isinstance(told, bool) or not isinstance(told, int | float):
        return False
    return told >= 0 and (isinstance(told, int) or math.isfinite(told))
