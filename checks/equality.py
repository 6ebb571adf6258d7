"""Whether two canonical values of one field mean the same under its rule."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

from checks import numbers
from checks.fields import PRECISION_US, FieldRule
from checks.instants import Instant
from probes.contract import MISSING


def agree(rule: FieldRule, owner: Any, target: Any) -> bool:
    """Whether two canonical values of one field mean the same under its rule."""
    if owner == target:
        return True
    if owner is None or target is None or owner is MISSING or target is MISSING:
        return False
    if rule.type == "timestamp":
        return _same_instant(owner, target, PRECISION_US[rule.precision])
    if rule.type in {"time", "duration"}:
        return _same_span(owner, target, PRECISION_US[rule.precision], at=int(rule.type == "duration"))
    if rule.type in {"array", "range"} and rule.items is not None:
        return _same_items(rule.model_copy(update={"type": rule.items, "items": None}), owner, target)
    if rule.type == "money":
        return bool(owner[1] == target[1] and _near(rule, owner[0], target[0]))
    if rule.type == "float":
        return _same_float(rule, owner, target)
    if rule.type in {"decimal", "integer"}:
        return _near(rule, owner, target)
    return False


def _same_items(rule: FieldRule, owner: tuple[Any, ...], target: tuple[Any, ...]) -> bool:
    """Whether two arrays or sets of ranges agree item by item; a local time may stand for two instants."""
    if len(owner) != len(target) or owner[:1] != target[:1]:
        return False
    if owner[0] == "range":
        return all(
            left[1::2] == right[1::2] and all(agree(rule, *ends) for ends in zip(left[::2], right[::2], strict=True))
            for left, right in zip(owner[1:], target[1:], strict=True)
        )
    return all(
        _is_array(left) and _is_array(right) and _same_items(rule, left, right)
        if _is_array(left) or _is_array(right)
        else agree(rule, left, right)
        for left, right in zip(owner[1:], target[1:], strict=True)
    )


def _is_array(value: Any) -> bool:
    return isinstance(value, tuple) and value[:1] == ("array",)


def _near(rule: FieldRule, owner: Decimal | int, target: Decimal | int) -> bool:
    """Whether two unequal numbers are within their rule's tolerance, computed exactly."""
    left, right = Decimal(owner), Decimal(target)
    if left.is_nan() and right.is_nan():
        return rule.nan_equal
    if not (left.is_finite() and right.is_finite()):
        return False
    allowed = rule.tolerance
    if rule.relative_tolerance:
        larger = max(left.copy_abs(), right.copy_abs())
        allowed = max(allowed, numbers.EXACT.multiply(Decimal(str(rule.relative_tolerance)), larger))
    return bool(numbers.EXACT.subtract(left, right).copy_abs() <= allowed)


def _same_instant(owner: Instant, target: Instant, precision_us: int) -> bool:
    """Whether the two share a reading at the coarser precision."""
    if isinstance(owner, str) or isinstance(target, str):
        return False
    return any(
        left == right or (precision_us > 1 and _near_instants(left, right, precision_us))
        for left in readings_of(owner)
        for right in readings_of(target)
    )


def readings_of(instant: int | tuple[int, int]) -> tuple[int, ...]:
    return instant if isinstance(instant, tuple) else (instant,)


def _near_instants(owner: int, target: int, precision_us: int) -> bool:
    """Equal at the coarser precision, whether the coarser system truncated or rounded."""
    forms = [{at // precision_us, (at + precision_us // 2) // precision_us} for at in (owner, target)]
    exact = [at // precision_us if at % precision_us == 0 else None for at in (owner, target)]
    if exact[0] is None and exact[1] is None:
        return owner // precision_us == target // precision_us
    return (exact[0] in forms[1] if exact[0] is not None else False) or (
        exact[1] in forms[0] if exact[1] is not None else False
    )


def _same_span(owner: Any, target: Any, precision_us: int, *, at: int) -> bool:
    """The same for times of day (with equal offsets) and durations (with equal months).

    Args:
        at: the index of the microseconds in a pair.
    """
    if precision_us == 1 or isinstance(owner, int) is not isinstance(target, int):
        return False
    if isinstance(owner, int):
        return _near_instants(owner, target, precision_us)
    return bool(owner[1 - at] == target[1 - at]) and _near_instants(owner[at], target[at], precision_us)


def _same_float(rule: FieldRule, owner: float, target: float) -> bool:
    if math.isnan(owner) or math.isnan(target):
        return rule.nan_equal and math.isnan(owner) and math.isnan(target)
    if math.isinf(owner) or math.isinf(target):
        return False
    allowed = max(
        float(rule.tolerance),
        rule.relative_tolerance * max(abs(owner), abs(target)),
        rule.ulps * math.ulp(max(abs(owner), abs(target))),
    )
    return abs(owner - target) <= allowed
