"""How one field differs, as far as its evidence policy allows, and what the difference looks like."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal, localcontext
from enum import StrEnum
from typing import Any

from checks import values
from checks.equality import readings_of
from checks.fields import FieldRule
from probes.contract import MISSING

QUARTER_HOUR_US = 15 * 60 * 1_000_000

SPANS_US = (1_000, 1_000_000, 60_000_000)

MOST_DECIMALS = 15

ROUNDINGS = (ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_EVEN, ROUND_HALF_UP)

SINGLE_PRECISION = Decimal(2) ** -23
"""The relative spacing of numbers with 24 significant bits (IEEE 754)."""


class Shape(StrEnum):
    """What a difference looks like, as a hint at its origin."""

    VALUE = "value"
    NORMALIZATION = "normalization"
    NULL = "null"
    MISSING = "missing"
    EMPTY = "empty"
    CASE = "case"
    WHITESPACE = "whitespace"
    ACCENTS = "accents"
    TRUNCATED = "truncated"
    ROUNDED = "rounded"
    ZONE_SHIFTED = "zone_shifted"
    SIGN = "sign"
    SCALED = "scaled"
    CURRENCY = "currency"
    UNREADABLE = "unreadable"


DERIVED = frozenset(
    {
        Shape.NORMALIZATION,
        Shape.CASE,
        Shape.WHITESPACE,
        Shape.ACCENTS,
        Shape.TRUNCATED,
        Shape.ROUNDED,
        Shape.ZONE_SHIFTED,
        Shape.SIGN,
        Shape.SCALED,
    }
)
"""Shapes that come from a change of form in transit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One field that differs, described as far as its evidence policy allows.

    Attributes:
        pattern: what it has in common with other differences of its field (`checks.difference_kinds`).
        cause: why this field differs, if known.
    """

    field: str
    shape: Shape
    owner_value: str
    target_value: str
    pattern: str = ""
    cause: str = ""


def shape_of(rule: FieldRule, owner: Any, target: Any) -> Shape:
    """Classify the difference between two canonical values."""
    either = (owner, target)
    if rule.normalize == "none" and _composed(owner) == _composed(target):
        return Shape.NORMALIZATION
    if MISSING in either:
        return Shape.MISSING
    if None in either:
        return Shape.EMPTY if "" in either or () in either else Shape.NULL
    if isinstance(owner, str) and isinstance(target, str) and rule.type in {"string", "enum"}:
        return _text_shape(owner, target)
    if rule.type == "timestamp" and not (isinstance(owner, str) or isinstance(target, str)):
        apart = abs(apart_us(owner, target))
        if apart % QUARTER_HOUR_US == 0 and apart <= 14 * 4 * QUARTER_HOUR_US:
            return Shape.ZONE_SHIFTED
        coarser = any(_coarser(left, right) for left in readings_of(owner) for right in readings_of(target))
        return Shape.ROUNDED if coarser else Shape.VALUE
    if rule.type == "money":
        if owner[1] != target[1]:
            return Shape.CURRENCY
        owner, target = owner[0], target[0]
    if isinstance(owner, int | float | Decimal) and isinstance(target, int | float | Decimal):
        return _number_shape(owner, target)
    return Shape.VALUE


def _composed(value: Any) -> Any:
    """A canonical value with all of its text in Unicode NFC."""
    if isinstance(value, str):
        return values.composed(value)
    return tuple(map(_composed, value)) if isinstance(value, tuple) else value


def apart_us(owner: int | tuple[int, int], target: int | tuple[int, int]) -> int:
    """From the owner's instant to the target's; if a local time stands for two, between the nearest."""
    return min((right - left for left in readings_of(owner) for right in readings_of(target)), key=abs)


def _text_shape(owner: str, target: str) -> Shape:
    if not owner or not target:
        return Shape.EMPTY
    if owner.casefold() == target.casefold():
        return Shape.CASE
    if re.sub(r"[\s\u00a0\u200b-\u200d\ufeff]+", "", owner) == re.sub(r"[\s\u00a0\u200b-\u200d\ufeff]+", "", target):
        return Shape.WHITESPACE
    if owner.startswith(target) and len(target) >= 4:
        return Shape.TRUNCATED
    folded = values.string_parser(strip="none", casefold=False, strip_accents=True, newlines=False)
    return Shape.ACCENTS if folded(owner) == folded(target) else Shape.VALUE


def _number_shape(owner: Any, target: Any) -> Shape:
    try:
        left, right = Decimal(str(owner)), Decimal(str(target))
    except ArithmeticError:
        return Shape.VALUE
    if not (left.is_finite() and right.is_finite()):
        return Shape.VALUE
    if left == -right:
        return Shape.SIGN
    if left and right and abs(left / right) in {Decimal(1000), Decimal(100), Decimal("0.01"), Decimal("0.001")}:
        return Shape.SCALED
    return Shape.ROUNDED if _rounds_to(left, right) else Shape.VALUE


def _rounds_to(owner: Decimal, target: Decimal) -> bool:
    """Whether the target's number is the owner's with fewer decimals, or as a binary number of 32 bits."""
    decimals = max(0, -int(target.normalize().as_tuple().exponent))
    if decimals < -int(owner.normalize().as_tuple().exponent) and decimals <= MOST_DECIMALS:
        quantum = Decimal(1).scaleb(-decimals)
        with localcontext(prec=max(28, owner.adjusted() + decimals + 2)):
            return target in {owner.quantize(quantum, rounding=each) for each in ROUNDINGS}
    return bool(owner) and abs(owner - target) <= abs(owner) * SINGLE_PRECISION


def _coarser(owner: int, target: int) -> bool:
    """Whether the target's instant is the owner's in whole milliseconds, seconds or minutes, cut off or rounded."""
    return any(target % span_us == 0 and owner % span_us and abs(owner - target) < span_us for span_us in SPANS_US)
