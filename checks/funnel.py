"""The recovery funnel: what happens to failed messages, stage by stage, each as an interval or unseen. Pure.

No single observer sees all of it. A letter that is gone from its queue was replayed, deleted or dropped; only the
record shows whether it was delivered. Each stage reports what is known and why no more is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What the probes saw of a flow in a period.

    Attributes:
        changes: made by the owner.
        reads_dead: the flow names a dead-letter queue, and it could be read.
        letters: that came into it; there may be more if `unlooked`, waiting letters that were not read, is not 0.
        unlooked: None if the queue does not report how many wait.
        retries: messages that came into the retry queues; None if the flow names none or no queue counts them.
        gone_right, gone_wrong, gone_unknown: letters no longer queued, by whether their record agrees, differs or is
            unknown.
    """

    changes: int
    reads_dead: bool
    letters: int
    unlooked: int | None
    retries: int | None
    gone_right: int
    gone_wrong: int
    gone_unknown: int

    @property
    def gone(self) -> int:
        """Letters no longer queued."""
        return self.gone_right + self.gone_wrong + self.gone_unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage of the funnel.

    Attributes:
        least, most: bounds of how many came this far; `least` is None if the stage cannot be seen, `most` if nothing
            bounds it.
        why: the basis of the figure, or why the stage cannot be seen.
    """

    name: str
    least: int | None
    most: int | None
    why: str

    @property
    def seen(self) -> bool:
        """Whether anything is known about it."""
        return self.least is not None


def funnel(traffic: Traffic) -> Sequence[Stage]:
    """The stages in order: emitted, failed, queued, retried, delivered, updated."""
    emitted = Stage(
        name="emitted", least=traffic.changes, most=traffic.changes, why="changes the auditor found at the owner"
    )
    if not traffic.reads_dead:
        why = "the flow names no queue of dead letters that can be read"
        unseen = [Stage(name=name, least=None, most=None, why=why) for name in STAGES[1:]]
        if traffic.retries is not None:
            unseen[0] = Stage(name="failed", least=traffic.retries, most=None, why="came into the retry queue")
        return [emitted, *unseen]
    most_queued = None if traffic.unlooked is None else traffic.letters + traffic.unlooked
    looked = "every letter was read" if traffic.unlooked == 0 else "not every letter was read"
    return [
        emitted,
        Stage(
            name="failed",
            least=max(traffic.letters, traffic.retries or 0),
            most=None,
            why="came into a retry or dead letter queue; a consumer's own retries leave no trace",
        ),
        Stage(name="queued", least=traffic.letters, most=most_queued, why=f"came into its dead letters; {looked}"),
        Stage(
            name="retried",
            least=traffic.gone_right,
            most=traffic.gone,
            why="gone from the dead letter queue; only the record shows whether it was replayed, deleted or dropped",
        ),
        Stage(
            name="delivered",
            least=traffic.gone_right,
            most=traffic.gone,
            why="a delivery is seen only by what it did to the record",
        ),
        Stage(
            name="updated",
            least=traffic.gone_right,
            most=traffic.gone_right + traffic.gone_unknown,
            why="gone, and the record agrees; of a letter without a key that is not known",
        ),
    ]


class Fate(StrEnum):
    """What became of a dead letter, as far as a probe can see."""

    WAITING = "still waiting"
    NOT_READ = "waiting, not read"
    AGREES = "gone, the record agrees"
    DIFFERS = "gone, the record differs"
    NOT_KNOWN = "gone, the record is not known"


def fates(traffic: Traffic) -> dict[Fate, int]:
    """What became of the letters that came in, each letter in one of them; those that nobody had are left out."""
    counts = {
        Fate.WAITING: traffic.letters - traffic.gone,
        Fate.NOT_READ: traffic.unlooked or 0,
        Fate.AGREES: traffic.gone_right,
        Fate.DIFFERS: traffic.gone_wrong,
        Fate.NOT_KNOWN: traffic.gone_unknown,
    }
    return {fate: letters for fate, letters in counts.items() if letters} if traffic.reads_dead else {}


STAGES = ("emitted", "failed", "queued", "retried", "delivered", "updated")
