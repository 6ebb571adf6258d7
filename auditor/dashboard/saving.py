"""Saved queries on the Query page: the list that everyone shares, and what people do with one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial

import streamlit as st

from auditor import escaping
from auditor.console.query import QueryError, check_query
from auditor.dashboard import acting, components, tables
from auditor.dashboard.access import Onlooker, Person
from auditor.dashboard.data import Data
from auditor.dashboard.frames import frame
from auditor.dashboard.query_sheet import Sheet
from auditor.desk.shelf import Shelf
from checks.escalation import RefusedError
from checks.saved_queries import DESCRIPTION_LIMIT, NAME_LIMIT, SavedQuery


def listing(sheet: Sheet, saved: Sequence[SavedQuery]) -> None:
    """Draw the saved queries; a click on one puts it into the editor."""
    if not saved:
        components.nothing("No query has been saved yet. Write one, and press Save: everyone can use it then.")
        return
    rows = frame(
        {
            "query": [each.name for each in saved],
            "by": [each.changed_by or each.who for each in saved],
            "changed": [each.changed_at or each.made_at for each in saved],
            "description": [each.description for each in saved],
        }
    )

    def opened(query: SavedQuery) -> None:
        sheet.show(query.sql, datetime.now(UTC), source="saved", saved=query)

    tables.table(
        rows,
        key="saved-queries",
        alt="Saved queries",
        acts={"query": (saved, opened)},
        column_config={"changed": st.column_config.DatetimeColumn(format="D MMM YYYY")},
    )


def heading(sheet: Sheet) -> None:
    """Draw which saved query the editor shows, if it shows one."""
    known = sheet.saved
    if known is None:
        return
    changed = " – changed here and not saved" if sheet.sql.strip() != known.sql else ""
    about = f": {escaping.markdown(known.description)}" if known.description else ""
    st.markdown(f"**{escaping.markdown(known.name)}**{about} ({escaping.markdown(known.last_text)}){changed}")


def version_of(sheet: Sheet) -> str:
    """The version of the saved query that the editor shows, for the keys of widgets; "" for none."""
    known = sheet.saved
    return "" if known is None else f"{known.query_id}-{known.changed_at or known.made_at}"


def acts(data: Data, sheet: Sheet, asks: Person | Onlooker) -> None:
    """Draw what people do with the query in the editor: save it, change the saved one, delete that."""
    if isinstance(asks, Onlooker):
        st.info(f"You can run queries and not save them. {escaping.markdown(asks.why)}", icon=":material/visibility:")
        return
    who = acting.named(asks)
    known, version = sheet.saved, version_of(sheet)
    with st.form(f"save-{version}", border=False):
        name = st.text_input(
            "Name", value="" if known is None else known.name, key=f"save-name-{version}", max_chars=NAME_LIMIT
        )
        description = st.text_input(
            "Description",
            value="" if known is None else known.description,
            key=f"save-description-{version}",
            max_chars=DESCRIPTION_LIMIT,
            placeholder="what it answers, in one sentence",
        )
        if known is None:
            if st.form_submit_button("Save for everyone", type="primary"):
                _do(data, who, sheet, lambda shelf: shelf.save(name, sheet.sql, description))
            return
        seen_at = known.changed_at or known.made_at
        number = known.query_id
        with st.container(horizontal=True):
            change = st.form_submit_button("Save changes", type="primary")
            new = st.form_submit_button("Save as new")
        sure = st.checkbox("Delete it for everyone", key=f"save-sure-{version}")
        delete = st.form_submit_button("Delete")
    if change:
        values = {"name": name, "sql": sheet.sql, "description": description}
        _do(data, who, sheet, lambda shelf: _changed(shelf, number, seen_at, values))
    elif new:
        _do(data, who, sheet, lambda shelf: shelf.save(name, sheet.sql, description))
    elif delete and not sure:
        st.warning("Tick the box first: it is deleted for everyone.", icon=":material/delete:")
    elif delete:
        _do(data, who, sheet, lambda shelf: _deleted(shelf, number, seen_at))


def _changed(shelf: Shelf, number: int, seen_at: datetime, values: dict[str, str]) -> int:
    shelf.change(number, seen_at=seen_at, name=values["name"], sql=values["sql"], description=values["description"])
    return number


def _deleted(shelf: Shelf, number: int, seen_at: datetime) -> int:
    shelf.delete(number, seen_at=seen_at)
    return 0


def _do(data: Data, who: Person, sheet: Sheet, what: Callable[[Shelf], int]) -> None:
    """Do it and show the query as it is saved now; or say why not."""
    try:
        name, known_by = acting.signature(who)
        check = partial(check_query, data.workspace)
        with st.spinner("Checking …"):
            number = what(Shelf(data.ledger, who=name, known_by=known_by, check=check))
    except RefusedError as error:
        st.error(escaping.markdown(error), icon=":material/error:")
        return
    except QueryError as error:
        st.error("Not saved, because the query would be refused:", icon=":material/error:")
        st.code(escaping.block(error), language=None, wrap_lines=True)
        return
    data.changed()
    sheet.saved = next((each for each in data.ledger.saved_queries.listed() if each.query_id == number), None)
    st.toast("Saved." if number else "Deleted.")
    st.rerun()
