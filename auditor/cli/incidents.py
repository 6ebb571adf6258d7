"""The commands with which people work on incidents, and silence messages about them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from auditor.cli.acting import (
    ByOption,
    ForOption,
    Patterns,
    TextOption,
    UntilOption,
    Verbs,
    at_desk,
    check_causes,
    check_words,
    end_of,
    is_wanted,
    login,
    seconds_of,
)
from auditor.cli.options import (
    CONSISTENT,
    DEFAULT_DATA,
    DEFAULT_MAP,
    DRIFT,
    UNVERIFIED,
    DataOption,
    JsonOption,
    ListGroup,
    MapOption,
    app,
    audited_at,
    existing_ledger,
    fail,
    say,
)
from auditor.cli.silences import say_silences, silence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from auditor.ledger import Ledger

incidents = typer.Typer(
    cls=ListGroup,
    help="Incidents: list (also without a command), show, ack, unack, snooze, assign, comment, resolve, expected, "
    "split, merge, silence, times.",
)
app.add_typer(incidents, name="incidents")
incidents.add_typer(silence, name="silence")

LISTED = 500
READ = 100_000
"""Most incidents of which those are chosen that match."""

SIMILAR = 5
STATES = ("open", "acknowledged", "snoozed", "resolved")
OVER = "resolved"


def _document(ledger: Ledger, number: int) -> dict[str, Any]:
    """An incident as it is now, for programs."""
    return {name: value for name, value in (ledger.incidents.find(number) or {}).items() if name != "notice"}


VERBS = Verbs(
    group=incidents,
    kind="incident",
    document=_document,
    # as checks.handling.ACKNOWLEDGED_MEANS, which takes too long to import for a help text
    attends="it is not escalated, and its growth is reported only from tenfold on",
)

IncidentArgument = Annotated[int, typer.Argument(metavar="NUMBER", help="The incident's number.", min=1)]


@incidents.command("list")
def list_incidents(
    data: DataOption = DEFAULT_DATA,
    state: Annotated[
        Patterns, typer.Option(help="Only in these states: open, acknowledged, snoozed, resolved.")
    ] = None,
    flow: Annotated[Patterns, typer.Option(help="Only about these flows; * stands for any text.")] = None,
    severity: Annotated[Patterns, typer.Option(help="Only of these severities: critical, high, low.")] = None,
    cause: Annotated[Patterns, typer.Option(help="Only of these causes; * stands for any text.")] = None,
    mine: Annotated[bool, typer.Option("--mine", help="Only those that are assigned to you.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Include resolved incidents.")] = False,
    by: ByOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the open incidents: what is broken, since when, how much, who works on it, and whether its message was
    delivered."""
    from auditor.cli.documents import print_json
    from auditor.cli.rows import print_rows
    from auditor.desk.subjects import known_causes
    from checks.breaches import UNKNOWN
    from checks.routes import SEVERITIES

    check_words("--state", state, STATES)
    check_words("--severity", severity, SEVERITIES)
    check_causes(cause, known_causes())
    wanted: dict[str, list[str]] = {"state": state or [], "severity": severity or []}
    wanted |= {"flow": flow or [], "cause": cause or [], "assignee": [by or login()] if mine else []}
    _, ledger = existing_ledger(data, as_json=as_json)
    live_only = not everything and OVER not in (state or ())
    now = datetime.now(UTC)
    rows = ledger.incidents.rows(live_only=live_only, limit=READ if any(wanted.values()) else LISTED)
    silences = [each for each in ledger.silences.listed(at=now) if each.holds(now)]
    audited = audited_at(ledger)
    ledger.close()
    chosen = [row for row in rows if is_wanted(row, wanted)][:LISTED]
    live = [row for row in chosen if row["state"] != OVER]
    if as_json:
        print_json(chosen)
    elif chosen:
        hidden = {
            "breach",
            "flow",
            "system",
            "reopened",
            "reopened_at",
            *_HANDLING,
            *(() if not live_only else ("resolved_at",)),
        }
        assigned = any(row["assignee"] for row in chosen)
        names = [name for name in chosen[0] if name not in hidden and (name != "assignee" or assigned)]
        print_rows("", [_timed({name: row[name] for name in names}, row) | _standing(row) for row in chosen])
    elif audited is None:
        say(f"no audit has succeeded yet in {data}: `auditor status` says why")
    else:
        matching = " that match" if any(wanted.values()) else ""
        none = f"no incidents so far{matching}" if not live_only else f"no open incidents{matching}"
        say(f"{none}; last audit {audited:%Y-%m-%d %H:%M:%S} UTC")
    if not as_json:
        say_silences(silences)
    raise typer.Exit(
        DRIFT
        if any(row["breach"] not in UNKNOWN for row in live)
        else UNVERIFIED
        if live or (audited is None and not rows)
        else CONSISTENT
    )


@incidents.command()
def show(number: IncidentArgument, data: DataOption = DEFAULT_DATA, as_json: JsonOption = False) -> None:
    """Show one incident: what it is, since when, its parts, its messages, its history, and similar ones before."""
    from dataclasses import asdict

    from auditor.alerts.notices import transition_text
    from auditor.cli.documents import print_json
    from auditor.cli.rows import print_rows

    _, ledger = existing_ledger(data, as_json=as_json)
    incident = ledger.incidents.find(number)
    if incident is None:
        ledger.close()
        fail(f"there is no incident {number}")
    parts = ledger.breaches.rows(number)
    messages = ledger.outbox.of(number)
    timeline = [asdict(each) for each in ledger.incident_events.of(number)]
    similar = ledger.incidents.similar(number, SIMILAR)
    ledger.close()
    notice = incident.pop("notice")
    if as_json:
        document = {"incident": incident, "notice": notice, "parts": parts, "messages": messages}
        print_json({**document, "timeline": timeline, "similar": similar})
        return
    print_rows(
        f"Incident {number}: {incident['summary']}",
        [{"": word, "what": what} for word, what in _about(incident, notice, parts)],
    )
    print_rows("Parts", [_part(each) for each in parts])
    print_rows("Messages", [each | {"transition": transition_text(each["transition"])} for each in messages])
    print_rows("History", [_line(each) for each in timeline])
    print_rows(
        "Similar before",
        [_timed({name: each[name] for name in each if name != "reopened_at"}, each) for each in similar],
    )


VERBS.register()


@incidents.command()
def resolve(
    number: IncidentArgument,
    map_: MapOption = DEFAULT_MAP,
    data: DataOption = DEFAULT_DATA,
    text: TextOption = "",
    by: ByOption = None,
    as_json: JsonOption = False,
) -> None:
    """Close an incident; it reopens if the audits still find it."""
    with at_desk(map_, data, by) as desk:
        desk.resolve(number, text)
    VERBS.done(data, number, "resolved; it reopens if the audits still find it", as_json=as_json)


@incidents.command()
def expected(
    number: IncidentArgument,
    map_: MapOption = DEFAULT_MAP,
    data: DataOption = DEFAULT_DATA,
    for_: ForOption = None,
    until: UntilOption = None,
    reason: Annotated[str, typer.Option(help="Why these records differ; it stays in the history.")] = "",
    end: Annotated[bool, typer.Option("--end", help="Expect nothing of it any more.")] = False,
    by: ByOption = None,
    as_json: JsonOption = False,
) -> None:
    """Expect the records that differ now to differ until a time: they open no incident until then.

    They are still listed as differing. Other records, and other differences, are reported.
    """
    from probes.wording import counted

    if end:
        if for_ is not None or until is not None:
            fail("--end goes with neither --for nor --until")
        with at_desk(map_, data, by) as desk:
            desk.unexpect(number, reason)
        VERBS.done(data, number, "nothing of it is expected any more", as_json=as_json)
        return
    until_at = end_of(for_, until)
    with at_desk(map_, data, by) as desk:
        records = desk.expect(number, until_at, reason)
    said = f"{counted(records, 'record')} expected to differ until {until_at:%Y-%m-%d %H:%M} UTC"
    VERBS.done(data, number, said, as_json=as_json)


@incidents.command()
def split(
    number: IncidentArgument,
    parts: Annotated[list[int], typer.Argument(help="The parts, by their numbers in `show`.")],
    map_: MapOption = DEFAULT_MAP,
    data: DataOption = DEFAULT_DATA,
    text: TextOption = "",
    by: ByOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an incident of its own of some parts of an incident."""
    with at_desk(map_, data, by) as desk:
        made = desk.split(number, parts, text)
    VERBS.done(data, made, f"split off as incident {made}", as_json=as_json)


@incidents.command()
def merge(
    number: IncidentArgument,
    into: Annotated[int, typer.Argument(metavar="INTO", help="The incident that takes it in.", min=1)],
    map_: MapOption = DEFAULT_MAP,
    data: DataOption = DEFAULT_DATA,
    text: TextOption = "",
    by: ByOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put an incident into another one, which goes on with the parts of both."""
    with at_desk(map_, data, by) as desk:
        desk.merge(number, into, text)
    VERBS.done(data, into, f"incident {number} is now part of incident {into}", as_json=as_json)


@incidents.command()
def times(
    data: DataOption = DEFAULT_DATA,
    since: Annotated[str, typer.Option("--since", help="How far back, such as 7d.")] = "28d",
    as_json: JsonOption = False,
) -> None:
    """Show how long it took to detect, acknowledge and resolve incidents: medians by severity."""
    from auditor.cli.documents import print_json
    from auditor.cli.rows import print_rows
    from auditor.history.lens import Lens

    since_s = seconds_of("--since", since) or 0.0
    _, ledger = existing_ledger(data, as_json=as_json)
    lens = Lens(ledger)
    try:
        lens.refresh()
        rows = lens.query(_TIMES, [datetime.now(UTC) - timedelta(seconds=since_s)]).to_pylist()
    finally:
        lens.close()
        ledger.close()
    if as_json:
        print_json(rows)
    elif rows:
        print_rows("", [_readable(row) for row in rows])
    else:
        say(f"no incidents in the last {since}")


_TIMES = """
    SELECT severity, count(*) AS incidents, count(resolved_at) AS resolved,
           median(detect_s) AS detect_s, median(acknowledge_s) AS acknowledge_s, median(resolve_s) AS resolve_s
    FROM incident_times WHERE opened_at >= ? GROUP BY severity
    ORDER BY list_position(['critical', 'high', 'low'], severity)"""


def _readable(row: Mapping[str, Any]) -> dict[str, object]:
    from probes.durations import measured

    spans = ("detect_s", "acknowledge_s", "resolve_s")
    named = {name.removesuffix("_s"): measured(row[name]) for name in spans}
    return {"severity": row["severity"], "incidents": row["incidents"], "resolved": row["resolved"], **named}


_HANDLING = ("acknowledged_at", "acknowledged_by", "snoozed_until_at", "expected_until_at")


def _since(incident: Mapping[str, Any]) -> datetime:
    """When an incident began, this time: before it came back, it was over."""
    since_at: datetime = incident["reopened_at"] or incident["opened_at"]
    return since_at


def _timed(cells: Mapping[str, Any], incident: Mapping[str, Any]) -> dict[str, Any]:
    """The cells, with since when it lasts in place of when it was first opened."""
    return {
        ("since" if name == "opened_at" else name): (_since(incident) if name == "opened_at" else value)
        for name, value in cells.items()
    }


def _standing(row: Mapping[str, Any]) -> dict[str, str]:
    """The cells that say how an incident stands: its state, with whose or until when, and its last message."""
    from auditor.alerts.notices import transition_text

    until_at = row["snoozed_until_at"]
    state = str(row["state"])
    if state == "acknowledged":
        state = f"acknowledged by {row['acknowledged_by']}"
    elif until_at is not None:
        state = f"snoozed until {until_at:%m-%d %H:%M} UTC"
    return {"state": state, "told": transition_text(row["told"] or "")}


def _about(
    incident: Mapping[str, Any], notice: Mapping[str, Any], parts: list[dict[str, Any]]
) -> list[tuple[str, object]]:
    """What is known of an incident, as pairs of label and text."""
    from auditor.alerts.notices import advice_for, cause_named
    from auditor.cli.rows import text_of
    from checks.breaches import Breach
    from probes.durations import measured
    from probes.wording import counted

    present = [Breach(each["breach"]) for each in parts if each["ended_at"] is None and each["count"]]
    since_at = _since(incident)
    ended_at = incident["resolved_at"] or datetime.now(UTC)
    acknowledged = f"by {incident['acknowledged_by']} at {text_of(incident['acknowledged_at'])}"
    lines = [
        ("state", incident["state"]),
        ("severity", incident["severity"]),
        ("cause", str(incident["cause"]).replace("_", " ")),
        ("since", f"{since_at:%Y-%m-%d %H:%M:%S} UTC"),
        (
            "lasts" if incident["state"] != OVER else "lasted",
            measured((ended_at - since_at).total_seconds()),
        ),
        ("now", incident["count"] if incident["state"] != OVER and _is_present(incident) else ""),
        ("peak", incident["peak"]),
        ("first opened", f"{incident['opened_at']:%Y-%m-%d %H:%M:%S} UTC" if incident["reopened_at"] else ""),
        ("came back", {0: "", 1: "once"}.get(incident["reopened"], counted(incident["reopened"], "time"))),
        ("assigned to", incident["assignee"]),
        ("acknowledged", acknowledged if incident["acknowledged_by"] else ""),
        ("snoozed until", incident["snoozed_until_at"]),
        ("expected until", incident["expected_until_at"]),
        ("part of", f"incident {incident['merged_into']}" if incident["merged_into"] else ""),
        ("split off", "stays apart" if incident["apart"] else ""),
        ("why one incident", incident["evidence"]),
        ("detail", notice.get("detail")),
        ("acts on it", ", ".join(map(str, notice.get("consumers") or ()))),
        ("team", notice.get("team")),
        ("what to do", advice_for(cause_named(incident["cause"]), present) if incident["state"] != OVER else ""),
        ("runbook", notice.get("runbook")),
    ]
    return [(word, what) for word, what in lines if what not in {None, ""}]


def _part(breach: Mapping[str, Any]) -> dict[str, object]:
    """A breach as a row: its number only while it is one of now, and its evidence with the time of that."""
    from checks.breach_life import dated

    now = breach["count"] if breach["ended_at"] is None and _is_present(breach) else None
    detail = "".join(dated([(breach["detail"], breach["detail_at"])]))
    named = {"now" if name == "count" else name: value for name, value in breach.items() if name != "detail_at"}
    return named | {"now": now, "detail": detail}


def _is_present(row: Mapping[str, Any]) -> bool:
    """Whether the count of a breach, or of an incident with it, is one of now."""
    from checks.breaches import MEANINGS, Breach

    return MEANINGS[Breach(row["breach"])].present


def _line(event: Mapping[str, Any]) -> dict[str, object]:
    """An event of the timeline as a row."""
    what = str(event["verb"]).replace("_", " ")
    if event["assignee"]:
        what += f" to {event['assignee']}"
    if event["until_at"]:
        what += f" until {event['until_at']:%Y-%m-%d %H:%M:%S} UTC"
    return {"at": event["acted_at"], "who": event["who"], "what": what, "text": event["text"]}
