"""Every page: without a map, with a broken one, empty, with one row, with a failing source, and with much."""

from __future__ import annotations

from base64 import b64decode
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from auditor import escaping
from auditor.dashboard import look
from auditor.dashboard.access import LOCAL
from auditor.dashboard.look import Tone
from auditor.desk.desk import Desk
from auditor.workspace import Workspace
from tests import HOME
from tests.auditor.dashboard.page_runs import PAGES, drift, run, signs, table_with, text
from tests.auditor.history.test_status import World
from tests.auditor.ledger.rows import incident as incident_row
from tests.stand import Stand

INSTALLED = [name for name in PAGES if name != "setup"]
"""What shows an installation; the page Set up is for those without one."""


def test_every_file_of_the_pages_is_on_the_list() -> None:
    files = {file.stem for file in (HOME / "auditor" / "dashboard" / "pages").glob("*.py")} - {"__init__"}
    assert sorted(files) == sorted(name.replace("-", "_") for name in PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_without_a_map_says_what_to_do(page: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AUDITOR_MAP", str(tmp_path / "none.yaml"))
    app = run(page)
    assert not app.exception
    assert "auditor init" in text(app)


@pytest.mark.parametrize("page", INSTALLED)
def test_with_a_broken_map_shows_every_mistake(page: str, watched: Stand) -> None:
    watched.map_file.write_text("systems: {x: {kind: sqll}}\n")
    app = run(page)
    assert not app.exception
    assert "did you mean 'sql'" in text(app)


@pytest.mark.parametrize("page", INSTALLED)
def test_before_the_first_audit_is_no_data_and_not_all_well(page: str, watched: Stand) -> None:
    app = run(page)
    assert not app.exception
    assert "Nothing has been audited yet" in text(app)
    told = [each.value for each in app.info if each.icon == ":material/check_circle:"]
    assert all(each.startswith("No remarks:") for each in told)  # which says something of the map alone


@pytest.mark.parametrize("page", INSTALLED)
def test_without_a_ledger_says_so_and_makes_none(
    page: str, stand: Stand, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "vra"
    monkeypatch.setenv("AUDITOR_MAP", str(stand.map_file))
    monkeypatch.setenv("AUDITOR_DATA", str(folder))
    monkeypatch.delenv("AUDITOR_LEDGER", raising=False)
    app = run(page)
    assert not app.exception
    assert f"There is no ledger in {escaping.markdown(folder)} yet" in text(app)
    assert not folder.exists()
    Workspace.at(folder).ledger().close()
    app.run()
    assert "Nothing has been audited yet" in text(app)


@pytest.mark.parametrize("page", INSTALLED)
def test_with_one_divergent_record(page: str, watched: Stand) -> None:
    drift(watched)
    app = run(page, type="customer", key="3")
    assert not app.exception
    assert "Data as of" in text(app)


@pytest.mark.parametrize("page", INSTALLED)
def test_with_a_failing_source_says_which_and_since_when(page: str, watched: Stand) -> None:
    watched.agree(3)
    watched.run("billing", "ALTER TABLE customers RENAME TO clients")
    watched.audit()
    app = run(page, type="customer", key="3")
    assert not app.exception
    assert "**billing** cannot be read: query" in text(app)


def test_a_silence_is_told_on_every_page(watched: Stand) -> None:
    drift(watched)
    desk = Desk(watched.map, watched.ledger, who="ada", known_by=LOCAL)
    desk.silence({"flow": ["to_billing"]}, datetime.now(UTC) + timedelta(hours=1), "import of [old] data")
    for page in ("overview", "incidents", "map"):
        told = [each.value for each in run(page).info if "silenced" in each.value]
        assert len(told) == 1
        assert "flow to_billing" in told[0] or "flow to_billing" in told[0]
        assert "ada" in told[0]


def test_records_that_cannot_be_read_look_fine_on_no_page(watched: Stand) -> None:
    watched.remap("window: 4s", "window: 1s")
    watched.remap(
        "name: {type: string, evidence: clear}", "name: {type: enum, map: {crm: {gold: gold}, billing: {gold: gold}}}"
    )
    watched.clock.advance(-1.1)
    for key in range(1, 101):
        watched.put("crm", key, f"label {key}")
        watched.put("billing", key, "gold")
    watched.sweep()
    app = run("overview")
    assert [each.value for each in app.metric if each.label == "Flows consistent"] == ["0 of 1"]
    assert "not fully verified" in app.warning[0].value
    flows = table_with(app, "beats")
    assert signs(flows["state"]) == ["? unverified"]
    assert list(flows["verified through"]) == ["nothing verified yet"]
    strip = b64decode(flows["beats"].iloc[0].partition(",")[2]).decode()
    assert look.HEX[Tone.UNKNOWN] in strip
    assert look.HEX[Tone.GOOD] not in strip
    assert signs(table_with(app, "billing")["billing"]) == ["? unverified"]
    assert signs(run("map").dataframe[0].value["state"]) == ["? unverified"]
    app = run("drift")
    assert "100 cannot be verified" in text(app)
    listed = app.dataframe[0].value
    assert len(listed) == 100
    assert set(listed["reason"].str.startswith("name in crm: a label that the map does not list")) == {True}
    covered = [each.value for each in run("sla").dataframe if "unverified" in each.value]
    assert list(covered[0]["unverified"]) == [100]


def test_a_page_with_selected_rows_says_that_it_is_paused_without_another_line(watched: Stand) -> None:
    drift(watched)
    at_first = run("incidents", list="Incidents")
    paused = run("incidents", list="Silences")
    (line,) = (each.value for each in paused.caption if "Data as of" in each.value)
    assert "paused. Shown: " in line
    assert "paused" not in text(at_first)
    assert "Not redrawn" not in text(paused)


def test_old_data_are_called_stale(watched: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    watched.clock.advance(-2.1)  # two intervals of the flow
    watched.agree(3)
    monkeypatch.setattr("auditor.history.status.STALE_FLOOR_S", 3600.0)
    assert "**Stale.**" not in text(run("overview"))
    monkeypatch.setattr("auditor.history.status.STALE_FLOOR_S", 0.0)
    assert "Not audited for two intervals: to_billing" in text(run("overview"))


def test_a_flow_that_its_budget_holds_back_is_called_so(watched: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auditor.history.status.STALE_FLOOR_S", 10.0)
    watched.clock.advance(-30)
    world = World(watched)
    world.audit(1)
    assert "**Held back.**" not in text(run("overview"))
    world.audit(29)
    assert "**Held back.** **to_billing**: changes of crm were last listed at" in text(run("overview")).replace(
        "\\", ""
    )
    for reader in world.readers.values():
        reader.close()


def test_only_the_page_list_stands_in_app() -> None:
    source = (HOME / "app.py").read_text() + (HOME / "auditor/dashboard/site/__init__.py").read_text()
    assert "navigation.run()" in source
    assert "sqlalchemy" not in source + (HOME / "auditor/dashboard/components.py").read_text()


def test_a_message_that_nobody_got_is_told_on_every_page(watched: Stand) -> None:
    watched.agree(3)
    with watched.ledger.write() as transaction:
        values = incident_row(opened_at=watched.clock.now())
        incident = watched.ledger.incidents.save(transaction, 0, values)
        watched.ledger.outbox.queue(
            transaction,
            incident_id=incident,
            transition="opened",
            sender="slack",
            notice={},
            at=watched.clock.now(),
        )
    alert = watched.ledger.outbox.claim(watched.clock.now())
    assert alert is not None
    watched.ledger.outbox.settle(alert, state="failed", error="HTTP 404: no_service", next_try_at=None)
    for page in ("overview", "sla"):
        app = run(page)
        assert not app.exception
        assert "**1 message did not reach slack**" in text(app)
        assert "HTTP 404: no\\_service" in text(app) or "HTTP 404: no_service" in text(app)
    messages = run("sla").dataframe[-1].value
    assert signs(messages["state"]) == ["✕ not delivered"]
