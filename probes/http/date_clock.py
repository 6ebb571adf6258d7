"""The clock of an HTTP server, from the `Date` header of a response. Source: RFC 9110, section 6.6.1."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from probes.contract import ClockSample, ProbeError, Reason
from probes.http.header_times import instant


def read_clock(head: Callable[[], Mapping[str, str]]) -> ClockSample:
    """Read a server's clock, in whole seconds.

    Args:
        head: sends one request and returns the response's headers.

    Raises:
        ProbeError: `decode` for a response without a `Date` of its own; a cached one (`Age`) has an old one.
    """
    sent_at = datetime.now(UTC)
    headers = head()
    received_at = datetime.now(UTC)
    date = headers.get("date")
    if date is None or "age" in headers:
        raise ProbeError(Reason.DECODE, "the response has no Date of its own, so its clock is unknown")
    server_at = instant(date)
    if server_at is None:
        raise ProbeError(Reason.DECODE, "the Date of the response is not one, so its clock is unknown")
    return ClockSample(sent_at=sent_at, received_at=received_at, server_at=server_at, resolution_s=1.0)
