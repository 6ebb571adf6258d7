"""Small words that every message needs: counts, headings, plain figures and shares, and the nearest known name."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal


def counted(number: int, word: str) -> str:
    """A number of things, in the singular if it is one."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def listed(words: Sequence[str], last: str = "or") -> str:
    """Words in a sentence: `a, b or c`."""
    return f"{', '.join(words[:-1])} {last} {words[-1]}" if len(words) > 1 else "".join(words)


NAMES_SHOWN = 5
"""Names in a sentence before the rest is counted."""


def few(names: Sequence[str], most: int = NAMES_SHOWN) -> str:
    """Names in a sentence, the first of them if there are many: `a, b and 7 more`."""
    if len(names) <= most + 1:  # "and 1 more" is no shorter than its name
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most:,} more"


def heading(name: str) -> str:
    """The heading of a column: `cannot_verify` is "cannot verify".

    A name with a space is a heading already, and stays as it is: a name from the map may be part of it.
    """
    return name if " " in name else name.replace("_", " ")


def figure(number: float, digits: int = 3, rounding: str = ROUND_HALF_EVEN) -> str:
    """A number to so many significant digits, never with an exponent; all digits of a whole part are kept.

    Args:
        rounding: as in `decimal`; bounds are rounded outwards.
    """
    if not math.isfinite(number):
        return str(number)
    exact = Decimal(f"{number:.15g}")  # 2.7, and not the double just above it
    if abs(number) >= 10 ** (digits - 1):
        return f"{exact.to_integral_value(rounding):,f}"
    return f"{Context(prec=digits, rounding=rounding).create_decimal(exact).normalize():,f}"


def percent(share: float, rounding: str = ROUND_HALF_EVEN) -> str:
    """A share in percent to two significant digits, of what is missing to 100% if that is less: 0.34%, 15%, 99.66%.

    Only none at all is 0%, and only the whole is 100%.

    Args:
        rounding: as in `decimal`; bounds are rounded outwards.
    """
    if 0 < share < LEAST_SHARE:
        return f"< {LEAST_SHARE:.2%}"
    if 1 - LEAST_SHARE < share < 1:
        return f"> {1 - LEAST_SHARE:.2%}"
    exact = Decimal(f"{100 * share:.12g}")
    if exact <= 50:
        return f"{figure(float(exact), 2, rounding)}%"
    missing = figure(float(100 - exact), 2, _AWAY.get(rounding, rounding))
    return f"{(100 - Decimal(missing)).normalize():f}%"


_AWAY = {ROUND_FLOOR: ROUND_CEILING, ROUND_CEILING: ROUND_FLOOR}


def at_most(share: float) -> str:
    """An upper bound of a share, in words."""
    if 0 <= share < LEAST_SHARE:
        return f"less than {LEAST_SHARE:.2%}"
    return "less than 100%" if 1 - LEAST_SHARE < share < 1 else f"at most {percent(share, ROUND_CEILING)}"


WHERE_IT_RUNS = "check host, port and whether the server runs"
"""What to do where a database server cannot be reached."""

LEAST_SHARE = 0.0001
"""Smaller shares are shown as "smaller than this"."""


KNOWN_SHOWN = 15
"""Known words that are listed before the rest is counted."""


def did_you_mean(word: str, words: Iterable[object], *, then: str = "", most: int = KNOWN_SHOWN) -> str:
    """Say the nearest known word, or list the first of them and how many more there are.

    Args:
        most: how many are listed.
        then: what else to say, as after a semicolon; after a question it begins a sentence.
    """
    names = [str(each) for each in words]
    close = difflib.get_close_matches(word, names, n=1)
    if close:
        return f"; did you mean {close[0]!r}?" + (f" {then[:1].upper()}{then[1:]}" if then else "")
    known = f"; known: {few(sorted(names), most)}" if names else ""
    return f"{known}; {then}" if then else known
