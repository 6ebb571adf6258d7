"""Rows and documents on the terminal: tables for people, one JSON document for programs."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from auditor.cli.shared import write
from auditor.escaping import unseen_escaped, visible

# A file or a pipe has no width of its own; tables there are wide rather than folded.
# Emoji are never made of a text like `:tada:`, which may be a value.
out = Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 200, emoji=False)
err = Console(stderr=True, emoji=False)


def print_json(document: object) -> None:
    """Write one JSON document to standard output."""
    write(unseen_escaped(strict_json(document)) + "\n")


def strict_json(document: object) -> str:
    """The document as JSON that every reader takes: NaN and the infinities, which it has no number for, are text."""
    try:
        return json.dumps(document, default=plain, indent=2, ensure_ascii=False, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(document), default=plain, indent=2, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(Decimal(value))
    if isinstance(value, Mapping):
        return {name: _finite(each) for name, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list | tuple) else value


def plain(value: object) -> object:
    """Turn what JSON does not know into what it does."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        if not value.is_finite():
            return str(value)
        return int(value) if value == value.to_integral_value() else float(value)
    return value.hex() if isinstance(value, bytes) else str(value)


def print_rows(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Show rows as a table; every mapping has the same keys."""
    if not rows:
        return
    table = Table(title=escape(visible(title)) or None, title_justify="left")
    for name in rows[0]:
        table.add_column(escape(visible(name.replace("_", " "))), overflow="fold")
    for row in rows:
        table.add_row(*(text_of(value) for value in row.values()))
    out.print(table)


def text_of(value: object) -> str:
    """A value as a table cell; nothing known is an en dash."""
    if value is None or value == "":
        return "–"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return shown(value)


def shown(text: object) -> str:
    """Text from outside for a table or a line on the terminal: nothing in it is markup, and nothing acts."""
    return escape(visible(text))
