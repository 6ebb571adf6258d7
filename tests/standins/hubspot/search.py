"""The search of a type of objects.

Source: developers.hubspot.com, "Search the CRM": at most 10,000 results in all, 200 in a page, 5 groups of filters, 6
filters in a group and 18 in all, 3,000 characters of a body, one sort; new and changed records come after a while;
archived ones never come. Instants are compared as milliseconds since 1970 or as ISO 8601.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from tests.standins.hubspot.errors import invalid
from tests.standins.hubspot.store import ObjectType, Record, Store

MOST_RESULTS = 10_000
MOST_IN_A_PAGE = 200
MOST_CHARACTERS = 3_000
_ORDER: Mapping[str, Callable[[Any, Any], bool]] = {
    "GT": operator.gt,
    "GTE": operator.ge,
    "LT": operator.lt,
    "LTE": operator.le,
}
Values = Mapping[str, str | None]


def found(store: Store, of: ObjectType, asked: Mapping[str, Any], as_of: datetime) -> list[tuple[Record, Values]]:
    """All records that a request selects, with the values that the index has of them, in order."""
    groups = [group.get("filters", []) for group in asked.get("filterGroups") or []]
    if len(groups) > 5 or any(len(group) > 6 for group in groups) or sum(map(len, groups)) > 18:
        raise invalid("The request has too many filters: at most 5 groups with 6 filters each, 18 in all.")
    indexed = [(record, store.as_of(record, as_of)) for record in of.records.values()]
    text = str(asked.get("query") or "").casefold()
    selected: list[tuple[Record, Values]] = [
        (record, values)
        for record, values in indexed
        if values is not None
        and (not groups or any(all(_holds(of, values, one) for one in group) for group in groups))
        and (not text or any(text in (values.get(name) or "").casefold() for name in of.shown))
    ]
    name, descending = _sorting(of, asked.get("sorts") or [])
    selected.sort(key=lambda each: int(each[0].id))
    selected.sort(key=lambda each: _comparable(of, name, each[1].get(name)) or Decimal(0), reverse=descending)
    return selected


def _sorting(of: ObjectType, sorts: list[Any]) -> tuple[str, bool]:
    if len(sorts) > 1:
        raise invalid("Only one sort is allowed.")
    told = sorts[0] if sorts else "createdate"
    name, direction = (told, "") if isinstance(told, str) else (told.get("propertyName"), told.get("direction", ""))
    descending = direction == "DESCENDING" or (not direction and str(name).startswith("-"))
    name = str(name).lstrip("-")
    if name not in of.properties:
        raise invalid(f"There was a problem with the request: property '{name}' does not exist")
    return name, descending


def _holds(of: ObjectType, values: Values, one: Mapping[str, Any]) -> bool:
    name, how = str(one.get("propertyName")), str(one.get("operator"))
    if name not in of.properties:
        raise invalid(f"There was a problem with the request: property '{name}' does not exist")
    value = values.get(name) or None  # what was cleared has no value for a filter
    if how in {"HAS_PROPERTY", "NOT_HAS_PROPERTY"}:
        return (value is not None) == (how == "HAS_PROPERTY")
    if how in {"IN", "NOT_IN"}:
        within = value is not None and value.casefold() in {str(each).casefold() for each in one.get("values", [])}
        return within == (how == "IN")
    if how in {"EQ", "NEQ"}:
        same = value is not None and _comparable(of, name, value) == _comparable(of, name, str(one.get("value")))
        return same == (how == "EQ")
    if how in {"CONTAINS_TOKEN", "NOT_CONTAINS_TOKEN"}:
        token = str(one.get("value")).strip("*").casefold()
        return (value is not None and token in value.casefold()) == (how == "CONTAINS_TOKEN")
    if value is None:
        return False
    mine = _comparable(of, name, value)
    low = _comparable(of, name, str(one.get("value")))
    if how == "BETWEEN":
        return bool(low <= mine <= _comparable(of, name, str(one.get("highValue"))))
    if how not in _ORDER:
        raise invalid(f"Invalid operator {how}")
    return _ORDER[how](mine, low)


def _comparable(of: ObjectType, name: str, value: str | None) -> Any:
    kind = of.properties[name].type
    if value is None:
        return None if kind in {"number", "datetime"} else ""
    if kind == "datetime" and not value.lstrip("-").isdigit():
        try:
            return Decimal(round(datetime.fromisoformat(value).timestamp() * 1000))
        except ValueError:
            raise invalid(f"{value} is not a valid instant") from None
    if kind in {"number", "datetime"}:
        try:
            return Decimal(value)
        except InvalidOperation:
            raise invalid(f"{value} is not a valid number") from None
    return value.casefold()
