"""Recording: all results of one audit, in one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime

from auditor.alerts.objectives import WindowObjective
from auditor.alerts.reporter import Reporter
from auditor.alerts.signals import signals_of
from auditor.audit.case import Verdicts
from auditor.audit.duplicates import Identities
from auditor.audit.evidence import clock_steps, evidence_of
from auditor.audit.gathered import Gathered
from auditor.audit.memory import Lost, Memory
from auditor.audit.result import AuditResult
from auditor.audit.sample import count_unlisted
from auditor.conflicts import decisions
from auditor.ledger import ROWS, FlowState, Ledger, Transaction
from auditor.map.flow import Flow
from auditor.systems.reader import SystemReader
from checks.judgement import Outcome
from checks.keys import KEY_LIMIT_BYTES
from checks.rechecks import Result
from checks.sampling import Cohort
from checks.values import EPOCH
from probes.wording import counted

NAMELESS = (
    "rows without a key, or whose key is not of the declared type or cannot be stored "
    f"(half of a surrogate pair, more than {KEY_LIMIT_BYTES:,} bytes)"
)
NOT_RECORDED = "not_recorded"
"""Reason in the row for audits that the ledger could not record."""

UNKNOWN = frozenset({Outcome.INCONCLUSIVE, Outcome.CANNOT_VERIFY})


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """All results of one audit.

    Attributes:
        verdicts: None if nothing was read.
        rereads: by system and field, how often it was read twice, and how often it then differed.
        identities: which records have which unique key.
        cohorts: what to add to the counts of the sample, by policy.
        state: the new state of the flow, except for what the transaction itself determines.
        settled_at: the time up to which the owner had listed all its changes before this audit.
        left_out: by system, how many records its list lacks.
        no_keys: texts on the list of unverified records that are no longer keys.
        unfollowed: a record moved while it is unknown what the owner held.
        asked: what was found of the records that people have asked for, see `Rechecks.answer`.
        objective: whether the flow keeps its promised share, if it was judged.
        before, memory: the auditor's memory before and after the audit.
    """

    result: AuditResult
    gathered: Gathered
    verdicts: Verdicts | None
    rereads: Mapping[tuple[str, str], tuple[int, int]]
    identities: Sequence[Identities]
    cohorts: Mapping[str, Cohort]
    state: FlowState
    settled_at: datetime | None
    left_out: Mapping[str, int]
    no_keys: Set[str]
    unfollowed: bool
    asked: Mapping[str, tuple[Result, str]]
    objective: WindowObjective | None
    before: Memory
    memory: Memory = field(repr=False)


def told_all_at(flow: Flow, state: FlowState, *, unordered: bool | None) -> datetime | None:
    """When the owner last listed all its changes; if it cannot list them, only a whole sweep has seen them."""
    spec = flow.source_spec
    if spec.finds_changes and not unordered:
        return state.watermark.polled_at
    return state.swept.from_at if spec.lists else None


class Recorder:
    """Records the audits of one flow."""

    def __init__(self, flow: Flow, ledger: Ledger, readers: Sequence[SystemReader], reporter: Reporter) -> None:
        self.flow = flow
        self.ledger = ledger
        self.readers = readers
        self.reporter = reporter

    def record(self, audited: Audited) -> Mapping[str, int]:
        """Write everything in one transaction: observations, state, incidents and their messages.

        Returns:
            The flow's open divergences by cause.
        """
        flow, ledger, result, state = self.flow.name, self.ledger, audited.result, audited.state
        judgements = audited.verdicts.judgements if audited.verdicts else ()
        changes = [pair for each in judgements for pair in zip(each.changes, each.probe_at, strict=True)]
        divergences = [each.divergence for each in judgements if each.divergence]
        with ledger.write() as transaction:
            ledger.records.save_changes(transaction, flow, changes)
            ledger.measurements.count_lags(transaction, flow, [change for change, _ in changes])
            if audited.verdicts:
                decided = Counter(each.verdict for each in audited.verdicts.decided)
                ledger.measurements.count_windows(transaction, flow, decided, result.finished_at)
            if audited.memory.burst.now != audited.before.burst.now and audited.memory.burst.now is not None:
                ledger.bursts.save(transaction, flow, audited.memory.burst.now)
            ledger.records.save_divergences(transaction, flow, self.flow.settings.data_type, divergences)
            ledger.measurements.count_noise(transaction, flow, audited.rereads, result.finished_at)
            for each in audited.identities:
                ledger.identities.save(transaction, flow, each.system, each.called, each.held, each.gone)
            ledger.records.save_baselines(
                transaction,
                flow,
                {each.key: each.baseline for each in judgements if each.baseline},
                [each.key for each in judgements if each.forget_baseline],
                audited.gathered.owner.sent_at or result.started_at,
            )
            if result.error is None:
                unlisted = self._list_unverified(transaction, audited)
                self._note_unknown(transaction, audited)
                state = count_unlisted(result.taken, state, unlisted)
                state = self._verified(transaction, audited, state)
                ledger.flows.save_state(transaction, flow, state)
                ledger.measurements.save_samples(transaction, flow, audited.cohorts, result.finished_at)
            if audited.before.lost.audits:
                ledger.flows.save_run(transaction, _gap_row(flow, audited.before.lost))
            ledger.flows.save_run(transaction, _run_row(audited, state))
            ledger.rechecks.answer(
                transaction, flow, audited.asked, begun_at=result.started_at, at=result.finished_at
            )
            for reader in self.readers:
                ledger.measurements.save_health(transaction, reader.name, reader.health, reader.clock)
                ledger.measurements.save_clock_steps(transaction, reader.take_clock_steps())
            open_by_cause = ledger.records.open_divergences(transaction, flow)
            doubt = ledger.unverified.doubt(transaction, flow, now=result.finished_at, window_s=self.flow.window_s)
            waiting = decisions.after_audit(
                ledger, transaction, flow=self.flow, divergences=divergences, now=result.finished_at
            )
            evidence = evidence_of(ledger, transaction, self.flow, open_by_cause)
            expected = ledger.expected_records.counts(transaction, flow, result.finished_at)
            signals = signals_of(
                self.flow,
                open_by_cause={cause: count - expected.get(cause, 0) for cause, count in open_by_cause.items()},
                waiting=waiting,
                doubt=doubt,
                objective=audited.objective,
                failed=(*result.error, audited.memory.failed) if result.error else None,
                in_turn=result.in_turn,
                evidence=evidence,
                steps=clock_steps(self.readers, result.finished_at),
            )
            self.reporter.report(transaction, signals, result.finished_at)
        return open_by_cause

    def _settled_to(self, audited: Audited) -> datetime:
        """The time up to which everything is settled for records that cannot be verified from now on.

        For records that could never be verified nothing is settled, however often the owner was read meanwhile.
        """
        if not audited.state.verified_through_at:
            return audited.memory.first_at
        return audited.settled_at or audited.result.started_at

    def _list_unverified(self, transaction: Transaction, audited: Audited) -> Set[str]:
        """List the records that could not be verified, and remove those that were.

        Returns:
            Those that do not fit on the list.
        """
        verdicts = audited.verdicts
        unverified = verdicts.unverified if verdicts else {}
        outcomes = verdicts.outcomes if verdicts else {}

        def verified() -> set[str]:
            verified_keys = (str(key) for key in audited.gathered.wanted.keys if outcomes.get(key) not in UNKNOWN)
            return {*verified_keys, *audited.no_keys}

        return self.ledger.unverified.note_records(
            transaction,
            self.flow.name,
            found={str(key): why for key, why in unverified.items()},
            verified=verified,
            at=audited.result.finished_at,
            verified_to_at=self._settled_to(audited),
        )

    @property
    def _nameless(self) -> str:
        """Why rows stand for no record."""
        specs = (self.flow.source_spec, self.flow.target_spec)
        called = " or ".join(spec.pairs.called for spec in specs if spec.pairs is not None)
        return f"{NAMELESS}, or that {called} pairs with no record" if called else NAMELESS

    def _note_unknown(self, transaction: Transaction, audited: Audited) -> None:
        """List what cannot be verified of unnamed records: rows, changes and lists."""
        result, memory, at = audited.result, audited.memory, audited.result.finished_at

        def note(name: str, reason: str, verified_to_at: datetime, records: int = 1) -> None:
            self.ledger.unverified.note(
                transaction,
                self.flow.name,
                ROWS,
                name,
                reason=reason,
                at=at,
                records=records,
                verified_to_at=verified_to_at,
            )

        # Each sweep meets rows without a key again; only a whole sweep without any proves that there are none.
        if memory.nameless or (result.swept and memory.whole_sweep):
            note("", self._nameless if memory.nameless else "", self._settled_to(audited), memory.nameless)
        owner, unordered = self.flow.source_name, audited.gathered.wanted.unordered
        if memory.unordered != audited.before.unordered:
            why = f"changes of {owner} are found only by the sweep: {unordered}" if unordered else ""
            note(f"changes of {owner}", why, audited.state.swept.from_at or result.started_at)
        for system, left_out in audited.left_out.items():
            why = f"the list of {system} is incomplete: {left_out} records that it answers by key are on no page"
            settled_at = audited.settled_at or result.started_at
            note(f"list of {system}", why if left_out else "", settled_at, left_out)

    def _verified(self, transaction: Transaction, audited: Audited, state: FlowState) -> FlowState:
        """Advance the instant up to which every change of the owner has a verdict; it never goes back."""
        flow, memory = self.flow.name, audited.memory
        known_at, told_at = state.verified_through_at, told_all_at(self.flow, state, unordered=memory.unordered)
        open_since = self.ledger.records.undecided_since(transaction, flow)
        doubt = self.ledger.unverified.doubt(transaction, flow, now=audited.result.finished_at, window_s=0)
        if told_at is None or audited.unfollowed:
            return state
        if known_at is None and not self.ledger.records.any_verdict(transaction, flow):
            return state
        # A difference at first sight is not a change to follow, but it is unknown whether it will arrive.
        suspected = self.ledger.records.suspected_since(transaction, flow, known_at or EPOCH)
        through_at = min(at for at in (told_at, open_since, suspected, doubt.verified_to_at) if at is not None)
        if known_at is None and through_at <= memory.first_at:
            return state  # changes before the first reading were never verified
        return replace(state, verified_through_at=max(through_at, known_at) if known_at else through_at)


def _gap_row(flow: str, lost: Lost) -> dict[str, object]:
    """The audits that the ledger could not record, as one failed audit: what they read was not verified."""
    return {
        "flow": flow,
        "started_at": lost.started_at,
        "finished_at": lost.finished_at,
        "read": lost.read,
        **{outcome.value: lost.read if outcome is Outcome.CANNOT_VERIFY else 0 for outcome in Outcome},
        "shed": 0,
        "deadlines": 0,
        "shared": 0,
        "in_turn": True,
        "changes": 0,
        "reason": NOT_RECORDED,
        "message": f"{counted(lost.audits, 'audit')} could not be recorded: {lost.why}",
    }


def _run_row(audited: Audited, state: FlowState) -> dict[str, object]:
    result, owner, look = audited.result, audited.gathered.owner, audited.gathered.look
    system, error = result.error if result.error else (None, None)
    return {
        "flow": result.flow,
        "started_at": result.started_at,
        "finished_at": result.finished_at,
        "read": result.read,
        **{outcome.value: result.counts[outcome] for outcome in Outcome},
        "shed": result.shed,
        "deadlines": result.deadlines,
        "shared": result.shared,
        "in_turn": result.in_turn,
        "changes": result.changes,
        "source_ms": _apart_ms(owner.sent_at, owner.received_at),
        "target_ms": _apart_ms(look.sent_at, look.received_at) if look else None,
        "verified_through_at": state.verified_through_at if error is None else None,
        "system": system,
        "reason": error.reason.value if error else None,
        "message": (error.message + (f" ({error.hint})" if error.hint else "")) if error else None,
    }


def _apart_ms(earlier: datetime | None, later: datetime | None) -> float | None:
    return (later - earlier).total_seconds() * 1e3 if earlier and later else None
