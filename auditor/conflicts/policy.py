"""Applying a flow's conflict policy: when each copy was written, and what the record should therefore be."""

from __future__ import annotations

from dataclasses import dataclass

from auditor.map.flow import Flow
from auditor.map.merge_functions import load_merge
from checks.causes import Finding
from checks.clocks import ClockBounds
from checks.comparison import Comparison, Copy
from checks.conflicts import UNKNOWN, Resolution, Written, resolve, written_between
from checks.records import RecordComparer
from checks.sides import UNREADABLE, Side
from checks.values import parse_integer
from probes.contract import ReadSpec

Clocks = tuple[ClockBounds | None, ClockBounds | None]
"""Clocks of the owner and the target; None while a clock's stamps are meaningless."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The policy's result for one record, and its basis."""

    resolution: Resolution
    owner: Written
    target: Written


class Resolver:
    """Evaluates the conflict policy of one flow; it is never carried out.

    Raises:
        MergeError: the flow's merge function cannot be loaded.
    """

    def __init__(self, flow: Flow, comparer: RecordComparer) -> None:
        self.flow = flow
        self._comparer = comparer
        self._merge = load_merge(flow.settings.merge_function) if flow.settings.merge_function else None

    def ask(self, comparison: Comparison, finding: Finding, clocks: Clocks, slack_s: float) -> Answer:
        """Decide what a differing record should be.

        Args:
            slack_s: how long after its stamp a change of the owner may be committed.
        """
        flow, comparer = self.flow, self._comparer
        owner = self._written(comparer.owner, flow.source_spec, comparison.owner, clocks[0], slack_s)
        target_slack_s = flow.target.clock_slack_s
        target = self._written(comparer.target, flow.target_spec, comparison.target, clocks[1], target_slack_s)
        resolution = resolve(
            flow.settings.conflict_policy,
            comparison,
            finding,
            systems=(flow.source_name, flow.target_name),
            target_may_write=flow.target_may_write,
            owner=owner,
            target=target,
            rules=comparer.rules,
            merge=self._merge,
        )
        return Answer(resolution=resolution, owner=owner, target=target)

    def _written(
        self, side: Side, spec: ReadSpec, copy: Copy | None, clock: ClockBounds | None, slack_s: float
    ) -> Written:
        """When a copy was last written, by its own data."""
        if copy is None or spec.mark is None:
            return UNKNOWN
        if spec.changed_at is not None:
            return written_between(self._comparer.changed_at_us(side, copy), clock, slack_s)
        try:
            return Written(version=parse_integer(copy.raw_mark))
        except UNREADABLE:
            return UNKNOWN
