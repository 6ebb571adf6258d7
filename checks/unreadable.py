"""Unreadable values, and how they are described without revealing them."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from probes.contract import MISSING


class UnreadableError(ValueError):
    """A raw value that is not what its field declares; the text never quotes the value itself."""


def describe(raw: Any) -> str:
    """Name the sort of value, from a fixed list: nothing specific to one record, such as a length."""
    if raw is None:
        return "NULL"
    if raw is MISSING:
        return "missing"
    if isinstance(raw, str):
        return "text" if raw else "empty text"
    if isinstance(raw, Mapping):
        return "an object" if raw else "an empty object"
    if isinstance(raw, list | tuple | set | frozenset):
        return "a list" if raw else "an empty list"
    return next((name for type_, name in _NAMES if isinstance(raw, type_)), SOMETHING_ELSE)


def spelling(raw: Any) -> str:
    """A text that two values share only if they are the same, as far as Python can write them.

    Python writes no whole number of more than 4,300 digits in decimal, and nothing nested deeper than its stack.
    """
    try:
        return ascii(raw)
    except (ValueError, RecursionError):
        if isinstance(raw, int):
            return hex(raw)
        return f"{describe(raw)} of {len(raw)}" if isinstance(raw, Sized) else describe(raw)


_NAMES: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "a boolean"),
    (int, "a whole number"),
    (float, "a number"),
    (Decimal, "a number"),
    (datetime, "an instant"),
    (date, "a date"),
    (time, "a time of day"),
    (timedelta, "a duration"),
    (UUID, "a UUID"),
    ((bytes, bytearray, memoryview), "bytes"),
)
SOMETHING_ELSE = "a value of another type"
DESCRIBED = frozenset(
    {
        *("NULL", "missing", "text", "empty text", "an object", "an empty object", "a list", "an empty list"),
        *(name for _, name in _NAMES),
        SOMETHING_ELSE,
    }
)
"""Everything that `describe` may return."""
