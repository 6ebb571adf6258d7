"""The pages by name, the sidebar they share, and links between them: in the same tab, with the same time range."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import streamlit as st

from auditor.dashboard import acting, asked
from auditor.dashboard.time_range import FROM_TO, RANGES, TimeRange, between, last
from checks.record_history import DivergenceState

GROUPS = {
    "Now": {
        "overview": ("Overview", "dashboard"),
        "incidents": ("Incidents", "notifications_active"),
        "sla": ("SLA breaches", "flag"),
        "conflicts": ("Conflicts", "gavel"),
    },
    "Investigate": {
        "drift": ("Drift", "difference"),
        "record": ("Record", "frame_inspect"),
        "lag": ("Lag", "timer"),
        "dead-letters": ("Dead letters", "mark_email_unread"),
    },
    "Design": {
        "map": ("Map", "account_tree"),
        "configuration": ("Configuration", "settings"),
        "setup": ("Set up", "construction"),
    },
    "Ask": {"query": ("Query", "terminal")},
    "Try": {"demo": ("Demo", "theater_comedy")},
}
"""The sidebar: by heading and address of a page, its title and its Material symbol. A page's module has the name of
its address."""

PAGES = {name: title for pages in GROUPS.values() for name, (title, _) in pages.items()}
"""Title by address."""

ICONS = {name: f":material/{icon}:" for pages in GROUPS.values() for name, (_, icon) in pages.items()}
"""Symbol by address."""

REFRESH = {"off": None, "2 s": 2.0, "10 s": 10.0, "60 s": 60.0}

COMPANY = "DEMO_COMPANY"
"""The variable with the address of the demo company, if that is what the dashboard shows."""

ENDS = {"from": "From (UTC)", "to": "To (UTC)"}
"""The ends of a chosen time range: by name in the address, their labels."""

INSTANT = "%Y-%m-%dT%H:%M"
"""How the address writes an end."""

_ENDS_SEEN = "_ends_seen"
_RANGE_BEFORE = "_range_before"
_SHARED = {"range": "1 h", "refresh": "10 s"}
_NEXT = "_next_page"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a link leads: a page, and what it shows."""

    page: str
    shows: Mapping[str, str | Sequence[str]]


def record(data_type: str, key: str) -> Target:
    """A record in every system."""
    return Target(page="record", shows={"type": data_type, "key": key})


def conflict(number: int) -> Target:
    """One conflict."""
    return Target(page="conflicts", shows={"conflict": str(number)})


def drift(**filters: str | Sequence[str]) -> Target:
    """The records that differ, filtered."""
    return Target(page="drift", shows=filters)


def differed(*flows: str) -> Target:
    """The records of these flows, or of all, that differed at some time, whether they still do or not."""
    states = [DivergenceState.OPEN, DivergenceState.CLOSED]
    return drift(state=states, flow=flows) if flows else drift(state=states)


def lag(flow: str) -> Target:
    """How long the changes of a flow take."""
    return Target(page="lag", shows={"lagflow": flow})


def dead_letters() -> Target:
    """The queues and the messages that failed."""
    return Target(page="dead-letters", shows={})


def incident(number: int) -> Target:
    """One incident."""
    return Target(page="incidents", shows={"id": str(number)})


def incidents(**filters: str) -> Target:
    """What is wrong now, filtered."""
    # A link to the page that is shown keeps its address unless it has something of its own.
    return Target(page="incidents", shows=filters or {"list": "Incidents"})


def run(first: str = "overview") -> None:
    """Draw the sidebar and the requested page, or for a stranger why they see none.

    The time range and the refresh interval live here and not on the pages, because only then does Streamlit keep them
    when a link leads to another page. Both have a default of their own, which counts where an address names neither,
    such as one that the browser goes back to.
    """
    asks = acting.asks()
    chosen = st.navigation(
        {
            heading: [_page(name, default=name == first, icon=ICONS[name]) for name in pages]
            for heading, pages in GROUPS.items()
        }
    )
    ranges = [*RANGES, FROM_TO]
    asked.refuse("range", ranges)
    asked.refuse("refresh", REFRESH)
    if _instants_named():
        st.session_state["range"] = FROM_TO
    with st.sidebar:
        st.selectbox("Time range", ranges, index=ranges.index(_SHARED["range"]), key="range", bind="query-params")
    if st.session_state["range"] == FROM_TO:
        _two_instants()
    else:
        _no_instants()
    with st.sidebar:
        st.segmented_control(
            "Refresh", list(REFRESH), default=_SHARED["refresh"], key="refresh", required=True, bind="query-params"
        )
        acting.introduced(asks)
    st.set_page_config(page_title=f"{chosen.title} · Plumbline")
    chosen.run()


def map_location() -> str:
    """The map's file or folder."""
    return os.environ.get("AUDITOR_MAP", "plumbline.yaml")


def there_is_a_map() -> bool:
    """Whether something is where the map should be."""
    return os.path.exists(map_location())  # noqa: PTH110  Path raises for a name that no file can have


def time_range(read_at: datetime) -> TimeRange:
    """The chosen time range; one up to now ends with the second in which the history was read."""
    label = str(st.session_state["range"])
    if label != FROM_TO:
        return last(label, read_at + timedelta(microseconds=-read_at.microsecond % 1_000_000))
    begin, end = (st.session_state[each].replace(tzinfo=UTC) for each in ENDS)
    return between(begin, end)


def _instants_named() -> bool:
    """Whether the address names an end of a time range and no time range, as links in alerts do."""
    named = _named_instants()
    return any(named.values()) and "range" not in st.query_params and named != st.session_state.get(_ENDS_SEEN)


def _named_instants() -> dict[str, str]:
    return {key: st.query_params.get(key, "") for key in ENDS}


def _two_instants() -> None:
    """Draw the two ends of a time range, by default the last hour, and keep them in the address.

    Streamlit's own way to keep a value there leaves out the default, and a link would show another hour tomorrow.
    What is wrong with the two is said on the page, because the sidebar is collapsed on a phone.
    """
    named = _named_instants()
    minute = datetime.now(UTC).replace(second=0, microsecond=0, tzinfo=None)
    usual = {"from": minute - timedelta(hours=1), "to": minute}
    for key in ENDS:
        if key not in st.session_state:
            st.session_state[key] = usual[key]
        if named[key] and named != st.session_state.get(_ENDS_SEEN):
            st.session_state[key] = asked.instant(key, up=key == "to") or st.session_state[key]
    with st.sidebar:
        for key, label in ENDS.items():
            st.datetime_input(
                label,
                key=key,
                min_value=asked.EARLIEST,
                max_value=asked.LATEST,
                step=timedelta(minutes=1),
                format="YYYY-MM-DD",
                required=True,
            )
        before = st.session_state.get(_RANGE_BEFORE)
        if before is not None:
            st.button(
                f"Back to the last {before}", icon=":material/zoom_out:", on_click=_show_range_again, args=(before,)
            )
    kept = {key: f"{st.session_state[key]:{INSTANT}}" for key in ENDS}
    for key, text in kept.items():
        st.query_params[key] = text
    st.session_state[_ENDS_SEEN] = kept
    if st.session_state["to"] <= st.session_state["from"]:
        st.warning("The range ends before it begins; one minute is shown.", icon=":material/schedule:")
    elif st.session_state["from"] > minute + timedelta(minutes=1):
        st.warning("The range has not begun yet; there is nothing to show.", icon=":material/schedule:")


def _show_range_again(label: str) -> None:
    st.session_state["range"] = label


def _no_instants() -> None:
    """Forget the two ends where the range is another one."""
    st.session_state.pop(_ENDS_SEEN, None)
    st.session_state.pop(_RANGE_BEFORE, None)
    for key in ENDS:
        st.query_params.pop(key, None)


def refresh_every_s() -> float | None:
    """How often a live page draws itself again; None for never.

    An address with an empty interval leaves nothing chosen, although the control requires a choice.
    """
    return REFRESH[st.session_state["refresh"] or _SHARED["refresh"]]


def load() -> None:
    """Import every page, so that nobody waits for it at the first draw."""
    for name in PAGES:
        _module(name)


def _module(name: str) -> Any:
    return importlib.import_module(f"auditor.dashboard.pages.{name.replace('-', '_')}")


def _page(name: str, *, default: bool = False, icon: str | None = None) -> Any:
    module = _module(name)
    hidden = (name == "demo" and COMPANY not in os.environ) or (name == "setup" and there_is_a_map())
    visibility: Literal["hidden", "visible"] = "hidden" if hidden else "visible"
    return st.Page(module.page, title=PAGES[name], icon=icon, url_path=name, default=default, visibility=visibility)


def link(label: str, target: Target) -> None:
    """Draw a link; the label is Markdown."""
    st.page_link(_page(target.page), label=label, query_params=dict(target.shows))


def button(label: str, target: Target, *, key: str) -> None:
    """Draw a button that leads there; unlike a link to the page that is shown, it changes the address.

    Args:
        label: Markdown.
    """
    st.button(label, key=key, on_click=leave, args=(target,), icon=":material/open_in_full:")


def go(page: str, shows: Mapping[str, Any]) -> None:
    """Switch to another page at once, or show something else on this one.

    What a control of the page that is left has in the address, Streamlit takes from the control alone.
    """
    held = {name: value for name, value in shows.items() if name in st.session_state}
    for name, value in held.items():
        several = isinstance(st.session_state[name], list) and isinstance(value, str)
        st.session_state[name] = [value] if several else value
    st.switch_page(_page(page), query_params={name: each for name, each in shows.items() if name not in held})


def leaving() -> bool:
    """Whether something was clicked that leads to another page."""
    return _NEXT in st.session_state


def follow() -> None:
    """Follow a click in a table or a chart; every page calls this first.

    A part of a page that is redrawn alone cannot do it: Streamlit then forgets the shared part of the address.
    """
    target = st.session_state.pop(_NEXT, None)
    if target is not None:
        go(target.page, dict(target.shows))


def leave(target: Target, over: tuple[datetime, datetime] | None = None) -> None:
    """Go there at the next redraw; for callbacks, which cannot switch pages themselves.

    Args:
        over: the time range to show there, in UTC with or without a zone; by default the same. The sidebar then
            leads back to the one before, which the browser's way back does not.
    """
    st.session_state[_NEXT] = target
    if over is not None:
        if st.session_state["range"] != FROM_TO:
            st.session_state[_RANGE_BEFORE] = st.session_state["range"]
        st.session_state["range"] = FROM_TO
        st.session_state.update(
            {key: at.replace(second=0, microsecond=0, tzinfo=None) for key, at in zip(ENDS, over, strict=True)}
        )
        st.session_state.pop(_ENDS_SEEN, None)
