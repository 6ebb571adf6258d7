"""The guided set-up on a terminal: the steps of `auditor.setup`, each asked in turn."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import typer

from auditor.cli import answers
from auditor.cli.options import say, workspace, write
from auditor.cli.rows import err, out, print_rows, shown
from auditor.escaping import block, visible
from auditor.map.yaml_document import read_text
from auditor.setup import files, reading, steps, trial
from auditor.setup.addresses import (
    ADDRESS,
    DATABASE,
    EXAMPLE,
    PASSWORD,
    Entered,
    NewSystem,
    accounts,
    asked,
    kind_of,
    kinds,
    needs_password,
    pair_of,
    system_of,
    unquoted,
)
from auditor.setup.reading import Catalogue
from auditor.setup.setup_error import SameSystemError, SetupError
from auditor.setup.steps import ABOUT, Plan, Step
from auditor.systems.matches import Found
from checks.tables import complete
from probes.addresses import BEGINNINGS
from probes.sign_in_words import SignInWord
from probes.wording import counted, listed

AnswerT = TypeVar("AnswerT")

INTERRUPTED = 130

_NUMBERS = re.compile(r"\d+(?:[\s,]+\d+)*")

_PAIRS = "write the numbers of pairs, such as 1, 2"

_DATABASES = frozenset({DATABASE, "postgres", *(each.partition("://")[0] for each in BEGINNINGS)})
"""Names of databases, in lower case: whoever enters one is asked for the address."""

_AGAIN = "Enter the systems again; Enter keeps what you entered"

_BACK = "back"
"""In place of the second system: the way back to the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What was entered about a system.

    Attributes:
        usual: the name that it would have had.
    """

    entered: Entered
    usual: str


class _UnfinishedError(SetupError):
    """A word that is needed was left out; what was entered before it is kept."""

    def __init__(self, message: str, entered: Entered) -> None:
        super().__init__(message)
        self.entered = entered


class _BackError(Exception):
    """The person wants to enter the first system again; what was entered about the second is kept."""

    def __init__(self, told: _Told | None) -> None:
        super().__init__()
        self.told = told


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
    told: tuple[_Told, _Told] | None = None
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


def _what_now(question: str, options: Mapping[str, AnswerT]) -> AnswerT:
    """Ask how to go on. Who wants to stop is asked once more, because all that was entered is lost then.

    Args:
        options: what each leads to; Enter takes the first.
    """
    while True:
        at = answers.choice(question, [*options, "Stop"])
        if at < len(options):
            return [*options.values()][at]
        if answers.yes("Nothing has been written, and what you entered will be lost. Stop?", usual=False):
            raise typer.Abort


def _connect(session: _Session) -> Step:
    """Ask for both systems, and sign in to each as soon as it is entered."""
    write(
        f"An address is a database URL such as {EXAMPLE} or sqlite:///FILE.\n"
        f"For {listed(accounts())}, write the name instead.\n"
        "Anything may be ${NAME} for what the environment holds.\n"
    )
    first, second = session.told or (None, None)
    while True:
        first, ours = _system("The source of truth", lambda entered: system_of(entered, 0, os.environ), first)
        write(f"To enter the source of truth again, write {_BACK}.\n")
        try:
            second, theirs = _second(first, second)
            break
        except _BackError as back:
            second = back.told
    session.told, session.catalogues = (first, second), (ours, theirs)
    session.plan = steps.connected(pair_of(first.entered, second.entered, os.environ))
    return Step.DISCOVER


def _second(first: _Told, before: _Told | None) -> tuple[_Told, Catalogue]:
    """Ask for the system with the copies.

    Raises:
        _BackError: the person wants to enter the source of truth again.
    """
    return _system(
        "The system with the copies",
        lambda entered: pair_of(first.entered, entered, os.environ)[1],
        before,
        back=True,
    )


def _system(
    which: str, check: Callable[[Entered], NewSystem], before: _Told | None, *, back: bool = False
) -> tuple[_Told, Catalogue]:
    """Ask for one system until it can be signed in to, then for its name and time zone.

    Args:
        before: what was entered when it was asked for last.
        back: the person may go back to the system before.

    Raises:
        _BackError: the person does.
    """
    last = before.entered if before else None
    while True:
        try:
            text = _address(which, last)
            if back and text.strip().lower() == _BACK:
                raise _BackError(_kept(last, before))
            last = entered = _sign_in(text, last)
            found = check(entered)
            catalogue = _working(partial(reading.catalogue, found))
            break
        except SameSystemError as error:
            _complain(error)
            ways = {"Enter another system with the copies": False, "Enter the source of truth again": True}
            if _what_now("Both are the same system. What now?", ways):
                raise _BackError(_kept(last, before)) from None
            last = None
        except _UnfinishedError as error:
            _complain(error)
            last = error.entered
        except SetupError as error:
            _complain(error)
    usual = before.entered.name if before and before.entered.name != before.usual else found.name
    entered, _ = _until_usable(
        check,
        lambda: replace(entered, name=answers.text("  Name in the map", usual, expected="write a name")),
    )
    told = _Told(entered=entered, usual=found.name)
    if entered.kind != DATABASE:
        return told, catalogue
    zone = (before and before.entered.zone) or "UTC"
    label = "  Time zone of its times without one"
    entered, _ = _until_usable(
        check, lambda: replace(entered, zone=answers.text(label, zone, expected="write a time zone, such as UTC"))
    )
    return replace(told, entered=entered), catalogue


def _kept(last: Entered | None, before: _Told | None) -> _Told | None:
    """What was entered last about a system, with the name and time zone from before."""
    if last is None or before is None:
        return _Told(entered=last, usual="") if last else None
    return replace(before, entered=replace(last, name=before.entered.name, zone=before.entered.zone))


def _sign_in(text: str, before: Entered | None) -> Entered:
    """Ask how to sign in to a system; Enter keeps what was entered before.

    Args:
        text: its address or kind.

    Raises:
        _UnfinishedError: a word that is needed was left out.
        SetupError: the text is neither an address nor a kind.
    """
    kind = kind_of(text)
    same = before is not None and before.kind == kind
    held = dict(before.words) if before and same else {}
    again = dict(before.remembered.words) if before and same else {}
    words = {ADDRESS.word: text} if kind == DATABASE else {}
    for each in asked(kind):
        if each.word in words or (each is PASSWORD and not needs_password(text)):
            continue
        word = _word(each, held.get(each.word, ""), again.get(each.word, ""))
        if not word and each is not PASSWORD:
            expected = f"{each.label} is needed: {each.help}"
            raise _UnfinishedError(answers.nothing(expected), Entered(kind=kind, words={**held, **words}))
        words[each.word] = word
    return Entered(kind=kind, words=words)


def _address(which: str, before: Entered | None) -> str:
    """Ask for the address of a database, or the name of another kind; an address with a login is not shown again.

    Raises:
        SetupError: a kind of database was named, and then no address.
    """
    names = [kind for kind in kinds() if kind != DATABASE]
    label, expected = f"{which}: address, {listed(names)}", f"write for example {EXAMPLE}, or {listed(names)}"
    usual = held = ""
    if before is not None and before.kind == DATABASE:
        held, usual = before.words[ADDRESS.word], before.remembered.words.get(ADDRESS.word, "")
    elif before is not None:
        usual = before.kind
    if held and not usual:
        text = answers.text_or(held, f"{label} (Enter keeps the one entered)")
    else:
        text = answers.text(label, usual, expected=expected)
    while text.strip().lower() in _DATABASES:
        write(f"  {ADDRESS.help}\n")
        text = answers.once(f"  {ADDRESS.label}")
        if not text:
            raise SetupError(answers.nothing(expected))
    return unquoted(text)


def _word(each: SignInWord, held: str, again: str) -> str:
    """Ask for one word; the answer is "" if nothing was entered.

    Args:
        held: what was entered before, "" for nothing.
        again: the same if it is no secret.
    """
    if each is not PASSWORD:
        write(f"  {each.help}\n")
    if not each.secret:
        return answers.once(f"  {each.label}", again or each.usual)
    notes = ["not shown"] if each.hidden else []
    notes += ["Enter keeps the one entered"] if held else ["Enter for none"] if each is PASSWORD else []
    label = f"  {each.label} ({', '.join(notes)})" if notes else f"  {each.label}"
    if held or each is PASSWORD:
        return answers.text_or(held, label, hidden=each.hidden)
    return answers.once(label, hidden=each.hidden)


def _until_usable(check: Callable[[Entered], NewSystem], ask: Callable[[], Entered]) -> tuple[Entered, NewSystem]:
    while True:
        try:
            entered = ask()
            return entered, check(entered)
        except SetupError as error:
            _complain(error)


def _discover(session: _Session) -> Step:
    assert session.plan.systems is not None
    elsewhere = {"Read both systems again": Step.DISCOVER, _AGAIN: Step.CONNECT}
    read, session.catalogues = session.catalogues, None
    try:
        found = _working(partial(reading.find, session.plan.systems, catalogues=read))
    except SetupError as error:
        _complain(error)
        return _what_now("The systems could not be compared. What now?", elsewhere)
    session.plan = steps.discovered(session.plan, found)
    told = [*steps.unread(found), *steps.without_records(found)] if found.matches else steps.nothing_found(found)
    for sentence in told:
        say(sentence)
    if not found.matches:
        say("To write the map by hand, begin with: auditor init --template")
        return _what_now("There is nothing to audit yet. What now?", {_AGAIN: Step.CONNECT, **elsewhere})
    print_rows("", steps.pair_rows(found))
    usual, doubtful = _usual_pairs(session, found), not any(steps.usable(each) for each in found.matches)
    if not usual:
        say("No pair has records in both systems and fields to compare, so none of them is proposed.")
    ask_first = not usual
    while True:
        ways = {_AGAIN: Step.CONNECT, "Keep a pair nevertheless": Step.PROPOSE}
        if ask_first and _what_now("No pair is chosen yet. What now?", ways) is Step.CONNECT:
            return Step.CONNECT
        ask_first = doubtful
        try:
            chosen = _chosen(found, usual)
            session.plan = steps.proposed(session.plan, chosen)
            break
        except SetupError as error:
            _complain(error)
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
        _complain(error)
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
    way = _what_now("The map cannot be used as it is. What now?", {**ways, _AGAIN: "again"})
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
            _complain(SetupError("the editor did not end well; set EDITOR to one that does. The map is as it was"))
            return text


def _dry_run(session: _Session) -> Step:
    assert session.plan.checked is not None
    loaded = session.plan.checked.loaded
    assert loaded is not None
    result = _working(partial(trial.dry_run, loaded))
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
    return _to(session, _what_now("The dry run met problems. What now?", ways))


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
        step = _what_now("The map is not written yet. What now?", {**ways, _AGAIN: Step.CONNECT})
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
            _complain(SetupError(f"{error}; nothing has been written"))
        ways = {"Try again": "again", "Write the map to another place": "place"}
        if variables:
            ways["Do not keep the logins in .env: I set the variables myself"] = "unkept"
        way = _what_now("What now?", ways)
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
            _complain(error)


def _first_verdicts(session: _Session) -> None:
    assert session.plan.checked is not None
    loaded = session.plan.checked.loaded
    assert loaded is not None
    if answers.yes("Audit every record once now?", usual=True):
        opened = workspace(session.data)
        try:
            reports = _working(partial(reading.first_verdicts, loaded, opened))
        except SetupError as error:
            _complain(error)
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


def _working(work: Callable[..., AnswerT]) -> AnswerT:
    """Do work that takes `tell`, while a line shows what is being done."""
    with err.status("connecting") as status:
        return work(tell=lambda text: status.update(shown(text)))


def _complain(error: SetupError) -> None:
    say(str(error))
