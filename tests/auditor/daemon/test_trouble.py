"""A ledger that cannot be written for a while: said once, alerts go out anyway, the gap counts as not verified."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from auditor.alerts.unrecorded import Unrecorded
from auditor.daemon.trouble import ALERT_AFTER_S, QUIET_S, FailedAudits, News, Trouble
from auditor.ledger import Ledger, LedgerError
from auditor.senders.contract import Receipt
from probes.contract import ProbeError, Reason
from tests import ledgers
from tests.attacks.files import LEDGERS
from tests.auditor.cli.process import auditor
from tests.auditor.senders.receivers import FakeSlack
from tests.daemons import Running, running
from tests.servers import free_port
from tests.stand import Stand
from tests.waiting import PATIENCE_S, wait_until

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_trouble_is_logged_once_told_once_and_told_to_be_over(caplog: pytest.LogCaptureFixture) -> None:
    told: list[News] = []
    trouble = Trouble("audits are not recorded", told.append)
    trouble.worked(NOW)
    for second in range(60):
        trouble.failed("cannot use the ledger x: its disk is full; make room on it", later(second))
    assert [(news.transition, news.at) for news in told] == [("opened", later(ALERT_AFTER_S))]
    assert told[0].summary == (
        "Cannot use the ledger x: its disk is full; make room on it. Meanwhile audits are not recorded"
    )
    assert caplog.text.count("its disk is full") == 1
    trouble.worked(later(59 + QUIET_S - 1))
    assert trouble.lasts
    trouble.failed("cannot use the ledger x: its disk is full; make room on it", later(64))
    trouble.worked(later(64 + QUIET_S))
    assert not trouble.lasts
    assert [news.transition for news in told] == ["opened", "resolved"]
    assert told[1].summary == (
        "Works again: audits are not recorded from 2026-03-01 12:00:00 UTC to 2026-03-01 12:01:04 UTC"
    )
    trouble.failed("again", later(100))
    trouble.worked(later(101 + QUIET_S))
    assert len(told) == 2, "what is over at once is no news to people"


class Receiver:
    """A sender that answers as it is told."""

    name = "slack"

    def __init__(self) -> None:
        self.got: list[Any] = []
        self.answers: list[Receipt] = []

    def send(self, notice: Any, *, possible_repeat: bool) -> Receipt:
        self.got.append((notice["text"], possible_repeat))
        return self.answers.pop(0) if self.answers else Receipt(outcome="sent")

    def close(self) -> None:
        """Nothing is open."""


def test_what_cannot_be_recorded_is_sent_once() -> None:
    unrecorded, receiver = Unrecorded(), Receiver()
    receiver.answers = [Receipt(outcome="refused", error="busy"), Receipt(outcome="ambiguous", error="cut off")]
    for _ in range(5):
        unrecorded.take_in("slack", ("a", "opened"), {"text": "a"}, NOW)
    for second in range(0, 60, 2):
        unrecorded.deliver_next({"slack": receiver}, later(second), to="slack")
    assert receiver.got == [("a", False), ("a", False), ("a", True)]
    assert unrecorded.sent_at("slack", ("a", "opened")) is not None
    unrecorded.take_in("slack", ("b", "opened"), {"text": "b"}, NOW)
    assert unrecorded.sent_at("slack", ("b", "opened")) is None, "the ledger's own message goes instead"
    assert not unrecorded.deliver_next({"slack": receiver}, later(99), to="slack")
    unrecorded.take_in("slack", 7, {"text": "of the ledger"}, NOW)
    assert unrecorded.deliver_next({"slack": receiver}, later(99), to="slack")
    assert unrecorded.delivered("slack", int) == {7: later(99)}


# -- with a real daemon


class Watched:
    """A daemon under way, and what it has logged: through a pipe, because it may not write files for a while."""

    def __init__(self, process: Running, log: int) -> None:
        self.process = process
        self.lines: list[str] = []
        threading.Thread(target=self._read, args=(log,), daemon=True).start()

    def _read(self, log: int) -> None:
        with open(log, "rb") as file:
            self.lines += (line.decode() for line in file)

    @property
    def log(self) -> str:
        return "".join(self.lines)


@contextlib.contextmanager
def watched(stand: Stand, ledger_url: str) -> Iterator[Watched]:
    log, writer = os.pipe()
    named = {"AUDITOR_LEDGER": ledger_url}
    with running(stand.map_file, stand.place / "var", environment=named, stderr=writer, warmed=True) as process:
        os.close(writer)
        yield Watched(process, log)


def told(slack: FakeSlack, text: str) -> int:
    return sum(text in str(got) for got in slack.got)


def goes_through(
    stand: Stand,
    ledger: Ledger,
    url: str,
    *,
    broken: Callable[[Watched], None],
    mended: Callable[[Watched], None],
    evaluated: bool,
) -> None:
    """A daemon whose ledger breaks and is mended while records drift.

    Args:
        evaluated: audits can be judged meanwhile, though not recorded.
    """
    slack = FakeSlack()
    stand.map_file.write_text(stand.map_file.read_text() + f"alerts:\n  slack: {{webhook: '{slack.url}'}}\n")
    stand.fill(5)
    try:
        with watched(stand, url) as daemon:
            wait_until(
                lambda: ledger.flows.state("to_billing").swept.count and ledgers.count(ledger, "probe_runs") > 3
            )
            broken(daemon)
            stand.run("billing", "DELETE FROM customers WHERE id < 4")
            wait_until(lambda: told(slack, "audits are not recorded"))
            if evaluated:
                for letter in (1, 2):  # one is allowed
                    stand.run("billing", f"INSERT INTO letters VALUES ({letter}, 3, '2026-03-01 00:00:00', 'no')")
                wait_until(lambda: told(slack, "queue dead"))
                assert ledgers.rows(ledger, "incidents") == [], "it went out without a record"
            assert "Traceback" not in daemon.log
            assert daemon.log.count("until it works again") == 1
            before = len(slack.got)
            mended(daemon)
            wait_until(lambda: told(slack, "Works again"))
            wait_until(lambda: any(row["reason"] == "not_recorded" for row in ledgers.rows(ledger, "probe_runs")))
            wait_until(lambda: ledger.findings.open_by_cause().get("to_billing"))
            audited = ledgers.count(ledger, "probe_runs")
            wait_until(lambda: ledgers.count(ledger, "probe_runs") > audited + 3)
            wait_until(lambda: all(row["state"] == "sent" for row in ledgers.rows(ledger, "alerts")))
            assert "Traceback" not in daemon.log
            assert before >= 1
            daemon.process.terminate()
            assert daemon.process.wait(PATIENCE_S) == 0
    finally:
        slack.close()
    gap = next(row for row in ledgers.rows(ledger, "probe_runs") if row["reason"] == "not_recorded")
    assert gap["cannot_verify"] == gap["read"]
    assert bool(gap["read"]) == evaluated
    assert "could not be recorded: cannot " in str(gap["message"])
    transitions = [(row["incident_id"], row["transition"]) for row in ledgers.rows(ledger, "alerts")]
    assert len(transitions) == len(set(transitions))
    texts = [got["text"].partition(" (incident")[0] for got in slack.got]
    assert len(texts) == len(set(texts)), f"nothing is sent twice: {texts}"


def test_a_ledger_that_may_not_grow_any_more(stand: Stand) -> None:
    """Every write of the process fails, as on a disk with errors or with a quota."""

    def limit(daemon: Watched, size: int) -> None:
        _, hard = resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (size, hard))

    goes_through(
        stand,
        stand.ledger,
        stand.ledger_url,
        broken=lambda daemon: limit(daemon, 0),
        mended=lambda daemon: limit(daemon, resource.RLIM_INFINITY),
        evaluated=True,
    )


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", place], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("nothing can be mounted here; the test of a file that may not grow stands for it")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def test_a_disk_that_is_full(stand: Stand, small_disk: Path) -> None:
    url = f"sqlite:///{small_disk}/ledger.sqlite"
    ledger = Ledger(url)
    ledger.migrate()
    ballast = small_disk / "ballast"

    def fill(_: Watched) -> None:
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(512))

    goes_through(stand, ledger, url, broken=fill, mended=lambda _: ballast.unlink(), evaluated=True)
    ledger.close()


def test_a_server_that_takes_no_connections_for_a_while(stand: Stand, postgresql_url: str) -> None:
    ledger = Ledger(postgresql_url)
    ledger.migrate()
    server, _, name = postgresql_url.rpartition("/")

    def allow(allowed: bool) -> None:
        with psycopg.connect(f"{server}/postgres", autocommit=True) as admin:
            admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {str(allowed).lower()}")
            if not allowed:
                admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])

    goes_through(
        stand,
        ledger,
        postgresql_url,
        broken=lambda _: allow(False),
        mended=lambda _: allow(True),
        evaluated=False,
    )
    ledger.close()


# -- the same words everywhere

COMMANDS = [
    ["status"],
    ["incidents", "--all"],
    ["once"],
    ["run"],
    ["query", "SELECT count(*) FROM probe_runs"],
]


@pytest.mark.parametrize("spoil", LEDGERS.values(), ids=LEDGERS)
def test_a_spoilt_ledger_is_named_with_what_is_wrong(spoil: Callable[[Path], None], tmp_path: Path) -> None:
    file = tmp_path / "ledger.sqlite"
    url = f"sqlite:///{file}"
    ledger = Ledger(url)
    ledger.migrate()
    ledger.close()
    spoil(file)
    opened = Ledger(url)
    for ask in (
        opened.made,
        opened.migrate,
        lambda: opened.exports.snapshot({"probe_runs": 0}, files_since=0),
        opened.lease.now,
    ):
        with pytest.raises(LedgerError, match=r": it is (damaged|not a SQLite database); restore a backup, or move"):
            ask()
    opened.close()


def test_a_spoilt_ledger_is_told_by_every_command_alike(stand: Stand) -> None:
    stand.ledger.close()
    file = stand.place / "ledger.sqlite"
    LEDGERS["every page but the first overwritten"](file)
    for command in COMMANDS:
        named = [] if command[0] in {"query", "incidents"} else ["--map", stand.map_file]
        done = auditor(*command, *named, "--data", stand.place / "var", AUDITOR_LEDGER=stand.ledger_url)
        assert done.returncode == 3, (command, done.stderr)
        assert f"the ledger {file}: it is damaged; restore a backup" in done.stderr, command


def test_a_ledger_that_cannot_be_reached_is_told_by_every_command_alike(stand: Stand) -> None:
    at = f"127.0.0.1:{free_port()}/ledger"
    for command in COMMANDS:
        named = [] if command[0] in {"query", "incidents"} else ["--map", stand.map_file]
        done = auditor(
            *command, *named, "--data", stand.place / "var", AUDITOR_LEDGER=f"postgresql://u:Boxk4mpfer@{at}"
        )
        assert done.returncode == 3, (command, done.stderr)
        assert f"error: cannot open the ledger postgresql://{at}: " in done.stderr
        assert done.stderr.strip().endswith("check host and port in AUDITOR_LEDGER, and whether the server runs")
        assert "Boxk4mpfer" not in done.stderr


def test_a_query_says_what_to_do_about_a_table_that_is_damaged(stand: Stand) -> None:
    stand.agree(60)
    for _ in range(20):
        stand.audit()
    stand.ledger.close()
    file = stand.place / "ledger.sqlite"
    with contextlib.closing(sqlite3.connect(file)) as ledger:
        ledger.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (root,) = ledger.execute("SELECT rootpage FROM sqlite_master WHERE name = 'probe_runs'").fetchone()
    whole = bytearray(file.read_bytes())
    whole[(root - 1) * 4096 : root * 4096] = b"\xa5" * 4096
    file.write_bytes(bytes(whole))
    done = auditor(
        "query", "SELECT * FROM probe_runs", "--data", stand.place / "var", AUDITOR_LEDGER=stand.ledger_url
    )
    assert done.returncode == 3
    assert f"error: cannot use the ledger {file}: it is damaged; restore a backup, or move it away" in done.stderr


@pytest.mark.parametrize("page", [20, 45])
def test_a_query_says_what_is_wrong_with_a_ledger_that_is_damaged_inside(page: int, stand: Stand) -> None:
    stand.agree(60)
    for _ in range(20):
        stand.audit()
    stand.ledger.close()
    file = stand.place / "ledger.sqlite"
    whole = bytearray(file.read_bytes())
    whole[page * 4096 : (page + 12) * 4096] = b"\xa5" * 4096 * 12
    file.write_bytes(bytes(whole))
    done = auditor(
        "query", "SELECT * FROM probe_runs", "--data", stand.place / "var", AUDITOR_LEDGER=stand.ledger_url
    )
    assert "memory" not in done.stderr
    assert "Traceback" not in done.stderr
    if done.returncode:
        assert f"the ledger {file}: it is damaged; restore a backup" in done.stderr


def test_a_failure_that_lasts_is_logged_once_and_again_every_hour(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "auditor.daemon.trouble")
    failed = FailedAudits()
    begun_at = datetime(2026, 3, 1, tzinfo=UTC)

    def note(minutes: float, reason: Reason | None) -> None:
        error = None if reason is None else ("crm", ProbeError(reason, f"failed after {minutes:g} min"))
        failed.note("to_billing", error, begun_at + timedelta(minutes=minutes))

    note(0, None)
    for second in range(60):
        note(second / 60, Reason.OVER_BUDGET)
    note(1, Reason.UNREACHABLE)
    note(2, Reason.UNREACHABLE)
    note(61, Reason.UNREACHABLE)
    note(62, None)
    note(63, None)
    assert [each.getMessage().partition(", tried")[0] for each in caplog.records] == [
        "flow to_billing: crm: over_budget: failed after 0 min",
        "flow to_billing: crm: unreachable: failed after 1 min",
        "flow to_billing: crm: unreachable: failed after 61 min",
        "flow to_billing: audited again, after crm: unreachable",
    ]
