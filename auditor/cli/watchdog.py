"""The command that watches the auditor from another process."""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import Annotated

import typer

from auditor.cli.options import (
    CONSISTENT,
    DEFAULT_DATA,
    DEFAULT_MAP,
    UNVERIFIED,
    DataOption,
    JsonOption,
    MapOption,
    VisibleFormatter,
    app,
    fail,
    load,
    no_ledger,
    say,
    workspace,
)


@app.command()
def watchdog(
    map_: MapOption = DEFAULT_MAP,
    data: DataOption = DEFAULT_DATA,
    every: Annotated[
        str | None, typer.Option(help="Look again and again, such as every 30s; by default once, for cron.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Notify people if the auditor records no audits any more: 0 it does, 3 it does not."""
    from dataclasses import asdict

    from auditor.alerts.delivery import open_senders
    from auditor.cli.documents import print_json
    from auditor.daemon.watchdog import Watchdog, alone
    from probes.durations import parse_duration

    try:
        every_s = None if every is None else parse_duration(every)
    except ValueError as error:
        fail(f"--every: {error}")
    if every_s is not None and every_s < 1:
        fail("--every: at least 1s")
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(VisibleFormatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[lines])
    loaded = load(map_)
    # Without a folder nothing was ever audited there; with AUDITOR_LEDGER it holds only what the watchdog keeps.
    opened = workspace(data, make=bool(os.environ.get("AUDITOR_LEDGER")))
    if not opened.folder.is_dir():
        fail(no_ledger(opened.folder), UNVERIFIED)
    senders = open_senders(loaded.alerts)
    if not senders:
        say("the map names nobody to notify: only the exit code reports it")
    with alone(opened) as only:
        if not only:
            fail(f"another watchdog is looking after {opened.folder}", UNVERIFIED)
        watching = Watchdog(loaded, opened, senders)
        before = None
        while True:
            report = watching.look()
            if every_s is None:
                break
            if (report.silent, report.unread) != before:
                _print(report.silent, report.unread, report.auditor)
                before = (report.silent, report.unread)
            time.sleep(every_s)
    if as_json:
        print_json({**asdict(report), "fine": report.fine})
    else:
        _print(report.silent, report.unread, report.auditor)
        for each in report.undelivered:
            say(f"not delivered: {each}")
    raise typer.Exit(CONSISTENT if report.fine else UNVERIFIED)


def _print(silent: tuple[str, ...], unread: str, auditor: str) -> None:
    if unread:
        say(f"the ledger cannot be read: {unread}")
    for each in silent:
        say(f"no data: {each}")
    if not silent and not unread:
        say(f"audits are being recorded; {auditor}")
    elif not unread:
        say(f"auditor: {auditor}")
