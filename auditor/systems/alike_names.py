"""How similar two names of collections or fields are.

A catalogue of hundreds of fields beside another makes millions of pairs of names. So a bound that takes a few machine
instructions comes first: the characters that two names share, counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from string import ascii_lowercase, digits

WITHIN = 0.75
"""The least similarity of a name that is within the other."""

_PREFIX = re.compile(r"^(dim|fact|stg|tbl|t|v|vw|raw)_")
_SIGNS = {sign: at for at, sign in enumerate(f"{ascii_lowercase}{digits} ")}
_MOST = 24
"""A sign that a name has more often is not counted."""


@dataclass(frozen=True, slots=True)
class _Words:
    """A name by its words.

    Attributes:
        signs: how often each sign is in it, as so many ones in the sign's place; None if one is there too often.
    """

    text: str
    each: frozenset[str]
    signs: int | None


@lru_cache(maxsize=1 << 14)
def words_of(name: str) -> str:
    """A name without case, punctuation, plural and warehouse prefixes."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.rpartition(".")[2]).lower()
    parts = [part for part in re.split(r"[^a-z0-9]+", _PREFIX.sub("", name)) if part]
    return " ".join(
        part[:-1] if part.endswith("s") and not part.endswith("ss") and len(part) > 3 else part for part in parts
    )


def alike(left: str, right: str) -> float:
    """The similarity of two names, 0 to 1; one within the other (`name`, `full_name`) counts as similar."""
    return _alike(_words(left), _words(right))


def alike_from(least: float, left: Sequence[str], right: Sequence[str]) -> Iterator[tuple[int, int, float]]:
    """The pairs of names of at least this similarity: the place of each, and how similar they are."""
    others = [_words(name) for name in right]
    for at, one in enumerate(map(_words, left)):
        for to, other in enumerate(others):
            if _at_most(one, other) >= least and (near := _alike(one, other)) >= least:
                yield at, to, near


def nearest(left: Sequence[str], right: Sequence[str]) -> list[float]:
    """For each name of the left, how similar the most similar one of the right is."""
    others = [*dict.fromkeys(_words(name) for name in right)]
    texts = {other.text for other in others}
    return [1.0 if one.text in texts and others else _best(one, others) for one in map(_words, left)]


def _best(one: _Words, others: Sequence[_Words]) -> float:
    best = 0.0
    bounds = [_at_most(one, other) for other in others]
    for bound, other in sorted(zip(bounds, others, strict=True), key=lambda each: -each[0]):
        if bound <= best:
            break
        best = max(best, _alike(one, other))
    return best


@lru_cache(maxsize=1 << 14)
def _words(name: str) -> _Words:
    text = words_of(name)
    counts = [text.count(sign) for sign in _SIGNS]
    signs = sum(((1 << count) - 1) << at * _MOST for at, count in enumerate(counts))
    return _Words(text, frozenset(text.split()), signs if max(counts) <= _MOST else None)


def _at_most(one: _Words, other: _Words) -> float:
    """What the similarity of two names cannot exceed."""
    if one.signs is None or other.signs is None or one.each <= other.each or other.each <= one.each:
        return 1.0
    return 2.0 * (one.signs & other.signs).bit_count() / (len(one.text) + len(other.text))


def _alike(one: _Words, other: _Words) -> float:
    if one.text == other.text:
        return 1.0
    shared = one.each & other.each
    ratio = _ratio(one.text, other.text)
    return max(ratio, WITHIN) if shared and (one.each <= shared or other.each <= shared) else ratio


@lru_cache(maxsize=1 << 16)
def _ratio(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other).ratio()
