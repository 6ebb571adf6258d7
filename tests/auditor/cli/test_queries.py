"""Saved queries from the command line: each verb, what it prints, and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from auditor.cli import app
from tests.stand import Stand


class Shell:
    """A terminal next to a ledger."""

    def __init__(self, stand: Stand) -> None:
        self.stand = stand

    def run(self, *words: str, by: str = "ada", given: str | None = None) -> Result:
        environment = {"AUDITOR_USER": by, "AUDITOR_LEDGER": self.stand.ledger_url}
        data = ["--data", str(self.stand.place / "var")]
        return CliRunner(env=environment).invoke(app, [*words, *data], input=given)

    def document(self, *words: str) -> Any:
        done = self.run(*words, "--json")
        assert done.exit_code == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def shell(stand: Stand) -> Shell:
    return Shell(stand)


def test_a_query_is_saved_listed_shown_run_renamed_and_deleted(shell: Shell) -> None:
    assert "no query has been saved yet" in shell.run("queries").stderr
    words = ("queries", "save", "Two", "SELECT 1 + 1 AS two", "--description", "the number two")
    assert shell.run(*words).stderr == "saved\n"
    (kept,) = shell.document("queries")
    assert (kept["name"], kept["sql"], kept["who"]) == ("Two", "SELECT 1 + 1 AS two", "ada")
    assert kept["known_by"].startswith("command line, login ")
    assert "the number two" in shell.run("queries").stdout
    shown = shell.run("queries", "show", "two")
    assert shown.stdout == "SELECT 1 + 1 AS two\n"
    assert "saved by ada" in shown.stderr
    assert shell.document("query", "--saved", "TWO")["rows"] == [{"two": 2}]
    assert shell.run("queries", "rename", "two", "-- Three", by="bob").stderr == "renamed\n"
    assert shell.document("queries", "show", "-- three")["changed_by"] == "bob"
    refused = shell.run("queries", "delete", "-- Three")
    assert refused.exit_code == 2
    assert "would be deleted for everyone: add --yes" in refused.stderr
    assert shell.run("queries", "delete", "-- Three", "--yes").stderr == "deleted\n"
    assert shell.document("queries") == []


def test_a_name_is_only_taken_over_when_that_is_asked_for(shell: Shell) -> None:
    shell.run("queries", "save", "x", "-", given="SELECT 1")
    refused = shell.run("queries", "save", "X", "SELECT 2", by="bob")
    assert refused.exit_code == 2
    assert "there is a saved query 'x' already, saved by ada" in refused.stderr
    assert shell.run("queries", "save", "X", "SELECT 2", "--replace", by="bob").stderr == "changed\n"
    assert shell.document("query", "--saved", "x")["rows"] == [{"2": 2}]
    assert shell.document("queries", "save", "y", "SELECT 3", "--replace")["sql"] == "SELECT 3"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("query", "--saved", "Slow flow"), "there is no saved query 'Slow flow'; did you mean 'Slow flows'?"),
        (("query", "SELECT 1", "--saved", "x"), "give the SQL or --saved, not both"),
        (("queries", "show", "x"), "there is no saved query 'x'; known: Slow flows"),
        (("queries", "rename", "x", "y"), "there is no saved query 'x'"),
        (("queries", "rename", "slow flows", " "), "the name of the query is missing"),
        (("queries", "delete", "x", "--yes"), "there is no saved query 'x'"),
        (("queries", "save", "x"), "give the SQL as one argument"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_reason(words: tuple[str, ...], said: str, shell: Shell) -> None:
    shell.run("queries", "save", "Slow flows", "SELECT 1")
    done = shell.run(*words)
    assert done.exit_code == 2
    assert said in done.stderr


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("DROP TABLE changes", "only SELECT statements are run here"),
        ("SELECT 1; SELECT 2", "exactly one statement is allowed"),
        ("SELECT * FROM nowhere", "nowhere"),
        ("SELECT no_such_column FROM changes", "no_such_column"),
        ("SELECT getenv('HOME')", "getenv"),
    ],
)
def test_a_query_that_would_be_refused_is_not_saved(sql: str, said: str, shell: Shell) -> None:
    shell.run("queries", "save", "one", "SELECT 1")
    for words in (("two", sql), ("one", sql, "--replace")):
        done = shell.run("queries", "save", *words)
        assert done.exit_code == 2
        assert "error: not saved, because the query would be refused: " in done.stderr
        assert said in done.stderr
    assert [(each["name"], each["sql"]) for each in shell.document("queries")] == [("one", "SELECT 1")]
