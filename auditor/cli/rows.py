"""Rows on the terminal: tables for people."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from auditor.escaping import visible
from probes.wording import figure
from probes.wording import heading as heading_of

# A file or a pipe has no width; tables there are wide rather than wrapped.
# A text like `:tada:` may be a value and is never turned into an emoji.
out = Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 200, emoji=False)
err = Console(stderr=True, emoji=False)

EDGE = 1
BESIDE_CELL = 3
"""What a table's lines and blanks take: so many characters for each column, and one edge more."""


def print_rows(title: str, rows: Sequence[Mapping[str, Any]], *, verbatim: bool = False) -> None:
    """Show rows as a table; every mapping has the same keys, which are the headings.

    Args:
        verbatim: show names and numbers unchanged, for SQL results; otherwise format them for people.
    """
    if not rows:
        return
    headings = [escape(visible(name if verbatim else heading_of(name))) for name in rows[0]]
    cells = [
        [shown(value) if verbatim and isinstance(value, float) else text_of(value) for value in row.values()]
        for row in rows
    ]
    print_table(escape(visible(title)), headings, cells)


def print_table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Show cells as a table. Where a word would not fit into its column, show a block of lines per row instead.

    Args:
        title: as markup, like all other texts; "" for none.
        rows: the cells, one per heading.
    """
    names = [_text(each) for each in headings]
    lines = [[_text(each) for each in row] for row in rows]
    widths = widths_of([[name, *cells] for name, *cells in zip(names, *lines, strict=True)], out.width)
    if widths is None:
        # The terminal breaks long lines itself; nothing is cut off.
        if title:
            out.print(_text(f"[italic]{title}[/]"), soft_wrap=True)
        for line in lines:
            for name, cell in zip(names, line, strict=True):
                out.print(name, cell, sep=": ", soft_wrap=True)
            out.print()
        return
    table = Table(title=_text(title) if title else None, title_justify="left")
    for name, width in zip(names, widths, strict=True):
        table.add_column(name, overflow="fold", width=width)
    for line in lines:
        table.add_row(*line)
    out.print(table)


def widths_of(columns: Sequence[Sequence[Text]], room: int) -> list[int] | None:
    """The widths of a table's columns, None if a word would have to be broken.

    Args:
        columns: the texts of each, with its heading.
        room: the width of the table.
    """
    room -= BESIDE_CELL * len(columns) + EDGE
    widest = [max(each.cell_len for each in column) for column in columns]
    if sum(widest) <= room:
        return widest
    least = [max(cell_len(word) for each in column for word in each.plain.split() or [""]) for column in columns]
    if sum(least) > room:
        return None
    widths = list(least)
    for _ in range(room - sum(least)):  # to the narrowest of those that want more
        at = min((at for at, wide in enumerate(widest) if widths[at] < wide), key=lambda at: widths[at])
        widths[at] += 1
    return widths


def _text(markup: str) -> Text:
    return Text.from_markup(markup, emoji=False)


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
