"""The input and output of judging, besides what was read: values only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime

from auditor.audit.gathered import Doubts, Gathered, Later
from auditor.conflicts.policy import Clocks
from checks.comparison import Agreement, Comparison
from checks.convergence import Change, Verdict
from checks.enrolment import Sighting
from checks.judgement import Judgement, Outcome
from checks.record_history import History
from checks.terms import Look
from probes.contract import Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Everything that was read, compared.

    Attributes:
        comparisons: of the records that do not simply agree.
        agreed: the others.
    """

    comparisons: Sequence[Comparison]
    agreed: Mapping[Key, Agreement]

    @property
    def keys(self) -> list[Key]:
        """The keys of everything that was compared."""
        return [*self.agreed, *(each.key for each in self.comparisons)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What was known before this audit.

    Attributes:
        looked_at: the time up to which all changes at the owner were seen.
        behind_s: how far the owner's list of changes is behind in every audit.
        known_from_at: every record that the owner held at this time has been read since.
        commit_delay_s: the longest time after its stamp that a change was seen to be committed.
        audited: an audit has read both systems since the auditor was created.
        unjudged: records with an inconclusive last reading, and since when.
        panel_read, panel_read_at: the panel's records read last, and when the owner was read for them.
        overdue: of the two records whose changes have been overdue longest, the key as text and when the oldest of
            these changes was committed.
    """

    looked_at: datetime | None
    behind_s: float
    known_from_at: datetime | None
    commit_delay_s: float | None
    audited: bool
    unjudged: Mapping[Key, datetime]
    panel_read: Set[Key]
    panel_read_at: datetime | None
    overdue: Sequence[tuple[str, datetime]] = ()

    def overdue_since(self, key: Key) -> datetime | None:
        """When the oldest overdue change of any other record was committed."""
        return min((at for each, at in self.overdue if each != str(key)), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Everything that the records of one audit are judged by.

    Attributes:
        comparisons: of records that do not simply agree or are not known to.
        settled: records that agree, are known to, and have nothing pending.
        look: around all reads of the target.
        clocks: of the owner and the target.
        apart: records that are read only to confirm a missed change; their verdicts count for nothing else.
    """

    gathered: Gathered
    comparisons: Sequence[Comparison]
    settled: Set[Key]
    histories: Mapping[Key, History]
    doubts: Doubts
    look: Look
    clocks: Clocks
    known: Known
    apart: Set[Key] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What to follow of one record after this reading.

    Attributes:
        comparison: without unstable fields.
        history: `known` itself if nothing new is followed.
        look: around the read of the target that returned this record.
        later: what the owner held at the second look, if the record was moving.
    """

    comparison: Comparison
    known: History
    history: History
    sighting: Sighting
    look: Look
    later: Later | None

    @property
    def rests_on_clock(self) -> bool:
        """Whether the owner's clock determines when something new was committed."""
        return self.history is not self.known and self.sighting.clock is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """The results for the records read.

    Attributes:
        judgements: those with anything to record beyond the count.
        counts: records by outcome.
        outcomes: of every record that did not simply agree.
        unverified: the reasons for those that cannot be verified.
        decided: changes with a new verdict on their window, those of records read apart left out.
        apart: the results of records read apart that did not simply agree, None while they have none.
        commit_delay_s: the longest time after its stamp that a change was now seen to be committed.
        unjudged: records with an inconclusive last reading, and since when.
    """

    judgements: Sequence[Judgement]
    counts: Mapping[Outcome, int]
    outcomes: Mapping[Key, Outcome]
    unverified: Mapping[Key, str]
    decided: Sequence[Change]
    apart: Mapping[Key, Verdict | None]
    commit_delay_s: float
    unjudged: Mapping[Key, datetime]
