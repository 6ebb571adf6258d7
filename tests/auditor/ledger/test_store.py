"""The ledger on SQLite and on PostgreSQL: the same suite."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from auditor.history.views import COLUMNS
from auditor.ledger import LISTED, QUEUE, FlowState, Ledger, LedgerError, Sweep, Swept, Watermark, database
from auditor.ledger import tables as t
from checks.causes import Baseline, Cause, Kind
from checks.convergence import Change, Verdict
from checks.fields import Difference, Shape
from checks.judgement import Divergence, DivergenceState
from probes.contract import Key, Letter
from tests import HOME

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest) -> Iterator[Ledger]:
    made = Ledger(request.getfixturevalue(f"{request.param}_url"))
    made.migrate()
    yield made
    made.close()


def fingerprint(number: int) -> bytes:
    return number.to_bytes(16, "big")


def change(key: Key, at: datetime = NOW) -> Change:
    return Change(
        key=key,
        fingerprint=fingerprint(1),
        committed_from_at=at,
        committed_to_at=at,
        window_s=5,
        enrolled_at=at,
    )


def divergence(key: Key) -> Divergence:
    difference = Difference(field="a", shape=Shape.CASE, owner_value="x", target_value="X")
    return Divergence(
        key=key,
        kind=Kind.VALUE,
        cause=Cause.LATE,
        state=DivergenceState.SUSPECTED,
        first_seen_at=NOW,
        last_seen_at=NOW,
        differences=(difference,),
        version=fingerprint(2),
        next_check_at=NOW + timedelta(seconds=5),
    )


def save(ledger: Ledger, *, changes: list[Change] | None = None, divergences: list[Divergence] | None = None) -> None:
    with ledger.write() as transaction:
        ledger.records.save_changes(transaction, "f", [(each, NOW) for each in changes or []])
        ledger.records.save_divergences(transaction, "f", "thing", divergences or [])


def test_migrating_twice_changes_nothing_and_matches_the_tables(ledger: Ledger) -> None:
    ledger.migrate()
    with ledger.database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, t.metadata) == []


def test_a_ledger_from_the_future_is_refused(ledger: Ledger) -> None:
    with ledger.database.unnumbered() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(LedgerError, match="newer version"):
        ledger.migrate()


def test_flow_state_comes_back_as_it_was(ledger: Ledger) -> None:
    assert ledger.flows.state("f") == FlowState()
    state = FlowState(
        watermark=Watermark(at=NOW), sweep=Sweep(owner_after="17"), swept=Swept(count=3), audited_at=NOW
    )
    with ledger.write() as transaction:
        ledger.flows.save_state(transaction, "f", state)
        ledger.flows.save_state(transaction, "f", replace(state, swept=Swept(count=4)))
    assert ledger.flows.state("f") == replace(state, swept=Swept(count=4))


def test_histories_come_back_as_they_were(ledger: Ledger) -> None:
    baseline = Baseline(owner=fingerprint(1), target=fingerprint(1), ring=(fingerprint(8), fingerprint(9)))
    with ledger.write() as transaction:
        ledger.records.save_baselines(transaction, "f", {1: baseline}, [], NOW)
    save(ledger, changes=[change(2)], divergences=[divergence(3)])
    found, _ = ledger.records.histories("f", [1, 2, 3, 4])
    assert found[1].baseline == replace(baseline, agreed_at=NOW)
    assert [each.change_id > 0 for each in found[2].changes] == [True]
    assert found[3].divergence is not None
    assert replace(found[3].divergence, divergence_id=0) == divergence(3)
    assert 4 not in found
    assert ledger.records.histories("other", [1, 2, 3]) == ({}, set())


def test_what_agrees_as_it_did_and_has_nothing_pending_needs_no_history(ledger: Ledger) -> None:
    same = Baseline(owner=fingerprint(1), target=fingerprint(1))
    with ledger.write() as transaction:
        ledger.records.save_baselines(transaction, "f", dict.fromkeys([1, 2, 3], same), [], NOW)
    save(ledger, changes=[change(2)])
    found, settled = ledger.records.histories(
        "f", [1, 2, 3], agreed={1: fingerprint(1), 2: fingerprint(1), 3: fingerprint(9)}
    )
    assert settled == {1}
    assert set(found) == {2, 3}


def test_a_new_series_forgets_what_cannot_be_compared_any_more(ledger: Ledger) -> None:
    with ledger.write() as transaction:
        ledger.records.save_baselines(
            transaction, "f", {1: Baseline(owner=fingerprint(1), target=fingerprint(1))}, [], NOW
        )
        ledger.flows.save_state(
            transaction, "f", FlowState(swept=Swept(count=4), sweep=Sweep(owner_after="3"), series="old")
        )
    save(ledger, changes=[change(2)])
    ledger.flows.begin_series("f", "old", NOW)
    assert set(ledger.records.histories("f", [1, 2])[0]) == {1, 2}
    ledger.flows.begin_series("f", "new", NOW)
    assert ledger.records.histories("f", [1, 2]) == ({}, set())
    assert ledger.flows.state("f") == FlowState(swept=Swept(count=4), series="new")
    rows, _ = ledger.exports.snapshot({"changes": 0}, files_since=0)
    assert "undecided" in rows["changes"][0]


def test_settled_and_closed_are_history_no_more(ledger: Ledger) -> None:
    save(ledger, changes=[change(1)], divergences=[divergence(1)])
    known = ledger.records.histories("f", [1])[0][1]
    assert known.divergence is not None
    settled = replace(known.changes[0], settled_at=NOW, verdict=Verdict.MET)
    closed = replace(known.divergence, closed_at=NOW, state=DivergenceState.CLOSED)
    save(ledger, changes=[settled], divergences=[closed])
    assert ledger.records.histories("f", [1]) == ({}, set())
    rows, _ = ledger.exports.snapshot({"changes": 0, "divergences": 0}, files_since=0)
    assert (len(rows["changes"]), len(rows["divergences"])) == (1, 1)


def test_what_is_due_longest_comes_first(ledger: Ledger) -> None:
    save(ledger, changes=[change(2)], divergences=[replace(divergence(1), next_check_at=NOW - timedelta(seconds=9))])
    assert ledger.records.due("f", NOW, 10) == ([], ["1", "2"])
    assert ledger.records.due("f", NOW - timedelta(seconds=5), 10) == ([], ["1"])
    assert ledger.records.due("f", NOW, 1) == ([], ["1"])


def test_a_window_that_has_run_out_is_due_whatever_the_limit(ledger: Ledger) -> None:
    out = [replace(change(key), committed_to_at=NOW - timedelta(seconds=60)) for key in (3, 4)]
    save(ledger, changes=[*out, change(2)])
    assert ledger.records.due("f", NOW, 0) == (["3", "4"], [])
    assert ledger.records.next_deadline("f") == NOW
    with ledger.write() as transaction:
        assert ledger.records.undecided_since(transaction, "f") == change(2).committed_from_at


def test_only_one_live_divergence_of_a_record(ledger: Ledger) -> None:
    save(ledger, divergences=[divergence(1)])
    with pytest.raises(LedgerError, match="refused a row"):
        save(ledger, divergences=[divergence(1)])


def test_a_transaction_that_fails_leaves_no_trace(ledger: Ledger) -> None:
    def fail() -> None:
        with ledger.write() as transaction:
            ledger.flows.save_state(transaction, "f", FlowState(swept=Swept(count=1)))
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        fail()
    assert ledger.flows.state("f") == FlowState()


def test_a_reader_that_remembers_the_revision_never_misses_a_row(ledger: Ledger) -> None:
    """Writers in parallel, a reader that tops up by revision: in the end it has every row."""

    def write(first: int) -> None:
        for number in range(first, first + 25):
            save(ledger, changes=[change(number)])

    writers = [threading.Thread(target=write, args=(1000 * n,)) for n in range(3)]
    for writer in writers:
        writer.start()
    known, seen = 0, set()
    while True:
        running = any(writer.is_alive() for writer in writers)
        rows, _ = ledger.exports.snapshot({"changes": known}, files_since=0)
        names = [name for name, _ in ledger.exports.columns("changes")]
        for row in rows["changes"]:
            seen.add(row[names.index("key")])
            known = max(known, row[names.index("rev")])
        if not running:
            break
    assert len(seen) == 75


def test_dead_letters_are_followed_until_they_are_gone(ledger: Ledger) -> None:
    letters = [Letter(letter_id=str(number), key=number) for number in range(3)]

    def seen(some: list[Letter], complete: bool) -> list[object]:
        with ledger.write() as transaction:
            ledger.queues.save_letters(transaction, "f", "q", some, NOW)
            if complete:
                ledger.queues.end_letters(transaction, "f", "q", {letter.letter_id for letter in some}, NOW)
        rows, _ = ledger.exports.snapshot({"dead_letters": 0}, files_since=0)
        at = [name for name, _ in ledger.exports.columns("dead_letters")].index("gone_at")
        return [row[at] is not None for row in rows["dead_letters"]]

    assert seen(letters, True) == [False] * 3
    assert sorted(map(bool, seen(letters[:1], False))) == [False] * 3  # a cut peek proves nothing gone
    assert sorted(map(bool, seen(letters[:1], True))) == [False, True, True]


def test_the_views_list_the_columns_of_every_table_that_they_read(ledger: Ledger) -> None:
    """Whoever adds a column to a table adds it to `auditor.history.views.COLUMNS`, in the same place."""
    for source, columns in COLUMNS.items():
        assert list(columns.items()) == ledger.exports.columns(source), source


def test_digests_are_not_shown_to_readers(ledger: Ledger) -> None:
    for source in ("changes", "divergences"):
        names = [name for name, _ in ledger.exports.columns(source)]
        assert "fingerprint" not in names
        assert "version" not in names


def test_a_ledger_url_of_another_kind_is_refused() -> None:
    with pytest.raises(LedgerError, match="sqlite"):
        Ledger("mysql://u@h/x")
    with pytest.raises(LedgerError, match="needs a file"):
        Ledger("sqlite://")


WRITER = """
import sys
from datetime import UTC, datetime
sys.path.insert(0, {home!r})
from tests.auditor.ledger.test_store import change, save
from auditor.ledger import Ledger
ledger = Ledger({url!r})
number = 0
while True:
    number += 1
    save(ledger, changes=[change(number)])
    print(number, flush=True)
"""


def test_kill_9_loses_no_committed_row(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.sqlite"
    ledger = Ledger(url)
    ledger.migrate()
    acknowledged = 0
    for round_ in range(5):
        with ledger.database.unnumbered() as connection:
            connection.execute(sa.text("DELETE FROM changes"))
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER.format(home=str(HOME), url=url)], stdout=subprocess.PIPE, cwd=HOME
        )
        assert writer.stdout is not None
        first = int(writer.stdout.readline())
        time.sleep(0.05 * (round_ + 1))
        os.kill(writer.pid, signal.SIGKILL)
        lines = [line for line in writer.stdout.read().decode().split("\n") if line]
        writer.wait()
        told = int(lines[-1]) if lines else first
        rows, _ = ledger.exports.snapshot({"changes": 0}, files_since=0)
        assert len(rows["changes"]) >= told
        acknowledged += told
    assert acknowledged > 20
    ledger.close()


def test_what_cannot_be_verified_is_listed_struck_and_bounded(ledger: Ledger) -> None:
    def note(found: dict[str, str], verified: set[str], at: datetime) -> set[str]:
        with ledger.write() as transaction:
            return ledger.unverified.note_records(
                transaction,
                "f",
                found=found,
                verified=lambda: verified,
                at=at,
                verified_to_at=NOW,
            )

    many = {str(key): "why" for key in range(LISTED + 3)}
    assert len(note(many, set(), NOW)) == 3
    later = NOW + timedelta(minutes=1)
    assert note({"1": "another reason"}, {"2", "3"}, later) == set()
    found = ledger.unverified.doubts({"f": 30.0}, later)["f"]
    assert (found.listed, found.records, found.lasting) == (LISTED - 2, LISTED - 2, LISTED - 2)
    assert (found.since_at, found.verified_to_at, found.reason) == (NOW, NOW, "why")
    assert [row["reason"] for row in ledger.unverified.rows("f", LISTED) if row["name"] == "1"] == ["another reason"]
    assert "1" not in ledger.unverified.due("f", later, 2_000)
    assert len(ledger.unverified.due("f", later, 2_000)) == LISTED - 3
    assert note({"2000": "new"}, set(), later) == set(), "there is room again"
    assert ledger.unverified.count("f") == LISTED - 1


def test_queues_that_the_map_no_longer_names_are_struck(ledger: Ledger) -> None:
    with ledger.write() as transaction:
        for queue in ("dead", "retry"):
            assert ledger.unverified.note(transaction, "f", QUEUE, queue, reason="no figures", at=NOW) == NOW
    ledger.unverified.forget_queues("f", {"retry"}, NOW)
    assert [row["name"] for row in ledger.unverified.rows("f", 10)] == ["retry"]
    with ledger.write() as transaction:
        assert ledger.unverified.note(transaction, "f", QUEUE, "retry", reason="", at=NOW) is None
    assert ledger.unverified.rows("f", 10) == []


def test_the_lists_name_records_and_incidents(ledger: Ledger) -> None:
    save(ledger, changes=[change(2)], divergences=[divergence(3)])
    assert [(row["key"], row["why"]) for row in ledger.findings.pending("f", 10)] == [
        ("2", "a change on its way"),
        ("3", "suspected: late"),
    ]
    save(ledger, divergences=[replace(divergence(4), state=DivergenceState.OPEN, opened_at=NOW)])
    assert [(row["key"], row["cause"]) for row in ledger.findings.divergent("f", [], 10)] == [("4", "late")]
    assert ledger.findings.divergent("f", ["lost"], 10) == []
    assert ledger.incidents.rows(live_only=False, limit=10) == []
    with ledger.write() as transaction:
        values = {
            "fingerprint": "x",
            "breach": "orphan",
            "state": "open",
            "opened_at": NOW,
            "count": 1,
            "peak": 1,
            "reopened": 0,
            "summary": "s",
        }
        identity = ledger.incidents.save(transaction, 0, values)
        for transition in ("opened", "grown 2x"):
            ledger.outbox.queue(
                transaction, incident_id=identity, transition=transition, sender="slack", notice={}, at=NOW
            )
    (row,) = ledger.incidents.rows(live_only=True, limit=10)
    assert (row["breach"], row["told"], row["message"]) == ("orphan", "grown 2x", "pending")


def test_an_older_ledger_keeps_its_incidents(request: pytest.FixtureRequest) -> None:
    for engine in ("sqlite", "postgresql"):
        older = Ledger(request.getfixturevalue(f"{engine}_url"))
        config = Config()
        config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
        with older.database.unnumbered() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "0005")
            connection.execute(
                sa.text(
                    "INSERT INTO incidents (rev, fingerprint, breach, state, opened_at, count, peak, clean, "
                    "reopened, summary) VALUES (1, 'x', 'orphan', 'open', 0, 7, 9, 1, 0, 's')"
                )
            )
        older.migrate()
        with older.write() as transaction:
            (known,) = older.incidents.recent(transaction, ["x"], NOW).values()
        assert (known.count, known.peak, known.told, known.growth, known.clear_since_at) == (7, 9, 7, None, None)
        older.close()


def test_threads_that_each_make_a_ledger_do_not_mix_them_up(tmp_path: Path) -> None:
    ledgers = [Ledger(f"sqlite:///{tmp_path}/{at}.sqlite") for at in range(6)]
    failed: list[Exception] = []
    together = threading.Barrier(len(ledgers))

    def make(ledger: Ledger) -> None:
        together.wait()
        try:
            ledger.migrate()
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=make, args=(each,)) for each in ledgers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    for ledger in ledgers:
        assert ledger.findings.open_by_cause() == {}
        ledger.close()
