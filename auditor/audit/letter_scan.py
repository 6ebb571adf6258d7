"""One look through all the letters of a queue, page by page, over as many readings as it takes."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from probes.contract import QueueReading

LETTERS_FOLLOWED = 50_000
"""Letters of one queue that are known one by one; of a queue with more, the first so many."""

AGAIN_AFTER = timedelta(minutes=5)
"""A queue that does not tell whether letters left is looked through again so often while its depth stays."""

CHANGED_AFTER = timedelta(seconds=10)
"""The same where its depth changed."""


class LetterScan:
    """Where the look through a queue stands.

    A queue that fits one page is looked at whole in every reading. A larger one is gone through once; from then on
    only what came behind is looked at, until letters have left (`QueueReading.left_mark`) or, where the queue does
    not tell that, its depth changed or some minutes have passed. A queue that can only be looked at from its
    beginning (no `next`) is spared the same way however small it is: there a look does something to the letters.
    """

    def __init__(self, page_limit: int) -> None:
        self._page_limit = page_limit
        self._begin()
        self._spared = False
        self._left_mark: str | None = None
        self._depth: int | None = None
        self._ended_at: datetime | None = None

    def _begin(self) -> None:
        self._seen: set[str] = set()
        self._after: str | None = None
        self._left_mark_at_begin: str | None = None
        self._all: set[str] | None = None

    @property
    def seen(self) -> int:
        """How many letters were met."""
        return len(self._seen)

    def ended(self) -> Collection[str] | None:
        """All letters there are, once after each look that met them all."""
        met, self._all = self._all, None
        return met

    @property
    def capped(self) -> bool:
        """There are more letters than are followed."""
        return len(self._seen) >= LETTERS_FOLLOWED

    @property
    def resting(self) -> bool:
        """The figures alone say whether there is anything to look at."""
        return self._ended_at is not None and (self._spared or len(self._seen) > self._page_limit)

    @property
    def after(self) -> str | None:
        """Where to go on."""
        return self._after

    def moved(self, figures: QueueReading, now: datetime) -> bool:
        """Whether there is anything new to look at, by the figures; prepares for it."""
        if figures.left_mark is not None and self._left_mark is not None:
            if figures.left_mark != self._left_mark:
                self._restart()
                return True
            return figures.depth != self._depth and not self.capped
        wait = AGAIN_AFTER if figures.depth == self._depth else CHANGED_AFTER
        if self._ended_at is not None and now - self._ended_at < wait:
            return False
        self._restart()
        return True

    def _restart(self) -> None:
        self._begin()
        self._ended_at = None

    def begin(self) -> None:
        """Begin anew, with the oldest letter, unless a look is under way."""
        if self._ended_at is not None and not self.resting:
            self._restart()

    def take(self, reading: QueueReading, now: datetime) -> bool:
        """Take in one page.

        Returns:
            Whether another page can follow.
        """
        if self._after is None:
            self._left_mark_at_begin = reading.left_mark
        self._seen.update(letter.letter_id for letter in reading.letters)
        more = reading.truncated and reading.next is not None and bool(reading.letters) and not self.capped
        self._after = reading.next
        self._spared = reading.next is None and reading.depth != 0
        if not more:
            # Where letters left meanwhile, the next figures differ from those of the beginning and all begins anew.
            self._left_mark = self._left_mark_at_begin
            self._depth, self._ended_at = reading.depth, now
            self._all = None if reading.truncated or self.capped else self._seen
        return more
