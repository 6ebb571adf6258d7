"""What is known of the flows: state, lag and coverage, and when it is out of date."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from auditor.systems.health import Health
from tests.auditor.cli.process import auditor
from tests.stand import Stand


@pytest.mark.parametrize("command", ["lag", "coverage", "objectives"])
def test_figures_of_a_flow_that_nobody_audits_any_more_are_unverified(
    stand: Stand, places: list[object], command: str
) -> None:
    stand.agree(5)
    with stand.ledger.database.unnumbered() as connection:
        connection.exec_driver_sql("UPDATE flow_state SET audited_at = audited_at - 3600000000")
    done = auditor(command, *places, AUDITOR_LEDGER=stand.ledger_url)
    assert (done.returncode, "to_billing: no data: not audited" in done.stderr) == (3, True), done.stderr


@pytest.mark.parametrize("command", ["status", "drift"])
def test_what_differed_before_a_flow_fell_silent_is_not_its_state(
    stand: Stand, places: list[object], command: str
) -> None:
    stand.agree(5)
    stand.run("billing", "UPDATE customers SET name = 'Eve' WHERE id = 2")
    stand.sweep()
    with stand.ledger.database.unnumbered() as connection:
        connection.exec_driver_sql("UPDATE flow_state SET audited_at = audited_at - 3600000000")
    done = auditor(command, *places, AUDITOR_LEDGER=stand.ledger_url)
    assert (done.returncode, "no data" in done.stdout + done.stderr) == (3, True)


def test_status_reads_the_ledger_alone(stand: Stand, places: list[object]) -> None:
    silent = auditor("status", *places, AUDITOR_LEDGER=stand.ledger_url)
    assert silent.returncode == 3
    assert "no data" in silent.stdout
    assert "Budgets" in silent.stdout
    assert "no auditor is running, so this is as of the last audit; start `auditor run`" in silent.stderr
    told = json.loads(auditor("status", *places, "--json", AUDITOR_LEDGER=stand.ledger_url).stdout)["budgets"]
    assert [(each["system"], each["records_per_s"], each["shed"]) for each in told] == [
        ("crm", 5000, 0),
        ("billing", 5000, 0),
    ]


def test_status_shows_a_latency_to_two_digits(stand: Stand, places: list[object]) -> None:
    now = datetime.now(UTC)
    with stand.ledger.write() as transaction:
        stand.ledger.measurements.save_health(transaction, "crm", Health(last_ok_at=now, latency_s=0.0455), None)
    shown = auditor("status", *places, AUDITOR_LEDGER=stand.ledger_url).stdout
    assert re.search(r"crm\W+answers\W+46 ms\b", shown), shown
    told = json.loads(auditor("status", *places, "--json", AUDITOR_LEDGER=stand.ledger_url).stdout)
    assert told["systems"][0]["latency_ms"] == 45.5


def test_lag_and_coverage_tell_their_figures_with_their_error(stand: Stand, places: list[object]) -> None:
    stand.agree(5)
    empty = json.loads(auditor("lag", *places, "--json", AUDITOR_LEDGER=stand.ledger_url).stdout)
    assert [(row["flow"], row["state"], row["p50_s"]) for row in empty] == [("to_billing", "no traffic", None)]
    stand.put("crm", 3, "Grace", ago_s=0)
    stand.audit()
    stand.put("billing", 3, "Grace")
    stand.audit()
    shown = auditor("lag", *places, "--flow", "to_billing", AUDITOR_LEDGER=stand.ledger_url)
    assert "measured" in shown.stdout
    covered = json.loads(auditor("coverage", *places, "--json", AUDITOR_LEDGER=stand.ledger_url).stdout)
    assert covered[0]["walk"] == "rank"
    assert covered[0]["differed_most"] == 0
    assert covered[0]["verified_through"]
    told = auditor("coverage", *places, AUDITOR_LEDGER=stand.ledger_url).stdout
    assert "0 of 5" in told


def test_the_heading_of_coverage_is_one_line(stand: Stand, places: list[object]) -> None:
    stand.agree(5)
    assert auditor("once", *places).returncode == 0
    _, heading, line, *_ = auditor("coverage", *places).stdout.splitlines()
    assert [each.strip() for each in heading.split("┃")[1:-1]][:5] == [
        *("flow", "state", "unverified", "verified through", "behind")
    ]
    assert line.startswith("┡")


@pytest.mark.parametrize("command", ["lag", "coverage"])
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--since", "soon"], "--since: "),
        (["--flow", "to_biling"], "unknown flow 'to_biling'; did you mean 'to_billing'?"),
    ],
)
def test_lag_and_coverage_refuse_what_they_do_not_know(
    stand: Stand, places: list[object], command: str, words: list[str], message: str
) -> None:
    refused = auditor(command, *places, *words, AUDITOR_LEDGER=stand.ledger_url)
    assert refused.returncode == 2
    assert message in refused.stderr
    assert "Traceback" not in refused.stderr


def test_status_shows_since_when_and_why_the_heartbeat_fails(stand: Stand, places: list[object]) -> None:
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    alerts = 'alerts: {heartbeat: {url: "https://hc.example/0c8983c9-9d73-446f-adb5-0641fdacc9d4"}}\n'
    stand.map_file.write_text(stand.map_file.read_text() + alerts)
    stand.ledger.heartbeats.note(at, "")
    stand.ledger.heartbeats.note(at + timedelta(minutes=1), "no response (ConnectTimeout)")
    done = auditor("status", "--json", *places, AUDITOR_LEDGER=stand.ledger_url)
    heartbeat = json.loads(done.stdout)["heartbeat"]
    assert (heartbeat["failures"], heartbeat["error"]) == (1, "no response (ConnectTimeout)")
    done = auditor("status", *places, AUDITOR_LEDGER=stand.ledger_url)
    assert "heartbeat last accepted at 2026-03-01 12:00:00 UTC, failing since 2026-03-01 12:01:00 UTC" in done.stderr
    assert "0c8983c9" not in done.stdout + done.stderr
