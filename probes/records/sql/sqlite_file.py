"""Opening a SQLite file without writing: neither the file nor files next to it.

A connection with `mode=ro` still creates `-wal` and `-shm` next to a database in WAL mode that no program has open,
and leaves them there. Such a file is read as immutable; its size and modification time show whether it stayed
unchanged, and a read during which they changed does not count. If a program has the database open, its files exist,
and the index among them is opened read-only.

An open file stays readable after it was deleted, or after another one was moved to its path. So every read checks
before and after that the path still leads to the opened file: what is read from a file that is gone does not count.

Source: sqlite.org/uri.html (mode, immutable, the fragment), sqlite.org/wal.html#read_only_databases,
sqlite.org/fileformat.html (the write version of the file format),
sqlite.org/howtocorrupt.html#_unlinking_or_renaming_a_database_file_while_in_use.
"""

from __future__ import annotations

import functools
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ParamSpec, TypeVar
from urllib.parse import quote, urlencode

from probes.contract import ProbeError, Reason
from probes.ranking import SQLITE_FUNCTION, sqlite_rank
from probes.records.sql.bounded_drivers import ROWS_LIMIT_BYTES
from probes.records.sql.database_url import sqlite_file

_WRITE_VERSION = 18
_WAL = 2

READS = 8
"""How often to retry a file that is being written, which seldom lasts long."""

PAUSE_S = 0.01
"""Wait before a retry: as long as a program takes to close a file."""

Parameters = ParamSpec("Parameters")
AnswerT = TypeVar("AnswerT")

Stamp = tuple[int, int, int, int]
"""Identifies an unchanged file: its device, inode, size and modification time."""

Identity = tuple[int, int]
"""Identifies a file, whatever it holds: its device and inode, which no other file gets while this one is open."""


class WrittenMeanwhileError(ProbeError):
    """The read does not count, because the file was written at the same time."""


def undisturbed(read: Callable[Parameters, AnswerT]) -> Callable[Parameters, AnswerT]:
    """Repeat a read if a program opened, wrote or closed the SQLite file meanwhile."""

    @functools.wraps(read)
    def again(*args: Parameters.args, **named: Parameters.kwargs) -> AnswerT:
        for attempt in range(1, READS):
            try:
                return read(*args, **named)
            except WrittenMeanwhileError:
                time.sleep(attempt * PAUSE_S)
        return read(*args, **named)

    return again


class ReadOnlyConnection(sqlite3.Connection):
    """A connection that writes nothing.

    Attributes:
        path: the file's path.
        always: the URL says that the file is immutable.
        stamp: the stamp of a file that is treated as immutable; None if another program may write at any time.
        identity: of the file to which the path led when it was opened; None if there was none.
    """

    path: Path
    always: bool = False
    stamp: Stamp | None = None
    identity: Identity | None = None

    @property
    def replaced(self) -> bool:
        """Whether the path no longer leads to the opened file."""
        return self.identity != _identity(self.path)

    @property
    def outdated(self) -> bool:
        """Whether the file is no longer what it was opened as."""
        return self.replaced or self.stamp != _as_it_is(self.path, always=self.always)

    @property
    def written(self) -> bool:
        """Whether a file treated as immutable was written, so that reads of it do not count."""
        return self.stamp is not None and self.stamp != _stamp(self.path)


def open_sqlite(database: str, parameters: Mapping[str, str], timeout_s: float) -> ReadOnlyConnection:
    """A connection that writes neither to a SQLite file nor next to it.

    Raises:
        ProbeError: `unreachable` if it is not a file, or cannot be read without writing next to it.
    """
    path = sqlite_file(database)
    _check_regular(path)
    kept = {name: value for name, value in parameters.items() if name not in {"uri", "mode", "immutable"}}
    always = parameters.get("immutable", "0").lower() in {"1", "on", "yes", "true"}
    identity, stamp = _identity(path), _as_it_is(path, always=always)
    # SQLite finds a shared cache by its path: it could hold pages from before a change, or of a file that is gone.
    how = {"mode": "ro", "readonly_shm": "1", "cache": "private"}
    if stamp is not None:
        how["immutable"] = "1"
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?{urlencode({**kept, **how})}",
        uri=True,
        timeout=timeout_s,
        check_same_thread=False,
        factory=ReadOnlyConnection,
    )
    connection.path, connection.always, connection.stamp, connection.identity = path, always, stamp, identity
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, ROWS_LIMIT_BYTES)
    connection.create_function(SQLITE_FUNCTION, 3, sqlite_rank, deterministic=True)
    return connection


def _check_regular(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except OSError:
        return  # SQLite reports the error
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise ProbeError(
            Reason.UNREACHABLE, f"{path} is not a regular file", hint="name a SQLite file in the system's url"
        )


def _as_it_is(path: Path, *, always: bool) -> Stamp | None:
    """The stamp of a file that is treated as immutable; None for others."""
    return _stamp(path) if always else _idle(path)


def _idle(path: Path) -> Stamp | None:
    """The stamp of a file in WAL mode that no program has open; None for others."""
    try:
        with path.open("rb") as file:
            head = file.read(_WRITE_VERSION + 1)
    except OSError:
        return None
    if len(head) <= _WRITE_VERSION or head[_WRITE_VERSION] != _WAL:
        return None
    stamp = _stamp(path)
    real = os.path.realpath(path)  # SQLite keeps its files next to this path
    log, index = Path(f"{real}-wal"), Path(f"{real}-shm")
    try:
        pending = log.stat().st_size
    except OSError:
        return stamp
    if index.exists():
        return None
    if not pending:
        return stamp
    raise WrittenMeanwhileError(
        Reason.UNREACHABLE,
        f"{path} has changes in {log.name} that no program has open, and reading them would make files beside it",
        hint="let the program that writes it open it once, or copy it with .backup",
    )


def _identity(path: Path) -> Identity | None:
    """Which file a path leads to, through any links; None if it leads to none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _stamp(path: Path) -> Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
