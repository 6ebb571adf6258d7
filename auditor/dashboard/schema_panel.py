"""The views beside the query editor: their columns, types and meanings, and a SELECT of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from auditor.history.view_meanings import view_meanings

OPENED = 3
"""So few views that match are shown open."""

TYPES = {
    "BIGINT": "integer",
    "DOUBLE": "number",
    "VARCHAR": "text",
    "BOOLEAN": "true or false",
    "TIMESTAMP WITH TIME ZONE": "instant",
}
"""The engine's types in the words of the pages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a view: its name, its type in words, and what it holds, as Markdown."""

    name: str
    word: str
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A view: its name, what one row is, as Markdown, and its columns."""

    name: str
    meaning: str
    columns: tuple[Column, ...]

    @property
    def select(self) -> str:
        """A statement that reads it."""
        names = ", ".join(each.name for each in self.columns)
        return f"SELECT {names}\nFROM {self.name}\nLIMIT 100"


def views_of(types: Mapping[str, Sequence[tuple[str, str]]]) -> tuple[View, ...]:
    """The views with what the documentation says of them.

    Args:
        types: by view, the names and engine types of its columns.
    """
    meant = view_meanings()
    found = []
    for name, columns in types.items():
        words = meant[name].columns if name in meant else {}
        found.append(
            View(
                name=name,
                meaning=meant[name].meaning if name in meant else "",
                columns=tuple(
                    Column(name=column, word=TYPES.get(type_, type_.lower()), meaning=words.get(column, ""))
                    for column, type_ in columns
                ),
            )
        )
    return tuple(found)


def matching(views: Sequence[View], wanted: str) -> list[View]:
    """The views whose name or meaning holds a text, and those that have such columns, with these columns alone."""
    text = wanted.strip().casefold()
    found = []
    for view in views:
        if text in view.name.casefold() or text in view.meaning.casefold():
            found.append(view)
            continue
        held = tuple(each for each in view.columns if text in f"{each.name} {each.meaning}".casefold())
        if held:
            found.append(View(name=view.name, meaning=view.meaning, columns=held))
    return found


def draw(views: Sequence[View], insert: Callable[[str], None]) -> None:
    """Draw the views, those that match a filter if there is one.

    Args:
        insert: takes the SELECT of the view that was chosen.
    """
    wanted = st.text_input(
        "Filter views and columns",
        key="views-filter",
        placeholder="Filter views and columns",
        label_visibility="collapsed",
        type="search",
    )
    found = matching(views, wanted or "")
    if not found:
        st.caption("No view and no column matches.")
    whole = {each.name: each for each in views}
    for view in found:
        shown = bool(wanted) and len(found) <= OPENED
        with st.container(horizontal=True, key=f"view-row-{view.name}"):
            unfolded = st.expander(
                view.name,
                expanded=shown,
                key=f"view-{view.name}-{'open' if shown else 'closed'}",
                type="compact",
                on_change="rerun",
            )
            st.button(
                ":blue[SELECT]",
                key=f"select-{view.name}",
                type="tertiary",
                help="Put a SELECT of this view into the editor",
                on_click=insert,
                args=(whole[view.name].select,),
            )
        if unfolded.open:
            with unfolded:
                st.caption(view.meaning)
                st.caption(_listed(view))


def _listed(view: View) -> str:
    """The columns as a Markdown table."""
    rows = [f"| `{each.name}` | {each.word} | {each.meaning} |" for each in view.columns]
    return "\n".join(["| column | type | meaning |", "|---|---|---|", *rows])
