"""The installations that this server shows: each is opened once, for all sessions; no Streamlit."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

from auditor.dashboard.data import Data, NoLedgerError
from auditor.dashboard.memo import Memo
from auditor.ledger import LedgerError
from auditor.map.loader import load_map
from auditor.map.problems import MapError
from auditor.workspace import Workspace

_OPENED = Memo()


def installation(map_file: str, folder: str) -> Data:
    """The installation of a map and a folder of data; opened, if it is not yet.

    Raises:
        MapError: the map cannot be read.
        NoLedgerError: nothing is recorded yet.
        LedgerError: the ledger is unusable.
    """
    return _OPENED.get((map_file, folder), lambda: _open(map_file, folder))


def is_open(map_file: str, folder: str) -> bool:
    """Whether nobody has to wait for it."""
    return _OPENED.has((map_file, folder))


def open_early(map_file: str, folder: str) -> threading.Thread:
    """Open it beside what else happens, so that the first who looks need not wait.

    What keeps it from being opened is told to whoever looks.
    """

    def work() -> None:
        with suppress(MapError, NoLedgerError, LedgerError):
            installation(map_file, folder)

    thread = threading.Thread(target=work, name="history", daemon=True)
    thread.start()
    return thread


def forget() -> None:
    """Close all."""
    for each in _OPENED.clear():
        each.close()


def _open(map_file: str, folder: str) -> Data:
    workspace = Workspace.at(
        Path(folder),
        ledger_url=os.environ.get("AUDITOR_LEDGER"),
        archive=os.environ.get("AUDITOR_ARCHIVE"),
        make=False,
    )
    data = Data(load_map(Path(map_file)), workspace)
    data.lens.refresh()
    return data
