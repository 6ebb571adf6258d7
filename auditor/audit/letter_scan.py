"""One look through all the letters of a queue, page by page, over as many readings as it takes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from probes.queue_contract import QueueReading

LETTERS_FOLLOWED = 50_000
"""Letters of one queue that are known one by one; of a queue with more, the first so many."""

AGAIN_AFTER = timedelta(minutes=5)
"""A queue that does not tell whether letters left is looked through again so often while its depth stays."""

CHANGED_AFTER = timedelta(seconds=10)
"""The same where its depth changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterScan:
    """Where the look through a queue stands.

    A queue that fits one page is looked at whole in every reading. A larger one is gone through once; from then on
    only what came behind is looked at, until letters have left (`QueueReading.left_mark`) or, where the queue does
    not tell that, its depth changed or some minutes have passed. A queue that can only be looked at from its
    beginning (no `next`) is spared the same way however small it is: there a look does something to the letters.

    Attributes:
        page_limit: letters of one page.
        met: letters that this look has met.
        after: where to go on.
        begun_at_mark: the queue's `left_mark` when the look began.
        spared: the queue can only be looked at from its beginning.
        left_mark, depth, ended_at: of the reading with which the last look ended; none before.
    """

    page_limit: int
    met: frozenset[str] = frozenset()
    after: str | None = None
    begun_at_mark: str | None = None
    spared: bool = False
    left_mark: str | None = None
    depth: int | None = None
    ended_at: datetime | None = None

    @property
    def capped(self) -> bool:
        """There are more letters than are followed."""
        return len(self.met) >= LETTERS_FOLLOWED

    @property
    def resting(self) -> bool:
        """The figures alone say whether there is anything to look at."""
        return self.ended_at is not None and (self.spared or len(self.met) > self.page_limit)

    def anew(self) -> LetterScan:
        """The same queue from its oldest letter on."""
        return replace(self, met=frozenset(), after=None, begun_at_mark=None, ended_at=None)

    def beginning(self) -> LetterScan:
        """Begin anew, unless a look is under way."""
        return self.anew() if self.ended_at is not None and not self.resting else self

    def moved(self, figures: QueueReading, now: datetime) -> LetterScan | None:
        """From where to look at what is new by the figures; None where nothing is."""
        if figures.left_mark is not None and self.left_mark is not None:
            if figures.left_mark != self.left_mark:
                return self.anew()
            return self if figures.depth != self.depth and not self.capped else None
        wait = AGAIN_AFTER if figures.depth == self.depth else CHANGED_AFTER
        if self.ended_at is not None and now - self.ended_at < wait:
            return None
        return self.anew()

    def behind(self, page: QueueReading, now: datetime) -> tuple[LetterScan, bool]:
        """Where the look stands behind one page.

        Returns:
            That, and whether another page can follow.
        """
        scan = replace(
            self,
            begun_at_mark=page.left_mark if self.after is None else self.begun_at_mark,
            met=self.met.union(letter.letter_id for letter in page.letters),
            after=page.next,
            spared=page.next is None and page.depth != 0,
        )
        if page.truncated and page.next is not None and page.letters and not scan.capped:
            return scan, True
        # Where letters left meanwhile, the next figures differ from those of the beginning and all begins anew.
        return replace(scan, left_mark=scan.begun_at_mark, depth=page.depth, ended_at=now), False
