"""Tables: outside values as plain text, and cells that link somewhere or act on their row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeAlias, TypeVar

import pandas as pd
import streamlit as st

from auditor import escaping
from auditor.dashboard import look, navigation
from auditor.dashboard.look import Sign
from auditor.dashboard.navigation import Target

INSTANT = "D MMM HH:mm:ss"
"""How tables show an instant."""

CHIPS_APART, CHIPS_WIDTH = 8, 400
"""What the first chip of a cell has around it and the next ones do not, and the widest column of them, in pixels."""

BODY = 1440 - 260 - 2 * 32
"""The width of a page's body on a screen of 1440 pixels beside the sidebar."""

CHECKBOX, INSTANT_WIDTH = 32, 102
"""The widths of the column in which rows are selected and of one of instants, in pixels."""

TWO_LINES = 61
"""The height in pixels of a row of two lines: texts are wrapped in rows higher than four times the font's size."""

BY_KEYBOARD = "With the keyboard, Shift+Space selects the row of the cell that the arrow keys lead to."
"""How rows are selected without a mouse, which is also how what a row is about is opened."""

MENU = "act"
"""The column of menus."""

Subject = TypeVar("Subject")

Signs: TypeAlias = Sign | Sequence[Sign] | None
"""What one cell shows: a sign, several, or none."""


def table(
    frame: pd.DataFrame,
    *,
    alt: str,
    key: str,
    links: Mapping[str, Sequence[Target | None]] | None = None,
    acts: Mapping[str, tuple[Sequence[Any], Callable[[Any], None]]] | None = None,
    signs: Mapping[str, Sequence[Signs]] | None = None,
    after: Mapping[str, Sequence[Signs]] | None = None,
    column_config: Mapping[str, Any] | None = None,
    optional: Sequence[str] = (),
    figures: bool = True,
    widest: str = "",
    room: int = BODY,
    wraps: str = "",
    **more: Any,
) -> Any:
    """Draw a table.

    Args:
        key: of the table on its page.
        links: by column, the target of each row's cell; None for no link. Of its column's configuration only the
            width counts.
        acts: by column, the subject of each row's cell, and the action that a click performs with it.
        signs: by column, the signs of each row, drawn as coloured chips; None for an empty cell. A column that the
            frame does not have yet is put first.
        after: the same, for columns that are put last.
        optional: columns that are left out where no row has anything in them.
        figures: whole numbers are counts, shown in groups of three digits.
        widest: the column that is the first to get what room is left, as far as its texts need it; then other texts
            do. Its width must be given.
        room: for all columns, in pixels.
        wraps: a column whose texts are continued on a second line where its width, which must be given, cuts one off.

    Returns:
        What Streamlit answers, such as the selection.
    """
    frame = frame.drop(columns=[name for name in optional if (frame[name].isna() | (frame[name] == "")).all()])
    counts = [name for name in frame.columns if figures and pd.api.types.is_integer_dtype(frame[name].dtype)]
    frame = _told(frame)
    config = {**{name: st.column_config.NumberColumn(format="localized") for name in counts}, **(column_config or {})}
    clickable = {column: (targets, navigation.leave) for column, targets in (links or {}).items()}
    for column, (meant, act) in {**clickable, **(acts or {})}.items():
        labels = [
            escaping.button(label) if each is not None and isinstance(label, str) else None
            for label, each in zip(frame[column], meant, strict=True)
        ]
        frame[column] = pd.Series(labels, dtype=object, index=frame.index)
        width = config.get(column, {}).get("width")
        config[column] = _buttons(column, labels, meant, act, key=f"{key}-{column}", width=width)
    for column, drawn in {**(signs or {}), **(after or {})}.items():
        cells = [_several(each) for each in drawn]
        chips = pd.Series([[each.plain for each in cell] for cell in cells], dtype=object, index=frame.index)
        if column in frame:
            frame[column] = chips
        else:
            frame.insert(len(frame.columns) if after and column in after else 0, column, chips)
        config[column] = _chips(column, cells)
    if widest:
        _share(frame, config, widest, room - CHECKBOX * ("selection_mode" in more))
    if wraps and _needed(frame[wraps]) > config[wraps]["width"]:
        more["row_height"] = TWO_LINES
    return st.dataframe(frame, hide_index=True, alt=alt, column_config=config, key=key, placeholder="–", **more)


def _told(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with a sign for every character of its texts that cannot be seen."""
    changed = {}
    for at, dtype in enumerate(frame.dtypes):
        if pd.api.types.is_object_dtype(dtype) or pd.api.types.is_string_dtype(dtype):
            cells = frame.iloc[:, at].tolist()
            shown = [escaping.visible(cell) if isinstance(cell, str) else cell for cell in cells]
            if any(after is not before for after, before in zip(shown, cells, strict=True)):
                changed[frame.columns[at]] = pd.Series(shown, index=frame.index, dtype=dtype)
    return frame.assign(**changed)


@dataclass(frozen=True, slots=True)
class Menu:
    """What each row of a table offers in its last cell.

    Attributes:
        words: by row, what can be chosen.
        do: does it, with what the row is about and the chosen word.
    """

    words: Sequence[Sequence[str]]
    do: Callable[[Any, str], None]


def pickable(
    frame: pd.DataFrame, subjects: Sequence[Subject], *, key: str, menu: Menu | None = None, **more: Any
) -> list[Subject]:
    """Draw a table whose rows can be selected; see `table`.

    A selection goes by what the rows are about, so it survives a redraw in which they have moved.

    Args:
        subjects: what each row is about.

    Returns:
        The subjects of the selected rows.
    """
    chosen = picked_in(key)
    rows = [at for at, subject in enumerate(subjects) if subject in chosen]
    shown = sha256(repr([*subjects]).encode("utf-8", "backslashreplace")).hexdigest()[:12]
    if menu is not None:
        frame = frame.assign(**{MENU: pd.Series(list(menu.words), dtype=object, index=frame.index)})
        config = {MENU: _menu(menu, subjects, key=f"{key}-{shown}-menu")}
        more["column_config"] = {**more.get("column_config", {}), **config}
    drawn = table(
        frame,
        key=f"{key}-{shown}",
        on_select="rerun",
        selection_mode="multi-row",
        selection_default={"selection": {"rows": rows, "columns": [], "cells": []}},
        **more,
    )
    picked = [subjects[at] for at in drawn.selection.rows if at < len(subjects)]
    st.session_state[f"{key}-picked"] = picked
    return picked


def picked_in(key: str) -> Sequence[Any]:
    """The subjects of the rows that were selected when this table was drawn last."""
    found: Sequence[Any] = st.session_state.get(f"{key}-picked", ())
    return found


def _menu(menu: Menu, subjects: Sequence[Any], *, key: str) -> Any:
    """A column of menus. The key changes with the rows, so that a click on rows that have moved does nothing."""

    def clicked() -> None:
        click = st.session_state[key]
        menu.do(subjects[click.row], click.label)

    return st.column_config.ButtonColumn(MENU, width=80, type="tertiary", on_click=clicked, key=key)


def _several(drawn: Signs) -> Sequence[Sign]:
    return [] if drawn is None else [drawn] if isinstance(drawn, Sign) else drawn


def _chips(column: str, cells: Sequence[Sequence[Sign]]) -> Any:
    """A column of coloured chips, one for each different sign."""
    tones = {each.plain: look.HEX[each.tone] for cell in cells for each in cell}
    several = [sum(chips_width([each.plain]) - CHIPS_APART for each in cell) for cell in cells]
    width = max(chips_width([column, *tones]), min(max(several, default=0) + CHIPS_APART, CHIPS_WIDTH))
    return st.column_config.MultiselectColumn(column, width=width, options=list(tones), color=list(tones.values()))


def _share(frame: pd.DataFrame, config: dict[str, Any], widest: str, room: int) -> None:
    """Widen columns of texts that would be cut off, as far as there is room, and let one fill what is left."""
    spare = room - sum(_width(frame[name], config.get(name, {})) for name in frame.columns)
    texts = [
        each for each in frame.columns if isinstance(config.get(each), dict) and frame[each].map(type).eq(str).any()
    ]
    for name in (widest, *texts):
        width = _width(frame[name], config[name])
        wider = max(0, min(spare, _needed(frame[name]) - width))
        config[name] = {**config[name], "width": width + wider}
        spare -= wider
    config[widest]["width"] += max(0, spare)


def _needed(cells: pd.Series) -> int:
    return 24 + 7 * max(map(len, [str(cells.name), *cells.dropna().map(str)]))


def _width(cells: pd.Series, config: Any) -> int:
    """How wide a column is drawn, in pixels, about. A column of buttons has its configuration inside."""
    width = getattr(config, "config", config).get("width")
    if isinstance(width, int):
        return width
    if pd.api.types.is_datetime64_any_dtype(cells.dtype):
        return INSTANT_WIDTH
    return _needed(cells)


def chips_width(texts: Sequence[str]) -> int:
    """The width in pixels in which the longest of the chips is not cut off."""
    return 32 + 8 * max(map(len, texts))


def instants(*columns: str) -> dict[str, Any]:
    """The configuration of columns of instants."""
    return {name: st.column_config.DatetimeColumn(format=INSTANT) for name in columns}


def csv(frame: pd.DataFrame) -> bytes:
    """A table as a CSV file for spreadsheets, with texts that cannot act as formulas."""
    safe = frame.map(lambda cell: escaping.spreadsheet(cell) if isinstance(cell, str) else cell)
    text: str = safe.rename(columns=escaping.spreadsheet).to_csv(index=False)
    return text.encode("utf-8", "replace")


def parquet(frame: pd.DataFrame) -> bytes:
    """A table as a Parquet file, with texts as they are."""
    written: bytes = frame.to_parquet(index=False)
    return written


def _buttons(
    column: str,
    labels: Sequence[str | None],
    meant: Sequence[Any],
    act: Callable[[Any], None],
    *,
    key: str,
    width: int | None,
) -> Any:
    """A column of buttons.

    A click identifies the row by its position, and the rows may have moved since they were drawn. So the label
    decides what the click means; if several rows with that label mean different things, the position must match.
    """

    def clicked() -> None:
        subject = meant_by(st.session_state[key].row, st.session_state[key].label, labels, meant)
        if subject is None:
            st.toast("The list has changed meanwhile; click again.")
        else:
            act(subject)

    return st.column_config.ButtonColumn(
        column, width=width, type="tertiary", alignment="left", on_click=clicked, key=key
    )


def meant_by(row: int, label: str, labels: Sequence[str | None], meant: Sequence[Any]) -> Any:
    """What a click on a row's label means; None if that is no longer certain."""
    same = [each for shown, each in zip(labels, meant, strict=True) if shown == label]
    if same and all(each == same[0] for each in same):
        return same[0]
    return meant[row] if row < len(labels) and labels[row] == label else None
