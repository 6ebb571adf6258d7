"""Whether one record is verified: a verdict for programs to check before they act, from the ledger alone.

A record is verified as of an instant if both copies have been read since then and agreed, and nothing that is known
since speaks against it. Every doubt makes the verdict *unknown*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from decimal import ROUND_CEILING
from enum import StrEnum
from http import HTTPStatus
from typing import Any

from auditor.history.status import FlowStatus, flow_status
from auditor.ledger import RECORD, ROWS, FlowState, Ledger
from auditor.map.flow import Flow
from auditor.map.integration_map import IntegrationMap, UnknownNameError
from auditor.storage.kept_text import restored
from auditor.systems.live_record import RecordView
from checks.convergence import Verdict
from checks.record_history import NO_HISTORY, DivergenceState, History
from probes.durations import format_duration, measured

SKEW_S = 1.0
"""How far the clocks of two machines that share a ledger may be apart."""


class RecordState(StrEnum):
    """What is known about a record."""

    VERIFIED = "verified"
    DIFFERS = "differs"
    UNKNOWN = "unknown"


STATUS = {
    RecordState.VERIFIED: HTTPStatus.OK,
    RecordState.DIFFERS: HTTPStatus.CONFLICT,
    RecordState.UNKNOWN: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""HTTP statuses: a caller that only looks for success never takes a doubt for one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowVerdict:
    """What is known about a record in one flow.

    Attributes:
        as_of_at: the instant of the verdict; None if there is none.
        changes_through_at: every change of the owner until then has a verdict.
        reasons: why it differs or is unknown.
        fields: those that differ.
    """

    flow: str
    source: str
    target: str
    verdict: RecordState
    as_of_at: datetime | None = None
    changes_through_at: datetime | None = None
    reasons: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordVerdict:
    """What is known about a record in all its flows.

    Attributes:
        as_of_at: verified in all of them as of this instant, or known to differ at it; None if unknown.
        age_s: since then.
        without_flow: systems that hold the data type, and that no flow of the verdict watches.
        read_live: the verdict is that of a fresh reading, not of the ledger.
    """

    data_type: str
    key: str
    verdict: RecordState
    checked_at: datetime
    as_of_at: datetime | None = None
    age_s: float | None = None
    reasons: tuple[str, ...] = ()
    flows: tuple[FlowVerdict, ...] = ()
    without_flow: tuple[str, ...] = ()
    read_live: bool = False

    @classmethod
    def unknown(cls, data_type: str, key: str, why: str, now: datetime) -> RecordVerdict:
        """The verdict if nothing can be read."""
        return cls(data_type=data_type, key=key, verdict=RecordState.UNKNOWN, checked_at=now, reasons=(why,))

    def as_document(self) -> dict[str, Any]:
        """For programs, with instants in ISO 8601."""
        document = asdict(self)
        for each in (document, *document["flows"]):
            for name in ("as_of_at", "checked_at", "changes_through_at"):
                if each.get(name) is not None:
                    each[name] = each[name].isoformat()
        return document


def record_verdict(
    integration_map: IntegrationMap,
    ledger: Ledger,
    data_type: str,
    key_text: str,
    *,
    now: datetime,
    within_s: float | None = None,
    flows: Sequence[str] | None = None,
    series: Mapping[str, str],
) -> RecordVerdict:
    """What the ledger holds about a record.

    Args:
        key_text: the key as people write it, or as views and pages show it.
        within_s: how old the verdict may be. By default any age will do while the flows are being audited.
        flows: only these; by default all flows of the data type.
        series: by flow, the series of fingerprints under the present map and digest key.

    Raises:
        UnknownNameError: no such data type, flow or key.
        LedgerError: the ledger cannot be read.
    """
    chosen = [integration_map.flow(name) for name in integration_map.carrying(data_type, flows)]
    keys = {flow.name: flow.parse_key(restored(key_text)) for flow in chosen}
    if any(key is None for key in keys.values()):
        raise UnknownNameError(f"{key_text[:100]!r} is not a valid key of {data_type}")
    statuses = {each.flow: each for each in flow_status(integration_map, ledger, now)}
    verdicts = []
    for flow in chosen:
        key = keys[flow.name]
        assert key is not None
        # Before the record: a sweep that ends in between must not vouch for what was read earlier.
        state = ledger.flows.state(flow.name)
        history = ledger.records.histories(flow.name, [key])[0].get(key, NO_HISTORY)
        doubt = ledger.unverified.why(flow.name, RECORD, str(key))
        seen = _seen(flow, state, statuses[flow.name], ledger, history, doubt, series[flow.name])
        verdicts.append(_within(seen, statuses[flow.name], now, within_s))
    watched = {name for flow in chosen for name in (flow.source_name, flow.target_name)}
    return _together(
        data_type,
        str(keys[chosen[0].name]),
        tuple(verdicts),
        now,
        tuple(name for name in integration_map.data_types[data_type].in_ if name not in watched),
    )


def live_verdict(
    integration_map: IntegrationMap, views: Sequence[RecordView], now: datetime, within_s: float | None
) -> RecordVerdict:
    """What fresh readings of a record show in all its systems.

    Args:
        views: one reading, and a second one if the first differs: a copy that differs twice may still be within its
            window, but it does differ.
    """
    view = views[-1]
    read_at = min(copy.read_at for copy in view.copies)
    stale_s = max(integration_map.systems[copy.system].delay_floor_s for copy in view.copies)
    state = {"agrees": RecordState.VERIFIED, "differs": RecordState.DIFFERS}.get(view.verdict, RecordState.UNKNOWN)
    if state is RecordState.DIFFERS and (len(views) < 2 or views[0].verdict != "differs"):
        state = RecordState.UNKNOWN
    reasons = tuple(f"{copy.system}: {copy.error}" for copy in view.copies if copy.error)
    if view.verdict == "differs":
        reasons = (f"differs in {', '.join(view.differing)}" if view.differing else "a copy is missing",)
    as_of_at = read_at - timedelta(seconds=stale_s) if state is not RecordState.UNKNOWN else None
    if as_of_at is not None and within_s is not None and (now - as_of_at).total_seconds() > within_s:
        reasons = (
            f"{state.value}, but a system may return data that is {format_duration(stale_s)} old, or was slow",
        )
        state, as_of_at = RecordState.UNKNOWN, None
    return RecordVerdict(
        data_type=view.data_type,
        key=str(view.key),
        verdict=state,
        checked_at=now,
        as_of_at=as_of_at,
        age_s=None if as_of_at is None else (now - as_of_at).total_seconds(),
        reasons=reasons or (() if state is RecordState.VERIFIED else (view.verdict,)),
        read_live=True,
    )


def _seen(
    flow: Flow,
    state: FlowState,
    status: FlowStatus,
    ledger: Ledger,
    history: History,
    doubt: str | None,
    series: str,
) -> FlowVerdict:
    """What the last audits of a flow have shown of a record, whatever its age."""

    def verdict(
        what: RecordState, *reasons: str, as_of_at: datetime | None = None, fields: tuple[str, ...] = ()
    ) -> FlowVerdict:
        return FlowVerdict(
            flow=flow.name,
            source=flow.source_name,
            target=flow.target_name,
            verdict=what,
            as_of_at=as_of_at,
            changes_through_at=status.verified_through_at,
            reasons=reasons,
            fields=fields,
        )

    if state.series is None:
        return verdict(RecordState.UNKNOWN, "the flow was never audited")
    if state.series != series:
        return verdict(RecordState.UNKNOWN, "the map or the digest key has changed since the last audit")
    divergence = history.divergence
    if divergence is not None and divergence.state is DivergenceState.OPEN:
        fields = tuple(dict.fromkeys(each.field for each in divergence.differences if each.field))
        reason = f"{divergence.kind.value}: {divergence.cause.value.replace('_', ' ')}"
        return verdict(RecordState.DIFFERS, reason, as_of_at=divergence.last_seen_at, fields=fields)
    doubts = []
    if divergence is not None:
        doubts.append(f"suspected of differing: {divergence.cause.value.replace('_', ' ')}")
    if any(change.verdict is Verdict.PENDING for change in history.changes):
        doubts.append("a change is on its way")
    elif history.changes:
        doubts.append("a change has not arrived yet")
    if doubt is not None:
        doubts.append(f"it cannot be verified: {doubt}")
    if doubts:
        return verdict(RecordState.UNKNOWN, *doubts)
    if history.baseline is None or history.baseline.agreed_at is None:
        return verdict(RecordState.UNKNOWN, "no audit has seen both copies agree")
    as_of_at = history.baseline.agreed_at
    swept_at = state.known_from_at
    if swept_at is not None and not status.unlisted and _sweep_settles(flow, ledger, state.swept.undecided):
        as_of_at = max(as_of_at, swept_at)
    return verdict(RecordState.VERIFIED, as_of_at=as_of_at)


def _sweep_settles(flow: Flow, ledger: Ledger, undecided: int | None) -> bool:
    """Whether a record without a history of doubts has agreed in the last complete sweep.

    A record that its owner was changing in that instant has no verdict of the sweep. That change is followed if the
    owner lists its changes; otherwise a sweep counts only if it had a verdict for every record.
    """
    listed = ledger.unverified.why(flow.name, ROWS, f"changes of {flow.source_name}") is None
    return undecided == 0 or (flow.source_spec.finds_changes and listed)


def _within(seen: FlowVerdict, status: FlowStatus, now: datetime, within_s: float | None) -> FlowVerdict:
    """The verdict if it is recent enough, otherwise *unknown* with what was seen last."""
    if seen.as_of_at is None:
        return seen
    age_s = (now - seen.as_of_at).total_seconds()
    last = f"{seen.verdict.value} as of {seen.as_of_at.isoformat(timespec='milliseconds')}"
    if within_s is not None and age_s > within_s:
        reason = f"{last}, {measured(age_s, ROUND_CEILING)} ago; at most {format_duration(within_s)} are allowed"
    elif within_s is None and status.outdated:
        how = "not being audited" if status.stale else "held back"
        reason = f"{last}, but the flow is {how}: {status.why}"
    elif age_s < -SKEW_S and seen.verdict is RecordState.VERIFIED:
        reason = f"{last}, which lies in the future: a clock was set"
    else:
        return seen
    return FlowVerdict(
        flow=seen.flow,
        source=seen.source,
        target=seen.target,
        verdict=RecordState.UNKNOWN,
        changes_through_at=seen.changes_through_at,
        reasons=(reason,),
    )


def _together(
    data_type: str, key: str, flows: tuple[FlowVerdict, ...], now: datetime, without_flow: tuple[str, ...]
) -> RecordVerdict:
    """The verdict of all flows: one that differs decides, then one that is unknown, then the oldest."""
    states = {each.verdict for each in flows}
    verdict = next(
        each for each in (RecordState.DIFFERS, RecordState.UNKNOWN, RecordState.VERIFIED) if each in states
    )
    deciding = [each for each in flows if each.verdict is verdict]
    as_of_at = min((each.as_of_at for each in deciding if each.as_of_at is not None), default=None)
    return RecordVerdict(
        data_type=data_type,
        key=key,
        verdict=verdict,
        checked_at=now,
        as_of_at=as_of_at,
        age_s=None if as_of_at is None else (now - as_of_at).total_seconds(),
        reasons=tuple(f"{each.flow}: {reason}" for each in deciding for reason in each.reasons),
        flows=flows,
        without_flow=without_flow,
    )
