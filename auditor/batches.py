"""Reading records batch by batch, and looking for the ones that spoil the batch they are in, within bounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from probes.contract import Key, ProbeError, Reason, Row

SPOILING = frozenset({Reason.DECODE, Reason.TOO_LARGE})
"""Failures that one record may cause to all that are read with it."""

TRIED_ALONE = 3
"""Records of a spoiled batch that are read alone first: where not one of them can be, nothing can."""

IN_VAIN = 10
"""Records found to spoil before anything was read at all: so many mean that nothing can be read."""

SPOILED_READS = 64
"""Reads of one fetch that may fail on a record; whoever stands in a further one is not looked for alone."""


class Batches:
    """What the batches of one fetch have brought.

    Of a batch that cannot be decoded a few records are read alone. Where none of them can be read, the system cannot
    be; else the rest is halved until the record that spoils it stands alone.

    Args:
        fetch: reads the records with these keys. Raises ProbeError.

    Attributes:
        instants: of each key that was read, the instants around its batch's request.
        unreadable: keys that spoil their batch, each with the reason.
    """

    def __init__(self, fetch: Callable[[list[Key]], list[Row]]) -> None:
        self.rows: list[Row] = []
        self.instants: dict[Key, tuple[datetime, datetime]] = {}
        self.unreadable: dict[Key, str] = {}
        self._fetch = fetch
        self._spoiled = 0

    def read(self, batch: list[Key]) -> None:
        """Read one batch. Raises ProbeError where it fails as a whole, or nothing of it can be read."""
        failure = self._read(batch)
        if failure is None:
            return
        if len(batch) <= TRIED_ALONE:
            if len(batch) == 1:
                self._give_up({batch[0]: str(failure)}, failure)
            else:
                self._search([[key] for key in reversed(batch)])
            return
        alone = [batch[0], batch[len(batch) // 2], batch[-1]]
        failed = {key: str(why) for key in alone if (why := self._read([key])) is not None}
        if len(failed) == len(alone):
            raise failure
        self._give_up(failed, failure)
        left = [key for key in batch if key not in alone]
        self._search(_halves(left))

    def _read(self, batch: list[Key]) -> ProbeError | None:
        """Read these keys; answers why they spoil their batch. Raises ProbeError for any other failure."""
        asked_at = datetime.now(UTC)
        try:
            self.rows += self._fetch(batch)
        except ProbeError as failure:
            if failure.reason not in SPOILING:
                raise
            self._spoiled += 1
            return failure
        self.instants.update(dict.fromkeys(batch, (asked_at, datetime.now(UTC))))
        return None

    def _search(self, parts: list[list[Key]]) -> None:
        """Read these parts, the last one first, halving those that are spoiled."""
        while parts:
            part = parts.pop()
            failure = self._read(part) if part else None
            if failure is None:
                continue
            if len(part) == 1 or self._spoiled > SPOILED_READS:
                self._give_up(dict.fromkeys(part, str(failure)), failure)
            else:
                parts += _halves(part)

    def _give_up(self, failed: Mapping[Key, str], failure: ProbeError) -> None:
        """Note records that cannot be read. Raises ProbeError where nothing ever could be."""
        self.unreadable.update(failed)
        if not self.instants and len(self.unreadable) >= IN_VAIN:
            raise failure


def _halves(keys: list[Key]) -> list[list[Key]]:
    """Both halves, the first one last."""
    return [keys[len(keys) // 2 :], keys[: len(keys) // 2]]
