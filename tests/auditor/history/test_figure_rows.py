"""The rows of figures that the command line and the pages share."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from auditor.cli.rows import text_of
from auditor.history.backlogs import Backlog
from auditor.history.coverage import FlowCoverage
from auditor.history.figure_rows import backlog_row, coverage_row, lag_row, letter_row, reason_row
from auditor.history.lag import FlowLag
from auditor.history.letters import Group, LetterRow
from auditor.history.status import Standing
from checks.estimates import estimate
from checks.letters import Prospect
from checks.queue_states import Flowing, Trend
from checks.sampling import Cohort

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def shown(row: dict[str, object]) -> dict[str, str]:
    return {name: text_of(value) for name, value in row.items()}


@pytest.mark.parametrize(("window_s", "said"), [(0, "none"), (30, "30 s")])
def test_a_flow_without_traffic_has_no_lag(window_s: float, said: str) -> None:
    idle = FlowLag(flow="f", window_s=window_s, curve=None, waiting=0, superseded=0, clamped=0)
    row = shown(lag_row(idle))
    assert (row["state"], row["window"]) == ("no traffic", said)
    assert {row[name] for name in ("p50", "p95", "p99", "beyond the window")} == {"–"}


def test_what_a_queue_does_not_tell_is_unknown_and_not_nothing() -> None:
    silent = Backlog(
        flow="f",
        queue="q",
        role="main",
        read_at=NOW,
        depth=None,
        oldest_age_s=None,
        age_of="",
        arriving=None,
        leaving=None,
        drain=None,
        trend=Trend.UNKNOWN,
        slope_per_s=None,
        flowing=Flowing.UNKNOWN,
        drops_at=None,
        looked_at=None,
        notes="",
        message="",
    )
    row = shown(backlog_row(silent, NOW))
    assert {row[name] for name in ("depth", "oldest", "arriving", "leaving", "empty in")} == {"unknown"}
    assert row["oldest expires in"] == "–"
    dropping = backlog_row(replace(silent, drops_at=NOW + timedelta(seconds=90)), NOW)
    overdue = backlog_row(replace(silent, drops_at=NOW - timedelta(seconds=90)), NOW)
    assert (dropping["oldest expires in"], overdue["oldest expires in"]) == ("90 s", "0 s")


def test_a_dead_letter_says_what_it_explains_and_what_a_replay_would_come_to() -> None:
    letter = LetterRow(
        id=1,
        flow="f",
        queue="q",
        letter_id="m-1",
        key=None,
        reason="422",
        signature="422",
        attempts=None,
        first_failed_at=None,
        last_failed_at=None,
        first_seen_at=NOW,
        divergence_id=None,
        unreadable="its body",
        note=None,
        prospect=Prospect.REPLAY_UNSAFE,
    )
    row = shown(letter_row(letter))
    assert {row[name] for name in ("record", "attempts", "failed", "failed last", "explains")} == {"–"}
    assert (row["if replayed"], row["remarks"]) == ("replay unsafe", "unreadable: its body")
    assert letter_row(replace(letter, divergence_id=7))["explains"] == "open divergence"


def test_letters_of_one_reason_say_how_many_have_which_prospect() -> None:
    prospects = {Prospect.POISON.value: 2, Prospect.UNKNOWN.value: 1}
    group = Group(
        flow="f",
        signature="422",
        letters=3,
        records=3,
        explains=1,
        recovered=0,
        first_at=NOW,
        last_at=NOW,
        prospects=prospects,
    )
    told = "2 poison: failed again and again for this reason; 1 none with this reason has succeeded yet"
    assert reason_row(group)["if replayed"] == told


def test_coverage_says_what_is_not_known_yet() -> None:
    begun = FlowCoverage(
        flow="f",
        state=Standing.UNVERIFIED,
        unverified=2,
        verified_through_at=None,
        due=0,
        verdicts=0,
        cannot_verify=0,
        inconclusive=0,
        shed=0,
        changes=0,
        undecided=0,
        walk=None,
        sweeps=0,
        swept_at=None,
        sweep_ratio=None,
        population=None,
        differing=None,
        differed=None,
        disagreement=estimate(Cohort()),
    )
    row = shown(coverage_row(begun, NOW))
    assert row["verified through"] == "nothing verified yet"
    assert {row[name] for name in ("behind", "conclusive", "undecided", "sweep")} == {"–"}
    half = replace(
        begun, verified_through_at=NOW - timedelta(seconds=30), due=200, verdicts=199, sweep_ratio=0.5, walk="rank"
    )
    row = shown(coverage_row(half, NOW))
    assert (row["verified through"], row["behind"]) == ("2026-03-01 11:59:30", "30 s")
    assert (row["conclusive"], row["sweep"]) == ("99.5% of 200", "50% by rank")
