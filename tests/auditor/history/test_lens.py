"""The lens over live rows and archive: nothing twice, nothing missed."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from auditor.history.archive import archive_settled, arrow_table, write_file
from auditor.history.lens import Lens
from auditor.history.views import VIEWS
from auditor.ledger.exports import Exports
from auditor.workspace import Workspace
from tests import HOME
from tests.stand import Stand


def count(lens: Lens, view: str) -> int:
    return int(lens.query(f"SELECT count(*) AS n FROM {view}").to_pylist()[0]["n"])


@pytest.fixture
def workspace(stand: Stand) -> Workspace:
    return Workspace.at(stand.place / "var", ledger_url=stand.ledger_url)


def test_an_empty_ledger_answers_empty_views(stand: Stand) -> None:
    lens = Lens(stand.ledger)
    lens.refresh()
    assert {view: count(lens, view) for view in VIEWS} == dict.fromkeys(VIEWS, 0)
    lens.close()


def test_live_rows_are_topped_up_and_changed_rows_replaced(stand: Stand) -> None:
    lens = Lens(stand.ledger)
    stand.agree(5)
    stand.run("billing", "UPDATE customers SET name = 'Eve' WHERE id = 3")
    stand.audit()
    lens.refresh()
    runs = count(lens, "probe_runs")
    assert lens.query("SELECT state FROM divergences").to_pylist() == [{"state": "suspected"}]
    stand.run("billing", "UPDATE customers SET name = 'Ada' WHERE id = 3")
    stand.audit()
    lens.refresh()
    assert count(lens, "probe_runs") == runs + 1
    assert lens.query("SELECT state FROM divergences").to_pylist() == [{"state": "dismissed"}]
    lens.close()


def test_archiving_moves_settled_rows_and_every_reader_still_sees_each_once(
    stand: Stand, workspace: Workspace
) -> None:
    stand.agree(5)
    stand.put("crm", 3, "Grace", ago_s=0)
    stand.put("billing", 3, "Grace")
    stand.audit()
    stand.put("crm", 4, "Grace", ago_s=0)
    stand.audit()
    old = Lens(stand.ledger)
    old.refresh()
    before = {view: count(old, view) for view in VIEWS}
    now = stand.clock.now() + timedelta(seconds=5)
    assert archive_settled(stand.ledger, workspace.archive, now, keep_live_s=0) > 0
    fresh = Lens(stand.ledger)
    for lens in (old, fresh):
        lens.refresh()
        assert {view: count(lens, view) for view in VIEWS} == before
    assert stand.count("changes") == 1  # the one still on its way
    assert archive_settled(stand.ledger, workspace.archive, now, keep_live_s=0) == 0
    old.close()
    fresh.close()


def test_a_crash_between_file_and_ledger_shows_nothing_twice(
    stand: Stand, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand.agree(5)
    runs = stand.count("probe_runs")

    def die(*_: object, **__: object) -> None:
        raise RuntimeError("power cut")

    monkeypatch.setattr(Exports, "hand_over", die)
    with pytest.raises(RuntimeError):
        archive_settled(stand.ledger, workspace.archive, stand.clock.now() + timedelta(seconds=5), keep_live_s=0)
    monkeypatch.undo()
    assert list(Path(workspace.archive).rglob("*.parquet"))
    lens = Lens(stand.ledger)
    lens.refresh()
    assert count(lens, "probe_runs") == runs
    lens.close()


def test_files_past_keeping_are_struck_and_deleted_later(stand: Stand, workspace: Workspace) -> None:
    stand.agree(5)
    now = stand.clock.now()
    archive_settled(stand.ledger, workspace.archive, now + timedelta(seconds=5), keep_live_s=0)
    files = list(Path(workspace.archive).rglob("*.parquet"))
    assert files
    archive_settled(stand.ledger, workspace.archive, now + timedelta(days=401))
    assert stand.ledger.exports.archive_paths() == {}
    assert list(Path(workspace.archive).rglob("*.parquet")) == files  # a query may still read them
    archive_settled(stand.ledger, workspace.archive, now + timedelta(days=401))
    assert not list(Path(workspace.archive).rglob("*.parquet"))


def test_coverage_counts_what_got_a_verdict(stand: Stand) -> None:
    stand.agree(5)
    stand.put("billing", 3, amount="twelve")
    stand.sweep()
    lens = Lens(stand.ledger)
    lens.refresh()
    (row,) = lens.query(
        "SELECT sum(due) AS due, sum(verdicts) AS verdicts, sum(cannot_verify) AS c FROM coverage"
    ).to_pylist()
    assert row["due"] == row["verdicts"] + row["c"]
    assert row["c"] == 1
    lens.close()


def test_every_view_and_column_is_documented(stand: Stand) -> None:
    text = (HOME / "docs" / "views.md").read_text()
    lens = Lens(stand.ledger)
    for view in VIEWS:
        section = re.search(rf"^## {view}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
        assert section, f"docs/views.md has no section {view}"
        described = re.findall(r"^\| `(\w+)` \|", section[1], re.MULTILINE)
        there = lens.query(f"SELECT * FROM {view} LIMIT 0").column_names
        assert described == there, view
    lens.close()


def test_changes_and_divergences_name_their_operation_stamp_and_incident(stand: Stand) -> None:
    stand.agree()
    stand.put("crm", 21, "Grace", ago_s=0)
    stand.put("crm", 3, "Grace", ago_s=0)
    stand.run("crm", "DELETE FROM customers WHERE id = 4")
    stand.audit_until(lambda: stand.ledger.findings.open_by_cause().get("to_billing", {}).get("late") == 3)
    lens = Lens(stand.ledger)
    lens.refresh()
    asked = "SELECT key, operation, stamped_at IS NOT NULL AS stamped, incident_id FROM {} ORDER BY key::INTEGER"
    incidents = lens.query("SELECT id, breach FROM incidents").to_pylist()
    assert [each["breach"] for each in incidents] == ["not_arriving"]
    for view in ("changes", "divergences"):
        assert [tuple(row.values()) for row in lens.query(asked.format(view)).to_pylist()] == [
            ("3", "update", True, incidents[0]["id"]),
            ("4", "delete", False, incidents[0]["id"]),
            ("21", "insert", True, incidents[0]["id"]),
        ]
    lens.close()


def test_an_archive_without_the_newer_columns_stays_readable(stand: Stand, workspace: Workspace) -> None:
    stand.agree()
    stand.put("crm", 3, "Grace", ago_s=0)
    stand.put("billing", 3, "Grace")
    stand.audit_until(lambda: stand.rows("changes") and stand.rows("changes")[0]["settled_at"])
    newer = {"operation", "stamped_at", "mark", "missed_at", "unseen_before", "lost_sight"}
    columns = [column for column in stand.ledger.exports.columns("changes") if column[0] not in newer]
    (row,) = stand.rows("changes")
    old = arrow_table(columns, [[row[name] for name, _ in columns]])
    path = write_file(workspace.archive, "changes", "2026-01-01", old)
    now = stand.clock.now()
    stand.ledger.exports.hand_over("changes", [int(str(row["id"]))], path=path, day="2026-01-01", now=now)
    lens = Lens(stand.ledger)
    lens.refresh()
    (seen,) = lens.query("SELECT key, verdict, operation, stamped_at, incident_id FROM changes").to_pylist()
    assert seen == {"key": "3", "verdict": "met", "operation": None, "stamped_at": None, "incident_id": None}
    lens.close()
