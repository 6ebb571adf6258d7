"""Whether the process that holds a lease still lives."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

from auditor.ledger.process import is_gone, this_process


def test_a_holder_whose_process_has_ended_is_known_to_be_gone(tmp_path: Path) -> None:
    mine = this_process("run", tmp_path)
    assert not is_gone(mine, mine)
    ended = subprocess.Popen(["true"])
    ended.wait()
    assert is_gone(replace(mine, number=ended.pid), mine)
    assert is_gone(replace(mine, born=f"{mine.born}0"), mine), "another process has its number"
    elsewhere = replace(mine, born=mine.born.replace(mine.born.split()[0], "another-machine"), number=ended.pid)
    assert not is_gone(elsewhere, mine), "of another machine nothing is known"
    assert not is_gone(replace(mine, born=""), mine)
