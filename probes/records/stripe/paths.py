"""Values of an object by the dotted paths of the map: `email`, `customer.email`, `metadata.crm_id`. Pure.

Stripe returns another object's id in its place unless asked to expand it. That a path leads through such an id is
discovered when one is met.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from probes.contract import MISSING
from probes.exact_json import Undecodable
from probes.records.stripe.money import in_iso_units
from probes.records.stripe.shapes import AMOUNTS, INSTANTS

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DELETED = "deleted"
"""A member that only deleted objects have."""

ONLY_BEGINNING = "a list that Stripe returns only in part"


class UnexpandedError(Exception):
    """A path leads through an id.

    Attributes:
        prefix: what to expand.
    """

    def __init__(self, prefix: str) -> None:
        super().__init__(prefix)
        self.prefix = prefix


def steps(path: str) -> tuple[str, ...]:
    """The members that a path leads through; what follows `metadata` is one key, with its dots and spaces."""
    members = path.split(".")
    if "metadata" in members:
        at = members.index("metadata") + 1
        members = [*members[:at], *filter(None, [".".join(members[at:])])]
    return tuple(members)


def value(record: Mapping[str, Any], path: str, expanded: Collection[str] = ()) -> Any:
    """The value at a path: MISSING if there is none, None if something on the way is null or deleted.

    Instants are returned as datetimes, amounts in the minor units of ISO 4217, other objects as their ids.

    Args:
        expanded: what the request expanded.

    Raises:
        UnexpandedError: something has to be expanded first.
    """
    if path == DELETED:
        return record.get(DELETED, False)
    return _at(record, steps(path), (), None, expanded)


def _at(node: Any, further: tuple[str, ...], done: tuple[str, ...], currency: Any, expanded: Collection[str]) -> Any:
    if not further:
        return _leaf(node, done, currency, expanded)
    step, rest = further[0], further[1:]
    if node is None or isinstance(node, Undecodable):
        return node
    if isinstance(node, str):
        raise UnexpandedError(".".join(done))
    if isinstance(node, list):
        if step.isdecimal():
            index = int(step)
            return _at(node[index], rest, done, currency, expanded) if index < len(node) else MISSING
        return [_at(each, further, done, currency, expanded) for each in node]
    if not isinstance(node, dict):
        return MISSING
    if step not in node:
        return None if node.get(DELETED) is True else MISSING
    if _continues(node) and not (rest and rest[0].isdecimal()):
        return Undecodable(ONLY_BEGINNING)
    return _at(node[step], rest, (*done, step), node.get("currency", currency), expanded)


def _continues(node: Mapping[str, Any]) -> bool:
    return node.get("object") == "list" and node.get("has_more") is True


def _leaf(node: Any, done: tuple[str, ...], currency: Any, expanded: Collection[str]) -> Any:
    name = done[-1]
    if "metadata" in done[:-1]:
        return node
    if name in INSTANTS and isinstance(node, int) and not isinstance(node, bool):
        try:
            return EPOCH + timedelta(seconds=node)
        except OverflowError:
            return node
    if name in AMOUNTS:
        return in_iso_units(node, currency)
    if isinstance(node, dict) and _continues(node):
        return Undecodable(ONLY_BEGINNING)
    return _folded(node, ".".join(done), expanded)


def _folded(node: Any, prefix: str, expanded: Collection[str]) -> Any:
    """The same node, with an id wherever something was expanded only for another field."""
    if not any(each == prefix or each.startswith(f"{prefix}.") for each in expanded):
        return node
    if isinstance(node, list):
        return [_folded(each, prefix, expanded) for each in node]
    if not isinstance(node, dict):
        return node
    if prefix in expanded and "id" in node:
        return node["id"]
    return {name: _folded(each, f"{prefix}.{name}", expanded) for name, each in node.items()}
