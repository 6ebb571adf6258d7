"""Cursors of a walk through a table: a key with its type, as returned by the driver, after which it continues."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from probes.contract import ProbeError, Reason
from probes.records.sql.column_types import KeyColumn, NotText

_TYPES: dict[str, Callable[[str], object]] = {
    "int": int,
    "str": str,
    "uuid": uuid.UUID,
    "decimal": Decimal,
    "float": float,
    "hex": bytes.fromhex,
    "text": NotText.fromhex,
}


def cursor_of(key: object) -> str | None:
    """The text of a key; None if its type has no reversible text."""
    for kind, name in ((int, "int"), (str, "str"), (uuid.UUID, "uuid"), (Decimal, "decimal"), (float, "float")):
        if isinstance(key, kind):
            return json.dumps({"after": str(key), "as": name})
    if isinstance(key, NotText):
        return json.dumps({"after": key.hex(), "as": "text"})
    if isinstance(key, bytes | bytearray | memoryview):
        return json.dumps({"after": bytes(key).hex(), "as": "hex"})
    return None


def as_text(key: object) -> str:
    """The cursor of a key of any type; its text if its type has no cursor of its own."""
    return cursor_of(key) or json.dumps({"after": str(key), "as": "str"})


def behind(
    cursor: str, key: sa.ColumnElement[Any], lookup: KeyColumn, at: str = ""
) -> tuple[sa.ColumnElement[bool], dict[str, Any]]:
    """The condition that a row comes after a cursor, in the order of `lookup.column`, and what to bind for it.

    Raises:
        ProbeError: `cursor_lost` if it is not a cursor.
    """
    try:
        document = json.loads(cursor)
        after = _TYPES[document["as"]](document["after"])
    except (ValueError, TypeError, KeyError, ArithmeticError):
        raise ProbeError(Reason.CURSOR_LOST, "a cursor of an earlier release") from None
    if isinstance(after, NotText):
        cast = sa.cast(sa.bindparam(f"after{at}", type_=sa.types.NullType()), sa.Text)
        return sa.type_coerce(key, sa.types.NullType()) > cast, {f"after{at}": bytes(after)}
    return lookup.behind(at), {f"after{at}": after}
