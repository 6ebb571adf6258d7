"""The order of MongoDB's values, in which listings continue, and the cursor text of a value. Pure.

Source: MongoDB manual, "Comparison/Sort Order".
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import bson
from bson.binary import Binary
from bson.code import Code
from bson.decimal128 import Decimal128
from bson.errors import BSONError
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.objectid import ObjectId
from bson.timestamp import Timestamp

from probes.contract import ProbeError, Reason
from probes.records.mongodb.documents import LENIENT

CURSOR_LIMIT_BYTES = 4_000
"""The longest `_id` after which a listing continues: it is stored as text for the next audit."""

ORDER = ((-1,), (6,), (10,), (1, 16, 18, 19), (2, 14), (3,), (4,), (5,), (7,), (8,), (9,), (17,), (11,), (12,), (13,))
"""Numbers of the types in the order in which MongoDB sorts values of different types; those together compare as one.
Source: MongoDB manual, "Comparison/Sort Order"."""

LAST = ((15,), (127,))
"""The types that follow: JavaScript with a scope, and MaxKey."""

COMMON = frozenset({1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 16, 17, 18})
"""Types that every server supports. A server that refuses another type number cannot hold it either."""

NUMBERS = (1, 16, 18, 19)
DATE, TIMESTAMP = 9, 17


def rank_of_type(value: Any) -> int:
    """The rank of a value's type in the order of all values."""
    return next(at for at, types in enumerate((*ORDER, *LAST)) if _type_of(value) in types)


def _type_of(value: Any) -> int:
    document = bson.encode({"": value})
    return -1 if document[4] == 255 else document[4]


def comes_behind(value: Any, before: Any) -> bool:
    """Whether a value comes after another in MongoDB's order, as far as known here."""
    ranks = rank_of_type(value), rank_of_type(before)
    if ranks[0] != ranks[1]:
        return ranks[0] > ranks[1]
    here, there = _place(value), _place(before)
    return here is None or there is None or bool(here > there)


def _place(value: Any) -> Any:
    """The sort key of values of one type; None if it is not implemented here."""
    if isinstance(value, bool | datetime | ObjectId | Timestamp):
        return value
    if isinstance(value, int | float | Decimal128):
        number = value.to_decimal() if isinstance(value, Decimal128) else Decimal(value)
        return (0, 0) if number.is_nan() else (1, number)
    if isinstance(value, str) and not isinstance(value, Code):
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, bytes):
        return len(value), value.subtype if isinstance(value, Binary) else 0, bytes(value)
    return None


def types_behind(rank: int) -> list[int]:
    """The types whose values come after all values of a type."""
    return [number for types in (*ORDER, *LAST)[rank + 1 :] for number in types]


def other_types(types: Sequence[int]) -> list[int]:
    """All types except these, null, and arrays: MongoDB finds listed types in an index, but *not* of a type only by a
    full scan.

    Source: mongodb/mongo, src/mongo/db/query/index_bounds_builder.cpp (a `$type` with arrays has no bounds).
    """
    numbers = {number for each in (*ORDER, *LAST) for number in each}
    return sorted(numbers - {*types, 4, 6, 10})


def behind(name: str, value: Any) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Conditions for what follows a value: in its own type (None if it has only one value), and in later types.

    There are two because a comparison only finds values of one type.
    """
    rank = rank_of_type(value)
    later = {name: {"$type": types_behind(rank)}}
    if value is None or isinstance(value, MinKey | MaxKey):
        return None, later
    if (isinstance(value, float) and math.isnan(value)) or (
        isinstance(value, Decimal128) and value.to_decimal().is_nan()
    ):
        return {name: {"$gte": float("-inf")}}, later  # NaN comes before all other numbers
    return {name: {"$gt": value}}, later


def of_common_types(condition: Any) -> Any:
    """A condition that names only common types."""
    if isinstance(condition, list):
        return [of_common_types(each) for each in condition]
    if not isinstance(condition, dict):
        return condition
    return {
        name: [each for each in value if each in COMMON] if name == "$type" else of_common_types(value)
        for name, value in condition.items()
    }


# -- cursors of listings


def cursor_text(**values: Any) -> str:
    """Values as text, each with its type.

    Raises:
        ProbeError: `decode` if they are too long to store.
    """
    data = bson.encode(values)
    if len(data) > CURSOR_LIMIT_BYTES:
        raise ProbeError(
            Reason.DECODE, f"an _id of more than {CURSOR_LIMIT_BYTES:,} bytes, behind which no page begins"
        )
    return json.dumps({"bson": data.hex()})


def cursor_values(text: str, *names: str) -> list[Any]:
    """The values of a text.

    Raises:
        ProbeError: `cursor_lost` if it is not one of ours.
    """
    try:
        data = bytes.fromhex(json.loads(text)["bson"])
        # Dates beyond the calendar stay unchanged.
        values = bson.decode(data, LENIENT)
        return [values[name] for name in names]
    except (ValueError, TypeError, KeyError, BSONError):
        raise ProbeError(Reason.CURSOR_LOST, "a cursor of an earlier release or of another map") from None
