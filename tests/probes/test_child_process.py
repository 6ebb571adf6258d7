"""Children that answer: whatever they do or suffer is one named error in time, and none of them is ever left over."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from probes import child_process
from probes.child_process import Child, ChildEndedError
from tests.waiting import PATIENCE_S, wait_until

MODULE = "tests.probes.odd_child"
HOME = Path(__file__).parents[2]


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Iterator[Child]:
    monkeypatch.setattr(child_process, "STARTS_APART_S", 0.0)
    child = Child(MODULE)
    yield child
    for caller in (1, 2, 3):
        child.leave(caller, b"")


def ask(child: Child, what: str, caller: int = 1, within_s: float = PATIENCE_S) -> str:
    child.start(caller, PATIENCE_S)
    return child.ask(caller, what.encode(), time.monotonic() + within_s).decode()


def running(pid: int | None) -> int:
    assert pid is not None
    return pid


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def test_it_is_started_by_the_first_question_and_answers_many_at_once(child: Child) -> None:
    assert child.pid is None
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(ask, child, "wait", caller) for caller in (1, 2, 3)]
        assert ask(child, "at once") == "at once"
        assert not any(each.done() for each in waiting)
        first = child.pid
        ask(child, "go on")
        assert [each.result(PATIENCE_S) for each in waiting] == ["wait"] * 3
    assert child.pid == first is not None


@pytest.mark.parametrize(
    ("what", "how"),
    [("abort", "was ended by SIGABRT"), ("exit", "ended with code 7"), ("raise", "ended with code 1")],
)
def test_its_death_is_named_to_all_who_wait_and_the_next_question_starts_it_again(
    child: Child, what: str, how: str
) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask, child, "wait", 2)
        wait_until(lambda: child.pid)
        with pytest.raises(ChildEndedError) as ended:
            ask(child, what)
        assert (ended.value.how, ended.value.crashed) == (how, True)
        assert isinstance(waiting.exception(PATIENCE_S), ChildEndedError)
    assert ask(child, "again") == "again"


def test_one_that_is_killed_has_not_crashed(child: Child) -> None:
    ask(child, "up")
    pid = running(child.pid)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask, child, "wait")
        wait_until(lambda: not waiting.done())
        os.kill(pid, signal.SIGKILL)
        ended = waiting.exception(PATIENCE_S)
    assert isinstance(ended, ChildEndedError)
    assert (ended.how, ended.crashed) == ("was ended by SIGKILL", False)
    assert ask(child, "again") == "again"


def test_one_that_hangs_is_killed_at_the_deadline_and_started_again(child: Child) -> None:
    ask(child, "up")
    pid = running(child.pid)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(ask, child, "wait", 2)
        with pytest.raises(TimeoutError):
            ask(child, "hang", within_s=0.1)
        assert "did not answer another call" in str(other.exception(PATIENCE_S))
    wait_until(lambda: is_gone(pid))
    assert ask(child, "again") == "again"


def test_one_that_is_stopped_by_a_signal_is_killed_too(child: Child) -> None:
    ask(child, "up")
    pid = running(child.pid)
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(TimeoutError):
        ask(child, "more" * 100_000, within_s=0.1)  # more than a pipe holds
    wait_until(lambda: is_gone(pid))
    assert ask(child, "again") == "again"


def test_who_asks_at_once_after_one_was_killed_has_another_started(child: Child) -> None:
    for _ in range(20):
        with pytest.raises(TimeoutError):
            ask(child, "hang", within_s=-child_process.KILL_AFTER_S)
        assert ask(child, "again") == "again"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts all memory of a process")
def test_one_that_swallows_memory_ends_at_its_limit(child: Child) -> None:
    with pytest.raises(ChildEndedError) as ended:
        ask(child, "fill")
    assert ended.value.crashed
    assert ask(child, "again") == "again"


def test_an_answer_beyond_the_limit_is_not_taken(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(ask(child, "long")) == 5_000
    monkeypatch.setattr(child_process, "ANSWER_BYTES", 4_999)
    with pytest.raises(ChildEndedError, match="answered more than"):
        ask(child, "long")


def test_one_that_closes_its_end_is_ended(child: Child) -> None:
    with pytest.raises(ChildEndedError):
        ask(child, "close")
    assert ask(child, "again") == "again"


def test_what_a_library_prints_is_no_answer(child: Child) -> None:
    assert ask(child, "print") == "print"
    assert ask(child, "more") == "more"


def test_one_that_dies_again_and_again_is_not_started_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_process, "STARTS_APART_S", 3600.0)
    child = Child(MODULE)
    with pytest.raises(ChildEndedError, match="SIGABRT"):
        ask(child, "abort")
    for _ in range(3):
        with pytest.raises(ChildEndedError, match="SIGABRT"):
            ask(child, "again")
        assert child.pid is None
    child.leave(1, b"")
    assert ask(child, "afresh") == "afresh"
    child.leave(1, b"")


def test_it_ends_with_the_last_of_those_who_ask(child: Child) -> None:
    ask(child, "up", 1)
    pid = running(child.pid)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask, child, "wait", 2)
        wait_until(lambda: 2 in child._callers)
        child.leave(1, b"farewell")
        assert ask(child, "still", 2) == "still"
        assert child.pid == pid
        child.leave(2, b"")
        assert "no longer needed" in str(waiting.exception(PATIENCE_S))
    wait_until(lambda: is_gone(pid))


def test_it_ends_when_it_is_forgotten() -> None:
    child = Child(MODULE)
    ask(child, "up")
    pid = running(child.pid)
    del child
    wait_until(lambda: is_gone(pid))


def test_signals_meant_for_its_parent_do_not_end_it(child: Child) -> None:
    ask(child, "up")
    pid = running(child.pid)
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(pid, each)
    assert ask(child, "more") == "more"
    assert child.pid == pid


def test_it_knows_nothing_of_the_environment_that_may_be_secret(
    child: Child, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CRM_PASSWORD", "secret-of-looker")
    (tmp_path / "json.py").write_text("raise SystemExit('whatever lies where the auditor was started is not run')")
    monkeypatch.chdir(tmp_path)
    known = ask(child, "known")
    assert "secret-of-looker" not in known
    assert json.loads(known)["words"].split("\0")[-2] == MODULE
    assert str(tmp_path) not in json.loads(known)["path"]


PARENT = f"""
import sys, time
from probes.child_process import Child
child = Child("{MODULE}")
child.start(1, 60)
print(child.pid, flush=True)
if sys.argv[1] == "idle":
    time.sleep(3600)
child.ask(1, sys.argv[1].encode(), time.monotonic() + 3600)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("what", ["idle", "hang"])
def test_it_ends_with_its_parent_however_that_ends(what: str, how: signal.Signals) -> None:
    words = [sys.executable, "-c", PARENT, what]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=quiet, cwd=HOME, text=True) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        assert not is_gone(pid)
        parent.send_signal(how)
        parent.wait(PATIENCE_S)
    wait_until(lambda: is_gone(pid))
