"""Stops: told at any instant and with anything hanging, the daemon ends; what was committed stays."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from auditor.daemon.daemon import ALIKE, Daemon
from auditor.daemon.stopping import run_all
from auditor.daemon.timetable import Job
from auditor.map.loader import load_map
from auditor.systems.pool import Pool
from auditor.workspace import Workspace
from tests import HOME, ledgers, warm
from tests.attacks.wires import KAFKA
from tests.daemons import Deaf, Running, queues_at, running, stopped_after
from tests.proxy import Proxy
from tests.stand import Stand
from tests.waiting import PATIENCE_S, wait_until
from tests.wire_server import WireServer

FOR_EVER = "100000s"


@pytest.fixture
def deaf() -> Iterator[Deaf]:
    server = Deaf()
    yield server
    server.close()


def end_of(daemon: Running, how: signal.Signals = signal.SIGTERM) -> int | None:
    """How a daemon ends that is told to; None where it does not."""
    stopped_after(daemon, PATIENCE_S, how)
    return daemon.poll()


def audited(stand: Stand, at_least: int = 1) -> None:
    wait_until(lambda: stand.count("probe_runs") >= at_least)


def settings(stand: Stand) -> dict[str, str]:
    return {"AUDITOR_LEDGER": stand.ledger_url, "AUDITOR_DIGEST_KEY": "k" * 32}


@pytest.fixture(autouse=True)
def _tests_run_under_nohup_too() -> Iterator[None]:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_each_signal_that_asks_for_an_end_ends_it_whole(stand: Stand, how: signal.Signals) -> None:
    with running(stand.map_file, stand.place / "var", environment=settings(stand)) as daemon:
        audited(stand)
        assert end_of(daemon, how) == 0
    assert "stopping" in (stand.place / "var" / "log").read_text()


def test_a_terminal_that_is_closed_ends_it(stand: Stand) -> None:
    mine, terminal = pty.openpty()
    words = ["run", "--map", str(stand.map_file), "--data", str(stand.place / "var")]
    environment = {**os.environ, **settings(stand), "PYTHONPATH": str(HOME)}
    with subprocess.Popen(
        [sys.executable, "-c", IN_TERMINAL, *words], stdin=terminal, stderr=terminal, env=environment, cwd=HOME
    ) as daemon:
        os.close(terminal)
        try:
            audited(stand)
            os.close(mine)
            assert daemon.wait(PATIENCE_S) == 0
        finally:
            daemon.kill()


IN_TERMINAL = """
import fcntl, os, runpy, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
sys.argv[0] = "auditor"
runpy.run_module("auditor", run_name="__main__", alter_sys=True)
"""
"""Runs the auditor in a session of its own, whose terminal is its standard input."""


def test_without_a_terminal_sighup_ends_nothing(stand: Stand) -> None:
    with running(stand.map_file, stand.place / "var", environment=settings(stand), warmed=True) as daemon:
        audited(stand)
        daemon.send_signal(signal.SIGHUP)
        wait_until(lambda: "the map has not changed" in (stand.place / "var" / "log").read_text())
        audited(stand, stand.count("probe_runs") + 2)
        assert end_of(daemon) == 0


def test_nohup_keeps_it_running_when_the_terminal_goes(stand: Stand) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with running(stand.map_file, stand.place / "var", environment=settings(stand)) as daemon:
            signal.signal(signal.SIGHUP, before)
            audited(stand)
            daemon.send_signal(signal.SIGHUP)
            audited(stand, stand.count("probe_runs") + 2)
            assert end_of(daemon) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_signals_that_come_while_it_stops_change_nothing(stand: Stand, deaf: Deaf) -> None:
    hang(stand, deaf)
    with running(stand.map_file, stand.place / "var", environment=settings(stand), warmed=True) as daemon:
        wait_until(lambda: deaf.taken)
        for how in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            daemon.send_signal(how)
        assert end_of(daemon) == 0


def hang(stand: Stand, deaf: Deaf) -> None:
    """Let the target be at a server that never answers, and be waited for without end."""
    url = f"postgresql://postgres@127.0.0.1:{deaf.port}/x"
    text = stand.map_file.read_text().partition("    queues:\n")[0]
    budget = f"budget: {{timeout: {FOR_EVER}}}"
    crm, billing = (f'"sqlite:///{stand.place}/{name}.sqlite", zone: UTC}}' for name in ("crm", "billing"))
    text = text.replace(f"url: {billing}", f'url: "{url}", {budget}}}').replace(
        crm, crm.replace("}", f", {budget}}}")
    )
    stand.map_file.write_text(text)


KINDS = sorted(queues_at(0, ""))


@pytest.mark.parametrize("kinds", [KINDS[:ALIKE], KINDS[ALIKE:]], ids=" ".join)
def test_systems_and_brokers_that_hang_for_ever_hold_up_no_stop(stand: Stand, deaf: Deaf, kinds: list[str]) -> None:
    hang(stand, deaf)
    brokers = {kind: Deaf() for kind in kinds}
    queues = {kind: queues_at(broker.port, FOR_EVER)[kind] for kind, broker in brokers.items()}
    lines = [f"      {kind}: {json.dumps(queue)}\n" for kind, queue in queues.items()]
    stand.map_file.write_text(stand.map_file.read_text() + "    queues:\n" + "".join(lines))
    with running(stand.map_file, stand.place / "var", environment=settings(stand), warmed=True) as daemon:
        wait_until(lambda: deaf.taken and all(each.taken for each in brokers.values()), what=str(kinds))
        assert end_of(daemon) == 0
    for each in brokers.values():
        each.close()
    assert "Traceback" not in (stand.place / "var" / "log").read_text()
    assert stand.rows("backlogs") == []
    assert [row["system"] for row in stand.rows("probe_runs") if row["reason"]] == []


def drivers_of(daemon: Running) -> list[int]:
    """The processes of Kafka's driver that a daemon has started."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            above = int((each / "stat").read_text().rpartition(")")[2].split()[1])
            if above == daemon.pid and b"kafka_driver" in (each / "cmdline").read_bytes():
                found.append(int(each.name))
    return found


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def with_kafka(stand: Stand, port: int, timeout: str) -> None:
    queue = json.dumps({"kafka": queues_at(port, timeout)["kafka"]})
    text = stand.map_file.read_text().partition("    queues:\n")[0]
    stand.map_file.write_text(f"{text}    queues: {queue}\n")


def test_a_driver_of_kafka_that_hangs_holds_up_no_stop_and_ends_with_it(stand: Stand, deaf: Deaf) -> None:
    with_kafka(stand, deaf.port, FOR_EVER)
    with running(stand.map_file, stand.place / "var", environment=settings(stand), warmed=True) as daemon:
        wait_until(lambda: deaf.taken)
        (driver,) = drivers_of(daemon)
        os.kill(driver, signal.SIGSTOP)
        audited(stand)
        assert end_of(daemon) == 0
    wait_until(lambda: is_gone(driver))
    assert stand.rows("backlogs") == []


def test_a_server_that_ends_the_driver_of_kafka_ends_nothing_else(stand: Stand) -> None:
    server = WireServer(KAFKA["an answer with -1 versions"], asked_first=False)
    with_kafka(stand, server.port, "5s")
    with running(stand.map_file, stand.place / "var", environment=settings(stand), warmed=True) as daemon:
        wait_until(lambda: stand.count("backlogs") >= 3)
        audited(stand, stand.count("probe_runs") + 3)
        assert end_of(daemon) == 0
    server.close()
    log = (stand.place / "var" / "log").read_text()
    assert "Traceback" not in log
    assert {row["reason"] for row in stand.rows("probe_runs") if row["system"] in {"crm", "billing"}} <= {None, ""}
    told = [str(row["message"] or "") for row in stand.rows("backlogs")]
    assert any("SIGABRT" in each for each in told)
    assert all(told), told


def test_a_ledger_that_hangs_holds_up_no_stop(stand: Stand, postgresql_url: str) -> None:
    server, _, name = postgresql_url.rpartition("/")
    proxy = Proxy(int(server.rpartition(":")[2]))
    ledger = {**settings(stand), "AUDITOR_LEDGER": f"postgresql://postgres@127.0.0.1:{proxy.port}/{name}"}
    try:
        with running(stand.map_file, stand.place / "var", environment=ledger, warmed=True) as daemon:
            shared = Workspace.at(stand.place / "var", ledger_url=postgresql_url).ledger()
            wait_until(lambda: ledgers.count(shared, "probe_runs"))
            proxy.mode = "swallow"
            assert end_of(daemon) == 0
        proxy.mode = "pass"
        runs = ledgers.count(shared, "probe_runs")
        with running(stand.map_file, stand.place / "var", environment=ledger, warmed=True) as daemon:
            wait_until(lambda: ledgers.count(shared, "probe_runs") > runs)
            assert end_of(daemon) == 0
        shared.close()
    finally:
        proxy.close()


def test_a_ledger_that_hangs_at_the_start_holds_up_no_stop(stand: Stand, deaf: Deaf) -> None:
    ledger = {**settings(stand), "AUDITOR_LEDGER": f"postgresql://postgres@127.0.0.1:{deaf.port}/x"}
    with running(stand.map_file, stand.place / "var", environment=ledger, warmed=True) as daemon:
        wait_until(lambda: deaf.taken)
        assert end_of(daemon) == 0


def test_a_ledger_that_another_process_locks_holds_up_no_stop(stand: Stand) -> None:
    with running(stand.map_file, stand.place / "var", environment=settings(stand), warmed=True) as daemon:
        audited(stand)
        holder = sqlite3.connect(stand.place / "ledger.sqlite", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        before = stand.count("probe_runs")
        assert end_of(daemon) == 0
        holder.execute("ROLLBACK")
        assert holder.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        holder.close()
    assert stand.count("probe_runs") == before


def test_a_ledger_that_is_locked_at_the_start_holds_up_no_stop(stand: Stand) -> None:
    data = stand.place / "var"
    data.mkdir()
    Workspace.at(data).ledger().close()
    made = sqlite3.connect(data / "ledger.sqlite", isolation_level=None)
    made.execute("BEGIN EXCLUSIVE")
    with running(stand.map_file, data, environment={"AUDITOR_DIGEST_KEY": "k" * 32}, warmed=True) as daemon:
        wait_until(lambda: holds(daemon, data / "ledger.sqlite"))
        assert end_of(daemon) == 0
    made.close()


def holds(process: Running, file: Path) -> bool:
    """Whether a process has a file open."""
    folder = Path(f"/proc/{process.pid}/fd")
    try:
        return any(each.resolve() == file.resolve() for each in folder.iterdir())
    except OSError:
        return False


def test_a_map_that_cannot_be_read_to_its_end_holds_up_no_stop(stand: Stand) -> None:
    pipe = stand.place / "pipe.yaml"
    os.mkfifo(pipe)
    var = stand.place / "var"
    with (
        running(pipe, var, environment=settings(stand), warmed=True) as daemon,
        pipe.open("w"),
    ):  # opens when the daemon reads
        assert end_of(daemon) == 0


def test_a_map_that_is_replaced_while_it_stops_changes_nothing(stand: Stand) -> None:
    with running(stand.map_file, stand.place / "var", environment=settings(stand), warmed=True) as daemon:
        audited(stand)
        fresh = stand.place / "fresh.yaml"
        fresh.write_text("systems: [")
        fresh.replace(stand.map_file)
        assert end_of(daemon) == 0
    assert "Traceback" not in (stand.place / "var" / "log").read_text()


def test_a_log_that_nobody_takes_holds_up_no_stop(stand: Stand) -> None:
    reader, writer = os.pipe()
    try:
        os.set_blocking(writer, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writer, b"x" * 4096)
        os.set_blocking(writer, True)
        with running(
            stand.map_file, stand.place / "var", environment=settings(stand), stderr=writer, warmed=True
        ) as daemon:
            wait_until(lambda: stand.ledger.lease.now().holder)
            assert end_of(daemon) == 0
    finally:
        os.close(reader)
        os.close(writer)


def test_a_log_that_has_gone_ends_no_stop_early(stand: Stand) -> None:
    """A closed terminal or `| head`: the stop is whole all the same, so that the last rows are committed."""
    reader, writer = os.pipe()
    with running(
        stand.map_file, stand.place / "var", environment=settings(stand), stderr=writer, warmed=True
    ) as daemon:
        os.close(writer)
        audited(stand)
        os.close(reader)
        assert end_of(daemon) == 0


def test_an_archive_that_hangs_holds_up_no_stop(stand: Stand) -> None:
    daemon = Daemon(load_map(stand.map_file, {}), Workspace.at(stand.place / "var", ledger_url=stand.ledger_url))
    begun, released = threading.Event(), threading.Event()

    def archive(_: bool) -> None:
        begun.set()
        released.wait(10 * PATIENCE_S)

    daemon.timetable.add(Job(name="archive that hangs", run=archive, every_s=3600))
    daemon.start()
    assert begun.wait(PATIENCE_S)
    stop = threading.Thread(target=daemon.stop, daemon=True)
    stop.start()
    stop.join(PATIENCE_S)
    assert not stop.is_alive()
    released.set()


class Obstinate:
    """What is to be closed and does not close."""

    def __init__(self, daemon: Daemon) -> None:
        self.released = threading.Event()
        daemon.readers["crm"].probe.close = self.hang  # type: ignore[method-assign]
        daemon.readers["billing"].probe.close = self.fail  # type: ignore[method-assign]

    def hang(self) -> None:
        self.released.wait(10 * PATIENCE_S)

    def fail(self) -> None:
        raise ZeroDivisionError


def test_connections_that_do_not_close_keep_nothing_else_open(stand: Stand, caplog: pytest.LogCaptureFixture) -> None:
    daemon = Daemon(load_map(stand.map_file, {}), Workspace.at(stand.place / "var", ledger_url=stand.ledger_url))
    obstinate = Obstinate(daemon)
    closed: list[str] = []
    queue = daemon.queues[0]._reader._probe
    queue.close = lambda: closed.append("queue")  # type: ignore[method-assign]
    daemon.start()
    stop = threading.Thread(target=daemon.stop, daemon=True)
    stop.start()
    stop.join(PATIENCE_S)
    assert not stop.is_alive()
    assert closed == ["queue"]
    assert "left 2 of 3 connections open: TimeoutError, ZeroDivisionError" in caplog.text
    assert stand.ledger.lease.now().holder is None  # the ledger is free
    obstinate.released.set()


def test_calls_side_by_side_are_waited_for_no_longer_than_asked() -> None:
    released, ended = threading.Event(), list[int]()

    def fail() -> None:
        raise ZeroDivisionError

    failed = run_all([lambda: released.wait(PATIENCE_S), fail, lambda: ended.append(1)], 0.1)
    assert sorted(type(each).__name__ for each in failed) == ["TimeoutError", "ZeroDivisionError"]
    assert ended == [1]
    released.set()
    assert run_all([], 0.0) == []


COMMANDS = [["once"], ["doctor"], ["record", "customer", "1"], ["discover", "crm", "billing"]]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: words[0])
def test_ctrl_c_ends_a_command_whose_system_hangs(stand: Stand, deaf: Deaf, command: list[str]) -> None:
    hang(stand, deaf)
    stand.put("crm", 1)
    words = [*command, "--map", str(stand.map_file)]
    words += ["--data", str(stand.place / "var")] if command[0] in {"once", "doctor"} else []
    environment = {**os.environ, **settings(stand), "PYTHONPATH": str(HOME)}
    with (stand.place / "said").open("w+b") as said:
        process = warm.start(words, cwd=HOME, env=environment, err=said)
        try:
            wait_until(lambda: deaf.taken)
            process.send_signal(signal.SIGINT)
            code = process.wait(PATIENCE_S)
            said.seek(0)
            told = said.read()
            assert (code, b"Traceback" in told) == (130, False), told.decode()
        finally:
            process.kill()
            process.wait()


def test_a_pool_runs_no_more_at_once_than_it_has_threads() -> None:
    pool, released, begun = Pool(2, "p"), threading.Event(), threading.Semaphore(0)
    running_now, most, guard = 0, 0, threading.Lock()

    def call() -> int:
        nonlocal running_now, most
        with guard:
            running_now += 1
            most = max(most, running_now)
        begun.release()
        released.wait(PATIENCE_S)
        with guard:
            running_now -= 1
        return 7

    calls = [pool.submit(call) for _ in range(6)]
    for _ in range(2):
        assert begun.acquire(timeout=PATIENCE_S)
    released.set()
    assert [each.result(PATIENCE_S) for each in calls] == [7] * 6
    assert most == 2
    pool.close()


def test_a_pool_that_is_closed_cancels_what_waits_and_takes_nothing_more() -> None:
    pool, released, begun = Pool(1, "p"), threading.Event(), threading.Event()

    def call() -> None:
        begun.set()
        released.wait(PATIENCE_S)

    first, second = pool.submit(call), pool.submit(call)
    assert begun.wait(PATIENCE_S)
    pool.close()
    pool.close()
    assert second.cancelled()
    with pytest.raises(RuntimeError):
        pool.submit(call)
    released.set()
    first.result(PATIENCE_S)
    wait_until(lambda: not any(each.name.startswith("p-") for each in threading.enumerate()))


def test_a_pool_hands_on_what_a_call_raises_and_goes_on() -> None:
    pool = Pool(1, "p")

    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        pool.submit(fail).result(PATIENCE_S)
    assert pool.submit(lambda: 1).result(PATIENCE_S) == 1
    pool.close()


def test_a_pool_starts_no_thread_while_another_is_free() -> None:
    pool = Pool(8, "p")
    for _ in range(20):
        pool.submit(lambda: None).result(PATIENCE_S)
        wait_until(lambda: not pool._under_way)
    assert pool._workers == 1
    pool.close()
