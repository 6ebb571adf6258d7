"""Small words that every message needs: things in the singular and the plural, and the nearest known name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def counted(number: int, word: str) -> str:
    """A number of things, in the singular if it is one."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def did_you_mean(word: str, words: Iterable[object]) -> str:
    """Say the nearest known word, or list a few of them."""
    names = [str(each) for each in words]
    close = difflib.get_close_matches(word, names, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(sorted(names)[:15])}" if names else ""
