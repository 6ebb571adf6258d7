"""The commands that try out the messages: a test through the senders of the map, and a drill of the daemon."""

from __future__ import annotations

import time
from datetime import UTC, datetime
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
    app,
    existing_ledger,
    fail,
    load,
)

BEGINS_WITHIN_S = 120.0
"""How long a daemon may take to begin a drill and to get to its message."""

LOOK_S = 0.5

alert = typer.Typer(help="Messages about incidents: test, drill.", no_args_is_help=True)
app.add_typer(alert, name="alert")


@alert.callback()
def _alert() -> None:
    """Messages about incidents: test, drill."""


@alert.command("test")
def send(
    name: Annotated[
        str | None,
        typer.Argument(help="Only this sender or route, by its name under alerts: of the map.", metavar="ROUTE"),
    ] = None,
    map_: MapOption = DEFAULT_MAP,
    as_json: JsonOption = False,
) -> None:
    """Send a labelled test message through all senders of the map, one, or a route's: 0 all accepted, 3 not all."""
    from auditor.alerts.trial import send_test, try_buttons
    from auditor.cli.documents import print_json
    from auditor.cli.rows import err, print_rows
    from checks.routes import Recipient
    from probes.wording import did_you_mean

    alerts = load(map_).alerts
    senders = alerts.senders
    if not senders:
        fail("the map has no sender; name one under alerts:, and set the variables that its secrets come from")
    routes = {route.name: route for route in (*alerts.routing.routes, alerts.routing.default)}
    if name is None:
        recipients = [Recipient(sender) for sender in senders]
    elif name in senders:
        recipients = [Recipient(name)]
    elif name in routes:
        route = routes[name]
        recipients = [Recipient(sender, route.channel) for sender in (*route.to, *route.escalate_to)]
        if not recipients:
            fail(f"none of the senders of route {name} is set; set the variables that their secrets come from")
    else:
        named = f"its senders: {', '.join(senders)}; its routes: {', '.join(routes)}"
        hint = did_you_mean(name, [*senders, *routes], then=named)
        fail(f"the map has no sender or route {name!r}{f'; {named}' if hint.startswith('; known:') else hint}")
    dashboard = str(alerts.dashboard) if alerts.dashboard else None
    with err.status("sending"):
        trials = [
            send_test(each.sender, senders[each.sender], datetime.now(UTC), dashboard=dashboard, channel=each.channel)
            for each in recipients
        ]
        buttons = [try_buttons(each, senders[each]) for each in dict.fromkeys(each.sender for each in recipients)]
        trials += [each for each in buttons if each is not None]
    rows = [each.as_row() for each in trials]
    if as_json:
        print_json(rows)
    else:
        print_rows("", rows)
    raise typer.Exit(CONSISTENT if all(each.passed for each in trials) else UNVERIFIED)


@alert.command()
def drill(map_: MapOption = DEFAULT_MAP, data: DataOption = DEFAULT_DATA, as_json: JsonOption = False) -> None:
    """Let the running daemon hold a drill now: 0 its message was accepted, 3 it was not."""
    from auditor.cli.documents import print_json
    from auditor.cli.rows import err, print_rows

    settings = load(map_).alerts.held_drill
    if settings is None:
        fail("the map has no drill; name the receiver of its message with alerts: {drill: {to: SENDER}}")
    _, ledger = existing_ledger(data, as_json=as_json)
    if ledger.lease.now().holder is None:
        fail("no auditor is running with this ledger; start `auditor run`", UNVERIFIED)
    before = ledger.drills.state()
    ledger.drills.request(datetime.now(UTC))
    ends_s = time.monotonic() + 2 * (settings.within_s + BEGINS_WITHIN_S)  # one may be under way
    with err.status("holding a drill"):
        while True:
            state = ledger.drills.state()
            ended = state.requested_at is None and not state.under_way and state.begun_at != before.begun_at
            if ended or time.monotonic() > ends_s:
                break
            time.sleep(LOOK_S)
    ledger.close()
    error = state.error if ended else "the daemon has not held it: see its log, and `auditor status`"
    row = {"to": settings.to, "begun_at": state.begun_at, "arrived": not error, "error": error or ""}
    if as_json:
        print_json(row)
    else:
        print_rows("", [row])
    raise typer.Exit(UNVERIFIED if error else CONSISTENT)
