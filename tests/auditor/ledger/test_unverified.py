"""What is not known never looks fine: the state, the list with reasons, the watermark, the incident."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from auditor.history.lens import Lens
from auditor.history.status import FlowStatus, Standing, flow_status
from auditor.ledger import LISTED, NO_DOUBT, QUEUE, Ledger
from tests.auditor.ledger.rows import NOW
from tests.stand import Stand

UNLISTED = "name: {type: enum, map: {crm: {gold: gold}, billing: {gold: gold}}}"


@pytest.fixture
def labels(stand: Stand) -> Stand:
    """A hundred records that all differ, and a map of labels that lists none of the owner's."""
    stand.remap("name: {type: string, evidence: clear}", UNLISTED)
    for key in range(1, 101):
        stand.put("crm", key, f"label {key}")
        stand.put("billing", key, "gold")
    return stand


def status(stand: Stand, after_s: float = 0) -> FlowStatus:
    (found,) = flow_status(stand.map, stand.ledger, stand.clock.now() + timedelta(seconds=after_s))
    return found


def listed(stand: Stand) -> list[dict[str, object]]:
    return [row for row in stand.rows("unverified") if row["cleared_at"] is None]


def test_a_hundred_records_that_cannot_be_read_are_unverified_and_listed(labels: Stand) -> None:
    labels.sweep()
    found = status(labels)
    assert (found.state, found.unverified, found.verified_through_at) == (Standing.UNVERIFIED, 100, None)
    found = status(labels, after_s=5)
    assert found.state is Standing.UNVERIFIED
    assert "100 cannot be verified: name in crm: a label that the map does not list" in found.why
    rows = listed(labels)
    assert {row["name"] for row in rows} == {str(key) for key in range(1, 101)}
    assert all("label that the map does not list" in str(row["reason"]) for row in rows)
    assert not any("label 7" in str(row["reason"]) for row in rows)


def test_nothing_is_verified_through_until_anything_is(labels: Stand) -> None:
    for _ in range(3):
        labels.sweep()
    assert status(labels).verified_through_at is None
    assert labels.rows("probe_runs")[-1]["verified_through_at"] is None


def test_what_changed_before_anybody_looked_was_never_verified(stand: Stand) -> None:
    begun_at = stand.clock.now() - timedelta(seconds=1)
    stand.put("crm", 1, ago_s=86_400 * 365 * 56)
    stand.put("crm", 2, ago_s=7_200)
    stand.audit()
    through = status(stand).verified_through_at
    assert through is None or through >= begun_at


def test_a_queue_that_cannot_be_told_of_is_no_incident_about_records(stand: Stand) -> None:
    long_ago = stand.clock.now() - timedelta(hours=1)
    with stand.ledger.write() as transaction:
        stand.ledger.unverified.note(transaction, "to_billing", QUEUE, "dead", reason="no figures", at=long_ago)
    stand.put("crm", 1)
    stand.put("billing", 1)
    stand.sweep()
    assert stand.rows("incidents") == []
    assert (status(stand).state, status(stand).unverified) == (Standing.UNVERIFIED, 1)


def test_it_becomes_an_incident_when_it_persists_and_ends_when_it_can_be_read(labels: Stand) -> None:
    labels.sweep()
    assert labels.rows("incidents") == []
    labels.audit_until(lambda: labels.rows("incidents"))
    (incident,) = labels.rows("incidents")
    assert (incident["breach"], incident["state"], incident["count"]) == ("unverified", "open", 100)
    assert str(incident["summary"]) == "to_billing: records cannot be verified (100 customer records)"
    assert [row["transition"] for row in labels.rows("alerts")] == ["opened"]
    for key in range(1, 101):
        labels.put("crm", key, "gold")
    labels.audit_until(lambda: labels.rows("incidents")[0]["state"] == "resolved")
    assert labels.rows("incidents")[0]["state"] == "resolved"
    assert listed(labels) == []
    assert all(row["cleared_at"] for row in labels.rows("unverified"))
    found = status(labels)
    assert (found.state, found.unverified) == (Standing.CONSISTENT, 0)
    assert found.verified_through_at is not None


def test_a_map_that_is_put_right_has_the_listed_records_read_again_at_once(labels: Stand) -> None:
    labels.sweep()
    labels.remap(UNLISTED, "name: {type: string, evidence: clear}")
    labels.audit()
    assert listed(labels) == []


def test_the_watermark_waits_for_one_record_that_cannot_be_read(stand: Stand) -> None:
    stand.agree(20)
    stand.audit()
    before = status(stand).verified_through_at
    assert before is not None
    stand.put("billing", 3, amount="twelve")
    stand.sweep()
    held = status(stand).verified_through_at
    assert held is not None
    assert held >= before
    for _ in range(3):
        stand.sweep()
    assert status(stand).verified_through_at == held
    stand.put("billing", 3)
    stand.sweep()
    stand.audit_until(lambda: (status(stand).verified_through_at or held) > held)


def test_a_record_that_cannot_be_read_is_read_again_without_a_sweep(stand: Stand) -> None:
    stand.agree(20)
    stand.put("billing", 3, amount="twelve")
    stand.sweep()
    stand.put("billing", 3)
    stand.auditor.audit(stand.clock.now() + timedelta(seconds=31), sample=0)
    assert listed(stand) == []


def test_nothing_is_called_consistent_before_it_was_swept(stand: Stand) -> None:
    stand.fill(40)
    stand.auditor.audit(stand.clock.now(), sample=5)
    found = status(stand)
    assert found.state is Standing.UNVERIFIED
    assert found.why.startswith("the first sweep is not complete (")
    stand.sweep()
    assert (status(stand).state, status(stand).why) == (Standing.CONSISTENT, "")


def test_a_change_on_its_way_is_not_due_and_one_whose_window_is_over_is_pending(stand: Stand) -> None:
    stand.agree(5)
    stand.put("crm", 3, "Grace", ago_s=0)
    stand.audit()
    assert (status(stand).state, status(stand).pending) == (Standing.CONSISTENT, 1)
    assert status(stand, after_s=7).overdue == 1


def test_rows_without_a_key_are_on_the_list_until_a_sweep_finds_none(stand: Stand) -> None:
    stand.agree(5)
    stand.run("billing", "INSERT INTO customers VALUES (NULL, 'Eve', '1', NULL)")
    stand.sweep()
    (row,) = listed(stand)
    assert (row["subject"], row["name"], row["records"]) == ("rows", "", 1)
    assert status(stand, after_s=5).state is Standing.UNVERIFIED
    stand.run("billing", "DELETE FROM customers WHERE id IS NULL")
    stand.sweep()
    assert listed(stand) == []


def test_the_list_has_an_end_and_what_is_beyond_is_counted(stand: Stand) -> None:
    count = LISTED + 25
    with stand.open("crm") as crm, stand.open("billing") as billing:
        for key in range(1, count + 1):
            crm.execute("INSERT INTO customers VALUES (?, 'Ada', '1', '2026-01-01 00:00:00')", (key,))
            billing.execute("INSERT INTO customers VALUES (?, 'Ada', 'many', NULL)", (key,))
    stand.auditor.begin_sweep()
    while not stand.auditor.audit(stand.clock.now(), sample=400).swept:
        pass
    assert len(listed(stand)) == LISTED
    found = status(stand, after_s=5)
    assert (found.unlisted, found.unverified) == (25, count)
    stand.run("billing", "UPDATE customers SET amount = '1'")
    stand.sweep()
    assert (status(stand).unlisted, status(stand).unverified) == (0, 0)


def test_the_view_shows_what_and_why(labels: Stand) -> None:
    labels.sweep()
    lens = Lens(labels.ledger)
    lens.refresh()
    live = "cleared_at IS NULL AND reason LIKE 'name in crm%'"
    sql = f"SELECT count(*) AS n, min(name) AS first FROM unverified WHERE {live}"
    assert lens.query(sql).to_pylist() == [{"n": 100, "first": "1"}]
    lens.close()


def test_a_failed_audit_takes_nothing_off_the_list(labels: Stand) -> None:
    labels.sweep()
    labels.run("billing", "ALTER TABLE customers RENAME TO clients")
    labels.audit()
    assert len(listed(labels)) == 100


def test_a_flow_without_doubt_costs_no_list(stand: Stand) -> None:
    stand.agree(5)
    assert stand.ledger.unverified.doubts({"to_billing": 4.0}, stand.clock.now()) == {"to_billing": NO_DOUBT}


def test_a_flow_whose_audits_fail_says_which_system_why_and_since_when(stand: Stand) -> None:
    stand.agree(5)
    stand.run("billing", "ALTER TABLE customers RENAME TO clients")
    failed = stand.audit(after_s=1)
    assert failed.error is not None
    (found,) = flow_status(stand.map, stand.ledger, failed.finished_at + timedelta(seconds=60))
    assert (found.state, found.stale) == (Standing.NO_DATA, True)
    assert found.why.startswith("billing: query since ")
    (later,) = flow_status(stand.map, stand.ledger, failed.finished_at + timedelta(hours=1))
    assert later.why.startswith("not audited since ")
    assert "; it failed then: billing: query since " in later.why
    stand.run("billing", "ALTER TABLE clients RENAME TO customers")
    stand.audit(after_s=2)
    (silent,) = flow_status(stand.map, stand.ledger, failed.finished_at + timedelta(seconds=60))
    assert silent.why.startswith("not audited for two intervals, since 20")


def test_nothing_is_verified_through_where_only_unreadable_records_were_read(stand: Stand) -> None:
    stand.remap("name: {type: string, evidence: clear}", "name: {type: integer}")
    stand.audit()  # nothing there to be read yet
    for key in range(1, 34):
        stand.put("crm", key, f"label {key}")
        stand.put("billing", key, f"label {key}")
    for _ in range(3):
        stand.sweep()
        stand.audit()
    assert status(stand).unverified == 33
    assert status(stand).verified_through_at is None


def test_a_row_that_never_had_a_key_leaves_nothing_verified(stand: Stand) -> None:
    stand.fill(5)
    stand.run("crm", "INSERT INTO customers VALUES ('', 'Ada', '1.00', '2026-03-01 00:00:00')")
    for _ in range(3):
        stand.sweep()
        stand.audit()
    assert status(stand).unverified == 1
    assert status(stand).verified_through_at is None
    stand.run("crm", "DELETE FROM customers WHERE id = ''")
    for _ in range(2):
        stand.sweep()
        stand.audit()
    assert status(stand).verified_through_at is not None


def test_what_cannot_be_verified_is_listed_struck_and_bounded(ledger: Ledger) -> None:
    def note(found: dict[str, str], verified: set[str], at: datetime) -> set[str]:
        with ledger.write() as transaction:
            return ledger.unverified.note_records(
                transaction,
                "f",
                found=found,
                verified=lambda: verified,
                at=at,
                verified_to_at=NOW,
            )

    many = {str(key): "why" for key in range(LISTED + 3)}
    assert len(note(many, set(), NOW)) == 3
    later = NOW + timedelta(minutes=1)
    assert note({"1": "another reason"}, {"2", "3"}, later) == set()
    found = ledger.unverified.doubts({"f": 30.0}, later)["f"]
    assert (found.listed, found.records, found.lasting) == (LISTED - 2, LISTED - 2, LISTED - 2)
    assert (found.since_at, found.verified_to_at, found.reason) == (NOW, NOW, "why")
    assert [row["reason"] for row in ledger.unverified.rows("f", LISTED) if row["name"] == "1"] == ["another reason"]
    assert "1" not in ledger.unverified.due("f", later, 2_000)
    assert len(ledger.unverified.due("f", later, 2_000)) == LISTED - 3
    assert note({"2000": "new"}, set(), later) == set(), "there is room again"
    assert ledger.unverified.count("f") == LISTED - 1


def test_queues_that_the_map_no_longer_names_are_struck(ledger: Ledger) -> None:
    with ledger.write() as transaction:
        for queue in ("dead", "retry"):
            assert ledger.unverified.note(transaction, "f", QUEUE, queue, reason="no figures", at=NOW) == NOW
    ledger.unverified.forget_queues("f", {"retry"}, NOW)
    assert [row["name"] for row in ledger.unverified.rows("f", 10)] == ["retry"]
    with ledger.write() as transaction:
        assert ledger.unverified.note(transaction, "f", QUEUE, "retry", reason="", at=NOW) is None
    assert ledger.unverified.rows("f", 10) == []
