"""What the auditors of a flow and of a queue remember between audits, besides what the ledger stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from auditor.audit.letter_scan import LetterScan
from auditor.audit.listing import Listing
from auditor.audit.sample_counts import Waiting
from auditor.map.flow import Flow
from checks.bursts import Burst
from checks.queue_states import QueueState
from checks.sampling import Panel, Pool
from checks.values import EPOCH
from probes.contract import Key
from probes.queue_contract import QueueReading
from probes.registry import record_kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """Consecutive audits that the ledger could not record.

    Attributes:
        read: records that they read.
        why: the ledger's last error.
    """

    audits: int = 0
    read: int = 0
    started_at: datetime = EPOCH
    finished_at: datetime = EPOCH
    why: str = ""

    def with_one(self, started_at: datetime, finished_at: datetime, read: int, why: str) -> Lost:
        """The record with one more audit."""
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
    """Keys of both systems that were read by rank and not taken yet.

    Attributes:
        pairs: rank and key, in the order of ranks.
        start, end: the range of ranks that these keys cover completely.
        population: the total number of records, estimated from these.
    """

    pairs: Sequence[tuple[int, Key]] = ()
    start: int = 0
    end: int = 0
    population: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleMemory:
    """The state of a flow's sample.

    Attributes:
        ahead: keys by rank that were read already.
        panel, panel_filled: the records that every audit reads, and whether these are the lowest ranks.
        panel_read, panel_read_at: those read last, and when the owner was read for them.
        valued: by key its rank, records worth reading more often.
        pools, pools_at: what each policy chooses from, and when the ledger was queried for it.
        next_starts: by policy, the rank in its pool at which it continues.
        torn: how often the sweep under way started over because a system lost its cursor.
        begin_anew: the next audit restarts the sweep.
        waiting: sampled records that count as undecided, and how often each was drawn meanwhile.
        listings: by system, the keys that it lists in the walk under way. Only they change in place: a walk may
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
    waiting: Mapping[Key, Mapping[Waiting, int]] = field(default_factory=dict)
    listings: Mapping[str, Listing] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BurstMemory:
    """The state of a flow's burst (`checks.bursts`).

    Attributes:
        now: the latest one, None if there was none.
        drawn: the records drawn for it.
        waiting: those of them that have no result yet.
    """

    now: Burst | None = None
    drawn: frozenset[Key] = frozenset()
    waiting: frozenset[Key] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What an auditor remembers between audits of its flow.

    The ledger stores everything that a verdict depends on; a restart forgets only what is held here. After it

    - it is unknown whether the owner was watched: changes before the end of the first audit have no earliest time,
      and `verified_through_at` starts afresh for a flow that never had one (`first_at`, `audited`);
    - records that were being written or could not be read are not read again for that reason; the list of changes,
      the list of unverified records or the sweep finds them again (`busy`, `unjudged`);
    - an interrupted sweep says nothing about rows without a key, the next one does (`nameless`, `whole_sweep`);
    - consecutive failures are counted from the first, and so are audits that could not be recorded: then only the
      log knows of those (`failed`, `lost`);
    - how far the owner's list of changes is behind is unknown until it is read again (`behind_s`);
    - the sample continues, but its undecided records stay undecided in its counts, the panel is read again, and it
      takes two more walks to see whether a list is complete (`sample`);
    - a burst goes on with the results in the ledger; of the records drawn for it those without a result are
      forgotten, and others are drawn in their place (`burst`).

    An audit that could not be recorded is forgotten in the same way, except for `failed` and `lost`.

    Attributes:
        first_at: the first audit, or when the auditor was created.
        begun: the ledger has the series of fingerprints and the queues of this flow.
        audited: an audit has read both systems.
        failed: consecutive audits that could not.
        lost: consecutive audits that the ledger could not record.
        busy: records that were being written at their last reading.
        unjudged: records with an inconclusive last reading, and since when.
        nameless: most rows without a key in one audit of the sweep under way.
        whole_sweep: the sweep under way was seen from its beginning.
        unordered: the owner's stamps do not show what changed; None if nothing was recorded about that.
        counted_at: when the changes of the last day were counted.
        behind_s: how far the owner's list of changes was behind when it was last read.
        burst: what confirms the last missed change.
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
    behind_s: float = 0.0
    burst: BurstMemory = BurstMemory()


def no_memory(flow: Flow, now: datetime) -> Memory:
    """The memory of a new auditor."""
    sides = (
        (flow.source_name, flow.source, flow.source_spec),
        (flow.target_name, flow.target, flow.target_spec),
    )
    listings = {name: Listing() for name, system, spec in sides if spec.lists and not record_kind(system).lists_all}
    panel = Panel(size=flow.settings.sampling.panel, ranks={})
    return Memory(first_at=now, sample=SampleMemory(panel=panel, listings=listings))


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueMemory:
    """What an auditor remembers between audits of its queue.

    The ledger stores the figures and the letters; a restart forgets only what is held here. After it

    - the letters are scanned from the oldest on (`scan`), and until then the figures contain no more than the broker
      itself reports (`looked`), and not whether the letters name their records (`keyless`);
    - it takes as many readings as at first to see whether messages are taken and whether they increase, and a queue
      without movement counts as such only from then on (`states`, `still_since`, `late`);
    - consecutive readings that failed, or lacked figures, are counted from the first (`failures`, `untold`).

    An audit that could not be recorded is forgotten in the same way, and the letters it read are read again.

    Attributes:
        scan: the state of the scan of the letters.
        looked: the last reading that read letters; None if it failed.
        keyless: a note on letters that do not name their records.
        states: the last readings, oldest first.
        still_since: since when nothing has been taken.
        late: changes of the flow were late at the last reading, and nothing had been taken for a window.
        failures: consecutive readings that failed.
        untold: consecutive readings without the figures that the map asks for.
    """

    scan: LetterScan
    looked: QueueReading | None = None
    keyless: tuple[str, ...] = ()
    states: tuple[QueueState, ...] = ()
    still_since: datetime | None = None
    late: bool = False
    failures: int = 0
    untold: int = 0

    def to_look_again(self) -> QueueMemory:
        """The memory with all letters to be read again."""
        return replace(self, scan=LetterScan(page_limit=self.scan.page_limit))


def no_queue_memory(page_limit: int) -> QueueMemory:
    """The memory of a new auditor of a queue.

    Args:
        page_limit: letters of one page.
    """
    return QueueMemory(scan=LetterScan(page_limit=page_limit))
