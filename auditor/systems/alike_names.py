"""How similar two names of collections or fields are."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

_PREFIX = re.compile(r"^(dim|fact|stg|tbl|t|v|vw|raw)_")


def words_of(name: str) -> str:
    """A name without case, punctuation, plural and warehouse prefixes."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.rpartition(".")[2]).lower()
    parts = [part for part in re.split(r"[^a-z0-9]+", _PREFIX.sub("", name)) if part]
    return " ".join(
        part[:-1] if part.endswith("s") and not part.endswith("ss") and len(part) > 3 else part for part in parts
    )


def alike(left: str, right: str) -> float:
    """The similarity of two names, 0 to 1; one within the other (`name`, `full_name`) counts as similar."""
    one, other = words_of(left), words_of(right)
    if one == other:
        return 1.0
    shared = set(one.split()) & set(other.split())
    ratio = SequenceMatcher(None, one, other).ratio()
    return max(ratio, 0.75) if shared and (set(one.split()) <= shared or set(other.split()) <= shared) else ratio
