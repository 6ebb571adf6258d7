"""The sample: the records an audit reads without a known change, from both sides."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from auditor.audit.budget import Plan
from auditor.audit.gathered import Gathered
from auditor.audit.listing import Held, Listing
from auditor.audit.memory import SampleMemory
from auditor.audit.reading import Gatherer, Search
from auditor.audit.sample_counts import settle
from auditor.audit.sweep import Sweeper, ended
from auditor.ledger import FlowState, Ledger
from checks.judgement import Outcome
from checks.sampling import BY_RANK, PAST_ERROR, RECENT, VALUE, Arc, Cohort, Drawn, Pool, affordable_shares, draw
from checks.sides import UNREADABLE, held_values
from probes.contract import Key
from probes.ranking import RANKS

POOL_LIMIT = 10_000
POOLS_EVERY_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The sample of one audit.

    Attributes:
        state: the state of the sweep after it.
        memory: how the sample continues.
        taken: the sweep's slice.
        drawn: records taken at random, with their probabilities.
        watched: records of the panel.
        before_walk: the state before this audit, if it has ended a walk through lists.
    """

    state: FlowState
    memory: SampleMemory
    taken: Set[Key] = frozenset()
    drawn: Mapping[Key, Drawn] = field(default_factory=dict)
    watched: frozenset[Key] = frozenset()
    before_walk: FlowState | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounted:
    """The outcome of one audit's sample.

    Attributes:
        cohorts: what to add to each policy's counts.
        state: with the counts of the sweep.
        memory: how the sample continues.
        left_out: by system, how many records its list lacks; only systems for which this is known now.
        walks_again: the sweep does not count, because it takes another walk to see whether a list was complete.
    """

    cohorts: Mapping[str, Cohort]
    state: FlowState
    memory: SampleMemory
    left_out: Mapping[str, int] = field(default_factory=dict)
    walks_again: bool = False


class Sampler:
    """Chooses a flow's sample and accounts for it.

    Args:
        seed: of the ranks.
    """

    def __init__(self, gatherer: Gatherer, ledger: Ledger, seed: str) -> None:
        self._gatherer = gatherer
        self._ledger = ledger
        self._flow = gatherer.flow
        self._policies = gatherer.flow.settings.sampling
        self._sweep = Sweeper(gatherer, ledger, seed)

    # -- choosing

    def choose(self, search: Search, state: FlowState, planned: Plan, now: datetime, memory: SampleMemory) -> Chosen:
        """Add the panel, the sweep's next slice and the policies' records."""
        if not planned.sample or search.error:
            return Chosen(state=state, memory=memory)
        part = self._sweep.go_on(search, state, planned.sample, now, memory)
        if search.error:
            return Chosen(state=state, memory=part.memory)
        taken, new_state = part.taken, part.state
        by_rank = new_state.sweep.walk == BY_RANK
        population = max(state.swept.read or part.memory.ahead.population, len(taken), 1)
        base = Arc(part.start, round(min(1.0, planned.sample / population) * RANKS) if by_rank else 0)
        memory = self._with_pools(replace(part.memory, panel=part.memory.panel.seen(taken)), now)
        arcs = _next_arcs(affordable_shares(memory.pools, self._shares(), planned.extra), memory.next_starts)
        drawn = draw(taken if by_rank else (), base, memory.pools, arcs)
        if not by_rank:
            # Without a random base an estimate would say nothing about all other records.
            drawn = {key: replace(how, probability=0.0) for key, how in drawn.items()}
        watched = frozenset(list(memory.panel.ranks)[: planned.panel])
        search.want(drawn)
        search.want(watched)
        read = replace(new_state.sweep, read=(new_state.sweep.read or 0) + len(taken))
        behind = ended(replace(new_state, sweep=read), now)
        is_over = behind.swept.at == now
        starts = {policy: (arc.start + arc.width) % RANKS for policy, arc in arcs.items()}
        memory = replace(memory, next_starts={**memory.next_starts, **starts})
        return Chosen(
            state=behind,
            memory=replace(memory, panel_filled=False, torn=0) if behind.sweep.begun_at is None else memory,
            taken=taken.keys(),
            drawn=drawn,
            watched=watched,
            before_walk=state if is_over and not by_rank else None,
        )

    # -- policies

    def _shares(self) -> dict[str, float]:
        value = self._policies.value
        return {
            RECENT: self._policies.recent,
            PAST_ERROR: self._policies.past_error,
            VALUE: value.share if value else 0.0,
        }

    def _with_pools(self, memory: SampleMemory, now: datetime) -> SampleMemory:
        """The pools that the policies choose from, refreshed from time to time."""
        if memory.pools_at is not None and (now - memory.pools_at).total_seconds() < POOLS_EVERY_S:
            return memory
        differed, changed = self._ledger.records.suspects(
            self._flow.name, since=now - timedelta(seconds=self._policies.memory_s), limit=POOL_LIMIT
        )
        pools = {
            PAST_ERROR: Pool(self._ranks(differed)),
            RECENT: Pool(self._ranks(changed)),
            VALUE: Pool(dict(memory.valued)),
        }
        return replace(memory, pools=pools, pools_at=now)

    def _ranks(self, texts: list[str]) -> dict[Key, int]:
        return {key: self._sweep.rank(key) for key in self._flow.parse_keys(texts)}

    def note_values(self, gathered: Gathered, memory: SampleMemory) -> SampleMemory:
        """Remember which of the records read are worth reading more often."""
        policy = self._policies.value
        if policy is None:
            return memory
        at = self._flow.field_names.index(policy.field)
        side = self._gatherer.comparer.owner
        parse = side.parsers[at]
        valued = dict(memory.valued)
        for key, rows in gathered.owner.rows.items():
            try:
                parsed = parse(held_values(side, rows[0])[at])
                worth = float(parsed[0] if isinstance(parsed, tuple) else parsed)  # money is an amount and a currency
            except (*UNREADABLE, IndexError):
                continue
            if worth < policy.above:
                valued.pop(key, None)
            elif key not in valued and len(valued) < POOL_LIMIT:
                valued[key] = self._sweep.rank(key)
        return replace(memory, valued=valued)

    # -- accounts

    def account(
        self, chosen: Chosen, gathered: Gathered, state: FlowState, outcomes: Mapping[Key, Outcome]
    ) -> Accounted:
        """Add the outcomes of the sampled records to the cohorts, by policy, and to the sweep.

        Args:
            outcomes: of every record read that did not simply agree.
        """
        memory = chosen.memory
        target_rows = gathered.target.rows if gathered.target else {}
        read = {self._flow.source_name: gathered.owner.rows, self._flow.target_name: target_rows}
        for system, listing in memory.listings.items():
            listing.met(read[system])
        state, left_out, walks_again = _complete(chosen.before_walk, state, memory.listings)
        wanted = gathered.wanted.keys
        gone = [key for key in memory.panel.ranks if key in wanted and _absent(gathered, key)]
        cohorts, state, waiting = settle(memory.waiting, chosen.drawn, chosen.taken, wanted.keys(), outcomes, state)
        memory = replace(memory, panel=memory.panel.without(gone), waiting=waiting)
        if chosen.watched:
            memory = replace(memory, panel_read=chosen.watched, panel_read_at=gathered.owner.sent_at)
        return Accounted(cohorts=cohorts, state=state, memory=memory, left_out=left_out, walks_again=walks_again)


def count_unlisted(taken: Set[Key], state: FlowState, unlisted: Set[str]) -> FlowState:
    """Add records of the sweep's slice that could not be verified and are on no list, by their keys' text."""
    if not unlisted:
        return state
    count = sum(str(key) in unlisted for key in taken)
    sweep, swept = state.sweep, state.swept
    if sweep.begun_at is None:  # the slice completed its sweep
        return replace(state, swept=replace(swept, unlisted=(swept.unlisted or 0) + count))
    return replace(state, sweep=replace(sweep, unlisted=(sweep.unlisted or 0) + count))


def _next_arcs(shares: Mapping[str, float], starts: Mapping[str, int]) -> dict[str, Arc]:
    """The next part of each policy's pool, after the last one."""
    return {policy: Arc(starts.get(policy, 0), round(min(1.0, share) * RANKS)) for policy, share in shares.items()}


def _complete(
    before: FlowState | None, state: FlowState, listings: Mapping[str, Listing]
) -> tuple[FlowState, Mapping[str, int], bool]:
    """Do not count a sweep through lists that left records out.

    Args:
        before: the state before a walk ended, None if none did.

    Returns:
        The state, by system how many records its list lacks, and whether another walk is needed to decide.
    """
    if before is None:
        return state, {}, False
    results = {system: listing.end() for system, listing in listings.items()}
    judged = [system for system, each in results.items() if each in {Held.COMPLETE, Held.INCOMPLETE}]
    walks_again = Held.DOUBTFUL in results.values()
    left_out = {system: len(listings[system].left_out) for system in judged}
    if not walks_again and not any(left_out.values()):
        return state, left_out, walks_again
    last = before.swept
    swept = replace(state.swept, count=last.count, at=last.at, from_at=last.from_at)
    return replace(state, swept=swept, known_from_at=before.known_from_at), left_out, walks_again


def _absent(gathered: Gathered, key: Key) -> bool:
    return not any(gathered.rows_of(key)) and not gathered.unreadable(key)
