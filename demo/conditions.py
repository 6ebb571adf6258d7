"""What is wrong with the company's systems at the moment; nothing, as a rule."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Conditions:
    """Read by the server and the bus at every request and job, and changed by scenarios.

    Attributes:
        down: systems that answer nobody.
        next_day_s: systems whose requests of the day are used up, and when the next day begins, by the monotonic
            clock.
        clock_s: systems whose clock is wrong, and by how much.
        held: targets whose consumer has stopped.
        slow: targets that take one job at a time, and keep the others waiting.
        lanes: each target has a queue of its own.
        idempotent: a payment or a mail that is asked for again is not made again.
        tombstones: the bus also carries deletions.
        batch_s: how often invoices are loaded into the warehouse; 0 for at once.
        local_time: the bus writes the warehouse's instants in local time, two hours ahead of UTC.
    """

    down: set[str] = field(default_factory=set)
    next_day_s: dict[str, float] = field(default_factory=dict)
    clock_s: dict[str, float] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    slow: set[str] = field(default_factory=set)
    lanes: bool = False
    idempotent: bool = True
    tombstones: bool = True
    batch_s: float = 0.0
    local_time: bool = False
