"""What earlier versions kept of private fields, brought down to what is kept now: kinds from a fixed list. Pure.

They kept the exact difference of two values, lengths and spans of time, from which a value follows for whoever knows
the other one. Whether a field was private shows in how its values were told.
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


def without_sizes(told: str) -> str:
    """A text about a value without the value's length."""
    for pattern, plain in _SIZED:
        told = pattern.sub(plain, told)
    return told


def cleaned(differences: str, detail: str) -> tuple[str, str]:
    """The `differences` of a divergence and its `detail`, without what belongs to one private or masked value."""
    try:
        told = json.loads(differences)
    except ValueError:
        return differences, detail
    if not isinstance(told, list):
        return differences, detail
    kept: list[Any] = []
    for each in told:
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
    return (json.dumps(kept) if kept != told else differences), detail
