"""Keys of several columns: which rows have one of them, and which come after one in the order of the columns.

Every column is compared as a key of its own is (`probes.records.sql.column_types.KeyColumn`), so what holds for one
holds for each part. Values are bound, never joined to one text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from probes.composite_keys import parted
from probes.contract import KEY, Key, ProbeError, Reason, Row
from probes.records.sql import key_cursors
from probes.records.sql.column_types import KeyColumn

AT_ONCE = 500
"""Keys of one statement: each may take a condition of its own, and SQLite reads no more than 1,000 within another."""


Condition = tuple[sa.ColumnElement[bool], dict[str, Any]]
"""A condition, and what to bind for it."""


def among(lookups: Sequence[KeyColumn], keys: Sequence[Key], free: Sequence[int] = ()) -> Condition | None:
    """The condition that a row has one of these keys; None if no row can have one.

    The part with the most values stands in a list, for each combination of the others: keys of one tenant come to one
    condition. Several parts that may be written in several ways all stand in lists, because each such condition is
    costly: then mixtures of these parts are found as well.

    Args:
        free: the places of the parts that may be written in several ways.
    """
    whole = [_whole(key, len(lookups)) for key in keys]
    places = range(len(lookups))
    listed = list(free) if len(free) > 1 else [max(places, key=lambda at: len({key[at] for key in whole}), default=0)]
    lists: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
    for key in whole:
        lists.setdefault(tuple(key[at] for at in places if at not in listed), []).append(key)
    found: list[sa.ColumnElement[bool]] = []
    bound: dict[str, Any] = {}
    for number, some in enumerate(lists.values()):
        named = [
            (lookup, lookup.parameters(list(dict.fromkeys(key[at] for key in some))))
            for at, lookup in enumerate(lookups)
        ]
        if not all(any(parameters.values()) for _, parameters in named):
            continue
        conditions = []
        for at, (lookup, parameters) in enumerate(named):
            conditions.append(lookup.among(f"_{number}_{at}"))
            bound |= {f"{name}_{number}_{at}": value for name, value in parameters.items()}
        found.append(sa.and_(*conditions))
    return (sa.or_(*found), bound) if found else None


def requested(
    rows: list[Row], lookups: Sequence[KeyColumn], keys: Sequence[Key], free: Sequence[int] = ()
) -> list[Row]:
    """The rows without those that were only found because a letter of a key became a question mark.

    Args:
        free: as in `among`; of these parts the reader itself drops what was not requested.
    """
    for at, lookup in enumerate(lookups):
        if at in free or not lookup.substitutes:
            continue
        doubtful = {text for row in rows if "?" in (text := str(_part(row[KEY], at)))}
        if doubtful:
            folded = {str(_part(_whole(key, len(lookups)), at)).casefold() for key in keys}
            wrong = {text for text in doubtful if text.rstrip(" ").casefold() not in folded}
            rows = [row for row in rows if str(_part(row[KEY], at)) not in wrong]
    return rows


def _whole(key: Key, count: int) -> Any:
    return key if isinstance(key, tuple) or count == 1 else parted(key, count)


def _part(key: Any, at: int) -> Any:
    return key[at] if isinstance(key, tuple) else key


def cursor_of(key: Sequence[object]) -> str:
    """The text of a place in a walk, which goes on behind this key."""
    return json.dumps({"after_all": [key_cursors.as_text(part) for part in key]})


def behind(cursor: str, columns: Sequence[sa.ColumnElement[Any]], lookups: Sequence[KeyColumn]) -> Condition:
    """The condition that a row comes after a cursor, in the order of the lookups' columns, and what to bind for it.

    Raises:
        ProbeError: `cursor_lost` if it is not one.
    """
    try:
        texts = json.loads(cursor)["after_all"]
        places = [
            key_cursors.behind(text, column, lookup, f"_{at}")
            for at, (text, column, lookup) in enumerate(zip(texts, columns, lookups, strict=True))
        ]
    except (ValueError, TypeError, KeyError):
        raise ProbeError(Reason.CURSOR_LOST, "a cursor of an earlier release") from None
    later: list[Any] = [condition for condition, _ in places]
    bound = {name: value for _, parameters in places for name, value in parameters.items()}
    # As the parts of a key are compared, so they are the same: `column > after` becomes `column = after`.
    same = [each.left == each.right for each in later]
    return sa.or_(*(sa.and_(*same[:at], condition) for at, condition in enumerate(later))), bound
