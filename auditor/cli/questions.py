"""The guided set-up on a terminal: the steps of `auditor.setup`, each asked in turn."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import typer

from auditor.cli import answers, system_questions
from auditor.cli.interrupts import INTERRUPTED
from auditor.cli.options import say, workspace, write
from auditor.cli.rows import out, print_rows
from auditor.cli.system_questions import BACK, BackError, Told
from auditor.escaping import block, visible
from auditor.map.yaml_document import read_text
from auditor.setup import files, reading, steps, trial
from auditor.setup.addresses import (
    EXAMPLE,
    accounts,
    pair_of,
)
from auditor.setup.reading import Catalogue
from auditor.setup.setup_error import SetupError
from auditor.setup.steps import ABOUT, Plan, Step
from auditor.systems.matches import Found
from checks.tables import complete
from probes.wording import counted, listed

AnswerT = TypeVar("AnswerT")

_NUMBERS = re.compile(r"\d+(?:[\s,]+\d+)*")

_PAIRS = "write the numbers of pairs, such as 1, 2"

_AGAIN = "Enter the systems again; Enter keeps what you entered"


@dataclass(slots=True, kw_only=True)
class _Session:
    """What was entered so far; a step that is asked again begins with it.

    Attributes:
        data: the data folder of the first verdicts.
        told: about both systems.
        catalogues: what both hold, None to read it.
        pairs: the names of the collections in the chosen pairs.
        text: the map, as the person may have edited it; None before it was proposed.
        proposed: the map as it was proposed last.
    """

    file: Path
    data: Path
    plan: Plan = field(default_factory=Plan)
    told: tuple[Told, Told] | None = None
    catalogues: tuple[Catalogue, Catalogue] | None = None
    pairs: frozenset[tuple[str, str]] = frozenset()
    text: str | None = None
    proposed: str | None = None

    @property
    def edited(self) -> bool:
        """Whether the person has changed the proposed map."""
        return self.text != self.proposed


def ask(file: Path, data: Path) -> None:
    """Ask for two systems, propose a map, and write it where the person agrees.

    Args:
        file: where the map is written; nothing is there yet.
        data: the data folder of the first verdicts.
    """
    session = _Session(file=file, data=data)
    try:
        _introduce(file)
        step: Step | None = Step.CONNECT
        while step is not None:
            _heading(step)
            step = _ASKED[step](session)
    except (KeyboardInterrupt, typer.Abort):
        say("")
        say(f"stopped; {session.file} is written" if session.plan.written else "stopped; nothing has been written")
        raise typer.Exit(INTERRUPTED) from None


def _introduce(file: Path) -> None:
    write(
        visible(f"Plumbline reads two systems, proposes a map from what they hold, and writes it to {file}.") + "\n"
        "Nothing is written before you agree; press Ctrl-C to stop. Both logins need read access only.\n"
        f"For other systems than databases, {listed(accounts(), 'and')}: auditor init --template\n"
    )


def _heading(step: Step) -> None:
    number = list(Step).index(step) + 1
    write(f"\n{number} of {len(Step)}: {ABOUT[step].word}. {ABOUT[step].meaning}\n")


def _connect(session: _Session) -> Step:
    """Ask for both systems, and sign in to each as soon as it is entered."""
    write(
        f"An address is a database URL such as {EXAMPLE} or sqlite:///FILE.\n"
        f"For {listed(accounts())}, write the name instead.\n"
        "An address, a password or a token may be ${NAME}, and nothing besides, for what the environment holds.\n"
        f"At a name or time zone, {BACK} asks for the address again.\n"
    )
    first, second = session.told or (None, None)
    while True:
        first, ours = system_questions.first(first)
        write(f"To enter the source of truth again, write {BACK}.\n")
        try:
            second, theirs = system_questions.second(first, second)
            break
        except BackError as back:
            second = back.told
    session.told, session.catalogues = (first, second), (ours, theirs)
    session.plan = steps.connected(pair_of(first.entered, second.entered, os.environ))
    return Step.DISCOVER


def _discover(session: _Session) -> Step:
    assert session.plan.systems is not None
    elsewhere = {"Read both systems again": Step.DISCOVER, _AGAIN: Step.CONNECT}
    read, session.catalogues = session.catalogues, None
    try:
        found = answers.working(partial(reading.find, session.plan.systems, catalogues=read))
    except SetupError as error:
        answers.complain(error)
        return answers.what_now("The systems could not be compared. What now?", elsewhere)
    session.plan = steps.discovered(session.plan, found)
    told = [*steps.unread(found), *steps.without_records(found)] if found.matches else steps.nothing_found(found)
    for sentence in told:
        say(sentence)
    if not found.matches:
        say("To write the map by hand, begin with: auditor init --template")
        return answers.what_now("There is nothing to audit yet. What now?", {_AGAIN: Step.CONNECT, **elsewhere})
    print_rows("", steps.pair_rows(found))
    usual, doubtful = _usual_pairs(session, found), not any(steps.usable(each) for each in found.matches)
    if not usual:
        say("No pair has records in both systems and fields to compare, so none of them is proposed.")
    ask_first = not usual
    while True:
        ways = {_AGAIN: Step.CONNECT, "Keep a pair nevertheless": Step.PROPOSE}
        if ask_first and answers.what_now("No pair is chosen yet. What now?", ways) is Step.CONNECT:
            return Step.CONNECT
        ask_first = doubtful
        try:
            chosen = _chosen(found, usual)
            session.plan = steps.proposed(session.plan, chosen)
            break
        except SetupError as error:
            answers.complain(error)
    session.pairs = frozenset((found.matches[at].left.name, found.matches[at].right.name) for at in chosen)
    return Step.PROPOSE


def _usual_pairs(session: _Session, found: Found) -> list[int]:
    """The pairs that were chosen before, and otherwise those that can be audited."""
    before = [at for at, each in enumerate(found.matches) if (each.left.name, each.right.name) in session.pairs]
    return before or [at for at, each in enumerate(found.matches) if steps.usable(each)]


def _chosen(found: Found, usual: list[int]) -> list[int]:
    """Ask which pairs are audited, and for each that promises nothing, whether it is meant.

    Raises:
        SetupError: the answer names no pairs, or none is left.
    """
    label = "Pairs to audit" if usual else "Pairs to audit, such as 1, 2"
    answer = answers.once(label, ", ".join(str(at + 1) for at in usual))
    if not answer:
        raise SetupError(answers.nothing(_PAIRS))
    if not _NUMBERS.fullmatch(answer.strip()):
        raise SetupError(_PAIRS)
    named = list(dict.fromkeys(int(each) - 1 for each in re.findall(r"\d{1,9}", answer)))
    chosen = []
    for at in named:
        why = steps.doubt(found.matches[at]) if 0 <= at < len(found.matches) else ""
        if why:
            say(why)
        if not why or answers.yes(f"Keep pair {at + 1}?", usual=False):
            chosen.append(at)
    if not chosen:
        raise SetupError("no pair is left; choose another")
    return chosen


def _propose(session: _Session) -> Step:
    """Show the map, and let the person change it."""
    assert session.plan.text is not None
    before, changed = session.text, session.proposed != session.plan.text
    edited = session.edited and before != session.plan.text
    session.text = session.proposed = session.plan.text
    if edited and changed:
        say("The map is proposed anew, because your choices have changed. Your edits are not in it.")
    elif edited and answers.yes("Take the map as you edited it before?", usual=True):
        session.text = before
    assert session.text is not None
    out.print(block(session.text), markup=False, highlight=False, soft_wrap=True)
    if answers.yes("Change it in an editor first?", usual=False):
        session.text = _edited(session.text)
    return Step.CHECK


def _check(session: _Session) -> Step:
    """Check the map; a person corrects it until it has no mistakes."""
    assert session.text is not None
    plan = session.plan
    environment = {**os.environ, **plan.variables}
    try:
        plan = steps.checked(plan, trial.check(session.text, str(session.file), environment, plan.scrub))
    except SetupError as error:
        answers.complain(error)
    else:
        assert plan.checked is not None
        if plan.checked.loaded is not None:
            session.plan = plan
            for each in plan.checked.remarks:
                write(visible(f"{each.file}:{each.line}:{each.column} {each.path}: note: {each.message}") + "\n")
            write("The map has no mistakes.\n")
            if plan.checked.open:
                lines = counted(len(plan.checked.open), "line")
                write(f"{lines} marked TODO can wait: they hold what was guessed, such as the window.\n")
            return Step.DRY_RUN
        for problem in plan.checked.problems:
            write(visible(problem) + "\n")
    ways = {"Change the map in an editor": "edit"}
    if session.edited:
        ways["Take the map as it was proposed"] = "proposed"
    way = answers.what_now("The map cannot be used as it is. What now?", {**ways, _AGAIN: "again"})
    if way == "again":
        return Step.CONNECT
    session.text = _edited(session.text) if way == "edit" else session.proposed
    return Step.CHECK


def _edited(text: str) -> str:
    """The text after an editor has closed; as it was if none can be started."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    with TemporaryDirectory() as place:
        file = Path(place) / "plumbline.yaml"
        file.write_text(text)
        try:
            subprocess.run([*shlex.split(editor), str(file)], check=True)  # noqa: S603  the person's own editor
            return read_text(file)
        except (OSError, ValueError, subprocess.CalledProcessError):
            answers.complain(
                SetupError("the editor did not end well; set EDITOR to one that does. The map is as it was")
            )
            return text


def _dry_run(session: _Session) -> Step:
    assert session.plan.checked is not None
    loaded = session.plan.checked.loaded
    assert loaded is not None
    result = answers.working(partial(trial.dry_run, loaded))
    session.plan = steps.tried(session.plan, result)
    print_rows("", [each.as_row() for each in result.reports])
    for report in result.reports:
        for remark in report.remarks:
            out.print(visible(f"{report.system}: {remark}"), markup=False, highlight=False, soft_wrap=True)
    print_rows("First reading; nothing is stored", [each.as_row() for each in result.readings])
    if result.ok:
        return Step.VERDICTS
    ways = {"Try it again": Step.DRY_RUN, _AGAIN: Step.CONNECT}
    ways |= {"Change the map in an editor": Step.CHECK, "Go on nevertheless": Step.VERDICTS}
    return _to(session, answers.what_now("The dry run met problems. What now?", ways))


def _to(session: _Session, step: Step) -> Step:
    """Go to a step; to the check after the map has been edited."""
    if step is Step.CHECK:
        assert session.text is not None
        session.text = _edited(session.text)
    return step


def _verdicts(session: _Session) -> Step | None:
    """Write the map, and audit every record once."""
    assert session.plan.trial is not None
    nevertheless = "" if session.plan.trial.ok else " nevertheless"
    if not answers.yes(f"Write {session.file}{nevertheless}?", usual=session.plan.trial.ok):
        ways = {"Write the map to another place": Step.VERDICTS, "Change the map in an editor": Step.CHECK}
        step = answers.what_now("The map is not written yet. What now?", {**ways, _AGAIN: Step.CONNECT})
        if step is not Step.VERDICTS:
            return _to(session, step)
        session.file = _another_place()
    _write(session)
    _first_verdicts(session)
    return None


def _write(session: _Session) -> None:
    """Write the map, and the logins where the person agrees, until both are there."""
    plan, environment = session.plan, Path.cwd() / ".env"
    assert plan.text is not None
    variables: Mapping[str, str] = plan.unset
    if variables:
        write(visible(f"The map takes the logins from the environment: {', '.join(variables)}.") + "\n")
        if not answers.yes(f"Keep them in {environment}, which only you may read?", usual=True):
            variables = {}
    while True:
        try:
            files.write(session.file, plan.text, environment, variables)
            break
        except SetupError as error:
            answers.complain(SetupError(f"{error}; nothing has been written"))
        ways = {"Try again": "again", "Write the map to another place": "place"}
        if variables:
            ways["Do not keep the logins in .env: I set the variables myself"] = "unkept"
        way = answers.what_now("What now?", ways)
        if way == "place":
            session.file = _another_place()
        elif way == "unkept":
            variables = {}
    session.plan = steps.written(plan)
    write(visible(f"wrote {session.file}" + (f" and {environment}" if variables else "")) + "\n")
    if plan.unset and not variables:
        write(visible(f"set {', '.join(plan.unset)} wherever you start the auditor and the dashboard") + "\n")


def _another_place() -> Path:
    """Ask for a file where a map can be written."""
    while True:
        text = answers.text("Write the map to", expected="write the path of a file, such as maps/plumbline.yaml")
        try:
            return files.place_for(text)
        except SetupError as error:
            answers.complain(error)


def _first_verdicts(session: _Session) -> None:
    assert session.plan.checked is not None
    loaded = session.plan.checked.loaded
    assert loaded is not None
    if answers.yes("Audit every record once now?", usual=True):
        opened = workspace(session.data)
        try:
            reports = answers.working(partial(reading.first_verdicts, loaded, opened))
        except SetupError as error:
            answers.complain(error)
        else:
            print_rows("", [report.as_row() for report in reports])
            for report in reports:
                if report.error:
                    say(f"{report.flow}: {report.error}")
            meanings = {word: meaning for report in reports for word, meaning in report.meanings.items()}
            for word, meaning in meanings.items():
                write(f"{visible(word)}: {visible(meaning)}\n")
    write(
        visible(f"To audit continuously: {reading.command('run', session.file, session.data)}")
        + "\n"
        + visible(f"To see it in a browser: {reading.command('dashboard', session.file, session.data)}")
        + "\n"
    )


_ASKED: Mapping[Step, Callable[[_Session], Step | None]] = complete(
    {
        Step.CONNECT: _connect,
        Step.DISCOVER: _discover,
        Step.PROPOSE: _propose,
        Step.CHECK: _check,
        Step.DRY_RUN: _dry_run,
        Step.VERDICTS: _verdicts,
    }
)
"""What asks for each step, and answers which one is next; None at the end."""
