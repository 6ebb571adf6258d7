"""Repair proposals as SQL, JSON and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from auditor.escaping import unseen_escaped, visible
from auditor.integration_map import IntegrationMap
from auditor.repair import Proposal
from checks.values import describe
from probes import registry
from probes.contract import MISSING
from probes.exact_json import encode


def write_json(proposals: Iterable[Proposal]) -> str:
    """The proposals as one JSON document."""
    return unseen_escaped(encode([each.as_row() for each in proposals], default=_plain, indent=2))


def write_csv(proposals: Iterable[Proposal]) -> str:
    """The proposals as CSV, one row a field."""
    text = io.StringIO()
    table = csv.writer(text)
    common_columns = ["flow", "data_type", "key", "cause", "action", "system", "collection"]
    table.writerow([*common_columns, "field", "present", "proposed", "why", "warnings"])
    for each in proposals:
        common = [each.flow, each.data_type, each.key, each.cause, each.action, each.system, each.collection]
        end = [each.why, "; ".join(each.warnings)]
        for name in each.changes or {"": None}:
            present = each.guard.get(name) if each.action == "update" else None
            table.writerow([*common, name, _cell(present), _cell(each.changes.get(name)), *end])
    return text.getvalue()


def write_sql(integration_map: IntegrationMap, proposals: Iterable[Proposal]) -> str:
    """The proposals as SQL for people to review and run; what is not SQL, or not decided, stands as a comment.

    Each statement checks the values it replaces, so that it changes nothing that has moved meanwhile.
    """
    lines = [
        "-- Proposed by Plumbline, which writes to no system. Review every statement before you run it,",
        "-- in a transaction, on the system its comment names.",
    ]
    for each in proposals:
        lines += ["", f"-- {each.flow}: {each.data_type} {_comment(each.key)}: {each.cause}; {_comment(each.why)}"]
        lines += [f"-- WARNING: {_comment(warning)}" for warning in each.warnings]
        if each.action == "none":
            continue
        write = registry.statement_writer(integration_map.systems[each.system])
        if write is None:
            wanted = encode(dict(each.changes), default=_plain)
            lines.append(f"-- {each.system} takes no SQL: {each.action} {each.collection} {_comment(wanted)}")
        else:
            changes, guard = (
                {name: _value(held) for name, held in both.items()} for both in (each.changes, each.guard)
            )
            written_out = write(each.action, each.collection, (each.key_field, each.key), changes, guard)
            lines += [f"-- {each.action} in {each.system}", f"{written_out};"]
    return "\n".join(lines) + "\n"


def _comment(text: object) -> str:
    """Text from outside on one line of a comment, every character of it to be seen."""
    return visible(" ".join(str(text).split(" ")))


def _value(value: Any) -> Any:
    """A raw value as a statement writes it: numbers as they are, everything else as text."""
    if value is MISSING or value is None:
        return None
    return value if isinstance(value, bool | int | float | Decimal) else _plain(value)


def _cell(value: Any) -> str:
    return "" if value is None or value is MISSING else str(_plain(value))


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return describe(value)
    if isinstance(value, Mapping | list | tuple):
        return encode(value)
    return value if isinstance(value, str) else str(value)
