"""Ctrl-C while modules are loaded: of the command line itself, and of a command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from auditor.cli.interrupts import outside_imports, quiet
from tests import HOME
from tests.stand import Stand

SLOW = """
import sys, time
print("loading", file=sys.stderr, flush=True)
try:
    time.sleep(1.5)
except KeyboardInterrupt as error:
    raise RuntimeError("wrapped") from error
"""


def interrupted(words: list[str], modules: Path) -> tuple[int, str]:
    """The exit code, and what a command wrote that got Ctrl-C while it loaded the slow module."""
    environment = {**os.environ, "PYTHONPATH": f"{modules}{os.pathsep}{HOME}"}
    command = [sys.executable, "-m", "auditor", *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=modules, env=environment) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "loading\n"
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    return process.returncode, told


def test_ctrl_c_while_the_command_line_loads_ends_it_without_a_word(tmp_path: Path) -> None:
    (tmp_path / "dotenv.py").write_text(SLOW)
    assert interrupted(["--help"], tmp_path) == (130, "")


def test_ctrl_c_while_a_command_loads_a_module_ends_it_without_a_word(tmp_path: Path) -> None:
    (tmp_path / "rich").mkdir()
    (tmp_path / "rich" / "__init__.py").write_text(SLOW)
    assert interrupted(["--help"], tmp_path) == (130, "")


def test_ctrl_c_while_a_module_of_the_map_is_loaded_is_no_mistake_of_the_map(stand: Stand, tmp_path: Path) -> None:
    (tmp_path / "merging.py").write_text(SLOW + "\n\ndef latest(owner, target, changed):\n    return owner\n")
    text = stand.map_file.read_text()
    policy = "conflict_policy: merge-function\n    merge_function: merging:latest\n    every: 1s"
    stand.map_file.write_text(text.replace("every: 1s", policy))
    assert interrupted(["check", "--map", str(stand.map_file)], tmp_path) == (130, "")


@pytest.mark.parametrize("way", [quiet, outside_imports])
def test_whoever_handles_ctrl_c_already_keeps_it(way: Callable[[], AbstractContextManager[None]]) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with way():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    failed: list[BaseException] = []

    def elsewhere() -> None:
        try:
            with way():
                pass
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert not failed
    assert signal.getsignal(signal.SIGINT) is before
