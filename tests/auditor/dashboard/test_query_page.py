"""The Query page: running, links, history, charts, exports, saved queries, and the views beside it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from auditor.dashboard import result_chart
from auditor.dashboard.pages.query import EXAMPLES
from auditor.dashboard.query_sheet import LINK_BYTES, Sheet
from auditor.desk.shelf import Shelf
from tests.auditor.dashboard.page_runs import button, drift, local, run, table_with, text
from tests.stand import Stand

PLAIN = "SELECT state, count(*) AS records FROM divergences GROUP BY ALL"


def editor(app: AppTest) -> str:
    return str(app.text_area(key="sql-text").value)


def sheet(app: AppTest) -> Sheet:
    found: Sheet = app.session_state["_query_sheet"]
    return found


def shelf(stand: Stand, who: str) -> Shelf:
    """The saved queries, for someone whose SQL is not checked."""
    return Shelf(stand.ledger, who=who, known_by="test", check=lambda _: None)


def ask(app: AppTest, sql: str) -> AppTest:
    app.text_area(key="sql-text").set_value(sql)
    button(app, "Run").click().run()
    assert not app.exception
    return app


def test_a_query_is_answered_and_its_address_can_be_sent(watched: Stand) -> None:
    drift(watched)
    app = ask(run("query"), PLAIN)
    assert "1 row in" in text(app)
    assert list(table_with(app, "records")["records"]) == [1]
    assert app.query_params["sql"] == PLAIN
    assert {each.proto.label for each in app.get("download_button")} == {"Export CSV", "Export Parquet"}
    app.text_area(key="sql-text").set_value("SELECT 2").run()
    assert "The editor has changed since; this is the result of:" in text(app)
    assert PLAIN in text(app)


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("DROP TABLE x", "only SELECT"),
        ("SELECT flw FROM changes", "there is no column 'flw' in changes; did you mean 'flow'?"),
        (" ", "there is no statement; write a SELECT over the views"),
    ],
)
def test_a_query_that_is_refused_is_told_why_and_what_to_do(sql: str, said: str, watched: Stand) -> None:
    drift(watched)
    app = ask(run("query"), sql)
    assert said in text(app)
    assert sheet(app).tried[0].outcome == "refused"


def test_before_anything_was_written_examples_are_offered(watched: Stand) -> None:
    drift(watched)
    app = run("query")
    assert "start from an example" in text(app)
    app.button(key="example-empty-Slowest changes").click().run()
    assert editor(app) == EXAMPLES["Slowest changes"]
    assert not sheet(app).tried


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_is_answered(name: str, watched: Stand) -> None:
    drift(watched)
    app = ask(run("query"), EXAMPLES[name])
    assert not sheet(app).error


def test_the_slowest_changes_are_drawn_though_rows_share_flow_and_verdict() -> None:
    at = datetime(2026, 3, 2, 9, tzinfo=UTC)
    rows = [
        {
            "committed_to_at": at + timedelta(seconds=number),
            "lag_lower_s": 60.0 - number,
            "flow": "to_billing",
            "key": str(number % 2),
            "verdict": "met",
            "lag_upper_s": 70.0,
            "window_s": 10.0,
        }
        for number in range(4)
    ]
    selected = re.findall(r"\w+", EXAMPLES["Slowest changes"].partition("FROM")[0])[1:]
    found = pd.DataFrame(rows)[selected]
    plan = result_chart.proposed(found, result_chart.columns_of(found))
    assert (plan.across, plan.up) == ("committed_to_at", ("lag_lower_s",))
    assert result_chart.why_not_drawn(found, plan) == ""


def test_a_link_shows_its_query_and_does_not_run_it(watched: Stand) -> None:
    drift(watched)
    app = run("query", sql=PLAIN)
    assert editor(app) == PLAIN
    assert "This query comes from a link. It has not been run" in text(app)
    assert sheet(app).result is None
    button(app, "Run").click().run()
    assert "This query comes from a link" not in text(app)
    assert sheet(app).result is not None
    app.text_area(key="sql-text").set_value("SELECT 2").run()
    assert editor(app) == "SELECT 2"  # the address is taken once


def test_a_link_that_is_too_long_or_deceives_is_told(watched: Stand) -> None:
    drift(watched)
    app = run("query", sql="SELECT 1 --" + "x" * LINK_BYTES)
    assert "links take up to 4,000 characters" in text(app)
    assert editor(app) == ""
    app = run("query", sql="SELECT '\u202e' AS a")
    assert "characters that cannot be seen" in text(app)
    assert any("\u202e" not in each.value and "SELECT" in each.value for each in app.code)
    app = ask(run("query"), "SELECT 1 AS " + '"' + "y" * LINK_BYTES + '"')
    assert "too long for a link" in text(app)
    assert "sql" not in app.query_params


def test_markdown_in_a_link_is_not_drawn(watched: Stand) -> None:
    drift(watched)
    app = run("query", sql="SELECT '![x](https://a.example/x.png)' FROM nowhere")
    button(app, "Run").click().run()
    assert all("a.example" not in each.value for each in [*app.markdown, *app.caption, *app.info, *app.warning])
    assert "a.example" in app.query_params["sql"]


def test_the_sessions_queries_are_listed_and_one_comes_back_with_a_click(watched: Stand) -> None:
    drift(watched)
    app = ask(run("query"), PLAIN)
    ask(app, "SELECT 2")
    app.run()
    listed = table_with(app, "outcome")
    assert list(listed["query"]) == ["SELECT 2", PLAIN]
    assert list(listed["outcome"]) == ["1 row", "1 row"]


def test_a_result_is_drawn_where_its_columns_allow_it(watched: Stand) -> None:
    drift(watched)
    app = ask(run("query"), "SELECT hour, hour * 2 AS records FROM range(3) AS t(hour)")
    assert len(app.get("plotly_chart")) == 1
    app = ask(app, "SELECT * FROM (VALUES ('a', 1), ('a', 2)) AS t(flow, records)")
    assert len(app.get("plotly_chart")) == 0
    assert "1 row would lie on top of others with the same x" in text(app)
    app = ask(app, "SELECT 'a' AS flow FROM range(2)")
    assert "it takes a column of numbers" in text(app)


def test_the_views_beside_it_have_types_meanings_and_a_select(watched: Stand) -> None:
    drift(watched)
    app = run("query")
    app.text_input(key="views-filter").set_value("clock_steps").run()
    assert not app.exception
    assert "| `stepped_at` | instant |" in text(app)
    app.button(key="select-clock_steps").click().run()
    assert editor(app).startswith("SELECT id, system, stepped_at")
    assert editor(app).endswith("FROM clock_steps\nLIMIT 100")
    app.text_input(key="views-filter").set_value("no such thing").run()
    assert "No view and no column matches" in text(app)


def test_whoever_may_only_look_can_run_and_not_save(watched: Stand) -> None:
    drift(watched)
    app = ask(run("query"), PLAIN)
    assert "You can run queries and not save them." in text(app)
    assert not [each for each in app.button if each.label == "Save for everyone"]


def test_a_query_is_saved_changed_renamed_and_deleted_on_the_page(watched: Stand) -> None:
    drift(watched)
    app = ask(local("query"), PLAIN)
    app.text_input(key="save-name-").set_value("States *now*")
    app.text_input(key="who").set_value("")
    button(app, "Save for everyone").click().run()
    assert "enter your name" in text(app)
    app.text_input(key="who").set_value("ada")
    app.text_input(key="save-description-").set_value("how many are open")
    button(app, "Save for everyone").click().run()
    assert not app.exception
    (kept,) = watched.ledger.saved_queries.listed()
    assert (kept.name, kept.sql, kept.who, kept.known_by) == (
        "States *now*",
        PLAIN,
        "ada",
        "local operator, not signed in",
    )
    assert "\\*now\\*" in text(app)
    assert list(table_with(app, "description")["by"]) == ["ada"]
    app.text_area(key="sql-text").set_value("SELECT 2").run()
    assert "changed here and not saved" in text(app)
    next(each for each in app.text_input if each.label == "Name").set_value("Two")
    button(app, "Save changes").click().run()
    (kept,) = watched.ledger.saved_queries.listed()
    assert (kept.name, kept.sql, kept.description) == ("Two", "SELECT 2", "how many are open")
    button(app, "Save as new").click().run()
    assert "there is a saved query 'Two' already" in text(app)
    button(app, "Delete").click().run()
    assert "Tick the box first" in text(app)
    app.checkbox[0].check()
    button(app, "Delete").click().run()
    assert watched.ledger.saved_queries.listed() == []
    assert editor(app) == "SELECT 2"


def test_what_someone_else_changed_meanwhile_is_not_overwritten(watched: Stand) -> None:
    drift(watched)
    number = shelf(watched, "bob").save("x", "SELECT 1")
    app = local("query", saved=str(number))
    assert editor(app) == "SELECT 1"
    shelf(watched, "eve").change(number, sql="SELECT 2")
    app.text_input(key="who").set_value("ada")
    button(app, "Save changes").click().run()
    assert "was changed by eve" in text(app)
    assert watched.ledger.saved_queries.listed()[0].sql == "SELECT 2"


def test_a_query_that_would_be_refused_is_not_saved_and_a_saved_one_can_be_renamed_and_deleted(
    watched: Stand,
) -> None:
    drift(watched)
    app = local("query")
    app.text_area(key="sql-text").set_value("SELECT nothing FROM changes")
    app.text_input(key="who").set_value("ada")
    app.text_input(key="save-name-").set_value("x")
    button(app, "Save for everyone").click().run()
    assert "Not saved, because the query would be refused:" in text(app)
    assert "nothing" in text(app)
    assert watched.ledger.saved_queries.listed() == []
    number = shelf(watched, "bob").save("y", "DROP TABLE changes")
    app = local("query", saved=str(number))
    app.text_input(key="who").set_value("ada")
    next(each for each in app.text_input if each.label == "Name").set_value("z")
    button(app, "Save changes").click().run()
    assert [each.name for each in watched.ledger.saved_queries.listed()] == ["z"]
    app.checkbox[0].check()
    button(app, "Delete").click().run()
    assert watched.ledger.saved_queries.listed() == []


def test_a_link_to_a_saved_query_opens_it_and_a_dead_one_says_so(watched: Stand) -> None:
    drift(watched)
    number = shelf(watched, "bob").save("x", "SELECT '\ud800' AS half")
    app = run("query", saved=str(number))
    assert editor(app) == "SELECT '?' AS half"
    app = run("query", saved="77")
    assert "does not exist any more" in text(app)
    app = ask(run("query", saved="x"), "SELECT 1")
    assert "saved" not in app.query_params
