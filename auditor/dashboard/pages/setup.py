"""Set up: from two logins to a written map and its first verdicts, for the person who started the dashboard."""

from __future__ import annotations

import os
from pathlib import Path

import streamlit as st

from auditor import escaping
from auditor.dashboard import acting, components, look, navigation, setup_code, setup_connect, setup_verdicts, tables
from auditor.dashboard.access import Onlooker, Person
from auditor.dashboard.frames import frame
from auditor.dashboard.setup_progress import Progress, back, go, rows, working
from auditor.map.loader import load_map
from auditor.map.problems import MapError
from auditor.setup import files, steps, trial
from auditor.setup.setup_error import SetupError
from auditor.setup.steps import ABOUT, Step
from auditor.systems.matches import Match
from checks.escalation import RefusedError
from checks.tables import complete
from probes.wording import counted

_STATE = "_setup"

EDITOR_HEIGHT = 420


def page() -> None:
    """Draw the page."""
    draw(acting.asks())


def draw(asks: Person | Onlooker) -> None:
    """Draw the page for this viewer."""
    progress: Progress = st.session_state.setdefault(_STATE, Progress())
    st.title("Set up", anchor=False)
    location = Path(navigation.map_location())
    if not progress.plan.written and navigation.there_is_a_map():
        try:
            _there_is_a_map(asks, progress, location)
        except (SetupError, RefusedError) as error:
            st.error(escaping.markdown(error), icon=":material/error:")
        return
    if not isinstance(asks, Person) or asks.name is not None:
        _told_what_to_run(asks, location)
        return
    if not progress.open:
        _unlock(asks, progress, location)
        return
    _rail(progress)
    try:
        _DRAWN[progress.at](asks, progress, location)
    except (SetupError, RefusedError) as error:
        st.error(escaping.markdown(error), icon=":material/error:")


def _there_is_a_map(asks: Person | Onlooker, progress: Progress, location: Path) -> None:
    """Say so; until it was audited, a local operator is offered that."""
    if isinstance(asks, Person) and asks.name is None and (progress.reports or components.nothing_audited()):
        try:
            loaded = load_map(location)
        except MapError:
            pass
        else:
            if progress.reports is None:
                components.nothing(
                    f"There is a map at {escaping.markdown(location.resolve())}, and nothing has been audited yet."
                )
            st.header(ABOUT[Step.VERDICTS].word, anchor=False)
            navigation.link("Read the map", navigation.Target(page="configuration", shows={}))
            setup_verdicts.audit(asks, progress, loaded, location)
            return
    components.nothing(
        f"There is a map at {escaping.markdown(location)}, and a set-up never changes one. The page Configuration "
        "shows it, with its mistakes.",
        well=True,
    )
    navigation.link("Open the Configuration page", navigation.Target(page="configuration", shows={}))


def _told_what_to_run(asks: Person | Onlooker, location: Path) -> None:
    """What to run, for someone who may not set up here."""
    st.info(
        f"There is no integration map at {escaping.markdown(location)} yet.\n\n"
        "Write one with `auditor init` where the dashboard runs, or start the demo company with `auditor demo`.",
        icon=":material/map:",
    )
    why = asks.why if isinstance(asks, Onlooker) else "Only a local operator can set up in the browser."
    st.caption(escaping.markdown(why))


def _unlock(person: Person, progress: Progress, location: Path) -> None:
    st.markdown(
        f"There is no integration map at {escaping.markdown(location)} yet. This page leads you from the logins of "
        "two systems to a map and its first verdicts. Nothing is written before you agree."
    )
    with st.form("unlock", border=True):
        entered = st.text_input(
            "Set-up code",
            placeholder="ABCD-EFGH-JKLM",
            autocomplete="off",
            help="It shows that you started the dashboard: a map is trusted like code, and everyone who can use this "
            "machine can open this page.",
        )
        st.caption("The terminal or log in which the dashboard was started shows it.")
        if st.form_submit_button("Begin", type="primary"):
            acting.confirmed(person)
            if setup_code.fits(entered):
                progress.open = True
                st.rerun()
            st.error("This is not the code of the dashboard that is running now.", icon=":material/error:")
    st.caption(
        "On a terminal, `auditor init` asks the same questions. `auditor demo` starts a demo company to look at."
    )


def _rail(progress: Progress) -> None:
    """The steps, and which of them are done."""
    order = list(Step)
    with st.container(horizontal=True, key="setup-steps", gap="small"):
        for number, step in enumerate(order, 1):
            done = order.index(step) < order.index(progress.at) or progress.reports is not None
            sign = look.SETUP_STEP["done" if done else "now" if step is progress.at else "later"]
            st.markdown(sign.badged(f"{number} {ABOUT[step].word}"), width="content")
    st.header(ABOUT[progress.at].word, anchor=False)
    st.caption(ABOUT[progress.at].meaning)


def _discover(person: Person, progress: Progress, _location: Path) -> None:
    found = progress.plan.found
    assert found is not None
    if not found.matches:
        told = " ".join(escaping.markdown(sentence) for sentence in steps.nothing_found(found))
        components.nothing(f"{told} To write the map by hand, begin with `auditor init --template`.")
        back(progress, Step.CONNECT)
        return
    if unread := steps.unread(found):
        st.warning("\n\n".join(escaping.markdown(each) for each in unread), icon=":material/warning:")
    chosen = [at for at, match in enumerate(found.matches) if _pair(at, match, found.systems)]
    for system, alone in found.alone.items():
        bare = found.bare.get(system, [])
        if filled := [each for each in alone if each not in bare]:
            named = escaping.markdown(", ".join(filled))
            st.caption(f"Collections of {escaping.markdown(system)} without a counterpart: {named}")
    for sentence in steps.without_records(found):
        st.caption(escaping.markdown(sentence))
    with st.container(horizontal=True):
        pressed = st.button("Propose a map", type="primary", icon=":material/edit_document:")
        back(progress, Step.CONNECT)
    if pressed:
        acting.confirmed(person)
        progress.plan = steps.proposed(progress.plan, chosen)
        st.session_state["map-text"] = progress.plan.text
        go(progress, Step.PROPOSE)


def _pair(at: int, match: Match, systems: tuple[str, str]) -> bool:
    """One pair of collections with its evidence; whether it is chosen."""
    row = steps.pair_row(at, match, systems)
    with st.container(border=True):
        chosen = st.checkbox(
            f"**{escaping.markdown(match.left.name)}** and **{escaping.markdown(match.right.name)}**",
            value=steps.usable(match),
            key=f"pair-{at}",
        )
        both, key = escaping.markdown(row["records in both"]), escaping.markdown(row["key"])
        st.caption(f"{both} records are in both, by the key {key}.")
        with st.expander(f"{counted(len(match.fields), 'field')} matched"):
            if match.fields:
                tables.table(
                    frame(steps.field_rows(match)),
                    key=f"fields-{at}",
                    alt="The matched fields of a pair of collections, with the evidence for each",
                    column_config={"evidence": st.column_config.TextColumn(width="large")},
                )
    return bool(chosen)


def _propose(person: Person, progress: Progress, location: Path) -> None:
    """The map's text, its mistakes once it was checked, and the way to the dry run."""
    plan = progress.plan
    st.session_state.setdefault("map-text", plan.text or "")
    mistakes = st.empty()
    if plan.checked is not None and plan.checked.problems:
        with mistakes.container():
            st.error(f"The map has {counted(len(plan.checked.problems), 'mistake')}:", icon=":material/error:")
            told = "\n".join(escaping.visible(problem) for problem in plan.checked.problems)
            st.code(escaping.block(told), language=None, wrap_lines=True)
    text = st.text_area("Integration map", key="map-text", height=EDITOR_HEIGHT)
    st.caption("Lines marked TODO hold guesses, such as which system is right and how long a copy may differ.")
    with st.container(horizontal=True):
        pressed = st.button("Check and try it", type="primary", icon=":material/fact_check:")
        back(progress, Step.DISCOVER)
    if pressed:
        mistakes.empty()
        acting.confirmed(person)
        environment = {**os.environ, **plan.variables}
        checked = trial.check(text, str(location), environment, plan.scrub)
        progress.plan = steps.checked(plan, checked)
        loaded = checked.loaded
        if loaded is None:
            go(progress, Step.CHECK)
        else:
            result = working("Connecting", lambda tell: trial.dry_run(loaded, tell=tell))
            progress.plan = steps.tried(progress.plan, result)
            go(progress, Step.DRY_RUN)


def _dry_run(person: Person, progress: Progress, location: Path) -> None:
    result = progress.plan.trial
    assert result is not None
    if result.ok:
        st.success("Every system can be audited. Nothing has been stored so far.", icon=":material/check_circle:")
    else:
        st.warning("The dry run met problems: the auditor would meet them, too.", icon=":material/warning:")
    tables.table(
        rows(result.reports),
        key="reports",
        alt="Whether each system of the map can be audited",
        column_config={"read-only": st.column_config.TextColumn(width="large")},
    )
    remarks = [f"{each.system}: {remark}" for each in result.reports for remark in each.remarks]
    if remarks:
        with st.expander(f"{counted(len(remarks), 'remark')} of the doctor"):
            for remark in remarks:
                st.markdown(f"- {escaping.markdown(remark)}")
    st.subheader("First reading", anchor=False)
    st.caption("The first records of each data type, read once. Whether a difference counts, the audits decide.")
    tables.table(
        rows(result.readings),
        key="readings",
        alt="How the first records of each data type compare",
    )
    _writing(person, progress, location)


def _writing(person: Person, progress: Progress, location: Path) -> None:
    """The question whether to write, and where."""
    plan, environment = progress.plan, Path.cwd() / ".env"
    assert plan.text is not None
    keep = False
    if plan.unset:
        named = escaping.markdown(", ".join(plan.unset))
        keep = st.checkbox(
            f"Keep {named} in {escaping.markdown(environment)}, which only you may read",
            value=True,
            help="Otherwise set the variables yourself wherever the auditor and the dashboard start.",
        )
    with st.container(horizontal=True):
        pressed = st.button(f"Write {escaping.markdown(location.name)}", type="primary", icon=":material/save:")
        back(progress, Step.PROPOSE)
    if pressed:
        acting.confirmed(person)
        files.write(location, plan.text, environment, plan.unset if keep else {})
        progress.plan, progress.kept = steps.written(plan), str(environment) if keep else ""
        progress.held = {}, {}
        go(progress, Step.VERDICTS)


_DRAWN = complete(
    {
        Step.CONNECT: setup_connect.draw,
        Step.DISCOVER: _discover,
        Step.PROPOSE: _propose,
        Step.CHECK: _propose,
        Step.DRY_RUN: _dry_run,
        Step.VERDICTS: setup_verdicts.draw,
    }
)
"""What draws each step."""
