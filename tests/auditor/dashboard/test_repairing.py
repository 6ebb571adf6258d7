"""The repair proposals of the Drift page and the Record page: a preview, and the file of `auditor repair`."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from auditor.conflicts.repair import propose
from auditor.conflicts.repair_formats import write_sql
from tests.auditor.dashboard.page_runs import button, drift, local, run, table_with, text
from tests.auditor.dashboard.test_rechecking import PICKED
from tests.stand import Stand


@pytest.fixture
def differing(watched: Stand, monkeypatch: pytest.MonkeyPatch) -> Stand:
    """One record of private values that differs."""
    monkeypatch.setenv("AUDITOR_DIGEST_KEY", "k" * 32)
    watched.remap("name: {type: string, evidence: clear}", "name: {type: string, evidence: private}")
    watched.remap("pattern: real-time", "pattern: real-time\n    side_effects: [sends a mail]")
    drift(watched)
    return watched


def proposed(app: AppTest) -> AppTest:
    button(app, "Propose repair").click().run()
    return app


def test_the_preview_shows_what_would_be_written_and_no_private_value(differing: Stand) -> None:
    app = proposed(local("drift", {PICKED: [("to_billing", "3")]}))
    assert not app.exception
    assert "1 proposal, 0 records without a proposal" in text(app)
    assert "sends a mail" in text(app)
    shown = table_with(app, "present → proposed").iloc[0]
    assert (shown["record"], shown["do"], shown["in"]) == ("3", "update", "billing")
    assert shown["present → proposed"] == "name: *** → ***"
    (statement,) = [each.value for each in app.code]
    assert "UPDATE" in statement
    assert "WHERE" in statement
    assert "Eve" not in statement
    files = {each.proto.label for each in app.get("download_button")}
    assert {"Download SQL", "Download JSON", "Download CSV"} <= files


def test_only_the_selected_records_are_read_and_nothing_is_written(differing: Stand) -> None:
    differing.put("billing", 5, "Eve")
    differing.sweep()
    differing.audit_until(lambda: len(differing.ledger.findings.open_records()) == 2)
    before = [(differing.place / f"{name}.sqlite").read_bytes() for name in ("crm", "billing")]
    app = proposed(local("drift", {PICKED: [("to_billing", "5")]}))
    assert list(table_with(app, "present → proposed")["record"]) == ["5"]
    assert [(differing.place / f"{name}.sqlite").read_bytes() for name in ("crm", "billing")] == before
    chosen = propose(
        differing.map, differing.ledger, differing.readers, b"k" * 32, ["to_billing"], records={("to_billing", "5")}
    )
    assert "'Eve'" in write_sql(differing.map, chosen)  # what the file holds


def test_another_selection_does_not_keep_the_proposals_of_the_one_before(differing: Stand) -> None:
    app = proposed(local("record", type="customer", key="3"))
    assert "1 proposal" in text(app)
    app.text_input(key="key").set_value("4").run()
    assert "1 proposal" not in text(app)
    assert "Nothing to repair" in text(proposed(app))


def test_who_may_only_look_sees_the_preview_and_gets_no_values(differing: Stand) -> None:
    app = proposed(run("record", type="customer", key="3"))
    assert "1 proposal" in text(app)
    assert "You can look, but not download the values" in text(app)
    assert not [each for each in app.get("download_button") if each.proto.label.startswith("Download")]


def test_without_the_digest_key_the_page_says_so(
    differing: Stand, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    differing.ledger.installation.check_key(b"k" * 32, adopt=True)
    monkeypatch.setenv("AUDITOR_DIGEST_KEY", "x" * 32)
    app = proposed(local("record", type="customer", key="3"))
    assert not app.exception
    assert "was made with a digest key other than this one" in text(app)
