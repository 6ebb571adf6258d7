"""The conflict desk: conflicts come in from audits, people act on them, later readings check the decisions."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from auditor.conflicts.leftovers import CONFLICTS_KEPT
from auditor.ledger import Decision, Ledger, Transaction
from auditor.map.flow import Flow
from auditor.map.integration_map import IntegrationMap
from checks.cause import Cause
from checks.escalation import (
    OTHER,
    WAITING,
    Act,
    Conflict,
    RefusedError,
    State,
    check_act,
    due_at,
    escalates,
    follow,
)
from checks.record_history import Divergence


def after_audit(
    ledger: Ledger,
    transaction: Transaction,
    *,
    flow: Flow,
    divergences: Sequence[Divergence],
    now: datetime,
) -> int:
    """Update a flow's conflicts and add new ones, inside the audit's own transaction.

    Args:
        divergences: those that changed in this audit, in their new state, already written.

    Returns:
        How many conflicts wait for a person.
    """
    ledger.conflicts.wake(transaction, flow.name, now)
    live, kept = {}, dict[int, tuple[Cause, str]]()
    for conflict, agreed in ledger.conflicts.live(transaction, flow.name):
        move = follow(conflict, agreed, now)
        if move is not None:
            ledger.conflicts.move(transaction, conflict, move, now)
        if move is None or not move.closes:
            live[conflict.key] = conflict
        elif move.state is State.KEPT:
            kept[conflict.divergence_id] = conflict.cause, move.text
    decided = [_as_decided(each, *kept[each.divergence_id]) for each in divergences if each.divergence_id in kept]
    ledger.records.save_divergences(transaction, flow.name, flow.settings.data_type, decided)
    for divergence in divergences:
        known = str(divergence.key) in live or divergence.divergence_id in kept
        if escalates(divergence) and not known:
            _take_in(ledger, transaction, flow, divergence, now)
    return ledger.conflicts.waiting(transaction, flow.name)


def _as_decided(divergence: Divergence, cause: Cause, how: str) -> Divergence:
    """A divergence that ended as a person decided: what was overwritten was decided against, and not lost."""
    return replace(divergence, cause=cause, detail=how) if divergence.cause is Cause.LOST_UPDATE else divergence


def _take_in(ledger: Ledger, transaction: Transaction, flow: Flow, divergence: Divergence, now: datetime) -> None:
    key = str(divergence.key)
    before = ledger.conflicts.decided_before(transaction, flow.name, key)
    why = divergence.detail or divergence.resolution
    values: dict[str, Any] = {
        "flow": flow.name,
        "data_type": flow.settings.data_type,
        "key": key,
        "divergence_id": divergence.divergence_id,
        "cause": divergence.cause.value,
        "why": why,
        "opened_at": now,
        "state": State.OPEN.value,
        "assignee": flow.settings.team or None,
        "came_back_of": before,
    }
    text = f"{why}; it was decided before, see conflict {before}" if before else why
    ledger.conflicts.open(transaction, values, text)


def decide_waiting(
    integration_map: IntegrationMap,
    ledger: Ledger,
    *,
    since: datetime,
    choice: str,
    who: str,
    known_by: str,
    now: datetime,
) -> int:
    """Decide for one system in all conflicts that came up since an instant and wait for a person.

    Returns:
        How many were decided; one that somebody else decides meanwhile is left to them.
    """
    decided = 0
    for each in ledger.conflicts.listed(live_only=True):
        if each.opened_at >= since and each.state in WAITING:
            with suppress(RefusedError):
                act(
                    integration_map,
                    ledger,
                    each.conflict_id,
                    Act.DECIDE,
                    who=who,
                    known_by=known_by,
                    now=now,
                    choice=choice,
                )
                decided += 1
    return decided


def act(
    integration_map: IntegrationMap,
    ledger: Ledger,
    conflict_id: int,
    what: Act,
    *,
    who: str,
    known_by: str,
    now: datetime,
    choice: str | None = None,
    assignee: str | None = None,
    until_at: datetime | None = None,
    within_s: float | None = None,
    text: str = "",
) -> Conflict:
    """Record what a person does about a conflict.

    Args:
        known_by: how the auditor identified the person.
        choice: for a decision, the system whose copy counts, or `other`.
        within_s: for a decision, how soon the systems should agree on it; by default the flow's window, and at least
            15 minutes.

    Returns:
        The conflict before the act.

    Raises:
        RefusedError: the act is not allowed now, or someone else acted first.
    """
    case = ledger.conflicts.find(conflict_id)
    if case is None:
        raise RefusedError(f"there is no conflict {conflict_id}")
    conflict, _, about = case
    if conflict.flow not in integration_map.flows:
        raise RefusedError(
            f"the flow {conflict.flow} is no longer in the map: put it back to act on its conflicts; `auditor run` "
            f"closes them {CONFLICTS_KEPT.days} days after the flow's last audit"
        )
    flow = integration_map.flow(conflict.flow)
    systems = (flow.source_name, flow.target_name)
    check_act(conflict, what, choice=choice, systems=systems)
    new_values: dict[str, Any] = {}
    if what is Act.DECIDE:
        if choice != OTHER and not about:
            raise RefusedError("what the systems held is archived already; choose `other` and give the value")
        fingerprints = {systems[0]: about.get("version"), systems[1]: about.get("shown")}
        new_values = {
            "state": State.DECIDED.value,
            "choice": choice,
            "expected": None if choice == OTHER else fingerprints[str(choice)] or b"",
            "due_at": due_at(now, flow.window_s, within_s),
            "until_at": None,
        }
    elif what is Act.DEFER:
        if until_at is None or until_at <= now:
            raise RefusedError("choose a time in the future to defer it to")
        new_values = {"state": State.DEFERRED.value, "until_at": until_at}
    elif what is Act.ASSIGN:
        if not assignee:
            raise RefusedError("name the person to assign it to")
        new_values = {"assignee": assignee}
    elif what is Act.ACKNOWLEDGE:
        new_values = {"acknowledged_at": now, "acknowledged_by": who}
    elif what is Act.UNACKNOWLEDGE:
        new_values = {"acknowledged_at": None, "acknowledged_by": None}
    elif not text:
        raise RefusedError("the comment is empty")
    decision = Decision(
        act=what,
        who=who,
        known_by=known_by,
        acted_at=now,
        text=text,
        choice=choice,
        assignee=assignee,
        until_at=until_at,
    )
    if not ledger.conflicts.act_on(conflict, decision, new_values):
        raise RefusedError(f"conflict {conflict_id} changed while you were looking at it; reload it and try again")
    return conflict
