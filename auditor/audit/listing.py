"""Whether a list is complete: a record that can be read by key but is on no page was left out."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from probes.contract import Key

KEYS_LIMIT = 200_000
"""Most keys of one list kept for comparison; a longer list is not checked for completeness."""


class Held(Enum):
    """The result of a walk through a list."""

    COMPLETE = "complete"
    DOUBTFUL = "doubtful"
    INCOMPLETE = "incomplete"
    UNKNOWN = "unknown"


class Listing:
    """The keys that one system lists in a walk, and those that it returns by key meanwhile.

    A record that was created, moved or deleted during the walk may legitimately be on no page. So only records known
    before the walk count, and only if two consecutive walks left them out: the first makes the list doubtful, the
    second is proof.

    Attributes:
        left_out: keys that the last two walks should have listed and did not.
    """

    def __init__(self) -> None:
        self._before: set[Key] | None = None
        self._listed: set[Key] = set()
        self._met: set[Key] = set()
        self._whole = self._doubted = False
        self._left_out: frozenset[Key] = frozenset()
        self.left_out: frozenset[Key] = frozenset()

    def begin(self) -> None:
        """Start a walk at the first page."""
        self._listed, self._met, self._whole = set(), set(), True

    def listed(self, keys: Iterable[Key]) -> None:
        """Note a page."""
        if self._whole:
            self._listed.update(keys)
            self._whole = len(self._listed) <= KEYS_LIMIT

    def met(self, keys: Iterable[Key]) -> None:
        """Note keys that the system returned by key."""
        if self._whole:
            self._met.update(keys)
            self._whole = len(self._met) <= KEYS_LIMIT

    def end(self) -> Held:
        """End the walk after the last page."""
        if not self._whole:
            self._before, self._left_out, self._doubted = None, frozenset(), False
            return Held.UNKNOWN
        beside = self._met - self._listed
        left_out = frozenset(beside if self._before is None else beside & self._before)
        self._before = self._listed | self._met
        self._whole = False
        again, self._left_out = left_out & self._left_out, left_out
        doubted, self._doubted = self._doubted, False
        self.left_out = again
        if again:
            return Held.INCOMPLETE
        if left_out and not doubted:
            self._doubted = True
            return Held.DOUBTFUL
        return Held.COMPLETE
