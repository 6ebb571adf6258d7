"""One audit of one flow: plan, read, compare, judge, record. The only place where these steps meet."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from auditor.alerts import incidents
from auditor.alerts.objectives import within_window
from auditor.audit.budget import RECHECKS_LIMIT, plan
from auditor.audit.duplicates import Twins
from auditor.audit.reading import Gathered, Gatherer
from auditor.audit.sample import Sampler
from auditor.audit.second_reading import Later, SecondLook
from auditor.conflicts import decisions
from auditor.conflicts.policy import Clocks, Resolver
from auditor.ledger import ROWS, FlowState, LeaseLostError, Ledger, LedgerError, Transaction
from auditor.map.flow import Flow
from auditor.systems.reader import SystemReader
from checks.clocks import ClockBounds
from checks.convergence import Verdict, commit_delay_s
from checks.enrolment import Sighting, followed
from checks.judgement import NO_HISTORY, TIMER_S, History, Judgement, Look, Outcome, Terms, glimpse, judge
from checks.keys import KEY_LIMIT_BYTES
from checks.objectives import WindowObjective
from checks.records import UNREADABLE, Comparison
from checks.sampling import Cohort
from checks.values import EPOCH, parse_version
from probes.contract import Key, ProbeError, Row
from probes.ranking import seed_of
from probes.wording import counted

OBJECTIVE_EVERY_S, OBJECTIVE_SOONEST_S = 30.0, 5.0
"""Seconds between two counts of a flow's changes of the last day."""

NAMELESS = (
    "rows without a key, or with one that is none of this data type or that cannot be kept "
    f"(half of a surrogate pair, more than {KEY_LIMIT_BYTES:,} bytes)"
)
NOT_RECORDED = "not_recorded"
"""Reason of the row that stands for audits which the ledger could not record."""

BLIND_TURNS = 3
BLIND_S = 5.0
"""Where nobody could look for so many turns, and at least so long, versions may have come and gone unseen."""


@dataclass(slots=True, kw_only=True)
class _Verdicts:
    """What the records read came to.

    Attributes:
        outcomes: of every record that did not simply agree.
        unverified: of those that cannot be verified, why.
        commit_delay_s: the longest time after its stamp that a change was now seen to be committed.
        rereads: see `auditor.audit.second_reading.Doubts`.
    """

    judgements: list[Judgement] = field(default_factory=list)
    outcomes: dict[Key, Outcome] = field(default_factory=dict)
    unverified: dict[Key, str] = field(default_factory=dict)
    commit_delay_s: float = 0.0
    rereads: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class AuditResult:
    """What one audit saw and concluded.

    Attributes:
        counts: records read by outcome.
        error: the first failure, with the system it happened on.
        swept: a pass over both systems was completed by this audit.
        deadlines: changes whose window had run out and whose probe this audit made.
        in_turn: a regular audit, and not a probe between two turns.
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
    deadlines: int = 0
    in_turn: bool = True

    @property
    def read(self) -> int:
        """Records that got an outcome."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lost:
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

    def with_one(self, started_at: datetime, finished_at: datetime, read: int, why: str) -> _Lost:
        """The same with one more."""
        return _Lost(
            audits=self.audits + 1,
            read=self.read + read,
            started_at=self.started_at if self.audits else started_at,
            finished_at=finished_at,
            why=why,
        )


NONE_LOST = _Lost()


class Auditor:
    """Audits one flow again and again; one at a time.

    Args:
        flow: resolved from the map.
        source, target: readers of the two systems, shared with other flows.
        ledger: where everything is recorded.
        digest_key: secret of the fingerprints.
        senders: names of the alert senders that an incident's messages are queued for.
        others: readers of further systems, for those that hold the data type, too.
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
        others: Mapping[str, SystemReader] | None = None,
    ) -> None:
        self.flow = flow
        self.source = source
        self.target = target
        self.ledger = ledger
        self.senders = tuple(senders)
        self._comparer = flow.comparer(digest_key)
        self._gatherer = Gatherer(flow, source, target, self._comparer)
        self._second_look = SecondLook(flow, source, target, self._comparer, others or {})
        self._twins = Twins(flow, source, target, self._comparer, ledger)
        self._resolver = Resolver(flow, self._comparer)
        self._sampler = Sampler(self._gatherer, ledger, seed_of(digest_key))
        self._busy: set[Key] = set()
        self._no_keys: set[str] = set()
        self._first_at = datetime.now(UTC)
        self._counted_at: datetime | None = None
        self._nameless = 0
        self._whole_sweep = False
        self._unjudged: dict[Key, datetime] = {}
        self._unfollowed = False
        self._unordered: bool | None = None
        self._looked_at: datetime | None = None
        self._known_from_at: datetime | None = None
        self._audited = False
        self._begun = False
        self._failed = 0
        self._lost = NONE_LOST
        self._read_now = 0
        self._one_at_a_time = threading.Lock()

    def to_key(self, text: str) -> Key:
        """Bring a key back from its text form.

        Raises:
            UnreadableError: the text is no key of this data type.
        """
        key: Key = self._comparer.owner.parse_key(text)
        return key

    def _doubted(self, now: datetime) -> list[Key]:
        """Records that could not be verified and are due to be read again."""
        texts = self.ledger.unverified_due(self.flow.name, now, RECHECKS_LIMIT)
        keys = self._to_keys(texts)
        self._no_keys = {*texts} - {str(key) for key in keys}
        return keys

    def _to_keys(self, texts: Sequence[str]) -> list[Key]:
        """Keys from their text; one that is no key any more (the map has changed) is left out."""
        found = []
        for text in texts:
            try:
                found.append(self.to_key(text))
            except UNREADABLE:
                continue
        return found

    def begin_sweep(self) -> None:
        """Start the next sample at the first key of both systems."""
        state = self.ledger.flow_state(self.flow.name)
        fresh = replace(state, owner_after=None, target_after=None, rank_after=None, sweep_begun_at=None)
        with self.ledger.write() as connection:
            self.ledger.save_flow_state(connection, self.flow.name, fresh)
            self.ledger.recheck_unverified(connection, self.flow.name, datetime.now(UTC))

    def _begin(self, now: datetime) -> None:
        """Begin a new series where the rules or the digest key have changed since the last audit."""
        if not self._begun:
            self.ledger.begin_series(self.flow.name, self._comparer.series, now)
            self.ledger.forget_queues(self.flow.name, self.flow.settings.queues.keys(), now)
            self._begun = True

    def next_deadline(self) -> datetime | None:
        """When a probe about the end of an undecided change's window is due next."""
        return self.ledger.next_deadline(self.flow.name)

    def recheck(self, now: datetime) -> AuditResult:
        """Audit only what is due: windows that have run out cannot wait for the next turn."""
        return self.audit(now, sample=0, discover=False)

    def audit(self, now: datetime, *, sample: int | None = None, discover: bool = True) -> AuditResult:
        """Run one audit and record it.

        Args:
            now: the instant it is done for (UTC).
            sample: keys per side, instead of the flow's own number.
            discover: ask the owner what has changed.
        """
        with self._one_at_a_time:
            self._read_now = 0
            try:
                return self._audit(now, self.flow.settings.sample if sample is None else sample, discover=discover)
            except LeaseLostError:
                raise
            except LedgerError as error:
                self._lost = self._lost.with_one(now, datetime.now(UTC), self._read_now, str(error))
                raise

    def _audit(self, now: datetime, sample: int, *, discover: bool) -> AuditResult:
        self._begin(now)
        self._first_at = min(self._first_at, now)
        flow = self.flow
        state = self.ledger.flow_state(flow.name)
        # What the owner lists is all that changed since; without that only what was read tells.
        self._looked_at = state.polled_at if flow.source_spec.mark is not None else state.audited_at
        self._known_from_at = state.known_from_at
        deadlines, rechecks = map(self._to_keys, self.ledger.due(flow.name, now, RECHECKS_LIMIT))
        rechecks = list(dict.fromkeys((*rechecks, *self._doubted(now))))[:RECHECKS_LIMIT]
        clock = self.source.read_clock(now)
        target_clock = self.target.read_clock(now)
        owner_now = now + timedelta(seconds=clock.lower_s if clock else 0)
        planned = plan(
            watermark_at=state.watermark_at,
            owner_now=owner_now,
            overlap_s=flow.settings.overlap_s,
            deadlines=len(deadlines),
            rechecks=len(rechecks),
            panel=flow.settings.sampling.panel if sample else 0,
            sample=sample,
            every_s=flow.every_s,
            records_per_s=min(flow.source.budget.records_per_s, flow.target.budget.records_per_s),
        )
        gathered = Gathered()
        moved = state
        self._whole_sweep = self._whole_sweep or (sample > 0 and state.sweep_begun_at is None)
        if sample and state.sweep_begun_at is None:
            self._nameless = 0
        if discover:
            latest = now + timedelta(seconds=(clock.upper_s if clock else 0) + flow.source.clock_slack_s)
            moved = self._gatherer.discover(gathered, moved, planned, owner_now, latest)
        moved = self._sampler.choose(gathered, moved, planned, now)
        gathered.wanted.update(dict.fromkeys((*deadlines, *rechecks[: planned.rechecks], *self._busy)))
        self._gatherer.read(gathered)
        self._sampler.note_values(gathered)
        trusted, target_trusted = (each.trusted(now) if each is not None else None for each in (clock, target_clock))
        result = AuditResult(
            flow=flow.name, started_at=now, finished_at=now, deadlines=len(deadlines), in_turn=discover
        )
        result.shed = planned.shed + gathered.skipped
        result.swept = moved.swept_at == now
        self._nameless = max(self._nameless, gathered.nameless)
        return self._conclude(
            result, gathered, replace(moved, audited_at=now), (trusted, target_trusted), self._settled_at(state)
        )

    # -- compare and judge

    def _conclude(
        self,
        result: AuditResult,
        gathered: Gathered,
        state: FlowState,
        clocks: Clocks,
        settled_at: datetime | None,
    ) -> AuditResult:
        result.counts = dict.fromkeys(Outcome, 0)
        result.counts[Outcome.CANNOT_VERIFY] = gathered.nameless
        verdicts = _Verdicts()
        cohorts: dict[str, Cohort] = {}
        if gathered.error is None and gathered.look is not None:
            verdicts = self._judge(gathered, gathered.look, clocks, state, result.counts)
        elif gathered.error is not None:
            result.counts[Outcome.CANNOT_VERIFY] += len(gathered.wanted)
        if gathered.error is None:
            cohorts, state = self._sampler.account(gathered, state, verdicts.outcomes)
            result.swept = result.swept and not self._sampler.walks_again
            self._audited = self._audited or state.polled_at is not None
        result.error = gathered.error
        if result.in_turn:
            self._failed = self._failed + 1 if gathered.error else 0
        result.changes = sum(1 for each in verdicts.judgements for change in each.changes if not change.change_id)
        state = replace(state, commit_delay_s=max(state.commit_delay_s or 0.0, verdicts.commit_delay_s))
        self._read_now = result.read
        self._record(result, verdicts, cohorts, state, gathered, settled_at)
        self._lost = NONE_LOST
        return result

    def _judge(
        self,
        gathered: Gathered,
        look: Look,
        clocks: Clocks,
        state: FlowState,
        counts: dict[Outcome, int],
    ) -> _Verdicts:
        clock, _ = clocks
        comparisons, histories = self._compare(gathered, counts)
        comparisons = self._twins.find(gathered, comparisons)
        doubts = self._second_look.take(gathered, comparisons, histories)
        self._busy = doubts.moving
        self._unfollowed = bool(doubts.moving - doubts.later.keys())
        terms = self._terms(look, clock)
        verdicts = _Verdicts(rereads=doubts.rereads)
        believed: bool | None = None
        for compared in comparisons:
            key = compared.key
            later = doubts.later.get(key)
            if key in doubts.moving and later is None:
                self._note(verdicts, counts, key, Outcome.INCONCLUSIVE, look.sent_at)
                continue
            comparison = compared.without(doubts.noisy[key]) if key in doubts.noisy else compared
            known = histories.get(key, NO_HISTORY)
            seen = gathered.look_at(key, look)
            sighting = self._sighting(comparison, known, gathered, seen, clock, state)
            again = self._later(comparison, sighting, later)
            history = followed(comparison, known, sighting, window_s=self.flow.window_s, later=again)
            if history is not known and sighting.clock is not None:
                if believed is None:
                    believed = self._clock_still_stands(look.received_at)
                if not believed:  # it was set while we read: its stamps mean nothing now
                    sighting = replace(sighting, clock=None)
                    again = self._later(comparison, sighting, later)
                    history = followed(comparison, known, sighting, window_s=self.flow.window_s, later=again)
                elif key in gathered.listed and len(history.changes) > len(known.changes):
                    delay_s = commit_delay_s(
                        stamp_us=sighting.stamp_us, clock=sighting.clock, not_seen_at=sighting.not_seen_at
                    )
                    verdicts.commit_delay_s = max(verdicts.commit_delay_s, delay_s)
            if key in doubts.moving:
                judgement = glimpse(comparison, history, seen, terms)
            else:
                quiet = comparison.agrees or self._quiet(comparison, history, sighting, seen, clock, state)
                judgement = judge(comparison, history, seen, terms, owner_quiet=quiet)
            judgement = self._resolved(
                judgement, comparison, clocks, self._slack_s(state), doubts.witnesses.get(key, "")
            )
            held = later is not None and not comparison.owner_unread
            self._note(
                verdicts, counts, key, judgement.outcome, seen.sent_at, followed=held, unread=comparison.owner_unread
            )
            if judgement.outcome is Outcome.CANNOT_VERIFY:
                verdicts.unverified[key] = comparison.unverifiable
            if judgement.tells:
                verdicts.judgements.append(self._dated(judgement, comparison, sighting, gathered))
        return verdicts

    def _later(
        self, comparison: Comparison, sighting: Sighting, later: Later | None
    ) -> tuple[Comparison, Sighting] | None:
        """What the second look saw, where the owner held another version by then."""
        first = comparison.owner.fingerprint if comparison.owner else b""
        if later is None or first == (later.copy.fingerprint if later.copy else b""):
            return None
        moved = replace(comparison, owner=later.copy)
        return moved, replace(
            sighting,
            stamp_us=self._stamp_us(moved),
            version=self._version(moved),
            seen_at=later.received_at,
            earlier=(first, sighting.asked_at),
        )

    def _dated(
        self, judgement: Judgement, comparison: Comparison, sighting: Sighting, gathered: Gathered
    ) -> Judgement:
        """Add to what is recorded the instants that the owner itself and the reading give."""
        known = judgement.divergence
        if known is not None and comparison.owner is not None:
            written = known.owner_written
            if written is None and sighting.stamp_us is not None and sighting.clock is not None:
                written = sighting.commit_bounds(None)
            dated = replace(known, stamped_at=sighting.stamped_at, owner_written=written)
            judgement = replace(judgement, divergence=dated)
        if judgement.baseline is not None:
            # Of what agreed the owner's mark tells later whether it was written since.
            baseline = replace(
                judgement.baseline,
                agreed_at=sighting.asked_at or gathered.owner_sent_at,
                mark=sighting.mark if comparison.agrees else None,
            )
            judgement = replace(judgement, baseline=baseline)
        return judgement

    def _resolved(
        self, judgement: Judgement, comparison: Comparison, clocks: Clocks, slack_s: float, witnesses: str
    ) -> Judgement:
        """Add to a divergence what its flow's conflict policy says; it is evidence, and never carried out."""
        divergence = judgement.divergence
        if divergence is None or judgement.finding is None:
            return judgement
        answer = self._resolver.ask(comparison, judgement.finding, clocks, slack_s)
        told = replace(
            divergence,
            winner=answer.resolution.winner.value,
            resolution=answer.resolution.why,
            owner_written=answer.owner.bounds or divergence.owner_written,
            target_written=answer.target.bounds or divergence.target_written,
            witnesses=witnesses or divergence.witnesses,
        )
        return replace(judgement, divergence=told)

    def _note(
        self,
        verdicts: _Verdicts,
        counts: dict[Outcome, int],
        key: Key,
        outcome: Outcome,
        at: datetime,
        *,
        followed: bool = False,
        unread: bool = False,
    ) -> None:
        """Count a record's outcome.

        Args:
            followed: although nothing was concluded, it is known what the owner held.
            unread: although something was concluded, it is not known what the owner held as a whole.
        """
        counts[outcome] += 1
        if outcome is not Outcome.AGREED:
            verdicts.outcomes[key] = outcome
        if unread or (outcome in {Outcome.INCONCLUSIVE, Outcome.CANNOT_VERIFY} and not followed):
            self._unjudged.setdefault(key, at)
        else:
            self._unjudged.pop(key, None)

    def _compare(
        self, gathered: Gathered, counts: dict[Outcome, int]
    ) -> tuple[list[Comparison], Mapping[Key, History]]:
        """Compare all that was read; what agrees and is known to is counted and left out."""
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
        for key in self._unjudged.keys() & settled:
            del self._unjudged[key]
        comparisons += [
            self._comparer.compare(key, gathered.owner_rows[key], gathered.target_rows[key])
            for key in agreed
            if key not in settled
        ]
        return comparisons, histories

    def _sighting(
        self,
        comparison: Comparison,
        history: History,
        gathered: Gathered,
        look: Look,
        clock: ClockBounds | None,
        state: FlowState,
    ) -> Sighting:
        key = comparison.key
        listed = key in gathered.listed
        unjudged_at = self._unjudged.get(key)
        not_seen_at = None
        if self._audited and unjudged_at is None:
            if listed:
                not_seen_at = gathered.polled_before_at
            elif key in self._sampler.panel_read:
                not_seen_at = self._sampler.panel_read_at
        # A whole sweep before this audit has come across every record that the owner held then.
        fresh = history is NO_HISTORY and self._known_from_at is not None and unjudged_at is None
        fresh = fresh and (listed or comparison.target is None)
        if fresh:
            not_seen_at = not_seen_at or self._known_from_at
        stale_s = self.flow.source.delay_floor_s
        if not_seen_at is not None:
            not_seen_at -= timedelta(seconds=stale_s)
        looked_at = min((at for at in (self._looked_at, unjudged_at) if at is not None), default=look.sent_at)
        asked_at, seen_at = gathered.owner_seen.get(key, (look.sent_at, look.sent_at))
        return Sighting(
            listed=listed,
            fresh=fresh,
            stamp_us=self._stamp_us(comparison),
            version=self._version(comparison),
            clock=clock,
            slack_s=self._slack_s(state),
            asked_at=asked_at,
            seen_at=seen_at,
            not_seen_at=not_seen_at,
            stale_s=stale_s,
            blind=(asked_at - looked_at).total_seconds() > max(BLIND_TURNS * self.flow.every_s, BLIND_S),
        )

    def _stamp_us(self, comparison: Comparison) -> int | None:
        """The owner's own stamp of its copy; a growing version is none."""
        if comparison.owner is None or self.flow.source_spec.changed_at is None:
            return None
        return self._comparer.changed_at_us(self._comparer.owner, comparison.owner)

    def _version(self, comparison: Comparison) -> int | None:
        """The owner's own version number of its copy, where the map says that there is one."""
        if comparison.owner is None or self.flow.source_spec.version is None:
            return None
        try:
            return None if comparison.owner.raw_mark is None else parse_version(comparison.owner.raw_mark)
        except UNREADABLE:
            return None

    def _slack_s(self, state: FlowState) -> float:
        """How long after its stamp a change may be committed: as the map says, or as it has been seen."""
        return max(self.flow.source.clock_slack_s, state.commit_delay_s or 0.0)

    def _clock_still_stands(self, now: datetime) -> bool:
        """Read the owner's clock once more, after its records: whether it was not set meanwhile."""
        clock = self.source.read_clock(now, afresh=True)
        return clock is not None and clock.trusted(now) is not None

    def _quiet(
        self,
        comparison: Comparison,
        history: History,
        sighting: Sighting,
        look: Look,
        clock: ClockBounds | None,
        state: FlowState,
    ) -> bool:
        """Whether the owner's copy is known not to have changed for a whole window, or since both last agreed.

        Otherwise it may have moved and come back between two readings, and the target rightly shows what it
        held in between.
        """
        if (
            history.baseline is not None
            and history.baseline.mark is not None
            and sighting.mark == history.baseline.mark
        ):
            return True
        stamp_us = self._stamp_us(comparison)
        if stamp_us is None or clock is None:
            return False
        try:
            latest = clock.local(stamp_us)[1] + timedelta(seconds=self._slack_s(state))
        except OverflowError:
            return False
        return (look.sent_at - latest).total_seconds() > self.flow.window_s

    def _terms(self, look: Look, clock: ClockBounds | None) -> Terms:
        trip_s = (look.received_at - look.sent_at).total_seconds()
        return Terms(
            window_s=self.flow.window_s,
            every_s=self.flow.every_s,
            guard_s=max(0.0, trip_s) + (clock.half_width_s if clock is not None else 0.0) + TIMER_S,
            confirm_s=self.flow.confirm_s,
            every_version=self.flow.settings.require_every_version,
        )

    # -- record

    def _record(
        self,
        result: AuditResult,
        verdicts: _Verdicts,
        cohorts: Mapping[str, Cohort],
        state: FlowState,
        gathered: Gathered,
        settled_at: datetime | None,
    ) -> None:
        """Write everything in one transaction: observations, state, incidents and their messages."""
        flow = self.flow.name
        judgements = verdicts.judgements
        result.finished_at = datetime.now(UTC)
        moved = [pair for each in judgements for pair in zip(each.changes, each.probe_at, strict=True)]
        objective = self._objective_due(result, missed=any(change.verdict is Verdict.BREACH for change, _ in moved))
        with self.ledger.write() as connection:
            rev = self.ledger.next_revision(connection)
            self.ledger.save_changes(connection, rev, flow, moved)
            self.ledger.count_lags(connection, rev, flow, [change for change, _ in moved])
            divergences = [each.divergence for each in judgements if each.divergence]
            self.ledger.save_divergences(connection, rev, flow, self.flow.settings.data_type, divergences)
            self.ledger.count_noise(connection, rev, flow, verdicts.rereads, result.finished_at)
            self.ledger.save_baselines(
                connection,
                flow,
                {each.key: each.baseline for each in judgements if each.baseline},
                [each.key for each in judgements if each.forget_baseline],
                gathered.owner_sent_at or result.started_at,
            )
            if result.error is None:
                state = self._list_unverified(connection, rev, result, verdicts, state, gathered, settled_at)
                state = self._verified(connection, result, state, moving=self._unfollowed)
                self.ledger.save_flow_state(connection, flow, state)
                self.ledger.save_samples(connection, rev, flow, cohorts, result.finished_at)
            if self._lost.audits:
                self.ledger.save_run(connection, rev, self._gap_row())
            self.ledger.save_run(connection, rev, self._run_row(result, state, gathered))
            for reader in (self.source, self.target):
                self.ledger.save_health(connection, reader.name, reader.health, reader.clock)
                self.ledger.save_clock_steps(connection, rev, reader.take_clock_steps())
            result.open_by_cause = self.ledger.open_divergences(connection, flow)
            doubt = self.ledger.doubt(connection, flow, now=result.finished_at, window_s=self.flow.window_s)
            waiting = decisions.after_audit(
                self.ledger, connection, rev, flow=self.flow, divergences=divergences, now=result.finished_at
            )
            incidents.after_audit(
                self.ledger,
                connection,
                rev,
                flow=self.flow,
                open_by_cause=result.open_by_cause,
                waiting=waiting,
                doubt=doubt,
                objective=objective,
                failed=(*result.error, self._failed) if result.error else None,
                senders=self.senders,
                now=result.finished_at,
                in_turn=result.in_turn,
            )

    def _objective_due(self, result: AuditResult, *, missed: bool) -> WindowObjective | None:
        """The changes of the last day against what is promised; sooner where a change has just missed its window."""
        at = result.finished_at
        due_s = OBJECTIVE_SOONEST_S if missed else OBJECTIVE_EVERY_S
        if not result.in_turn or (self._counted_at and (at - self._counted_at).total_seconds() < due_s):
            return None
        self._counted_at = at
        return within_window(self.flow, self.ledger, at)

    def _list_unverified(
        self,
        connection: Transaction,
        rev: int,
        result: AuditResult,
        verdicts: _Verdicts,
        state: FlowState,
        gathered: Gathered,
        settled_at: datetime | None,
    ) -> FlowState:
        """Write down which records could not be verified, and take those off the list that were."""
        flow, at = self.flow.name, result.finished_at
        found = {str(key): why for key, why in verdicts.unverified.items()}
        unknown = {Outcome.INCONCLUSIVE, Outcome.CANNOT_VERIFY}
        # Of what could never be verified nothing is settled, however often the owner was asked meanwhile.
        settled_to = (settled_at or result.started_at) if state.verified_through_at else self._first_at

        def verified() -> set[str]:
            told = (str(key) for key in gathered.wanted if verdicts.outcomes.get(key) not in unknown)
            return {*told, *self._no_keys}

        unlisted = self.ledger.note_unverified(
            connection,
            rev,
            flow,
            found=found,
            verified=verified,
            at=at,
            verified_to_at=settled_to,
        )
        # Rows without a key are met anew in each sweep; only a whole one without any says that there are none.
        if self._nameless or (result.swept and self._whole_sweep):
            self.ledger.note_unknown(
                connection,
                rev,
                flow,
                ROWS,
                "",
                reason=NAMELESS if self._nameless else "",
                at=at,
                records=self._nameless,
                verified_to_at=settled_to,
            )
        if gathered.unordered is not None and bool(gathered.unordered) != self._unordered:
            told = f"changes of {self.flow.source_name} are found only by the sweep: {gathered.unordered}"
            self.ledger.note_unknown(
                connection,
                rev,
                flow,
                ROWS,
                f"changes of {self.flow.source_name}",
                reason=told if gathered.unordered else "",
                at=at,
                verified_to_at=state.swept_from_at or result.started_at,
            )
            self._unordered = bool(gathered.unordered)
        for system, left_out in (self._sampler.left_out or {}).items():
            told = f"the list of {system} is incomplete: {left_out} records that it answers by key are on no page"
            self.ledger.note_unknown(
                connection,
                rev,
                flow,
                ROWS,
                f"list of {system}",
                reason=told if left_out else "",
                at=at,
                records=left_out,
                verified_to_at=settled_at or result.started_at,
            )
        return self._sampler.count_unlisted(state, unlisted)

    def _settled_at(self, state: FlowState) -> datetime | None:
        """When the owner had last told all its changes: where it cannot, only a whole sweep has seen them."""
        spec = self.flow.source_spec
        if spec.finds_changes and not self._unordered:
            return state.polled_at
        return state.swept_from_at if spec.lists else None

    def _verified(self, connection: Transaction, result: AuditResult, state: FlowState, *, moving: bool) -> FlowState:
        """Move on the instant up to which every change of the owner has its verdict; it never goes back."""
        known_at, told_at = state.verified_through_at, self._settled_at(state)
        open_since = self.ledger.undecided_since(connection, self.flow.name)
        doubt = self.ledger.doubt(connection, self.flow.name, now=result.finished_at, window_s=0)
        if told_at is None or moving:
            return state
        if known_at is None and not self.ledger.any_verdict(connection, self.flow.name):
            return state
        # What differs at first sight is no change to follow, yet nobody knows whether it will arrive.
        suspected = self.ledger.suspected_since(connection, self.flow.name, known_at or EPOCH)
        through_at = min(at for at in (told_at, open_since, suspected, doubt.verified_to_at) if at is not None)
        if known_at is None and through_at <= self._first_at:
            return state  # what changed before anybody looked was never verified
        return replace(state, verified_through_at=max(through_at, known_at) if known_at else through_at)

    def _gap_row(self) -> dict[str, object]:
        """The audits that the ledger could not record, as one that failed: what they read was not verified."""
        lost = self._lost
        return {
            "flow": self.flow.name,
            "started_at": lost.started_at,
            "finished_at": lost.finished_at,
            "read": lost.read,
            **{outcome.value: lost.read if outcome is Outcome.CANNOT_VERIFY else 0 for outcome in Outcome},
            "shed": 0,
            "deadlines": 0,
            "in_turn": True,
            "changes": 0,
            "reason": NOT_RECORDED,
            "message": f"{counted(lost.audits, 'audit')} could not be recorded: {lost.why}",
        }

    def _run_row(self, result: AuditResult, state: FlowState, gathered: Gathered) -> dict[str, object]:
        system, error = result.error if result.error else (None, None)
        return {
            "flow": self.flow.name,
            "started_at": result.started_at,
            "finished_at": result.finished_at,
            "read": result.read,
            **{outcome.value: result.counts[outcome] for outcome in Outcome},
            "shed": result.shed,
            "deadlines": result.deadlines,
            "in_turn": result.in_turn,
            "changes": result.changes,
            "source_ms": _apart_ms(gathered.owner_sent_at, gathered.owner_received_at),
            "target_ms": _apart_ms(gathered.look.sent_at, gathered.look.received_at) if gathered.look else None,
            "verified_through_at": state.verified_through_at if error is None else None,
            "system": system,
            "reason": error.reason.value if error else None,
            "message": (error.message + (f" ({error.hint})" if error.hint else "")) if error else None,
        }


def _apart_ms(earlier: datetime | None, later: datetime | None) -> float | None:
    return (later - earlier).total_seconds() * 1e3 if earlier and later else None
