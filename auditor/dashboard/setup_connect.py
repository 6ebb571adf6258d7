"""The first step of the set-up on the page: two systems are entered, signed in to, and compared."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from auditor import escaping
from auditor.dashboard import acting
from auditor.dashboard.access import Person
from auditor.dashboard.setup_progress import Failure, Progress, working
from auditor.setup import reading, steps
from auditor.setup.addresses import (
    DATABASE,
    WHICH,
    Entered,
    NewSystem,
    accounts,
    asked,
    kinds,
    pair_of,
    system_of,
)
from auditor.setup.setup_error import SetupError
from auditor.setup.steps import Step
from auditor.systems.matches import Found
from probes.sign_in_words import SignInWord
from probes.wording import listed

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator


def draw(person: Person, progress: Progress, _location: Path) -> None:
    """Draw the step."""
    chosen = [_kind(column, progress, at) for at, column in enumerate(st.columns(2, gap="medium"))]
    with st.form("connect", border=False):
        entered = []
        for at, column in enumerate(st.columns(2, gap="medium")):
            with column, st.container(border=True):
                st.subheader(escaping.markdown(f"{_begun(WHICH[at])}: {kinds()[chosen[at]]}"), anchor=False)
                entered.append(_system(progress, at, chosen[at]))
        st.caption(
            "The logins need read access only. Secrets never go into the map: it names variables, whose values you "
            "can keep in a file that only you may read. Any field takes `${NAME}` for what the environment of the "
            f"dashboard holds. For other systems than databases, {escaping.markdown(listed(accounts(), 'and'))}, run "
            "`auditor init --template`."
        )
        pressed = st.form_submit_button("Connect and compare", type="primary", icon=":material/cable:")
    if pressed:
        acting.confirmed(person)
        progress.failures = _connected(progress, (entered[0], entered[1]))
        progress.tries += 1
        if not progress.failures:
            progress.at = Step.DISCOVER
        st.rerun()
    for failure in progress.failures:
        if failure.holds(chosen):
            st.error(escaping.markdown(_begun(failure.text)), icon=":material/error:")


def _connected(progress: Progress, entered: tuple[Entered, Entered]) -> list[Failure]:
    """Sign in to both systems and compare them; why that failed, nothing if it did not."""
    both = _with_held(progress, 0, entered[0]), _with_held(progress, 1, entered[1])
    progress.entered = both[0].remembered, both[1].remembered
    progress.held = both[0].words, both[1].words
    of_both = {at: each.kind for at, each in enumerate(both)}
    failures: list[Failure] = []
    systems: dict[int, NewSystem] = {}
    for at, each in enumerate(both):
        try:
            systems[at] = system_of(each, at, os.environ)
        except SetupError as error:
            failures.append(Failure(text=f"{WHICH[at]}: {error}", kinds={at: each.kind}))
    if not failures:
        try:
            systems = dict(enumerate(pair_of(*both, os.environ)))
        except SetupError as error:
            return [Failure(text=str(error), kinds=of_both)]
    catalogues: dict[int, reading.Catalogue] = {}
    for at, system in systems.items():
        try:
            catalogues[at] = working("Connecting", partial(_catalogue, system))
        except SetupError as error:
            failures.append(Failure(text=f"{WHICH[at]}: {error}", kinds={at: both[at].kind}))
    if failures:
        return sorted(failures, key=lambda each: [*each.kinds])
    pair = systems[0], systems[1]
    try:
        found = working("Comparing", partial(_find, pair, (catalogues[0], catalogues[1])))
    except SetupError as error:
        return [Failure(text=str(error), kinds=of_both)]
    progress.plan = steps.discovered(steps.connected(pair), found)
    return []


def _catalogue(system: NewSystem, tell: Callable[[str], None]) -> reading.Catalogue:
    return reading.catalogue(system, tell=tell)


def _find(
    systems: tuple[NewSystem, NewSystem],
    catalogues: tuple[reading.Catalogue, reading.Catalogue],
    tell: Callable[[str], None],
) -> Found:
    return reading.find(systems, catalogues=catalogues, tell=tell)


def _with_held(progress: Progress, at: int, entered: Entered) -> Entered:
    """What was entered, with the secrets of the try before where their fields were left empty."""
    held = progress.held[at] if progress.entered[at].kind == entered.kind else {}
    secret = {each.word for each in asked(entered.kind) if each.secret}
    words = {word: text or (held.get(word, "") if word in secret else "") for word, text in entered.words.items()}
    return replace(entered, words=words)


def _kind(column: DeltaGenerator, progress: Progress, at: int) -> str:
    """The choice of what a system is."""
    titles = {title: kind for kind, title in kinds().items()}
    chosen = column.radio(
        escaping.markdown(f"{_begun(WHICH[at])}: what is it?"),
        [*titles],
        index=[*titles.values()].index(progress.entered[at].kind),
        format_func=escaping.markdown,
        horizontal=True,
        key=f"kind-{at}-{progress.tries}",
    )
    return titles[str(chosen)]


def _begun(words: str) -> str:
    """Words at the beginning of a sentence."""
    return f"{words[:1].upper()}{words[1:]}"


def _system(progress: Progress, at: int, kind: str) -> Entered:
    """The fields of one system."""
    same = progress.entered[at].kind == kind
    before = progress.entered[at] if same else Entered(kind=kind)
    held = progress.held[at] if same else {}
    place = f"{kind}-{at}-{progress.tries}"
    words = {each.word: _field(each, before, held, place) for each in asked(kind)}
    if kind != DATABASE:
        name = st.text_input("Name in the map", value=before.name, placeholder=kind, key=f"name-{place}")
        return Entered(kind=kind, words=words, name=name)
    left, right = st.columns(2)
    name = left.text_input("Name in the map", value=before.name, placeholder="like the database", key=f"name-{place}")
    zone = right.text_input(
        "Time zone", value=before.zone, key=f"zone-{place}", help="Of times that the system keeps without one."
    )
    return Entered(kind=kind, words=words, name=name, zone=zone)


def _field(each: SignInWord, before: Entered, held: Mapping[str, str], place: str) -> str:
    """The field of one word. A secret is never shown again: an empty field keeps what was entered before."""
    value = before.words.get(each.word, "" if each.secret else each.usual)
    kept = each.secret and not value and bool(held.get(each.word))
    text = st.text_input(
        escaping.markdown(each.label),
        value=value,
        type="password" if each.hidden else "default",
        placeholder="Entered; leave empty to keep it" if kept else each.placeholder,
        key=f"{each.word}-{place}",
        autocomplete="new-password" if each.hidden else "off",
    )
    st.caption(escaping.markdown(each.help))
    return str(text)
