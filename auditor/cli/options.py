"""What all commands share: options, exit codes, opening the map and the ledger."""

from __future__ import annotations

import copy
import json
import logging
import os
import sys
from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

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

    A word with a dash is an option if the command has one of that name. Any other word with two dashes counts as a
    misspelt option unless it contains a space; words after `--` are never options.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse with the arguments after a `--`."""
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


class ListGroup(TyperGroup):
    """A group of commands that lists if none of them is named: `conflicts --all` is `conflicts list --all`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse with `list` in front of options, and in place of nothing."""
        if not args or (args[0].startswith("-") and args[0] != "--help"):
            args = ["list", *args]
        return super().parse_args(ctx, args)


def _path(text: str | Path) -> Path:
    if not str(text).strip():
        raise typer.BadParameter("it is empty; name a path, or leave the option out")
    return Path(text)


def path_option(*names: str, help: str, envvar: str | None = None) -> Any:
    """An option that names a path. An empty one, which an unset variable leaves, would be the current folder."""
    return typer.Option(*names, help=help, envvar=envvar, parser=_path, metavar="<path>")


MapOption = Annotated[
    Path, path_option("--map", "-m", envvar="AUDITOR_MAP", help="The integration map: a YAML file or folder.")
]
DataOption = Annotated[
    Path, path_option("--data", envvar="AUDITOR_DATA", help="Where the ledger and the archive are kept.")
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
    """Write one line to standard error; invisible characters become visible signs."""
    from auditor.escaping import visible

    sys.stderr.write(visible(text) + "\n")


WITH_TRACEBACK = frozenset({"apscheduler", "asyncio", "auditor", "checks", "concurrent", "probes", "root"})
"""The first parts of loggers' names under which faults of ours are logged."""


class VisibleFormatter(logging.Formatter):
    """Log lines with visible signs for invisible characters and stars for the map's secrets.

    Tracebacks keep their lines; drivers, whose failures the probes report, get none. The auditor's own messages hold
    no secrets and are left as they are.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line, and a traceback if it shows a fault of ours."""
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and record.name.partition(".")[0] not in WITH_TRACEBACK:
            record = copy.copy(record)
            record.msg, record.args = f"{record.getMessage()} ({', from '.join(_chain(error))})", ()
            record.exc_info = record.exc_text = None
        return super().format(record)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  logging's own name
        """One line: a message from outside cannot start a second one."""
        from auditor.escaping import visible

        own = record.name.partition(".")[0] == "auditor"
        record.message = visible(record.message if own else discreet(record.message))
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802  logging's own name
        """The traceback with its causes, lines kept."""
        from auditor.escaping import block

        return block(discreet(super().formatException(ei)))


def _chain(error: BaseException | None) -> Iterator[str]:
    """An exception and those that caused it."""
    while error is not None:
        yield f"{type(error).__name__}: {error}"
        error = error.__cause__


_scrubbers: list[Callable[[str], str]] = []


def discreet(text: str) -> str:
    """A library's text without any secret of the loaded maps."""
    for scrub in _scrubbers:
        text = scrub(text)
    return text


def write(text: str) -> None:
    """Write data to standard output: exactly in a file or a pipe, with signs for control characters on a terminal.

    Nothing is stripped, unlike with `typer.echo`, which removes escape sequences if the output is not a terminal.
    Half characters, which no file can hold, are written as `\\ud800`.
    """
    from auditor.escaping import block

    if sys.stdout.isatty():
        text = block(text.replace("\r\n", "\n"))
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
    sys.stdout.buffer.flush()


def fail(text: str, code: int = USAGE) -> NoReturn:
    """Exit with a sentence and an exit code."""
    say(f"error: {text}")
    raise typer.Exit(code)


def fail_in_lines(text: str, code: int = USAGE) -> NoReturn:
    """Exit with a multi-line message, such as an engine's with a pointer into a statement."""
    from auditor.escaping import block

    sys.stderr.write(block(f"error: {text}") + "\n")
    raise typer.Exit(code)


def load(location: Path, data: Path | None = None) -> IntegrationMap:
    """Load the map, or exit with every mistake in it.

    Args:
        data: the data folder; None for that of the environment.
    """
    from auditor.map.loader import load_map
    from auditor.map.secrets import scrubber_of

    loaded = _read(location, partial(load_map, ledger=own_ledger(data)))
    _scrubbers[:] = [scrubber_of(loaded)]
    return loaded


def own_ledger(data: Path | None = None) -> Path | None:
    """The file of the auditor's own ledger, which no system of a map may be; None if it is in PostgreSQL."""
    url = os.environ.get("AUDITOR_LEDGER")
    if url:
        return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None
    return (data or Path(os.environ.get("AUDITOR_DATA") or DEFAULT_DATA)) / "ledger.sqlite"


def load_again(location: Path, data: Path) -> IntegrationMap:
    """Load the map once more while work with the one before goes on: the log hides the secrets of both.

    Raises:
        MapError: with every mistake in it.
    """
    from auditor.map.loader import load_map
    from auditor.map.secrets import scrubber_of

    loaded = load_map(location, ledger=own_ledger(data))
    _scrubbers[:] = [scrubber_of(loaded), *_scrubbers[:SCRUBBERS_KEPT]]
    return loaded


SCRUBBERS_KEPT = 2
"""Earlier maps whose secrets the log still hides: a call of theirs may end late."""


def load_systems(location: Path) -> dict[str, SystemSettings]:
    """Load only the systems of a map, or exit with every mistake in them."""
    from auditor.map.loader import load_systems as read

    return _read(location, read)


PATH_SHOWN = 100
"""Most characters shown of a name that no file can have."""


def is_there(path: Path, what: str) -> bool:
    """Whether the path exists; exits if it cannot exist or this user may not look.

    Args:
        what: what should be there, with its article.
    """
    try:
        return path.exists()
    except (OSError, ValueError) as error:
        fail(f"cannot read {what} at {short(path)}: {getattr(error, 'strerror', None) or error}")


NO_MAP = "create one with `auditor init`, or point to one with --map"
"""What to do where there is no map."""


def need_map(location: Path, advice: str = NO_MAP) -> None:
    """Exit with what to do if there is no map."""
    if not is_there(location, "a map"):
        fail(f"there is no map at {short(location)}; {advice}")


def short(path: Path) -> str:
    """A path for a message, cut off if no file can have it."""
    return text if len(text := str(path)) <= PATH_SHOWN else f"{text[:PATH_SHOWN]}…"


def _read(location: Path, read: Callable[[Path], ReadT]) -> ReadT:
    from auditor.map.problems import MORE, MapError
    from probes.wording import counted

    need_map(location)
    try:
        return read(location)
    except MapError as error:
        for problem in error.problems:
            say(str(problem))
        fail(f"{counted(len(error.problems), 'mistake')} in the map{f'; {MORE}' if error.more else ''}")


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
    """The folder of an installation and its ledger, for a command that creates none; exits with advice if missing.

    Args:
        as_json: also print the error as a document on standard output.
    """
    opened, ledger = open_ledger(folder, make=False)
    if ledger is None:
        place = "the database of AUDITOR_LEDGER" if os.environ.get("AUDITOR_LEDGER") else opened.folder
        message = no_ledger(place)
        if as_json:
            sys.stdout.write(json.dumps({"error": message}) + "\n")
        fail(message, UNVERIFIED)
    return opened, ledger


def no_ledger(place: object) -> str:
    """What to do where there is no ledger."""
    return f"there is no ledger in {place} yet: run `auditor run` or `auditor once`, or point --data to it"


def open_ledger(folder: Path, *, make: bool = True) -> tuple[Workspace, Any]:
    """The folder of an installation and its ledger; None for a missing ledger that must not be created."""
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
    """When anything was last audited, None if nothing ever was."""
    return max((row["audited_at"] for row in ledger.exports.table("flow_state") if row["audited_at"]), default=None)


def flows_of(loaded: IntegrationMap, names: list[str] | None) -> list[str]:
    """The requested flows, or all."""
    from probes.wording import did_you_mean

    for name in names or ():
        if name not in loaded.flows:
            fail(f"unknown flow {name!r}{did_you_mean(name, loaded.flows)}")
    return names or list(loaded.flows)


def causes_failing(fail_on: str) -> set[str]:
    """The causes that make a command exit with the code for drift; exits if one is unknown."""
    from checks.cause import Cause

    drift_causes = {cause.value for cause in Cause} - {Cause.IN_FLIGHT.value}
    if fail_on == "any":
        return drift_causes
    if fail_on == "never":
        return set()
    return set(causes_named(fail_on, "--fail-on", [*sorted(drift_causes)], beside="any or never"))


def causes_named(text: str, option: str, names: Collection[str], *, beside: str = "") -> list[str]:
    """Causes by their names, separated by commas, old names included; exits if there is none, or one is unknown.

    Args:
        option: the command's option, for messages.
        names: the known causes.
        beside: words that the option accepts instead of causes.
    """
    from auditor.history.status import Standing
    from auditor.storage.renamed_words import CAUSES
    from checks.judgement import Outcome
    from probes.wording import did_you_mean

    causes = [CAUSES.get(each, each) for part in text.split(",") if (each := part.strip())]
    if not causes:
        fail(f"{option} is empty; name causes{f', or write {beside}' if beside else ''}")
    for each in causes:
        if each not in names and each in {"undecided", *Outcome, *Standing}:
            fail(f"{option}: {each} is a state of a record, not a cause; causes are {', '.join(names)}")
        if each not in names:
            fail(f"{option}: unknown cause {each!r}{did_you_mean(each, names, most=len(names))}")
    return list(dict.fromkeys(causes))
