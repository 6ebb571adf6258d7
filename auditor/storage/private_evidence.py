"""Reduces the evidence that earlier versions stored of private fields to kinds from a fixed list. Pure.

They stored exact differences, lengths and spans of time, from which anyone who knows one value can derive the other.
The form of the stored values shows whether a field was private.
"""

from __future__ import annotations

import json
import re
from typing import Any

from checks.difference_kinds import blurred

_SIZED = (
    (re.compile(r"\btext of \d+ characters\b"), "text"),
    (re.compile(r"\ban object with \d+ members?\b"), "an object"),
    (re.compile(r"\ba list of \d+ items?\b"), "a list"),
    (re.compile(r"(^|: )\d+ bytes\b"), r"\1bytes"),
)
_PRIVATE = re.compile(
    r"(cannot be read: .*|NULL|missing|(empty )?text|an object|a list|bytes|a boolean|a whole number|a number"
    r"|an instant|a date|a time of day|a duration|a UUID|Bits|Labels|)(: .*)?",
    re.DOTALL,
)
_MASKED = re.compile(r".?\*\*\*.? \(\d+\)(: .*)?", re.DOTALL)


def without_sizes(text: str) -> str:
    """A text about a value, without the value's length."""
    for pattern, plain in _SIZED:
        text = pattern.sub(plain, text)
    return text


def cleaned(differences: str, detail: str) -> tuple[str, str]:
    """The `differences` of a divergence and its `detail`, without details of one private or masked value."""
    try:
        entries = json.loads(differences)
    except ValueError:
        return differences, detail
    if not isinstance(entries, list):
        return differences, detail
    kept: list[Any] = []
    for each in entries:
        if not isinstance(each, dict):
            kept.append(each)
            continue
        values = {name: without_sizes(str(each.get(name) or "")) for name in ("owner_value", "target_value")}
        if all(_PRIVATE.fullmatch(value) or _MASKED.fullmatch(value) for value in values.values()):
            pattern = str(each.get("pattern") or "")
            if blurred(pattern) != pattern:
                parts = detail.split("; ")
                whole, plain = f"{each.get('field')}: {pattern}", f"{each.get('field')}: {blurred(pattern)}"
                detail = "; ".join(plain if part == whole else part for part in parts)
            kept.append({**each, **values, "pattern": blurred(pattern)})
        else:
            kept.append(each)
    return (json.dumps(kept) if kept != entries else differences), detail
