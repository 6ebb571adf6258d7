"""Whether a list held all that its system has: what answers by its key and is on no page was left out."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from probes.contract import Key

KEYS_LIMIT = 200_000
"""Keys of one list that are kept to compare; of a longer one it is not said whether it is complete."""


class Held(Enum):
    """What a walk through a list came to."""

    COMPLETE = "complete"
    DOUBTFUL = "doubtful"
    INCOMPLETE = "incomplete"
    UNKNOWN = "unknown"


class Listing:
    """The keys that one system lists in a walk, and those that it answers by key meanwhile.

    A record that was created, moved or deleted while the walk went on is rightly on no page. So only what was known
    to be there before the walk began counts, and only where two walks running left it out: the first of them is
    doubtful, and the second tells.

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
        """A walk begins at the first page."""
        self._listed, self._met, self._whole = set(), set(), True

    def listed(self, keys: Iterable[Key]) -> None:
        """Note a page."""
        if self._whole:
            self._listed.update(keys)
            self._whole = len(self._listed) <= KEYS_LIMIT

    def met(self, keys: Iterable[Key]) -> None:
        """Note what the system answered by key."""
        if self._whole:
            self._met.update(keys)
            self._whole = len(self._met) <= KEYS_LIMIT

    def end(self) -> Held:
        """The walk is behind the last page."""
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
