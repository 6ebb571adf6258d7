"""Building SOQL: values as literals, and lists of keys that fit into an address.

Source: SOQL and SOSL Reference, "Quoted String Escape Sequences", "Date Formats and Date Literals in WHERE"; REST API
Developer Guide, "Status Codes and Error Responses" (414 and 431: the address, and the address with its headers, hold
16,384 bytes).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import quote

LONGEST_ADDRESS = 12_000
"""Bytes of an encoded query: the rest of the 16,384 is for the path and the headers, which hold the token."""

_ESCAPES = {"\\": "\\\\", "'": "\\'", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}


def select(fields: Sequence[str], collection: str, rest: str = "") -> str:
    """A query for some fields of an object. The names come from the map, which accepts only API names."""
    return " ".join(("SELECT", ", ".join(fields), "FROM", collection, rest)).rstrip()


def text(value: str) -> str:
    """A text as a literal."""
    parts = (_ESCAPES.get(sign) or (sign if sign.isprintable() else _coded(sign)) for sign in value)
    return f"'{''.join(parts)}'"


def _coded(sign: str) -> str:
    return f"\\u{ord(sign):04x}" if ord(sign) < 0x10000 else sign


def instant(value: datetime) -> str:
    """An instant as a literal, in whole seconds, rounded down."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def number(value: Decimal | int) -> str:
    """A number as a literal, without an exponent."""
    return format(Decimal(value), "f")


def parts(head: str, literals: Sequence[str], tail: str = "") -> Iterator[str]:
    """Queries `head (literals) tail`, each with as many literals as fit into an address."""
    room = LONGEST_ADDRESS - len(quote(head + " ()" + tail))
    taken: list[str] = []
    size = 0
    for literal in literals:
        length = len(quote(literal + ","))
        if taken and size + length > room:
            yield f"{head} ({','.join(taken)}){tail}"
            taken, size = [], 0
        taken.append(literal)
        size += length
    if taken:
        yield f"{head} ({','.join(taken)}){tail}"
