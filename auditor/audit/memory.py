"""What the auditors of a flow and of a queue remember from one audit to the next, beside what the ledger keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from auditor.audit.letter_scan import LetterScan
from auditor.audit.listing import Listing
from auditor.audit.sample_counts import Waiting
from auditor.map.flow import Flow
from checks.queue_states import QueueState
from checks.sampling import Panel, Pool
from checks.values import EPOCH
from probes.contract import Key
from probes.queue_contract import QueueReading
from probes.registry import record_kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """Audits in a row that the ledger could not record.

    Attributes:
        read: records that they read.
        why: what the ledger said last.
    """

    audits: int = 0
    read: int = 0
    started_at: datetime = EPOCH
    finished_at: datetime = EPOCH
    why: str = ""

    def with_one(self, started_at: datetime, finished_at: datetime, read: int, why: str) -> Lost:
        """The same with one more."""
        return Lost(
            audits=self.audits + 1,
            read=self.read + read,
            started_at=self.started_at if self.audits else started_at,
            finished_at=finished_at,
            why=why,
        )


NONE_LOST = Lost()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """Keys of both systems that were asked for by rank and not taken yet.

    Attributes:
        pairs: rank and key, in the order of ranks.
        start, end: the ranks between which these are all keys there are.
        population: records there are altogether, as these suggest.
    """

    pairs: Sequence[tuple[int, Key]] = ()
    start: int = 0
    end: int = 0
    population: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleMemory:
    """How the sample of a flow goes on.

    Attributes:
        ahead: keys by rank that were asked for already.
        panel, panel_filled: the records that every audit reads, and whether these are the lowest ranks.
        panel_read, panel_read_at: those that were read last, and when the owner was asked for them.
        valued: by key its rank, records worth reading more often.
        pools, pools_at: what each policy chooses from, and when the ledger was asked for that.
        next_starts: by policy, the rank in its pool where it goes on.
        torn: times that the sweep under way began anew because a system lost its cursor.
        begin_anew: the next audit begins the sweep again.
        waiting: sampled records that count as undecided.
        listings: by system, the keys that it lists in the walk under way. They alone change in place: a walk may
            list 200,000 keys.
    """

    panel: Panel
    ahead: Ahead = Ahead()
    panel_filled: bool = False
    panel_read: frozenset[Key] = frozenset()
    panel_read_at: datetime | None = None
    valued: Mapping[Key, int] = field(default_factory=dict)
    pools: Mapping[str, Pool] = field(default_factory=dict)
    pools_at: datetime | None = None
    next_starts: Mapping[str, int] = field(default_factory=dict)
    torn: int = 0
    begin_anew: bool = False
    waiting: Mapping[Key, Waiting] = field(default_factory=dict)
    listings: Mapping[str, Listing] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What an auditor remembers from one audit of its flow to the next.

    The ledger keeps everything that a verdict rests on; a restart forgets only what stands here. After it

    - the owner is not known to have been watched: of what it changes before the first audit has ended it is not said
      when at the earliest, and `verified_through_at` begins anew where a flow never had one (`first_at`, `audited`);
    - records that were being written, or could not be read, are not looked at again on that account; they are found
      again by the list of changes, by the list of what is unverified or by the sweep (`busy`, `unjudged`);
    - a sweep that was under way says nothing about rows without a key, its next one does (`nameless`, `whole_sweep`);
    - failures in a row are counted from the first, and so are audits that could not be recorded: of these the log
      alone knows then (`failed`, `lost`);
    - the sample goes on where it stood, but its undecided records stay undecided in what was counted of them, the
      panel is asked for anew, and whether a list is complete takes two more walks to tell (`sample`).

    An audit that could not be recorded is forgotten in the same way, but for `failed` and `lost`.

    Attributes:
        first_at: the first audit, or when the auditor was made.
        begun: the ledger knows the series of fingerprints and the queues of this flow.
        audited: an audit has read both systems.
        failed: audits in a row that could not.
        lost: audits in a row that the ledger could not record.
        busy: records that were being written when they were read last.
        unjudged: records of which the last reading told nothing, since when.
        nameless: most rows without a key that one audit of the sweep under way came across.
        whole_sweep: the sweep under way was seen from its beginning.
        unordered: the owner's stamps do not tell what changed; None where nothing was recorded about that.
        counted_at: when the changes of the last day were counted.
    """

    first_at: datetime
    sample: SampleMemory
    begun: bool = False
    audited: bool = False
    failed: int = 0
    lost: Lost = NONE_LOST
    busy: frozenset[Key] = frozenset()
    unjudged: Mapping[Key, datetime] = field(default_factory=dict)
    nameless: int = 0
    whole_sweep: bool = False
    unordered: bool | None = None
    counted_at: datetime | None = None


def no_memory(flow: Flow, now: datetime) -> Memory:
    """What an auditor knows that has just been made."""
    sides = (
        (flow.source_name, flow.source, flow.source_spec),
        (flow.target_name, flow.target, flow.target_spec),
    )
    listings = {name: Listing() for name, system, spec in sides if spec.lists and not record_kind(system).lists_all}
    panel = Panel(size=flow.settings.sampling.panel, ranks={})
    return Memory(first_at=now, sample=SampleMemory(panel=panel, listings=listings))


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueMemory:
    """What an auditor remembers from one audit of its queue to the next.

    The ledger keeps the figures and the letters; a restart forgets only what stands here. After it

    - the letters are looked through from the oldest on (`scan`), and until then the figures tell no more than the
      broker itself does (`looked`), and not whether the letters name their records (`keyless`);
    - whether messages are taken, and whether there are more and more, takes as many readings to tell as at first, and
      a queue that stands still is said to do so from then on (`states`, `still_since`);
    - readings in a row that failed, or told too little, are counted from the first (`failures`, `untold`).

    An audit that could not be recorded is forgotten in the same way, and what it read of the letters is read again.

    Attributes:
        scan: where the look through the letters stands.
        looked: the last reading that looked at letters; None where it failed.
        keyless: what is to be said of letters that do not name their records.
        states: the last readings, oldest first.
        still_since: since when nothing has been taken.
        failures: readings in a row that failed.
        untold: readings in a row that did not tell what the map asks for.
    """

    scan: LetterScan
    looked: QueueReading | None = None
    keyless: tuple[str, ...] = ()
    states: tuple[QueueState, ...] = ()
    still_since: datetime | None = None
    failures: int = 0
    untold: int = 0

    def to_look_again(self) -> QueueMemory:
        """The same with all letters to be looked at again."""
        return replace(self, scan=LetterScan(page_limit=self.scan.page_limit))


def no_queue_memory(page_limit: int) -> QueueMemory:
    """What an auditor of a queue knows that has just been made.

    Args:
        page_limit: letters of one page.
    """
    return QueueMemory(scan=LetterScan(page_limit=page_limit))
