"""Comparing and judging: readings and histories in, verdicts out. Reads and writes nothing.

Clocks, histories, duplicates and second readings were fetched before. `compare` shows which histories are needed, and
`Trace.rests_on_clock` whether to read the owner's clock again before its stamps are trusted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import replace
from datetime import datetime, timedelta

from auditor.audit.case import Case, Compared, Known, Trace, Verdicts
from auditor.audit.gathered import Gathered, Later
from auditor.conflicts.policy import Resolver
from auditor.map.flow import Flow
from checks.bursts import trial_result
from checks.clocks import ClockBounds
from checks.comparison import Agreement, Comparison, Tombstone
from checks.convergence import Change, Verdict, commit_delay_s, followed_s, newly_decided
from checks.enrolment import Sighting, followed
from checks.judgement import Judgement, Outcome, glimpse, judge
from checks.record_history import NO_HISTORY, History
from checks.records import RecordComparer
from checks.sides import UNREADABLE
from checks.terms import TIMER_S, Look, Terms
from checks.values import parse_version
from probes.contract import Key

BLIND_TURNS = 3
BLIND_S = 5.0
"""After this many turns without a reading, and at least this long, versions may have come and gone unseen."""


class Judge:
    """Judges the records of one flow; remembers nothing."""

    def __init__(self, flow: Flow, comparer: RecordComparer) -> None:
        self.flow = flow
        self._comparer = comparer
        self._resolver = Resolver(flow, comparer)

    # -- compare

    def compare(self, gathered: Gathered) -> Compared:
        """Compare all that was read."""
        agreed: dict[Key, Agreement] = {}
        comparisons: list[Comparison] = []
        rows_of, unreadable, meet = gathered.rows_of, gathered.unreadable, self._comparer.meet
        doubled = gathered.doubled
        for key in gathered.wanted.keys:
            spoiled = unreadable(key)
            if spoiled:
                comparisons.append(Comparison(key=key, owner=None, target=None, unverifiable=spoiled))
                continue
            met = meet(key, *rows_of(key))
            if key in doubled:
                met = self._doubled(key, met, gathered, doubled[key])
            if isinstance(met, Agreement):
                agreed[key] = met
            else:
                comparisons.append(self._marked(met, gathered))
        return Compared(comparisons=comparisons, agreed=agreed)

    def _doubled(
        self, key: Key, met: Agreement | Comparison, gathered: Gathered, reasons: tuple[str, ...]
    ) -> Comparison:
        """The comparison of a record that another key shares."""
        if isinstance(met, Agreement):
            met = self._comparer.compare_agreed(key, met, *(rows[0] for rows in gathered.rows_of(key)))
        return met if met.unverifiable else replace(met, duplicates=(*met.duplicates, *reasons))

    def _marked(self, comparison: Comparison, gathered: Gathered) -> Comparison:
        """The same, with what marks the record as deleted, and which system no pair of keys leads to."""
        sides = ((self._comparer.owner, gathered.owner), (self._comparer.target, gathered.target))
        owner, target = (
            Tombstone(side.system, side.flag.field, reading.deleted[comparison.key])
            if side.flag is not None and reading is not None and comparison.key in reading.deleted
            else None
            for side, reading in sides
        )
        notes = gathered.unpaired(comparison.key)
        if owner is None and target is None and not notes:
            return comparison
        return replace(comparison, owner_deleted=owner, target_deleted=target, notes=notes)

    def to_judge(self, compared: Compared, gathered: Gathered, settled: Set[Key]) -> list[Comparison]:
        """What must be judged: everything except records that agree, are known to, and have nothing pending."""
        return [
            *compared.comparisons,
            *(
                self._comparer.compare_agreed(key, agreed, *(rows[0] for rows in gathered.rows_of(key)))
                for key, agreed in compared.agreed.items()
                if key not in settled
            ),
        ]

    # -- judge

    def follow(self, case: Case) -> dict[Key, Trace]:
        """What to follow from here on, for every record with a known owner's copy."""
        return {
            each.key: self._trace(case, each, case.clocks[0])
            for each in case.comparisons
            if each.key not in case.doubts.moving or each.key in case.doubts.later
        }

    def judge(self, case: Case, traces: Mapping[Key, Trace], *, clock_stands: bool) -> Verdicts:
        """Judge every record.

        Args:
            traces: from `follow`.
            clock_stands: the owner's clock was read again after its records, and had not been set meanwhile.
        """
        terms = self._terms(case.look, case.clocks[0])
        judgements: list[Judgement] = []
        outcomes: dict[Key, Outcome] = {}
        unverified: dict[Key, str] = {}
        unjudged = {key: at for key, at in case.known.unjudged.items() if key not in case.settled}
        counts = Counter({Outcome.AGREED: len(case.settled)})
        decided: list[Change] = []
        apart: dict[Key, Verdict | None] = {each.key: None for each in case.comparisons if each.key in case.apart}
        delay_s = 0.0
        for compared in case.comparisons:
            key = compared.key
            trace = traces.get(key)
            if trace is None:  # it moved, and it is unknown what the owner held
                counts[Outcome.INCONCLUSIVE] += 1
                outcomes[key] = Outcome.INCONCLUSIVE
                unjudged.setdefault(key, case.look.sent_at)
                continue
            if trace.rests_on_clock:
                if clock_stands:
                    delay_s = max(delay_s, _delay_s(case, trace))
                else:  # it was set during the reading, so its stamps are meaningless now
                    trace = self._trace(case, compared, None)
            judgement = self._judged(case, trace, terms)
            newly = newly_decided(trace.known.changes, judgement.changes)
            outcome = judgement.outcome
            if key in case.apart:
                apart[key] = trial_result(outcome, newly)
            else:
                decided += newly
            counts[outcome] += 1
            if outcome is not Outcome.AGREED:
                outcomes[key] = outcome
            if outcome is Outcome.CANNOT_VERIFY:
                unverified[key] = trace.comparison.unverifiable
            if _tells_the_owner(trace, outcome):
                unjudged.pop(key, None)
            else:
                unjudged.setdefault(key, trace.look.sent_at)
            if judgement.tells:
                judgements.append(_dated(judgement, trace, case.gathered.owner.sent_at))
        return Verdicts(
            judgements=judgements,
            counts=counts,
            outcomes=outcomes,
            unverified=unverified,
            decided=decided,
            apart=apart,
            commit_delay_s=delay_s,
            unjudged=unjudged,
        )

    def _trace(self, case: Case, compared: Comparison, clock: ClockBounds | None) -> Trace:
        key, doubts = compared.key, case.doubts
        comparison = compared.without(doubts.noisy[key]) if key in doubts.noisy else compared
        previous = case.histories.get(key, NO_HISTORY)
        target = case.gathered.target
        look = target.look_at(key, case.look) if target is not None else case.look
        sighting = self._sighting(case, comparison, previous, look, clock)
        later = doubts.later.get(key)
        again = self._later(comparison, sighting, later)
        history = followed(comparison, previous, sighting, window_s=self.flow.window_s, later=again)
        return Trace(
            comparison=comparison, known=previous, history=history, sighting=sighting, look=look, later=later
        )

    def _judged(self, case: Case, trace: Trace, terms: Terms) -> Judgement:
        comparison, key = trace.comparison, trace.comparison.key
        if key in case.doubts.moving:
            judgement = glimpse(comparison, trace.history, trace.look, terms)
        else:
            unseen_s = 0.0 if comparison.agrees else self._unseen_s(case, trace, terms.of(comparison).window_s)
            judgement = judge(comparison, trace.history, trace.look, terms, unseen_s=unseen_s)
        return self._resolved(judgement, comparison, case, case.doubts.witnesses.get(key, ""))

    def _later(
        self, comparison: Comparison, sighting: Sighting, later: Later | None
    ) -> tuple[Comparison, Sighting] | None:
        """What the second look saw, if the owner held another version by then."""
        first = comparison.owner.fingerprint if comparison.owner else b""
        if later is None or first == (later.copy.fingerprint if later.copy else b""):
            return None
        later_comparison = replace(comparison, owner=later.copy)
        return later_comparison, replace(
            sighting,
            stamp_us=self._stamp_us(later_comparison),
            version=self._version(later_comparison),
            seen_at=later.received_at,
            earlier=(first, sighting.asked_at),
        )

    def _resolved(self, judgement: Judgement, comparison: Comparison, case: Case, witnesses: str) -> Judgement:
        """Add the result of the flow's conflict policy to a divergence; it is evidence and never carried out."""
        divergence = judgement.divergence
        if divergence is None or judgement.finding is None:
            return judgement
        answer = self._resolver.ask(comparison, judgement.finding, case.clocks, self._slack_s(case.known))
        resolved = replace(
            divergence,
            winner=answer.resolution.winner.value,
            resolution=answer.resolution.why,
            owner_written=answer.owner.bounds or divergence.owner_written,
            target_written=answer.target.bounds or divergence.target_written,
            witnesses=witnesses or divergence.witnesses,
        )
        return replace(judgement, divergence=resolved)

    def _sighting(
        self, case: Case, comparison: Comparison, history: History, look: Look, clock: ClockBounds | None
    ) -> Sighting:
        key, known, wanted = comparison.key, case.known, case.gathered.wanted
        listed = key in wanted.listed
        unjudged_at = known.unjudged.get(key)
        not_seen_at = None
        if known.audited and unjudged_at is None:
            if listed:
                not_seen_at = wanted.polled_before_at
            elif key in known.panel_read:
                not_seen_at = known.panel_read_at
        # A whole sweep before this audit has seen every record that the owner held then.
        fresh = history is NO_HISTORY and known.known_from_at is not None and unjudged_at is None
        fresh = fresh and (listed or key in wanted.announced or comparison.target is None)
        if fresh:
            not_seen_at = not_seen_at or known.known_from_at
        stale_s = self.flow.source.delay_floor_s
        if not_seen_at is not None:
            not_seen_at -= timedelta(seconds=stale_s)
        listed_at = known.looked_at
        if listed_at is not None and (read_at := _last_read_at(history)) is not None:
            listed_at = max(listed_at, read_at)
        looked_at = min((at for at in (listed_at, unjudged_at) if at is not None), default=look.sent_at)
        # An owner that always lists changes late is not one that nobody looked at.
        blind_s = max(BLIND_TURNS * self.flow.every_s, BLIND_S) + max(known.behind_s, wanted.behind_s or 0.0)
        asked_at, seen_at = case.gathered.owner.seen.get(key, (look.sent_at, look.sent_at))
        return Sighting(
            listed=listed,
            fresh=fresh,
            stamp_us=self._stamp_us(comparison),
            version=self._version(comparison),
            clock=clock,
            slack_s=self._slack_s(known),
            asked_at=asked_at,
            seen_at=seen_at,
            not_seen_at=not_seen_at,
            stale_s=stale_s,
            blind=(asked_at - looked_at).total_seconds() > blind_s,
        )

    def _stamp_us(self, comparison: Comparison) -> int | None:
        """The owner's own stamp of its copy; an increasing version is not a stamp."""
        held = comparison.owner_or_tombstone
        if held is None or self.flow.source_spec.changed_at is None:
            return None
        return self._comparer.changed_at_us(self._comparer.owner, held)

    def _version(self, comparison: Comparison) -> int | None:
        """The owner's own version number of its copy, if the map names one."""
        held = comparison.owner_or_tombstone
        if held is None or self.flow.source_spec.version is None:
            return None
        try:
            return None if held.raw_mark is None else parse_version(held.raw_mark)
        except UNREADABLE:
            return None

    def _slack_s(self, known: Known) -> float:
        """How long after its stamp a change may be committed, from the map or from observation."""
        return max(self.flow.source.clock_slack_s, known.commit_delay_s or 0.0)

    def _unseen_s(self, case: Case, trace: Trace, window_s: float) -> float:
        """How long the target may show a version that the owner held between two readings, see `judge`.

        There is none if the owner has not written since both agreed. Otherwise it takes at most a window or, if the
        flow is behind with what was written then, as long as a change is followed.
        """
        baseline = trace.history.baseline
        if baseline is not None and baseline.mark is not None and trace.sighting.mark == baseline.mark:
            return 0.0
        latest, overdue_at = self._latest_write(case, trace), case.known.overdue_since(trace.comparison.key)
        if overdue_at is not None and (latest is None or latest >= overdue_at):
            return followed_s(window_s)
        quiet = latest is not None and (trace.look.sent_at - latest).total_seconds() > window_s
        return 0.0 if quiet else window_s

    def _latest_write(self, case: Case, trace: Trace) -> datetime | None:
        """When the owner can have written its copy last, by its own stamp."""
        stamp_us, clock = trace.sighting.stamp_us, case.clocks[0]
        if stamp_us is None or clock is None:
            return None
        try:
            return clock.local(stamp_us)[1] + timedelta(seconds=self._slack_s(case.known))
        except OverflowError:
            return None

    def _terms(self, look: Look, clock: ClockBounds | None) -> Terms:
        trip_s = (look.received_at - look.sent_at).total_seconds()
        return Terms(
            window_s=self.flow.window_s,
            every_s=self.flow.every_s,
            guard_s=max(0.0, trip_s) + (clock.half_width_s if clock is not None else 0.0) + TIMER_S,
            confirm_s=self.flow.confirm_s,
            every_version=self.flow.settings.require_every_version,
            field_windows_s=self.flow.field_windows_s,
        )


def _last_read_at(history: History) -> datetime | None:
    """When a record that differs was last read, which may be later than the owner's last list of changes."""
    read_at = [change.differed_at for change in history.changes]
    read_at.append(history.divergence.last_seen_at if history.divergence is not None else None)
    return max((at for at in read_at if at is not None), default=None)


def _delay_s(case: Case, trace: Trace) -> float:
    """The least time after its stamp at which a change listed by the owner was committed."""
    fresh = len(trace.history.changes) > len(trace.known.changes)
    if not fresh or trace.comparison.key not in case.gathered.wanted.listed:
        return 0.0
    sighting = trace.sighting
    return commit_delay_s(stamp_us=sighting.stamp_us, clock=sighting.clock, not_seen_at=sighting.not_seen_at)


def _tells_the_owner(trace: Trace, outcome: Outcome) -> bool:
    """Whether the owner's whole copy is known, whatever was concluded."""
    if trace.comparison.owner_unread:
        return False
    return trace.later is not None or outcome not in {Outcome.INCONCLUSIVE, Outcome.CANNOT_VERIFY}


def _dated(judgement: Judgement, trace: Trace, owner_sent_at: datetime | None) -> Judgement:
    """Add the instants of the owner and of the reading to what is recorded."""
    divergence, sighting = judgement.divergence, trace.sighting
    if divergence is not None and trace.comparison.owner_or_tombstone is not None:
        written = divergence.owner_written
        if written is None and sighting.stamp_us is not None and sighting.clock is not None:
            written = sighting.commit_bounds(None)
        dated = replace(divergence, stamped_at=sighting.stamped_at, owner_written=written)
        judgement = replace(judgement, divergence=dated)
    if judgement.baseline is not None:
        # For copies that agreed, the owner's mark shows later whether it was written since.
        baseline = replace(
            judgement.baseline,
            agreed_at=sighting.asked_at or owner_sent_at,
            mark=sighting.mark if trace.comparison.agrees else None,
        )
        judgement = replace(judgement, baseline=baseline)
    return judgement
