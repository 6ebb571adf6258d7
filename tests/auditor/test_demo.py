"""`auditor demo` as a process: one per folder, and nothing promised that did not start."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from auditor.dashboard.serving import LOOPBACK
from auditor.demo import LOCK, _gave_up, _start
from auditor.scenarios import ADDRESS
from auditor.storage.private_files import held
from tests import HOME
from tests.auditor.screens import a_demo
from tests.waiting import wait_until


def demo(*words: object) -> subprocess.CompletedProcess[str]:
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("AUDITOR_", "DEMO_", "SLACK_"))
    }
    command = [sys.executable, "-m", "auditor", "demo", *map(str, words)]
    return subprocess.run(command, cwd=HOME, env=clean, capture_output=True, text=True, timeout=120, check=False)


def test_a_second_demo_in_a_folder_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    with a_demo(tmp_path) as address:
        before = (tmp_path / "company" / ADDRESS).read_text()
        second = demo("--data", tmp_path, "--port", 0)
        assert second.returncode == 3
        assert f"error: a demo already runs in {tmp_path}: {address}; stop it first" in second.stderr
        assert second.stdout == ""
        assert (tmp_path / "company" / ADDRESS).read_text() == before
        assert "paused-consumer" in demo("list", "--data", tmp_path).stdout
    assert not (tmp_path / "company" / ADDRESS).exists()


@pytest.mark.parametrize("ends_by", [signal.SIGHUP, signal.SIGKILL])
def test_a_demo_whose_terminal_is_closed_or_that_is_killed_leaves_nothing_behind(
    tmp_path: Path, ends_by: signal.Signals
) -> None:
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("AUDITOR_", "DEMO_", "SLACK_"))
    }
    words = [sys.executable, "-m", "auditor", "demo", "--data", str(tmp_path), "--port", "0"]
    mine, theirs = os.openpty()
    first = subprocess.Popen(
        words, stdin=theirs, stdout=theirs, stderr=theirs, cwd=HOME, env=clean, start_new_session=True
    )
    os.close(theirs)
    begun: set[int] = set()
    try:
        said = b""
        while b"Ctrl-C stops everything" not in said:
            said += os.read(mine, 4096)
        begun = _descendants(first.pid)
        assert len(begun) >= 3, said
        os.close(mine)  # what is written from here on is refused
        first.send_signal(ends_by)
        assert first.wait(60) == (0 if ends_by is signal.SIGHUP else -ends_by)
        wait_until(lambda: not (begun & _alive()), what=str(tmp_path))
        with held(tmp_path / LOCK) as lock:
            assert lock is not None
    finally:
        for each in (begun | _descendants(first.pid) | {first.pid}) & _alive():
            os.kill(each, signal.SIGKILL)
        first.wait()


def _descendants(pid: int) -> set[int]:
    """A process's children with theirs."""
    table = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = [tuple(map(int, line.split())) for line in table.splitlines()]
    found, last = {pid}, set[int]()
    while found != last:
        last, found = found, found | {child for child, parent in pairs if parent in found}
    return found - {pid}


def _alive() -> set[int]:
    """The processes that have not ended, whether or not somebody has yet asked how."""
    table = subprocess.run(["ps", "-A", "-o", "pid=,stat="], capture_output=True, text=True, check=True).stdout
    return {int(pid) for pid, state in map(str.split, table.splitlines()) if not state.startswith("Z")}


def test_a_demo_under_nohup_stays() -> None:
    told = subprocess.run([sys.executable, "-c", UNDER_NOHUP], capture_output=True, text=True, check=False, cwd=HOME)
    assert (told.stdout, told.returncode) == ("still here\nstopped\n", 0), told.stderr


UNDER_NOHUP = """
import os, signal, time
signal.signal(signal.SIGHUP, signal.SIG_IGN)
from auditor.demo import catch_stops
catch_stops()
os.kill(os.getpid(), signal.SIGHUP)
print("still here", flush=True)
try:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)
except KeyboardInterrupt:
    print("stopped")
"""


def test_a_company_that_outlives_its_demo_keeps_the_folder(tmp_path: Path) -> None:
    first = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path / LOCK)], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    assert first.stdout is not None
    company = int(first.stdout.readline())
    try:
        first.kill()
        first.wait()
        assert "a demo already runs" in demo("--data", tmp_path, "--port", 0).stderr
    finally:
        os.kill(company, signal.SIGKILL)


HOLDS = """
import subprocess, sys, time
from pathlib import Path
from auditor.demo import _start
from auditor.storage.private_files import held
lock = Path(sys.argv[1])
(lock.parent / "logs").mkdir()
with held(lock) as file:
    child = _start("company", [sys.executable, "-c", "import time; time.sleep(600)"], {}, lock.parent, file.fileno())
    print(child.process.pid, flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def taken() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.create_server((LOOPBACK, 0)) as listening:
        yield listening.getsockname()[1]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory, taken: int) -> subprocess.CompletedProcess[str]:
    """A demo whose auditor cannot start, and whose dashboard does not get its port."""
    return demo("--data", tmp_path_factory.mktemp("demo"), "--port", taken, "--status-port", taken)


def test_a_demo_whose_auditor_has_ended_promises_nothing(ended: subprocess.CompletedProcess[str]) -> None:
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert "the auditor ended with 2; see the files in " in ended.stderr
    assert "error: --status-port: " in ended.stderr


def test_a_port_in_use_is_named_with_the_one_used_instead(
    ended: subprocess.CompletedProcess[str], taken: int
) -> None:
    said = re.search(
        r"^--port: (\d+) is in use on 127\.0\.0\.1; the dashboard uses (\d+) instead$", ended.stderr, re.MULTILINE
    )
    assert said is not None, ended.stderr
    assert int(said[1]) == taken != int(said[2])


def test_what_an_earlier_start_has_logged_is_not_said_of_this_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "logs").mkdir()
    log = tmp_path / "logs" / "auditor.log"
    log.write_text("error: of yesterday\n")
    quiet = _start("auditor", [sys.executable, "-c", "raise SystemExit(2)"], {}, tmp_path)
    quiet.process.wait()
    assert _gave_up([quiet]) == 1
    assert capsys.readouterr().err == f"the auditor ended with 2; see the files in {log.parent}\n"
    loud = _start("auditor", [sys.executable, "-c", "raise SystemExit('error: of today')"], {}, tmp_path)
    loud.process.wait()
    assert _gave_up([loud]) == 1
    assert capsys.readouterr().err.splitlines()[1:] == ["  error: of today"]
    assert log.read_text() == "error: of yesterday\nerror: of today\n"
