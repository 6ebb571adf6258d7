"""Every page: without a map, with a broken one, empty, with one row, with a failing source, and with much."""

from __future__ import annotations

import io
import json
from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
from streamlit.components.v2.component_manager import BidiComponentManager
from streamlit.testing.v1 import AppTest

from auditor import escaping
from auditor.alerts.reporter import Reporter
from auditor.audit.queue_audit import QueueAuditor
from auditor.dashboard import acting, look, navigation, tables, view
from auditor.dashboard.access import LOCAL, Asks, Onlooker, Person
from auditor.dashboard.data import Data
from auditor.dashboard.installations import forget
from auditor.dashboard.look import Tone
from auditor.dashboard.pages import dead_letters
from auditor.dashboard.pages import drift as drift_page
from auditor.dashboard.pages import sla as sla_page
from auditor.dashboard.pages.map import lag_text
from auditor.desk.desk import Desk
from auditor.history.lag import FlowLag
from auditor.history.letters import Funnel
from auditor.history.status import Standing
from auditor.scenarios import Stage
from auditor.workspace import Workspace
from checks import funnel
from checks.convergence import Verdict
from checks.lag import count_cells, fit
from demo.company import Company
from demo.scenarios import SCENARIOS
from probes.registry import open_queue_probe
from tests import HOME
from tests.auditor.alerts.test_reporter import signal
from tests.auditor.conflicts.test_decisions import OPEN
from tests.auditor.history.test_status import World
from tests.auditor.ledger.rows import incident as incident_row
from tests.auditor.test_scenarios import performing
from tests.demo.test_company import company
from tests.stand import Stand

__all__ = ["company"]

PAGES = list(navigation.PAGES)
INSTALLED = [name for name in PAGES if name != "setup"]
"""What shows an installation; the page Set up is for those without one."""

MONDAY = datetime(2026, 3, 2, 9, tzinfo=UTC)


def test_every_file_of_the_pages_is_on_the_list() -> None:
    files = {file.stem for file in (HOME / "auditor" / "dashboard" / "pages").glob("*.py")} - {"__init__"}
    assert sorted(files) == sorted(name.replace("-", "_") for name in PAGES)


@cache
def components() -> BidiComponentManager:
    """Streamlit's components, for which it would search all installed packages for every page that is drawn."""
    made = BidiComponentManager()
    made.discover_and_register_components(start_file_watching=False)
    return made


ONLOOKER = Onlooker(why="Whoever asks here may only look.")


def app_of(code: str, asks: Asks = ONLOOKER) -> AppTest:
    """An app that is this script, as someone sees it."""
    app = AppTest.from_string(code, default_timeout=100)
    app._bidi_component_manager = components()
    draw = app._run

    def as_seen(*args: Any, **more: Any) -> AppTest:
        with patch.object(acting, "sender", lambda: vars(app)["asks"]):
            return draw(*args, **more)

    app._run = as_seen  # type: ignore[method-assign]
    seat(app, asks)
    return app


def seat(app: AppTest, asks: Asks) -> None:
    """Let someone else look at the app from now on."""
    vars(app)["asks"] = asks


def run(page: str, **query: str | list[str]) -> AppTest:
    return seen(page, ONLOOKER, **query)


def seen(page: str, asks: Asks, **query: str | list[str]) -> AppTest:
    """A page as someone sees it."""
    forget()
    code = f"from auditor.dashboard import navigation\nnavigation.run(first={page!r})\n"
    app = app_of(code, asks)
    for name, value in query.items():
        app.query_params[name] = value
    return app.run()


def local(page: str, kept: Mapping[str, Any] | None = None, **query: str) -> AppTest:
    """A page as the guard lets a local operator see it, with the name that they enter.

    Args:
        kept: what the session remembers.
    """
    code = (
        "from auditor.dashboard import components\n"
        "from auditor.dashboard.access import LOCAL, Person\n"
        f"from auditor.dashboard.pages import {page} as page\n"
        "import streamlit as st\n"
        "from auditor.dashboard import navigation\n"
        "for name, value in navigation._SHARED.items():\n"
        "    st.session_state[name] = value\n"
        "person = Person(name=None, known_by=LOCAL)\n"
        "components.framed('x', lambda data, since: page.draw(data, since, person), live=False)\n"
    )
    app = app_of(code, Person(name=None, known_by=LOCAL))
    for name, value in (kept or {}).items():
        app.session_state[name] = value
    for name, value in query.items():
        app.query_params[name] = value
    return app.run()


def text(app: AppTest) -> str:
    headings = [*app.title, *app.header, *app.subheader]
    parts = [*headings, *app.caption, *app.info, *app.warning, *app.error, *app.markdown, *app.code]
    return "\n".join(str(each.value) for each in [*parts, *app.page_link])


def links(app: AppTest) -> list[str]:
    return [str(each.label) for each in app.page_link]


def table_with(app: AppTest, column: str) -> pd.DataFrame:
    return next(each.value for each in app.dataframe if column in each.value.columns)


def signs(chips: pd.Series) -> list[str]:
    return [text for each in chips for text in each]


@pytest.fixture(autouse=True)
def released() -> Iterator[None]:
    """Each test opens its own installation and closes it."""
    yield
    forget()


@pytest.fixture
def watched(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> Stand:
    monkeypatch.setenv("AUDITOR_MAP", str(stand.map_file))
    monkeypatch.setenv("AUDITOR_DATA", str(stand.place / "var"))
    monkeypatch.setenv("AUDITOR_LEDGER", stand.ledger_url)
    return stand


def drift(stand: Stand) -> None:
    """One record that differs, for certain."""
    stand.clock.advance(-1.1)
    stand.agree(5)
    stand.run("billing", "UPDATE customers SET name = 'Eve' WHERE id = 3")
    stand.run("billing", "INSERT INTO letters VALUES (1, 3, '2026-03-01 00:00:00', 'no')")
    stand.audit()
    stand.audit(after_s=2)
    stand.clock.advance(1.1)
    stand.audit(after_s=2)


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


def test_an_empty_list_is_good_news_only_when_all_is_known(watched: Stand) -> None:
    def signs() -> list[str]:
        return [each.icon for each in run("incidents").info if each.value.startswith("No incident")]

    assert signs() == [":material/info:"]
    watched.agree(5)
    assert signs() == [":material/check_circle:"]
    watched.run("billing", "UPDATE customers SET amount = 'a lot' WHERE id < 4")
    watched.sweep()
    assert signs() == [":material/info:"]


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


def test_overview_counts_what_differs_and_links_to_it(watched: Stand) -> None:
    drift(watched)
    app = run("overview")
    values = {each.label: each.value for each in app.metric}
    assert values["Records that differ"] == "1"
    assert values["Flows consistent"] == "0 of 1"
    assert values["records"] == "1"
    assert any(each.endswith("foreign write]") for each in links(app))
    assert any("billing: records are changed there" in each.value for each in app.error)


def test_the_incidents_are_listed_and_each_shows_its_evidence_records_and_messages(watched: Stand) -> None:
    drift(watched)
    app = run("incidents")
    assert not app.exception
    listed = table_with(app, "what")
    assert list(listed["what"]) == [
        "billing: records are changed there that it does not own (1 customer record affected)"
    ]
    assert signs(listed["severity"]) == ["▲ high"]
    assert signs(listed["state"]) == ["● open"]
    app = run("incidents", id="1")
    assert not app.exception
    assert "second writer" in text(app)
    assert "Find out who writes there" in text(app)
    assert list(table_with(app, "where")["what"]) == ["records were changed in a system that does not own them"]
    assert list(table_with(app, "where")["where"]) == ["to_billing"]
    assert list(table_with(app, "record")["record"]) == ["3"]
    assert list(table_with(app, "transition")["sender"]) == ["slack"]


def test_the_counts_of_an_incident_say_when_they_were_true(watched: Stand) -> None:
    watched.agree(3)
    reporter = Reporter.of_map(watched.ledger, watched.map, [], hold_s=0)
    missed = signal("objective", 7, detail="7 of 9 changes missed their window")
    extra = signal("orphan", 12, detail="3 of 15 are new")
    begun_at = watched.clock.now()
    for at, signals in [
        (begun_at, [missed, extra]),
        (begun_at + timedelta(seconds=60), [signal("orphan", 5)]),
    ]:
        with watched.ledger.write() as transaction:
            reporter.report(transaction, signals, at)
    listed = table_with(run("incidents"), "what")
    assert {peak: now for peak, now in zip(listed["peak"], listed["now"], strict=True) if not pd.isna(now)} == {12: 5}
    assert set(listed["peak"]) == {7, 12}
    for number, evidence in ((1, "7 of 9 changes missed their window"), (2, "3 of 15 are new")):
        app = run("incidents", id=str(number))
        assert not app.exception
        told = escaping.markdown(f"as of {begun_at:%Y-%m-%d %H:%M:%S} UTC: {evidence}")
        assert told in [each.value for each in app.caption]
    Desk(watched.map, watched.ledger, who="ada", known_by="test").resolve(2, "")
    (closed,) = table_with(run("incidents", id="2"), "where").to_dict("records")
    assert (pd.isna(closed["now"]), closed["peak"]) == (True, 12)


def test_an_incident_is_handled_on_its_page(watched: Stand) -> None:
    drift(watched)
    assert "You can look and not act." in text(run("incidents", id="1"))
    app = local("incidents", id="1")
    app.text_input(key="who").set_value("")
    button(app, "Acknowledge").click().run()
    assert "enter your name" in text(app)
    app.text_input(key="who").set_value("ada")
    button(app, "Acknowledge").click().run()
    assert not app.exception
    assert look.INCIDENT["acknowledged"].badge in text(app)
    app.text_input(key="assign-to").set_value("team *blue*")
    button(app, "Assign").click().run()
    app.text_input(key="snooze-length").set_value("soon")
    button(app, "Snooze").click().run()
    assert "soon" in text(app)
    app.text_input(key="snooze-length").set_value("2h")
    button(app, "Snooze").click().run()
    timeline = table_with(app, "note")
    assert list(timeline["what"])[-3:] == ["acknowledge", "assign", "snooze"]
    assert {*timeline["who"][-3:]} == {"ada"}
    assert list(table_with(run("incidents"), "assigned to")["assigned to"]) == ["team *blue*"]
    assert signs(table_with(run("incidents"), "what")["state"]) == ["◌ snoozed"]


def test_a_silence_is_told_on_every_page(watched: Stand) -> None:
    drift(watched)
    desk = Desk(watched.map, watched.ledger, who="ada", known_by=LOCAL)
    desk.silence({"flow": ["to_billing"]}, datetime.now(UTC) + timedelta(hours=1), "import of [old] data")
    for page in ("overview", "incidents", "map"):
        told = [each.value for each in run(page).info if "silenced" in each.value]
        assert len(told) == 1
        assert "flow to_billing" in told[0] or "flow to_billing" in told[0]
        assert "ada" in told[0]


def button(app: AppTest, label: str) -> Any:
    return next(each for each in app.button if each.label == label)


def test_resolved_incidents_are_shown_when_asked_for_and_what_came_before(watched: Stand) -> None:
    at = watched.clock.now()
    with watched.ledger.write() as transaction:
        for number in (1, 2):
            watched.ledger.incidents.save(
                transaction,
                0,
                incident_row(
                    opened_at=at - timedelta(minutes=9 - number),
                    resolved_at=at - timedelta(minutes=8 - number),
                    state="resolved",
                    summary=f"s{number}",
                ),
            )
    watched.agree(3)
    assert "No incident is open" in text(run("incidents"))
    assert list(table_with(run("incidents", all="true"), "what")["what"]) == ["s2", "s1"]
    assert list(table_with(run("incidents", all="true", search="S1"), "what")["what"]) == ["s1"]
    assert "The filters hide 2 other incidents." in text(run("incidents", all="true", search="zzz"))
    app = run("incidents", id="2")
    assert "lasted 60 s" in text(app)
    assert list(table_with(app, "incident")["incident"]) == ["1"]


def test_an_incident_that_is_not_there_is_said(watched: Stand) -> None:
    watched.agree(3)
    for number in ("99", "x", "-1", "9" * 40, "1; DROP"):
        app = run("incidents", id=number)
        assert not app.exception
        assert "There is no incident" in text(app)


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


SCREEN = 1440 - 260 - 2 * 32
"""The width of a page's body, in pixels, on a screen of 1440 beside the sidebar."""


def widths(shown: Any) -> dict[str, int]:
    """The widths of a table's columns that have one, in pixels."""
    config = json.loads(shown.proto.columns)
    return {name: each["width"] for name, each in config.items() if isinstance(each.get("width"), int)}


def test_the_columns_of_drift_and_coverage_fit_on_a_laptop_screen(watched: Stand) -> None:
    drift(watched)
    checkbox, instant, slack = 32, 102, 8
    found = widths(run("drift").dataframe[0])
    found["cause"] = max(tables.chips_width([look.cause(each).plain]) for each in ("foreign_write", "late"))
    assert checkbox + sum(found.values()) + instant <= SCREEN + slack
    (coverage,) = (each for each in run("sla").dataframe if "unverified" in each.value)
    assert set(coverage.value.columns) - widths(coverage).keys() == set()
    assert sum(widths(coverage).values()) <= SCREEN + slack


def test_a_calendar_with_a_date_more_than_its_period_says_why(watched: Stand) -> None:
    drift(watched)
    told = text(run("sla"))
    assert told.count("The last 28 days up to now touch 29 UTC dates") == 2
    assert sla_page._dates_text("28 days", 28) == "Days are UTC."


def test_a_page_with_selected_rows_says_that_it_is_paused_without_another_line(watched: Stand) -> None:
    drift(watched)
    at_first = run("incidents", list="Incidents")
    paused = run("incidents", list="Silences")
    (line,) = (each.value for each in paused.caption if "Data as of" in each.value)
    assert "paused. Shown: " in line
    assert "paused" not in text(at_first)
    assert "Not redrawn" not in text(paused)


def test_columns_that_no_broker_fills_are_left_out_and_explained(watched: Stand) -> None:
    drift(watched)
    read_queue(watched)
    app = run("dead-letters")
    assert not {"arriving", "leaving", "empty in"} & set(app.dataframe[0].value.columns)
    assert "do not count what arrives and leaves" in text(app)


def test_drift_filters_from_the_address(watched: Stand) -> None:
    drift(watched)
    shown = run("drift", cause="foreign_write").dataframe[0].value
    assert list(shown["record"]) == ["3"]
    assert list(shown["difference"]) == ["name: Ada → Eve"]


def test_a_link_to_records_that_agree_again_says_so_and_leads_on(watched: Stand) -> None:
    drift(watched)
    app = run("drift", cause="orphan", flow="to_billing", state="open")
    assert "No record matches: flow to_billing, cause orphan, state open." in text(app)
    assert [each.label for each in app.button if each.label == "Show every state"] == []
    button(app, "Remove the filters").click().run()
    assert not app.exception
    assert list(app.dataframe[0].value["record"]) == ["3"]
    assert app.query_params.get("cause", []) == []
    watched.run("billing", "UPDATE customers SET name = 'Ada' WHERE id = 3")
    watched.audit()
    forget()
    app = run("drift")
    assert "No record is known to differ now. In other states in the last hour: 1 closed." in text(app)
    button(app, "Show every state").click().run()
    assert list(app.dataframe[0].value["record"]) == ["3"]
    app = run("drift", cause="foreign_write")
    assert "No record matches: cause foreign write, state open. In other states in the last hour: 1 closed." in text(
        app
    )
    button(app, "Show every state").click().run()
    assert not app.exception
    assert list(app.dataframe[0].value["record"]) == ["3"]
    assert app.multiselect(key="cause").value == ["foreign_write"]


def test_all_that_match_are_exported_and_not_only_the_page_shown(
    watched: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drift_page, "PER_PAGE", 1)
    watched.clock.advance(-1.1)
    watched.agree(5)
    watched.run("billing", "UPDATE customers SET name = 'Eve' WHERE id IN (3, 4)")
    for after_s in (0, 2, 2):
        watched.audit(after_s=after_s)
        watched.clock.advance(1.1 if after_s else 0)
    app = run("drift")
    assert not app.exception
    assert len(app.dataframe[0].value) == 1
    assert {each.proto.label for each in app.get("download_button")} == {"Export all as CSV", "Export all as Parquet"}
    assert pd.read_parquet(io.BytesIO(tables.parquet(pd.DataFrame({"key": ["=1"]}))))["key"].tolist() == ["=1"]


def test_record_shows_the_copies_and_their_history(watched: Stand) -> None:
    drift(watched)
    app = run("record", type="customer", key="3")
    assert "differs" in text(app)
    assert "Divergences" in text(app)
    table = app.table[0].value
    assert list(table.loc["name"]) == ["Ada", "≠ Eve"]


def test_record_refuses_what_is_no_key(watched: Stand) -> None:
    assert "not a valid key of customer" in text(run("record", type="customer", key="abc"))


def test_old_data_are_called_stale(watched: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    watched.clock.advance(-2.1)  # two intervals of the flow
    watched.agree(3)
    monkeypatch.setattr("auditor.history.status.STALE_FLOOR_S", 3600.0)
    assert "**Stale.**" not in text(run("overview"))
    monkeypatch.setattr("auditor.history.status.STALE_FLOOR_S", 0.0)
    assert "Not audited for two intervals: to_billing" in text(run("overview"))


def test_a_flow_that_its_budget_holds_back_is_called_so(watched: Stand) -> None:
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


@pytest.mark.parametrize(
    ("met", "breach", "undecided", "said"),
    [(0, 0, 0, "no traffic"), (9, 1, 0, "90.0%"), (8, 1, 1, "80.0% – 90.0%")],
)
def test_a_share_is_told_as_far_as_it_is_known(met: int, breach: int, undecided: int, said: str) -> None:
    assert view.share_within(met, breach, undecided) == said


@pytest.mark.parametrize(("days", "told"), [(1, "1 day"), (28, "28 days"), (1.5, "1.5 days")])
def test_a_period_is_told_in_days(days: float, told: str) -> None:
    assert view.days_text(days * 86_400) == told


def test_lag_shows_curve_heat_and_clocks(watched: Stand) -> None:
    watched.agree(5)
    watched.put("crm", 3, "Grace", ago_s=0)
    watched.audit()
    watched.put("billing", 3, "Grace")
    watched.audit()
    app = run("lag")
    assert not app.exception
    assert list(app.dataframe[0].value["changes"]) == ["1"]
    assert {each.value for each in app.header} >= {"By hour", "By hour of the day and weekday", "Clocks"}
    assert list(app.dataframe[1].value["system"]) == ["crm", "billing"]
    with watched.ledger.write() as transaction:
        monday = MONDAY + timedelta(days=7 * ((datetime.now(UTC) - MONDAY).days // 7))
        watched.ledger.measurements.count_windows(transaction, "to_billing", {Verdict.BREACH: 2}, monday)
    worst = table_with(run("lag"), "worst hours")
    assert list(worst["worst hours"]) == ["Mon 09:00 to 10:00"]
    assert worst["missed"].iloc[0].startswith("100.00% (")
    assert list(worst["changes"]) == ["2 of 2"]


def test_idle_is_no_lag_and_the_clocks_are_still_there(watched: Stand) -> None:
    watched.agree(5)
    app = run("lag")
    assert "no traffic" in text(app)
    assert len(app.dataframe) == 1


def test_sla_shows_coverage_and_overview_the_agreement(watched: Stand) -> None:
    drift(watched)
    watched.sweep()
    covered = table_with(run("sla"), "last sweep")
    assert list(covered["last sweep"]) == ["1 of 5"]
    budgets = table_with(run("sla"), "calls in 24 h")
    assert list(budgets["system"]) == ["crm", "billing"]
    assert list(budgets["calls in 24 h"]) == ["no limit", "no limit"]
    assert all(each.startswith("at most ") for each in budgets["by sample"])
    assert list(table_with(run("overview"), "beats")["agree"]) == ["80.00%"]


@pytest.fixture
def disputed(watched: Stand) -> Stand:
    """One record twice in billing, which no rule decides, and consumers who read it."""
    consumers = (
        "consumers: [{name: dunning, role: automation, reads: billing}, {name: sales, role: team, reads: crm}]"
    )
    watched.remap("    key_type: integer\n", f"    key_type: integer\n    {consumers}\n")
    watched.clock.advance(-1.1)
    watched.agree(5)
    watched.run("billing", "INSERT INTO customers SELECT * FROM customers WHERE id = 3")
    watched.sweep()
    watched.clock.advance(1.1)
    watched.sweep()
    return watched


def test_the_overview_says_who_acts_on_wrong_values(disputed: Stand) -> None:
    app = run("overview")
    assert not app.exception
    assert "Who is affected right now" in text(app)
    acting = table_with(app, "who")
    assert list(acting["who"]) == ["dunning", "sales"]
    assert list(acting["unresolved"]) == [1, 1]
    assert [metric.value for metric in app.metric if metric.label == "Conflicts to decide"] == ["1"]


def test_a_conflict_is_decided_on_its_page(disputed: Stand) -> None:
    app = run("conflicts")
    assert "1 conflict" in text(app)
    app = run("conflicts", conflict="1")
    assert not app.exception
    assert "Conflict 1: customer 3" in text(app)
    assert "You can look and not decide." in text(app)
    assert "who" not in [each.key for each in app.text_input]
    app = local("conflicts", conflict="1")
    app.text_input(key="who").set_value("")
    app.button[1].click().run()
    assert "enter your name" in text(app)
    assert "nobody has signed in" in text(app)
    app.text_input(key="who").set_value("ada")
    app.button[1].click().run()
    assert not app.exception
    (conflict,) = disputed.ledger.conflicts.listed()
    assert (conflict.state.value, conflict.choice) == ("decided", "crm")
    found = disputed.ledger.conflicts.find(conflict.conflict_id)
    assert found is not None
    assert (found[1][-1].who, found[1][-1].known_by) == ("ada", LOCAL)
    assert look.CONFLICT["decided"].badge in text(run("conflicts", conflict="1"))


def test_a_click_on_the_number_of_a_conflict_opens_it(disputed: Stand) -> None:
    app = run("conflicts")
    app.session_state["_next_page"] = navigation.conflict(1)  # what the click leaves
    app.run()
    assert not app.exception
    assert "Conflict 1: customer 3" in text(app)


def test_a_conflict_that_is_not_there_is_said(disputed: Stand) -> None:
    for number in ("99", "x"):
        app = run("conflicts", conflict=number)
        assert not app.exception
        assert f"There is no conflict {number}" in text(app)


def test_the_map_page_shows_every_flow_and_its_review(disputed: Stand) -> None:
    app = run("map")
    assert not app.exception
    flows = app.dataframe[0].value
    assert signs(flows["state"]) == ["≠ drift"]
    assert list(flows["from"]) == ["crm"]
    assert "no-team" in set(app.table[0].value["rule"])
    assert "Click a flow, a system or a consumer" in text(app)


def test_the_map_page_tells_what_is_known_of_a_flow(disputed: Stand) -> None:
    read_queue(disputed)
    app = run("map", show="flow to_billing")
    assert not app.exception
    told = text(app)
    assert f"{escaping.markdown('to_billing')} {look.FLOW[Standing.DRIFT].badge}" in told
    assert "queue dead (dead)" in told
    assert "In the map" in told
    assert {"Drift", "Lag", "Dead letters", "Incidents"} <= set(links(app))
    assert any("1 duplicate" in each for each in links(app))


def test_the_map_page_tells_what_is_known_of_a_system_and_of_a_consumer(disputed: Stand) -> None:
    app = run("map", show="system billing")
    assert not app.exception
    assert "Filled by" in text(app)
    assert "dunning" in text(app)
    assert any("to" in each and "billing" in each for each in links(app))
    app = run("map", show="consumer dunning (automation)")
    assert not app.exception
    assert "Acts on 1 wrong record in billing" in text(app)


def test_the_map_page_shows_the_flows_of_a_data_type(disputed: Stand) -> None:
    disputed.remap("    every: 1s\n", "    every: 1s\n    team: sales\n")
    assert list(run("map", type="customer", team="sales").dataframe[0].value["flow"]) == ["to_billing"]


@pytest.mark.parametrize(("window_s", "shown"), [(0.0, "no window"), (30.0, "window 30 s"), (7200.0, "window 2 h")])
def test_without_traffic_the_map_shows_the_window(window_s: float, shown: str) -> None:
    assert lag_text(None, window_s) == shown


def test_the_map_shows_the_lag_of_most_changes_against_the_window() -> None:
    def of(*pairs: tuple[float, float]) -> str:
        lower, upper = np.array(pairs).T
        curve = fit(count_cells(lower, upper))
        measured = FlowLag(flow="a", window_s=10, curve=curve, waiting=0, superseded=0, clamped=0)
        return lag_text(measured, 10)

    assert of((0.1, 0.2), (0.1, 0.2)) == "< 1 s of 10 s"
    assert of((40.0, 41.0)).endswith(" s of 10 s")
    assert of(*[(60.0, np.inf)] * 50).startswith("> ")
    assert of((0.1, np.inf)) == "? of 10 s"


def test_one_mistake_that_many_records_show_is_told_once(watched: Stand) -> None:
    watched.clock.advance(-5)
    watched.agree(5)
    for key in range(6, 10):
        watched.put("crm", key, amount="1.50")
        watched.put("billing", key, amount="150.00")
    watched.sweep()
    for _ in range(5):
        watched.clock.advance(1)
        watched.audit()
    app = run("drift")
    assert not app.exception
    assert "amount in billing is times 100 in 4 of 4 records" in text(app)


def test_fields_that_differ_from_themselves_are_shown_with_their_share(watched: Stand) -> None:
    watched.agree(3)
    with watched.ledger.write() as transaction:
        counted = {("billing", "amount"): (10, 4), ("billing", "name"): (10, 0)}
        watched.ledger.measurements.count_noise(transaction, "to_billing", counted, watched.clock.now())
    app = run("sla")
    assert not app.exception
    (shown,) = [frame.value for frame in app.dataframe if "reread" in frame.value.columns]
    assert list(shown["field"]) == ["amount"]
    assert str(shown["share"].iloc[0]).startswith("40")


def read_queue(stand: Stand, name: str = "dead") -> None:
    """Audit a queue once, as the daemon does."""
    settings = stand.map.queues["to_billing", name]
    queue = QueueAuditor(
        flow=stand.map.flow("to_billing"),
        queue=name,
        settings=settings,
        probe=open_queue_probe(settings, stand.map.systems["billing"]),
        ledger=stand.ledger,
    )
    queue.audit(stand.clock.now())
    queue.close()


def test_dead_letters_shows_funnel_reasons_and_the_records_they_explain(watched: Stand) -> None:
    drift(watched)
    watched.run("billing", "UPDATE letters SET error = '422: no e-mail of cus_3'")
    read_queue(watched)
    app = run("dead-letters")
    queues, _, reasons, one_by_one = (each.value for each in app.dataframe[:4])
    assert list(queues[["depth", "inspected"]].iloc[0]) == [1, "all"]
    assert list(reasons["reason"]) == ["422: no e-mail of <id>"]
    assert list(one_by_one["record"]) == ["3"]
    assert list(one_by_one["explains"]) == ["open divergence"]
    assert "What happens to failed messages" in text(app)
    stages = next(each.value for each in app.dataframe if "emitted" in each.value)
    assert stages.iloc[0].to_dict() == {
        "flow": "to_billing",
        "emitted": "0 (0/h)",
        "failed": "≥ 1 (≥ 1/h)",
        "queued": "1 (1/h)",
        **dict.fromkeys(("retried", "delivered", "updated"), "0 (0/h)"),
    }
    assert "**Where the dead letters went**" in text(app)
    (bands,) = json.loads(app.get("plotly_chart")[0].proto.spec)["data"]
    assert bands["node"]["label"] == ["to_billing 1", "still waiting 1"]
    assert bands["link"]["value"] == [1]
    assert "1 of 1 record that differs" in text(app)
    assert list(run("drift").dataframe[0].value["dead letter"]) == ["422: no e-mail of <id>"]
    assert "Dead letters" in text(run("record", type="customer", key="3"))


def test_a_queue_that_cannot_be_read_leaves_the_page_up_and_is_unknown(watched: Stand) -> None:
    drift(watched)
    watched.run("billing", "ALTER TABLE letters RENAME TO gone")
    read_queue(watched)
    app = run("dead-letters")
    assert not app.exception
    assert "**to_billing/dead** cannot be read: " in text(app)
    assert {each.label: each.value for each in run("overview").metric}["Dead letters waiting"] == "unknown"


def test_what_cannot_be_verified_is_listed_with_its_reason(watched: Stand) -> None:
    watched.agree(3)
    assert "No record is unverified" in text(run("drift"))
    watched.run("billing", "UPDATE customers SET amount = 'two' WHERE id = 2")
    watched.sweep()
    app = run("drift")
    assert "1 cannot be verified" in text(app)
    listed = app.dataframe[0].value
    assert list(listed["record"]) == ["2"]
    assert "amount in billing" in listed["reason"].iloc[0]
    flows = table_with(run("overview"), "beats")
    assert list(flows["unverified"]) == [1]
    assert signs(flows["state"]) == ["? unverified"]


def test_before_the_first_sweep_nothing_is_verified(watched: Stand) -> None:
    watched.put("crm", 1)
    watched.put("billing", 1)
    watched.audit()
    app = run("overview")
    flows = table_with(app, "beats")
    told = {*signs(flows["state"])} | set(flows["verified through"])
    assert not any("1970" in each for each in told)
    assert "Data as of" in text(app)


def test_objectives_are_over_the_period_whatever_range_is_shown(watched: Stand) -> None:
    watched.agree(5)
    watched.put("crm", 3, "Grace", ago_s=0)
    watched.audit()
    watched.put("billing", 3, "Grace")
    watched.audit()
    moved = int(timedelta(days=5).total_seconds() * 1e6)
    with watched.ledger.database.unnumbered() as connection:
        connection.exec_driver_sql(f"UPDATE window_counts SET slot_at = slot_at - {moved}")
    for shown in ("15 min", "7 d"):
        app = run("sla", range=shown)
        objectives = table_with(app, "target")
        assert signs(objectives["state"])[:1] == ["✓ kept"]
        assert objectives["met"].iloc[0].startswith("100.0% (")
        assert objectives["met"].iloc[0].endswith(") of 1")
    assert "Over the period of each flow's SLA" in text(app)


@pytest.fixture
def promised(watched: Stand) -> Stand:
    """An objective of each kind, the one about the window broken two days ago."""
    sla = "sla: {period: 5d, within: {1h: 0.5}, agreement: 0.9, coverage: 0.5, verified_within: 1d, strict: true}"
    watched.remap("sla: {dead_letters: 1}", sla)
    watched.agree(5)
    read_queue(watched)
    with watched.ledger.write() as transaction:
        for back, counts in (
            (4, {Verdict.MET: 500}),
            (2, {Verdict.MET: 9_000, Verdict.BREACH: 1_000}),
            (1, {Verdict.BREACH: 1}),
        ):
            at = watched.clock.now() - timedelta(days=back)
            watched.ledger.measurements.count_windows(transaction, "to_billing", counts, at)
    return watched


def test_the_sla_page_shows_the_days_of_the_gravest_objective(promised: Stand) -> None:
    app = run("sla")
    assert not app.exception
    objectives = table_with(app, "target")
    assert signs(objectives["state"])[:2] == ["✕ broken", "✕ broken"]
    assert objectives["met"].iloc[0].startswith("90.5% (")
    assert objectives["met"].iloc[0].endswith(") of 10,501")
    assert objectives["left"].iloc[0].startswith("overspent ")
    assert "2 of 7 objectives are broken:" in text(app)
    assert app.selectbox(key="objective").value == "to_billing: changes within the window of 4 s"
    days = table_with(app, "audited")
    assert signs(days["state"]) == [
        "– no traffic",  # today
        "? undecided",
        "✕ broken",
        "○ no data",
        "✓ kept",
        "○ no data",
    ]
    assert list(days["seen"])[2:4] == ["9,000 of 10,000 in time (90.00%)", "not audited"]
    assert days["audited"].iloc[0] != "0 of 24 h"
    told = text(app)
    for state in ("✓ kept: 1", "✕ broken: 1", "? undecided: 1", "– no traffic: 1", "○ no data: 2"):
        assert state in told
    calendar, burn, _ = app.get("plotly_chart")
    assert any("✕" in each for each in json.loads(calendar.proto.spec)["data"][1]["text"])
    assert "used up" in burn.proto.spec
    assert {"Records that differ →", "Incidents →", "Lag →"} <= set(links(app))


def test_every_objective_has_its_days(promised: Stand) -> None:
    names = run("sla").selectbox(key="objective").options
    assert len(names) == 7
    for name in names:
        app = run("sla", objective=name)
        assert not app.exception
        assert app.selectbox(key="objective").value == name
        assert len(table_with(app, "audited")) == 6
    assert "is not an objective of the map" in text(run("sla", objective="gone"))


def test_before_anything_is_on_file_the_days_say_what_to_do(watched: Stand) -> None:
    app = run("sla")
    assert "Nothing is on file for the last 28 days. Start the auditor with `auditor run`" in text(app)
    assert not app.get("plotly_chart")


def test_how_much_was_verified_is_shown_day_by_day(promised: Stand) -> None:
    app = run("sla", covered="to_billing")
    days = table_with(app, "failed")
    assert signs(days["state"]) == ["✓ verified", *["○ no data"] * 5]
    assert days["verified"].iloc[0] == "100.00%"
    assert "◐ in part: 0" in text(app)
    assert "is not a flow of the map" in text(run("sla", covered="to_biling"))


def test_a_map_that_promises_nothing_is_told_how(watched: Stand) -> None:
    watched.remap("    window: 4s\n", "    window: none\n")
    assert "promises nothing that could be kept or broken" in text(run("sla"))


def test_incidents_are_shown_of_the_flow_that_the_address_names(watched: Stand) -> None:
    drift(watched)
    assert len(table_with(run("incidents", flow="to_billing"), "what")) == 1
    assert "is not a flow of the map" in text(run("incidents", flow="to_biling"))
    with watched.ledger.database.unnumbered() as connection:
        connection.exec_driver_sql("UPDATE breaches SET flow = 'elsewhere'")
    forget()
    app = run("incidents", flow="to_billing")
    assert "No open incident matches: flow to_billing. None was resolved in the last hour either." in text(app)
    assert "The filters hide 1 other incident." in text(app)
    button(app, "Remove the filters").click().run()
    assert not app.exception
    assert len(table_with(app, "what")) == 1


def test_a_link_to_incidents_that_are_resolved_says_so_and_leads_to_them(watched: Stand) -> None:
    drift(watched)
    watched.run("billing", "UPDATE customers SET name = 'Ada' WHERE id = 3")
    watched.audit_until(lambda: watched.rows("incidents")[0]["resolved_at"])
    severity = str(watched.rows("incidents")[0]["severity"])
    app = run("incidents", severity=severity, flow="to_billing")
    assert f"No open incident matches: severity {severity}, flow to_billing." in text(app)
    assert "1 incident that matches was resolved in the last hour. No other incident is open." in text(app)
    button(app, "Include resolved").click().run()
    assert not app.exception
    assert len(table_with(app, "what")) == 1


def test_an_incident_of_a_flow_that_the_map_no_longer_names_has_its_page(watched: Stand) -> None:
    watched.agree(3)
    with watched.ledger.write() as transaction:
        values = incident_row(opened_at=watched.clock.now(), flow="gone", summary="of a flow that is gone")
        number = watched.ledger.incidents.save(transaction, 0, values)
    assert list(table_with(run("incidents"), "what")["what"]) == ["of a flow that is gone"]
    app = run("incidents", id=str(number))
    assert not app.exception
    assert not app.error
    assert next(each.value for each in app.header) == "of a flow that is gone"


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


def test_a_key_cannot_change_where_the_link_to_its_system_leads(watched: Stand) -> None:
    watched.remap("crm: {kind: sql, ", 'crm: {kind: sql, link: "https://crm.example/customers/{key}?tab=1", ')
    watched.remap("key_type: integer", "key_type: string")
    app = run("record", type="customer", key="../admin?x=1#y")
    assert not app.exception
    (link,) = app.get("link_button")
    assert link.proto.url == "https://crm.example/customers/..%2Fadmin%3Fx%3D1%23y?tab=1"
    assert link.proto.label == "Open in crm"


def test_the_picture_of_a_record_has_links_into_the_systems(watched: Stand) -> None:
    watched.remap("billing: {collection: ", 'billing: {link: "https://billing.example/{key}?a=1&b=2", collection: ')
    drift(watched)
    app = run("record", type="customer", key="3")
    assert ":material/open_in_new: Open in [billing](<https://billing.example/3?a=1&amp;b=2>)" in text(app)


def test_a_queue_that_cannot_be_read_is_not_called_empty(watched: Stand) -> None:
    settings = watched.map.queues["to_billing", "dead"]
    watched.run("billing", "ALTER TABLE letters RENAME TO posts")
    queue = QueueAuditor(
        flow=watched.map.flow("to_billing"),
        queue="dead",
        settings=settings,
        probe=open_queue_probe(settings, watched.map.systems["billing"]),
        ledger=watched.ledger,
    )
    queue.audit(watched.clock.now())
    told = text(run("dead-letters"))
    assert "to_billing, queue dead: cannot be read, so whether dead letters wait is not known" in told.replace(
        "\\", ""
    )
    assert "No dead letter is waiting" not in told
    watched.run("billing", "ALTER TABLE posts RENAME TO letters")
    queue.audit(watched.clock.now())
    assert "No dead letter is waiting" in text(run("dead-letters"))


def test_demo_waits_for_the_conflict_that_has_to_be_decided(
    watched: Stand, company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    with performing(company) as address:
        monkeypatch.setenv(navigation.COMPANY, address)
        app = local("demo")
        next(each for each in app.button if each.key == "break-two-teams").click().run()
        assert "Wait until the auditor has found the conflict" in text(app)
        assert not [each for each in app.button if "end it" in each.label]
        came_up = replace(OPEN, opened_at=datetime.now(UTC))
        with (
            patch.object(Data, "conflicts", lambda self, live_only: [came_up]),
            patch.object(Data, "decide_waiting", autospec=True) as decided,
        ):
            app.run()
            next(each for each in app.button if each.label == "Decide for crm and mend it").click().run()
        assert not app.exception
        assert decided.call_args.args[2] == "crm"
        while Stage(address).programme().playing is not None:
            pass


def test_demo_plays_a_scenario_and_shows_what_the_auditor_makes_of_it(
    watched: Stand, company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "`auditor demo` starts one that does" in text(run("demo"))
    with performing(company) as address:
        monkeypatch.setenv(navigation.COMPANY, address)
        assert "You can look on and not play." in text(run("demo"))
        app = local("demo")
        assert not app.exception
        assert "everything agrees" in text(app)
        buttons = {each.key: each for each in app.button}
        assert {f"break-{name}" for name in SCENARIOS} < buttons.keys()
        buttons["break-unreachable-crm"].click().run()
        said = text(app)
        assert SCENARIOS["unreachable-crm"].situation in said
        assert f"To do: {SCENARIOS['unreachable-crm'].person}" in said
        assert all(each.disabled for each in app.button if (each.key or "").startswith(("break", "prevent")))
        next(each for each in app.button if each.label == "Mend it now").click().run()
        while Stage(address).programme().playing is not None:
            pass
        (over,) = app.run().success
        assert "is over" in over.value
    assert "does not answer" in text(run("demo"))


def counted_rows() -> None:
    """A page with one table."""
    import pandas as pd

    from auditor.dashboard import tables

    rows = pd.DataFrame({"what": ["a", "b"], "records": [55208, 1], "note": ["", ""], "ended": [None, None]})
    tables.table(rows, key="one", alt="one", optional=("note", "ended"))
    tables.table(rows.assign(note=["", "x"]), key="two", alt="two", optional=("note", "ended"), figures=False)


def test_a_table_groups_the_digits_of_counts_and_leaves_out_optional_columns_that_hold_nothing() -> None:
    app = AppTest.from_function(counted_rows).run()
    assert not app.exception
    one, two = app.dataframe
    assert list(one.value.columns) == ["what", "records"]
    assert list(two.value.columns) == ["what", "records", "note"]
    assert "localized" in one.proto.columns
    assert "localized" not in two.proto.columns


def test_flows_on_which_no_message_failed_get_no_chart(disputed: Stand) -> None:
    read_queue(disputed)
    app = run("dead-letters")
    assert not app.exception
    assert "No failed message was seen on: to_billing (0 emitted)." in text(app).replace("\\", "")
    assert not app.get("plotly_chart")
    seen = [funnel.Stage(name=name, least=0, most=most, why="") for name, most in (("emitted", 9), ("failed", None))]
    assert dead_letters._nothing_failed(Funnel(flow="f", hours=1, stages=seen, fates={}))
    for least, most in ((None, None), (1, None), (0, 1)):
        later = funnel.Stage(name="queued", least=least, most=most, why="")
        assert not dead_letters._nothing_failed(Funnel(flow="f", hours=1, stages=[*seen, later], fates={}))
