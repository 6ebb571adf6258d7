"""`auditor backlog` and `auditor letters`: what waits and why, and what is not known of it."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from auditor.audit.queue_audit import QueueAuditor
from auditor.workspace import Workspace
from probes.registry import open_queue_probe
from tests.auditor.cli.process import auditor
from tests.stand import Stand


def test_a_map_without_queues_tells_nothing_of_dead_letters(stand: Stand, places: list[object]) -> None:
    text = stand.map_file.read_text()
    stand.map_file.write_text(text[: text.index("    queues:")])
    stand.agree(5)
    done = auditor("letters", *places, AUDITOR_LEDGER=stand.ledger_url)
    assert (done.returncode, "the map names no queue of dead letters" in done.stderr) == (3, True), done.stderr


@pytest.mark.parametrize("command", ["letters", "backlog"])
def test_a_queue_that_nobody_reads_any_more_is_not_known(stand: Stand, places: list[object], command: str) -> None:
    settings = stand.map.queues["to_billing", "dead"]
    probe = open_queue_probe(settings, stand.map.systems["billing"])
    watcher = QueueAuditor(
        flow=stand.map.flow("to_billing"), queue="dead", settings=settings, probe=probe, ledger=stand.ledger
    )
    watcher.audit(datetime.now(UTC) - timedelta(minutes=30))
    done = auditor(command, *places, AUDITOR_LEDGER=stand.ledger_url)
    assert (done.returncode, "to_billing, queue dead: not read since" in done.stderr) == (3, True), done.stderr


def test_backlog_and_letters_tell_what_waits_and_why(stand: Stand, places: list[object]) -> None:
    assert auditor("backlog", *places).returncode == 3
    unread = auditor("letters", *places, AUDITOR_LEDGER=stand.ledger_url)
    assert (unread.returncode, "whether dead letters wait is not known" in unread.stderr) == (3, True), unread.stderr
    settings = stand.map.queues["to_billing", "dead"]
    stand.run("billing", "INSERT INTO letters VALUES (1, 3, '2026-03-01 00:00:00', '422: row 77 is wrong')")
    probe = open_queue_probe(settings, stand.map.systems["billing"])
    flow = stand.map.flow("to_billing")
    with closing(Workspace.at(stand.place / "var").ledger()) as ledger:
        watcher = QueueAuditor(flow=flow, queue="dead", settings=settings, probe=probe, ledger=ledger)
        watcher.audit(datetime.now(UTC))
    (row,) = json.loads(auditor("backlog", *places, "--json").stdout)
    assert (row["queue"], row["depth"], row["arriving"]) == ("dead", 1, None)
    shown = auditor("backlog", *places)
    assert (shown.returncode, "unknown" in shown.stdout) == (0, True)
    (letter,) = json.loads(auditor("letters", *places, "--json").stdout)
    assert (letter["key"], letter["signature"], letter["prospect"]) == ("3", "422: row <n> is wrong", "unknown")
    grouped = auditor("letters", *places, "--by-reason")
    assert (grouped.returncode, "422: row <n> is wrong" in grouped.stdout) == (1, True)


def test_letters_of_a_queue_that_are_not_known_are_not_called_none(stand: Stand, places: list[object]) -> None:
    with closing(Workspace.at(stand.place / "var").ledger()) as ledger:

        def read(depth: int | None, looked_at: int, message: str | None = None) -> None:
            values = dict.fromkeys(("arrived", "taken", "oldest_at", "oldest_age_s", "age_of", "drops_at", "reason"))
            told = {"flow": "to_billing", "queue": "dead", "role": "dead", "read_at": datetime.now(UTC), "notes": ""}
            with ledger.write() as transaction:
                row = {**values, **told, "depth": depth, "looked_at": looked_at, "message": message}
                ledger.queues.save_backlog(transaction, row)

        for reading, code, said in (
            ((None, 0), 3, "how many dead letters wait is not known"),
            ((7, 0), 3, "7 of 7 waiting letters were not looked at"),
            ((None, 0, "no route"), 3, "cannot be read, so whether dead letters wait is not known: no route"),
            ((0, 0), 0, "no dead letters are waiting"),
        ):
            read(*reading)
            for words in ([], ["--json"]):
                done = auditor("letters", *words, *places)
                known = said in done.stderr or (bool(words) and code == 0)
                assert (done.returncode, known) == (code, True), done.stderr
                assert not words or json.loads(done.stdout) == []
