"""Reading one queue: its figures, and as many pages of new letters as there is time for."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from auditor.audit.memory import QueueMemory
from auditor.map.flow import Flow
from auditor.systems.caller import ReaderClosedError
from checks.field_text import masked
from checks.queue_figures import certain
from probes.contract import ProbeError, Reason
from probes.queue_contract import Letter, QueueProbe, QueueReading
from probes.queues.message import distinct, storable
from probes.wording import counted

LOOK_S = 2.0
"""Seconds that one audit spends on letters; the next continues from there."""

WHOLE_BROKER = frozenset({Reason.TIMEOUT, Reason.UNREACHABLE, Reason.AUTH, Reason.PERMISSION, Reason.OVER_BUDGET})
"""Failures to read letters after which the figures cannot be read either, or must not be read."""

KEYS = {
    "integer": "an integer",
    "string": "text that can be a key",
    "caseless": "text that can be a key",
    "phone": "a phone number that can be a key",
    "uuid": "a UUID",
    "salesforce_id": "a Salesforce ID",
}
"""Key types in words."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSeen:
    """What one audit read of a queue.

    Attributes:
        reading: the figures, with the letters of at most one page.
        memory: how the scan of the letters continues.
        letters: the ids of all letters, if this audit has reached the last of them.
        error: why the letters could not be read although the figures could.
        kept: every letter that was read is recorded.
    """

    reading: QueueReading
    memory: QueueMemory
    letters: Collection[str] | None = None
    error: ProbeError | None = None
    kept: bool = True


class QueueReader:
    """Reads one queue of a flow.

    Args:
        settings: of the queue's plug-in; its `role` says what the messages in it are.
        keep: records a page of letters, and returns whether it could; in a separate transaction, so that other
            writers need not wait for all pages.
    """

    def __init__(
        self,
        flow: Flow,
        queue: str,
        settings: Any,
        probe: QueueProbe,
        keep: Callable[[Sequence[Letter], datetime], bool],
    ) -> None:
        self._flow = flow
        self._queue = queue
        self._settings = settings
        self._probe = probe
        self._write = keep
        self._closed = False

    def read(self, now: datetime, memory: QueueMemory) -> QueueSeen:
        """Read the figures and, of dead letters, what is new.

        Unreadable letters must not hide how many there are.

        Raises:
            ProbeError: nothing could be read.
            ReaderClosedError: it was closed meanwhile.
        """
        if self._settings.role != "dead":
            return QueueSeen(reading=self._read(0), memory=memory)
        try:
            return self._look(now, memory)
        except ProbeError as error:
            if error.reason in WHOLE_BROKER:
                raise
            figures = self._read(0)
            noted = replace(figures, notes=(*figures.notes, f"its letters cannot be read: {error}"))
            return QueueSeen(reading=noted, memory=replace(memory, looked=None), error=error)

    def _read(self, peek: int, after: str | None = None) -> QueueReading:
        """Read one page, or detect that a stop has interrupted it, which says nothing about the queue.

        Raises:
            ProbeError: it cannot be read, for whatever reason: a broker's response is data.
        """
        try:
            reading = certain(self._probe.read(peek, after))
            if not reading.letters:
                return reading
            return replace(reading, letters=distinct(storable(letter) for letter in reading.letters))
        except Exception as error:
            if self._closed:
                raise ReaderClosedError(self._queue) from None
            if isinstance(error, ProbeError):
                raise
            # The error text may quote the broker or a message.
            kind, place = type(error).__name__, traceback.extract_tb(error.__traceback__)[-1]
            log.warning("queue %s/%s: %s in %s:%s", self._flow.name, self._queue, kind, place.filename, place.lineno)
            raise ProbeError(
                Reason.DECODE, f"an unexpected answer ({kind})", hint="where it was met is in the log"
            ) from None

    def _look(self, now: datetime, memory: QueueMemory) -> QueueSeen:
        """Read the figures, and as many pages of new letters as there is time for."""
        scan = memory.scan
        if scan.resting:
            figures = self._read(0)
            advanced = scan.moved(figures, now)
            if advanced is None:
                return QueueSeen(reading=_as_looked(figures, memory.looked), memory=memory)
            scan = advanced
        else:
            scan = scan.beginning()
        first = page = self._read(self._probe.page_limit, scan.after)
        memory = replace(memory, keyless=self._keyless(first) if first.letters else memory.keyless)
        until = time.monotonic() + LOOK_S
        kept = self._keep(page, now)
        scan, more = scan.behind(page, now)
        while more and time.monotonic() < until:
            try:
                page = self._read(self._probe.page_limit, scan.after)
            except ProbeError as error:
                failure = f"letters behind the first {len(scan.met)}: {error}"
                noted = replace(first, notes=(*first.notes, failure))
                return QueueSeen(reading=noted, memory=replace(memory, scan=scan), kept=kept)
            kept = self._keep(page, now) and kept
            scan, more = scan.behind(page, now)
        whole = not more and not page.truncated and not scan.capped
        memory = replace(memory, scan=scan, looked=first)
        return QueueSeen(reading=first, memory=memory, letters=scan.met if whole else None, kept=kept)

    def _keyless(self, page: QueueReading) -> tuple[str, ...]:
        """A note if no letter names its record although the map says where: then no letter explains any record."""
        where = getattr(self._settings, "key", None)
        if where is None or any(self._as_kept(letter).key is not None for letter in page.letters):
            return ()
        met = counted(len(page.letters), "letter")
        return (f"no usable key at {where} in {met}, so they explain no record",)

    def _keep(self, page: QueueReading, now: datetime) -> bool:
        return not page.letters or self._write([self._as_kept(letter) for letter in page.letters], now)

    def _as_kept(self, letter: Letter) -> Letter:
        """A letter with its record's canonical key, as far as its queue's evidence policy allows."""
        key = letter.key
        if key is not None:
            key = self._flow.parse_key(key)
            if key is None:
                data_type = self._flow.data_type
                expected = (
                    KEYS[data_type.whole_key_type] if data_type.key_count == 1 else "a key of several parts, 7/A-1"
                )
                unusable = f"its key is not {expected}"
                letter = replace(letter, reason=f"{letter.reason}; {unusable}" if letter.reason else unusable)
        policy = self._settings.evidence
        if policy == "private":
            return replace(letter, key=key, headers={}, payload=None)
        if policy == "clear":
            return replace(letter, key=key)
        headers = {name: masked(value) for name, value in letter.headers.items()}
        return replace(letter, key=key, headers=headers, payload=letter.payload and masked(letter.payload))

    def close(self) -> None:
        """Close the queue's probe, cutting off a read under way."""
        self._closed = True
        self._probe.close()


def _as_looked(figures: QueueReading, looked: QueueReading | None) -> QueueReading:
    """Figures, completed from the last reading of letters while the same number of messages waits."""
    if looked is None or figures.depth != looked.depth or figures.oldest_at is not None:
        return figures
    return replace(figures, oldest_at=looked.oldest_at, age_of=looked.age_of, drops_at=looked.drops_at)
