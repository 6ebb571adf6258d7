"""The result of one audit of a flow, for the caller."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime

from auditor.audit.gathered import Failure
from checks.convergence import Change
from checks.judgement import Outcome
from probes.contract import Key


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditResult:
    """What one audit saw and concluded.

    Attributes:
        counts: records read by outcome.
        changes: changes that were enrolled.
        settled: changes that got their final verdict.
        shed: records left out because the budget is spent.
        error: the first failure, with the system it happened on.
        open_by_cause: open divergences of the flow, those of earlier audits included.
        swept: a pass over both systems was completed by this audit.
        taken: the sweep's slice.
        drawn: records taken at random.
        deadlines: changes with an ended window that this audit probed.
        shared: records whose reading at the owner was made by the audit of another flow.
        in_turn: a regular audit, not a probe between two turns.
    """

    flow: str
    started_at: datetime
    finished_at: datetime
    counts: Mapping[Outcome, int]
    changes: int = 0
    settled: tuple[Change, ...] = ()
    shed: int = 0
    error: Failure | None = None
    open_by_cause: Mapping[str, int] = field(default_factory=dict)
    swept: bool = False
    taken: Set[Key] = frozenset()
    drawn: Set[Key] = frozenset()
    deadlines: int = 0
    shared: int = 0
    in_turn: bool = True

    @property
    def read(self) -> int:
        """Records that got an outcome."""
        return sum(self.counts.values())
