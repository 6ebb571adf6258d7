"""What all commands share: options, exit codes, opening the map and the ledger."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer
from typer.core import TyperCommand

if TYPE_CHECKING:
    from auditor.map.integration_map import IntegrationMap
    from auditor.workspace import Workspace
    from probes.settings import SystemSettings

ReadT = TypeVar("ReadT")

CONSISTENT, DRIFT, USAGE, UNVERIFIED = 0, 1, 2, 3

app = typer.Typer(
    name="auditor",
    help="Plumbline audits connected business systems: what they disagree about, for how long, and why.",
    epilog="Exit codes: 0 consistent, 1 drift, 2 usage or map error, 3 could not verify.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


class TextCommand(TyperCommand):
    """A command whose arguments may be any text, also one that begins with a dash: a negative key, an SQL comment.

    A word with a dash is an option if the command has one of that name. Another with two dashes is taken for a
    misspelt option, unless there is a space in it; what stands behind `--` is never one.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse with the arguments behind a `--`."""
        takes_value = {
            name: not (getattr(each, "is_flag", False) or getattr(each, "count", False))
            for each in self.get_params(ctx)
            for name in (*each.opts, *each.secondary_opts)
            if name.startswith("-")
        }
        options: list[str] = []
        words: list[str] = []
        left = list(args)
        while left:
            word = left.pop(0)
            if word == "--":
                words += left
                break
            named, attached, _ = word.partition("=")
            if named in takes_value and (attached or not takes_value[named]):
                options.append(word)
            elif word in takes_value:
                options += [word, *left[:1]]
                del left[:1]
            elif word.startswith("--") and not any(letter.isspace() for letter in word):
                options.append(word)
            else:
                words.append(word)
        return super().parse_args(ctx, [*options, *(["--", *words] if words else [])])


MapOption = Annotated[
    Path,
    typer.Option("--map", "-m", envvar="AUDITOR_MAP", help="The integration map: a YAML file or folder."),
]
DataOption = Annotated[
    Path, typer.Option("--data", envvar="AUDITOR_DATA", help="Where the ledger and the archive are kept.")
]
NewKeyOption = Annotated[
    bool,
    typer.Option(
        "--new-digest-key",
        help="Accept a digest key other than the one the ledger was made with: a new series of fingerprints begins.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
FailOption = Annotated[
    str,
    typer.Option(
        "--fail-on",
        help="Causes that make the exit code 1, comma-separated, or `any` or `never`.",
    ),
]
SinceOption = Annotated[str, typer.Option("--since", help="How far back, such as 2h or 7d.")]
FlowOption = Annotated[list[str] | None, typer.Option("--flow", help="Only these flows.")]
DEFAULT_MAP = Path("plumbline.yaml")
DEFAULT_DATA = Path("var")
DEMO_DATA = Path("var") / "demo"


def say(text: str) -> None:
    """Tell on standard error, on one line; what cannot be seen becomes a sign for it."""
    from auditor.escaping import visible

    sys.stderr.write(visible(text) + "\n")


class VisibleFormatter(logging.Formatter):
    """Log lines in which what cannot be seen is a sign, and the secrets of the map are stars.

    Tracebacks keep their lines. What the auditor says itself holds no secret, and is left as it is.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  logging's own name
        """One line: a message from outside begins no second one."""
        from auditor.escaping import visible

        own = record.name.partition(".")[0] == "auditor"
        record.message = visible(record.message if own else discreet(record.message))
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802  logging's own name
        """The traceback, whose lines are its own, with those of its causes."""
        from auditor.escaping import block

        return block(discreet(super().formatException(ei)))


_scrubbers: list[Callable[[str], str]] = []


def discreet(text: str) -> str:
    """A text of a library without any secret of the maps that were loaded."""
    for scrub in _scrubbers:
        text = scrub(text)
    return text


def write(text: str) -> None:
    """Write data to standard output: exactly in a file or a pipe, with signs for what a terminal would act on.

    Nothing is stripped, which `typer.echo` does with escape sequences where no terminal reads. Half characters,
    which no file can hold, are written as `\\ud800`.
    """
    from auditor.escaping import block

    if sys.stdout.isatty():
        text = block(text.replace("\r\n", "\n"))
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
    sys.stdout.buffer.flush()


def fail(text: str, code: int = USAGE) -> NoReturn:
    """End with a sentence and an exit code."""
    say(f"error: {text}")
    raise typer.Exit(code)


def fail_in_lines(text: str, code: int = USAGE) -> NoReturn:
    """End with a message whose lines belong below each other, such as an engine's with a pointer into a statement."""
    from auditor.escaping import block

    sys.stderr.write(block(f"error: {text}") + "\n")
    raise typer.Exit(code)


def load(location: Path) -> IntegrationMap:
    """The map, or an end that names every mistake in it."""
    from auditor.map.loader import load_map
    from auditor.map.secrets import scrubber_of

    loaded = _read(location, load_map)
    _scrubbers[:] = [scrubber_of(loaded)]
    return loaded


def load_systems(location: Path) -> dict[str, SystemSettings]:
    """The systems of a map, whatever else it says or does not say yet; or an end that names every mistake in them."""
    from auditor.map.loader import load_systems as read

    return _read(location, read)


PATH_SHOWN = 100
"""Characters told of a name that no file can have."""


def is_there(path: Path, what: str) -> bool:
    """Whether something has this name; an end where nothing can, or where this user may not look.

    Args:
        what: is looked for there, with its article.
    """
    try:
        return path.exists()
    except (OSError, ValueError) as error:
        fail(f"cannot read {what} at {short(path)}: {getattr(error, 'strerror', None) or error}")


def need_map(location: Path) -> None:
    """End with what to do where there is no map."""
    if not is_there(location, "a map"):
        fail(f"there is no map at {location}; create one with `auditor init`, or point to one with --map")


def short(path: Path) -> str:
    """A path as it is told: the beginning of one that no file can have."""
    return text if len(text := str(path)) <= PATH_SHOWN else f"{text[:PATH_SHOWN]}…"


def _read(location: Path, read: Callable[[Path], ReadT]) -> ReadT:
    from auditor.map.problems import MapError
    from probes.wording import counted

    need_map(location)
    try:
        return read(location)
    except MapError as error:
        for problem in error.problems:
            say(str(problem))
        fail(f"{counted(len(error.problems), 'mistake')} in the map")


def workspace(folder: Path, *, make: bool = True) -> Workspace:
    """The folder of an installation."""
    from auditor.workspace import Workspace

    if is_there(folder, "a data folder") and not folder.is_dir():
        fail(f"{short(folder)} is a file, not a folder; name the data folder with --data")
    try:
        return Workspace.at(
            folder,
            ledger_url=os.environ.get("AUDITOR_LEDGER"),
            archive=os.environ.get("AUDITOR_ARCHIVE"),
            make=make,
        )
    except (OSError, ValueError) as error:
        fail(f"cannot use the folder {short(folder)}: {getattr(error, 'strerror', None) or error}")


def existing_ledger(folder: Path, *, as_json: bool = False) -> tuple[Workspace, Any]:
    """The folder of an installation and its ledger, for a command that makes none; or an end that says what to do.

    Args:
        as_json: say it in a document on standard output, too.
    """
    opened, ledger = open_ledger(folder, make=False)
    if ledger is None:
        place = "the database of AUDITOR_LEDGER" if os.environ.get("AUDITOR_LEDGER") else opened.folder
        told = f"there is no ledger in {place} yet: run `auditor run` or `auditor once`, or point --data to it"
        if as_json:
            sys.stdout.write(json.dumps({"error": told}) + "\n")
        fail(told, UNVERIFIED)
    return opened, ledger


def open_ledger(folder: Path, *, make: bool = True) -> tuple[Workspace, Any]:
    """The folder of an installation and its ledger; None for a ledger that is not there and is not to be made."""
    from auditor.storage.ledger_error import LedgerError, LedgerSettingError
    from probes.secrets import Scrubber

    opened = workspace(folder, make=make)
    try:
        return opened, opened.ledger() if make else opened.existing_ledger()
    except LedgerSettingError as error:
        fail(str(error))
    except LedgerError as error:
        fail(str(error), UNVERIFIED)
    except Exception as error:
        scrub = Scrubber.of_address(opened.ledger_url)
        fail(f"cannot open the ledger: {type(error).__name__}: {scrub(' '.join(str(error).split()))[:300]}")


def audited_at(ledger: Any) -> datetime | None:
    """When anything was last audited, None where nothing ever was."""
    return max((row["audited_at"] for row in ledger.exports.table("flow_state") if row["audited_at"]), default=None)


def flows_of(loaded: IntegrationMap, names: list[str] | None) -> list[str]:
    """The flows asked for, all where none are."""
    from probes.wording import did_you_mean

    for name in names or ():
        if name not in loaded.flows:
            fail(f"unknown flow {name!r}{did_you_mean(name, loaded.flows)}")
    return names or list(loaded.flows)


def causes_failing(fail_on: str) -> set[str]:
    """The causes of drift with which a command ends as with drift; an end where one is unknown."""
    from auditor.storage.renamed_words import CAUSES
    from checks.cause import Cause
    from probes.wording import did_you_mean

    known = {cause.value for cause in Cause} - {Cause.IN_FLIGHT.value}
    if fail_on == "any":
        return known
    if fail_on == "never":
        return set()
    named = (each.strip() for each in fail_on.split(",") if each.strip())
    asked = {CAUSES.get(each, each) for each in named}
    for each in sorted(asked - known):
        fail(f"--fail-on: unknown cause {each!r}{did_you_mean(each, known)}")
    return asked
