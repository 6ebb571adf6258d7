"""The commands that silence messages about incidents for a time."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from auditor.cli.acting import ByOption, ForOption, Patterns, UntilOption, at_desk, check_words, end_of, instant_of
from auditor.cli.options import (
    DEFAULT_DATA,
    DEFAULT_MAP,
    DataOption,
    JsonOption,
    MapOption,
    existing_ledger,
    fail,
    say,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from auditor.map.integration_map import IntegrationMap
    from checks.silences import Silence

silence = typer.Typer(help="Send no messages about some incidents for a time; list such silences, or end one.")


@silence.callback(invoke_without_command=True)
def _silence(
    context: typer.Context,
    map_: MapOption = DEFAULT_MAP,
    data: DataOption = DEFAULT_DATA,
    flow: Annotated[Patterns, typer.Option(help="Incidents about these flows; * stands for any text.")] = None,
    system: Annotated[Patterns, typer.Option(help="Incidents of these systems, or of flows between them.")] = None,
    team: Annotated[Patterns, typer.Option(help="Incidents of these teams.")] = None,
    severity: Annotated[Patterns, typer.Option(help="Incidents of these severities: critical, high, low.")] = None,
    data_type: Annotated[Patterns, typer.Option(help="Incidents about these data types.")] = None,
    cause: Annotated[Patterns, typer.Option(help="Incidents of these causes.")] = None,
    for_: ForOption = None,
    until: UntilOption = None,
    from_: Annotated[
        str | None, typer.Option("--from", help="From when, such as 2026-03-31T18:00; now otherwise.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why; it stays in the history.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Also if that hides every open incident.")] = False,
    by: ByOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send no messages about the incidents that match, for a time.

    They are audited, listed and recorded as ever; what is still open at the end is reported then.
    """
    if context.invoked_subcommand is not None:
        return
    from auditor.cli.documents import print_json
    from auditor.desk.desk import UnconfirmedError
    from checks.routes import SEVERITIES

    check_words("--severity", severity, SEVERITIES)
    from_at = None if from_ is None else instant_of("--from", from_)
    until_at = end_of(for_, until, from_at)
    given = {
        "flow": flow,
        "system": system,
        "team": team,
        "severity": severity,
        "data_type": data_type,
        "cause": cause,
    }
    matchers = {subject: patterns for subject, patterns in given.items() if patterns}
    with at_desk(map_, data, by) as desk:
        _check_known(matchers, desk.integration_map)
        try:
            made = desk.silence(matchers, until_at, reason, from_at=from_at, confirmed=yes)
        except UnconfirmedError as error:
            if not sys.stdin.isatty():
                fail(f"{error}: add --yes, or name flows, systems, teams, severities, data types or causes")
            typer.confirm(f"{error}. Do it?", abort=True, err=True)
            made = desk.silence(matchers, until_at, reason, from_at=from_at, confirmed=True)
    if as_json:
        print_json({"silence": made, "until_at": until_at})
    else:
        until_text = f"{until_at:%Y-%m-%d %H:%M:%S} UTC"
        say(f"silence {made} until {until_text}; `auditor incidents silence end {made}` ends it before")


def _check_known(matchers: Mapping[str, Sequence[str]], integration_map: IntegrationMap) -> None:
    """Exit if a name or pattern matches nothing that there is: such a silence would hide no message."""
    from auditor.desk.subjects import known_values, unmatched
    from probes.wording import KNOWN_SHOWN, did_you_mean

    known = known_values(integration_map)
    for subject, pattern in unmatched(matchers, known):
        if pattern:
            words = subject.replace("_", " ")
            where = "there is no cause" if subject == "cause" else f"the map has no {words}"
            most = len(known[subject]) if subject == "cause" else KNOWN_SHOWN
            hint = did_you_mean(pattern, known[subject], most=most)
            fail(f"--{subject.replace('_', '-')}: {where} {pattern!r}{hint}")


@silence.command("list")
def list_silences(
    data: DataOption = DEFAULT_DATA,
    everything: Annotated[bool, typer.Option("--all", help="Include those that are over.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the silences and maintenance windows that hold or are still to come."""
    from dataclasses import asdict

    from auditor.cli.documents import print_json
    from auditor.cli.rows import print_rows

    now = datetime.now(UTC)
    _, ledger = existing_ledger(data, as_json=as_json)
    listed = ledger.silences.listed(at=None if everything else now)
    ledger.close()
    if as_json:
        print_json([{**asdict(each), "holds": each.holds(now)} for each in listed])
    elif listed:
        print_rows("", [_silence_row(each, now) for each in listed])
    else:
        say("no silences so far" if everything else "no silence holds")


@silence.command("end")
def end_silence(
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="The silence's number.", min=1)],
    map_: MapOption = DEFAULT_MAP,
    data: DataOption = DEFAULT_DATA,
    by: ByOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a silence; what it hid and is still open is reported."""
    from auditor.cli.documents import print_json

    with at_desk(map_, data, by) as desk:
        desk.end_silence(number)
    if as_json:
        print_json({"silence": number})
    else:
        say(f"silence {number} has ended")


def say_silences(silences: Iterable[Silence]) -> None:
    """Say which silences hold; nothing if none does."""
    for each in silences:
        until = f"{each.until_at:%Y-%m-%d %H:%M:%S} UTC"
        why = f"{each.who}: {each.reason}"
        say(f"silence {each.silence_id}: no messages about {each.matcher_text} until {until} ({why})")


def _silence_row(each: Silence, now: datetime) -> dict[str, object]:
    state = each.state(now)
    return {
        "silence": each.silence_id,
        "state": f"{state} by {each.ended_by}" if state == "ended" else state.value,
        "hides": each.matcher_text,
        "from_at": each.from_at,
        "until_at": each.ended_at or each.until_at,
        "who": each.who,
        "reason": each.reason,
    }
