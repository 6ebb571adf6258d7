"""Tests go on after one that ends its process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import HOME

TESTS = """
import os, pytest

@pytest.mark.parametrize("number", range(60))
def test_one(number):
    if number == 17:
        os._exit(0)

@pytest.mark.xdist_group("together")
@pytest.mark.parametrize("number", range(6))
def test_of_a_group(number):
    if number == 3:
        os._exit(0)
"""


@pytest.mark.parametrize("processes", [1, 2])
def test_a_test_that_ends_its_process_fails_and_all_others_run(tmp_path: Path, processes: int) -> None:
    (tmp_path / "conftest.py").write_text("from tests.scheduling import pytest_xdist_make_scheduler\n")
    (tmp_path / "test_some.py").write_text(TESTS)
    options = ["-q", "-n", str(processes), "--dist", "loadgroup", "-p", "no:cacheprovider", "-c", "/dev/null"]
    command = [sys.executable, "-m", "pytest", *options, f"--rootdir={tmp_path}", str(tmp_path)]
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env={"PYTHONPATH": str(HOME)}
    )
    assert "2 failed, 64 passed" in ended.stdout, ended.stdout + ended.stderr
    assert ended.stdout.count("crashed while running") == 2
