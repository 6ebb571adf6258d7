"""Values in the form in which a system stores them, for proposals."""

from __future__ import annotations

import base64
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from auditor.map.flow import Flow
from checks.field_text import plain, text_of
from checks.fields import FieldRule
from checks.instants import aware
from checks.numbers import EXACT, divided, shifted
from checks.values import EPOCH, MICROSECOND, UNITS_US, UnreadableError, minor_digits, parse_decimal
from probes.contract import MISSING, VALUES, Labels, Row
from probes.settings import Binding


def values_of(binding: Binding, flow: Flow, row: Row) -> dict[str, Any]:
    """By field of the system, the raw values of a row."""
    fields = [source for name in flow.field_names for source in binding.sources(name)]
    return {field: value for field, value in zip(fields, row[VALUES], strict=True) if value is not MISSING}


def as_held(flow: Flow, name: str, systems: tuple[str, str], raw: Any, present: Any, copy: Any, position: int) -> Any:
    """Convert one system's value to another's form: labels, units, tokens and local time.

    A value with the same form in both is copied unchanged, because its canonical form may lack case or spaces.

    Args:
        systems: from which system, and to which.
        present: the other system's present value, None if it has none.

    Raises:
        UnreadableError: it has no exact form there.
    """
    rule = flow.data_type.fields[name]
    from_, to = systems
    if raw is None or raw is MISSING:
        return None
    labelled = rule.type == "enum" or (rule.type == "boolean" and to in rule.map)
    counted = rule.type == "money" and (from_ in rule.minor_units) != (to in rule.minor_units)
    scaled = rule.factor.get(from_) != rule.factor.get(to)
    timed = rule.type == "timestamp" and rule.unit.get(from_) != rule.unit.get(to)
    value = copy.values[position]
    if rule.type == "bytes":
        return _encoded(value, rule.encoding.get(to), raw)
    if rule.type == "duration" and rule.unit.get(from_) != rule.unit.get(to):
        return _span(name, value, rule.unit.get(to))
    if rule.type == "set" and isinstance(raw, Labels):
        return raw if rule.separator == "," else _labels(name, raw, present)
    try:
        if rule.type == "timestamp" and not timed and _is_local(raw) and not rule.unit.get(to):
            zones = [rule.zone.get(each, flow.held_by[each][0].zone) for each in systems]
            return raw if zones[0] == zones[1] else _local(value, zones[1], raw, present)
        return written(rule, to, plain(rule, value)) if labelled or counted or scaled or timed else raw
    except UnreadableError as error:
        raise UnreadableError(f"{name}: {error}") from None


def _encoded(value: Any, encoding: str | None, raw: Any) -> Any:
    """Bytes in a system's form: unchanged, or in the text encoding that the map names."""
    if not isinstance(value, bytes):
        return raw
    if encoding == "hex":
        return value.hex()
    return base64.b64encode(value).decode() if encoding == "base64" else value


def _span(name: str, value: Any, unit: str | None) -> int:
    """A span of time as a number of units."""
    months, span_us = value
    if unit is None or months or span_us % UNITS_US[unit]:
        raise UnreadableError(f"{name}: the span of time has no exact form there")
    return int(span_us // UNITS_US[unit])


def _labels(name: str, raw: Labels, present: Any) -> Any:
    """The labels of a SET column for another column; only another SET column accepts them unchanged."""
    if present is not None and not isinstance(present, Labels):
        raise UnreadableError(
            f"{name}: the labels of a SET column are joined by commas, and the map's separator is another"
        )
    return raw


def _is_local(raw: Any) -> bool:
    """Whether it is a date and time without a zone."""
    try:
        at = raw if isinstance(raw, datetime) else datetime.fromisoformat(raw.strip())
    except (ValueError, AttributeError):
        return False
    return at.tzinfo is None


def _local(instant: Any, zone: str | None, raw: Any, present: Any) -> Any:
    """An instant as local time for a system whose values carry no zone, unless its present value carries one."""
    at = aware(instant)
    if at is None:
        raise UnreadableError("an instant that is one of two, or beyond the calendar, has no local time elsewhere")
    if zone is None or (present is not None and not _is_local(present)):
        return at.isoformat(sep=" ")
    local = at.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0)
    return local if isinstance(raw, datetime) else local.isoformat(sep=" ")


def written(rule: FieldRule, to: str, value: Any) -> Any:
    """A value in ordinary Python (`checks.field_text.plain`) in a system's form: its labels, its units.

    Raises:
        UnreadableError: it has no exact form there.
    """
    if rule.type in {"enum", "boolean"} and to in rule.map:
        meaning = str(value).lower() if rule.type == "boolean" else value
        return next((label for label, each in rule.map[to].items() if each == meaning), meaning)
    if rule.type == "money" and isinstance(value, tuple):
        amount, currency = value
        return _counted(parse_decimal(amount), currency, to) if to in rule.minor_units else amount
    if rule.type == "decimal" and to in rule.factor and value is not None:
        quotient = divided(parse_decimal(value), rule.factor[to])
        if quotient is None:
            raise UnreadableError(f"the value has no exact form in {to}, whose factor is {rule.factor[to]}")
        return quotient
    if rule.type == "timestamp" and to in rule.unit and not isinstance(value, datetime):
        raise UnreadableError(f"an instant that is one of two, or beyond the calendar, has no number in {to}")
    if rule.type == "timestamp" and isinstance(value, datetime):
        unit = rule.unit.get(to)
        held_us = (value - EPOCH) // MICROSECOND
        return held_us // UNITS_US[unit] if unit else text_of(rule, held_us)
    return value


def _counted(amount: Decimal, currency: str, to: str) -> Decimal:
    """An amount in the minor units of its currency."""
    digits = minor_digits(currency)
    count = shifted(amount, digits) if digits is not None and amount.is_finite() else None
    if count is None or count != count.to_integral_value(context=EXACT):
        raise UnreadableError(f"the amount is no whole number of the minor units that {to} counts")
    return count
