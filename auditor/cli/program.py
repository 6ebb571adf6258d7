"""The command line as a whole. Each command loads what it needs when it runs, so `--help` is fast."""

from __future__ import annotations

import logging
import os
import sys
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from dotenv import load_dotenv
from typer.models import CommandInfo

from auditor import __version__
from auditor.cli import (
    alert,
    audits,
    conflicts,
    demo,
    doctor,
    figures,
    findings,
    incidents,
    init,
    map,
    queries,
    query,
    queues,
    recheck,
    record,
    reload,
    serve,
    verified,
    watchdog,
)
from auditor.cli.interrupts import INTERRUPTED, outside_imports, quiet
from auditor.cli.options import UNVERIFIED, app, discreet, say

MODULES = (
    *(alert, audits, conflicts, demo, doctor, figures, findings, incidents, init, map, queries, query),
    *(queues, recheck, record, reload, serve, verified, watchdog),
)
"""The modules with the commands; importing one adds its commands."""

ORDER = (
    *("init", "check", "review", "map", "schema", "discover", "doctor"),
    *("run", "reload", "once", "status", "drift", "objectives", "lag", "coverage", "backlog", "letters"),
    *("record", "recheck", "verified", "repair", "watchdog"),
    *("query", "dashboard"),
)
"""The commands in the order in which help shows them: in order of use."""


def _place(command: CommandInfo) -> int:
    assert command.callback is not None
    return ORDER.index(command.name or command.callback.__name__)


app.registered_commands.sort(key=_place)


def main() -> NoReturn:
    """Run the command line; every expected error ends with a sentence and an exit code."""
    with quiet():
        load_dotenv(Path.cwd() / ".env")
        parser = _parser()
    try:
        with outside_imports():
            parser()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        from auditor.ledger import LedgerError
        from probes.contract import ProbeError

        if isinstance(error, LedgerError | ProbeError):
            say(f"error: {error}")
            sys.exit(UNVERIFIED)
        # Drift has an exit code of its own, so nothing unexpected may end with it.
        logging.getLogger(__name__).debug("unexpected", exc_info=True)
        say(f"error: {type(error).__name__}: {' '.join(discreet(str(error)).split())[:500]}")
        sys.exit(UNVERIFIED)
    sys.exit(0)


@cache
def _parser() -> Any:
    """The parser of all commands; it takes longer to build than most commands to parse and run."""
    return typer.main.get_command(app)


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    if version:
        typer.echo(f"plumbline {__version__}")
        raise typer.Exit
