"""The command that sends a test message through the senders of the map."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from auditor.cli.options import CONSISTENT, DEFAULT_MAP, UNVERIFIED, JsonOption, MapOption, app, fail, load

alert = typer.Typer(help="Messages about incidents: test.", no_args_is_help=True)
app.add_typer(alert, name="alert")


@alert.callback()
def _alert() -> None:
    """Messages about incidents: test."""


@alert.command("test")
def send(
    sender: Annotated[str | None, typer.Argument(help="Only this one, by its name under alerts: of the map.")] = None,
    map_: MapOption = DEFAULT_MAP,
    as_json: JsonOption = False,
) -> None:
    """Send a labelled test message through every sender of the map, or one: 0 all accepted, 3 not all."""
    from auditor.alerts.trial import send_test
    from auditor.cli.documents import print_json
    from auditor.cli.rows import err, print_rows
    from probes.wording import did_you_mean

    alerts = load(map_).alerts
    senders = alerts.senders
    if not senders:
        fail("the map has no sender; name one under alerts:, and set the variables that its secrets come from")
    if sender is not None and sender not in senders:
        fail(f"alerts: of the map sets {', '.join(senders)}, not {sender!r}{did_you_mean(sender, senders)}")
    dashboard = str(alerts.dashboard) if alerts.dashboard else None
    with err.status("sending"):
        trials = [
            send_test(name, settings, datetime.now(UTC), dashboard=dashboard)
            for name, settings in senders.items()
            if sender in {None, name}
        ]
    rows = [each.as_row() for each in trials]
    if as_json:
        print_json(rows)
    else:
        print_rows("", rows)
    raise typer.Exit(CONSISTENT if all(each.passed for each in trials) else UNVERIFIED)
