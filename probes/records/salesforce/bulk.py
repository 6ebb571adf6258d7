"""Lists of keys through query jobs of Bulk API 2.0: for a large object they take far fewer calls than pages of SOQL.

The rows of a job are in no order, and as old as the job. So keys alone are listed in this way, and every record is
read by its key before it is judged. A job is created in the org, although it only reads; it is never deleted, and
expires after seven days. Until then its results can be read again, so that a position survives restarts.
Source: Bulk API 2.0 and Bulk API Developer Guide (v64.0): "Create a Query Job", "Get Information About a Query Job",
"Get Results for a Query Job", "Job States", "Limits".
"""

from __future__ import annotations

import csv
import io
import re
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from probes.call_deadline import becomes, left
from probes.contract import ProbeError, Reason
from probes.records.salesforce.session import Session

WORTHWHILE = 20_000
"""Records from which a job takes fewer calls: pages of SOQL take at least ten, a job a few and one per set."""

LEAST_LIMIT = 100
"""A request for fewer keys needs only a few of them, and not all."""

SET_LINES = 20_000
"""Lines of a set of results, which stays in memory while it is handed out."""

LINES_OF_RECORD = 4
"""Lines that a record may take on average: a key may contain line breaks."""

KEPT_SETS = 4

MOST_BROKEN = 3
"""After this many malformed responses a job is abandoned."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
"""Pauses between two checks of a job's state, each twice as long as the previous one."""

PATIENCE_S = 6 * 3600.0
"""A job that has not ended after this time is abandoned."""

REST_S = 86_400.0
"""After a job could not be created or failed, the object is listed by pages for this long."""

WEIGHT = 4
"""Bytes of memory for each byte of a set."""

_POSITION = re.compile(r"bulk ([0-9A-Za-z]{15,18}) (\d{1,12}) (\S{1,500}) (\d{1,12}) (\d{1,12}) (-|\d{1,12})")
_JOB = re.compile(r"[0-9A-Za-z]{15,18}")
_LOCATOR = re.compile(r"[0-9A-Za-z_=.~-]{1,500}")
_FIRST = "-"
_ENDED = frozenset({"Failed", "Aborted"})
_RUNNING = frozenset({"UploadComplete", "InProgress"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A position in the results of a job.

    Attributes:
        begun_at: when the job was created, in seconds since 1970.
        locator: of the set of results, `-` for the first one.
        before: lines of the sets before it.
        line: lines of this set that have been handed out.
        total: lines of all sets; None until the job is complete.
    """

    job: str
    begun_at: int
    locator: str = _FIRST
    before: int = 0
    line: int = 0
    total: int | None = None

    def text(self) -> str:
        """The position as text."""
        total = "-" if self.total is None else self.total
        return f"bulk {self.job} {self.begun_at} {self.locator} {self.before} {self.line} {total}"


def place_of(position: str) -> Place | None:
    """The place that a text represents; None if it is another kind of position."""
    matched = _POSITION.fullmatch(position)
    if matched is None:
        return None
    return Place(
        job=matched[1],
        begun_at=int(matched[2]),
        locator=matched[3],
        before=int(matched[4]),
        line=int(matched[5]),
        total=None if matched[6] == "-" else int(matched[6]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """A part of a job's results.

    Attributes:
        rows: the values of each record as text, "" for null.
        next: where the results continue; None at their end.
        later: the job is not complete yet.
    """

    rows: Sequence[Sequence[str]] = ()
    next: Place | None = None
    later: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Set:
    """A set of results, with the locator of the next one."""

    rows: Sequence[Sequence[str]]
    following: str | None


@dataclass(slots=True)
class _Wait:
    """When a job is looked at again, in monotonic seconds, and the pause after that."""

    due_at: float
    pause_s: float


class BulkLists:
    """The query jobs of one org."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._sets: OrderedDict[tuple[str, str], _Set] = OrderedDict()
        self._waits: dict[str, _Wait] = {}
        self._avoided: dict[str, float] = {}
        self._broken: Counter[str] = Counter()
        self._closing = threading.Event()

    def avoids(self, collection: str) -> bool:
        """Whether jobs for an object failed lately."""
        return time.monotonic() < self._avoided.get(collection.lower(), float("-inf"))

    def avoid(self, collection: str) -> None:
        """Create no jobs for an object for a day."""
        self._avoided[collection.lower()] = time.monotonic() + REST_S

    def begin(self, query: str, *, deleted: bool) -> Place:
        """Create a job.

        Args:
            deleted: also find what is in the recycle bin.
        """
        document = self._session.ask(
            "POST",
            f"{self._session.data}/jobs/query",
            {
                "operation": "queryAll" if deleted else "query",
                "query": query,
                "contentType": "CSV",
                "columnDelimiter": "COMMA",
                "lineEnding": "LF",
            },
        )
        job = document.get("id") if isinstance(document, dict) else None
        if not isinstance(job, str) or not _JOB.fullmatch(job):
            raise ProbeError(Reason.DECODE, "jobs/query: the response does not name a job")
        with self._lock:
            self._waits[job] = _Wait(time.monotonic() + FIRST_PAUSE_S, FIRST_PAUSE_S)
        return Place(job=job, begun_at=int(time.time()))

    def read(self, place: Place, names: Sequence[str], limit: int, collection: str) -> Lines:
        """Read on.

        Args:
            names: of the selected fields, in order.

        Raises:
            ProbeError: `cursor_lost` if the job failed or no longer exists.
        """
        try:
            if place.total is None:
                total = self._total(place)
                if total is None:
                    return Lines(next=place, later=True)
                place = replace(place, total=total)
            results = self._set(place, names)
        except ProbeError as failure:
            if failure.reason is Reason.QUERY and any(each in failure.message for each in ("HTTP 404", "HTTP 409")):
                raise ProbeError(Reason.CURSOR_LOST, f"the job no longer exists: {failure.message}") from None
            if failure.reason in {Reason.DECODE, Reason.TOO_LARGE}:
                self._broken[place.job] += 1
            if failure.reason is Reason.CURSOR_LOST or self._broken[place.job] >= MOST_BROKEN:
                self.avoid(collection)
                raise ProbeError(Reason.CURSOR_LOST, failure.message) from None
            raise
        rows = results.rows[place.line : place.line + limit]
        line = place.line + len(rows)
        following: Place | None = replace(place, line=line)
        if line >= len(results.rows):
            before = place.before + len(results.rows)
            following = (
                None
                if results.following is None
                else replace(place, locator=results.following, before=before, line=0)
            )
        return Lines(rows=rows, next=following)

    def _total(self, place: Place) -> int | None:
        """The number of a complete job's lines; None if it still runs."""
        with self._lock:
            wait = self._waits.setdefault(place.job, _Wait(time.monotonic(), FIRST_PAUSE_S))
        self._closing.wait(min(max(0.0, wait.due_at - time.monotonic()), left(LONGEST_PAUSE_S) / 2))
        if time.monotonic() < wait.due_at:
            return None
        document = self._session.ask("GET", f"{self._session.data}/jobs/query/{place.job}")
        known: Mapping[str, Any] = document if isinstance(document, dict) else {}
        state, total = known.get("state"), known.get("numberRecordsProcessed")
        if state in _ENDED:
            words = self._session.scrub.line(str(known.get("errorMessage") or "without a reason"), 200)
            raise ProbeError(Reason.CURSOR_LOST, f"the query job is {state}: {words}")
        if state == "JobComplete" and isinstance(total, int) and not isinstance(total, bool) and total >= 0:
            with self._lock:
                self._waits.pop(place.job, None)
            return total
        if state not in _RUNNING:
            raise ProbeError(Reason.DECODE, "jobs/query: the response does not show the state of the job")
        if time.time() - place.begun_at > PATIENCE_S:
            raise ProbeError(Reason.CURSOR_LOST, f"the query job has not ended in {PATIENCE_S / 3600:g} hours")
        wait.due_at, wait.pause_s = time.monotonic() + wait.pause_s, min(2 * wait.pause_s, LONGEST_PAUSE_S)
        return None

    def _set(self, place: Place, names: Sequence[str]) -> _Set:
        """The set of results at a place."""
        which = (place.job, place.locator)
        with self._lock:
            results = self._sets.get(which)
        if results is None:
            results = self._fetched(place, names)
            with self._lock:
                self._sets[which] = results
                while len(self._sets) > KEPT_SETS:
                    self._sets.popitem(last=False)
        return results

    def _fetched(self, place: Place, names: Sequence[str]) -> _Set:
        """A set of results from the org.

        Raises:
            ProbeError: `decode` unless it is complete and fits to what came before.
        """
        at = "" if place.locator == _FIRST else f"&locator={quote(place.locator, safe='')}"
        body, headers = self._session.csv(
            f"{self._session.data}/jobs/query/{place.job}/results?maxRecords={SET_LINES}{at}"
        )
        count, following = headers.get("sforce-numberofrecords", ""), headers.get("sforce-locator", "")
        if not re.fullmatch(r"\d{1,9}", count) or not _LOCATOR.fullmatch(following):
            raise _broken("a response without the number of its records, or without a locator")
        if int(count) > SET_LINES or body.count(b"\n") > LINES_OF_RECORD * SET_LINES:
            raise _broken("more lines than were requested")
        rows = _rows(body, names)
        if len(rows) != int(count):
            raise _broken(f"{len(rows)} lines instead of {int(count)}")
        end = place.before + len(rows)
        last = following == "null"
        if following == place.locator or place.total is None or end > place.total or (not last and not rows):
            raise _broken("a set that was read before")
        if last and end != place.total:
            raise _broken(f"{end} of {place.total} records")
        return _Set(rows=rows, following=None if last else following)

    def close(self) -> None:
        """End waiting."""
        self._closing.set()


def _rows(body: bytes, names: Sequence[str]) -> Sequence[Sequence[str]]:
    """The lines of a set, after their header."""
    becomes(WEIGHT * len(body))
    try:
        lines = list(csv.reader(io.StringIO(body.decode(), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error):
        raise _broken("something that is not CSV in UTF-8") from None
    if not lines or [each.lower() for each in lines[0]] != [each.lower() for each in names]:
        raise _broken("other columns than were selected")
    if any(len(each) != len(names) for each in lines):
        raise _broken("a line that breaks off")
    return lines[1:]


def _broken(what: str) -> ProbeError:
    return ProbeError(Reason.DECODE, f"the results of the query job hold {what}")
