"""`auditor record`: one record in every system, and keys that look like options."""

from __future__ import annotations

import json

import pytest

from tests.auditor.cli.process import auditor
from tests.stand import Stand


def test_record_shows_every_system_side_by_side(stand: Stand, places: list[object]) -> None:
    stand.put("crm", 7, "Ada")
    stand.put("billing", 7, "Eve")
    done = auditor("record", "customer", "7", "--map", stand.map_file)
    assert done.returncode == 1
    for word in ("crm (owner)", "billing (copy)", "Ada", "Eve"):
        assert word in done.stdout
    told = json.loads(auditor("record", "customer", "7", "--map", stand.map_file, "--json").stdout)
    assert (told["verdict"], told["differing"]) == ("differs", ["name"])
    assert [each["link"] for each in told["copies"]] == [None, None]
    stand.remap("billing: {collection: ", 'billing: {link: "https://billing.example/c/{key}", collection: ')
    linked = auditor("record", "customer", "7", "--map", stand.map_file)
    assert "open in billing: https://billing.example/c/7\n" in linked.stdout
    absent = auditor("record", "customer", "999", "--map", stand.map_file)
    assert (absent.returncode, "not found" in absent.stdout) == (3, True)


@pytest.mark.parametrize("kind", ["integer", "string"])
def test_an_empty_key_is_refused(stand: Stand, kind: str) -> None:
    stand.remap("key_type: integer", f"key_type: {kind}")
    done = auditor("record", "customer", "", "--map", stand.map_file)
    assert (done.returncode, "'' is not a valid key of customer: it is empty" in done.stderr) == (2, True), done


@pytest.mark.parametrize("words", [["-5"], ["--", "-5"], ["--json", "-5"], ["-5", "--json"]])
def test_a_key_may_begin_with_a_dash(stand: Stand, words: list[str]) -> None:
    stand.put("crm", -5)
    stand.put("billing", -5)
    done = auditor("record", "customer", *words, "--map", stand.map_file)
    if words[0] == "--":  # everything behind it is an argument, also --map
        assert (done.returncode, "unexpected extra argument" in done.stderr) == (2, True)
        done = auditor("record", "--map", stand.map_file, "customer", *words)
    assert (done.returncode, "-5" in done.stdout) == (0, True), done.stderr


def test_a_misspelt_option_is_no_key(stand: Stand) -> None:
    done = auditor("record", "customer", "5", "--mapp", stand.map_file)
    assert (done.returncode, "No such option" in done.stderr) == (2, True), done.stderr


def test_json_is_shown_as_json(stand: Stand) -> None:
    stand.remap("amount: {type: decimal, evidence: clear, valid: {min: 0}}", "amount: {type: json, evidence: clear}")
    stand.put("crm", 1, amount='{"b": [1, 2.50, null], "a": {"c": true}}')
    stand.put("billing", 1, amount='{"b": [1, 2.5, null], "a": {"c": false}}')
    shown = auditor("record", "customer", "1", "--map", stand.map_file, COLUMNS="300")
    assert '"c": true' in shown.stdout, shown.stdout
    assert "('" not in shown.stdout
    told = json.loads(auditor("record", "customer", "1", "--map", stand.map_file, "--json").stdout)
    assert json.loads(told["copies"][1]["cells"]["amount"]["text"]) == {"a": {"c": False}, "b": [1, 2.5, None]}
