"""Rows on the terminal: tables for people."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from auditor.escaping import visible
from probes.wording import figure
from probes.wording import heading as heading_of

# A file or a pipe has no width; tables there are wide rather than wrapped.
# A text like `:tada:` may be a value and is never turned into an emoji.
out = Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 200, emoji=False)
err = Console(stderr=True, emoji=False)

WHOLE_WORD = 12
"""A word of so many characters is not broken while the terminal has room for it."""


def print_rows(title: str, rows: Sequence[Mapping[str, Any]], *, verbatim: bool = False) -> None:
    """Show rows as a table; every mapping has the same keys, which are the headings.

    Args:
        verbatim: show names and numbers unchanged, for SQL results; otherwise format them for people.
    """
    if not rows:
        return
    table = Table(title=escape(visible(title)) or None, title_justify="left")
    for name in rows[0]:
        heading = escape(visible(name if verbatim else heading_of(name)))
        texts = (heading, *(text_of(row[name]) for row in rows))
        longest = max(len(word) for text in texts for word in text.split() or [""])
        table.add_column(heading, overflow="fold", min_width=min(longest, WHOLE_WORD))
    for row in rows:
        table.add_row(
            *(shown(value) if verbatim and isinstance(value, float) else text_of(value) for value in row.values())
        )
    out.print(table)


def text_of(value: object) -> str:
    """A value as a table cell; an unknown value is an en dash."""
    if value is None or value == "":
        return "–"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, float):
        return figure(value, 4)
    return shown(value)


def shown(text: object) -> str:
    """Text from outside for a table or a line on the terminal, with markup and control characters disarmed."""
    return escape(visible(text))
