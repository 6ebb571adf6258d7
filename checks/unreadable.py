"""What cannot be read as what it should be, and how it is described without telling it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from probes.contract import MISSING


class UnreadableError(ValueError):
    """A raw value that is not what its field declares; the text never quotes the value itself."""


def describe(raw: Any) -> str:
    """Say what a value looks like without saying what it is: its type and length."""
    if raw is None:
        return "NULL"
    if raw is MISSING:
        return "missing"
    if isinstance(raw, str):
        return f"text of {len(raw)} characters" if raw else "empty text"
    if isinstance(raw, bytes):
        return f"{len(raw)} bytes"
    if isinstance(raw, Mapping):
        return f"an object with {len(raw)} member{'s' if len(raw) != 1 else ''}"
    if isinstance(raw, list | tuple | set | frozenset):
        return f"a list of {len(raw)} item{'s' if len(raw) != 1 else ''}"
    return next((name for type_, name in _NAMES if isinstance(raw, type_)), type(raw).__name__)


def spelling(raw: Any) -> str:
    """A text that two values share only where they are the same, as far as Python can write them.

    Python writes no whole number of more than 4,300 digits in decimal, and nothing nested deeper than its stack.
    """
    try:
        return ascii(raw)
    except (ValueError, RecursionError):
        return hex(raw) if isinstance(raw, int) else describe(raw)


_NAMES: tuple[tuple[type, str], ...] = (
    (bool, "a boolean"),
    (int, "a whole number"),
    (float, "a number"),
    (Decimal, "a number"),
    (datetime, "an instant"),
    (date, "a date"),
    (time, "a time of day"),
    (timedelta, "a duration"),
    (UUID, "a UUID"),
)
