"""What all commands share: options, exit codes, opening the map and the ledger."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from auditor.integration_map import IntegrationMap
    from auditor.workspace import Workspace

CONSISTENT, DRIFT, USAGE, UNVERIFIED = 0, 1, 2, 3

app = typer.Typer(
    name="auditor",
    help="Plumbline audits connected business systems: what they disagree about, for how long, and why.",
    epilog="Exit codes: 0 consistent, 1 drift, 2 usage or map error, 3 could not verify.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

MapOption = Annotated[
    Path,
    typer.Option("--map", "-m", envvar="AUDITOR_MAP", help="The integration map: a YAML file or folder."),
]
DataOption = Annotated[
    Path, typer.Option("--data", envvar="AUDITOR_DATA", help="Where the ledger and the archive are kept.")
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
    """Tell on standard error."""
    sys.stderr.write(text + "\n")


def fail(text: str, code: int = USAGE) -> NoReturn:
    """End with a sentence and an exit code."""
    say(f"error: {text}")
    raise typer.Exit(code)


def load(location: Path) -> IntegrationMap:
    """The map, or an end that names every mistake in it."""
    from auditor.map_file import MapError, load_map

    if not location.exists():
        fail(f"there is no map at {location}; `auditor init` writes one, --map names another")
    try:
        return load_map(location)
    except MapError as error:
        for problem in error.problems:
            say(str(problem))
        fail(f"{len(error.problems)} mistake{'s' * (len(error.problems) > 1)} in the map")


def workspace(folder: Path) -> Workspace:
    """The folder of an installation."""
    from auditor.workspace import Workspace

    try:
        return Workspace.at(
            folder,
            ledger_url=os.environ.get("AUDITOR_LEDGER"),
            archive=os.environ.get("AUDITOR_ARCHIVE"),
        )
    except OSError as error:
        fail(f"cannot use the folder {folder}: {error.strerror}")


def open_ledger(folder: Path) -> tuple[Workspace, Any]:
    """The folder of an installation and its ledger."""
    from auditor.ledger import LedgerError
    from probes.addresses import login_of
    from probes.secrets import Scrubber

    opened = workspace(folder)
    try:
        return opened, opened.ledger()
    except LedgerError as error:
        fail(str(error))
    except Exception as error:
        login = login_of(opened.ledger_url)
        scrub = Scrubber([login.raw, login.password, *login.parameters], [login.user])
        fail(f"cannot open the ledger: {type(error).__name__}: {scrub(' '.join(str(error).split()))[:300]}")


def flows_of(loaded: IntegrationMap, names: list[str] | None) -> list[str]:
    """The flows asked for, all where none are."""
    from auditor.words import did_you_mean

    for name in names or ():
        if name not in loaded.flows:
            fail(f"unknown flow {name!r}{did_you_mean(name, loaded.flows)}")
    return names or list(loaded.flows)
