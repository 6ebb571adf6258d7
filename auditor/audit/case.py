"""What judging takes and returns, beside what was read: values only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime

from auditor.audit.gathered import Doubts, Gathered, Later
from auditor.conflicts.policy import Clocks
from checks.comparison import Agreement, Comparison
from checks.enrolment import Sighting
from checks.judgement import Judgement, Outcome
from checks.record_history import History
from checks.terms import Look
from probes.contract import Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """All that was read, compared.

    Attributes:
        comparisons: of the records that do not simply agree.
        agreed: the others.
    """

    comparisons: Sequence[Comparison]
    agreed: Mapping[Key, Agreement]

    @property
    def keys(self) -> list[Key]:
        """Everything that was compared."""
        return [*self.agreed, *(each.key for each in self.comparisons)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What was known before this audit.

    Attributes:
        looked_at: up to when everything was seen that changed at the owner.
        known_from_at: every record that the owner held then has been read since.
        commit_delay_s: the longest time after its stamp that a change was seen to be committed.
        audited: an audit has read both systems since the auditor was made.
        unjudged: records of which the last reading told nothing, since when.
        panel_read, panel_read_at: the panel's records that were read last, and when the owner was asked for them.
    """

    looked_at: datetime | None
    known_from_at: datetime | None
    commit_delay_s: float | None
    audited: bool
    unjudged: Mapping[Key, datetime]
    panel_read: Set[Key]
    panel_read_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Everything that one audit's records are judged by.

    Attributes:
        comparisons: of what does not simply agree or is not known to.
        settled: records that agree, are known to, and of which nothing is pending.
        look: around all reads of the target.
        clocks: of the owner and the target.
    """

    gathered: Gathered
    comparisons: Sequence[Comparison]
    settled: Set[Key]
    histories: Mapping[Key, History]
    doubts: Doubts
    look: Look
    clocks: Clocks
    known: Known


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What is followed of one record from this reading on.

    Attributes:
        comparison: without the fields that differ from themselves.
        history: `known` itself where nothing new is followed.
        look: around the read of the target that gave this record.
        later: what the owner held at the second look, where the record was moving.
    """

    comparison: Comparison
    known: History
    history: History
    sighting: Sighting
    look: Look
    later: Later | None

    @property
    def rests_on_clock(self) -> bool:
        """Whether the owner's clock says when something new was committed."""
        return self.history is not self.known and self.sighting.clock is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """What the records read came to.

    Attributes:
        judgements: those that say anything beyond the count.
        counts: records by outcome.
        outcomes: of every record that did not simply agree.
        unverified: of those that cannot be verified, why.
        commit_delay_s: the longest time after its stamp that a change was now seen to be committed.
        unjudged: records of which the last reading told nothing, since when.
    """

    judgements: Sequence[Judgement]
    counts: Mapping[Outcome, int]
    outcomes: Mapping[Key, Outcome]
    unverified: Mapping[Key, str]
    commit_delay_s: float
    unjudged: Mapping[Key, datetime]
