"""The sweep: the next part of all records of both systems, by rank or by key."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from auditor.audit.listing import Listing
from auditor.audit.memory import Ahead, SampleMemory
from auditor.audit.reading import Gatherer, Search
from auditor.ledger import FlowState, Ledger, Sweep, Swept
from checks.sampling import BY_KEY, BY_RANK, Panel
from checks.sides import UNREADABLE
from probes.contract import KEY, Key, ProbeError, Reading, Reason
from probes.metering import SpentError
from probes.ranking import RANKS, rank_of

AHEAD = 10_000
"""Keys read by rank at once: without an index, each such query scans the table."""

TORN_LIMIT = 3
"""How often one sweep silently starts over because a system lost its cursor."""


class _TornError(Exception):
    """A system no longer knows the cursor of a walk."""

    def __init__(self, reading: Reading) -> None:
        self.system = reading.system
        self.error = reading.error


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """The next part of a sweep.

    Attributes:
        taken: its records, by key their rank.
        start: the rank at which it begins, where the sweep goes by rank.
        state: the state of the sweep after it.
    """

    taken: Mapping[Key, int]
    start: int
    state: FlowState
    memory: SampleMemory


class Sweeper:
    """Goes through all records of a flow's two systems, one slice per audit.

    It goes by rank if both systems support that, and each slice is then a random sample of all records; otherwise it
    goes page by page through the keys of both sides.

    Args:
        seed: of the ranks.
    """

    def __init__(self, gatherer: Gatherer, ledger: Ledger, seed: str) -> None:
        self._gatherer = gatherer
        self._ledger = ledger
        self._flow = gatherer.flow
        self._panel_size = gatherer.flow.settings.sampling.panel
        self._seed = seed

    def go_on(self, search: Search, state: FlowState, size: int, now: datetime, memory: SampleMemory) -> Slice:
        """Take the next slice: add its records to the search, or note a failure.

        Args:
            size: records of each side.
        """
        begun = state.sweep.begun_at is not None and not memory.begin_anew
        moved = state if begun else fresh(state, self._walk(search), now)
        if search.error:
            return Slice(taken={}, start=0, state=state, memory=memory)
        memory = replace(memory, begin_anew=False)
        if moved.sweep.walk == BY_RANK:
            return self._next_slice(search, moved, size, memory)
        try:
            sweep, taken = self._next_pages(search, moved.sweep, size, memory.listings, begun=begun)
        except _TornError as torn:
            return self._begin_torn(search, moved, size, torn, now, memory)
        return Slice(taken=taken, start=0, state=replace(moved, sweep=sweep), memory=memory)

    def rank(self, key: Key) -> int:
        """The rank of a record, the same in both systems."""
        return rank_of(self._seed, self._flow.data_type.whole_key_type, key)

    def _walk(self, search: Search) -> str:
        """Decide how the sweep goes; also counts rows without a key, which a walk by rank never meets."""
        flow, gatherer = self._flow, self._gatherer
        try:
            ranked = search.source.can_rank(flow.source_spec, self._seed) and gatherer.target.can_rank(
                flow.target_spec, self._seed
            )
        except SpentError as spent:
            search.fail_with(self._flow.name, spent)
            return BY_KEY
        except ProbeError:
            ranked = False
        if not ranked:
            return BY_KEY
        for reader, spec, side in (
            (search.source, flow.source_spec, gatherer.comparer.owner),
            (gatherer.target, flow.target_spec, gatherer.comparer.target),
        ):
            first = reader.page(spec.keys_only(), None, 1)
            if not search.fail(first):
                unnamed = gatherer.comparer.group(side, [row for row in first.rows if row[KEY] is None]).nameless
                search.count_nameless(unnamed, at_owner=side is gatherer.comparer.owner)
        return BY_RANK

    def _next_slice(self, search: Search, state: FlowState, size: int, memory: SampleMemory) -> Slice:
        """The keys of the next ranks on both sides."""
        start = state.sweep.rank_after or 0
        try:
            if not memory.panel_filled:
                # At the start of a sweep its first keys are the panel; after a restart they are read.
                ahead = self._look_ahead(search, 0, max(size, AHEAD) if start == 0 else max(1, self._panel_size))
                panel = Panel(size=self._panel_size, ranks={}).seen({key: rank for rank, key in ahead.pairs})
                memory = replace(memory, ahead=ahead, panel=panel, panel_filled=True)
            if not memory.ahead.pairs or memory.ahead.start != start:
                memory = replace(memory, ahead=self._look_ahead(search, start, max(size, AHEAD)))
        except ProbeError:
            return Slice(taken={}, start=start, state=state, memory=memory)
        taken, left = memory.ahead.pairs[:size], memory.ahead.pairs[size:]
        end = taken[-1][0] + 1 if taken and left else memory.ahead.end
        return Slice(
            taken={key: rank for rank, key in taken},
            start=start,
            state=replace(state, sweep=replace(state.sweep, rank_after=None if end >= RANKS else end)),
            memory=replace(memory, ahead=replace(memory.ahead, pairs=left, start=end)),
        )

    def _look_ahead(self, search: Search, start: int, limit: int) -> Ahead:
        """Read the next keys by rank from both sides. Raises ProbeError, noted."""
        flow, gatherer = self._flow, self._gatherer
        end = RANKS
        found: dict[Key, int] = {}
        for reader, spec, side in (
            (search.source, flow.source_spec, gatherer.comparer.owner),
            (gatherer.target, flow.target_spec, gatherer.comparer.target),
        ):
            try:
                ranked = reader.ranked(spec, self._seed, start, end, limit)
            except ProbeError as error:
                search.fail_with(reader.name, error)
                raise
            if len(ranked) >= limit:
                end = ranked[-1][1] + 1
            unreadable = []
            for raw, rank in ranked:
                try:
                    found[side.parse_key(raw)] = rank
                except UNREADABLE:
                    unreadable.append(raw)
            search.count_nameless(unreadable, at_owner=side is gatherer.comparer.owner)
        ordered = sorted(zip(found.values(), found, strict=True))
        pairs = [pair for pair in ordered if pair[0] < end]
        return Ahead(pairs=pairs, start=start, end=end, population=round(len(pairs) * RANKS / (end - start)))

    def _begin_torn(
        self, search: Search, state: FlowState, size: int, torn: _TornError, now: datetime, memory: SampleMemory
    ) -> Slice:
        """Restart a sweep with a lost cursor; one that is lost repeatedly fails the audit, so that it is noticed."""
        memory = replace(memory, torn=memory.torn + 1)
        if memory.torn <= TORN_LIMIT:
            try:
                anew = fresh(state, BY_KEY, now)
                sweep, taken = self._next_pages(search, anew.sweep, size, memory.listings, begun=False)
                return Slice(taken=taken, start=0, state=replace(anew, sweep=sweep), memory=memory)
            except _TornError as again:
                torn = again
        if torn.error is not None:
            search.fail_with(torn.system, torn.error)
        return Slice(taken={}, start=0, state=state, memory=replace(memory, begin_anew=True))

    def _next_pages(
        self, search: Search, sweep: Sweep, size: int, listings: Mapping[str, Listing], *, begun: bool
    ) -> tuple[Sweep, dict[Key, int]]:
        """The next page of the owner's records and of the target's keys.

        A side that does not list its records is replaced by the keys on which both agreed before: a record that went
        missing there is then found, one that never agreed is not.
        """
        moved = sweep
        taken: list[Key] = []
        if not begun:
            for listing in listings.values():
                listing.begin()
        owner_lists, target_lists = self._flow.source_spec.lists, self._flow.target_spec.lists
        on_owner_side = not begun or sweep.owner_after is not None
        if on_owner_side and not owner_lists:
            cursor, known = self._known_keys(
                search, listings, sweep.owner_after, size, at_owner=False, beyond=target_lists
            )
            if search.error:
                return sweep, {}
            taken += known
            moved = replace(moved, owner_after=cursor)
        elif on_owner_side:
            source = search.source
            page, whole = self._gatherer.list_owner(lambda spec: source.page(spec, sweep.owner_after, size))
            if _failed(search, page):
                return sweep, {}
            keys = self._gatherer.take(search, page, whole=whole)
            _list(listings, source.name, keys)
            taken += keys
            moved = replace(moved, owner_after=page.next)
        if (owner_lists or target_lists) and (not begun or sweep.target_after is not None):
            if target_lists:
                cursor, unknown = self._look_for_orphans(search, listings, sweep.target_after, size)
            else:
                cursor, unknown = self._known_keys(
                    search, listings, sweep.target_after, size, at_owner=True, beyond=True
                )
            if search.error:
                return sweep, {}
            taken += unknown
            moved = replace(moved, target_after=cursor)
        return moved, {key: self.rank(key) for key in taken}

    def _look_for_orphans(
        self, search: Search, listings: Mapping[str, Listing], after: str | None, size: int
    ) -> tuple[str | None, list[Key]]:
        """Add the target's keys that the owner lacks or the target has twice; returns the cursor and these.

        If the owner does not list its records, all keys of the target are added: they are the list.
        """
        flow, gatherer = self._flow, self._gatherer
        page = gatherer.target.page(flow.target_spec.keys_only(), after, size)
        if _failed(search, page):
            return None, []
        grouped = gatherer.comparer.group(gatherer.comparer.target, page.rows)
        search.count_nameless(grouped.nameless, at_owner=False)
        _list(listings, gatherer.target.name, grouped.keys)
        if flow.source_spec.lists:
            unread = [key for key in grouped.rows if key not in search.owner_rows]
            unknown = [*self._lacking(search, listings, unread, at_owner=True), *grouped.unreadable]
        else:
            unknown = grouped.keys
        if search.error:
            return None, []
        search.want(unknown)
        search.want(key for key, rows in grouped.rows.items() if len(rows) > 1)
        return page.next, unknown

    def _known_keys(
        self,
        search: Search,
        listings: Mapping[str, Listing],
        after: str | None,
        size: int,
        *,
        at_owner: bool,
        beyond: bool,
    ) -> tuple[str | None, list[Key]]:
        """Add the next keys on which both sides agreed before; returns the cursor and these.

        Args:
            beyond: only those that a side lacks, because that side lists the others itself.
        """
        texts = self._ledger.records.known_keys(self._flow.name, _place(after), size)
        cursor = json.dumps({"known": texts[-1]}) if len(texts) >= size else None
        keys = self._flow.parse_keys(texts)
        if beyond:
            keys = self._lacking(
                search, listings, [key for key in keys if key not in search.owner_rows], at_owner=at_owner
            )
        search.want(keys)
        return cursor, keys

    def _lacking(
        self, search: Search, listings: Mapping[str, Listing], keys: list[Key], *, at_owner: bool
    ) -> list[Key]:
        """Those of the keys that a side does not have, marks as deleted, or cannot be read for."""
        flow, gatherer = self._flow, self._gatherer
        reader, spec, side = (
            (search.source, flow.source_spec, gatherer.comparer.owner)
            if at_owner
            else (gatherer.target, flow.target_spec, gatherer.comparer.target)
        )
        there = reader.fetch(spec.keys_only(), keys)
        if search.fail(there):
            return []
        known = gatherer.comparer.group(side, there.rows)
        if reader.name in listings:
            listings[reader.name].met(known.rows)
        return [key for key in keys if key not in known.rows]


def fresh(state: FlowState, walk: str, now: datetime) -> FlowState:
    """The state with a sweep at its beginning."""
    sweep = Sweep(walk=walk, begun_at=now, rank_after=0, read=0, divergent=0, undecided=0, unlisted=0)
    return replace(state, sweep=sweep)


def ended(state: FlowState, now: datetime) -> FlowState:
    """The state after a slice; a completed sweep ends, so that a new one starts."""
    sweep = state.sweep
    left = sweep.rank_after if sweep.walk == BY_RANK else (sweep.owner_after or sweep.target_after)
    if left is not None:
        return state
    swept = Swept(
        count=state.swept.count + 1,
        from_at=sweep.begun_at,
        at=now,
        read=sweep.read,
        divergent=sweep.divergent,
        undecided=sweep.undecided,
        unlisted=sweep.unlisted,
    )
    return replace(state, sweep=replace(sweep, begun_at=None), swept=swept, known_from_at=sweep.begun_at)


def _place(after: str | None) -> str:
    """The key after which known keys continue; from the first one if the cursor is of another kind."""
    try:
        return str(json.loads(after)["known"]) if after is not None else ""
    except (ValueError, TypeError, KeyError):
        return ""


def _failed(search: Search, page: Reading) -> bool:
    """Note a failed page; raises _TornError if only its cursor is lost."""
    if page.error is not None and page.error.reason is Reason.CURSOR_LOST:
        raise _TornError(page)
    return search.fail(page)


def _list(listings: Mapping[str, Listing], system: str, keys: Iterable[Key]) -> None:
    if system in listings:
        listings[system].listed(keys)
