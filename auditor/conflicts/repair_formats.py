"""Repair proposals as SQL, JSON and CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from auditor.conflicts.proposal import Proposal
from auditor.conflicts.repair import statement_of
from auditor.escaping import spreadsheet, unseen_escaped, visible
from auditor.map.integration_map import IntegrationMap
from probes.contract import MISSING
from probes.exact_json import encode

SHOWN = 200
"""Most characters of a text shown in a comment next to a statement that contains it escaped."""


def write_json(proposals: Iterable[Proposal]) -> str:
    """The proposals as one strict JSON document: bytes as `{"hex": "00ff"}`, NaN and the infinities as text."""
    return unseen_escaped(encode([_strict(each.as_row()) for each in proposals], default=_plain, indent=2))


def write_csv(proposals: Iterable[Proposal]) -> str:
    """The proposals as CSV for spreadsheets, one row per field; texts like formulas begin with an apostrophe.

    JSON holds every text exactly.
    """
    text = io.StringIO()
    table = csv.writer(text)
    common_columns = ["flow", "data_type", "key", "cause", "action", "system", "collection"]
    table.writerow([*common_columns, "field", "present", "proposed", "why", "warnings"])
    for each in proposals:
        common = [each.flow, each.data_type, each.key, each.cause, each.action, each.system, each.collection]
        end = [each.why, "; ".join(each.warnings)]
        for name in each.changes or {"": None}:
            present = each.guard.get(name) if each.action == "update" else None
            cells = [*common, name, _cell(present), _cell(each.changes.get(name)), *end]
            table.writerow([spreadsheet(cell) for cell in cells])
    return text.getvalue()


def write_sql(integration_map: IntegrationMap, proposals: Iterable[Proposal]) -> str:
    """The proposals as SQL for people to review and run; systems without SQL and undecided records become comments.

    Each statement checks the values it replaces, so that it changes nothing that was written meanwhile.
    """
    lines = [
        "-- Proposed by Plumbline, which writes to no system. Review every statement before you run it,",
        "-- in a transaction, on the system its comment names.",
    ]
    for each in proposals:
        about = f"{each.flow}: {each.data_type} {each.key}: {each.cause}; {each.why}"
        lines += ["", f"-- {_comment(about)}"]
        lines += [f"-- WARNING: {_comment(warning)}" for warning in each.warnings]
        if each.action == "none":
            continue
        try:
            statement = statement_of(integration_map.systems[each.system], each)
        except ValueError as error:
            lines.append(f"-- no statement: {_comment(error)}")
            continue
        if statement is None:
            wanted = encode(_strict(dict(each.changes)), default=_plain)
            lines.append(f"-- {_comment(f'{each.system} takes no SQL: {each.action} {each.collection} {wanted}')}")
        else:
            lines.append(f"-- {_comment(f'{each.action} in {each.system}')}")
            lines += [f"--   {_comment(f'{name} = {value}')}" for name, value in _escaped(each, statement)]
            lines.append(f"{statement};")
    return "\n".join(lines) + "\n"


def _escaped(proposal: Proposal, statement: str) -> Iterator[tuple[str, str]]:
    """The texts that a statement holds escaped: with characters beyond ASCII or invisible ones."""
    for name, value in proposal.changes.items():
        if isinstance(value, str) and value.replace("'", "''") not in statement:
            yield name, value if len(value) <= SHOWN else value[: SHOWN - 1] + "…"


def _comment(text: object) -> str:
    """Text from outside on one line of a comment, with every character visible."""
    return visible(" ".join(str(text).split(" ")))


def _strict(value: Any) -> Any:
    """The value without numbers that JSON does not have."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {name: _strict(each) for name, each in value.items()}
    return [_strict(each) for each in value] if isinstance(value, list | tuple) else value


def _cell(value: Any) -> str:
    return "" if value is None or value is MISSING else str(_plain(_strict(value), nested=False))


def _plain(value: Any, *, nested: bool = True) -> Any:
    """Values without a form in JSON and CSV: bytes in marked hex; documents as JSON; all else as text."""
    if isinstance(value, bytes | bytearray | memoryview):
        return encode({"hex": bytes(value).hex()}) if not nested else {"hex": bytes(value).hex()}
    if isinstance(value, Mapping | list | tuple):
        return encode(_strict(value), default=_plain)
    return value if isinstance(value, str) else str(value)
