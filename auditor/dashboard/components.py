"""What several pages share: the open installation, the frame around a page, and empty states."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from auditor import escaping
from auditor.dashboard import acting, header, look, navigation
from auditor.dashboard.access import Person
from auditor.dashboard.data import Data, NoLedgerError
from auditor.dashboard.installations import installation, is_open
from auditor.dashboard.time_range import TimeRange
from auditor.ledger import LedgerError
from auditor.map.loader import load_map
from auditor.map.problems import MapError
from probes.allocator import Tidier
from probes.wording import counted

TIDIER = Tidier(60, collect=False)
"""Streamlit itself runs the garbage collector after each draw."""


def open_data(title: str = "", without_ledger: Callable[[], None] | None = None) -> Data:
    """The installation that `AUDITOR_MAP` and `AUDITOR_DATA` name; without a map, the page Set up is opened.

    Args:
        title: of the page, for one that shows no figures.
        without_ledger: what is drawn besides where there is a map alone.
    """
    map_file = navigation.map_location()
    folder = os.environ.get("AUDITOR_DATA", "var")
    if not navigation.there_is_a_map():
        navigation.go("setup", {})
    try:
        data = _installation(map_file, folder)
        data.follow(lambda: load_map(Path(map_file)))
        return data
    except MapError as error:
        if title:
            st.title(escaping.markdown(title), anchor=False)
        st.error(f"The integration map has {counted(len(error.problems), 'mistake')}:", icon=":material/error:")
        st.code("\n".join(escaping.visible(problem) for problem in error.problems), language=None)
        st.caption("Correct the map, and reload this page. More may show then; `auditor check` lists the same.")
        st.stop()
    except NoLedgerError as error:
        if title:
            st.title(escaping.markdown(title), anchor=False)
        _await_ledger(str(error), map_file, folder)
        if isinstance(viewer := acting.sender(), Person) and viewer.name is None:
            navigation.link("Audit once on the page Set up", navigation.Target(page="setup", shows={}))
        if without_ledger is not None:
            without_ledger()
        st.stop()
    except LedgerError as error:
        st.error(escaping.markdown(error), icon=":material/error:")
        st.stop()


def _installation(map_file: str, folder: str) -> Data:
    """The installation; a spinner shows while it is being opened."""
    if is_open(map_file, folder):
        return installation(map_file, folder)
    with st.spinner("Opening the history …"):
        return installation(map_file, folder)


def nothing_audited() -> bool:
    """Whether the map can be read, and nothing was audited with it yet."""
    try:
        return installation(navigation.map_location(), os.environ.get("AUDITOR_DATA", "var")).last_audit_at() is None
    except NoLedgerError:
        return True
    except (MapError, LedgerError):
        return False


@st.fragment(run_every=2.0)
def _await_ledger(place: str, map_file: str, folder: str) -> None:
    """Say that there is no ledger yet, until there is one."""
    try:
        installation(map_file, folder)
    except NoLedgerError:
        sentence = f"There is no ledger in {escaping.markdown(place)} yet."
        todo = "Start the auditor with `auditor run`, or point the dashboard to its folder with `--data`."
        st.info(f"{sentence}\n\n{todo}", icon=":material/folder_off:")
    else:
        st.rerun()


def framed(
    title: str,
    draw: Callable[[Data, TimeRange], None],
    *,
    live: bool = True,
    busy: Callable[[], bool] = lambda: False,
    without_ledger: Callable[[], None] | None = None,
) -> None:
    """Draw a page: its title, how fresh the data are, what is failing, and the body.

    The top of a page that is not live is redrawn all the same.

    Args:
        draw: the body; with `live` it is redrawn automatically.
        busy: whether someone is at work on what the page shows, so that it is not redrawn under their hands.
        without_ledger: what is drawn below the note that nothing is recorded yet.
    """
    acting.asks()
    navigation.follow()
    data = open_data(title, without_ledger)
    chosen_s = navigation.refresh_every_s() if live else None
    every_s = None if busy() else chosen_s

    def interrupt() -> None:
        """End the automatic redrawing when someone follows a link or gets to work: the whole page is run again."""
        if every_s is not None and (navigation.leaving() or busy()):
            st.rerun()

    def top() -> None:
        with data.held() as read_at:
            header.draw(data, navigation.time_range(read_at), title)

    def body() -> None:
        interrupt()
        acting.leave_if_ended()
        if not live:
            watch(top, key=f"top-{title}")
        with _failures_told(), data.held() as read_at:
            span = navigation.time_range(read_at)
            if live:
                header.draw(data, span, title, paused=every_s != chosen_s)
            draw(data, span)
        TIDIER.want()
        TIDIER.tidy()
        interrupt()

    if every_s is not None:
        st.fragment(body, run_every=every_s, key=f"page-{title}")()
    else:
        body()


def leading_chart(
    figure: go.Figure,
    *,
    key: str,
    alt: str,
    what: str,
    span: Callable[[Mapping[str, Any]], tuple[datetime, datetime]],
    flows: Sequence[str] = (),
) -> None:
    """Draw a chart whose points lead to the records that differed then.

    Args:
        what: one of its points, as people call it.
        span: the time of a point, which is given as Streamlit describes a selected one.
        flows: whose records are shown; by default those of all.
    """

    def clicked() -> None:
        for point in st.session_state[key].selection.points:
            navigation.leave(navigation.differed(*flows), span(point))

    # plotly selects points of a scatter and bars, and no cell of a heat map.
    st.plotly_chart(
        figure, key=key, config={"displayModeBar": False}, alt=alt, on_select=clicked, selection_mode="points"
    )
    st.caption(f"Click {escaping.markdown(what)} to see the records that differed then, and those that differ now.")


def watch(draw: Callable[[], None], *, key: str) -> None:
    """Draw a part of a page that is not redrawn as a whole; the part is, as often as the sidebar says."""

    def part() -> None:
        acting.leave_if_ended()
        with _failures_told():
            draw()

    st.fragment(part, run_every=navigation.refresh_every_s(), key=key)()


@contextmanager
def _failures_told() -> Iterator[None]:
    """Say in a sentence why a page, or a part of it, cannot be drawn."""
    try:
        yield
    except LedgerError as error:
        st.error(
            f"{escaping.markdown(error)}. Nothing that is shown may be current, and nothing is known of what "
            "happens meanwhile.",
            icon=":material/database_off:",
        )
    except Exception as error:
        st.error(
            f"This page could not be drawn: {type(error).__name__}: {escaping.markdown(error)}. "
            "Audits continue; see the dashboard's log for details.",
            icon=":material/error:",
        )
        raise


def ink() -> look.Ink:
    """The colours of the viewer's theme, for charts that draw their own text."""
    return look.DARK if st.context.theme.type == "dark" else look.LIGHT


def nothing(text: str, *, well: bool = False) -> None:
    """Say that a list is empty, why, and what to do next.

    Args:
        well: everything is verified, so an empty list is good news.
    """
    st.info(text, icon=":material/check_circle:" if well else ":material/info:")
