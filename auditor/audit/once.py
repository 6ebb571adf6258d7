"""Auditing once: a whole sweep of every flow, then waiting for what is pending."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from auditor.audit.budget import SLICE_CALLS
from auditor.audit.flow_audit import Auditor, by_owner
from auditor.audit.owner_reads import OwnerReads
from auditor.history.findings import Findings, findings
from auditor.ledger import Ledger
from auditor.map.integration_map import IntegrationMap
from auditor.systems.allowance import Worth, open_allowances
from auditor.systems.reader import open_readers
from probes.contract import Reason
from probes.wording import counted

SWEEP_PAGE = 2_000

PAIR_READS = 4
"""How often a sweep reads the pairs of a record whose system has keys of its own: when it is listed, when the other
side is searched for it, and twice when it is read."""

MINUTE_S = 60.0
"""What is spent of a minute's calls is waited for; what is spent of a day's ends the sweep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The result of one flow's audit.

    Attributes:
        records: records compared in the sweep.
        pending: records still within their window when the waiting ended.
        cannot_verify: listed records and rows that could not be verified when the waiting ended.
        error: what ended the sweep early, "" if nothing did; the records not read are unknown.
        findings: which records differ, are pending or cannot be verified.
    """

    flow: str
    records: int
    open_by_cause: Mapping[str, int]
    pending: int
    cannot_verify: int
    error: str
    findings: Findings

    @property
    def unverified(self) -> bool:
        """Whether anything could not be verified."""
        return bool(self.error or self.cannot_verify or self.pending)

    def as_row(self) -> dict[str, Any]:
        """The report as one row of a table."""
        drift = ", ".join(f"{count} {cause}" for cause, count in sorted(self.open_by_cause.items()))
        unknown = "unverified" if self.error or self.cannot_verify else "pending" if self.pending else ""
        verdict = drift or unknown or "consistent"
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
    wait_s: float,
    tell: Callable[[str], None],
) -> list[Report]:
    """Audit every record of these flows.

    Args:
        wait_s: how long to wait, after the sweeps, for suspicions to be confirmed or dismissed.
        tell: called with progress messages.
    """
    readers = open_readers(integration_map, open_allowances(integration_map.systems, ledger.spending))
    try:
        auditors = [
            Auditor(
                flow=integration_map.flow(name),
                source=readers[integration_map.flows[name].from_],
                target=readers[integration_map.flows[name].to],
                ledger=ledger,
                digest_key=digest_key,
                others=readers,
            )
            for name in flows
        ]
        swept: dict[str, tuple[int, str]] = {}
        for together in by_owner(auditors):
            swept |= _sweep(together, tell)
        _settle(auditors, ledger, swept, wait_s, tell)
    finally:
        for reader in readers.values():
            reader.close()
    open_now = ledger.findings.open_by_cause()
    return [
        Report(
            flow=name,
            records=records,
            open_by_cause=open_now.get(name, {}),
            pending=ledger.findings.pending_count(name),
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
    while going:
        now = datetime.now(UTC)
        owner = None
        if len(going) > 1:
            owner = OwnerReads(going[0].source, [auditor.flow for auditor in going], fresh_s=math.inf)
        read: dict[str, int] = {}
        for auditor in going:
            flow = auditor.flow
            result = auditor.audit(now, sample=_page(auditor), owner=owner)
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
        time.sleep(_rest_s(going, read))
    return ended


def _page(auditor: Auditor) -> int:
    """Records of the next slice: no more than the calls of a minute or a day that are left can read."""
    pages = [SWEEP_PAGE]
    flow = auditor.flow
    for reader, spec in ((auditor.source, flow.source_spec), (auditor.target, flow.target_spec)):
        reads = [(reader, spec, 1)]
        if spec.pairs is not None:
            reads.append((reader.others[spec.pairs.system], spec.pairs.by_own_key, PAIR_READS))
        for each, its_spec, times in reads:
            free = each.allowance.free(Worth.SWEEP)
            if math.isfinite(free):
                batch, more = each.costs(its_spec)
                pages.append(int((free - 2 * SLICE_CALLS) / (more + times / batch)))
    return max(1, min(pages))


def _spent(auditor: Auditor) -> str:
    """Which system's calls are spent for longer than is waited for, "" where those of none are."""
    for reader in auditor.readers:
        wait_s = reader.allowance.wait_s(Worth.SWEEP)
        if wait_s > MINUTE_S:
            return f"{reader.name}: {Reason.OVER_BUDGET}: its calls are spent for the next {wait_s:.0f} s"
    return ""


def _rest_s(auditors: Sequence[Auditor], read: Mapping[str, int]) -> float:
    """Seconds to pause, to leave systems alone after so many reads, before these auditors continue."""
    systems = {
        name: system
        for auditor in auditors
        for name, system in (
            (auditor.flow.source_name, auditor.flow.source),
            (auditor.flow.target_name, auditor.flow.target),
        )
    }
    reads = [read[name] / system.budget.records_per_s for name, system in systems.items()]
    readers = {reader.name: reader for auditor in auditors for reader in auditor.readers}
    calls = [wait_s for reader in readers.values() if (wait_s := reader.allowance.wait_s(Worth.SWEEP)) <= MINUTE_S]
    return max([*reads, *calls], default=0.0)


def _settle(
    auditors: Sequence[Auditor],
    ledger: Ledger,
    swept: Mapping[str, tuple[int, str]],
    wait_s: float,
    tell: Callable[[str], None],
) -> None:
    deadline = time.monotonic() + wait_s
    while time.monotonic() < deadline:
        waiting = [
            auditor
            for auditor in auditors
            if not swept[auditor.flow.name][1] and ledger.findings.pending_count(auditor.flow.name)
        ]
        if not waiting:
            return
        left = sum(ledger.findings.pending_count(auditor.flow.name) for auditor in waiting)
        tell(f"{left} pending, waiting up to {deadline - time.monotonic():.0f} s")
        time.sleep(min(1.0, max(0.0, deadline - time.monotonic())))
        for auditor in waiting:
            auditor.audit(datetime.now(UTC), sample=0)
