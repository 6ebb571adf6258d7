"""Set up: from two logins to a written map and its first verdicts, for the person who started the dashboard."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import pandas as pd
import streamlit as st

from auditor import escaping
from auditor.dashboard import acting, components, look, navigation, setup_code, tables
from auditor.dashboard.access import Onlooker, Person
from auditor.dashboard.frames import frame
from auditor.setup import files, reading, steps, trial
from auditor.setup.addresses import DATABASE, WHICH, Entered, NewSystem, accounts, asked, kinds, listed, pair_of
from auditor.setup.setup_error import SetupError
from auditor.setup.steps import ABOUT, Plan, Step
from auditor.systems.matches import Found, Match
from auditor.workspace import Workspace
from checks.escalation import RefusedError
from checks.tables import complete
from probes.sign_in_words import SignInWord
from probes.wording import counted, heading

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from auditor.audit.once import Report

AnswerT = TypeVar("AnswerT")


class _Told(Protocol):
    """What is shown as one row of a table."""

    def as_row(self) -> dict[str, Any]: ...


_STATE = "_setup"

EDITOR_HEIGHT = 420

COLUMNS = {"latency_ms": "latency (ms)", "read_only": "read-only"}


@dataclass(slots=True)
class Progress:
    """How far this session's set-up has come.

    Attributes:
        open: the code was entered.
        entered: what was entered about both systems, without secrets.
        held: the words that were entered if the systems could not be connected, secrets included; they are kept until
            they can, and never shown.
        tries: how often the systems were entered: each time the fields are new ones, which hold no secret.
        failures: why the last try failed.
        at: the step that is shown.
        kept: the secrets are in the `.env` file.
        reports: the first verdicts.
    """

    open: bool = False
    plan: Plan = field(default_factory=Plan)
    entered: tuple[Entered, Entered] = (Entered(), Entered())
    held: tuple[Mapping[str, str], Mapping[str, str]] = field(default_factory=lambda: ({}, {}), repr=False)
    tries: int = 0
    failures: list[str] = field(default_factory=list)
    at: Step = Step.CONNECT
    kept: bool = False
    reports: list[Report] | None = None


def page() -> None:
    """Draw the page."""
    draw(acting.asks())


def draw(asks: Person | Onlooker) -> None:
    """Draw the page for this viewer."""
    progress: Progress = st.session_state.setdefault(_STATE, Progress())
    st.title("Set up", anchor=False)
    location = Path(navigation.map_location())
    if not progress.plan.written and navigation.there_is_a_map():
        _there_is_a_map(location)
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


def _there_is_a_map(location: Path) -> None:
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


def _connect(person: Person, progress: Progress, _location: Path) -> None:
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
        progress.failures = _connected(progress, entered[0], entered[1])
        progress.tries += 1
        if not progress.failures:
            progress.held = {}, {}
            progress.at = Step.DISCOVER
        st.rerun()
    for failure in progress.failures:
        st.error(escaping.markdown(failure), icon=":material/error:")


def _connected(progress: Progress, owner: Entered, copy: Entered) -> list[str]:
    """Sign in to both systems and compare them; why that failed, nothing if it did not."""
    both = _with_held(progress, 0, owner), _with_held(progress, 1, copy)
    progress.entered = both[0].remembered, both[1].remembered
    progress.held = both[0].words, both[1].words
    try:
        systems = pair_of(*both, os.environ)
    except SetupError as error:
        return [str(error)]
    catalogues, failures = [], []
    for which, system in zip(WHICH, systems, strict=True):
        try:
            catalogues.append(_working("Connecting", partial(_catalogue, system)))
        except SetupError as error:
            failures.append(f"{which}: {error}")
    if failures:
        return failures
    try:
        found = _working("Comparing", partial(_find, systems, (catalogues[0], catalogues[1])))
    except SetupError as error:
        return [str(error)]
    progress.plan = steps.discovered(steps.connected(systems), found)
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
    """What was entered, with the secrets of the failed try before where their fields were left empty."""
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
    """The field of one word. A secret is never shown again: an empty field keeps what a failed try held."""
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


def _discover(person: Person, progress: Progress, _location: Path) -> None:
    found = progress.plan.found
    assert found is not None
    if not found.matches:
        told = " ".join(escaping.markdown(sentence) for sentence in steps.nothing_found(found))
        components.nothing(f"{told} To write the map by hand, begin with `auditor init --template`.")
        _back(progress, Step.CONNECT)
        return
    for sentence in steps.unread(found):
        st.warning(escaping.markdown(sentence), icon=":material/warning:")
    chosen = [at for at, match in enumerate(found.matches) if _pair(at, match, found.systems)]
    for system, alone in found.alone.items():
        if alone:
            named = escaping.markdown(", ".join(alone))
            st.caption(f"Collections of {escaping.markdown(system)} without a counterpart: {named}")
    with st.container(horizontal=True):
        pressed = st.button("Propose a map", type="primary", icon=":material/edit_document:")
        _back(progress, Step.CONNECT)
    if pressed:
        acting.confirmed(person)
        progress.plan = steps.proposed(progress.plan, chosen)
        st.session_state["map-text"] = progress.plan.text
        _go(progress, Step.PROPOSE)


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
        _back(progress, Step.DISCOVER)
    if pressed:
        mistakes.empty()
        acting.confirmed(person)
        environment = {**os.environ, **plan.variables}
        checked = trial.check(text, str(location), environment, plan.scrub)
        progress.plan = steps.checked(plan, checked)
        loaded = checked.loaded
        if loaded is None:
            _go(progress, Step.CHECK)
        else:
            result = _working("Connecting", lambda tell: trial.dry_run(loaded, tell=tell))
            progress.plan = steps.tried(progress.plan, result)
            _go(progress, Step.DRY_RUN)


def _dry_run(person: Person, progress: Progress, location: Path) -> None:
    result = progress.plan.trial
    assert result is not None
    if result.ok:
        st.success("Every system can be audited. Nothing has been stored so far.", icon=":material/check_circle:")
    else:
        st.warning("The dry run met problems: the auditor would meet them, too.", icon=":material/warning:")
    tables.table(
        _rows(result.reports),
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
        _rows(result.readings),
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
        _back(progress, Step.PROPOSE)
    if pressed:
        acting.confirmed(person)
        files.write(location, plan.text, environment, plan.unset if keep else {})
        progress.plan, progress.kept = steps.written(plan), keep
        _go(progress, Step.VERDICTS)


def _verdicts(person: Person, progress: Progress, location: Path) -> None:
    plan, data = progress.plan, Path(os.environ.get("AUDITOR_DATA", "var"))
    assert plan.checked is not None
    loaded = plan.checked.loaded
    assert loaded is not None
    st.success(f"The map is in {escaping.markdown(location.resolve())}.", icon=":material/check_circle:")
    if plan.unset and not progress.kept:
        named = escaping.markdown(", ".join(plan.unset))
        st.warning(
            f"Set {named} wherever you start the auditor and the dashboard, and start the dashboard again: the map "
            "takes the logins from there.",
            icon=":material/key:",
        )
    if progress.reports is None:
        st.markdown("Audit every record once now; records that differ are looked at for a minute before they count.")
        if st.button("Audit once", type="primary", icon=":material/play_arrow:"):
            acting.confirmed(person)
            workspace = _workspace(data)
            progress.reports = _working("Starting", lambda tell: reading.first_verdicts(loaded, workspace, tell=tell))
            st.rerun()
    else:
        tables.table(
            _rows(progress.reports),
            key="verdicts",
            alt="The first verdicts, one row per flow",
        )
        navigation.link("Open the Overview", navigation.Target(page="overview", shows={}))
    st.subheader("From now on", anchor=False)
    st.caption("Start the auditor in a terminal. It audits continuously until you press Ctrl-C.")
    st.code(escaping.block(reading.command("run", location, data)), language="shell")


def _rows(told: Sequence[_Told]) -> pd.DataFrame:
    """Rows of a table, with words for the names of columns."""
    return frame(
        [{COLUMNS.get(name, heading(name)): value for name, value in each.as_row().items()} for each in told]
    )


def _workspace(data: Path) -> Workspace:
    try:
        return Workspace.at(
            data, ledger_url=os.environ.get("AUDITOR_LEDGER"), archive=os.environ.get("AUDITOR_ARCHIVE")
        )
    except (OSError, ValueError) as error:
        raise SetupError(f"cannot use the folder {data}: {getattr(error, 'strerror', None) or error}") from None


def _working(begin: str, work: Callable[[Callable[[str], None]], AnswerT]) -> AnswerT:
    """Work while a line shows what is being done."""
    place = st.empty()
    try:
        with place, st.status(f"{escaping.markdown(begin)} …") as status:
            return work(lambda text: status.update(label=f"{escaping.markdown(text[:1].upper() + text[1:])} …"))
    finally:
        place.empty()


def _back(progress: Progress, to: Step) -> None:
    if st.button("Back", type="tertiary", icon=":material/arrow_back:"):
        _go(progress, to)


def _go(progress: Progress, to: Step) -> None:
    progress.at = to
    st.rerun()


_DRAWN = complete(
    {
        Step.CONNECT: _connect,
        Step.DISCOVER: _discover,
        Step.PROPOSE: _propose,
        Step.CHECK: _propose,
        Step.DRY_RUN: _dry_run,
        Step.VERDICTS: _verdicts,
    }
)
"""What draws each step."""
