"""What all commands share: the map, the data folder and the ledger they open, and wrong words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.auditor.cli.process import auditor, places_of
from tests.stand import Stand


@pytest.mark.parametrize("command", ["once", "doctor", "run"])
def test_the_auditors_own_ledger_is_no_system(command: str, stand: Stand) -> None:
    ledger = stand.place / "var" / "ledger.sqlite"
    (stand.place / "link").symlink_to(ledger)
    text = stand.map_file.read_text()
    stand.map_file.write_text(text.replace("/billing.sqlite", "/link"))
    done = auditor(command, *places_of(stand))
    assert done.returncode == 2
    assert f"map.yaml:3:24 systems.billing.url: {ledger} is the auditor's own ledger" in done.stderr
    checked = auditor("check", "--map", stand.map_file, AUDITOR_LEDGER=f"sqlite:///{ledger}")
    assert (checked.returncode, "the auditor's own ledger" in checked.stdout) == (2, True)
    assert auditor("check", "--map", stand.map_file).returncode == 0


def test_a_map_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    for command in (["check"], ["doctor"], ["run"], ["once"], ["status"], ["record", "a", "1"]):
        done = auditor(*command, cwd=tmp_path)
        assert done.returncode == 2
        assert "auditor init" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words",
    ["check --map", "map --diff", "status --data", "query --file", "queries save x --file", "demo play --data"],
)
def test_an_empty_path_is_not_taken_for_the_current_folder(words: str) -> None:
    done = auditor(*words.split(), "")
    assert done.returncode == 2
    assert "it is empty; name a path" in " ".join(done.stderr.replace("│", "").split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["once", "--wait", "soon"], "not a duration"),
        (["once", "--flow", "to_biling"], "did you mean 'to_billing'"),
        (["once", "--fail-on", "lat"], "did you mean 'late'"),
        (["once", "--fail-on", " , "], "--fail-on is empty; name causes, or write any or never"),
        (["record", "custmer", "1"], "did you mean 'customer'"),
        (["record", "customer", "abc"], "is not a valid key of customer"),
    ],
)
def test_wrong_words_are_usage_errors(words: list[str], said: str, stand: Stand) -> None:
    done = auditor(*words, "--map", stand.map_file, AUDITOR_DATA=str(stand.place / "var"))
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert "Traceback" not in done.stderr


READING = ("status", "drift", "lag", "coverage", "backlog", "letters", "incidents", "conflicts", "repair")


@pytest.mark.parametrize("command", [*READING, "query"])
def test_a_command_that_only_reads_makes_no_ledger_and_says_that_there_is_none(
    stand: Stand, places: list[object], command: str
) -> None:
    words = places[2:4] if command in {"incidents", "conflicts", "query"} else places
    asked = [command, *(["SELECT 1"] if command == "query" else ()), *words]
    done = auditor(*asked)
    said = f"there is no ledger in {stand.place}/var yet: run `auditor run` or `auditor once`, or point --data to it"
    assert (done.returncode, done.stdout, said in done.stderr) == (3, "", True), done.stderr
    assert not (stand.place / "var").exists()
    if command != "repair":
        told = auditor(*asked, "--json")
        assert (told.returncode, json.loads(told.stdout)) == (3, {"error": said})
    (stand.place / "var").mkdir()
    assert auditor(*asked).returncode == 3
    assert list((stand.place / "var").iterdir()) == []


@pytest.mark.parametrize("command", READING)
def test_before_the_first_audit_nothing_looks_fine(stand: Stand, places: list[object], command: str) -> None:
    words = places[2:4] if command in {"incidents", "conflicts"} else places
    done = auditor(command, *words, AUDITOR_LEDGER=stand.ledger_url)
    assert (done.returncode, "no open" in done.stderr, "no conflict" in done.stderr) == (3, False, False), done.stderr
    if command not in {"repair", "status"}:
        told = auditor(command, *words, "--json", AUDITOR_LEDGER=stand.ledger_url)
        json.loads(told.stdout)
        assert told.returncode == 3
    if command == "lag":
        assert "no data: never audited" in done.stderr
        assert "no traffic" not in done.stdout


def test_a_file_is_no_data_folder(places: list[object], tmp_path: Path) -> None:
    file = tmp_path / "some.file"
    file.touch()
    done = auditor("once", *places[:2], "--data", file)
    assert (done.returncode, "is a file, not a folder" in done.stderr) == (2, True), done.stderr


def test_a_ledger_that_cannot_be_opened_is_said(stand: Stand) -> None:
    done = auditor("status", "--map", stand.map_file, AUDITOR_LEDGER="mysql://x/y")
    assert (done.returncode, "postgresql://" in done.stderr) == (2, True)
    assert "Traceback" not in done.stderr
