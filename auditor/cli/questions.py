"""The guided set-up on a terminal: the steps of `auditor.setup`, each asked in turn."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn, TypeVar

import typer

from auditor.cli.options import fail, say, workspace, write
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
    listed,
    needs_password,
    pair_of,
    system_of,
)
from auditor.setup.reading import Catalogue
from auditor.setup.setup_error import SetupError
from auditor.setup.steps import ABOUT, Plan, Step
from probes.sign_in_words import SignInWord
from probes.wording import counted

AnswerT = TypeVar("AnswerT")

INTERRUPTED = 130

_NUMBERS = re.compile(r"\d+(?:[\s,]+\d+)*")


def ask(file: Path, data: Path) -> None:
    """Ask for two systems, propose a map, and write it where the person agrees.

    Args:
        file: where the map is written; nothing is there yet.
        data: the data folder of the first verdicts.
    """
    plan = Plan()
    try:
        _introduce(file)
        plan, catalogues = _connect()
        plan = _discover(plan, catalogues)
        plan = _propose(plan, file)
        plan = _dry_run(plan)
        plan = _write(plan, file)
        _verdicts(plan, file, data)
    except (KeyboardInterrupt, typer.Abort):
        say("")
        say(f"stopped; {file} is written" if plan.written else "stopped; nothing has been written")
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


def _connect() -> tuple[Plan, tuple[Catalogue, Catalogue]]:
    """Ask for both systems, and sign in to each as soon as it is entered."""
    _heading(Step.CONNECT)
    write(
        f"An address is a database URL such as {EXAMPLE} or sqlite:///FILE.\n"
        f"For {listed(accounts())}, write the name instead.\n"
        "Anything may be ${NAME} for what the environment holds.\n"
    )
    owner, ours = _system("The source of truth", lambda entered: system_of(entered, 0, os.environ))
    copy, theirs = _system("The system with the copies", lambda entered: pair_of(owner, entered, os.environ)[1])
    return steps.connected(pair_of(owner, copy, os.environ)), (ours, theirs)


def _system(which: str, check: Callable[[Entered], NewSystem]) -> tuple[Entered, Catalogue]:
    """Ask for one system until it can be signed in to, then for its name and time zone."""
    before: Entered | None = None
    while True:
        try:
            before = entered = _sign_in(which, before)
            found = check(entered)
            catalogue = _working(partial(reading.catalogue, found))
            break
        except SetupError as error:
            _complain(error)
    usual = found.name
    entered, _ = _until_usable(check, lambda: replace(entered, name=str(typer.prompt("  Name in the map", usual))))
    if entered.kind != DATABASE:
        return entered, catalogue
    zone = "  Time zone of its times without one"
    return _until_usable(check, lambda: replace(entered, zone=str(typer.prompt(zone, "UTC"))))[0], catalogue


def _sign_in(which: str, before: Entered | None) -> Entered:
    """Ask what a system is and how to sign in to it; Enter keeps what was entered before."""
    again = dict(before.remembered.words) if before else {}
    usual = None if before is None else again.get(ADDRESS.word) if before.kind == DATABASE else before.kind
    text = str(typer.prompt(f"{which}: address, {listed([kind for kind in kinds() if kind != DATABASE])}", usual))
    kind = kind_of(text)
    held = dict(before.words) if before and before.kind == kind else {}
    words = {ADDRESS.word: text} if kind == DATABASE else {}
    for each in asked(kind):
        if each.word in words or (each is PASSWORD and not needs_password(text)):
            continue
        words[each.word] = _word(each, held.get(each.word, ""), again.get(each.word, "") if held else "")
    return Entered(kind=kind, words=words)


def _word(each: SignInWord, held: str, again: str) -> str:
    """Ask for one word.

    Args:
        held: what was entered before, "" for nothing.
        again: the same if it is no secret.
    """
    if each is not PASSWORD:
        write(f"  {each.help}\n")
    if not each.secret:
        return str(typer.prompt(f"  {each.label}", again or each.usual or None))
    notes = ["not shown"] if each.hidden else []
    notes += ["Enter keeps the one entered"] if held else ["Enter for none"] if each is PASSWORD else []
    label = f"  {each.label} ({', '.join(notes)})" if notes else f"  {each.label}"
    default = "" if held or each is PASSWORD else None
    return str(typer.prompt(label, default, hide_input=each.hidden, show_default=False)) or held


def _until_usable(check: Callable[[Entered], NewSystem], ask: Callable[[], Entered]) -> tuple[Entered, NewSystem]:
    while True:
        try:
            entered = ask()
            return entered, check(entered)
        except SetupError as error:
            _complain(error)


def _discover(plan: Plan, catalogues: tuple[Catalogue, Catalogue]) -> Plan:
    _heading(Step.DISCOVER)
    while True:
        assert plan.systems is not None
        try:
            found = _working(partial(reading.find, plan.systems, catalogues=catalogues))
            break
        except SetupError as error:
            _complain(error)
            if not typer.confirm("Enter the systems again?", default=True):
                _give_up()
            plan, catalogues = _connect()
    plan = steps.discovered(plan, found)
    if not found.matches:
        for sentence in steps.nothing_found(found):
            say(sentence)
        say("To write the map by hand, begin with: auditor init --template")
        fail("nothing has been written")
    for sentence in steps.unread(found):
        say(sentence)
    print_rows("", steps.pair_rows(found))
    usual = [str(at + 1) for at, match in enumerate(found.matches) if steps.usable(match)]
    if not usual:
        say("No pair has records in both systems and fields to compare, so none of them is proposed.")
        if typer.confirm("Enter the systems again?", default=True):
            return _discover(*_connect())
    while True:
        answer = str(
            typer.prompt("Pairs to audit" if usual else "Pairs to audit, such as 1, 2", ", ".join(usual) or None)
        )
        try:
            if not _NUMBERS.fullmatch(answer.strip()):
                raise SetupError("write the numbers of pairs, such as 1, 2")
            return steps.proposed(plan, [int(each) - 1 for each in re.findall(r"\d{1,9}", answer)])
        except SetupError as error:
            _complain(error)


def _propose(plan: Plan, file: Path) -> Plan:
    """Show the map and check it, until it has no mistakes and the person has nothing to change."""
    _heading(Step.PROPOSE)
    assert plan.text is not None
    text, offered = plan.text, False
    out.print(block(text), markup=False, highlight=False, soft_wrap=True)
    while True:
        if not offered and typer.confirm("Change it in an editor first?", default=False):
            text = _edited(text)
        offered = True
        _heading(Step.CHECK)
        try:
            environment = {**os.environ, **plan.variables}
            plan = steps.checked(plan, trial.check(text, str(file), environment, plan.scrub))
        except SetupError as error:
            _complain(error)
        else:
            assert plan.checked is not None
            if plan.checked.loaded is not None:
                break
            for problem in plan.checked.problems:
                write(visible(problem) + "\n")
        if not typer.confirm("Change the map in an editor?", default=True):
            _give_up()
        text = _edited(text)
    for remark in plan.checked.remarks:
        write(visible(f"{remark.file}:{remark.line}:{remark.column} {remark.path}: note: {remark.message}") + "\n")
    write("The map has no mistakes.\n")
    if plan.checked.open:
        lines = counted(len(plan.checked.open), "line")
        write(f"{lines} marked TODO can wait: they hold what was guessed, such as the window.\n")
    return plan


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


def _dry_run(plan: Plan) -> Plan:
    _heading(Step.DRY_RUN)
    assert plan.checked is not None
    loaded = plan.checked.loaded
    assert loaded is not None
    while True:
        result = _working(partial(trial.dry_run, loaded))
        print_rows("", [each.as_row() for each in result.reports])
        for report in result.reports:
            for remark in report.remarks:
                out.print(visible(f"{report.system}: {remark}"), markup=False, highlight=False, soft_wrap=True)
        print_rows("First reading; nothing is stored", [each.as_row() for each in result.readings])
        if result.ok or not typer.confirm("The dry run met problems. Try it again?", default=True):
            return steps.tried(plan, result)


def _write(plan: Plan, file: Path) -> Plan:
    _heading(Step.VERDICTS)
    assert plan.text is not None
    assert plan.trial is not None
    question = f"Write {file}?" if plan.trial.ok else f"Write {file} nevertheless?"
    if not typer.confirm(visible(question), default=plan.trial.ok):
        _give_up()
    environment = Path.cwd() / ".env"
    while True:
        variables = plan.unset
        if variables:
            named = ", ".join(variables)
            write(visible(f"The map takes the logins from the environment: {named}.") + "\n")
            if not typer.confirm(visible(f"Keep them in {environment}, which only you may read?"), default=True):
                variables = {}
        try:
            files.write(file, plan.text, environment, variables)
            break
        except SetupError as error:
            _complain(SetupError(f"{error}; nothing has been written"))
            if not typer.confirm("Try again?", default=True):
                _give_up()
    write(visible(f"wrote {file}" + (f" and {environment}" if variables else "")) + "\n")
    if plan.unset and not variables:
        write(visible(f"set {', '.join(plan.unset)} wherever you start the auditor and the dashboard") + "\n")
    return steps.written(plan)


def _verdicts(plan: Plan, file: Path, data: Path) -> None:
    assert plan.checked is not None
    loaded = plan.checked.loaded
    assert loaded is not None
    if typer.confirm("Audit every record once now?", default=True):
        opened = workspace(data)
        try:
            reports = _working(partial(reading.first_verdicts, loaded, opened))
        except SetupError as error:
            _complain(error)
        else:
            print_rows("", [report.as_row() for report in reports])
            for report in reports:
                if report.error:
                    say(f"{report.flow}: {report.error}")
    write(
        visible(f"To audit continuously: {reading.command('run', file, data)}")
        + "\n"
        + visible(f"To see it in a browser: {reading.command('dashboard', file, data)}")
        + "\n"
    )


def _working(work: Callable[..., AnswerT]) -> AnswerT:
    """Do work that takes `tell`, while a line shows what is being done."""
    with err.status("connecting") as status:
        return work(tell=lambda text: status.update(shown(text)))


def _complain(error: SetupError) -> None:
    say(str(error))


def _give_up() -> NoReturn:
    raise typer.Abort
