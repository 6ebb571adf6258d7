"""The commands that audit and show what was found. Each loads what it needs when it runs: `--help` is quick."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from dotenv import load_dotenv

from auditor import __version__
from auditor.cli.options import (
    CONSISTENT,
    DEFAULT_DATA,
    DEFAULT_MAP,
    DRIFT,
    UNVERIFIED,
    DataOption,
    FailOption,
    FlowOption,
    JsonOption,
    MapOption,
    NewKeyOption,
    SinceOption,
    TextCommand,
    VisibleFormatter,
    app,
    discreet,
    existing_ledger,
    fail,
    fail_in_lines,
    flows_of,
    is_there,
    load,
    open_ledger,
    say,
    workspace,
)

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from auditor.ledger import Ledger, Undelivered
    from auditor.workspace import Workspace

RECORDS_SHOWN = 20
"""Records under the table of `auditor once`."""


def main() -> NoReturn:
    """Run the command line; everything expected ends with a sentence and an exit code."""
    load_dotenv(Path.cwd() / ".env")
    try:
        app()
    except KeyboardInterrupt:
        say("stopped")
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        from auditor.ledger import LedgerError

        if isinstance(error, LedgerError):
            say(f"error: {error}")
            sys.exit(UNVERIFIED)
        # Drift has an exit code of its own, so nothing unexpected may end with it.
        logging.getLogger(__name__).debug("unexpected", exc_info=True)
        say(f"error: {type(error).__name__}: {' '.join(discreet(str(error)).split())[:500]}")
        sys.exit(UNVERIFIED)
    sys.exit(0)


def _failing(fail_on: str) -> set[str]:
    from checks.causes import Cause
    from probes.wording import did_you_mean

    known = {cause.value for cause in Cause} - {Cause.IN_FLIGHT.value}
    if fail_on == "any":
        return known
    if fail_on == "never":
        return set()
    asked = {each.strip() for each in fail_on.split(",") if each.strip()}
    for each in sorted(asked - known):
        fail(f"--fail-on: unknown cause {each!r}{did_you_mean(each, known)}")
    return asked


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    if version:
        typer.echo(f"plumbline {__version__}")
        raise typer.Exit


@app.command()
def doctor(map_: MapOption = DEFAULT_MAP, data: DataOption = DEFAULT_DATA, as_json: JsonOption = False) -> None:
    """Connect to everything: latency, clock bounds, proof of read-only, names that do not exist."""
    from auditor.alerts.silent import silent_senders
    from auditor.cli.documents import print_json
    from auditor.cli.rows import err, out, print_rows
    from auditor.escaping import visible
    from auditor.systems.doctor import examine

    loaded = load(map_)
    with err.status("connecting, and listening to the clocks"):
        seed, steps, lost = _known(data)
        findings = [*examine(loaded, seed=seed, steps=steps), *silent_senders(loaded, lost)]
    if as_json:
        print_json([{**finding.as_row(), "remarks": list(finding.remarks)} for finding in findings])
    else:
        print_rows("", [finding.as_row() for finding in findings])
        for finding in findings:
            for remark in finding.remarks:
                out.print(visible(f"{finding.system}: {remark}"), markup=False, highlight=False)
    raise typer.Exit(UNVERIFIED if any(not finding.ok for finding in findings) else CONSISTENT)


def _known(folder: Path) -> tuple[str | None, dict[str, datetime], list[Undelivered]]:
    """The seed of an installation's ranks, when clocks were set, and messages that did not arrive.

    Nothing where there is no installation yet, and none is made.
    """
    from probes.ranking import seed_of

    if not is_there(folder, "the data"):
        return None, {}, []
    workspace, ledger = open_ledger(folder, make=False)
    if ledger is None:
        return None, {}, []
    steps = {
        row["name"]: row["clock_stepped_at"] for row in ledger.exports.table("systems") if row["clock_stepped_at"]
    }
    lost = ledger.outbox.undelivered()
    digest_key = workspace.digest_key()
    ledger.installation.check_key(digest_key)
    ledger.close()
    return seed_of(digest_key), steps, lost


@app.command()
def run(
    map_: MapOption = DEFAULT_MAP,
    data: DataOption = DEFAULT_DATA,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log every step.")] = False,
    new_digest_key: NewKeyOption = False,
) -> None:
    """Audit continuously: probe each flow on its interval, record, alert. Press Ctrl-C to stop."""
    from auditor.daemon.stopping import StopSignals, end
    from probes.allocator import give_memory_back

    give_memory_back()
    signals = StopSignals()
    from auditor.daemon.daemon import serve
    from auditor.ledger import LedgerError
    from probes.contract import ProbeError

    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(VisibleFormatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[lines])
    for noisy in ("httpx", "httpcore", "alembic", "azure", "boto3", "botocore", "google", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    loaded = load(map_)
    opened = workspace(data)

    def ready() -> None:
        signals.ready.set()
        if loose := opened.loose_text:
            logging.getLogger(__name__).warning(loose)

    try:
        serve(
            loaded,
            opened,
            signals.told,
            ready=ready,
            stop=_say_stopping,
            new_key=new_digest_key,
        )
    except LedgerError as error:
        fail(str(error), UNVERIFIED)
    except ProbeError as error:
        fail(str(error))
    end(CONSISTENT)


def _say_stopping() -> None:
    with contextlib.suppress(OSError):  # the terminal may be what has gone
        say("stopping")


@app.command()
def once(
    map_: MapOption = DEFAULT_MAP,
    data: DataOption = DEFAULT_DATA,
    flow: FlowOption = None,
    wait: Annotated[str, typer.Option(help="How long to wait for what is undecided.")] = "60s",
    fail_on: FailOption = "any",
    as_json: JsonOption = False,
    new_digest_key: NewKeyOption = False,
) -> None:
    """Audit every record of every flow once, wait for what is undecided, and report."""
    from auditor.audit.once import audit_once
    from auditor.cli.documents import print_json
    from auditor.cli.rows import err, print_rows, shown
    from probes.durations import parse_duration
    from probes.wording import counted

    failing = _failing(fail_on)
    try:
        wait_s = parse_duration(wait)
    except ValueError as error:
        fail(f"--wait: {error}")
    loaded = load(map_)
    wanted = flows_of(loaded, flow)
    workspace, ledger = open_ledger(data)
    if loose := workspace.loose_text:
        say(loose)
    digest_key = workspace.digest_key(begin_anew=new_digest_key)
    with err.status("starting") as status, _held(workspace, ledger):
        ledger.installation.check_key(digest_key, adopt=True, accept_new=new_digest_key)
        reports = audit_once(
            loaded,
            ledger,
            digest_key,
            flows=wanted,
            wait_s=wait_s,
            tell=lambda text: status.update(shown(text)),
        )
    ledger.close()
    rows = [report.as_row() for report in reports]
    if as_json:
        print_json([report.as_document() for report in reports])
    else:
        print_rows("", rows)
        listed = [row for report in reports for row in report.findings.as_rows()]
        print_rows("Records", listed[:RECORDS_SHOWN])
        if len(listed) > RECORDS_SHOWN:
            say(f"{counted(len(listed) - RECORDS_SHOWN, 'more record')}: `auditor drift --json` lists them")
        for report in reports:
            if report.error:
                say(f"{report.flow}: {report.error}")
    raise typer.Exit(
        DRIFT
        if any(set(report.open_by_cause) & failing for report in reports)
        else UNVERIFIED
        if any(report.unverified for report in reports)
        else CONSISTENT
    )


def _held(workspace: Workspace, ledger: Ledger) -> AbstractContextManager[object]:
    """The ledger's lease for a command that audits; an end where a daemon has it."""
    from auditor.daemon.tenure import held

    return held(workspace, ledger, "once", tell=say)


@app.command()
def status(
    map_: MapOption = DEFAULT_MAP,
    data: DataOption = DEFAULT_DATA,
    fail_on: FailOption = "any",
    as_json: JsonOption = False,
) -> None:
    """Show what the last audits found, without reading any system."""
    from dataclasses import asdict

    from auditor.cli.documents import print_json
    from auditor.cli.rows import print_rows
    from auditor.cli.tables import status_row
    from auditor.history.status import flow_status, system_status

    failing = _failing(fail_on)
    loaded = load(map_)
    _, ledger = existing_ledger(data, as_json=as_json)
    now = datetime.now(UTC)
    flows = flow_status(loaded, ledger, now)
    systems = system_status(loaded, ledger, now)
    lost = [{**asdict(each), "advice": each.advice} for each in ledger.outbox.undelivered()]
    lease = ledger.lease.now()
    ledger.close()
    if as_json:
        told = {"flows": [each.as_row() for each in flows], "systems": systems, "undelivered": lost}
        print_json({**told, "auditor": lease.as_row()})
    else:
        say(f"audited by {lease}")
        print_rows("Flows", [status_row(each) for each in flows])
        print_rows("Systems", systems)
        print_rows("Messages not delivered", lost)
    raise typer.Exit(
        DRIFT
        if any(set(each.open_by_cause) & failing for each in flows)
        else UNVERIFIED
        if any(each.unknown for each in flows)
        else CONSISTENT
    )


def _documents(rows: Iterable[dict[str, Any]], lacks: list[str]) -> list[dict[str, Any]]:
    """Figures for programs, each with what of the history they lack."""
    return [{**row, "incomplete": lacks} for row in rows]


def _end(unknown: list[str]) -> NoReturn:
    """Say what is not known of the flows, and end with what that means for figures of them."""
    for each in unknown:
        say(each)
    raise typer.Exit(UNVERIFIED if unknown else CONSISTENT)


def _since(text: str, now: datetime) -> datetime:
    from probes.durations import parse_duration

    try:
        return now - timedelta(seconds=parse_duration(text))
    except (ValueError, OverflowError) as error:
        fail(f"--since: {error}")


def _figures(
    map_: Path,
    data: Path,
    since: str,
    flow: list[str] | None,
    ask: Callable[..., list[Any]],
    *,
    as_json: bool,
    whole: bool = False,
) -> tuple[list[Any], datetime, list[str], list[str]]:
    """Ask the history for the figures of some flows over a time range.

    Args:
        as_json: the answer is a document.
        whole: the figures say how much of a flow is known, so that every flow that is not known whole counts.

    Returns:
        The figures, the present instant, a sentence for each flow that is not audited now (with `whole`, for each
        that is undecided or unverified, too), and a sentence for each file of the archive that they lack.
    """
    from auditor.history.archive_files import missing_since
    from auditor.history.lens import Lens
    from auditor.history.status import flow_status

    loaded, now = load(map_), datetime.now(UTC)
    wanted, begins = flows_of(loaded, flow), _since(since, now)
    _, ledger = existing_ledger(data, as_json=as_json)
    lens = Lens(ledger)
    try:
        lens.refresh()
        found = [each for each in ask(loaded, ledger, lens, begins, now) if each.flow in wanted]
        standing = [each for each in flow_status(loaded, ledger, now) if each.flow in wanted]
        unknown = [each for each in standing if (each.unknown if whole else each.stale)]
        lacks = [str(each) for each in missing_since(lens.missing, begins)]
        return found, now, [f"{each.flow}: {each.unknown}: {each.why}" for each in unknown], lacks
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
    from auditor.cli.documents import print_json
    from auditor.cli.rows import print_rows
    from auditor.cli.tables import lag_row
    from auditor.history.lag import lags

    def ask(loaded: Any, _: Any, lens: Any, begins: datetime, now: datetime) -> list[Any]:
        return lags(loaded, lens, begins, now)

    found, _, silent, lacks = _figures(map_, data, since, flow, ask, as_json=as_json)
    if as_json:
        print_json(_documents((each.as_row() for each in found), lacks))
    else:
        print_rows("", [lag_row(each) for each in found])
    _end([*silent, *lacks])


@app.command()
def coverage(
    map_: MapOption = DEFAULT_MAP,
    data: DataOption = DEFAULT_DATA,
    since: SinceOption = "24h",
    flow: FlowOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how far each flow is verified, what is undecided, and at most how many records differ."""
    from auditor.cli.documents import print_json
    from auditor.cli.rows import print_rows
    from auditor.cli.tables import coverage_row
    from auditor.history.coverage import coverage as coverages

    found, now, unknown, lacks = _figures(map_, data, since, flow, coverages, as_json=as_json, whole=True)
    if as_json:
        print_json(_documents((each.as_row() for each in found), lacks))
    else:
        print_rows("", [coverage_row(each, now) for each in found])
    _end([*unknown, *lacks])


@app.command()
def backlog(
    map_: MapOption = DEFAULT_MAP,
    data: DataOption = DEFAULT_DATA,
    since: SinceOption = "1h",
    flow: FlowOption = None,
    recovery: Annotated[bool, typer.Option("--funnel", help="What happened to failed messages.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show every queue: depth, oldest age, rates, trend, time to drain, and whether it is being consumed."""
    from auditor.cli.documents import print_json
    from auditor.cli.rows import print_rows
    from auditor.cli.tables import backlog_row, funnel_row
    from auditor.history.backlogs import backlogs, unread_queues
    from auditor.history.letters import funnels

    if recovery:
        told, _, silent, lacks = _figures(
            map_,
            data,
            since,
            flow,
            lambda loaded, _, lens, begins, now: funnels(loaded, lens, begins, now),
            as_json=as_json,
        )
        if as_json:
            print_json(_documents((each.as_row() for each in told), lacks))
        else:
            print_rows("", [funnel_row(each) for each in told])
            for stage in told[0].stages if told else ():
                say(f"{stage.name}: {stage.why}")
        _end([*silent, *lacks])
    unread: list[str] = []

    def ask(loaded: Any, _: Any, lens: Any, begins: datetime, now: datetime) -> list[Any]:
        found = backlogs(loaded, lens, begins)
        unread.extend(unread_queues(loaded, flows_of(loaded, flow), found, now))
        return found

    found, now, _, lacks = _figures(map_, data, since, flow, ask, as_json=as_json)
    if as_json:
        print_json(_documents((each.as_row() for each in found), lacks))
    elif found:
        print_rows("", [backlog_row(each, now) for each in found])
    else:
        say(f"no queue was read in the last {since}")
    for each in (*unread, *lacks):
        say(each)
    broken = [each for each in found if each.message or each.depth is None]
    raise typer.Exit(UNVERIFIED if broken or unread or lacks or not found else CONSISTENT)


@app.command()
def letters(
    map_: MapOption = DEFAULT_MAP,
    data: DataOption = DEFAULT_DATA,
    since: SinceOption = "24h",
    flow: FlowOption = None,
    by_reason: Annotated[bool, typer.Option("--by-reason", help="One row per reason instead of per letter.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the dead letters that wait, why, which records they explain, and what replaying them would fix."""
    from dataclasses import asdict

    from auditor.cli.documents import print_json
    from auditor.cli.rows import print_rows
    from auditor.history.letters import letters as read_letters
    from auditor.history.letters import unseen_letters

    unseen: list[str] = []

    def ask(loaded: Any, _: Any, lens: Any, begins: datetime, now: datetime) -> list[Any]:
        waiting = read_letters(loaded, lens, begins, 0 if by_reason else None)
        unseen.extend(unseen_letters(loaded, flows_of(loaded, flow), lens, now))
        return list(waiting.groups if by_reason else waiting.rows)

    found, _, _, lacks = _figures(map_, data, since, flow, ask, as_json=as_json)
    rows = [asdict(each) for each in found]
    if as_json:
        print_json(_documents(rows, lacks))
    elif rows:
        for row in rows if by_reason else ():
            told = (f"{count} {name.replace('_', ' ')}" for name, count in row["prospects"].items())
            row["prospects"] = ", ".join(told)
        hidden = {"id", "first_seen_at", "signature"} if not by_reason else set()
        hidden |= {name for name in ("unreadable", "note") if not any(row.get(name) for row in rows)}
        print_rows("", [{name: value for name, value in row.items() if name not in hidden} for row in rows])
    elif not unseen:
        say("no dead letters are waiting")
    for each in (*unseen, *lacks):
        say(each)
    raise typer.Exit(DRIFT if rows else UNVERIFIED if unseen or lacks else CONSISTENT)


@app.command(cls=TextCommand)
def record(
    data_type: Annotated[str, typer.Argument(metavar="TYPE", help="The data type.")],
    key: Annotated[str, typer.Argument(help="The record's key.")],
    map_: MapOption = DEFAULT_MAP,
    as_json: JsonOption = False,
) -> None:
    """Show one record in every system, side by side, read live."""
    from dataclasses import asdict

    from auditor.cli.documents import print_json
    from auditor.cli.tables import print_record
    from auditor.systems.live_record import read_record
    from auditor.systems.reader import open_readers
    from checks.values import UnreadableError
    from probes.wording import did_you_mean

    loaded = load(map_)
    if data_type not in loaded.data_types:
        fail(f"unknown data type {data_type!r}{did_you_mean(data_type, loaded.data_types)}")
    readers = open_readers(loaded)
    try:
        view = read_record(loaded, readers, data_type, key)
    except UnreadableError as error:
        fail(f"{key!r} is not a valid key of {data_type}: {error}")
    finally:
        for reader in readers.values():
            reader.close()
    if as_json:
        print_json({**asdict(view), "verdict": view.verdict, "differing": view.differing})
    else:
        print_record(view)
    raise typer.Exit({"agrees": CONSISTENT, "differs": DRIFT}.get(view.verdict, UNVERIFIED))


@app.command(cls=TextCommand)
def query(
    sql: Annotated[
        str | None,
        typer.Argument(help="A SELECT over the views of docs/views.md, or - to read it from standard input."),
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Read the SQL from this file.")] = None,
    data: DataOption = DEFAULT_DATA,
    timeout: Annotated[str, typer.Option(help="Stop the query after this long.")] = "20s",
    as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV on standard output, for a spreadsheet.")] = False,
) -> None:
    """Query the history with SQL (read-only, in a process of its own, with limits)."""
    from auditor.cli.query import print_answer, statement
    from auditor.console.query import NoLedgerError, QueryError, UnusableLedgerError, run_query
    from probes.durations import parse_duration

    if as_json and as_csv:
        fail("choose one of --json and --csv")
    try:
        timeout_s = parse_duration(timeout)
        asked = statement(sql, file)
        result = run_query(workspace(data, make=False), asked, timeout_s=timeout_s)
    except NoLedgerError:
        existing_ledger(data, as_json=as_json)
        raise
    except UnusableLedgerError as error:
        fail(str(error), UNVERIFIED)
    except QueryError as error:
        fail_in_lines(str(error))
    except ValueError as error:
        fail(str(error))
    print_answer(result, "json" if as_json else "csv" if as_csv else "table")
    raise typer.Exit(UNVERIFIED if result.warnings else CONSISTENT)
