"""Reading the map again while the daemon runs: a good one is put in force, a broken one is refused.

The map's place, the data folder, the ledger, the ports and the environment stay those the process was started with;
files that the map names by `${file:...}` are read again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from auditor.daemon.trouble import News
from auditor.daemon.vitals import Vitals, silent_limits
from auditor.ledger import LedgerError
from auditor.ledger.map_loads import COMMAND, LOADED, REFUSED, SIGNAL, START, UNCHANGED
from auditor.map.diff import compare, compare_documents
from auditor.map.effective import digest_of, effective, masking
from auditor.map.integration_map import IntegrationMap
from auditor.map.problems import MapError, Problem
from probes.wording import counted

if TYPE_CHECKING:
    from auditor.daemon.daemon import Daemon

LOGGED = 50
"""Changes and mistakes that the log lists; the ledger has more."""

RECORDED = 1_000
"""Changes and mistakes that the ledger lists."""

NAMED = 3
"""Mistakes that a message quotes."""

log = logging.getLogger(__name__)


class RefusedMapError(Exception):
    """A map without mistakes cannot be put in force; the text says why."""


class Reloads:
    """Reads the map again on request, and records the outcome.

    Args:
        location: the map's file or folder, in words.
        read: reads it. Raises MapError.
        wanted: set when a signal requests that it is read again.
        in_force: called with each map that is put in force.
        now: returns the present, UTC.
    """

    def __init__(
        self,
        location: str,
        read: Callable[[], IntegrationMap],
        wanted: threading.Event,
        *,
        in_force: Callable[[IntegrationMap], None] = lambda _: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._location = location
        self._read = read
        self._wanted = wanted
        self._in_force = in_force
        self._now = now
        self._asked: Sequence[int] = ()
        self._cause = START
        self._changes: list[dict[str, Any]] = []
        self._refused_since_at: datetime | None = None

    def newest(self, known: IntegrationMap, vitals: Vitals) -> IntegrationMap:
        """The map to start with, read again if that was requested while the daemon waited for the lease."""
        if not self._wanted.is_set():
            return known
        self._wanted.clear()
        try:
            newer = self._read()
        except MapError as error:
            self._log_mistakes(error.problems, known)
            return known
        vitals.follows(silent_limits(newer), bool, tuple)
        self._in_force(newer)
        return newer

    def started(self, daemon: Daemon) -> None:
        """Record the map that a daemon has started with, and what changed since the one before."""
        document = effective(daemon.map)
        try:
            standing = daemon.ledger.map_loads.standing()
            before = standing.in_force.document if standing.in_force is not None else None
            edits = [] if before is None else compare_documents(before, document)
            self._asked, self._cause = daemon.ledger.map_loads.asked(), START
            self._changes = [each.as_row() for each in edits[:RECORDED]]
            self._refused_since_at = standing.refused_since_at
        except LedgerError as error:
            log.warning("the map in force is not recorded: %s", error)
            return
        if edits:
            log.info("%s changed since the map was last loaded", counted(len(edits), "setting"))
        self._accepted(daemon, document)

    def want(self) -> None:
        """Have the map read again."""
        self._wanted.set()

    def due(self, daemon: Daemon) -> bool:
        """Whether the map is to be read again."""
        return self._wanted.is_set() or daemon.map_asked.is_set()

    def turn(self, daemon: Daemon, stopping: threading.Event) -> Daemon | None:
        """Read the map again.

        Returns:
            The daemon of a newer map, to be started; then call `followed`. None if the one there goes on.

        Raises:
            LedgerError: it failed on the way; the daemon is to be stopped.
        """
        signalled = self._wanted.is_set()
        self._wanted.clear()
        daemon.map_asked.clear()
        try:
            self._asked = daemon.ledger.map_loads.asked()
        except LedgerError:
            self._asked = ()
        if not self._asked and not signalled:
            return None  # the last turn has answered it
        self._cause = COMMAND if self._asked else SIGNAL
        log.info("reading the map again: %s", self._location)
        try:
            newer = self._read()
        except MapError as error:
            self._refuse(daemon, error.problems)
            return None
        except Exception as error:
            log.exception("reading the map failed")
            self._refuse(daemon, [self._problem(f"it cannot be read: {type(error).__name__}")])
            return None
        digest = digest_of(newer, daemon.digest_key)
        if digest == digest_of(daemon.map, daemon.digest_key):
            log.info("the map has not changed")
            self._over(daemon, UNCHANGED, digest=digest)
            return None
        edits = compare(daemon.map, newer)
        try:
            successor = daemon.replaced_by(newer, stopping)
        except RefusedMapError as error:
            self._refuse(daemon, [self._problem(str(error))])
            return None
        if successor is not None:
            self._changes = [each.as_row() for each in edits[:RECORDED]]
            self._in_force(newer)
        return successor

    def followed(self, daemon: Daemon) -> None:
        """Report that the daemon of a newer map has started."""
        for each in self._changes[:LOGGED]:
            log.info("map: %s", edit_text(each))
        if len(self._changes) > LOGGED:
            log.info("map: and %s", counted(len(self._changes) - LOGGED, "more change"))
        log.info("a newer map is in force: %s", counted(len(self._changes), "change"))
        self._accepted(daemon, effective(daemon.map))

    def _accepted(self, daemon: Daemon, document: dict[str, Any]) -> None:
        digest = digest_of(daemon.map, daemon.digest_key)
        self._over(daemon, LOADED, digest=digest, changes=self._changes, document=document)

    def _over(self, daemon: Daemon, outcome: str, **more: Any) -> None:
        """Record that the map in force is the newest; people who heard of a refused one hear of that."""
        now = self._now()
        self._note(daemon, outcome, now, **more)
        daemon.vitals.refuses("")
        if self._refused_since_at is not None:
            since_at, self._refused_since_at = self._refused_since_at, None
            summary = "The map in force is the newest again"
            daemon.tell(_news("resolved", since_at, now, summary, ""))

    def _refuse(self, daemon: Daemon, problems: Sequence[Problem]) -> None:
        now = self._now()
        listed = self._log_mistakes(problems, daemon.map)
        many = counted(len(problems), "mistake")
        daemon.vitals.refuses(f"a newer map was refused at {now:%Y-%m-%d %H:%M:%S} UTC: {many}")
        self._note(daemon, REFUSED, now, mistakes=[asdict(each) for each in listed[:RECORDED]])
        if self._refused_since_at is None:
            self._refused_since_at = now
            quoted = "; ".join(map(str, listed[:NAMED]))
            more = f"; and {len(listed) - NAMED} more" if len(listed) > NAMED else ""
            summary = f"A newer map was refused ({many}); the one in force stays"
            detail = f"{quoted}{more}. Correct the map, then run `auditor reload`."
            daemon.tell(_news("opened", now, now, summary, detail))

    def _log_mistakes(self, problems: Sequence[Problem], known: IntegrationMap) -> list[Problem]:
        masked = masking(known)
        listed = [
            Problem(file=each.file, line=each.line, column=each.column, path=each.path, message=masked(each.message))
            for each in problems
        ]
        log.error("the newer map is refused, the one in force stays: %s", counted(len(listed), "mistake"))
        for each in listed[:LOGGED]:
            log.error("%s", each)
        return listed

    def _problem(self, message: str) -> Problem:
        return Problem(file=self._location, line=1, column=1, path="map", message=message)

    def _note(self, daemon: Daemon, outcome: str, now: datetime, **more: Any) -> None:
        try:
            daemon.ledger.map_loads.note(
                at=now, cause=self._cause, outcome=outcome, location=self._location, answers=self._asked, **more
            )
        except LedgerError as error:
            log.warning("that is not recorded in the ledger: %s", error)


def edit_text(edit: dict[str, Any]) -> str:
    """One change of the map in words."""
    what = {"added": "{path} added: {after}", "removed": "{path} removed: {before}"}
    return what.get(str(edit["change"]), "{path} changed: {before} -> {after}").format(**edit)


def _news(transition: Any, since_at: datetime, at: datetime, summary: str, detail: str) -> News:
    return News(transition=transition, since_at=since_at, at=at, summary=summary, detail=detail, breach="map_refused")
