"""A file of the data folder that a living daemon touches, so that the watchdog can tell it from one that hangs.

The ledger shows that, too, but not while it cannot be written: then a daemon that still touches its file reports the
ledger's trouble itself, and one that does not has to be reported by the watchdog. A full disk does not keep a file
from being touched.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from auditor.storage import private_files

PULSE_FILE_EVERY_S = 5.0

NAME = "daemon.pulse"


class PulseFile:
    """The sign of life of one daemon.

    Args:
        folder: the data folder.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / NAME

    def touch(self) -> None:
        """Show that the daemon's timetable runs; where the file cannot be touched, there is no sign."""
        with contextlib.suppress(OSError):
            try:
                os.utime(self._file)
            except FileNotFoundError:
                private_files.write(self._file, b"")


def pulse(folder: Path) -> int:
    """What changes whenever a daemon touches its file; 0 where there is none."""
    try:
        return (folder / NAME).stat().st_mtime_ns
    except OSError:
        return 0
