"""What cannot be read as what it should be, and how it is described without telling it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
    if isinstance(raw, list | tuple | set | frozenset | Mapping):
        return f"{type(raw).__name__} of {len(raw)} items"
    return type(raw).__name__
