"""What differences of one field have in common: a kind from a fixed list. Pure.

An exact difference reveals a value to anyone who knows the other one, and so does a length or a span of time. More
than the kind is kept only of fields with evidence `clear`.
"""

from __future__ import annotations

import unicodedata
from decimal import Decimal, InvalidOperation
from typing import Any

from checks import numbers
from checks.differences import DERIVED, QUARTER_HOUR_US, Shape, apart_us
from checks.fields import FieldRule

LONGEST_PATTERN = 40

MOST_QUARTERS = 14 * 4
"""The most quarters of an hour between a time zone and UTC."""

_FORMS = ("NFC", "NFD", "neither NFC nor NFD")

CUT, ROUNDED = "cut", "rounded"

VAGUE = frozenset({"higher", "lower", "earlier", "later"})
"""Half of all differences are of such a kind by chance, so it does not point to one mistake behind many records."""


def _offset(quarters: int) -> str:
    hours, minutes = divmod(abs(quarters) * 15, 60)
    return f"{'-' if quarters < 0 else '+'}{hours:02d}:{minutes:02d}"


_OFFSETS = {each: _offset(each) for each in range(-MOST_QUARTERS, MOST_QUARTERS + 1) if each}
_RATIOS = {
    Decimal(sign + text): f"times {sign}{text}" for sign in ("", "-") for text in ("100", "1000", "0.01", "0.001")
}

KINDS = frozenset(
    {
        *("", CUT, *VAGUE, *_OFFSETS.values(), *_RATIOS.values()),
        *(shape.value for shape in DERIVED - {Shape.NORMALIZATION, Shape.TRUNCATED, Shape.SCALED}),
        *(f"{stored} to {found}" for stored in _FORMS for found in _FORMS),
    }
)
"""Everything that may be kept about how a private field differs."""


def kind_of(rule: FieldRule, shape: Shape, owner: Any, target: Any) -> str:
    """How the target's value follows from the owner's, as one of `KINDS`."""
    if shape is Shape.NORMALIZATION:
        return f"{_form(owner)} to {_form(target)}"
    if shape is Shape.TRUNCATED:
        return CUT
    if rule.type == "timestamp" and all(isinstance(each, int | tuple) for each in (owner, target)):
        apart = apart_us(owner, target)
        if shape is Shape.ZONE_SHIFTED:
            return _OFFSETS.get(apart // QUARTER_HOUR_US, "")
        return ROUNDED if shape is Shape.ROUNDED else "later" if apart > 0 else "earlier"
    pair = _numbers(rule, owner, target)
    if pair is None or shape is Shape.ROUNDED:
        return shape.value if shape in DERIVED and shape is not Shape.SCALED else ""
    left, right = pair
    if shape is Shape.SCALED:
        return next((kind for ratio, kind in _RATIOS.items() if right == numbers.EXACT.multiply(left, ratio)), "")
    return "sign" if shape is Shape.SIGN else "higher" if right > left else "lower"


def pattern_of(rule: FieldRule, shape: Shape, owner: Any, target: Any) -> str:
    """How the target's value follows from the owner's, as far as it may be kept: exactly, if the field is clear."""
    kind = kind_of(rule, shape, owner, target)
    if rule.evidence != "clear" or kind not in {CUT, ROUNDED, *VAGUE}:
        return kind
    if kind == CUT:
        return f"cut at {min(len(owner), len(target))}"
    if rule.type == "timestamp":
        return _shift(apart_us(owner, target))
    pair = _numbers(rule, owner, target)
    if pair is None or kind == ROUNDED:
        return kind
    pattern = f"{numbers.EXACT.normalize(numbers.EXACT.subtract(pair[1], pair[0])):+f}"
    return pattern if len(pattern) <= LONGEST_PATTERN else kind


def blurred(pattern: str) -> str:
    """A pattern stored by an earlier version for any field, as one of `KINDS`."""
    if pattern in KINDS:
        return pattern
    if pattern.startswith("cut at "):
        return CUT
    shifted = ":" in pattern
    if pattern.startswith("+"):
        return "later" if shifted else "higher"
    return ("earlier" if shifted else "lower") if pattern.startswith("-") else ""


def _numbers(rule: FieldRule, owner: Any, target: Any) -> tuple[Decimal, Decimal] | None:
    """Both values as finite numbers; None unless both are."""
    if rule.type == "money" and isinstance(owner, tuple) and isinstance(target, tuple):
        owner, target = owner[0], target[0]
    for each in (owner, target):
        if not isinstance(each, int | float | Decimal) or isinstance(each, bool):
            return None
    try:
        left, right = Decimal(str(owner)), Decimal(str(target))
    except (InvalidOperation, ValueError):
        return None
    return (left, right) if left.is_finite() and right.is_finite() else None


def _form(value: Any) -> str:
    """The Unicode normal form of a canonical value's text."""
    text = _text_in(value)
    return next((form for form in ("NFC", "NFD") if unicodedata.is_normalized(form, text)), _FORMS[2])


def _text_in(value: Any) -> str:
    """All text in a canonical value, one piece per line."""
    if isinstance(value, tuple):
        return "\n".join(map(_text_in, value))
    return value if isinstance(value, str) else ""


def _shift(apart: int) -> str:
    """A difference of two instants as hours and minutes, with seconds only if there are any."""
    sign, left = ("-" if apart < 0 else "+"), abs(apart)
    minutes, rest = divmod(left, 60_000_000)
    seconds = f":{rest // 1_000_000:02d}.{rest % 1_000_000:06d}".rstrip("0").rstrip(".") if rest else ""
    return f"{sign}{minutes // 60:02d}:{minutes % 60:02d}{seconds}"
