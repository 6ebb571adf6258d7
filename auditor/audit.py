"""One audit of one flow: plan, read, compare, judge, record. The only place where these steps meet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from auditor import incidents
from auditor.integration_map import Flow
from auditor.ledger import FlowState, Ledger
from auditor.plan import RECHECKS_LIMIT, Plan, plan
from auditor.reading import SPOILING, SystemReader
from checks.clocks import ClockBounds
from checks.convergence import Change, commit_bounds
from checks.judgement import NO_HISTORY, History, Judgement, Look, Outcome, Terms, judge
from checks.records import UNREADABLE, Comparison, RecordComparer
from checks.values import EPOCH, MICROSECOND, UnreadableError
from probes.contract import Key, ProbeError, Reading, ReadSpec, Row

CHANGES_CEILING = 50_000
"""Changes within one overlap that are still read at once."""


@dataclass(slots=True, kw_only=True)
class AuditResult:
    """What one audit saw and concluded.

    Attributes:
        counts: records read by outcome.
        error: the first failure, with the system it happened on.
        swept: a pass over both systems was completed by this audit.
    """

    flow: str
    started_at: datetime
    finished_at: datetime
    counts: dict[Outcome, int] = field(default_factory=dict)
    changes: int = 0
    shed: int = 0
    error: tuple[str, ProbeError] | None = None
    open_by_cause: Mapping[str, int] = field(default_factory=dict)
    swept: bool = False

    @property
    def read(self) -> int:
        """Records that got an outcome."""
        return sum(self.counts.values())


@dataclass(slots=True, kw_only=True)
class _Gathered:
    """Everything read in one audit, by canonical key.

    Attributes:
        fresh: keys that the owner says have changed lately.
        skipped: changes had to be stepped over.
        owner_sent_at, owner_received_at: around all reads of the owner before the target's.
    """

    wanted: dict[Key, None] = field(default_factory=dict)
    fresh: set[Key] = field(default_factory=set)
    owner_rows: dict[Key, list[Row]] = field(default_factory=dict)
    target_rows: dict[Key, list[Row]] = field(default_factory=dict)
    unreadable: dict[Key, str] = field(default_factory=dict)
    nameless: int = 0
    skipped: bool = False
    error: tuple[str, ProbeError] | None = None
    owner_sent_at: datetime | None = None
    owner_received_at: datetime | None = None
    look: Look | None = None

    def fail(self, reading: Reading) -> bool:
        """Note a failed reading; answers whether it failed."""
        if reading.error is not None and self.error is None:
            self.error = (reading.system, reading.error)
        return reading.error is not None

    def owner_read(self, reading: Reading) -> None:
        """Note when the owner was read."""
        self.owner_sent_at = min(self.owner_sent_at or reading.sent_at, reading.sent_at)
        self.owner_received_at = reading.received_at


class Auditor:
    """Audits one flow again and again; one at a time.

    Args:
        flow: resolved from the map.
        source, target: readers of the two systems, shared with other flows.
        ledger: where everything is recorded.
        digest_key: secret of the fingerprints.
        senders: names of the alert senders that an incident's messages are queued for.
    """

    def __init__(
        self,
        *,
        flow: Flow,
        source: SystemReader,
        target: SystemReader,
        ledger: Ledger,
        digest_key: bytes,
        senders: Sequence[str] = (),
    ) -> None:
        self.flow = flow
        self.source = source
        self.target = target
        self.ledger = ledger
        self.senders = tuple(senders)
        self._comparer = flow.comparer(digest_key)
        self._busy: set[Key] = set()
        self._begun = False
        self._failed = 0

    def to_key(self, text: str) -> Key:
        """Bring a key back from its text form.

        Raises:
            UnreadableError: the text is no key of this data type.
        """
        key: Key = self._comparer.owner.parse_key(text)
        return key

    def _due(self, now: datetime) -> list[Key]:
        """The keys that are due; one that is no key any more (the map has changed) is left out."""
        found = []
        for text in self.ledger.due(self.flow.name, now, RECHECKS_LIMIT):
            try:
                found.append(self.to_key(text))
            except UNREADABLE:
                continue
        return found

    def _cursor_of(self, text: str) -> Key:
        """A cursor as the system itself wrote it: its order is the system's, not that of canonical keys."""
        return int(text) if self.flow.data_type.key_type == "integer" and text.lstrip("-").isdigit() else text

    def begin_sweep(self) -> None:
        """Start the next sample at the first key of both systems."""
        state = self.ledger.flow_state(self.flow.name, self._cursor_of)
        fresh = replace(state, owner_after=None, target_after=None, sweep_begun_at=None)
        with self.ledger.write() as connection:
            self.ledger.save_flow_state(connection, self.flow.name, fresh)

    def _begin(self, now: datetime) -> None:
        """Begin a new series where the rules or the digest key have changed since the last audit."""
        if not self._begun:
            self.ledger.begin_series(self.flow.name, self._comparer.series, now)
            self._begun = True

    def audit(self, now: datetime, *, sample: int | None = None) -> AuditResult:
        """Run one audit and record it.

        Args:
            now: the instant it is done for (UTC).
            sample: keys per side, instead of the flow's own number.
        """
        self._begin(now)
        settings = self.flow.settings
        state = self.ledger.flow_state(self.flow.name, self._cursor_of)
        due = self._due(now)
        clock = self.source.read_clock(now)
        if clock is not None and clock.stepped:
            clock = None  # it was set a moment ago: what its stamps mean is not known now
        self.target.read_clock(now)
        owner_now = now + timedelta(seconds=clock.lower_s) if clock else now
        planned = plan(
            watermark_at=state.watermark_at,
            owner_now=owner_now,
            overlap_s=settings.overlap_s,
            sample=settings.sample if sample is None else sample,
            due=len(due),
            every_s=self.flow.every_s,
            records_per_s=min(self.flow.source.budget.records_per_s, self.flow.target.budget.records_per_s),
        )
        gathered = _Gathered()
        latest = now + timedelta(seconds=(clock.upper_s if clock else 0) + self.flow.source.clock_slack_s)
        moved = self._discover(gathered, state, planned, owner_now, latest)
        moved = self._sample(gathered, moved, planned, now)
        for key in (*due, *self._busy):
            gathered.wanted[key] = None
        self._read(gathered)
        return self._conclude(gathered, replace(moved, audited_at=now), planned, clock, now)

    # -- read

    def _discover(
        self, gathered: _Gathered, state: FlowState, planned: Plan, owner_now: datetime, cap: datetime
    ) -> FlowState:
        """Ask the owner what changed since the watermark, and move the watermark on, never beyond `cap`."""
        if self.flow.source_spec.changed_at is None:
            return state
        limit = planned.changes
        while True:
            reading, whole = self._list(
                lambda spec, limit=limit: self.source.changed(spec, planned.changes_since, limit)  # type: ignore[misc]
            )
            latest = max((at for at in map(self._stamp, reading.rows) if at is not None), default=None)
            known = state.watermark_at or planned.changes_since
            stuck = reading.truncated and (latest is None or latest <= known)
            if not stuck or limit >= CHANGES_CEILING:
                break
            limit *= 4
        if gathered.fail(reading):
            return state
        found = self._take(gathered, reading, whole=whole)
        if state.watermark_at is not None:
            gathered.fresh.update(found)
        if stuck:
            # More changes of one stamp than are ever read at once: step over them, the sample finds the rest.
            latest = known + timedelta(seconds=self.flow.settings.overlap_s) + MICROSECOND
            gathered.skipped = True
        first = owner_now if state.watermark_at is None and not reading.truncated else None
        watermark_at = max((at for at in (state.watermark_at, latest, first) if at is not None), default=None)
        # Only a complete answer proves that nothing else had changed when it was asked for.
        polled_at = state.polled_at if reading.truncated else reading.sent_at
        # A record stamped in the future must not hide what really changes until then.
        watermark_at = min(watermark_at, cap) if watermark_at is not None else None
        return replace(state, watermark_at=watermark_at, polled_at=polled_at)

    def _stamp(self, row: Row) -> datetime | None:
        try:
            parsed = self._comparer.owner.parse_changed_at(row[1]) if row[1] is not None else None
            return EPOCH + timedelta(microseconds=parsed) if isinstance(parsed, int) else None
        except UNREADABLE:
            return None

    def _list(self, read: Callable[[ReadSpec], Reading]) -> tuple[Reading, bool]:
        """List records of the owner, or where one of them spoils the answer, their keys alone.

        Returns:
            The reading, and whether its rows are whole. The others are then fetched by key, which leaves
            out only the record that cannot be read.
        """
        spec = self.flow.source_spec
        reading = read(spec)
        spoiled = reading.error is not None and reading.error.reason in SPOILING
        if not spoiled or not spec.fields:
            return reading, True
        return read(replace(spec, fields=())), False

    def _take(self, gathered: _Gathered, reading: Reading, *, whole: bool) -> list[Key]:
        """Want the records that the owner listed, and keep their rows where they are whole.

        Returns:
            Their keys in the order read.
        """
        grouped, nameless = self._comparer.group(self._comparer.owner, reading.rows)
        gathered.nameless += nameless
        gathered.wanted.update(dict.fromkeys(grouped))
        if whole:
            gathered.owner_rows.update(grouped)
            gathered.owner_read(reading)
        return list(grouped)

    def _sample(self, gathered: _Gathered, state: FlowState, planned: Plan, now: datetime) -> FlowState:
        """Take the next page of records from the owner's side and of keys from the target's."""
        if not planned.sample or gathered.error:
            return state
        begun = state.sweep_begun_at is not None
        moved = replace(state, sweep_begun_at=state.sweep_begun_at or now)
        if not begun or state.owner_after is not None:
            page, whole = self._list(lambda spec: self.source.page(spec, state.owner_after, planned.sample))
            if gathered.fail(page):
                return state
            moved = replace(moved, owner_after=_cursor(page, self._take(gathered, page, whole=whole)))
        if not begun or state.target_after is not None:
            cursor = self._look_for_orphans(gathered, state.target_after, planned.sample)
            if gathered.error:
                return state
            moved = replace(moved, target_after=cursor)
        if moved.owner_after is None and moved.target_after is None:
            moved = replace(moved, sweep_begun_at=None, sweeps=moved.sweeps + 1, swept_at=now)
        return moved

    def _look_for_orphans(self, gathered: _Gathered, after: Key | None, sample: int) -> Key | None:
        """Want the target's keys that the owner lacks, or the target has twice; answers the cursor."""
        page = self.target.page(self.flow.target_spec.keys_only(), after, sample)
        if gathered.fail(page):
            return None
        grouped, nameless = self._comparer.group(self._comparer.target, page.rows)
        gathered.nameless += nameless
        unknown = [key for key in grouped if key not in gathered.owner_rows]
        there = self.source.fetch(self.flow.source_spec.keys_only(), unknown)
        if gathered.fail(there):
            return None
        known, _ = self._comparer.group(self._comparer.owner, there.rows)
        for key, rows in grouped.items():
            if len(rows) > 1 or (key not in known and key not in gathered.owner_rows):
                gathered.wanted[key] = None
        return _cursor(page, list(grouped))

    def _read(self, gathered: _Gathered) -> None:
        """Read the owner where it was not read yet, and then the target."""
        if gathered.error or not gathered.wanted:
            return
        unread = [key for key in gathered.wanted if key not in gathered.owner_rows]
        if unread:
            owner = self.source.fetch(self.flow.source_spec, unread)
            gathered.unreadable.update(owner.unreadable)
            if gathered.fail(owner):
                return
            rows, _ = self._comparer.group(self._comparer.owner, owner.rows)
            gathered.owner_rows.update(rows)
            gathered.owner_read(owner)
        target = self.target.fetch(self.flow.target_spec, list(gathered.wanted))
        gathered.look = Look(sent_at=target.sent_at, received_at=target.received_at)
        gathered.unreadable.update(target.unreadable)
        if gathered.fail(target):
            return
        gathered.target_rows, _ = self._comparer.group(self._comparer.target, target.rows)

    # -- compare and judge

    def _conclude(
        self,
        gathered: _Gathered,
        state: FlowState,
        planned: Plan,
        clock: ClockBounds | None,
        now: datetime,
    ) -> AuditResult:
        result = AuditResult(
            flow=self.flow.name, started_at=now, finished_at=now, shed=planned.shed + gathered.skipped
        )
        result.counts = dict.fromkeys(Outcome, 0)
        result.counts[Outcome.CANNOT_VERIFY] = gathered.nameless
        judgements: list[Judgement] = []
        if gathered.error is not None:
            result.counts[Outcome.CANNOT_VERIFY] += len(gathered.wanted)
        elif gathered.look is not None:
            judgements = self._judge(gathered, gathered.look, clock, result.counts)
        result.error = gathered.error
        self._failed = self._failed + 1 if gathered.error else 0
        result.changes = sum(1 for each in judgements for change in each.changes if not change.change_id)
        result.swept = state.swept_at == now
        self._record(result, judgements, state, gathered)
        return result

    def _judge(
        self, gathered: _Gathered, look: Look, clock: ClockBounds | None, counts: dict[Outcome, int]
    ) -> list[Judgement]:
        agreed: dict[Key, bytes] = {}
        comparisons: list[Comparison] = []
        nothing: list[Row] = []
        for key in gathered.wanted:
            if key in gathered.unreadable:
                spoiled = gathered.unreadable[key]
                comparisons.append(Comparison(key=key, owner=None, target=None, unverifiable=spoiled))
                continue
            owner_rows, target_rows = gathered.owner_rows.get(key, nothing), gathered.target_rows.get(key, nothing)
            shared = self._comparer.agreement(owner_rows, target_rows)
            if shared is None:
                comparisons.append(self._comparer.compare(key, owner_rows, target_rows))
            else:
                agreed[key] = shared
        keys = [*agreed, *(each.key for each in comparisons)]
        histories, settled = self.ledger.histories(self.flow.name, keys, agreed=agreed)
        counts[Outcome.AGREED] += len(settled)
        comparisons += [
            self._comparer.compare(key, gathered.owner_rows[key], gathered.target_rows[key])
            for key in agreed
            if key not in settled
        ]
        suspects = [each.key for each in comparisons if not each.agrees and not each.unverifiable]
        moving = self._moving(gathered, suspects)
        self._busy = moving
        terms = self._terms(look, clock)
        judgements = []
        for comparison in comparisons:
            if comparison.key in moving:
                counts[Outcome.INCONCLUSIVE] += 1
                continue
            history = histories.get(comparison.key, NO_HISTORY)
            change = self._change(comparison, history, gathered, look, clock)
            if change is not None:
                history = replace(history, changes=(*history.changes, change))
            quiet = comparison.agrees or self._quiet(comparison, look, clock)
            judgement = judge(comparison, history, look, terms, owner_quiet=quiet)
            counts[judgement.outcome] += 1
            if judgement.tells:
                judgements.append(judgement)
        return judgements

    def _quiet(self, comparison: Comparison, look: Look, clock: ClockBounds | None) -> bool:
        """Whether the owner's copy is known not to have changed for a whole window.

        Otherwise it may have moved and come back between two readings, and the target rightly shows what it
        held in between.
        """
        owner = comparison.owner
        stamp_us = self._comparer.changed_at_us(self._comparer.owner, owner) if owner else None
        if stamp_us is None or clock is None:
            return False
        try:
            latest = clock.local(stamp_us)[1] + timedelta(seconds=self.flow.source.clock_slack_s)
        except OverflowError:
            return False
        return (look.sent_at - latest).total_seconds() > self.flow.window_s

    def _terms(self, look: Look, clock: ClockBounds | None) -> Terms:
        trip_s = (look.received_at - look.sent_at).total_seconds()
        return Terms(
            window_s=self.flow.window_s,
            every_s=self.flow.every_s,
            guard_s=max(0.0, trip_s) + (clock.half_width_s if clock is not None else 0.0),
            confirm_s=self.flow.confirm_s,
            target_may_write=self.flow.target_may_write,
        )

    def _moving(self, gathered: _Gathered, suspects: Sequence[Key]) -> set[Key]:
        """Read the owner again for what differs: the keys whose copy moved while the target was read."""
        if not suspects:
            return set()
        again = self.source.fetch(self.flow.source_spec, suspects)
        if gathered.fail(again):
            return set(suspects)
        rows, _ = self._comparer.group(self._comparer.owner, again.rows)
        return {
            key for key in suspects if not _same(self._comparer, gathered.owner_rows.get(key, []), rows.get(key, []))
        }

    def _change(
        self,
        comparison: Comparison,
        history: History,
        gathered: _Gathered,
        look: Look,
        clock: ClockBounds | None,
    ) -> Change | None:
        """The owner's present version as a change to follow, unless it is known or no change at all."""
        owner, baseline = comparison.owner, history.baseline
        if comparison.unverifiable or comparison.duplicates:
            return None
        version = owner.fingerprint if owner else b""
        followed = history.divergence is not None and history.divergence.version == version
        if followed and not history.changes:
            return None  # it was followed to the end and given up
        if history.changes:
            if history.changes[-1].fingerprint == version:
                return None
        elif baseline is not None:
            if baseline.owner == version or (owner is None and comparison.target is None):
                return None
        elif owner is None or (comparison.target is not None and comparison.key not in gathered.fresh):
            return None  # at first sight only what just changed, or has not arrived at all, is on its way
        elif comparison.target is not None and not comparison.agrees:
            return None  # never agreed: the owner's copy need not be the newer one
        known_before = [history.changes[-1].committed_from_at] if history.changes else []
        if baseline is not None and baseline.agreed_at is not None:
            known_before.append(baseline.agreed_at)
        seen_at = gathered.owner_received_at or look.sent_at
        committed_from_at, committed_to_at = commit_bounds(
            stamp_us=self._comparer.changed_at_us(self._comparer.owner, owner) if owner else None,
            clock=clock,
            slack_s=self.flow.source.clock_slack_s,
            seen_at=seen_at,
            not_seen_at=max(known_before, default=None),
        )
        return Change(
            key=comparison.key,
            fingerprint=version,
            committed_from_at=committed_from_at,
            committed_to_at=committed_to_at,
            window_s=self.flow.window_s,
            enrolled_at=seen_at,
        )

    # -- record

    def _record(
        self,
        result: AuditResult,
        judgements: Sequence[Judgement],
        state: FlowState,
        gathered: _Gathered,
    ) -> None:
        """Write everything in one transaction: observations, state, incidents and their messages."""
        flow = self.flow.name
        result.finished_at = datetime.now(UTC)
        moved = [pair for each in judgements for pair in zip(each.changes, each.probe_at, strict=True)]
        with self.ledger.write() as connection:
            rev = self.ledger.next_revision(connection)
            self.ledger.save_changes(connection, rev, flow, moved)
            self.ledger.save_divergences(
                connection,
                rev,
                flow,
                self.flow.settings.data_type,
                [each.divergence for each in judgements if each.divergence],
            )
            self.ledger.save_baselines(
                connection,
                flow,
                {each.key: each.baseline for each in judgements if each.baseline},
                [each.key for each in judgements if each.forget_baseline],
                gathered.owner_sent_at or result.started_at,
            )
            if result.error is None:
                self.ledger.save_flow_state(connection, flow, state)
            self.ledger.save_run(connection, rev, self._run_row(result, state, gathered))
            for reader in (self.source, self.target):
                self.ledger.save_health(connection, reader.name, reader.health, reader.clock)
            result.open_by_cause = self.ledger.open_divergences(connection, flow)
            incidents.after_audit(
                self.ledger,
                connection,
                rev,
                flow=self.flow,
                open_by_cause=result.open_by_cause,
                failed=(*result.error, self._failed) if result.error else None,
                senders=self.senders,
                now=result.finished_at,
            )

    def _run_row(self, result: AuditResult, state: FlowState, gathered: _Gathered) -> dict[str, object]:
        system, error = result.error if result.error else (None, None)
        return {
            "flow": self.flow.name,
            "started_at": result.started_at,
            "finished_at": result.finished_at,
            "read": result.read,
            **{outcome.value: result.counts[outcome] for outcome in Outcome},
            "shed": result.shed,
            "changes": result.changes,
            "source_ms": _apart_ms(gathered.owner_sent_at, gathered.owner_received_at),
            "target_ms": _apart_ms(gathered.look.sent_at, gathered.look.received_at) if gathered.look else None,
            "verified_through_at": state.polled_at if error is None else None,
            "system": system,
            "reason": error.reason.value if error else None,
            "message": (error.message + (f" ({error.hint})" if error.hint else "")) if error else None,
        }


def _cursor(page: Reading, keys: Sequence[Key]) -> Key | None:
    """The key behind which the next page begins, None behind the last page."""
    if not page.truncated or not page.rows:
        return None
    raw = page.rows[-1][0]
    if isinstance(raw, str | int):
        return raw
    return keys[-1] if keys else None


def _apart_ms(earlier: datetime | None, later: datetime | None) -> float | None:
    return (later - earlier).total_seconds() * 1e3 if earlier and later else None


def _same(comparer: RecordComparer, first: Sequence[Row], second: Sequence[Row]) -> bool:
    """Whether the owner answered the same twice."""
    if len(first) != len(second):
        return False
    try:
        before, after = (
            sorted(ascii(comparer.canonical(comparer.owner, row)) for row in rows) for rows in (first, second)
        )
    except UnreadableError:
        return False
    return before == after
