"""What is said about a statement that the engine rejects: the nearest name, and what to do instead."""

from __future__ import annotations

import duckdb
import pytest

from auditor.console.advice import advised, no_function, no_table_function, no_view

COLUMNS = {"changes": ["flow", "key", "settled_at", "lag_lower_s"]}


def said(sql: str) -> str:
    """What is said of a statement over two of the views, as the engine words its errors."""
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(
            "CREATE TABLE changes (flow VARCHAR, key VARCHAR, settled_at TIMESTAMPTZ, lag_lower_s DOUBLE)"
        )
        connection.execute("INSERT INTO changes VALUES ('a', 'b', now(), 1)")
        with pytest.raises(duckdb.Error) as error:
            connection.sql(sql).fetchall()
    return advised(str(error.value), sql, COLUMNS)


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("SELECT flw FROM changes", "there is no column 'flw' in changes; did you mean 'flow'?"),
        ("SELECT FLWO FROM changes", "there is no column 'FLWO' in changes; did you mean 'flow'?"),
        (
            "SELECT c.setled_at FROM changes c",
            "there is no column 'setled_at' in changes; did you mean 'settled_at'?",
        ),
        (
            "SELECT recrds FROM (SELECT count(*) AS records FROM changes)",
            "there is no column 'recrds'; did you mean 'records'?",
        ),
        (
            "SELECT * FROM changes JOIN changes c USING (kee)",
            "there is no column 'kee' in changes; did you mean 'key'?",
        ),
        (
            'SELECT * FROM changes WHERE flow = "to_billing\'s"',
            'there is no column "to_billing\'s" in changes; double quotes name a column: write a text in single '
            "quotes, 'to_billing''s'",
        ),
        ("SELECT steady_at FROM changes", "there is no column 'steady_at' in changes; did you mean 'settled_at'?"),
        (
            "SELECT cause FROM changes",
            "there is no column 'cause' in changes; divergences, incidents, conflicts have one",
        ),
        ("SELECT xyz FROM changes", "its columns: flow, key, settled_at, lag_lower_s"),
        ("SELECT xyz FROM changes, (SELECT 1 FROM changes)", "DESCRIBE lists the columns of a view"),
        (
            "SELECT d.flow FROM changes c",
            "there is no table or alias 'd' in FROM; name columns with one that is there: c",
        ),
        ("SELECT flow", "because the statement has no FROM; add the view"),
        ("SELECT flow FROM changes GROUP BY key", "write GROUP BY ALL, add it to GROUP BY"),
        ("SELECT sum(flow) FROM changes", "Cast an argument, such as x::DOUBLE"),
        ("SELECT settled_at - 1 FROM changes", "subtract an interval, such as now() - INTERVAL 1 HOUR"),
        ("SELCT flow FROM changes", "did you mean SELECT?"),
        ("SELECT flow FROM changes ORDER BY at", 'if it is a name, write it in double quotes: "at"'),
        ("SELECT flow::INTEGER FROM changes", "try_cast(x AS type) gives NULL"),
    ],
)
def test_a_rejected_statement_is_told_what_to_do(sql: str, told: str) -> None:
    assert told in said(sql)


def test_candidates_of_functions_are_not_listed() -> None:
    assert "\n" not in said("SELECT settled_at - 1 FROM changes")


def test_a_message_that_is_not_understood_stays_as_it_is() -> None:
    assert advised("Some Error: x", "SELECT 1", {}) == "Some Error: x"


def test_what_does_not_exist_or_is_not_allowed_names_the_nearest() -> None:
    assert no_view("changs").endswith("did you mean 'changes'?")
    assert "there are: probe_runs, changes, " in no_view("x.parquet")
    assert no_function("date_trunk").endswith("did you mean 'date_trunc'?")
    assert no_function("getenv").endswith("only functions that read nothing but their arguments are allowed")
    assert no_table_function("generate_serie").endswith("did you mean 'generate_series'?")
    assert "read a view, or use one of generate_series, json_each" in no_table_function("read_csv")
