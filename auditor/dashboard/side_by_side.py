"""One record in every system, side by side, as shown on several pages."""

from __future__ import annotations

import re

import pandas as pd
import streamlit as st

from auditor import escaping
from auditor.dashboard import tables
from auditor.dashboard.data import Data
from auditor.dashboard.evidence import changed_part
from auditor.dashboard.frames import frame
from auditor.map.consumers import told
from auditor.map.settings import Consumer
from auditor.systems.live_record import CopyView, RecordView, read_record
from auditor.systems.reader import open_readers
from checks.partition import partition, tell

_FRACTION = re.compile(r"(?<=:[0-5]\d)\.\d+")
"""A fraction of a second."""

MARKS = {"owner": "", "agrees": "", "differs": "≠ ", "unreadable": "? ", "absent": ""}


def read_live(data: Data, data_type: str, key: str) -> RecordView:
    """Read a record from every system now.

    Raises:
        KeyError: no such data type.
        UnreadableError: the text is not a key of this data type.
    """
    readers = open_readers(data.map, data.allowances)
    try:
        return read_record(data.map, readers, data_type, key)
    finally:
        for reader in readers.values():
            reader.close()


def draw(record: RecordView, consumers: tuple[Consumer, ...]) -> None:
    """Draw the copies, the consumers of each, and their fields, differing ones first."""
    for column, copy in zip(st.columns(len(record.copies), border=True), record.copies, strict=True):
        with column:
            _head(copy, [told(each) for each in consumers if each.reads == copy.system])
    names = list(dict.fromkeys(name for copy in record.copies for name in copy.cells))
    if not names:
        return
    names.sort(key=lambda name: name not in record.differing)
    telling = [name for name in names if any(_telling(copy, name) for copy in record.copies)]
    if telling and len(telling) < len(names):
        only = st.toggle("Only what differs or cannot be read", key="only", bind="query-params")
        names = telling if only else names
    table = frame(
        {escaping.markdown(copy.system): [_cell(record, copy, name) for name in names] for copy in record.copies},
        index=pd.Index([escaping.markdown(name) for name in names], name="field"),
    )
    marked = {
        (escaping.markdown(name), escaping.markdown(copy.system))
        for copy in record.copies
        for name in copy.cells
        if name in names and _telling(copy, name)
    }
    styles = pd.DataFrame("", index=table.index, columns=table.columns)
    for name, system in marked:
        styles.loc[name, system] = "background-color: rgba(208,69,59,0.25); font-weight: 600"
    styled = table.style.apply(lambda _: styles, axis=None)
    with st.container(key="side-by-side"):
        st.table(styled)
    camps = [sides(record, name) for name in record.differing]
    if len(record.copies) > 2 and camps:
        st.caption(escaping.markdown("Who agrees with whom. " + "; ".join(camps)))


def _telling(copy: CopyView, name: str) -> bool:
    """Whether the field differs there, or cannot be read."""
    return name in copy.cells and copy.cells[name].state in {"differs", "unreadable"}


def _head(copy: CopyView, readers: list[str]) -> None:
    st.markdown(f"**{escaping.markdown(copy.system)}** · {copy.role}")
    if copy.error:
        st.error(escaping.markdown(copy.error))
    elif copy.deleted:
        st.warning(f"marked as deleted ({escaping.markdown(copy.deleted)})")
    elif copy.found == 0:
        st.warning("missing")
    elif copy.found > 1:
        st.warning(f"{copy.found} rows")
    else:
        whole = _FRACTION.sub("", copy.changed_at)
        st.caption(
            f"changed {escaping.markdown(whole)}" if whole else "no changed-at", help=_as_held(copy.changed_at)
        )
    if readers:
        st.caption(f"read by {escaping.markdown(', '.join(readers))}")
    if copy.link:
        st.link_button(f"Open in {escaping.markdown(copy.system)}", copy.link, width="stretch")


def _as_held(stamp: str) -> str | None:
    """A timestamp as the system has it, where it is not shown as it is."""
    return escaping.markdown(stamp) if _FRACTION.search(stamp) else None


def draw_links(record: RecordView) -> None:
    """Draw where the record is seen in the systems themselves, in one line."""
    links = [escaping.markdown_link(copy.system, copy.link) for copy in record.copies if copy.link]
    if links:
        st.caption(f":material/open_in_new: Open in {' · '.join(links)}")


def sides(record: RecordView, name: str) -> str:
    """Which systems agree about a field; a system that does not carry it, or cannot be read, takes no side."""
    cells = {copy.system: copy.cells[name] for copy in record.copies if name in copy.cells}
    counts = next((cell.text for cell in cells.values() if cell.state == "owner"), "")
    held = {
        system: counts if cell.state == "agrees" else cell.text
        for system, cell in cells.items()
        if cell.state in {"owner", "agrees", "differs"}
    }
    return tell(name, partition({system: text.encode() for system, text in held.items()}))


def _cell(record: RecordView, copy: CopyView, name: str) -> str:
    """A cell as Markdown; a value that differs has the part marked in which it differs from the one that counts."""
    cell = copy.cells.get(name)
    if cell is None:
        return "–"
    counts = next((each.cells[name].text for each in record.copies if _counts(each, name)), None)
    if cell.state == "differs" and counts is not None:
        mine = escaping.visible(cell.text)
        start, end = changed_part(mine, escaping.visible(counts))
        if 0 < end - start < len(mine):
            return MARKS[cell.state] + escaping.marked(mine, start, end)
    return escaping.markdown(f"{MARKS[cell.state]}{cell.text}" or "–")


def _counts(copy: CopyView, name: str) -> bool:
    return name in copy.cells and copy.cells[name].state == "owner"


def draw_raw(record: RecordView) -> None:
    """Draw what each system holds, as it was read, before any of it was made comparable."""
    rows = [
        {"system": copy.system, "field there": name, "value, as JSON": value}
        for copy in record.copies
        for name, value in copy.raw
    ]
    if rows:
        with st.expander("As the systems hold it", icon=":material/data_object:"):
            tables.table(frame(rows), key="raw", alt="The compared fields of the record as each system holds them")
