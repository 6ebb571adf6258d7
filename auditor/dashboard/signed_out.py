"""Sign-ins that people have ended, so that a copy of their cookie lets nobody in, also after a restart.

Streamlit keeps a sign-in in a signed cookie and nothing on the server: signing out only deletes the cookie in that
browser. What is kept here is a digest of the sign-in and when it began, never the cookie.
"""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path

from auditor.dashboard.oidc import LONGEST_SESSION_S
from auditor.storage import private_files

NAME = "signed-out.json"
"""The file's name in the data folder."""

MOST = 10_000
"""The most sign-ins that are kept apart."""

_NOT_READ = (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError)

_log = logging.getLogger(__name__)


class SignedOut:
    """The sign-ins that have been ended, in memory and, if asked for, in a file; safe to share between threads.

    A sign-in is forgotten once no setting could let it last as long. Beyond `MOST`, those that began first are no
    longer kept apart: every sign-in that began as early counts as ended, and those people sign in again.

    Instants are seconds since 1970.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ended: dict[str, float] = {}
        self._all_until = 0.0
        self._file: Path | None = None
        self._seen: tuple[int, int] | None = None

    def keep(self, file: Path, now: float) -> None:
        """Read what the file holds, and keep in it from now on what is ended.

        If it cannot be read, every sign-in that began before now counts as ended. Another dashboard may keep its own
        there, too: what it adds counts here from the next request on.
        """
        with self._lock:
            self._file = file
            try:
                self._read()
            except _NOT_READ as error:
                self._all_until = max(self._all_until, now)
                _log.warning("cannot read %s (%s), so everyone has to sign in again", file, type(error).__name__)
                self._write()

    def end(self, session: str, began: float, now: float) -> None:
        """End a sign-in.

        Args:
            session: names it.
            began: when it began.
        """
        with self._lock:
            self._catch_up()
            kept = {name: at for name, at in self._ended.items() if at + LONGEST_SESSION_S > now}
            kept[session] = began
            for name in sorted(kept, key=lambda each: kept[each])[: max(0, len(kept) - MOST)]:
                self._all_until = max(self._all_until, kept.pop(name))
            self._ended = kept
            self._write()

    def holds(self, session: str, began: float) -> bool:
        """Whether a sign-in has been ended."""
        with self._lock:
            self._catch_up()
            return session in self._ended or began <= self._all_until

    def _catch_up(self) -> None:
        """Read what another dashboard has added."""
        try:
            if self._file is not None and self._seen != _version(self._file):
                self._read()
        except _NOT_READ as error:
            _log.warning("cannot read %s (%s): what others have ended is not known", self._file, type(error).__name__)

    def _read(self) -> None:
        """Add what the file holds."""
        assert self._file is not None
        self._seen = _version(self._file)
        if self._seen is not None:
            document = json.loads(self._file.read_bytes())
            ended = {str(name): float(began) for name, began in document["ended"].items()}
            self._ended |= ended
            self._all_until = max(self._all_until, float(document["all_until"]))

    def _write(self) -> None:
        if self._file is None:
            return
        document = {"all_until": self._all_until, "ended": self._ended}
        try:
            private_files.write(self._file, json.dumps(document).encode())
            self._seen = _version(self._file)
        except OSError as error:
            _log.warning(
                "cannot write %s (%s): after a restart, a copy of the cookie of a sign-in that was ended now counts "
                "until the sign-in would have ended",
                self._file,
                error.strerror,
            )


def _version(file: Path) -> tuple[int, int] | None:
    """What tells one content of the file from the next, None if there is none."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_ino
