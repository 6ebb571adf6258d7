"""One audit of one flow: plan, read, compare, judge, record. The only place where these steps meet."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from auditor.alerts.objectives import WindowObjective, judge_objective
from auditor.alerts.reporter import Reporter
from auditor.audit.announced import Batch, Inbox
from auditor.audit.budget import RECHECKS_LIMIT, Plan, plan
from auditor.audit.case import Case, Known, Verdicts
from auditor.audit.confirming import Confirmer
from auditor.audit.duplicates import Doubles, DuplicateFinder
from auditor.audit.gathered import Doubts, Gathered
from auditor.audit.judging import Judge
from auditor.audit.memory import NONE_LOST, Memory, no_memory
from auditor.audit.owner_reads import Owner, OwnerReads, OwnerShare
from auditor.audit.reading import Gatherer, Search
from auditor.audit.recording import Audited, Recorder, told_all_at
from auditor.audit.result import AuditResult
from auditor.audit.sample import Accounted, Chosen, Sampler
from auditor.audit.second_reading import SecondLook
from auditor.audit.shares import Means, Shares
from auditor.conflicts.policy import Clocks
from auditor.ledger import FlowState, LeaseLostError, Ledger, LedgerError
from auditor.map.flow import Flow
from auditor.systems.allowance import Worth, spending
from auditor.systems.caller import utc_now
from auditor.systems.reader import SystemReader
from checks.bursts import Burst
from checks.judgement import Outcome
from checks.objectives import WindowCounts
from checks.rechecks import Result, found_of
from checks.sides import UNREADABLE
from checks.terms import Look
from probes.contract import Announcements, Key
from probes.ranking import seed_of

OBJECTIVE_EVERY_S = 30.0
SOONER = 6
"""How many times sooner a flow's objective is judged after a change has missed its window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Planned:
    """What one audit starts with.

    Attributes:
        state: the state of the flow's audits.
        memory: what the auditor remembers.
        deadlines: records with a change whose window has ended.
        rechecks: others that are due, or that the owner has announced as changed.
        announced: announcements of the owner that this audit reads.
        asked: records that people have asked for.
        no_keys: texts on the list of unverified records that are no longer keys.
        clocks: of the owner and the target; None while a clock's stamps are meaningless.
        owner_now, owner_latest: the present instant of the owner's clock, at the earliest and at the latest.
        plan: how much to read of everything.
        left_out: records that the budget leaves out of a burst; None if this audit draws none.
    """

    now: datetime
    state: FlowState
    memory: Memory
    deadlines: Sequence[Key]
    rechecks: Sequence[Key]
    announced: Batch
    asked: Sequence[Key]
    no_keys: Set[str]
    clocks: Clocks
    owner_now: datetime
    owner_latest: datetime
    plan: Plan
    left_out: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """The results of what was read; empty if nothing was read."""

    verdicts: Verdicts | None = None
    doubles: Doubles = field(default_factory=Doubles)
    doubts: Doubts = field(default_factory=Doubts)


class Auditor:
    """Audits one flow repeatedly, one audit at a time.

    Args:
        flow: resolved from the map.
        source, target: readers of the two systems, shared with other flows.
        ledger: where everything is recorded.
        digest_key: secret of the fingerprints.
        reporter: of the whole map; by default of this flow, notifying nobody.
        others: readers of further systems, for those that hold the data type, too.
        shares: what it may use of its systems, where other flows are audited in this process, too.
        objective_every_s: seconds between two judgements of the objective.
        now: returns the present, UTC.

    Attributes:
        memory: what is remembered from one audit to the next; replaced at the end of an audit.
    """

    def __init__(
        self,
        *,
        flow: Flow,
        source: SystemReader,
        target: SystemReader,
        ledger: Ledger,
        digest_key: bytes,
        reporter: Reporter | None = None,
        others: Mapping[str, SystemReader] | None = None,
        shares: Shares | None = None,
        objective_every_s: float = OBJECTIVE_EVERY_S,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._now = now
        self._shares = shares
        self.flow = flow
        self.source = source
        self.target = target
        self.ledger = ledger
        self._objective_every_s = objective_every_s
        self.memory = no_memory(flow, self._now())
        comparer = flow.comparer(digest_key)
        self._series = comparer.series
        self._gatherer = Gatherer(flow, source, target, comparer)
        self._sampler = Sampler(self._gatherer, ledger, seed_of(digest_key))
        self._duplicates = DuplicateFinder(flow, source, target, comparer, ledger)
        self._second_look = SecondLook(flow, source, target, comparer, others or {})
        self._judge = Judge(flow, comparer)
        self._confirmer = Confirmer(flow, ledger)
        self._recorder = Recorder(flow, ledger, (source, target), reporter or Reporter(ledger, [flow]))
        self._one_at_a_time = threading.Lock()
        self._inbox = Inbox()
        self._asked: tuple[str, ...] = ()

    @property
    def readers(self) -> tuple[SystemReader, ...]:
        """Of all systems that an audit reads: the flow's two, and those that pair their keys."""
        pairs = self.flow.systems[2:]
        return (self.source, self.target, *(self.source.others[name] for name in pairs))

    def begin_sweep(self) -> None:
        """Start the next sample at the first key of both systems."""
        state = self.ledger.flows.state(self.flow.name)
        sweep = replace(state.sweep, owner_after=None, target_after=None, rank_after=None, begun_at=None)
        with self.ledger.write() as transaction:
            self.ledger.flows.save_state(transaction, self.flow.name, replace(state, sweep=sweep))
            self.ledger.unverified.recheck(transaction, self.flow.name, self._now())

    def next_deadline(self) -> datetime | None:
        """When the next probe near the end of an undecided change's window is due."""
        return self.ledger.records.next_deadline(self.flow.name)

    @property
    def announced(self) -> int:
        """How many records the owner has announced that no audit has read yet."""
        return len(self._inbox)

    @property
    def reads_on(self) -> bool:
        """Whether another audit would read announced records: some are left, and the last one got through to some."""
        return bool(self._inbox) and not self._inbox.stuck

    def announced_to(self) -> str | None:
        """The position up to which announcements have been read."""
        return self.ledger.flows.state(self.flow.name).watermark.announced_to

    def announce(self, announcements: Announcements) -> None:
        """Take announcements of the owner: the next audit reads their records."""
        parse = self._gatherer.comparer.owner.parse_key
        keys = []
        for raw in announcements.keys:
            with contextlib.suppress(*UNREADABLE):  # a record without a usable key: the sweep reports it
                keys.append(parse(raw))
        self._inbox.add(keys, announcements.position, gap=not announcements.names_all)

    def announce_gap(self) -> None:
        """Note that announcements were lost."""
        self._inbox.add((), None, gap=True)

    def ask(self, keys: Iterable[str]) -> bool:
        """Take the records that people want to be read: the next audits read them, as far as the budgets allow.

        Returns:
            Whether they are others than before.
        """
        before, self._asked = self._asked, tuple(keys)
        return self._asked != before

    def recheck(self, now: datetime, *, owner: OwnerReads | None = None) -> AuditResult:
        """Audit only what is due: ended windows cannot wait for the next turn."""
        return self.audit(now, sample=0, discover=False, owner=owner)

    def audit(
        self,
        now: datetime,
        *,
        sample: int | None = None,
        panel: int | None = None,
        discover: bool = True,
        owner: OwnerReads | None = None,
    ) -> AuditResult:
        """Run one audit and record it.

        Args:
            now: the instant it is done for (UTC).
            sample: keys per side, instead of the flow's own number.
            panel: keys of the panel, instead of the flow's own number.
            discover: ask the owner what has changed.
            owner: reads of the owner that are shared with other flows; None if this flow reads it alone.
        """
        with self._one_at_a_time:
            before = self.memory
            read, failed = 0, before.failed
            share = None if owner is None else owner.open(self.flow.name, now, join=discover)
            try:
                with spending(Worth.RECHECK, flow=self.flow.name):
                    wanted = self.flow.settings.sample if sample is None else sample
                    planned = self._planned(
                        now if share is None else share.at, now, wanted, panel=panel, discover=discover
                    )
                    chosen, drawn, gathered = self._read(planned, share, discover=discover)
                    judged = self._judged(planned, gathered, drawn)
                if self._shares is not None and discover:
                    found = len(gathered.wanted.listed)
                    self._shares.note(self.flow.name, planned.plan, sample=wanted, found=found)
                shared = 0 if share is None else share.shared
                audited = self._concluded(planned, chosen, drawn, gathered, judged, in_turn=discover, shared=shared)
                read, failed = audited.result.read, audited.memory.failed
                open_by_cause = self._recorder.record(audited)
            except LeaseLostError:
                raise
            except LedgerError as error:
                lost = before.lost.with_one(now, self._now(), read, str(error))
                self.memory = replace(before, failed=failed, lost=lost)
                raise
            finally:
                if share is not None:
                    share.close()
            if audited.result.error is None:
                self._inbox.done(planned.announced)
                self._asked = tuple(each for each in self._asked if each not in audited.asked)
            self.memory = audited.memory
            return replace(audited.result, open_by_cause=open_by_cause)

    # -- plan

    def _planned(
        self, now: datetime, due_at: datetime, sample: int, *, panel: int | None, discover: bool
    ) -> _Planned:
        """What to read.

        Args:
            now: the instant that the audit is planned for.
            due_at: what is due by then is read; later, if the audit is planned for an earlier instant.
        """
        flow, memory = self.flow, self.memory
        if not memory.begun:
            # A new series starts if the rules or the digest key have changed since the last audit.
            self.ledger.flows.begin_series(flow.name, self._series, now)
            self.ledger.unverified.forget_queues(flow.name, flow.settings.queues.keys(), now)
            memory = replace(memory, burst=self._confirmer.remembered())
        state = self.ledger.flows.state(flow.name)
        deadlines, due = map(flow.parse_keys, self.ledger.records.due(flow.name, due_at, RECHECKS_LIMIT))
        texts = self.ledger.unverified.due(flow.name, due_at, RECHECKS_LIMIT)
        doubted = flow.parse_keys(texts)
        announced = self._inbox.look(RECHECKS_LIMIT // 2)
        asked = flow.parse_keys(self._asked)
        rechecks = list(dict.fromkeys((*announced, *asked, *due, *doubted)))[:RECHECKS_LIMIT]
        clock, target_clock = self.source.read_clock(now), self.target.read_clock(now)
        owner_now = now + timedelta(seconds=clock.lower_s if clock else 0)
        begins = sample > 0 and state.sweep.begun_at is None
        watched = flow.settings.sampling.panel if panel is None else panel
        panel = watched if sample else 0
        burst = memory.burst.now.wants if sample and memory.burst.now is not None else 0
        means = self._means(deadlines=len(deadlines), rechecks=len(rechecks), panel=panel, sample=sample, burst=burst)
        planned = plan(
            watermark_at=state.watermark.at,
            owner_now=owner_now,
            overlap_s=flow.overlap_s,
            deadlines=len(deadlines),
            rechecks=len(rechecks),
            panel=panel,
            sample=sample,
            records=means.records,
            least=means.least,
            calls=means.calls,
            evenly=means.evenly,
            discover=discover,
            burst=burst,
        )
        return _Planned(
            now=now,
            state=state,
            memory=replace(
                memory,
                begun=True,
                first_at=min(memory.first_at, now),
                whole_sweep=memory.whole_sweep or begins,
                nameless=0 if begins else memory.nameless,
            ),
            deadlines=deadlines,
            rechecks=rechecks,
            announced=self._inbox.batch({*deadlines, *rechecks[: planned.rechecks]}),
            asked=asked,
            no_keys={*texts} - {str(key) for key in doubted},
            clocks=(
                clock.trusted(now) if clock is not None else None,
                target_clock.trusted(now) if target_clock is not None else None,
            ),
            owner_now=owner_now,
            owner_latest=now + timedelta(seconds=(clock.upper_s if clock else 0) + flow.source.clock_slack_s),
            plan=planned,
            left_out=burst - planned.burst if sample else None,
        )

    def _means(self, **wanted: int) -> Means:
        """What this audit may use: all that its systems can spare where nobody else audits in this process."""
        if self._shares is not None:
            return self._shares.means(self.flow, **wanted)
        per_s = min(self.flow.source.budget.records_per_s, self.flow.target.budget.records_per_s)
        return Means(records=int(per_s * self.flow.every_s))

    # -- read

    def _read(
        self, planned: _Planned, share: OwnerShare | None, *, discover: bool
    ) -> tuple[Chosen, frozenset[Key], Gathered]:
        """Read the owner and the target; returns the sample, the records drawn for a burst, and what was read."""
        source: Owner = self.source if share is None else share
        if share is not None:
            share.read_afresh({*planned.deadlines, *planned.rechecks, *planned.memory.busy}, planned.announced.keys)
        search = Search(source=source, announced=frozenset(planned.announced.keys))
        moved = planned.state
        if planned.announced.position is not None:
            moved = replace(moved, watermark=replace(moved.watermark, announced_to=planned.announced.position))
        if discover and planned.plan.changes:
            with spending(Worth.CHANGE):
                watermark = self._gatherer.discover(
                    search,
                    moved.watermark,
                    planned.plan,
                    planned.owner_now,
                    planned.owner_latest,
                    clocked=planned.clocks[0] is not None,
                )
            moved = replace(moved, watermark=watermark)
            search.shed_if_spent(1)
        search.skipped = search.skipped or planned.announced.gap
        worth: dict[Key, Worth] = dict.fromkeys(search.keys, Worth.CHANGE)
        with spending(Worth.SWEEP):
            chosen = self._sampler.choose(search, moved, planned.plan, planned.now, planned.memory.sample)
        search.shed_if_spent(planned.plan.sample)
        worth = dict.fromkeys(chosen.watched, Worth.PANEL) | worth
        urgent = (*planned.rechecks[: planned.plan.rechecks], *planned.memory.busy)
        worth |= dict.fromkeys(urgent, Worth.RECHECK) | dict.fromkeys(planned.deadlines, Worth.DEADLINE)
        search.want((*planned.deadlines, *urgent))
        drawn = self._confirmer.draw(planned.memory.burst, planned.plan.burst, search.keys.keys(), planned.now)
        search.want(drawn)
        wanted = search.wanted
        with spending(Worth.SWEEP, keys=worth):
            owner = self._gatherer.read_owner(wanted, search.owner, source)
            if share is not None:
                share.close()
            return chosen, drawn, self._gatherer.read_target(wanted, owner)

    # -- compare and judge

    def _judged(self, planned: _Planned, gathered: Gathered, drawn: frozenset[Key]) -> _Judged:
        """Compare what was read, fetch what else judging needs, and judge."""
        if gathered.error is not None or gathered.look is None:
            return _Judged()
        compared = self._judge.compare(gathered)
        shared = {key: agreed.fingerprint for key, agreed in compared.agreed.items()}
        histories, settled = self.ledger.records.histories(self.flow.name, compared.keys, agreed=shared)
        unsettled = self._judge.to_judge(compared, gathered, settled)
        doubles = self._duplicates.find(unsettled)
        comparisons = doubles.marked(unsettled)
        case = Case(
            gathered=gathered,
            comparisons=comparisons,
            settled=settled,
            histories=histories,
            doubts=self._second_look.take(gathered, comparisons, histories),
            look=gathered.look,
            clocks=planned.clocks,
            known=self._known(planned, differ=not all(each.agrees for each in comparisons)),
            apart=planned.memory.burst.waiting | drawn,
        )
        traces = self._judge.follow(case)
        asked = any(trace.rests_on_clock for trace in traces.values())
        stands = not asked or self._clock_still_stands(gathered.look)
        verdicts = self._judge.judge(case, traces, clock_stands=stands)
        return _Judged(verdicts=verdicts, doubles=doubles, doubts=case.doubts)

    def _known(self, planned: _Planned, *, differ: bool) -> Known:
        state, memory = planned.state, planned.memory
        # The owner lists everything that changed since; without its list only the records read count.
        lists = self.flow.source_spec.mark is not None
        return Known(
            looked_at=state.watermark.polled_at if lists else state.audited_at,
            behind_s=memory.behind_s if lists else 0.0,
            known_from_at=state.known_from_at,
            commit_delay_s=state.commit_delay_s,
            audited=memory.audited,
            unjudged=memory.unjudged,
            panel_read=memory.sample.panel_read,
            panel_read_at=memory.sample.panel_read_at,
            overdue=self.ledger.records.overdue(self.flow.name) if differ else (),
        )

    def _clock_still_stands(self, look: Look) -> bool:
        """Read the owner's clock again after its records: whether it was not set meanwhile."""
        clock = self.source.read_clock(look.received_at, afresh=True)
        return clock is not None and clock.trusted(look.received_at) is not None

    # -- what to record

    def _concluded(
        self,
        planned: _Planned,
        chosen: Chosen,
        drawn: frozenset[Key],
        gathered: Gathered,
        judged: _Judged,
        *,
        in_turn: bool,
        shared: int,
    ) -> Audited:
        verdicts, wanted, before = judged.verdicts, gathered.wanted, planned.memory
        error = gathered.error or judged.doubles.error or judged.doubts.error
        shed = planned.plan.shed + wanted.skipped + wanted.shed
        counts = _counts(gathered, verdicts)
        # An audit that a budget kept from reading anything is none.
        held_back = shed and not any(counts.values()) and chosen.state == planned.state
        state = chosen.state if held_back else replace(chosen.state, audited_at=planned.now)
        accounted = Accounted(cohorts={}, state=state, memory=chosen.memory)
        if error is None:
            accounted = self._sampler.account(chosen, gathered, state, verdicts.outcomes if verdicts else {})
        judgements = verdicts.judgements if verdicts else ()
        delay_s = max(state.commit_delay_s or 0.0, verdicts.commit_delay_s if verdicts else 0.0)
        finished_at = self._now()
        unordered = before.unordered if wanted.unordered is None or error else bool(wanted.unordered)
        burst = self._confirmer.counted(
            before.burst,
            drawn,
            gathered,
            verdicts if error is None else None,
            finished_at,
            left_out=planned.left_out,
            lists_all=self.flow.source_spec.finds_changes and not unordered,
        )
        missed = verdicts is not None and any(WindowCounts.of({each.verdict: 1}).missed for each in verdicts.decided)
        objective = self._objective(finished_at, burst.now, missed=missed) if in_turn else None
        result = AuditResult(
            flow=self.flow.name,
            started_at=planned.now,
            finished_at=finished_at,
            counts=counts,
            shared=min(shared, sum(counts.values())),
            changes=sum(1 for each in judgements for change in each.changes if not change.change_id),
            settled=tuple(change for each in judgements for change in each.changes if change.settled_at is not None),
            shed=shed,
            error=error,
            swept=chosen.state.swept.at == planned.now and not accounted.walks_again,
            taken=chosen.taken,
            drawn=chosen.drawn.keys(),
            deadlines=len(planned.deadlines),
            in_turn=in_turn,
        )
        memory = replace(
            before,
            sample=self._sampler.note_values(gathered, accounted.memory),
            audited=before.audited or (error is None and accounted.state.watermark.polled_at is not None),
            failed=before.failed if not in_turn else before.failed + 1 if error else 0,
            lost=NONE_LOST,
            busy=frozenset(judged.doubts.moving) if verdicts else before.busy,
            unjudged=verdicts.unjudged if verdicts else before.unjudged,
            nameless=max(before.nameless, wanted.nameless),
            unordered=unordered,
            behind_s=before.behind_s if wanted.behind_s is None else wanted.behind_s,
            counted_at=finished_at if objective is not None else before.counted_at,
            burst=burst,
        )
        return Audited(
            result=result,
            gathered=gathered,
            verdicts=verdicts,
            rereads=judged.doubts.rereads,
            identities=judged.doubles.identities,
            cohorts=accounted.cohorts,
            state=replace(accounted.state, commit_delay_s=delay_s),
            settled_at=told_all_at(self.flow, planned.state, unordered=before.unordered),
            left_out=accounted.left_out,
            no_keys=planned.no_keys,
            unfollowed=judged.doubts.unfollowed,
            asked=self._found(planned.asked, gathered, verdicts) if error is None else {},
            objective=objective,
            before=before,
            memory=memory,
        )

    def _found(
        self, asked: Sequence[Key], gathered: Gathered, verdicts: Verdicts | None
    ) -> dict[str, tuple[Result, str]]:
        """By text of the key, what was found of the records that people have asked for, as far as they were read."""
        if verdicts is None:
            return {}
        read = [key for key in asked if key in gathered.wanted.keys]
        held = {key for key in read if any(gathered.rows_of(key))}
        known = self.ledger.records.known(self.flow.name, [key for key in read if key not in held])
        causes = {each.key: each.divergence.cause for each in verdicts.judgements if each.divergence is not None}
        return {
            str(key): found_of(
                verdicts.outcomes.get(key, Outcome.AGREED),
                cause=causes[key].value if key in causes else "",
                reason=verdicts.unverified.get(key, ""),
                held=key in held,
                known=key in known,
            )
            for key in read
        }

    def _objective(self, at: datetime, burst: Burst | None, *, missed: bool) -> WindowObjective | None:
        """Whether the flow keeps its objective; sooner if a change has just missed its window or a burst pages."""
        counted_at = self.memory.counted_at
        paged_at = burst.ended_at if burst is not None and burst.decides(at) else None
        if counted_at and paged_at and paged_at > counted_at:
            return judge_objective(self.flow, self.ledger, at, burst)
        due_s = self._objective_every_s / SOONER if missed else self._objective_every_s
        if counted_at and (at - counted_at).total_seconds() < due_s:
            return None
        return judge_objective(self.flow, self.ledger, at, burst)


def by_owner(auditors: Iterable[Auditor]) -> list[list[Auditor]]:
    """Auditors of flows that read the same data type at the same owner, together."""
    groups: dict[tuple[str, str], list[Auditor]] = {}
    for auditor in auditors:
        groups.setdefault((auditor.flow.source_name, auditor.flow.settings.data_type), []).append(auditor)
    return list(groups.values())


def _counts(gathered: Gathered, verdicts: Verdicts | None) -> dict[Outcome, int]:
    """Records by outcome; rows without a key, and records that could not be read, cannot be verified."""
    counts = dict.fromkeys(Outcome, 0) | dict(verdicts.counts if verdicts else {})
    counts[Outcome.CANNOT_VERIFY] += gathered.wanted.nameless
    if verdicts is None and gathered.error is not None:
        counts[Outcome.CANNOT_VERIFY] += len(gathered.wanted.keys)
    return counts
