"""Auditing once: a whole sweep of every flow, then waiting for what is pending."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_CEILING
from typing import Any

from auditor.alerts.reporter import Reporter
from auditor.audit.budget import SLICE_CALLS
from auditor.audit.flow_audit import Auditor, by_owner
from auditor.audit.owner_reads import OwnerReads
from auditor.history.findings import Findings, findings
from auditor.history.status import MEANINGS, Standing
from auditor.ledger import Ledger
from auditor.map.integration_map import IntegrationMap
from auditor.systems.allowance import Worth, open_allowances
from auditor.systems.reader import SystemReader, open_readers
from checks.cause import MEANINGS as CAUSES
from checks.cause import Cause
from probes.contract import Reason
from probes.durations import measured
from probes.wording import counted

SWEEP_PAGE = 2_000

PAIR_READS = 4
"""How often a sweep reads the pairs of a record whose system has keys of its own: when it is listed, when the other
side is searched for it, and twice when it is read."""

LEAST_PAGE = 100
"""A slice has as many records, or a multiple: a page of a list costs a call, however few records it has."""

MINUTE_S = 65.0
"""What is spent of a minute's calls is waited for; what is spent of a day's ends the sweep."""

MOST_WAIT_S = 120.0
"""The longest that is waited for records still within their window, unless someone says how long."""

SETTLING_S = 10.0
"""From the end of a window to the verdict: the reading that confirms it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The result of one flow's audit.

    Attributes:
        records: records compared in the sweep.
        pending: records still within their window when the waiting ended.
        undecided: those of them that are suspected, or changed before the last record had been read. What changes
            later, while the others are waited for, is not part of this audit.
        cannot_verify: listed records and rows that could not be verified when the waiting ended.
        error: what ended the sweep early, "" if nothing did; the records not read are unknown.
        findings: which records differ, are pending or cannot be verified.
    """

    flow: str
    records: int
    open_by_cause: Mapping[str, int]
    pending: int
    undecided: int
    cannot_verify: int
    error: str
    findings: Findings

    @property
    def unverified(self) -> bool:
        """Whether anything could not be verified."""
        return bool(self.error or self.cannot_verify or self.undecided)

    @property
    def unknown(self) -> Standing | None:
        """What keeps the flow from being fully verified; None if nothing does."""
        if self.error or self.cannot_verify:
            return Standing.UNVERIFIED
        return Standing.PENDING if self.undecided else None

    @property
    def meanings(self) -> dict[str, str]:
        """The words of the verdict, and of what keeps it from being certain, each with its meaning."""
        causes = {cause: CAUSES[Cause(cause)].words for cause in sorted(self.open_by_cause)}
        state = self.unknown or (None if causes else Standing.CONSISTENT)
        return causes if state is None else {**causes, str(state): MEANINGS[state]}

    def as_row(self) -> dict[str, Any]:
        """The report as one row of a table."""
        drift = ", ".join(f"{count} {cause}" for cause, count in sorted(self.open_by_cause.items()))
        verdict = drift or self.unknown or Standing.CONSISTENT
        return {
            "flow": self.flow,
            "verdict": verdict,
            "records": self.records,
            "pending": self.pending,
            "cannot_verify": self.cannot_verify,
            "error": self.error,
        }

    def as_document(self) -> dict[str, Any]:
        """The row with the records, for programs: each list has at most `auditor.ledger.LISTED` of them."""
        findings = self.findings
        return {
            **self.as_row(),
            "counts": findings.counts,
            "divergent_records": findings.divergent,
            "pending_records": findings.pending,
            "unverified_records": findings.unverified,
        }


def audit_once(
    integration_map: IntegrationMap,
    ledger: Ledger,
    digest_key: bytes,
    *,
    flows: Sequence[str],
    wait_s: float | None = None,
    tell: Callable[[str], None],
) -> list[Report]:
    """Audit every record of these flows.

    Args:
        wait_s: how long to wait, after the sweeps, for suspicions to be confirmed or dismissed; None until the
            longest window has ended, at most two minutes.
        tell: called with progress messages.
    """
    if wait_s is None:
        longest_s = max((integration_map.flow(name).window_s for name in flows), default=0.0)
        wait_s = min(longest_s + SETTLING_S, MOST_WAIT_S)
    readers = open_readers(integration_map, open_allowances(integration_map.systems, ledger.spending))
    reporter = Reporter.of_map(ledger, integration_map, senders=())
    try:
        auditors = [
            Auditor(
                flow=integration_map.flow(name),
                source=readers[integration_map.flows[name].from_],
                target=readers[integration_map.flows[name].to],
                ledger=ledger,
                digest_key=digest_key,
                reporter=reporter,
                others=readers,
            )
            for name in flows
        ]
        swept: dict[str, tuple[int, str]] = {}
        for together in by_owner(auditors):
            swept |= _sweep(together, tell)
        read_at = datetime.now(UTC)
        _settle(auditors, ledger, swept, read_at, wait_s, tell)
    finally:
        for reader in readers.values():
            reader.close()
    open_now, pending = ledger.findings.open_by_cause(), ledger.findings.pending_counts()
    undecided = ledger.findings.pending_counts(read_at)
    return [
        Report(
            flow=name,
            records=records,
            open_by_cause=open_now.get(name, {}),
            pending=pending.get(name, 0),
            undecided=undecided.get(name, 0),
            cannot_verify=ledger.unverified.count(name, queues=False),
            error=error,
            findings=findings(ledger, name),
        )
        for name in flows
        for records, error in (swept[name],)
    ]


def _sweep(auditors: Sequence[Auditor], tell: Callable[[str], None]) -> dict[str, tuple[int, str]]:
    """Sweep flows of one owner completely, in parallel, so that records wanted by several are read once.

    Returns:
        By flow, how many records were read, and the error that ended it.
    """
    for auditor in auditors:
        auditor.begin_sweep()
    ended: dict[str, tuple[int, str]] = {}
    going = list(auditors)
    read: dict[str, int] = {}
    costs: dict[tuple[str, str], float] = {}
    while going:
        time.sleep(_rest_s(going, read, costs))
        now = datetime.now(UTC)
        owner = None
        if len(going) > 1:
            owner = OwnerReads(going[0].source, [auditor.flow for auditor in going], fresh_s=math.inf)
        read = {}
        for auditor in going:
            if read and _room_s(auditor, costs):
                continue  # another flow has used the calls: it waits for the next round
            flow = auditor.flow
            limited = any(reader.allowance.limited for reader in auditor.readers)
            before = _calls(auditor)
            result = auditor.audit(now, sample=_page(auditor, costs), panel=0 if limited else None, owner=owner)
            if result.read:
                costs |= {place: (calls - before[place]) / result.read for place, calls in _calls(auditor).items()}
            # An audit also reads the panel and due records: they do not count as further records.
            state = auditor.ledger.flows.state(flow.name)
            records = (state.swept.read if result.swept else state.sweep.read) or 0
            tell(f"{flow.name}: {counted(records, 'record')} read")
            if result.error is not None:
                ended[flow.name] = records, f"{result.error[0]}: {result.error[1]}"
            elif result.swept:
                ended[flow.name] = records, ""
            elif result.shed and (spent := _spent(auditor)):
                ended[flow.name] = records, spent
            read[flow.target_name] = read.get(flow.target_name, 0) + result.read
            read[flow.source_name] = owner.records if owner is not None else result.read
        going = [auditor for auditor in going if auditor.flow.name not in ended]
    return ended


def _calls(auditor: Auditor) -> dict[tuple[str, str], int]:
    """The calls that a flow has sent so far, by flow and system."""
    flow = auditor.flow.name
    return {(flow, reader.name): reader.allowance.used(flow).calls for reader in auditor.readers}


def _costs(auditor: Auditor, last: Mapping[tuple[str, str], float]) -> Iterator[tuple[SystemReader, float]]:
    """The systems that a slice reads, and how many calls each of its records costs there at the most.

    Args:
        last: what each cost in the flow's last slice: less where lists contain whole records.
    """
    flow = auditor.flow
    for reader, spec in ((auditor.source, flow.source_spec), (auditor.target, flow.target_spec)):
        reads = [(reader, spec, 1)]
        if spec.pairs is not None:
            reads.append((reader.others[spec.pairs.system], spec.pairs.by_own_key, PAIR_READS))
        for each, its_spec, times in reads:
            batch, more = each.costs(its_spec)
            seen = last.get((flow.name, each.name), math.inf)
            yield each, min(more + times / batch, max(1 / SWEEP_PAGE, 2 * seen))


def _page(auditor: Auditor, last: Mapping[tuple[str, str], float]) -> int:
    """Records of the next slice: no more than the calls of a minute or a day that are left can read."""
    pages = [SWEEP_PAGE]
    for reader, each in _costs(auditor, last):
        free = reader.allowance.free(Worth.SWEEP)
        if math.isfinite(free):
            pages.append(int((free - 2 * SLICE_CALLS) / each))
    size = max(1, min(pages))
    return size - size % LEAST_PAGE if size > LEAST_PAGE else size


def _room_s(auditor: Auditor, last: Mapping[tuple[str, str], float]) -> float:
    """How long until there are calls for a slice that is worth them; 0 if that takes longer than is waited for."""
    waits = (
        reader.allowance.room_s(Worth.SWEEP, 2 * SLICE_CALLS + math.ceil(LEAST_PAGE * each))
        for reader, each in _costs(auditor, last)
    )
    return max((wait_s for wait_s in waits if wait_s <= MINUTE_S), default=0.0)


def _spent(auditor: Auditor) -> str:
    """Which system's calls are spent for longer than is waited for, "" where those of none are."""
    for reader in auditor.readers:
        wait_s = reader.allowance.wait_s(Worth.SWEEP)
        if wait_s > MINUTE_S:
            spent = f"its calls are spent for the next {measured(wait_s, ROUND_CEILING)}"
            return f"{reader.name}: {Reason.OVER_BUDGET}: {spent}"
    return ""


def _rest_s(auditors: Sequence[Auditor], read: Mapping[str, int], costs: Mapping[tuple[str, str], float]) -> float:
    """Seconds to pause, to leave systems alone after so many reads, before these auditors continue."""
    systems = {
        name: system
        for auditor in auditors
        for name, system in (
            (auditor.flow.source_name, auditor.flow.source),
            (auditor.flow.target_name, auditor.flow.target),
        )
    }
    reads = [read.get(name, 0) / system.budget.records_per_s for name, system in systems.items()]
    readers = {reader.name: reader for auditor in auditors for reader in auditor.readers}
    calls = [wait_s for reader in readers.values() if (wait_s := reader.allowance.wait_s(Worth.SWEEP)) <= MINUTE_S]
    return max([*reads, *calls, *(_room_s(each, costs) for each in auditors)], default=0.0)


def _settle(
    auditors: Sequence[Auditor],
    ledger: Ledger,
    swept: Mapping[str, tuple[int, str]],
    read_at: datetime,
    wait_s: float,
    tell: Callable[[str], None],
) -> None:
    deadline = time.monotonic() + wait_s
    while time.monotonic() < deadline:
        pending = ledger.findings.pending_counts(read_at)
        waiting = [
            auditor for auditor in auditors if not swept[auditor.flow.name][1] and pending.get(auditor.flow.name)
        ]
        if not waiting:
            return
        left = sum(pending[auditor.flow.name] for auditor in waiting)
        tell(f"{left} pending, waiting up to {deadline - time.monotonic():.0f} s")
        time.sleep(min(1.0, max(0.0, deadline - time.monotonic())))
        for auditor in waiting:
            auditor.audit(datetime.now(UTC), sample=0)
