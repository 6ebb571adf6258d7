"""The commands. Each loads what it needs when it runs, so that `--help` is quick."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from dotenv import load_dotenv

from auditor import __version__

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


def main() -> NoReturn:
    """Run the command line; everything expected ends with a sentence and an exit code."""
    load_dotenv(Path.cwd() / ".env")
    try:
        app()
    except KeyboardInterrupt:
        _say("stopped")
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        # Drift has an exit code of its own, so nothing unexpected may end with it.
        logging.getLogger(__name__).debug("unexpected", exc_info=True)
        _say(f"error: {type(error).__name__}: {' '.join(str(error).split())[:500]}")
        sys.exit(UNVERIFIED)
    sys.exit(0)


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


def _fail(text: str, code: int = USAGE) -> NoReturn:
    _say(f"error: {text}")
    raise typer.Exit(code)


def _load(location: Path) -> IntegrationMap:
    from auditor.map_file import MapError, load_map

    if not location.exists():
        _fail(f"there is no map at {location}; `auditor init` writes one, --map names another")
    try:
        return load_map(location)
    except MapError as error:
        for problem in error.problems:
            _say(str(problem))
        _fail(f"{len(error.problems)} mistake{'s' * (len(error.problems) > 1)} in the map")


def _workspace(folder: Path) -> Workspace:
    from auditor.workspace import Workspace

    try:
        return Workspace.at(
            folder,
            ledger_url=os.environ.get("AUDITOR_LEDGER"),
            archive=os.environ.get("AUDITOR_ARCHIVE"),
        )
    except OSError as error:
        _fail(f"cannot use the folder {folder}: {error.strerror}")


def _open(folder: Path) -> tuple[Workspace, Any]:
    from auditor.ledger import LedgerError

    workspace = _workspace(folder)
    try:
        return workspace, workspace.ledger()
    except LedgerError as error:
        _fail(str(error))
    except Exception as error:
        _fail(f"cannot open the ledger: {type(error).__name__}: {str(error).splitlines()[0]}")


def _failing(fail_on: str) -> set[str]:
    from auditor.words import did_you_mean
    from checks.causes import Cause

    known = {cause.value for cause in Cause} - {Cause.IN_FLIGHT.value}
    if fail_on == "any":
        return known
    if fail_on == "never":
        return set()
    asked = {each.strip() for each in fail_on.split(",") if each.strip()}
    for each in sorted(asked - known):
        _fail(f"--fail-on: unknown cause {each!r}{did_you_mean(each, known)}")
    return asked


def _flows(loaded: IntegrationMap, names: list[str] | None) -> list[str]:
    from auditor.words import did_you_mean

    for name in names or ():
        if name not in loaded.flows:
            _fail(f"unknown flow {name!r}{did_you_mean(name, loaded.flows)}")
    return names or list(loaded.flows)


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    if version:
        typer.echo(f"plumbline {__version__}")
        raise typer.Exit


@app.command()
def init(
    file: Annotated[Path, typer.Argument(help="Where to write the map.")] = DEFAULT_MAP,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    """Write a commented integration map to begin with."""
    from auditor.cli.template import TEMPLATE

    if file.exists() and not force:
        _fail(f"{file} exists; --force overwrites it")
    try:
        file.write_text(TEMPLATE, encoding="utf-8")
    except OSError as error:
        _fail(f"cannot write {file}: {error.strerror}")
    typer.echo(f"wrote {file}; set its ${{...}} variables, then: auditor check --map {file}")


@app.command()
def check(map_: MapOption = DEFAULT_MAP, as_json: JsonOption = False) -> None:
    """Validate the map: every mistake at once, as file:line:column path: message."""
    from dataclasses import asdict

    from auditor.cli.show import print_json
    from auditor.map_file import MapError, load_map

    if not map_.exists():
        _fail(f"there is no map at {map_}; `auditor init` writes one, --map names another")
    try:
        loaded = load_map(map_)
    except MapError as error:
        if as_json:
            print_json({"valid": False, "problems": [asdict(problem) for problem in error.problems]})
        else:
            for problem in error.problems:
                typer.echo(str(problem))
        raise typer.Exit(USAGE) from None
    counts = {
        "systems": len(loaded.systems),
        "data_types": len(loaded.data_types),
        "flows": len(loaded.flows),
        "queues": len(loaded.queues),
    }
    if as_json:
        print_json({"valid": True, "problems": [], **counts})
    else:
        typer.echo("valid: " + ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items()))


@app.command()
def review(
    map_: MapOption = DEFAULT_MAP,
    fail_on: Annotated[str, typer.Option("--fail-on", help="high, medium, low or never.")] = "high",
    as_json: JsonOption = False,
) -> None:
    """Review the map's design: two writers without a policy, cycles, no dead letters, flows nobody reads."""
    from auditor.cli.show import print_json, print_rows
    from auditor.review import Severity
    from auditor.review import review as examine
    from auditor.words import did_you_mean

    known = [severity.value for severity in Severity]
    if fail_on not in {*known, "never"}:
        _fail(f"--fail-on: unknown severity {fail_on!r}{did_you_mean(fail_on, [*known, 'never'])}")
    remarks = examine(_load(map_))
    if as_json:
        print_json([remark.as_row() for remark in remarks])
    elif remarks:
        print_rows("", [remark.as_row() for remark in remarks])
    else:
        _say("nothing to remark")
    if fail_on != "never" and any(remark.severity.reaches(Severity(fail_on)) for remark in remarks):
        raise typer.Exit(DRIFT)


@app.command()
def schema() -> None:
    """Print the map's JSON Schema, for completion in editors."""
    from auditor.cli.show import print_json
    from auditor.map_file import json_schema

    print_json(json_schema())


@app.command()
def doctor(map_: MapOption = DEFAULT_MAP, data: DataOption = DEFAULT_DATA, as_json: JsonOption = False) -> None:
    """Connect to everything: latency, clock bounds, proof of read-only, names that do not exist."""
    from auditor.cli.show import err, out, print_json, print_rows
    from auditor.doctor import examine

    loaded = _load(map_)
    with err.status("connecting, and listening to the clocks"):
        findings = examine(loaded, **_known(data))
    if as_json:
        print_json([{**finding.as_row(), "remarks": list(finding.remarks)} for finding in findings])
    else:
        print_rows("", [finding.as_row() for finding in findings])
        for finding in findings:
            for remark in finding.remarks:
                out.print(f"{finding.system}: {remark}", markup=False, highlight=False)
    raise typer.Exit(UNVERIFIED if any(not finding.ok for finding in findings) else CONSISTENT)


def _known(folder: Path) -> dict[str, Any]:
    """What an installation adds to a doctor's findings; nothing where there is none yet, and none is made."""
    from probes.ranking import seed_of

    if not folder.exists():
        return {"seed": None, "steps": {}}
    workspace, ledger = _open(folder)
    steps = {row["name"]: row["clock_stepped_at"] for row in ledger.table("systems") if row["clock_stepped_at"]}
    ledger.close()
    return {"seed": seed_of(workspace.digest_key()), "steps": steps}


@app.command()
def run(
    map_: MapOption = DEFAULT_MAP,
    data: DataOption = DEFAULT_DATA,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log every step.")] = False,
) -> None:
    """Audit without end: probe every flow in its rhythm, record, alert. Ctrl-C stops it."""
    stop = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.set())
    from auditor.ledger import LedgerError
    from auditor.scheduler import Daemon
    from probes.contract import ProbeError

    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        stream=sys.stderr,
    )
    for noisy in ("httpx", "httpcore", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # A flow that is still being audited when its next turn comes is skipped: that is meant, and no warning.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    loaded = _load(map_)
    try:
        daemon = Daemon(loaded, _workspace(data))
    except (LedgerError, ProbeError) as error:
        _fail(str(error))
    daemon.start()
    stop.wait()
    _say("stopping")
    daemon.stop()


@app.command()
def once(
    map_: MapOption = DEFAULT_MAP,
    data: DataOption = DEFAULT_DATA,
    flow: FlowOption = None,
    wait: Annotated[str, typer.Option(help="How long to wait for what is undecided.")] = "60s",
    fail_on: FailOption = "any",
    as_json: JsonOption = False,
) -> None:
    """Audit every record of every flow once, wait for what is undecided, and report."""
    from auditor.cli.show import err, print_json, print_rows
    from auditor.once import audit_once
    from probes.durations import parse_duration

    failing = _failing(fail_on)
    try:
        wait_s = parse_duration(wait)
    except ValueError as error:
        _fail(f"--wait: {error}")
    loaded = _load(map_)
    wanted = _flows(loaded, flow)
    workspace, ledger = _open(data)
    with err.status("starting") as status:
        reports = audit_once(
            loaded,
            ledger,
            workspace.digest_key(),
            flows=wanted,
            wait_s=wait_s,
            tell=status.update,
        )
    ledger.close()
    rows = [report.as_row() for report in reports]
    if as_json:
        print_json(rows)
    else:
        print_rows("", rows)
        for report in reports:
            if report.error:
                _say(f"{report.flow}: {report.error}")
    raise typer.Exit(
        DRIFT
        if any(set(report.open_by_cause) & failing for report in reports)
        else UNVERIFIED
        if any(report.unverified for report in reports)
        else CONSISTENT
    )


@app.command()
def status(
    map_: MapOption = DEFAULT_MAP,
    data: DataOption = DEFAULT_DATA,
    fail_on: FailOption = "any",
    as_json: JsonOption = False,
) -> None:
    """Show what the last audits found, without reading any system."""
    from auditor.cli.show import print_json, print_rows
    from auditor.status import flow_status, system_status

    failing = _failing(fail_on)
    loaded = _load(map_)
    _, ledger = _open(data)
    now = datetime.now(UTC)
    flows = flow_status(loaded, ledger, now)
    systems = system_status(loaded, ledger, now)
    ledger.close()
    if as_json:
        print_json({"flows": [each.as_row() for each in flows], "systems": systems})
    else:
        print_rows("Flows", [each.as_row() for each in flows])
        print_rows("Systems", systems)
    raise typer.Exit(
        DRIFT
        if any(set(each.open_by_cause) & failing for each in flows)
        else UNVERIFIED
        if any(each.stale for each in flows)
        else CONSISTENT
    )


def _since(text: str, now: datetime) -> datetime:
    from probes.durations import parse_duration

    try:
        return now - timedelta(seconds=parse_duration(text))
    except (ValueError, OverflowError) as error:
        _fail(f"--since: {error}")


def _figures(
    map_: Path, data: Path, since: str, flow: list[str] | None, ask: Callable[..., list[Any]]
) -> tuple[list[Any], datetime]:
    """Ask the history for the figures of some flows over a time range; answers them and the present instant."""
    from auditor.lens import Lens

    loaded, now = _load(map_), datetime.now(UTC)
    wanted, begins = _flows(loaded, flow), _since(since, now)
    _, ledger = _open(data)
    lens = Lens(ledger)
    try:
        lens.refresh()
        return [each for each in ask(loaded, ledger, lens, begins, now) if each.flow in wanted], now
    finally:
        lens.close()
        ledger.close()


@app.command()
def lag(
    map_: MapOption = DEFAULT_MAP,
    data: DataOption = DEFAULT_DATA,
    since: SinceOption = "24h",
    flow: FlowOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how long changes take to arrive, each figure as an interval; no traffic is not a lag."""
    from auditor.cli.show import lag_row, print_json, print_rows
    from auditor.figures import lags

    found, _ = _figures(map_, data, since, flow, lambda loaded, _, lens, begins, now: lags(loaded, lens, begins, now))
    if as_json:
        print_json([each.as_row() for each in found])
    else:
        print_rows("", [lag_row(each) for each in found])


@app.command()
def coverage(
    map_: MapOption = DEFAULT_MAP,
    data: DataOption = DEFAULT_DATA,
    since: SinceOption = "24h",
    flow: FlowOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what is verified through when, what is undecided, and how many records differ at most."""
    from auditor.cli.show import coverage_row, print_json, print_rows
    from auditor.figures import coverage as coverages

    found, now = _figures(map_, data, since, flow, coverages)
    if as_json:
        print_json([each.as_row() for each in found])
    else:
        print_rows("", [coverage_row(each, now) for each in found])


@app.command()
def record(
    data_type: Annotated[str, typer.Argument(metavar="TYPE", help="The data type.")],
    key: Annotated[str, typer.Argument(help="The record's key.")],
    map_: MapOption = DEFAULT_MAP,
    as_json: JsonOption = False,
) -> None:
    """Show one record in every system, side by side, read live."""
    from dataclasses import asdict

    from auditor.cli.show import print_json, print_record
    from auditor.record import read_record
    from auditor.scheduler import open_readers
    from auditor.words import did_you_mean
    from checks.values import UnreadableError

    loaded = _load(map_)
    if data_type not in loaded.data_types:
        _fail(f"unknown data type {data_type!r}{did_you_mean(data_type, loaded.data_types)}")
    readers = open_readers(loaded)
    try:
        view = read_record(loaded, readers, data_type, key)
    except UnreadableError as error:
        _fail(f"{key!r} is no key of {data_type}: {error}")
    finally:
        for reader in readers.values():
            reader.close()
    if as_json:
        print_json({**asdict(view), "verdict": view.verdict, "differing": view.differing})
    else:
        print_record(view)
    raise typer.Exit({"agrees": CONSISTENT, "differs": DRIFT}.get(view.verdict, UNVERIFIED))


@app.command()
def query(
    sql: Annotated[str, typer.Argument(help="One SELECT over the views; docs/views.md lists them.")],
    data: DataOption = DEFAULT_DATA,
    timeout: Annotated[str, typer.Option(help="Stop the query after this long.")] = "20s",
    as_json: JsonOption = False,
) -> None:
    """Ask the history with SQL: read-only, in a process of its own, with limits."""
    from auditor.cli.show import print_json, print_rows
    from auditor.query import ROW_LIMIT, QueryError, run_query
    from probes.durations import parse_duration

    try:
        timeout_s = parse_duration(timeout)
        result = run_query(_workspace(data), sql, timeout_s=timeout_s)
    except (QueryError, ValueError) as error:
        _fail(str(error))
    rows = result.table.to_pylist()
    if as_json:
        print_json({"rows": rows, "truncated": result.truncated})
    elif rows:
        print_rows("", rows)
    else:
        _say("no rows")
    if result.truncated:
        _say(f"only the first {ROW_LIMIT} rows are shown")


@app.command()
def demo(
    data: Annotated[Path, typer.Option("--data", help="Where the demo keeps everything.")] = DEMO_DATA,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The dashboard's port; 0 for any free one.")] = 8501,
) -> None:
    """Start the demo company, the auditor and the dashboard; Ctrl-C stops everything."""
    from auditor.demo_stand import run_demo

    raise typer.Exit(run_demo(data, port))
