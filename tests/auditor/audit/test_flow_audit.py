"""The whole way on real databases: what is found, and what a bad input or a failing system does."""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import psycopg
import pymysql
import pytest
import sqlalchemy as sa

from auditor.audit.flow_audit import Auditor
from auditor.map.loader import load_map
from auditor.systems.reader import open_readers
from checks.judgement import Outcome
from checks.rechecks import NOT_FOUND
from probes.contract import ClockSample, Key, ReadSpec, Reason, Row
from tests import ledgers
from tests.stand import Stand
from tests.waiting import PATIENCE_S


def open_causes(stand: Stand) -> dict[str, int]:
    return stand.ledger.findings.open_by_cause().get("to_billing", {})


def test_two_equal_systems_agree_on_everything(stand: Stand) -> None:
    stand.agree(20)
    result = stand.sweep()
    assert result.counts[Outcome.AGREED] == 20
    assert result.read == 20
    assert open_causes(stand) == {}


def test_a_change_on_its_way_is_followed_and_met(stand: Stand) -> None:
    stand.agree()
    stand.put("crm", 3, "Grace", ago_s=0)
    result = stand.audit()
    assert result.counts[Outcome.IN_FLIGHT] == 1
    stand.put("billing", 3, "Grace")
    stand.audit_until(lambda: any(c["verdict"] == "met" for c in stand.rows("changes")))
    (change,) = stand.rows("changes")
    assert change["verdict"] == "met"
    assert 0 <= float(str(change["lag_lower_s"])) < float(str(change["lag_upper_s"])) <= 4
    assert stand.rows("divergences") == []


def test_a_change_that_does_not_arrive_is_late_and_opens_one_incident(stand: Stand) -> None:
    stand.agree()
    for key in (3, 4, 5):
        stand.put("crm", key, "Grace", ago_s=0)
    stand.audit_until(lambda: open_causes(stand).get("late") == 3)
    assert open_causes(stand) == {"late": 3}
    (incident,) = stand.rows("incidents")
    assert (incident["breach"], incident["state"]) == ("not_arriving", "open")
    (alert,) = stand.rows("alerts")
    assert (alert["transition"], alert["sender"], alert["state"]) == ("opened", "slack", "pending")
    for key in (3, 4, 5):
        stand.put("billing", key, "Grace")
    stand.audit_until(lambda: stand.rows("incidents")[0]["state"] == "resolved")
    assert {str(c["verdict"]) for c in stand.rows("changes")} == {"breach_then_converged"}
    assert [alert["transition"] for alert in stand.rows("alerts")] == ["opened", "resolved"]


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [
        ("UPDATE customers SET name = 'Eve' WHERE id = 3", "foreign_write"),
        ("DELETE FROM customers WHERE id = 3", "lost"),
        ("INSERT INTO customers SELECT * FROM customers WHERE id = 3", "duplicate"),
        ("INSERT INTO customers SELECT 99, name, amount, updated_at FROM customers WHERE id = 3", "orphan"),
    ],
)
def test_what_happens_to_the_target_alone_is_found_by_the_sample(stand: Stand, spoil: str, cause: str) -> None:
    stand.agree()
    stand.run("billing", spoil)
    stand.audit_until(lambda: open_causes(stand))
    assert open_causes(stand) == {cause: 1}


def test_an_older_version_that_comes_back_is_a_regression(stand: Stand) -> None:
    stand.agree()
    stand.put("crm", 3, "Grace", ago_s=0)
    stand.put("billing", 3, "Grace")
    stand.audit()
    stand.put("billing", 3, "Ada")
    stand.audit_until(lambda: open_causes(stand))
    assert open_causes(stand) == {"regression": 1}


def test_a_deletion_that_does_not_arrive_is_late(stand: Stand) -> None:
    stand.agree()
    stand.run("crm", "DELETE FROM customers WHERE id = 3")
    stand.audit_until(lambda: open_causes(stand))
    (found,) = [each for each in stand.rows("divergences") if each["opened_at"]]
    assert (found["kind"], found["cause"]) == ("orphan", "late")


def test_an_invalid_record_that_synced_perfectly_is_invalid_and_no_drift(stand: Stand) -> None:
    stand.agree()
    for system in ("crm", "billing"):
        stand.put(system, 3, amount="-5")
    stand.audit_until(lambda: open_causes(stand))
    assert open_causes(stand) == {"invalid": 1}


def test_a_value_that_does_not_parse_cannot_be_verified_and_hides_nothing_else(stand: Stand) -> None:
    stand.agree()
    stand.put("billing", 3, amount="twelve")
    stand.run("billing", "UPDATE customers SET name = 'Eve' WHERE id = 4")
    result = stand.sweep()
    assert result.counts[Outcome.CANNOT_VERIFY] == 1
    assert result.counts[Outcome.SUSPECTED] == 1
    assert result.error is None


@pytest.mark.parametrize("system", ["crm", "billing"])
def test_a_record_that_cannot_even_be_decoded_spoils_no_other(stand: Stand, system: str) -> None:
    stand.agree()
    stand.put("crm", 5, "Grace", ago_s=0)
    now = stand.clock.now().strftime("%Y-%m-%d %H:%M:%S.%f")
    stand.run(system, f"UPDATE customers SET name = CAST(x'ff41' AS TEXT), updated_at = '{now}' WHERE id = 3")
    stand.run("billing", "UPDATE customers SET name = 'Eve' WHERE id = 4")
    for _ in range(2):
        result = stand.sweep()
        assert result.error is None
        assert result.counts[Outcome.CANNOT_VERIFY] == 1
    assert result.counts[Outcome.AGREED] == 17
    assert stand.rows("changes")


@pytest.mark.parametrize("amount", ["Infinity", "NaN", "1e999999", "9" * 5000])
def test_an_outlandish_value_stops_nobody(stand: Stand, amount: str) -> None:
    stand.agree()
    stand.put("crm", 3, amount=amount)
    stand.run("billing", "UPDATE customers SET name = 'Eve' WHERE id = 4")
    result = stand.sweep()
    assert result.error is None
    assert result.counts[Outcome.AGREED] == 18


def test_a_stamp_in_the_future_hides_no_later_change(stand: Stand) -> None:
    stand.agree()
    stand.put("crm", 3, ago_s=-86400 * 365)
    stand.audit()
    stand.put("crm", 4, "Grace", ago_s=0)
    assert stand.audit().changes == 1


def test_a_record_without_a_key_is_counted_and_not_lost_from_sight(stand: Stand) -> None:
    stand.agree()
    stand.run("crm", "INSERT INTO customers VALUES (NULL, 'x', '1', '2026-01-01 00:00:00')")
    assert stand.sweep().counts[Outcome.CANNOT_VERIFY] == 1


@pytest.mark.parametrize("ranked", [True, False], ids=["by_rank", "by_key"])
def test_a_row_without_a_key_that_the_list_of_changes_and_the_sweep_both_meet_is_one(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, ranked: bool
) -> None:
    if not ranked:
        monkeypatch.setattr(stand.auditor.source, "can_rank", lambda *_: False)
    stand.fill(20)
    at = stand.clock.now().strftime("%Y-%m-%d %H:%M:%S.%f")
    for name in ("x", "x", "y"):
        stand.run("crm", f"INSERT INTO customers VALUES (NULL, '{name}', '1', '{at}')")
    stand.run("billing", f"INSERT INTO customers VALUES (NULL, 'x', '1', '{at}')")
    assert stand.sweep().counts[Outcome.CANNOT_VERIFY] == 4
    assert [each["records"] for each in stand.rows("unverified")] == [4]


@pytest.mark.parametrize(
    ("system", "harm", "reason", "message"),
    [
        (
            "billing",
            "ALTER TABLE customers RENAME TO clients",
            Reason.QUERY,
            "no table named 'customers'|no such table",
        ),
        ("crm", "ALTER TABLE customers RENAME COLUMN name TO nom", Reason.QUERY, "no column|no such column"),
        ("crm", "ALTER TABLE customers RENAME COLUMN id TO uid", Reason.QUERY, "no column|no such column"),
    ],
)
def test_a_system_that_changed_its_shape_is_named_and_nothing_is_concluded(
    stand: Stand, system: str, harm: str, reason: Reason, message: str
) -> None:
    stand.agree()
    before = stand.ledger.flows.state("to_billing")
    stand.run(system, harm)
    result = stand.audit()
    assert result.error is not None
    assert (result.error[0], result.error[1].reason) == (system, reason)
    assert result.counts[Outcome.AGREED] == 0
    row = stand.rows("probe_runs")[-1]
    assert (row["system"], row["reason"]) == (system, reason.value)
    after = stand.ledger.flows.state("to_billing")
    assert after.watermark.at == before.watermark.at  # no change is skipped


def test_three_failures_in_a_row_are_one_incident(stand: Stand) -> None:
    stand.agree()
    stand.run("billing", "ALTER TABLE customers RENAME TO clients")
    for _ in range(5):
        stand.audit()
    (incident,) = stand.rows("incidents")
    assert (incident["flow"], incident["breach"]) == ("to_billing", "unreadable")
    stand.run("billing", "ALTER TABLE clients RENAME TO customers")
    stand.audit_until(lambda: stand.rows("incidents")[0]["state"] == "resolved")
    assert stand.rows("incidents")[0]["state"] == "resolved"


def test_a_system_whose_file_is_gone_or_replaced_does_not_agree_by_what_it_held(stand: Stand) -> None:
    stand.agree(3)
    file = stand.place / "billing.sqlite"
    file.rename(stand.place / "moved.sqlite")
    result = stand.sweep()
    assert result.error is not None
    assert result.error[0] == "billing"
    assert result.counts.get(Outcome.AGREED, 0) == 0
    with contextlib.closing(sqlite3.connect(file)) as empty:
        empty.execute("CREATE TABLE customers (id integer, name text, amount text, updated_at text)")
        empty.execute("CREATE TABLE letters (id integer, record integer, failed_at text, error text)")
    result = stand.sweep()
    assert result.error is None
    assert result.counts.get(Outcome.AGREED, 0) == 0


def test_a_record_that_moves_while_it_is_read_is_inconclusive_and_read_again(stand: Stand) -> None:
    stand.agree(3)
    stop = threading.Event()

    def rewrite() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            stand.put("crm", 2, f"v{number}", ago_s=0)

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        seen = [stand.audit() for _ in range(10)]
    finally:
        stop.set()
        writer.join()
    assert sum(result.counts[Outcome.INCONCLUSIVE] for result in seen) > 0
    assert all(result.counts[Outcome.DIVERGENT] == 0 for result in seen)


def test_pending_changes_are_resumed_after_a_restart(stand: Stand) -> None:
    stand.agree()
    stand.put("crm", 3, "Grace", ago_s=0)
    stand.audit()
    stand.auditor = stand.new_auditor()
    stand.put("billing", 3, "Grace")
    stand.audit_until(lambda: stand.rows("changes")[0]["settled_at"])
    assert stand.count("changes") == 1


@pytest.mark.parametrize("stamped", [True, False])
@pytest.mark.parametrize("stopped", ["after", "before"], ids=lambda when: f"{when}_the_breach")
def test_what_never_arrives_is_one_breach_however_often_the_auditor_restarts(
    stand: Stand, stamped: bool, stopped: str
) -> None:
    if not stamped:
        stand.remap("key: id, changed_at: updated_at}", "key: id}")
    stand.agree()
    stand.audit()
    stand.run("crm", "DELETE FROM customers WHERE id = 1")
    stand.put("crm", 2, "Grace", ago_s=0)
    stand.audit_until(lambda: stand.count("changes") == 2)
    if stopped == "after":
        stand.audit_until(lambda: verdicts(stand) == {"1": ["breach"], "2": ["breach"]})
    for _ in range(5):
        stand.clock.advance(10)
        stand.auditor = stand.new_auditor()
        for _ in range(10):
            stand.audit()
            stand.clock.advance(1)
            assert all(each["versions_behind"] in {0, 1} for each in stand.rows("divergences"))
        assert verdicts(stand) == {"1": ["breach"], "2": ["breach"]}
    for system in ("crm", "billing"):
        stand.run(system, "DELETE FROM customers WHERE id IN (1, 2)")
    stand.audit_until(lambda: not open_causes(stand), 300)
    assert stand.count("divergences") == 2


@pytest.mark.parametrize("system", ["crm", "billing"])
@pytest.mark.parametrize("stamped", [True, False])
def test_what_never_arrives_is_one_breach_however_often_a_system_is_down(
    stand: Stand, system: str, stamped: bool
) -> None:
    if not stamped:
        stand.remap("key: id, changed_at: updated_at}", "key: id}")
    stand.agree()
    stand.audit()
    stand.run("crm", "DELETE FROM customers WHERE id = 1")
    stand.put("crm", 2, "Grace", ago_s=0)
    stand.audit_until(lambda: stand.count("changes") == 2)
    for _ in range(5):
        for renamed in ("customers RENAME TO away", "away RENAME TO customers"):
            stand.run(system, f"ALTER TABLE {renamed}")
            for _ in range(10):
                assert (stand.audit().error is None) is renamed.startswith("away")
                stand.clock.advance(1)
        assert verdicts(stand) == {"1": ["breach"], "2": ["breach"]}
    assert set(open_causes(stand)) == {"lost"}


def verdicts(stand: Stand) -> dict[object, list[object]]:
    """By key, the verdicts of its changes."""
    found: dict[object, list[object]] = {}
    for each in stand.rows("changes"):
        found.setdefault(each["key"], []).append(each["verdict"])
    return found


def test_another_digest_key_begins_a_new_series_and_is_no_drift(stand: Stand) -> None:
    stand.agree()
    stand.auditor = Auditor(
        flow=stand.map.flow("to_billing"),
        source=stand.readers["crm"],
        target=stand.readers["billing"],
        ledger=stand.ledger,
        digest_key=b"another",
    )
    assert stand.sweep().counts[Outcome.AGREED] == 20
    stand.put("crm", 3, "Grace", ago_s=0)
    stand.audit_until(lambda: open_causes(stand))
    assert open_causes(stand) == {"late": 1}


def test_a_late_commit_with_an_earlier_stamp_is_not_missed(stand: Stand) -> None:
    stand.agree()
    stand.put("crm", 3, "newer", ago_s=0)
    stand.audit()
    stand.put("crm", 4, "late commit", ago_s=5)
    result = stand.audit()
    assert result.changes == 1


def test_more_changes_of_one_stamp_than_a_limit_do_not_stop_the_watermark(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auditor.audit.budget.CHANGES_LIMIT", 5)
    monkeypatch.setattr("auditor.audit.reading.CHANGES_CEILING", 20)
    stand.agree(40)
    stamp = stand.clock.now().strftime("%Y-%m-%d %H:%M:%S.%f")
    stand.run("crm", f"UPDATE customers SET name = 'bulk', updated_at = '{stamp}'")
    stand.run("billing", "UPDATE customers SET name = 'bulk'")
    seen = [stand.audit(after_s=20) for _ in range(6)]
    assert any(result.shed for result in seen)
    stand.clock.advance(0.01)
    stand.put("crm", 3, "after the bulk", ago_s=-30)
    assert stand.audit(after_s=40).changes == 1


@pytest.fixture
def pair(postgresql_url: str, mariadb_url: str, tmp_path: Path):  # type: ignore[no-untyped-def]
    owner = psycopg.connect(postgresql_url, autocommit=True)
    owner.execute(
        "CREATE TABLE orders (id uuid PRIMARY KEY, total numeric(12,3), paid boolean, note text, at timestamptz, "
        "updated_at timestamptz DEFAULT clock_timestamp())"
    )
    owner.execute(
        "INSERT INTO orders SELECT gen_random_uuid(), i * 1.5, i % 2 = 0, 'n' || i, now(), now() - interval '1 h' "
        "FROM generate_series(1, 500) i"
    )
    at = sa.make_url(mariadb_url)
    target = pymysql.connect(
        host=at.host or "",
        port=at.port or 0,
        user=at.username,
        password=str(at.password),
        database=at.database,
        autocommit=True,
    )
    cursor = target.cursor()
    cursor.execute(
        "CREATE TABLE orders (id binary(16), total decimal(12,2), paid tinyint(1), note text, at datetime(3))"
    )
    for identity, total, paid, note, moment in owner.execute(
        "SELECT id, total, paid, note, at AT TIME ZONE 'UTC' FROM orders"
    ).fetchall():
        cursor.execute("INSERT INTO orders VALUES (%s, %s, %s, %s, %s)", (identity.bytes, total, paid, note, moment))
    file = tmp_path / "map.yaml"
    file.write_text(
        """
systems:
  owner: {kind: sql, url: "${OWNER}"}
  target: {kind: sql, url: "${TARGET}", zone: UTC}
data_types:
  order:
    owner: owner
    window: 2s
    key_type: uuid
    fields:
      total: {type: decimal, scale: 2}
      paid: {type: boolean}
      note: {type: string}
      at: {type: timestamp, precision: ms}
    in:
      owner: {collection: orders, key: id, changed_at: updated_at}
      target: {collection: orders, key: id}
flows:
  orders: {data_type: order, from: owner, to: target, pattern: real-time, every: 1s}
"""
    )
    loaded = load_map(file, {**os.environ, "OWNER": postgresql_url, "TARGET": mariadb_url})
    ledger = ledgers.at(tmp_path / "ledger.sqlite")
    readers = open_readers(loaded)
    auditor = Auditor(
        flow=loaded.flow("orders"),
        source=readers["owner"],
        target=readers["target"],
        ledger=ledger,
        digest_key=b"k" * 32,
    )
    yield owner, cursor, auditor
    for reader in readers.values():
        reader.close()
    ledger.close()
    owner.close()
    target.close()


def test_postgresql_and_mariadb_agree_over_all_their_types(pair) -> None:  # type: ignore[no-untyped-def]
    owner, cursor, auditor = pair
    result = auditor.audit(datetime.now(UTC), sample=1000)
    assert result.error is None
    assert result.counts[Outcome.AGREED] == 500
    (identity,) = owner.execute("SELECT id FROM orders LIMIT 1").fetchone()
    cursor.execute("UPDATE orders SET paid = 2 WHERE id = %s", (identity.bytes,))
    assert auditor.audit(datetime.now(UTC), sample=1000).counts[Outcome.CANNOT_VERIFY] == 1


def test_without_a_stamp_a_growing_version_tells_what_changed(stand: Stand) -> None:
    stand.agree(5)
    stand.run("crm", "ALTER TABLE customers ADD COLUMN seq integer")
    stand.run("crm", "UPDATE customers SET seq = id")
    stand.remap("changed_at: updated_at", "version: seq")
    for _ in range(3):
        assert stand.audit().changes == 0
    before = stand.clock.now()
    stand.run("crm", "UPDATE customers SET name = 'Grace', seq = 6 WHERE id = 3")
    assert stand.auditor.audit(stand.clock.now(), sample=0).changes == 1
    (change,) = stand.rows("changes")
    from_s, to_s = (float(str(change[name])) / 1e6 for name in ("committed_from_at", "committed_to_at"))
    assert from_s <= before.timestamp() + 0.1
    assert before.timestamp() <= to_s
    assert to_s - from_s < 60  # the bracket of two polls
    stand.run("crm", "UPDATE customers SET name = 'Joan', seq = 5 WHERE id = 4")  # drawn earlier, committed later
    assert stand.auditor.audit(stand.clock.now(), sample=0).changes == 1
    assert stand.auditor.audit(stand.clock.now(), sample=0).changes == 0


def test_without_stamp_and_version_the_panel_tells_what_changed(stand: Stand) -> None:
    stand.agree(5)
    stand.remap(", changed_at: updated_at", "")
    stand.audit()
    stand.audit()
    before = stand.clock.now()
    stand.run("crm", "UPDATE customers SET name = 'Grace' WHERE id = 3")
    assert stand.audit().changes == 1
    (change,) = stand.rows("changes")
    from_s, to_s = (float(str(change[name])) / 1e6 for name in ("committed_from_at", "committed_to_at"))
    assert from_s <= before.timestamp() <= to_s
    assert to_s - from_s < 60
    stand.run("billing", "UPDATE customers SET name = 'Grace' WHERE id = 3")
    stand.audit_until(lambda: stand.rows("changes")[0]["settled_at"])
    assert stand.rows("changes")[0]["verdict"] == "met"


def set_clock(stand: Stand, system: str, monkeypatch: pytest.MonkeyPatch, by_s: float) -> None:
    probe = stand.readers[system].probe
    true_clock = probe.clock

    def shifted() -> ClockSample:
        sample = true_clock()
        return replace(sample, server_at=sample.server_at + timedelta(seconds=by_s))

    monkeypatch.setattr(probe, "clock", shifted)


@pytest.mark.parametrize("by_s", [-30, 30])
def test_a_clock_that_was_set_is_an_event_and_calls_no_false_breach(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, by_s: float
) -> None:
    stand.agree(5)
    stand.audit()
    set_clock(stand, "crm", monkeypatch, by_s)
    stand.put("crm", 3, "Grace", ago_s=-by_s)  # its stamp is of the clock that was set
    assert stand.audit().changes == 1
    stand.put("billing", 3, "Grace")
    stand.audit_until(lambda: stand.rows("changes")[0]["settled_at"])
    (change,) = stand.rows("changes")
    assert change["verdict"] in {"met", "undecided"}
    (step,) = stand.rows("clock_steps")
    assert step["system"] == "crm"
    assert float(str(step["after_lower_s"])) - float(str(step["before_lower_s"])) == pytest.approx(by_s, abs=1)
    assert stand.audit().counts[Outcome.DIVERGENT] == 0


def test_the_delay_of_commits_is_learned_from_the_first_that_was_caught(stand: Stand) -> None:
    stand.remap("pattern: real-time", "pattern: real-time\n    overlap: 200s")
    stand.agree(5)
    stand.audit()
    stand.audit()
    polled = time.time()
    stand.put("crm", 3, "late commit", ago_s=100)
    stamped = time.time() - 100
    stand.audit()
    state = stand.ledger.flows.state("to_billing")
    assert state.commit_delay_s is not None
    assert 0 < state.commit_delay_s <= polled - stamped + 1
    assert state.commit_delay_s > 10


def test_the_end_of_a_window_is_awaited_and_probed_alone(stand: Stand) -> None:
    stand.agree(5)
    stand.put("crm", 3, "Grace", ago_s=0)
    stand.audit()
    due_at = stand.auditor.next_deadline()
    if due_at is None:  # the first re-probes come before half of the window is over
        stand.clock.advance(2)
        stand.audit()
        due_at = stand.auditor.next_deadline()
    assert due_at is not None
    assert (due_at - stand.clock.now()).total_seconds() < 4.5
    runs = stand.count("probe_runs")
    stand.clock.advance(max(0.0, (due_at - stand.clock.now()).total_seconds()) + 0.01)
    stand.put("crm", 4, "Joan", ago_s=0)
    result = stand.auditor.recheck(stand.clock.now())
    assert (result.read, result.changes) == (1, 0)
    assert stand.count("probe_runs") == runs + 1
    assert stand.audit().changes == 1


def test_verified_through_waits_for_what_is_undecided_and_never_goes_back(stand: Stand) -> None:
    def verified_through() -> datetime | None:
        return stand.ledger.flows.state("to_billing").verified_through_at

    stand.agree(5)
    stand.audit()
    before = verified_through()
    assert before is not None
    changed_at = stand.clock.now()
    stand.put("crm", 3, "Grace", ago_s=0)
    stand.audit()
    stand.audit()
    held = verified_through()
    assert held is not None
    assert before <= held <= changed_at
    stand.put("billing", 3, "Grace")
    stand.audit_until(lambda: stand.rows("changes")[0]["settled_at"])
    stand.audit_until(lambda: (through := verified_through()) is not None and through > changed_at)


@pytest.mark.parametrize(
    ("shown", "outcome"), [("Grace", Outcome.CANNOT_VERIFY), ("Ada", Outcome.IN_FLIGHT)], ids=["agrees", "differs"]
)
def test_what_could_not_be_judged_before_is_not_taken_for_new(stand: Stand, shown: str, outcome: Outcome) -> None:
    stand.agree(5)
    stand.audit()
    stand.put("crm", 3, "Grace", ago_s=0)
    stand.put("billing", 3, shown, amount="twelve")
    changed_at = stand.clock.now()
    assert stand.audit().counts[outcome] == 1
    stand.auditor.recheck(stand.clock.now())  # reads nothing of it
    stand.clock.advance(0.3)
    stand.audit()
    stand.clock.advance(0.3)
    stand.put("billing", 3, "Grace")
    stand.audit_until(lambda: stand.rows("changes"))
    (change,) = stand.rows("changes")
    assert float(str(change["committed_from_at"])) / 1e6 <= changed_at.timestamp()


def test_a_probe_at_a_windows_end_does_not_forget_when_the_panel_was_read(stand: Stand) -> None:
    stand.agree(5)
    stand.remap(", changed_at: updated_at", "")
    stand.audit()
    stand.audit()
    read_at = stand.auditor.memory.sample.panel_read_at
    stand.auditor.recheck(stand.clock.now())
    assert stand.auditor.memory.sample.panel_read_at == read_at
    assert len(stand.auditor.memory.sample.panel_read) == 5


def test_probes_between_two_turns_neither_end_an_incident_nor_count_as_failures(stand: Stand) -> None:
    stand.agree(5)
    stand.put("crm", 3, "Grace", ago_s=0)
    stand.audit_until(lambda: stand.rows("incidents"))
    stand.put("billing", 3, "Grace")
    stand.audit_until(lambda: not open_causes(stand))
    for _ in range(6):  # longer than clear_after altogether
        stand.clock.advance(0.25)
        stand.auditor.recheck(stand.clock.now())
    assert stand.rows("incidents")[0]["state"] == "open"
    stand.audit_until(lambda: stand.rows("incidents")[0]["state"] == "resolved")
    assert stand.rows("incidents")[0]["state"] == "resolved"
    stand.put("crm", 4, "Joan", ago_s=0)
    stand.audit()
    stand.run("billing", "ALTER TABLE customers RENAME TO clients")
    for _ in range(5):
        stand.auditor.recheck(stand.clock.now() + timedelta(seconds=9))
    assert [row["state"] for row in stand.rows("incidents")] == ["resolved"]
    assert stand.rows("probe_runs")[-1]["in_turn"] == 0


def test_a_lag_is_as_wide_as_its_own_batch_and_not_as_the_whole_audit(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand.agree(6)
    stand.audit()
    monkeypatch.setattr("auditor.systems.reader.READ_BATCH", 1)
    billing = stand.readers["billing"].probe
    fetch = billing.fetch

    def slowly(spec: ReadSpec, keys: Sequence[Key]) -> list[Row]:
        stand.clock.advance(0.25)
        return fetch(spec, keys)

    monkeypatch.setattr(billing, "fetch", slowly)
    for key in range(1, 7):
        stand.put("crm", key, "Grace", ago_s=0)
        stand.put("billing", key, "Grace")
    stand.audit()
    shown = sorted(int(str(each["shown_at"])) for each in stand.rows("changes"))
    assert len(shown) == 6
    assert all(later - earlier >= 200_000 for earlier, later in itertools.pairwise(shown))


@pytest.mark.parametrize("form", ["%Y-%m-%dT%H:%M:%S-05:00", "%Y-%m-%d %H:%M:%S+09:00", "%Y-%m-%dT%H:%M:%SZ"])
def test_a_change_with_a_text_stamp_of_any_offset_is_found_before_it_is_passed(stand: Stand, form: str) -> None:
    """Nothing is verified beyond it before that."""
    offset = timezone(timedelta(hours=int(form[-6:-3])) if form[-1] != "Z" else timedelta(0))

    def stamp(ago_s: float) -> str:
        return (stand.clock.now() - timedelta(seconds=ago_s)).astimezone(offset).strftime(form)

    stand.agree(3)
    for system in ("crm", "billing"):
        stand.run(system, f"UPDATE customers SET updated_at = '{stamp(3600)}'")
    stand.sweep()
    stand.audit()
    put_at = stand.clock.now()
    stand.run("crm", f"UPDATE customers SET name = 'Eve', updated_at = '{stamp(0)}' WHERE id = 2")
    deadline = time.monotonic() + PATIENCE_S
    while not stand.rows("changes"):
        assert time.monotonic() < deadline
        # The probe looks for other forms as real time passes, so the clock must not run ahead of it.
        result = stand.auditor.audit(stand.clock.now(), sample=0)
        assert result.error is None
        verified_at = stand.ledger.flows.state("to_billing").verified_through_at
        assert stand.rows("changes") or verified_at is None or verified_at <= put_at
    assert [each["key"] for each in stand.rows("changes")] == ["2"]


def test_a_change_that_was_late_stays_late_although_it_healed_before_the_second_reading(stand: Stand) -> None:
    stand.agree(8)
    for key in range(1, 9):
        stand.put("crm", key, "Grace", ago_s=0)
    stand.audit_until(lambda: {change["verdict"] for change in stand.rows("changes")} == {"breach"})
    healed = [each for each in stand.rows("divergences") if each["opened_at"] is None]
    for key in range(1, 9):
        stand.put("billing", key, "Grace")
    stand.audit_until(lambda: all(change["settled_at"] for change in stand.rows("changes")))
    changes = stand.rows("changes")
    assert [change["verdict"] for change in changes] == ["breach_then_converged"] * 8
    assert all(4 < float(str(change["lag_lower_s"])) <= float(str(change["lag_upper_s"])) for change in changes)
    dismissed = {each["id"] for each in stand.rows("divergences") if each["state"] == "dismissed"}
    assert {each["id"] for each in healed} <= dismissed


def test_a_record_that_never_rests_is_found_although_it_never_agreed(stand: Stand) -> None:
    stand.put("crm", 3, "v0", ago_s=0)
    stand.put("billing", 3, "older")
    written = 0

    def found() -> bool:
        nonlocal written
        written += 1
        stand.put("crm", 3, f"v{written}", ago_s=0)
        return bool(open_causes(stand))

    stand.audit_until(found)
    changes = stand.rows("changes")
    assert len(changes) > 2
    assert {change["operation"] for change in changes} == {"update"}
    assert any(change["verdict"] == "breach" for change in changes)
    stand.put("billing", 3, f"v{written}")
    stand.audit_until(lambda: not open_causes(stand))


def test_what_is_missing_when_it_is_seen_first_has_no_lag(stand: Stand) -> None:
    stand.put("crm", 3, ago_s=546_114)
    stand.put("crm", 4, ago_s=0)
    stand.audit_until(lambda: open_causes(stand) == {"late": 2})
    assert stand.rows("changes") == []
    assert {each["kind"] for each in stand.rows("divergences")} == {"missing"}


def test_what_was_written_without_a_change_of_what_is_compared_has_no_lag(stand: Stand) -> None:
    for key in (3, 4):
        stand.put("crm", key)
        stand.put("billing", key)
    for _ in range(2):
        stand.auditor.audit(stand.clock.now(), sample=0)
    stand.put("crm", 3, ago_s=0)
    result = stand.auditor.audit(stand.clock.now(), sample=0)
    assert (result.read, result.counts[Outcome.AGREED]) == (1, 1)
    stand.sweep()
    stand.put("crm", 4, ago_s=0)
    stand.audit()
    assert stand.rows("changes") == []


def test_what_was_created_since_the_last_sweep_is_followed(stand: Stand) -> None:
    stand.agree(5)
    stand.put("crm", 6, ago_s=0)
    stand.put("crm", 7, ago_s=0)
    stand.put("billing", 7)
    assert stand.audit().changes == 2
    assert {change["operation"] for change in stand.rows("changes")} == {"insert"}


def test_another_digest_key_makes_no_record_seem_to_have_moved(stand: Stand) -> None:
    stand.put("crm", 3, "one", ago_s=0)
    stand.put("billing", 3, "another")
    stand.sweep()
    stand.auditor = Auditor(
        flow=stand.map.flow("to_billing"),
        source=stand.readers["crm"],
        target=stand.readers["billing"],
        ledger=stand.ledger,
        digest_key=b"another",
    )
    stand.sweep()
    assert stand.rows("changes") == []
    stand.put("crm", 4, ago_s=0)
    assert stand.audit().changes == 1, "the sweep under the new key has met every record"


@pytest.mark.parametrize(
    ("target", "cause"), [("UPDATE customers SET name = 'Eve'", "foreign_write"), ("DELETE FROM customers", "lost")]
)
def test_what_only_the_target_did_needs_no_quiet_window_where_the_owner_holds_what_both_agreed_on(
    stand: Stand, target: str, cause: str
) -> None:
    stand.agree(5)
    stand.put("crm", 3, "Grace", ago_s=0)
    stand.put("billing", 3, "Grace")
    stand.audit()
    stand.remap("window: 4s", "window: 1h")
    stand.run("billing", f"{target} WHERE id = 3")
    stand.audit_until(lambda: open_causes(stand))
    assert open_causes(stand) == {cause: 1}


def test_the_watermark_waits_for_what_differs_when_it_is_seen_first(stand: Stand) -> None:
    stand.agree(5)
    stand.remap("window: 4s", "window: 1h")
    stand.audit()
    state = stand.ledger.flows.state("to_billing")
    with stand.ledger.write() as transaction:  # as in a ledger that has not seen a whole sweep
        stand.ledger.flows.save_state(transaction, "to_billing", replace(state, known_from_at=None))
    stand.put("crm", 6, "Grace", ago_s=0)
    written_at = stand.clock.now()
    stand.put("billing", 6, "older")
    for _ in range(3):
        stand.audit()
    assert stand.rows("changes") == []
    through_at = stand.ledger.flows.state("to_billing").verified_through_at
    assert through_at is not None
    assert through_at <= written_at
    stand.put("billing", 6, "Grace")
    stand.audit_until(lambda: (stand.ledger.flows.state("to_billing").verified_through_at or through_at) > written_at)


def test_a_record_that_moves_at_every_reading_is_followed_all_the_same(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand.agree(3)
    crm = stand.readers["crm"].probe
    fetch, number = crm.fetch, 0

    def moving(spec: ReadSpec, keys: Sequence[Key]) -> list[Row]:
        nonlocal number
        number += 1
        stand.put("crm", 2, f"v{number}", ago_s=0)
        return fetch(spec, keys)

    monkeypatch.setattr(crm, "fetch", moving)
    stand.audit_until(lambda: any(change["verdict"] == "breach" for change in stand.rows("changes")))
    stand.audit_until(lambda: open_causes(stand) == {"late": 1})
    assert stand.audit().counts[Outcome.INCONCLUSIVE] == 1
    assert stand.rows("changes")[0]["operation"] == "update"
    before = stand.ledger.flows.state("to_billing").verified_through_at
    assert before is not None


def test_what_people_ask_for_is_read_next_and_answered(stand: Stand) -> None:
    stand.agree(20)
    stand.put("billing", 3, "Eve")
    wanted = [("to_billing", key) for key in ("3", "4")]
    stand.ledger.rechecks.ask(wanted, who="ada", known_by="test", at=stand.clock.now())
    assert stand.auditor.ask(["3", "4"])
    assert not stand.auditor.ask(["3", "4"])
    stand.auditor.recheck(stand.clock.now())
    found = {each.key: (each.outcome, each.detail) for each in stand.ledger.rechecks.listed()}
    assert found["4"] == (Outcome.AGREED, "")
    assert found["3"][0] in {Outcome.SUSPECTED, Outcome.DIVERGENT}
    assert stand.auditor.ask(["3"])  # those that were answered are not waited for


def test_a_key_that_was_never_there_is_not_found_and_one_that_is_gone_agrees(stand: Stand) -> None:
    stand.agree(20)

    def found() -> dict[str, tuple[object, str]]:
        wanted = [("to_billing", key) for key in ("3", "4", "5", "999")]
        stand.ledger.rechecks.ask(wanted, who="ada", known_by="test", at=stand.clock.now())
        stand.auditor.ask([key for _, key in wanted])
        stand.auditor.recheck(stand.clock.now())
        return {each.key: (each.outcome, each.detail) for each in stand.ledger.rechecks.listed()}

    never = (NOT_FOUND, "neither system holds it, and no audit has seen it")
    gone = (Outcome.AGREED, "neither system holds it")
    for system in ("crm", "billing"):
        stand.run(system, "DELETE FROM customers WHERE id = 3")
    assert found() == {"3": gone, "4": (Outcome.AGREED, ""), "5": (Outcome.AGREED, ""), "999": never}
    stand.run("crm", "DELETE FROM customers WHERE id = 4")
    stand.audit_until(lambda: open_causes(stand))
    stand.run("billing", "DELETE FROM customers WHERE id = 4")
    stand.audit_until(lambda: not open_causes(stand))
    stand.sweep()
    stand.clock.advance(5)
    later = found()
    assert (later["3"], later["4"], later["999"]) == (gone, gone, never)


def test_what_people_ask_for_waits_where_the_budget_is_used_up(stand: Stand) -> None:
    stand.agree(20)
    stand.remap("crm: {kind: sql, ", "crm: {kind: sql, budget: {records_per_s: 5}, ")
    keys = [str(key) for key in range(1, 21)]
    stand.ledger.rechecks.ask([("to_billing", key) for key in keys], who="ada", known_by="test", at=stand.clock.now())
    stand.auditor.ask(keys)
    result = stand.auditor.recheck(stand.clock.now())
    assert result.read <= 5
    waiting = stand.ledger.rechecks.waiting(stand.clock.now())["to_billing"]
    assert len(waiting) >= 15
    for _ in range(20):
        stand.clock.advance(1)
        assert stand.auditor.recheck(stand.clock.now()).read <= 5
    assert stand.ledger.rechecks.waiting(stand.clock.now()) == {}


def test_what_people_ask_for_of_a_system_that_cannot_be_read_keeps_waiting(stand: Stand) -> None:
    stand.agree(5)
    stand.ledger.rechecks.ask([("to_billing", "3")], who="ada", known_by="test", at=stand.clock.now())
    stand.auditor.ask(["3"])
    stand.run("billing", "ALTER TABLE customers RENAME TO clients")
    assert stand.auditor.recheck(stand.clock.now()).error is not None
    assert stand.ledger.rechecks.waiting(stand.clock.now()) == {"to_billing": ["3"]}
    stand.run("billing", "ALTER TABLE clients RENAME TO customers")
    assert stand.auditor.recheck(stand.clock.now()).error is None
    (read,) = stand.ledger.rechecks.listed()
    assert read.outcome is Outcome.AGREED


def behind_with_an_unseen_version(stand: Stand, shown: str) -> None:
    """The flow is late with some records; of another, the owner came and went, and the target shows what it held."""
    stand.agree(9)
    for key in (1, 2):
        stand.put("crm", key, "Grace", ago_s=0)
    stand.audit_until(lambda: open_causes(stand) == {"late": 2})
    for name in ("Eve", "Ada") if shown == "came back" else ("Eve", "Ann"):
        stand.put("crm", 5, name, ago_s=0)
        stand.clock.advance(0.01)
    stand.audit()
    stand.put("billing", 5, "Eve")


@pytest.mark.parametrize("then", ["came back", "went on"])
def test_while_the_flow_is_behind_an_unknown_value_may_be_a_version_that_nobody_read(stand: Stand, then: str) -> None:
    behind_with_an_unseen_version(stand, then)
    for _ in range(60):  # 15 s, far longer than the window
        stand.audit()
        stand.clock.advance(0.25)
    assert set(open_causes(stand)) == {"late"}
    for key, name in ((1, "Grace"), (2, "Grace"), (5, "Ada" if then == "came back" else "Ann")):
        stand.put("billing", key, name)
    stand.audit_until(lambda: not open_causes(stand))
    assert {row["cause"] for row in stand.rows("divergences") if row["opened_at"]} == {"late"}


@pytest.mark.parametrize(("then", "cause"), [("came back", "foreign_write"), ("went on", "write_conflict")])
def test_what_stays_although_nothing_is_behind_any_more_was_written_by_somebody_else(
    stand: Stand, then: str, cause: str
) -> None:
    behind_with_an_unseen_version(stand, then)
    stand.audit()
    for key in (1, 2):
        stand.put("billing", key, "Grace")
    stand.audit_until(lambda: cause in open_causes(stand), 30)
    assert set(open_causes(stand)) == {cause}


def test_a_flow_that_stays_behind_puts_that_off_no_longer_than_a_change_is_followed(stand: Stand) -> None:
    behind_with_an_unseen_version(stand, "came back")
    for key in (3, 4, 6, 7):
        stand.clock.advance(15)
        stand.put("crm", key, "Grace", ago_s=0)  # another one is always late
        for _ in range(8):
            stand.audit()
            stand.clock.advance(1)
    stand.audit_until(lambda: "foreign_write" in open_causes(stand), 30)
