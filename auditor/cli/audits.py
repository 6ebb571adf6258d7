"""The commands that audit, continuously or once."""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import TYPE_CHECKING, Annotated

import typer

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
    VisibleFormatter,
    app,
    causes_failing,
    fail,
    flows_of,
    load,
    load_again,
    open_ledger,
    say,
    workspace,
)

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from auditor.ledger import Ledger
    from auditor.workspace import Workspace

RECORDS_SHOWN = 20
"""Most records listed under the table of `auditor once`."""

QUEUES_NAMED = 5
"""Most queues named in the line on those that `auditor once` does not read."""


@app.command()
def run(
    map_: MapOption = DEFAULT_MAP,
    data: DataOption = DEFAULT_DATA,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log every step.")] = False,
    new_digest_key: NewKeyOption = False,
    status_port: Annotated[
        int | None,
        typer.Option(
            envvar="AUDITOR_STATUS_PORT",
            min=0,
            max=65535,
            help="Serve /healthz, /metrics and /api/records on this port of 127.0.0.1; 0 for any free one.",
        ),
    ] = None,
) -> None:
    """Audit continuously: probe each flow on its interval, record, alert. Press Ctrl-C to stop."""
    from auditor.daemon.stopping import StopSignals, end
    from probes.allocator import give_memory_back

    give_memory_back()
    signals = StopSignals()
    from auditor.daemon.reloading import Reloads
    from auditor.daemon.serving import serve
    from auditor.daemon.vitals import vitals_of
    from auditor.ledger import LedgerError
    from probes.contract import ProbeError

    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(VisibleFormatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[lines])
    for noisy in ("httpx", "httpcore", "alembic", "azure", "boto3", "botocore", "google", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    loaded = load(map_, data)
    opened = workspace(data)

    vitals = vitals_of(loaded)
    server = None
    if status_port is not None:
        from auditor.daemon.status_server import PortError, StatusServer

        try:
            server = StatusServer(loaded, opened, vitals, status_port)
        except PortError as error:
            fail(f"--status-port: {error}")
        logging.getLogger(__name__).info("status on http://127.0.0.1:%d/healthz", server.port)

    def ready() -> None:
        signals.ready.set()
        if loose := opened.loose_text:
            logging.getLogger(__name__).warning(loose)

    reloads = Reloads(
        str(map_.resolve()),
        lambda: load_again(map_, data),
        signals.reload,
        in_force=server.follow if server is not None else lambda _: None,
    )
    try:
        serve(
            loaded,
            opened,
            signals.told,
            ready=ready,
            stop=_say_stopping,
            new_key=new_digest_key,
            vitals=vitals,
            audited=server.metrics.audited if server is not None else None,
            reloads=reloads,
        )
    except LedgerError as error:
        fail(str(error), UNVERIFIED)
    except ProbeError as error:
        fail(str(error))
    end(CONSISTENT)


def _say_stopping() -> None:
    with contextlib.suppress(OSError):  # the lost file may be the terminal
        say("stopping")


@app.command()
def once(
    map_: MapOption = DEFAULT_MAP,
    data: DataOption = DEFAULT_DATA,
    flow: FlowOption = None,
    wait: Annotated[
        str | None,
        typer.Option(
            help="How long to wait, after the last read, for records still within their window.",
            show_default="until the longest window has ended, at most 2min",
        ),
    ] = None,
    fail_on: FailOption = "any",
    as_json: JsonOption = False,
    new_digest_key: NewKeyOption = False,
) -> None:
    """Audit every record of every flow once, wait for what is pending, and report. Queues are not read."""
    from auditor.audit.once import audit_once
    from auditor.cli.documents import print_json
    from auditor.cli.rows import err, print_rows, shown
    from probes.durations import parse_duration
    from probes.wording import counted

    failing = causes_failing(fail_on)
    try:
        wait_s = None if wait is None else parse_duration(wait)
    except ValueError as error:
        fail(f"--wait: {error}")
    loaded = load(map_, data)
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
    unread = [f"{name}/{queue}" for name, queue in loaded.queues if name in wanted]
    if unread:
        named = ", ".join(unread[:QUEUES_NAMED]) + (", …" if len(unread) > QUEUES_NAMED else "")
        say(f"did not read {counted(len(unread), 'queue')} ({named}): `auditor run` reads queues and dead letters")
    raise typer.Exit(
        DRIFT
        if any(set(report.open_by_cause) & failing for report in reports)
        else UNVERIFIED
        if any(report.unverified for report in reports)
        else CONSISTENT
    )


def _held(workspace: Workspace, ledger: Ledger) -> AbstractContextManager[object]:
    """The ledger's lease for a command that audits; ends the command if a daemon has it."""
    from auditor.audit.tenure import held

    return held(workspace, ledger, "once", tell=say)
