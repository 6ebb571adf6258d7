"""Confirming a missed change: when a burst begins, which records are drawn for it, and what they showed."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace
from datetime import datetime, timedelta

from auditor.alerts.objectives import changes_per_period
from auditor.audit.case import Verdicts
from auditor.audit.gathered import Gathered
from auditor.audit.memory import BurstMemory
from auditor.ledger import Ledger
from auditor.map.flow import Flow
from checks.bursts import Burst, begin
from checks.convergence import Change, Verdict
from checks.objectives import WindowCounts
from checks.paging import DAY_S
from probes.contract import Key


class Confirmer:
    """Confirms the missed changes of one flow; see `checks.bursts`."""

    def __init__(self, flow: Flow, ledger: Ledger) -> None:
        self._flow = flow
        self._ledger = ledger

    def remembered(self) -> BurstMemory:
        """What the ledger has of the latest burst: its results, and not which records were drawn for it."""
        latest = self._ledger.bursts.latest(self._flow.name)
        return BurstMemory(now=None if latest is None else replace(latest, waiting=0))

    def draw(self, memory: BurstMemory, number: int, besides: Set[Key], now: datetime) -> frozenset[Key]:
        """Draw records, those that changed lately first.

        Args:
            besides: records that this audit reads anyway.
        """
        if not number:
            return frozenset()
        passed = besides | memory.drawn
        since = now - timedelta(seconds=self._flow.settings.sampling.memory_s)
        texts = self._ledger.bursts.draw(self._flow.name, number + len(passed), since=since)
        keys = [key for key in self._flow.parse_keys(texts) if key not in passed]
        return frozenset(keys[:number])

    def counted(
        self,
        memory: BurstMemory,
        drawn: frozenset[Key],
        gathered: Gathered,
        verdicts: Verdicts | None,
        at: datetime,
        *,
        left_out: int | None,
        lists_all: bool,
    ) -> BurstMemory:
        """Count the results of one audit, and begin a burst where a change has missed its window.

        Args:
            drawn: the records drawn by this audit.
            at: the end of the audit.
            left_out: records that the budget left out of the draw; None if this audit does not draw.
            lists_all: the owner lists all its changes, so that nothing is drawn.
        """
        burst, waiting = memory.now, memory.waiting
        if burst is not None:
            if verdicts is not None:
                waiting |= drawn
                results = {key: verdicts.apart.get(key, Verdict.MET) for key in waiting & gathered.wanted.keys.keys()}
                settled = {key: result for key, result in results.items() if result is not None}
                burst = replace(burst, waiting=len(waiting)).with_records(settled.values())
                waiting -= settled.keys()
                for change in sorted(verdicts.decided, key=lambda each: each.committed_to_at):
                    burst = burst.with_change(change.verdict, change.committed_from_at)
                memory = replace(memory, drawn=memory.drawn | drawn)
            if left_out is not None:
                burst = replace(burst, left_out=left_out)
            memory = replace(memory, now=burst.judged(at), waiting=waiting)
        if verdicts is None or (burst is not None and not burst.makes_way(at)):
            return memory
        begun = self._begun(verdicts.decided, at, lists_all=lists_all)
        return memory if begun is None else BurstMemory(now=begun)

    def _begun(self, decided: Sequence[Change], at: datetime, *, lists_all: bool) -> Burst | None:
        sla = self._flow.settings.sla
        missed = [each for each in decided if WindowCounts.of({each.verdict: 1}).missed]
        if not missed or sla.strict or sla.within_window >= 1:
            return None
        spans = (DAY_S, sla.period_s)
        counts = self._ledger.measurements.windows(self._flow.name, [at - timedelta(seconds=each) for each in spans])
        return begin(
            at=at,
            after_at=max(each.committed_to_at for each in missed),
            changes_per_period=changes_per_period(dict(zip(spans, counts, strict=True))),
            goal=sla.within_window,
            draws=not lists_all,
        )
