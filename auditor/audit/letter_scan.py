"""One scan of all the letters of a queue, page by page, over as many readings as it takes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from probes.queue_contract import QueueReading

LETTERS_FOLLOWED = 50_000
"""Most letters read of one queue; of a longer queue, the first ones."""

AGAIN_AFTER = timedelta(minutes=5)
"""Rescan interval of a queue that does not report departures, while its depth is unchanged."""

CHANGED_AFTER = timedelta(seconds=10)
"""The same after its depth has changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterScan:
    """The state of a queue's scan.

    A queue that fits one page is read whole every time. A larger one is scanned once; from then on only new letters
    are read, until letters have left (`QueueReading.left_mark`) or, if the queue does not report that, its depth
    changed or some minutes have passed. A queue that can only be read from its beginning (no `next`) is spared the
    same way however small it is, because reading affects its letters.

    Attributes:
        page_limit: letters of one page.
        met: letters that this scan has met.
        after: where to continue.
        begun_at_mark: the queue's `left_mark` when the scan began.
        spared: the queue can only be read from its beginning.
        left_mark, depth, ended_at: of the reading that ended the last scan; unset before that.
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
        """Whether there are more letters than are followed."""
        return len(self.met) >= LETTERS_FOLLOWED

    @property
    def resting(self) -> bool:
        """Whether the figures alone show if there is anything to read."""
        return self.ended_at is not None and (self.spared or len(self.met) > self.page_limit)

    def anew(self) -> LetterScan:
        """A new scan of the queue from its oldest letter."""
        return replace(self, met=frozenset(), after=None, begun_at_mark=None, ended_at=None)

    def beginning(self) -> LetterScan:
        """Start a new scan, unless one is under way."""
        return self.anew() if self.ended_at is not None and not self.resting else self

    def moved(self, figures: QueueReading, now: datetime) -> LetterScan | None:
        """Where to read new letters, by the figures; None if there are none."""
        if figures.left_mark is not None and self.left_mark is not None:
            if figures.left_mark != self.left_mark:
                return self.anew()
            return self if figures.depth != self.depth and not self.capped else None
        wait = AGAIN_AFTER if figures.depth == self.depth else CHANGED_AFTER
        if self.ended_at is not None and now - self.ended_at < wait:
            return None
        return self.anew()

    def behind(self, page: QueueReading, now: datetime) -> tuple[LetterScan, bool]:
        """The state of the scan after one page.

        Returns:
            The state, and whether another page can follow.
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
        # If letters left meanwhile, the next figures differ from those at the beginning, and a new scan starts.
        return replace(scan, left_mark=scan.begun_at_mark, depth=page.depth, ended_at=now), False
