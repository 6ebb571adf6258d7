"""How much the org may be asked: calls in 24 rolling hours, lengths of requests, Bulk query jobs.

Source: Salesforce Developer Limits and Allocations Quick Reference (2026): "API Request Limits and Allocations" (24
rolling hours; 403 REQUEST_LIMIT_EXCEEDED), "Bulk API and Bulk API 2.0 Limits and Allocations" (10,000 query jobs
and 1 TB of results a day, kept 7 days); REST API Developer Guide, "Status Codes and Error Responses" (414 for a URI
and 431 for URI and headers over 16,384 bytes), "Limit Info Header", "Limits".

Where the documents are silent: whether a refused call counts (it does not here), and whether calls of the token
endpoint do (they do not here); the words for too many jobs.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta
from typing import Any

from tests.standins.clock import Clock
from tests.standins.salesforce.errors import ApiError

LONGEST_URI = 16_384
DAY = timedelta(hours=24)


class Limits:
    """The org's allowances and what is left of them.

    Attributes:
        daily: API calls in 24 hours.
        jobs: Bulk query jobs in 24 hours.
    """

    def __init__(self, clock: Clock, daily: int = 100_000, jobs: int = 10_000) -> None:
        self.daily = daily
        self.jobs = jobs
        self._clock = clock
        self._calls: deque[datetime] = deque()
        self._jobs: deque[datetime] = deque()

    @property
    def used(self) -> int:
        """API calls in the last 24 hours."""
        return self._recent(self._calls)

    def spend(self, calls: int = 1) -> None:
        """Count calls.

        Raises:
            ApiError: 403, none is left.
        """
        if self.used + calls > self.daily:
            raise ApiError(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
        self._calls.extend([self._clock.now()] * calls)

    def spend_job(self) -> None:
        """Count a Bulk query job."""
        if self._recent(self._jobs) >= self.jobs:
            raise ApiError(400, "EXCEEDED_QUOTA", "ApiBatchItems Limit exceeded.")
        self._jobs.append(self._clock.now())

    @property
    def header(self) -> str:
        """The value of Sforce-Limit-Info."""
        return f"api-usage={self.used}/{self.daily}"

    def document(self) -> dict[str, Any]:
        """What `limits` answers (the part of it that readers use)."""
        return {
            "DailyApiRequests": {"Max": self.daily, "Remaining": self.daily - self.used},
            "DailyBulkV2QueryJobs": {"Max": self.jobs, "Remaining": self.jobs - self._recent(self._jobs)},
            "DailyBulkV2QueryFileStorageMB": {"Max": 976_562, "Remaining": 976_562},
        }

    def _recent(self, times: deque[datetime]) -> int:
        now = self._clock.now()
        while times and now - times[0] >= DAY:
            times.popleft()
        return len(times)


def check_lengths(target: str, headers: dict[str, str]) -> None:
    """Refuse a request that is too long."""
    if len(target.encode()) > LONGEST_URI:
        raise ApiError(414, "URI_TOO_LONG", "The length of the URI exceeds the 16,384 byte limit.")
    whole = len(target.encode()) + sum(len(name) + len(value) + 4 for name, value in headers.items())
    if whole > LONGEST_URI:
        raise ApiError(431, "HEADERS_TOO_LONG", "The combined length of the URI and headers exceeds 16,384 bytes.")
