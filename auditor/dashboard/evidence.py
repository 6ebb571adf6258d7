"""How copies differ, in words for people: as far as the evidence policy of the map allows today. Pure."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

import pandas as pd

from auditor.map.integration_map import IntegrationMap
from checks.cause import KINDS, Kind
from checks.differences import Shape
from checks.field_text import masked
from checks.fields import FieldRule
from checks.systematic import pattern_text
from checks.tables import complete

PRIVATE = "values are private"

_SHAPES = complete(
    {
        Shape.VALUE: "",
        Shape.NORMALIZATION: "in another Unicode form",
        Shape.NULL: "null on one side",
        Shape.MISSING: "absent on one side",
        Shape.EMPTY: "empty on one side",
        Shape.CASE: "in another case",
        Shape.WHITESPACE: "other white space",
        Shape.ACCENTS: "without accents",
        Shape.TRUNCATED: "cut short",
        Shape.ROUNDED: "rounded",
        Shape.ZONE_SHIFTED: "shifted by a time zone",
        Shape.SIGN: "negated",
        Shape.SCALED: "scaled",
        Shape.CURRENCY: "in another currency",
        Shape.UNREADABLE: "cannot be read",
    }
)

_MASKED = re.compile(r".?\*\*\*.? \(\d+\)", re.DOTALL)
"""What `checks.field_text.masked` makes of a value."""


TEXT_ROOM, VALUE_ROOM, LEAD = 34, 10, 7
"""How long a brief text may be with whole values, and in a longer one each value, and what stands in it before the
first difference, in characters."""


def difference_texts(rows: pd.DataFrame, integration_map: IntegrationMap, *, brief: bool = False) -> list[str]:
    """How each record differs, in one line; of rows of the view `divergences`.

    Args:
        brief: show of long values where they differ first.
    """
    types = integration_map.data_types
    return [
        differences_text(each.differences, each.detail, each.kind, types[each.data_type].fields, brief=brief)
        if each.data_type in types
        else KINDS[Kind(each.kind)]
        for each in rows.itertuples()
    ]


def differences_text(
    differences: str, detail: str, kind: str, fields: Mapping[str, FieldRule], *, brief: bool = False
) -> str:
    """How a record differs, in one line.

    Args:
        differences: as the view `divergences` has them.
        fields: of its data type, as the map has them today.
        brief: see `difference_texts`.
    """
    found = [difference_text(each, kind, fields) for each in json.loads(differences)]
    if brief and len("; ".join(found)) > TEXT_ROOM:
        found = [difference_text(each, kind, fields, brief=True) for each in json.loads(differences)]
    return "; ".join(found) or detail or KINDS[Kind(kind)]


def difference_text(
    difference: Mapping[str, Any], kind: str, fields: Mapping[str, FieldRule], *, brief: bool = False
) -> str:
    """How one field differs: both values, or without them how they differ."""
    name, values = difference["field"], (difference["owner_value"], difference["target_value"])
    how = pattern_text(difference.get("pattern") or "") or _SHAPES[Shape(difference["shape"])]
    if name not in fields:  # a rule of the data type, whose words are the map's; or a field that the map had once
        return f"breaks the rule {name}: {values[0]}" if kind == Kind.INVALID else f"{name} differs"
    if fields[name].evidence == "private":
        return f"{name} differs ({how}; {PRIVATE})" if how else f"{name} differs ({PRIVATE})"
    if fields[name].evidence == "masked":
        values = (_masked(values[0]), _masked(values[1]))
    if brief:
        values = (shortened(*values), shortened(*values[::-1]))
    return f"{name}: {values[0]} → {values[1]}" + (f" ({how})" if how else "")


def _masked(value: str) -> str:
    return value if _MASKED.fullmatch(value) or value in {"NULL", "null", "missing"} else masked(value)


def shortened(text: str, other: str) -> str:
    """A long text from shortly before the place where it differs from another."""
    if len(text) <= VALUE_ROOM:
        return text
    differs = min(changed_part(text, other)[0], len(text) - 1)
    begin = 0
    if differs >= LEAD:
        words = (at for at in range(max(differs - LEAD, 1), differs) if _begins_word(text, at))
        begin = next(words, differs - LEAD // 2)
    while _joined(text, begin):
        begin -= 1
    end = begin + VALUE_ROOM
    while end < len(text) and _joined(text, end):
        end += 1
    return f"{'…' * (begin > 0)}{text[begin:end]}{'…' * (end < len(text))}"


def changed_part(text: str, other: str) -> tuple[int, int]:
    """Where a text differs from another: what stands between what both begin and what both end with.

    Returns:
        Beginning and end of that part; the whole text if nothing is alike. Neither parts a character from the marks
        that belong to it.
    """
    most = min(len(text), len(other))
    start = next((at for at in range(most) if text[at] != other[at]), most)
    while start and (_joined(text, start) or _joined(other, start)):
        start -= 1
    alike = next((at for at in range(most - start) if text[-1 - at] != other[-1 - at]), most - start)
    end = len(text) - alike
    while end < len(text) and _joined(text, end):
        end += 1
    return start, end


def _begins_word(text: str, at: int) -> bool:
    before, here = text[at - 1], text[at]
    return here.isalnum() and (not before.isalnum() or (here.isdigit() and not before.isdigit()))


def _joined(text: str, at: int) -> bool:
    """Whether the character there is drawn together with the one before it."""
    joiner = "\u200d"
    return 0 < at < len(text) and (
        unicodedata.category(text[at])[0] == "M"
        or joiner in {text[at], text[at - 1]}
        or 0x1F3FB <= ord(text[at]) <= 0x1F3FF  # skin tones
    )
