"""What the address of a page asks for and the page does not have."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import streamlit as st

from auditor import escaping
from auditor.map.diagram import fit
from probes.wording import did_you_mean

WHAT = {
    "type": "a data type of the map",
    "range": "a time range",
    "refresh": "a refresh interval",
    "flow": "a flow of the map",
    "lagflow": "a flow of the map",
    "cause": "a cause",
    "state": "a state of a difference",
    "team": "a team of the map",
    "severity": "a severity of incidents",
    "list": "a part of this page",
    "objective": "an objective of the map",
    "covered": "a flow of the map",
    "show": "a flow, system or consumer that is shown",
}
"""What the values of each name in an address are."""


VALUES_NAMED, VALUE_ROOM = 3, 60
"""How many unknown values are named, and with how many characters of each."""

EARLIEST, LATEST = datetime(2000, 1, 1), datetime(2099, 12, 31)
"""Between these a person may choose the ends of a time range."""


def unknown(name: str, options: Collection[str]) -> list[str]:
    """The values that the address gives a widget and that are none of its options.

    Streamlit removes them from the address when it draws the widget, and shows its default. Call this before that.
    """
    return [each for each in st.query_params.get_all(name) if each not in options]


def number(text: str) -> int:
    """The row number that an address names; 0, which no row has, if it names none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def refuse(name: str, options: Collection[str], words: Callable[[str], str] = str) -> bool:
    """Say in one line which such values there are, and what a single one may mean; answer whether there is any.

    Args:
        words: how the page shows an option.
    """
    refused = list(dict.fromkeys(unknown(name, options)))
    shown = [escaping.markdown(fit(words(each), VALUE_ROOM)) or "an empty text" for each in refused[:VALUES_NAMED]]
    if len(refused) == 1:
        hint = escaping.markdown(did_you_mean(words(refused[0]), map(words, options)))
        st.warning(
            f"{shown[0] if refused[0] else 'An empty text'} is not {WHAT[name]}{hint}"
            f"{'' if hint.endswith('?') else '.'} The address of this page names it.",
            icon=":material/link_off:",
        )
    elif refused:
        more = f" and {len(refused) - VALUES_NAMED} more" if len(refused) > VALUES_NAMED else ""
        st.warning(
            f"Not {WHAT[name]}: {', '.join(shown)}{more}. The address of this page names them.",
            icon=":material/link_off:",
        )
    return bool(refused)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A way on from filters that nothing matches: the label of a button, and what the button does."""

    label: str
    take: Callable[[], None]


def unmatched(what: str, chosen: Mapping[str, Sequence[str]], more: Sequence[str], ways: Sequence[Way]) -> None:
    """Say that nothing matches what is chosen, by hand or by a link; say what there is instead, and lead there.

    Args:
        what: the kind of thing that is listed, in the singular.
        chosen: by filter, its values.
        more: sentences about what there is instead.
    """
    filters = ", ".join(f"{name} {' or '.join(values)}" for name, values in chosen.items() if values)
    text = " ".join((f"No {what} matches: {filters}.", *more))
    st.info(escaping.markdown(text), icon=":material/search:")
    with st.container(horizontal=True):
        for way in ways:
            st.button(way.label, on_click=way.take)


def choose(**values: object) -> None:
    """Let widgets that Streamlit keeps in the address show these values; for callbacks."""
    st.session_state.update(values)


def choose_facets(**values: Sequence[str]) -> None:
    """The same for choices that `facet` draws."""
    for name, picked in values.items():
        _keep(name, list(picked))


def _keep(name: str, picked: list[str]) -> None:
    """Let a choice that `facet` draws show these values, and put them into the address."""
    st.session_state[name] = st.session_state[f"_{name}_seen"] = picked
    st.query_params[name] = picked


def chosen(name: str, options: Collection[str], words: Callable[[str], str] = str) -> list[str] | None:
    """The values that are chosen where `facet` draws, or that the address names; None for neither.

    A browser gives a value back by the label that it shows, and Streamlit takes one whose number has changed since
    for a value.
    """
    found = st.session_state.get(name, st.query_params.get_all(name) or None)
    by_words = {words(each): each for each in options}
    return found and [each if each in options else by_words.get(each.rpartition(" (")[0], each) for each in found]


def instant(name: str, *, up: bool = False) -> datetime | None:
    """The instant that the address gives, in UTC and without a zone; None for one that is refused.

    Args:
        up: take the next whole minute, and not the one before.
    """
    text = st.query_params.get(name, "")
    try:
        at = datetime.fromisoformat(text)
        at = at if at.tzinfo is None else at.astimezone(UTC).replace(tzinfo=None)
        if EARLIEST <= at <= LATEST:
            whole = at.replace(second=0, microsecond=0)
            return whole + timedelta(minutes=1) if up and whole < at else whole
    except (ValueError, OverflowError):
        pass
    st.warning(
        f"{escaping.markdown(text)} is not an instant such as 2026-03-01T10:00, from {EARLIEST:%Y} to {LATEST:%Y}. "
        "The address of this page names it.",
        icon=":material/link_off:",
    )
    return None


def facet(
    label: str, name: str, counts: Mapping[str, int], words: Callable[[str], str] = str, default: Sequence[str] = ()
) -> list[str]:
    """Draw a choice among values with the number of records of each, kept in the address; answer what is chosen.

    Streamlit's own way to keep a choice in the address uses the labels, which change with the numbers.

    Args:
        label: must be ours.
        name: of the values in the address, and key of the widget.
        default: what is chosen where the address names none.
    """
    refuse(name, counts, words)
    seen, named = f"_{name}_seen", st.query_params.get_all(name)
    if st.session_state.get(seen) != named or name not in st.session_state:  # drawn anew, or a link led here
        picked = [each for each in named if each in counts] or list(default)
    else:
        picked = chosen(name, counts, words) or []
    st.session_state[name], st.session_state[seen] = picked, named

    def labelled(value: str) -> str:
        return f"{words(value)} ({counts[value]:,})"

    def keep() -> None:
        _keep(name, chosen(name, counts, words) or [])

    found: list[str] = st.multiselect(label, list(counts), key=name, format_func=labelled, on_change=keep)
    return found
