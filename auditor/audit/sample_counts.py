"""The counts of the sample: the outcomes of the records that were read at random. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass, replace

from auditor.ledger import FlowState
from checks.judgement import Outcome
from checks.sampling import BASE, Cohort, Drawn
from probes.contract import Key

UNWEIGHTED = Drawn(policy=BASE, probability=0.0)
"""The policy of records that no estimate can count."""

UNSETTLED = frozenset({Outcome.IN_FLIGHT, Outcome.SUSPECTED, Outcome.INCONCLUSIVE})
"""Later readings decide; a change on its way may still turn out late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A sampled record that neither agrees nor is certain to differ yet.

    Attributes:
        sweep: the number of the sweep that took it, None if only a policy did.
    """

    drawn: Drawn
    sweep: int | None


@dataclass(slots=True, kw_only=True)
class _Moves:
    """Changes to a sweep's counts."""

    divergent: int = 0
    undecided: int = 0


def settle(
    waiting: Mapping[Key, Mapping[Waiting, int]],
    drawn: Mapping[Key, Drawn],
    taken: Set[Key],
    read: Set[Key],
    outcomes: Mapping[Key, Outcome],
    state: FlowState,
) -> tuple[dict[str, Cohort], FlowState, Mapping[Key, Mapping[Waiting, int]]]:
    """Account for one audit: each sampled record counts once, if necessary as undecided at first, and is moved when
    it is certain.

    Args:
        waiting: sampled records of earlier audits that count as undecided, and how often each was drawn meanwhile.
        drawn: the records taken at random, with their probabilities.
        taken: those of the sweep's slice.
        read: everything that was read, for whatever reason.
        outcomes: of what was read and did not simply agree.
        state: after the slice was taken; a sweep completed by this slice has already ended.

    Returns:
        What to add to each policy's cohort, the state with the sweeps' counts, and the new waiting records.
    """
    left = dict(waiting)
    cohorts: dict[str, Cohort] = {}
    count, sweep, swept = state.swept.count, state.sweep, state.swept
    sweeps = {count: _Moves(), count - 1: _Moves()}
    for key in waiting.keys() & read:
        outcome = outcomes.get(key, Outcome.AGREED)
        if outcome not in UNSETTLED and outcome is not Outcome.CANNOT_VERIFY:
            for each, times in left.pop(key).items():
                _resolve(each, times, cohorts, sweeps, differs=outcome is Outcome.DIVERGENT)
    number = count if sweep.begun_at is not None else count - 1
    simply = Counter(drawn.values())
    for key in outcomes.keys() & (drawn.keys() | taken):
        outcome, how = outcomes[key], drawn.get(key, UNWEIGHTED)
        differs, unsettled = outcome is Outcome.DIVERGENT, outcome in UNSETTLED
        simply[how] -= 1
        if how.probability and outcome is not Outcome.CANNOT_VERIFY:
            _add(cohorts, how.policy, Cohort().plus(how.probability, divergent=differs, undecided=unsettled))
        if unsettled:
            left[key] = Counter(left.get(key, {})) + Counter(
                [Waiting(drawn=how, sweep=number if key in taken else None)]
            )
        if key in taken:
            sweeps[number].divergent += differs
            sweeps[number].undecided += unsettled or outcome is Outcome.CANNOT_VERIFY
    for how, records in simply.items():
        if how.probability and records > 0:
            _add(cohorts, how.policy, Cohort().plus(how.probability, records))
    now, before = sweeps[count], sweeps[count - 1]
    counted = replace(
        state,
        sweep=replace(
            sweep,
            divergent=(sweep.divergent or 0) + now.divergent,
            undecided=(sweep.undecided or 0) + now.undecided,
        ),
        swept=replace(
            swept,
            divergent=(swept.divergent or 0) + before.divergent,
            undecided=(swept.undecided or 0) + before.undecided,
        ),
    )
    return cohorts, counted, left


def _resolve(
    waiting: Waiting, times: int, cohorts: dict[str, Cohort], sweeps: Mapping[int, _Moves], *, differs: bool
) -> None:
    """Move an undecided record to its final count, as often as it was drawn."""
    if waiting.drawn.probability:
        settled = Cohort().plus(waiting.drawn.probability, times, divergent=differs)
        before = Cohort().plus(waiting.drawn.probability, times, undecided=True)
        _add(cohorts, waiting.drawn.policy, settled.minus(before))
    moves = sweeps.get(waiting.sweep) if waiting.sweep is not None else None
    if moves is not None:
        moves.undecided -= times
        moves.divergent += differs * times


def _add(cohorts: dict[str, Cohort], policy: str, more: Cohort) -> None:
    cohorts[policy] = cohorts.get(policy, Cohort()) + more
