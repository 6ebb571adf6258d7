"""The sample: the records an audit reads without being told that they changed, from both sides."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Set
from dataclasses import replace
from datetime import datetime, timedelta

from auditor.audit.budget import Plan
from auditor.audit.listing import Held, Listing
from auditor.audit.reading import Gathered, Gatherer
from auditor.audit.sample_counts import Accounts
from auditor.ledger import FlowState, Ledger
from checks.judgement import Outcome
from checks.records import UNREADABLE
from checks.sampling import (
    BY_KEY,
    BY_RANK,
    PAST_ERROR,
    RECENT,
    VALUE,
    Arc,
    Cohort,
    Drawn,
    Panel,
    Pool,
    affordable_shares,
    draw,
)
from probes.contract import Key, ProbeError, Reading, Reason
from probes.ranking import RANKS, rank_of
from probes.records.rest import RestSettings

AHEAD = 10_000
"""Keys asked for by rank at once: where no index answers, each such question scans the table."""

TORN_LIMIT = 3
"""Times that one sweep begins anew without a word because a system lost its cursor."""

POOL_LIMIT = 10_000
POOLS_EVERY_S = 60.0


class _TornError(Exception):
    """A system does not know any more where a walk stood."""

    def __init__(self, reading: Reading) -> None:
        self.system = reading.system
        self.error = reading.error


class Sampler:
    """Chooses a flow's sample and keeps its accounts; one audit at a time.

    A sweep goes by rank where both systems can answer that, and each slice is then a random sample of all
    records; otherwise it goes page by page through the keys of both sides.

    Args:
        seed: of the ranks.
    """

    def __init__(self, gatherer: Gatherer, ledger: Ledger, seed: str) -> None:
        self._gatherer = gatherer
        self._ledger = ledger
        self._flow = gatherer.flow
        self._policies = gatherer.flow.settings.sampling
        self._seed = seed
        self._ahead: list[tuple[int, Key]] = []
        self._ahead_from = self._ahead_to = 0
        self._population = 0
        self._panel = Panel(size=self._policies.panel, ranks={})
        self._panel_filled = False
        self._valued: dict[Key, int] = {}
        self._pools: dict[str, Pool] = {}
        self._pools_at: datetime | None = None
        self._next_starts: dict[str, int] = {}
        self._torn = 0
        self._begin_anew = False
        self._slice: set[Key] = set()
        self._drawn: dict[Key, Drawn] = {}
        self._watched: frozenset[Key] = frozenset()
        self._accounts = Accounts()
        self._listings = {
            name: Listing()
            for name, system, spec in (
                (self._flow.source_name, self._flow.source, self._flow.source_spec),
                (self._flow.target_name, self._flow.target, self._flow.target_spec),
            )
            if isinstance(system, RestSettings) and spec.lists
        }
        self._before_walk: FlowState | None = None
        self.walks_again = False
        self.left_out: dict[str, int] | None = None
        self.panel_read_at: datetime | None = None
        self.panel_read: frozenset[Key] = frozenset()

    # -- choosing

    def choose(self, gathered: Gathered, state: FlowState, planned: Plan, now: datetime) -> FlowState:
        """Want the panel, the sweep's next slice and what the policies add; answers where the sweep stands."""
        self._slice, self._drawn, self._watched = set(), {}, frozenset()
        self._before_walk, self.walks_again, self.left_out = None, False, None
        if not planned.sample or gathered.error:
            return state
        begun = state.sweep_begun_at is not None and not self._begin_anew
        moved = state if begun else _fresh(state, self._walk(gathered), now)
        self._begin_anew = False
        start = 0
        if moved.walk == BY_RANK:
            moved, start, taken = self._next_slice(gathered, moved, planned.sample)
        else:
            try:
                moved, taken = self._next_pages(gathered, moved, planned.sample, begun=begun)
            except _TornError as torn:
                moved, taken = self._begin_torn(gathered, moved, planned.sample, torn, now)
        if gathered.error:
            return state
        self._slice = set(taken)
        self._panel = self._panel.seen(taken)
        by_rank = moved.walk == BY_RANK
        population = max(state.swept_read or self._population, len(taken), 1)
        base = Arc(start, round(min(1.0, planned.sample / population) * RANKS) if by_rank else 0)
        pools = self._refreshed_pools(now)
        arcs = self._next_arcs(affordable_shares(pools, self._shares(), planned.extra))
        drawn = draw(taken if by_rank else (), base, pools, arcs)
        # Without a random base an estimate would know nothing of all other records.
        self._drawn = drawn if by_rank else {key: replace(how, probability=0.0) for key, how in drawn.items()}
        gathered.wanted.update(dict.fromkeys(self._drawn))
        self._watched = frozenset(list(self._panel.ranks)[: planned.panel])
        gathered.wanted.update(dict.fromkeys(self._watched))
        moved = replace(moved, sweep_read=(moved.sweep_read or 0) + len(taken))
        ended = self._ended(moved, now)
        if ended.swept_at == now and not by_rank:
            self._before_walk = state
        return ended

    def _walk(self, gathered: Gathered) -> str:
        """How the sweep is to go; also counts what has no key, which no walk by rank comes across."""
        flow, gatherer = self._flow, self._gatherer
        try:
            ranked = gatherer.source.can_rank(flow.source_spec, self._seed) and gatherer.target.can_rank(
                flow.target_spec, self._seed
            )
        except ProbeError:
            ranked = False
        if not ranked:
            return BY_KEY
        for reader, spec, side in (
            (gatherer.source, flow.source_spec, gatherer.comparer.owner),
            (gatherer.target, flow.target_spec, gatherer.comparer.target),
        ):
            first = reader.page(spec.keys_only(), None, 1)
            if not gathered.fail(first):
                gathered.nameless += gatherer.comparer.group(side, [row for row in first.rows if row[0] is None])[1]
        return BY_RANK

    def _next_slice(self, gathered: Gathered, state: FlowState, size: int) -> tuple[FlowState, int, dict[Key, int]]:
        """The keys of the next ranks on either side; answers also the rank where the slice begins."""
        start = state.rank_after or 0
        try:
            if not self._panel_filled:
                # At the beginning of a sweep its first keys are the panel; after a restart they are asked for.
                self._look_ahead(gathered, 0, max(size, AHEAD) if start == 0 else max(1, self._policies.panel))
                lowest = {key: rank for rank, key in self._ahead}
                self._panel = Panel(size=self._policies.panel, ranks={}).seen(lowest)
                self._panel_filled = True
            if not self._ahead or self._ahead_from != start:
                self._look_ahead(gathered, start, max(size, AHEAD))
        except ProbeError:
            return state, start, {}
        taken, self._ahead = self._ahead[:size], self._ahead[size:]
        end = taken[-1][0] + 1 if taken and self._ahead else self._ahead_to
        self._ahead_from = end
        moved = replace(state, rank_after=None if end >= RANKS else end)
        return moved, start, {key: rank for rank, key in taken}

    def _look_ahead(self, gathered: Gathered, start: int, limit: int) -> None:
        """Ask both sides for their next keys by rank. Raises ProbeError, noted."""
        flow, gatherer = self._flow, self._gatherer
        end = RANKS
        found: dict[Key, int] = {}
        for reader, spec, side in (
            (gatherer.source, flow.source_spec, gatherer.comparer.owner),
            (gatherer.target, flow.target_spec, gatherer.comparer.target),
        ):
            try:
                ranked = reader.ranked(spec, self._seed, start, end, limit)
            except ProbeError as error:
                gathered.fail_with(reader.name, error)
                raise
            if len(ranked) >= limit:
                end = ranked[-1][1] + 1
            for raw, rank in ranked:
                try:
                    found[side.parse_key(raw)] = rank
                except UNREADABLE:
                    gathered.nameless += 1
        ordered = sorted(zip(found.values(), found, strict=True))
        self._ahead = [pair for pair in ordered if pair[0] < end]
        self._ahead_from, self._ahead_to = start, end
        self._population = round(len(self._ahead) * RANKS / (end - start))

    def _begin_torn(
        self, gathered: Gathered, state: FlowState, size: int, torn: _TornError, now: datetime
    ) -> tuple[FlowState, dict[Key, int]]:
        """Begin a sweep anew whose cursor was lost; one that is lost again and again fails the audit, to be seen."""
        self._torn += 1
        if self._torn <= TORN_LIMIT:
            try:
                return self._next_pages(gathered, _fresh(state, BY_KEY, now), size, begun=False)
            except _TornError as again:
                torn = again
        self._begin_anew = True
        if torn.error is not None:
            gathered.fail_with(torn.system, torn.error)
        return state, {}

    def _next_pages(
        self, gathered: Gathered, state: FlowState, size: int, *, begun: bool
    ) -> tuple[FlowState, dict[Key, int]]:
        """The next page of the owner's records and of the target's keys.

        A side that does not list its records is stood in for by the keys on which both agreed once: a record that
        went missing there is then found, one that never agreed is not.
        """
        moved = state
        taken: list[Key] = []
        if not begun:
            for listing in self._listings.values():
                listing.begin()
        owner_lists, target_lists = self._flow.source_spec.lists, self._flow.target_spec.lists
        on_owner_side = not begun or state.owner_after is not None
        if on_owner_side and not owner_lists:
            cursor, known = self._known_keys(gathered, state.owner_after, size, at_owner=False, beyond=target_lists)
            if gathered.error:
                return state, {}
            taken += known
            moved = replace(moved, owner_after=cursor)
        elif on_owner_side:
            source = self._gatherer.source
            page, whole = self._gatherer.list_owner(lambda spec: source.page(spec, state.owner_after, size))
            if _failed(gathered, page):
                return state, {}
            keys = self._gatherer.take(gathered, page, whole=whole)
            self._list(source.name, keys)
            taken += keys
            moved = replace(moved, owner_after=page.next)
        if (owner_lists or target_lists) and (not begun or state.target_after is not None):
            if target_lists:
                cursor, unknown = self._look_for_orphans(gathered, state.target_after, size)
            else:
                cursor, unknown = self._known_keys(gathered, state.target_after, size, at_owner=True, beyond=True)
            if gathered.error:
                return state, {}
            taken += unknown
            moved = replace(moved, target_after=cursor)
        return moved, {key: self._rank(key) for key in taken}

    def _look_for_orphans(self, gathered: Gathered, after: str | None, size: int) -> tuple[str | None, list[Key]]:
        """Want the target's keys that the owner lacks, or the target has twice; answers the cursor and these.

        Where the owner does not list its records, all keys of the target are wanted: they are the list.
        """
        flow, gatherer = self._flow, self._gatherer
        page = gatherer.target.page(flow.target_spec.keys_only(), after, size)
        if _failed(gathered, page):
            return None, []
        grouped, nameless = gatherer.comparer.group(gatherer.comparer.target, page.rows)
        gathered.nameless += nameless
        self._list(gatherer.target.name, grouped)
        if flow.source_spec.lists:
            unread = [key for key in grouped if key not in gathered.owner_rows]
            unknown = self._lacking(gathered, unread, at_owner=True)
        else:
            unknown = list(grouped)
        if gathered.error:
            return None, []
        gathered.wanted.update(dict.fromkeys(unknown))
        gathered.wanted.update(dict.fromkeys(key for key, rows in grouped.items() if len(rows) > 1))
        return page.next, unknown

    def _known_keys(
        self, gathered: Gathered, after: str | None, size: int, *, at_owner: bool, beyond: bool
    ) -> tuple[str | None, list[Key]]:
        """Want the next keys on which both sides agreed once; answers the cursor and these.

        Args:
            beyond: only those that a side lacks, because it lists the others itself: the owner, or the target.
        """
        texts = self._ledger.known_keys(self._flow.name, _place(after), size)
        cursor = json.dumps({"known": texts[-1]}) if len(texts) >= size else None
        keys: list[Key] = []
        for text in texts:
            try:
                keys.append(self._gatherer.comparer.owner.parse_key(text))
            except UNREADABLE:
                continue  # no key any more: the map has changed
        if beyond:
            keys = self._lacking(gathered, [key for key in keys if key not in gathered.owner_rows], at_owner=at_owner)
        gathered.wanted.update(dict.fromkeys(keys))
        return cursor, keys

    def _lacking(self, gathered: Gathered, keys: list[Key], *, at_owner: bool) -> list[Key]:
        """Those of the keys that a side does not have, or cannot be asked for."""
        flow, gatherer = self._flow, self._gatherer
        reader, spec, side = (
            (gatherer.source, flow.source_spec, gatherer.comparer.owner)
            if at_owner
            else (gatherer.target, flow.target_spec, gatherer.comparer.target)
        )
        there = reader.fetch(spec.keys_only(), keys)
        if gathered.fail(there):
            return []
        known, _ = gatherer.comparer.group(side, there.rows)
        if reader.name in self._listings:
            self._listings[reader.name].met(known)
        return [key for key in keys if key not in known]

    def _ended(self, state: FlowState, now: datetime) -> FlowState:
        """Where the sweep stands, a new one to begin where it is complete."""
        left = state.rank_after if state.walk == BY_RANK else (state.owner_after or state.target_after)
        if left is not None:
            return state
        self._panel_filled = False
        self._torn = 0
        return replace(
            state,
            sweep_begun_at=None,
            sweeps=state.sweeps + 1,
            swept_at=now,
            swept_from_at=state.sweep_begun_at,
            known_from_at=state.sweep_begun_at,
            swept_read=state.sweep_read,
            swept_divergent=state.sweep_divergent,
            swept_undecided=state.sweep_undecided,
            swept_unlisted=state.sweep_unlisted,
        )

    # -- policies

    def _rank(self, key: Key) -> int:
        return rank_of(self._seed, self._flow.data_type.key_type, key)

    def _next_arcs(self, shares: Mapping[str, float]) -> dict[str, Arc]:
        """The next part of each policy's pool, behind the last one."""
        arcs = {}
        for policy, share in shares.items():
            width = round(min(1.0, share) * RANKS)
            arcs[policy] = Arc(self._next_starts.get(policy, 0), width)
            self._next_starts[policy] = (arcs[policy].start + width) % RANKS
        return arcs

    def _shares(self) -> dict[str, float]:
        value = self._policies.value
        return {
            RECENT: self._policies.recent,
            PAST_ERROR: self._policies.past_error,
            VALUE: value.share if value else 0.0,
        }

    def _refreshed_pools(self, now: datetime) -> Mapping[str, Pool]:
        if self._pools_at is not None and (now - self._pools_at).total_seconds() < POOLS_EVERY_S:
            return self._pools
        differed, changed = self._ledger.suspects(
            self._flow.name, since=now - timedelta(seconds=self._policies.memory_s), limit=POOL_LIMIT
        )
        self._pools = {
            PAST_ERROR: Pool(self._ranks(differed)),
            RECENT: Pool(self._ranks(changed)),
            VALUE: Pool(dict(self._valued)),
        }
        self._pools_at = now
        return self._pools

    def _ranks(self, texts: list[str]) -> dict[Key, int]:
        found: dict[Key, int] = {}
        for text in texts:
            try:
                key = self._gatherer.comparer.owner.parse_key(text)
            except UNREADABLE:
                continue  # no key any more: the map has changed
            found[key] = self._rank(key)
        return found

    def note_values(self, gathered: Gathered) -> None:
        """Remember which of the records read are worth reading more often."""
        policy = self._policies.value
        if policy is None:
            return
        at = self._flow.field_names.index(policy.field)
        parse = self._gatherer.comparer.owner.parsers[at]
        for key, rows in gathered.owner_rows.items():
            try:
                parsed = parse(rows[0][2 + at])
                worth = float(parsed[0] if isinstance(parsed, tuple) else parsed)  # money is an amount and a currency
            except (*UNREADABLE, IndexError):
                continue
            if worth < policy.above:
                self._valued.pop(key, None)
            elif key not in self._valued and len(self._valued) < POOL_LIMIT:
                self._valued[key] = self._rank(key)

    # -- accounts

    def account(
        self, gathered: Gathered, state: FlowState, outcomes: Mapping[Key, Outcome]
    ) -> tuple[dict[str, Cohort], FlowState]:
        """Add what became of the sampled records to the cohorts, by policy, and to the sweep.

        Args:
            outcomes: of every record read that did not simply agree.
        """
        state = self._complete(gathered, state)
        gone = [key for key in self._panel.ranks if key in gathered.wanted and _absent(gathered, key)]
        self._panel = self._panel.without(gone)
        if self._watched:
            self.panel_read, self.panel_read_at = self._watched, gathered.owner_sent_at
        return self._accounts.settle(self._drawn, self._slice, gathered.wanted.keys(), outcomes, state)

    def _list(self, system: str, keys: Iterable[Key]) -> None:
        if system in self._listings:
            self._listings[system].listed(keys)

    def _complete(self, gathered: Gathered, state: FlowState) -> FlowState:
        """A sweep through lists that left records out is not counted."""
        read = {self._flow.source_name: gathered.owner_rows, self._flow.target_name: gathered.target_rows}
        for system, listing in self._listings.items():
            listing.met(read[system])
        before = self._before_walk
        if before is None:
            return state
        held = {system: listing.end() for system, listing in self._listings.items()}
        judged = [system for system, each in held.items() if each in {Held.COMPLETE, Held.INCOMPLETE}]
        self.walks_again = Held.DOUBTFUL in held.values()
        self.left_out = {system: len(self._listings[system].left_out) for system in judged}
        if not self.walks_again and not any(self.left_out.values()):
            return state
        return replace(
            state,
            sweeps=before.sweeps,
            swept_at=before.swept_at,
            swept_from_at=before.swept_from_at,
            known_from_at=before.known_from_at,
        )

    def count_unlisted(self, state: FlowState, unlisted: Set[str]) -> FlowState:
        """Add records of the sweep's slice that could not be verified and are on no list, by their keys' text."""
        if not unlisted:
            return state
        count = sum(str(key) in unlisted for key in self._slice)
        if state.sweep_begun_at is None:  # the slice completed its sweep
            return replace(state, swept_unlisted=(state.swept_unlisted or 0) + count)
        return replace(state, sweep_unlisted=(state.sweep_unlisted or 0) + count)


def _fresh(state: FlowState, walk: str, now: datetime) -> FlowState:
    """A sweep at its beginning."""
    return replace(
        state,
        walk=walk,
        sweep_begun_at=now,
        sweep_read=0,
        sweep_divergent=0,
        sweep_undecided=0,
        sweep_unlisted=0,
        rank_after=0,
        owner_after=None,
        target_after=None,
    )


def _place(after: str | None) -> str:
    """The key behind which known keys go on; from the first where the place is another's."""
    try:
        return str(json.loads(after)["known"]) if after is not None else ""
    except (ValueError, TypeError, KeyError):
        return ""


def _failed(gathered: Gathered, page: Reading) -> bool:
    """Note a failed page; raises _TornError where only its cursor is lost."""
    if page.error is not None and page.error.reason is Reason.CURSOR_LOST:
        raise _TornError(page)
    return gathered.fail(page)


def _absent(gathered: Gathered, key: Key) -> bool:
    return not gathered.owner_rows.get(key) and not gathered.target_rows.get(key) and key not in gathered.unreadable
