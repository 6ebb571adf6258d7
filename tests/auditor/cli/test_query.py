"""`auditor query`: answers as tables and as JSON, and what it refuses."""

from __future__ import annotations

import json

from tests.auditor.cli.process import auditor
from tests.stand import Stand


def test_query_answers_and_refuses(stand: Stand, places: list[object]) -> None:
    auditor("once", *places)
    good = auditor(
        "query", "SELECT flow, sum(read) AS n FROM probe_runs GROUP BY flow", "--data", places[3], "--json"
    )
    assert json.loads(good.stdout)["rows"] == [{"flow": "to_billing", "n": 0}]
    bad = auditor("query", "DROP TABLE live_changes", "--data", places[3])
    assert (bad.returncode, "only SELECT" in bad.stderr) == (2, True)
    misspelt = auditor("query", "SELECT flw FROM probe_runs", "--data", places[3])
    assert misspelt.returncode == 2
    assert misspelt.stderr == "error: there is no column 'flw' in probe_runs; did you mean 'flow'?\n"
    unreadable = auditor("query", "SELECT flow FROM probe_runs LIMIT", "--data", places[3])
    lines = unreadable.stderr.splitlines()
    assert ("LIMIT" in lines[0], lines[2].startswith("LINE 1: "), "␊" in unreadable.stderr) == (True, True, False)


def test_bytes_of_an_answer_are_hex_digits(places: list[object]) -> None:
    auditor("once", *places)
    done = auditor("query", "SELECT '\\xFFA'::BLOB AS raw, ['\\x00'::BLOB] AS many", *places[2:], "--json")
    assert json.loads(done.stdout)["rows"] == [{"raw": "ff41", "many": ["00"]}]


def test_a_query_may_begin_with_a_comment(stand: Stand, places: list[object]) -> None:
    done = auditor(
        "query",
        "-- how many\nSELECT count(*) AS n FROM changes",
        "--json",
        "--data",
        places[3],
        AUDITOR_LEDGER=stand.ledger_url,
    )
    assert (done.returncode, json.loads(done.stdout or "{}").get("rows")) == (0, [{"n": 0}]), done.stderr


def test_a_query_with_numbers_that_json_has_none_for_is_strict_json(places: list[object]) -> None:
    auditor("once", *places, "--wait", "0s")
    done = auditor("query", "SELECT 'nan'::double a, '-inf'::double b", "--json", *places[2:])

    def refuse(token: str) -> object:
        raise AssertionError(token)

    (row,) = json.loads(done.stdout, parse_constant=refuse)["rows"]
    assert row == {"a": "NaN", "b": "-Infinity"}
