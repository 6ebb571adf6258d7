"""Reading many keys in batches: finds the record that spoils its batch, and detects an unreadable system."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from sys import getsizeof

from probes.contract import Key, ProbeError, Reason, Row

SPOILING = frozenset({Reason.DECODE, Reason.TOO_LARGE})
"""Failures that one record may cause for all records read with it."""

TRIED_ALONE = 3
"""Records of a spoiled batch that are read alone first: if none of them can be read, nothing can."""

SPOILED_READS = 64
"""Most reads of one fetch that may fail on a record; culprits of further ones are not isolated."""


KEPT_LIMIT_BYTES = 96 * 1024 * 1024
"""Most bytes of the rows of one fetch: an audit keeps those of two systems at once."""


class Batches:
    """One fetch in progress.

    Of a batch that cannot be decoded, a few records are read alone. If none of them can be read, the system cannot be
    read, and the fetch ends with its error; otherwise the rest is halved until the record that spoils it is alone.

    Args:
        fetch: reads a batch of keys; raises ProbeError.
        now: returns the present, UTC.
    """

    def __init__(self, fetch: Callable[[list[Key]], list[Row]], now: Callable[[], datetime]) -> None:
        self._fetch = fetch
        self._now = now
        self._spoiled = self._spoiled_alone = self._kept_bytes = 0
        self.rows: list[Row] = []
        self.instants: dict[Key, tuple[datetime, datetime]] = {}
        self.unreadable: dict[Key, str] = {}

    def read(self, keys: Sequence[Key], size: int) -> None:
        """Read these keys, up to `size` at a time.

        Raises:
            ProbeError: nothing can be read, or nothing more; what was read is kept.
        """
        at = 0
        while at < len(keys):
            if self._kept_bytes > KEPT_LIMIT_BYTES:
                self.give_up(keys, _too_many())
                return
            # A system with small batches gets one key at a time until it has returned one.
            step = size if self.instants or size > TRIED_ALONE else 1
            batch = list(keys[at : at + step])
            at += step
            failure = self._read(batch)
            if failure is None:
                continue
            if not self.instants and self._spoiled_alone > TRIED_ALONE and at < len(keys):
                raise failure
            if len(batch) == 1:
                self.unreadable[batch[0]] = str(failure)
            elif len(batch) > TRIED_ALONE:
                self._part(self._try_alone(batch, failure))
            else:
                self._part([[key] for key in reversed(batch)])

    def give_up(self, keys: Sequence[Key], failure: ProbeError) -> None:
        """Mark the keys that were not read as unreadable."""
        self.unreadable |= {key: str(failure) for key in keys if key not in self.instants | self.unreadable}

    def _read(self, batch: list[Key]) -> ProbeError | None:
        """Read one batch; returns why it is spoiled. Raises ProbeError for any other failure."""
        asked_at = self._now()
        if self._kept_bytes > KEPT_LIMIT_BYTES:
            return _too_many()
        try:
            rows = self._fetch(batch)
        except ProbeError as failure:
            if failure.reason not in SPOILING:
                raise
            self._spoiled += 1
            self._spoiled_alone += len(batch) == 1 and not failure.of_key
            return failure
        self.rows.extend(rows)
        self._kept_bytes += sum(sum(map(getsizeof, row)) for row in rows)
        self.instants.update(dict.fromkeys(batch, (asked_at, self._now())))
        return None

    def _try_alone(self, batch: list[Key], failure: ProbeError) -> list[list[Key]]:
        """Read a few records of a spoiled batch alone; returns the rest of it, in halves."""
        alone = [batch[0], batch[len(batch) // 2], batch[-1]]
        whys = {key: why for key in alone if (why := self._read([key])) is not None}
        if len(whys) == len(alone) and not any(why.of_key for why in whys.values()):
            raise failure
        self.unreadable |= {key: str(why) for key, why in whys.items()}
        left = [key for key in batch if key not in alone]
        return [left[len(left) // 2 :], left[: len(left) // 2]]

    def _part(self, todo: list[list[Key]]) -> None:
        while todo:
            part = todo.pop()
            failure = self._read(part) if part else None
            if failure is None:
                continue
            if len(part) == 1 or self._spoiled > SPOILED_READS:
                self.unreadable |= dict.fromkeys(part, str(failure))
            else:
                todo += [part[len(part) // 2 :], part[: len(part) // 2]]


def _too_many() -> ProbeError:
    return ProbeError(
        Reason.TOO_LARGE,
        f"the records read before it at the same time come to more than {KEPT_LIMIT_BYTES >> 20} MiB",
        hint="leave large fields out of the map, or lower the sample of the flow",
    )
