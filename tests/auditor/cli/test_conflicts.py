"""Conflicts and repair from the command line: listed, decided, proposed, and nothing executed."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from auditor.cli import conflicts
from checks.escalation import State
from tests.auditor.cli.process import auditor, places_of
from tests.stand import Stand


def double(stand: Stand) -> list[object]:
    """Make an installation with a conflict that waits for a person; returns its places."""
    places = places_of(stand)
    stand.fill(3)
    assert auditor("once", *places).returncode == 0
    stand.run("billing", "INSERT INTO customers SELECT * FROM customers WHERE id = 2")
    stand.run("billing", "UPDATE customers SET name = 'Eve' WHERE id = 3")
    assert auditor("once", *places).returncode == 1
    return places


@pytest.fixture
def doubled(stand: Stand) -> list[object]:
    return double(stand)


@pytest.fixture(scope="module")
def doubled_for_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[object]]:
    """The same for tests that change nothing there."""
    stand = Stand(tmp_path_factory.mktemp("doubled"))
    yield double(stand)
    stand.close()


def test_conflicts_are_listed_shown_and_decided(doubled: list[object]) -> None:
    data = doubled[2:4]
    listed = auditor("conflicts", *data)
    assert (listed.returncode, "several rows in billing" in listed.stdout) == (1, True), listed.stderr
    (row,) = json.loads(auditor("conflicts", *data, "--json").stdout)
    assert (row["key"], row["state"]) == ("2", "open")
    assert json.loads(auditor("conflicts", "list", *data, "--json").stdout) == [row]
    number = str(row["conflict_id"])
    shown = auditor("conflicts", "show", number, *doubled)
    assert "why it needs a person" in shown.stdout
    more = ["--who", "ada", "--within", "2h", "--text", "it is old"]
    decided = auditor("conflicts", "decide", number, "crm", *doubled, *more)
    assert decided.returncode == 0, decided.stderr
    told = json.loads(auditor("conflicts", "show", number, *doubled, "--json").stdout)
    assert told["conflict"]["state"] == "decided"
    assert [(each["act"], each["who"]) for each in told["decisions"]] == [("opened", "auditor"), ("decide", "ada")]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--state", "open", "--flow", "to_*", "--cause", "*"], 1),
        (["list", "--flow", "to_billing"], 1),
        (["list", "--state", "decided"], 0),
        (["--flow", "elsewhere"], 0),
        (["--mine", "--by", "ada"], 0),
    ],
)
def test_conflicts_are_chosen_by_what_they_are(words: list[str], found: int, doubled_for_all: list[object]) -> None:
    done = auditor("conflicts", *words, *doubled_for_all[2:4], "--json")
    assert (len(json.loads(done.stdout)), done.returncode) == (found, found), done.stderr
    told = auditor("conflicts", *words, *doubled_for_all[2:4]).stderr
    assert ("no conflicts that match are waiting" in told) == (not found)


@pytest.mark.parametrize(
    ("option", "word", "said"),
    [
        ("--state", "opne", "did you mean 'open'"),
        ("--cause", "duplicte", "--cause: there is no cause 'duplicte'; did you mean 'duplicate'?"),
    ],
)
def test_an_unknown_state_or_cause_is_a_usage_error(
    option: str, word: str, said: str, doubled_for_all: list[object]
) -> None:
    done = auditor("conflicts", "list", option, word, *doubled_for_all[2:4])
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert [*conflicts.STATES] == [*State]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["show", "99"], "there is no conflict 99"),
        (["show", "9" * 20], f"there is no conflict {'9' * 20}"),
        (["assign", "9" * 20, "ada"], f"there is no conflict {'9' * 20}"),
        (["comment", "9" * 20, "old"], f"there is no conflict {'9' * 20}"),
        (["decide", "9" * 20, "crm"], f"there is no conflict {'9' * 20}"),
        (["defer", str(2**63), "1h"], f"there is no conflict {2**63}"),
        (["decide", "1", "shop"], "not for shop"),
        (["decide", "99", "crm"], "there is no conflict 99"),
        (["defer", "1", "soon"], "not a duration"),
        (["decide", "1", "crm", "--within", "x"], "not a duration"),
        (["comment", "1", ""], "comment is empty"),
        (["show", "zero"], "valid integer"),
    ],
)
def test_acts_that_make_no_sense_are_usage_errors(words: list[str], said: str, doubled_for_all: list[object]) -> None:
    done = auditor("conflicts", *words, *doubled_for_all)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert "Traceback" not in done.stderr


def test_no_conflict_is_said_and_consistent(stand: Stand, places: list[object]) -> None:
    stand.agree(1)
    done = auditor("conflicts", *places[2:4], AUDITOR_LEDGER=stand.ledger_url)
    assert (done.returncode, done.stdout, "no conflicts are waiting" in done.stderr) == (0, "", True)


def test_repair_proposes_and_executes_nothing(stand: Stand, doubled: list[object]) -> None:
    done = auditor("repair", *doubled)
    assert done.returncode == 0, done.stderr
    assert "UPDATE customers SET name='Ada' WHERE id = 3 AND name = 'Eve';" in done.stdout
    assert "a person must decide" in done.stdout
    assert "1 proposal, 1 record without a proposal" in done.stderr
    assert {row["action"] for row in json.loads(auditor("repair", *doubled, "--format", "json").stdout)} == {
        "update",
        "none",
    }
    assert auditor("repair", *doubled, "--format", "csv").stdout.startswith("flow,data_type,key")
    with stand.open("billing") as database:
        assert database.execute("SELECT name FROM customers WHERE id = 3").fetchone() == ("Eve",)
