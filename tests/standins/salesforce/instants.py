"""Instants as the parts of the API keep and write them."""

from __future__ import annotations

from datetime import UTC, datetime


def whole_second(instant: datetime) -> datetime:
    """Date and time fields keep whole seconds."""
    return instant.replace(microsecond=0)


def rest_text(instant: datetime) -> str:
    """An instant as the REST API writes it."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def csv_text(instant: datetime) -> str:
    """An instant as Bulk API results write it."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
