"""Durations as people write them: `30s`, `5m`, `1h30m`, `2d`, `250ms`, `none`."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Context
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema

from probes.wording import figure

UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")

LONGEST_TEXT = 100
"""Most characters of a duration: no one writes more, and a hundred thousand digits take minutes to parse."""

LONGEST_S = 1_000 * 366 * 86_400
"""Longer spans lead out of the calendar, wherever they begin."""


class Seconds(float):
    """A duration, so that a message about one that is too short or too long knows its unit."""


def parse_duration(text: object) -> float:
    """Parse a duration into seconds.

    Args:
        text: a number of seconds, `none` (0), or parts such as `1h30m`.

    Returns:
        Seconds, 0 or more.

    Raises:
        ValueError: for anything else, with examples.
    """
    if isinstance(text, int | float) and not isinstance(text, bool):
        if text < 0:
            raise ValueError("a duration cannot be negative")
        return _bounded(text)
    if isinstance(text, str) and len(text) > LONGEST_TEXT:
        raise ValueError(f"a duration of more than {LONGEST_TEXT} characters; write for example 30s, 1h30m or 2d")
    if isinstance(text, str):
        folded = text.strip().lower()
        if folded == "none":
            return Seconds(0.0)
        if folded and not _PART.sub("", folded).strip():
            return _bounded(sum(float(number) * UNITS_S[unit] for number, unit in _PART.findall(folded)))
    raise ValueError(f"not a duration: {text!r}; write for example 250ms, 30s, 5m, 1h30m, 2d or none")


def _bounded(seconds: float) -> float:
    if not seconds <= LONGEST_S:
        raise ValueError("a duration of more than 1,000 years")
    return Seconds(seconds)


def format_duration(seconds: float | None, digits: int = 3, rounding: str = ROUND_HALF_EVEN) -> str:
    """Format seconds for people; None is an en dash.

    Args:
        digits, rounding: see `probes.wording.figure`.
    """
    if seconds is None:
        return "–"
    if seconds == 0:
        return "0 s"
    if seconds < 1:
        return f"{figure(seconds * 1000, 1, rounding)} ms"
    if seconds < 120:
        return f"{figure(seconds, digits, rounding)} s"
    if seconds < 7200:
        return f"{figure(seconds / 60, digits, rounding)} min"
    if seconds < 172800:
        return f"{figure(seconds / 3600, digits, rounding)} h"
    return f"{figure(seconds / 86400, digits, rounding)} d"


def told_s(text: str) -> float:
    """The seconds that a text of `format_duration` says."""
    number, unit = text.replace(",", "").split()
    return float(number) * UNITS_S["m" if unit == "min" else unit]


def measured(seconds: float | None, rounding: str = ROUND_HALF_EVEN) -> str:
    """A measured time to two digits; of whole seconds and milliseconds all are kept. Bounds are rounded outwards.

    Args:
        rounding: as in `decimal`.
    """
    if seconds is not None and 0 < seconds < 1:
        seconds = float(Context(prec=2, rounding=rounding).create_decimal(f"{seconds:.15g}"))
    return format_duration(seconds, 2, rounding)


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    Field(ge=0),
    WithJsonSchema(
        {
            "description": "A duration: 250ms, 30s, 5m, 1h30m, 2d, none, or a number of seconds.",
            "anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}],
        }
    ),
]
