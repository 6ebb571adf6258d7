"""Opening a SQLite file without writing: neither the file nor files next to it.

A connection with `mode=ro` still creates `-wal` and `-shm` next to a database in WAL mode that no program has open,
and leaves them there. Such a file is read as immutable; its size and modification time show whether it stayed
unchanged, and a read during which they changed does not count. Two writes within one tick of the file system's clock
get one time, so a file written within the last tick is not read as immutable yet. If a program has the database open,
its files exist, and the index among them is opened read-only.

An open file stays readable after it was deleted, or after another one was moved to its path. So every read checks
before and after that the path still leads to the opened file: what is read from a file that is gone does not count.

Source: sqlite.org/uri.html (mode, immutable, the fragment), sqlite.org/wal.html#read_only_databases,
sqlite.org/fileformat.html (the write version of the file format),
sqlite.org/howtocorrupt.html#_unlinking_or_renaming_a_database_file_while_in_use.
"""

from __future__ import annotations

import functools
import os
import random
import sqlite3
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ParamSpec, TypeVar
from urllib.parse import quote, urlencode

from probes.call_deadline import spare
from probes.contract import ProbeError, Reason
from probes.ranking import SQLITE_FUNCTION, sqlite_rank
from probes.records.sql.bounded_drivers import ROWS_LIMIT_BYTES
from probes.records.sql.database_url import sqlite_file

_WRITE_VERSION = 18
_WAL = 2

REFUSALS = 30
"""How often in a row a file may be in a state that can be passing or lasting, until it is taken to last."""

READ_AGAIN_S = 10.0
"""How long to retry a file that changes during every read, but no longer than half of the call's time."""

PAUSE_S = 0.01
"""Wait before a retry: as long as a program takes to close a file."""

LONGEST_PAUSE_S = 0.05
"""Pauses grow to this, give or take half."""

TICK_NS = 20_000_000
"""Longer than a tick of the clock that stamps files: Linux stamps them by its timer, up to 10 ms apart (time(7))."""

COARSE_TICK_NS = 2_000_000_000
"""The same where times have no fractions of a second: FAT keeps even seconds."""

Parameters = ParamSpec("Parameters")
AnswerT = TypeVar("AnswerT")

Stamp = tuple[int, int, int, int]
"""Identifies an unchanged file: its device, inode, size and modification time."""

Identity = tuple[int, int]
"""Identifies a file, whatever it holds: its device and inode, which no other file gets while this one is open."""


class WrittenMeanwhileError(ProbeError):
    """The read does not count, because the file was written at the same time."""


class NotReadyError(WrittenMeanwhileError):
    """The file cannot be read: because a program is just opening or closing it, or for good."""


def undisturbed(read: Callable[Parameters, AnswerT]) -> Callable[Parameters, AnswerT]:
    """Repeat a read if a program opened, wrote or closed the SQLite file meanwhile."""

    @functools.wraps(read)
    def again(*args: Parameters.args, **named: Parameters.kwargs) -> AnswerT:
        ends_at = time.monotonic() + min(READ_AGAIN_S, spare())
        refusals, pause_s = 0, PAUSE_S
        while True:
            try:
                return read(*args, **named)
            except WrittenMeanwhileError as error:
                refusals = refusals + 1 if isinstance(error, NotReadyError) else 0
                if refusals == REFUSALS or time.monotonic() >= ends_at:
                    raise
            time.sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311 -- even ones may meet every write
            pause_s = min(pause_s + PAUSE_S, LONGEST_PAUSE_S)

    return again


class ReadOnlyConnection(sqlite3.Connection):
    """A connection that writes nothing.

    Attributes:
        path: the file's path.
        always: the URL says that the file is immutable.
        stamp: the stamp of a file that is treated as immutable; None if another program may write at any time.
        identity: of the file to which the path led when it was opened; None if there was none.
        index: of the index of its log, likewise.
    """

    path: Path
    always: bool = False
    stamp: Stamp | None = None
    identity: Identity | None = None
    index: Identity | None = None

    @property
    def spoilt(self) -> bool:
        """Whether what is read does not count: the file or its log was replaced, or an immutable file was written."""
        if self.identity != _identity(self.path):
            return True
        if self.stamp is not None:
            return self.stamp != _stamp(self.path)
        return self.index != _identity(_log_and_index(self.path)[1])

    @property
    def outdated(self) -> bool:
        """Whether the file is no longer what it was opened as."""
        return self.spoilt or (self.stamp is not None and not self.always and _in_use(self.path))

    @property
    def holds_log(self) -> bool:
        """Whether the log of the file stays as long as this is open."""
        return self.index is not None


def open_sqlite(database: str, parameters: Mapping[str, str], timeout_s: float) -> ReadOnlyConnection:
    """A connection that writes neither to a SQLite file nor next to it.

    Raises:
        ProbeError: `unreachable` if it is not a file, or cannot be read without writing next to it.
    """
    path = sqlite_file(database)
    _check_regular(path)
    kept = {name: value for name, value in parameters.items() if name not in {"uri", "mode", "immutable"}}
    always = parameters.get("immutable", "0").lower() in {"1", "on", "yes", "true"}
    identity, index = _identity(path), _identity(_log_and_index(path)[1])
    stamp = _as_it_is(path, always=always)
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
    connection.path, connection.always, connection.stamp = path, always, stamp
    connection.identity, connection.index = identity, index if stamp is None else None
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
    """The stamp of a file that is treated as immutable; None for others.

    Raises:
        WrittenMeanwhileError: the next write could leave the stamp as it is, or the log cannot be read.
    """
    stamp = _stamp(path)
    if not always and (not _has_log(path) or _in_use(path)):
        return None
    if stamp is not None:
        written_ns = stamp[-1]
        tick_ns = TICK_NS if written_ns % 1_000_000_000 else COARSE_TICK_NS
        if abs(time.time_ns() - written_ns) < tick_ns:
            raise WrittenMeanwhileError(
                Reason.UNREACHABLE, f"{path} was written a moment ago, and may still be", hint="it is read again"
            )
    return stamp


def _has_log(path: Path) -> bool:
    """Whether a file is in WAL mode.

    A program that closes a file gives up every lock that it holds on it, those of other connections included: SQLite
    may then remove the log while they read. So only who opens a connection looks, and every read looks at the log.
    Source: sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_WRITE_VERSION + 1)
    except OSError:
        return False
    return len(head) > _WRITE_VERSION and head[_WRITE_VERSION] == _WAL


def _log_and_index(path: Path) -> tuple[Path, Path]:
    """Where SQLite keeps the log of a file in WAL mode, and the index of the log, while a program has it open."""
    real = os.path.realpath(path)
    return Path(f"{real}-wal"), Path(f"{real}-shm")


def _in_use(path: Path) -> bool:
    """Whether a program has a file in WAL mode open, or left an index behind by which its log can be read.

    Raises:
        NotReadyError: there is a log, and no index of it.
    """
    log, index = _log_and_index(path)
    try:
        pending = log.stat().st_size
    except OSError:
        return False
    if index.exists():
        return True
    if not pending:
        return False
    raise NotReadyError(
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
