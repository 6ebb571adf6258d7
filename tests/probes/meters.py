"""A meter for tests."""

from __future__ import annotations

import threading

from probes.contract import Reason
from probes.metering import RateLimit, SpentError, current_operation


class CountingMeter:
    """Counts calls, and refuses them where it has a limit.

    Attributes:
        spent: calls that were allowed.
        left: calls that may still be sent, None for any number.
        told: what vendors said about their limits.
        operations: what each allowed call was for.
    """

    def __init__(self, left: int | None = None) -> None:
        self.spent = 0
        self.left = left
        self.told: list[RateLimit] = []
        self.operations: list[str] = []
        self._lock = threading.Lock()

    def spend(self, calls: int = 1) -> None:
        """See `Meter.spend`."""
        with self._lock:
            if self.left is not None and calls > self.left:
                raise SpentError(Reason.OVER_BUDGET, "the meter's calls are spent", retry_after_s=60)
            self.spent += calls
            self.operations += [current_operation()] * calls
            self.left = None if self.left is None else self.left - calls

    def learned(self, limit: RateLimit) -> None:
        """See `Meter.learned`."""
        self.told.append(limit)
