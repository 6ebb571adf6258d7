"""Canonical values as text, as far as a field's evidence allows, and as ordinary Python for rules."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from checks import further_types, instants, values
from checks.fields import FURTHER, FieldRule
from probes.contract import MISSING
from probes.exact_json import encode


def plain(rule: FieldRule, value: Any) -> Any:
    """A canonical value as ordinary Python: instants as aware datetimes, JSON as it was, NULL and missing as None.

    An instant without a Python equivalent (infinite, outside the years 1 to 9999, ambiguous) becomes its text.
    """
    if value is None or value is MISSING:
        return None
    if rule.type == "timestamp":
        return instants.aware(value) or instants.instant_text(value)
    if rule.type == "json":
        return _plain_json(value)
    if rule.type == "array":
        return _plain_json(value) if rule.items is None else _each(rule, value, plain)
    if rule.type in FURTHER:
        return text_of(rule, value)
    return list(value) if rule.type == "set" else value


def _each(rule: FieldRule, value: Any, tell: Callable[[FieldRule, Any], Any]) -> Any:
    """A canonical array as nested lists, each item formatted by its type."""
    if isinstance(value, tuple) and value and value[0] == "array":
        return [_each(rule, each, tell) for each in value[1:]]
    return None if value is None else tell(rule.model_copy(update={"type": rule.items, "items": None}), value)


def _plain_json(value: Any) -> Any:
    if not isinstance(value, tuple):
        return value
    kind, *items = value
    if kind == "boolean":
        return items[0]
    if kind == "object":
        return {key: _plain_json(each) for key, each in items}
    return [_plain_json(each) for each in items]


def show(rule: FieldRule, value: Any) -> str:
    """Show a canonical value as far as the field's evidence policy allows."""
    if value is None or value is MISSING:
        return values.describe(value)
    if rule.evidence == "private":
        return values.describe(value)
    text = text_of(rule, value)
    return text[:200] if rule.evidence == "clear" else masked(text)


def masked(text: str) -> str:
    """The first and last characters of a text, and its length."""
    return f"{text[:1]}***{text[-1:]} ({len(text)})" if len(text) > 4 else f"*** ({len(text)})"


def text_of(rule: FieldRule, value: Any) -> str:
    """Write a canonical value as people read it."""
    if value is None or value is MISSING:
        return values.describe(value)
    if rule.type == "timestamp":
        return instants.instant_text(value)
    if rule.type == "money":
        return f"{value[0]:f} {value[1]}"
    if rule.type == "json" or (rule.type == "array" and rule.items is None):
        return encode(_plain_json(value))
    if rule.type == "array":
        return json.dumps(_each(rule, value, text_of), ensure_ascii=False)
    if rule.type == "decimal" and isinstance(value, Decimal):
        return f"{value:f}"
    if rule.type == "set":
        return ", ".join(value)
    return further_types.text_of_further(rule.type, value) if rule.type in FURTHER else str(value)
