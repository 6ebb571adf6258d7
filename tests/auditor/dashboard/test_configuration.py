"""The Configuration page: the map in force, the file as it stands, what differs, and the history of loads."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from auditor.dashboard import look
from auditor.dashboard.installations import forget
from auditor.dashboard.pages.configuration import CAUSES
from auditor.ledger.map_loads import COMMAND, LOADED, REFUSED, SIGNAL, START, UNCHANGED
from auditor.map.effective import effective
from auditor.map.loader import load_map
from tests.auditor.dashboard.page_runs import app_of, run, signs, table_with, text
from tests.stand import Stand

MISTAKE = {"file": "map.yaml", "line": 7, "column": 5, "path": "data_types.x.window", "message": "not a duration"}
CHANGE = {"path": "flows.x.every", "change": "changed", "before": "1s", "after": "2s"}


@pytest.fixture
def watched(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    monkeypatch.setenv("AUDITOR_MAP", str(stand.map_file))
    monkeypatch.setenv("AUDITOR_DATA", str(stand.place / "var"))
    monkeypatch.setenv("AUDITOR_LEDGER", stand.ledger_url)
    stand.map_file.write_text(
        stand.map_file.read_text()
        + 'alerts:\n  webhook: {url: "https://hook.example.com/t0k3n", secret: "hunter2-0123456789"}\n'
    )
    stand.agree(3)
    yield stand
    forget()


def load(stand: Stand, outcome: str = LOADED, cause: str = START, **more: Any) -> None:
    """Record that an auditor has read the map."""
    words = {"digest": "d1", "location": str(stand.map_file), **more}
    if outcome == LOADED and "document" not in more:
        words["document"] = effective(load_map(stand.map_file, {}))
    stand.ledger.map_loads.note(at=datetime.now(UTC), cause=cause, outcome=outcome, **words)


def test_it_shows_the_map_in_force_without_its_secrets(watched: Stand) -> None:
    load(watched)
    app = run("configuration")
    assert not app.exception
    told = text(app)
    assert "read when the auditor started" in told
    assert "The file has the settings in force" in told
    (code,) = app.code
    assert "    window: 4s\n" in code.value
    assert "    overlap: 10s\n" in code.value
    assert "    url: https://hook.example.com/***\n" in code.value
    assert not any(secret in told for secret in ("hunter2", "t0k3n"))


def test_it_shows_what_a_reload_would_change(watched: Stand) -> None:
    load(watched)
    watched.map_file.write_text(watched.map_file.read_text().replace("window: 4s", "window: 8s"))
    app = run("configuration")
    assert "The file differs from the map in force in 1 setting" in text(app)
    (row,) = table_with(app, "in force").to_dict("records")
    assert row == {
        "path": "data_types.customer.window",
        "change": "changed",
        "in force": "4s",
        "file": "8s",
    }
    assert "    window: 4s\n" in app.code[0].value


def test_it_shows_each_mistake_of_the_file_where_it_stands(watched: Stand) -> None:
    load(watched)
    assert not run("configuration").exception  # the map is open, as it was when the auditor loaded it
    code = "from auditor.dashboard import navigation\nnavigation.run(first='configuration')\n"
    watched.map_file.write_text(
        watched.map_file.read_text()
        .replace("every: 1s", "every: soon")
        .replace("owner: crm", "owner: hunter2-0123456789")
    )
    app = app_of(code).run()
    assert not app.exception
    assert "**2 mistakes** in" in text(app)
    rows = table_with(app, "column").to_dict("records")
    assert [(row["line"], row["column"], row["path"]) for row in rows] == [
        (6, 5, "data_types.customer.owner"),
        (21, 5, "flows.to_billing.every"),
    ]
    assert "hunter2" not in str(rows)
    assert "Effective map" in text(app)


def test_it_lists_what_became_of_every_map(watched: Stand) -> None:
    load(watched)
    load(watched, cause=COMMAND, changes=[CHANGE, {**CHANGE, "change": "removed"}])
    load(watched, REFUSED, cause=COMMAND, mistakes=[MISTAKE] * 5)
    history = table_with(run("configuration"), "outcome")
    assert signs(history["outcome"]) == ["✕ refused", "✓ loaded", "✓ loaded"]
    refused, loaded, _ = history["what"]
    assert refused.startswith("map.yaml:7:5 data_types.x.window: not a duration; ")
    assert refused.endswith("; and 2 more")
    assert loaded == "flows.x.every: 1s → 2s; flows.x.every removed"


def test_every_page_says_that_a_newer_map_was_refused_until_it_is_mended(watched: Stand) -> None:
    load(watched)
    load(watched, REFUSED, mistakes=[MISTAKE])
    for page, where in (
        ("overview", "the Configuration page lists its mistakes"),
        ("configuration", "its mistakes are listed below"),
    ):
        told = text(run(page))
        assert "**A newer map was refused** at" in told
        assert where in told
    load(watched)
    assert "was refused" not in text(run("overview"))


def test_the_pages_follow_a_map_that_the_auditor_has_put_in_force(watched: Stand) -> None:
    code = "from auditor.dashboard import navigation\nnavigation.run(first='map')\n"
    load(watched)
    app = app_of(code).run()
    second = "  again: {data_type: customer, from: crm, to: billing, pattern: real-time}\n"
    before = watched.map_file.read_text()
    watched.map_file.write_text(before.replace("flows:\n", f"flows:\n{second}"))
    assert [*table_with(app.run(), "flow")["flow"]] == ["to_billing"]
    load(watched)
    assert {*table_with(app.run(), "flow")["flow"]} == {"to_billing", "again"}
    watched.map_file.write_text("systems: [")
    load(watched, document={})
    assert {*table_with(app.run(), "flow")["flow"]} == {"to_billing", "again"}


def test_without_a_record_of_a_load_it_shows_the_file(watched: Stand) -> None:
    app = run("configuration")
    assert "No auditor has recorded its map yet" in text(app)
    assert "Effective map of the file" in text(app)
    assert "    window: 4s\n" in app.code[0].value


def test_every_cause_and_outcome_has_words() -> None:
    assert CAUSES.keys() == {START, SIGNAL, COMMAND}
    assert look.MAP_LOAD.keys() == {LOADED, UNCHANGED, REFUSED}
