"""Validity: whether a value is acceptable in itself, whatever the other systems say."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from pydantic import field_validator

from probes.contract import MISSING, PluginSettings


class Validity(PluginSettings):
    """What a value must be.

    Attributes:
        required: NULL, missing and empty are invalid.
        min, max: inclusive bounds of numbers and amounts of money; of the text form of anything else.
        one_of: the only values allowed, as text.
        matches: a regular expression that the whole text must match.
    """

    required: bool = False
    min: Decimal | str | None = None
    max: Decimal | str | None = None
    one_of: tuple[str, ...] = ()
    matches: str | None = None

    @field_validator("matches")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"not a regular expression: {error}") from None
        return pattern


NO_VALIDITY = Validity()


def violation(valid: Validity, value: Any, text: str) -> str:
    """Say which rule a canonical value breaks.

    Args:
        value: canonical, see `checks.values`.
        text: the same as people read it.

    Returns:
        The broken rule, or "" for a valid value. NULL and missing break only `required`.
    """
    if value is None or value is MISSING or value == "":
        return "required" if valid.required else ""
    number = value[0] if isinstance(value, tuple) and value and isinstance(value[0], Decimal) else value
    if _beyond(number, text, valid.min, low=True):
        return f"below {valid.min}"
    if _beyond(number, text, valid.max, low=False):
        return f"above {valid.max}"
    if valid.one_of and text not in valid.one_of:
        return "not one of the allowed values"
    if valid.matches is not None and not re.fullmatch(valid.matches, text):
        return f"does not match {valid.matches}"
    return ""


def _beyond(value: Any, text: str, bound: Decimal | str | None, *, low: bool) -> bool:
    if bound is None:
        return False
    if isinstance(bound, Decimal) and isinstance(value, int | float | Decimal):
        number = Decimal(str(value))
        return number.is_nan() or (number < bound if low else number > bound)
    return text < str(bound) if low else text > str(bound)
