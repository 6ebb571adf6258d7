"""`auditor once`: its verdicts and exit codes, and what it could not read."""

from __future__ import annotations

import json
from contextlib import closing

import pytest

from auditor.audit.once import audit_once
from auditor.workspace import Workspace
from tests.auditor.cli.process import auditor, places_of
from tests.stand import Stand


def test_once_tells_consistent_drift_and_could_not_verify_apart(stand: Stand, places: list[object]) -> None:
    for key in (1, 2, 3):
        stand.put("crm", key)
        stand.put("billing", key)
    good = auditor("once", *places)
    assert good.returncode == 0, good.stderr
    assert "consistent" in good.stdout
    stand.run("billing", "UPDATE customers SET name = 'Eve' WHERE id = 2")
    drift = auditor("once", *places, "--json")
    assert drift.returncode == 1
    assert json.loads(drift.stdout)[0]["verdict"] == "1 foreign_write"
    assert auditor("once", *places, "--fail-on", "late,lost").returncode == 0
    stand.put("billing", 2)
    stand.put("billing", 3, amount="twelve")
    assert auditor("once", *places).returncode == 3
    stand.run("billing", "ALTER TABLE customers RENAME TO clients")
    broken = auditor("once", *places)
    assert broken.returncode == 3
    assert "customers" in broken.stderr


def test_what_a_failed_read_left_unread_is_an_error_and_no_count(stand: Stand, places: list[object]) -> None:
    for key in (1, 2, 3):
        stand.put("crm", key)
    stand.run("billing", "ALTER TABLE customers RENAME TO clients")
    done = auditor("once", *places, "--json")
    (told,) = json.loads(done.stdout)
    assert (told["verdict"], done.returncode, "billing: no table named" in told["error"]) == ("unverified", 3, True)
    assert (told["cannot_verify"], told["counts"]["unverified"], told["unverified_records"]) == (0, 0, [])
    for command in ("status", "repair"):
        shown = auditor(command, *places)
        assert (shown.returncode, "billing: query since" in shown.stdout + shown.stderr) == (3, True)
        assert "never audited" not in shown.stdout + shown.stderr


def test_records_that_cannot_be_read_are_told_one_by_one_with_the_reason(stand: Stand, places: list[object]) -> None:
    for key in (1, 2, 3):
        stand.put("crm", key)
        stand.put("billing", key, "Eve" if key == 1 else "Ada", "twelve" if key == 3 else "1.00")
    done = auditor("once", *places, "--json")
    assert done.returncode == 1, done.stderr
    (told,) = json.loads(done.stdout)
    assert told["counts"] == {"divergent": 1, "pending": 0, "unverified": 1}
    assert [(each["key"], each["cause"], each["fields"]) for each in told["divergent_records"]] == [
        ("1", "unexplained", "name")
    ]
    (unread,) = told["unverified_records"]
    assert (unread["subject"], unread["name"]) == ("record", "3")
    assert unread["reason"].startswith("amount in billing: not a decimal")
    assert "twelve" not in done.stdout
    table = auditor("once", *places)
    assert "amount in billing: not a decimal" in table.stdout
    listed = json.loads(auditor("drift", *places, "--json").stdout)
    assert listed[0]["unverified_records"] == told["unverified_records"]
    stand.put("billing", 1)
    only = auditor("once", *places, "--json")
    assert (only.returncode, json.loads(only.stdout)[0]["verdict"]) == (3, "unverified")


def test_once_status_and_coverage_have_one_word_and_one_exit_code_for_it(stand: Stand, places: list[object]) -> None:
    for key in (1, 2, 3):
        stand.put("crm", key)
        stand.put("billing", key, amount="twelve" if key == 3 else "1.00")
    (once,) = json.loads(auditor("once", *places, "--json").stdout)
    shown = auditor("status", *places, "--json")
    (status,) = json.loads(shown.stdout)["flows"]
    assert (once["verdict"], status["state"], shown.returncode) == ("unverified", "unverified", 3)
    covered = auditor("coverage", *places, "--json")
    assert (json.loads(covered.stdout)[0]["state"], covered.returncode) == ("unverified", 3)
    assert "to_billing: unverified: 1 cannot be verified: amount in billing" in covered.stderr


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_once_says_which_queues_it_did_not_read_and_what_reads_them(words: list[str], stand: Stand) -> None:
    line = "did not read 1 queue (to_billing/dead): `auditor run` reads queues and dead letters\n"
    stand.agree(5)
    assert auditor("once", *places_of(stand), *words).stderr.endswith(line)
    text = stand.map_file.read_text()
    stand.map_file.write_text(text[: text.index("    queues:")])
    assert "queue" not in auditor("once", *places_of(stand), *words).stderr


def test_once_counts_each_record_once(stand: Stand, places: list[object]) -> None:
    stand.fill(30)
    stand.put("billing", 31)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("auditor.audit.once.SWEEP_PAGE", 7)
        with closing(Workspace.at(stand.place / "var").ledger()) as ledger:
            (report,) = audit_once(stand.map, ledger, b"k" * 32, flows=["to_billing"], wait_s=0, tell=lambda _: None)
    assert report.records == 31
