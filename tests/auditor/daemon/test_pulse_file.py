"""The sign of life outside the ledger: it changes with every touch, and needs no room on the disk."""

from __future__ import annotations

from pathlib import Path

from auditor.daemon.pulse_file import NAME, PulseFile, pulse
from tests.waiting import wait_until


def test_it_changes_with_every_touch(tmp_path: Path) -> None:
    assert pulse(tmp_path) == 0
    beat = PulseFile(tmp_path)
    beat.touch()
    first = pulse(tmp_path)
    assert first > 0

    def changed() -> bool:  # a file system may count time in coarse steps
        beat.touch()
        return pulse(tmp_path) != first

    wait_until(changed)
    assert (tmp_path / NAME).stat().st_mode & 0o077 == 0


def test_without_a_folder_there_is_no_sign(tmp_path: Path) -> None:
    PulseFile(tmp_path / "gone").touch()
    assert pulse(tmp_path / "gone") == 0
