"""What a session of the Query page remembers, and what an address may hold."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa

from auditor.console.limits import STOPPED
from auditor.console.query import QueryResult
from auditor.dashboard.query_sheet import LINK_BYTES, TRIED, Sheet, deceptive, fits, whole
from checks.saved_queries import SavedQuery

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TWO = QueryResult(table=pa.table({"a": [1, 2]}))
SAVED = SavedQuery(query_id=1, name="n", description="", sql="SELECT 9", who="ada", known_by="test", made_at=NOW)


def test_each_query_is_remembered_once_the_latest_first() -> None:
    sheet = Sheet()
    for number in range(TRIED + 5):
        sheet.ended(f"SELECT {number}", NOW, 0.1, TWO)
    assert len(sheet.tried) == TRIED
    sheet.ended("SELECT 10", NOW, 0.1, "no")
    assert (sheet.tried[0].sql, sheet.tried[0].outcome) == ("SELECT 10", "refused")
    assert [each.sql for each in sheet.tried].count("SELECT 10") == 1
    assert (sheet.result, sheet.error) == (None, "no")
    assert sheet.tried[1].outcome == "2 rows"
    sheet.ended("SELECT 11", NOW, 20, f"{STOPPED} 20 s")
    assert (sheet.failure, sheet.tried[0].outcome) == ("stopped", "stopped")


def test_what_was_written_and_not_run_is_not_lost() -> None:
    sheet = Sheet(sql="SELECT 1")
    sheet.show("SELECT 2", NOW)
    assert [(each.sql, each.outcome) for each in sheet.tried] == [("SELECT 1", "not run")]
    sheet.ended("SELECT 2", NOW, 0.1, TWO)
    sheet.show(SAVED.sql, NOW, source="saved", saved=SAVED)
    assert [each.sql for each in sheet.tried] == ["SELECT 2", "SELECT 1"]
    sheet.show("", NOW)
    assert len(sheet.tried) == 2  # the saved query is in the list of saved queries
    assert (sheet.put, sheet.saved) == ("", None)


def test_an_address_has_room_for_so_much_as_it_spells_it() -> None:
    assert fits("x" * LINK_BYTES)
    assert not fits("x" * (LINK_BYTES + 1))
    assert not fits("ä" * (LINK_BYTES // 6 + 1))


def test_characters_that_deceive_or_cannot_be_shown_are_found() -> None:
    assert not deceptive("SELECT 'ä'\n\tFROM changes")
    assert deceptive("SELECT '\u202e'")
    assert deceptive("SELECT '\0'")
    assert whole("SELECT '\ud800ä'") == "SELECT '?ä'"
