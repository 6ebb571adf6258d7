"""Conflict policies: which copy counts if both were written. Evaluated, never executed. Pure.

For each differing field a policy decides whose value counts, or abstains and says why; then a person decides. If only
a system that may write has written, there is nothing to decide under any policy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR
from enum import StrEnum
from typing import Any

from checks.cause import Cause, Kind
from checks.causes import Finding
from checks.clocks import ClockBounds
from checks.comparison import Comparison
from checks.field_text import plain
from checks.fields import FieldRule
from probes.durations import measured


class Policy(StrEnum):
    """The conflict policies that a map may set for a flow."""

    SOURCE_OF_TRUTH = "source-of-truth-wins"
    LAST_WRITE = "last-write-wins"
    VERSION = "version"
    FIELD_MERGE = "field-merge"
    MERGE_FUNCTION = "merge-function"
    AVOIDANCE = "avoidance"
    MANUAL = "manual"


class Winner(StrEnum):
    """Whose value counts."""

    OWNER = "owner"
    TARGET = "target"
    MERGED = "merged"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """When a copy was last written, by its own data.

    Attributes:
        from_at, to_at: bounds of the write, local clock; None if the copy or the clock does not give them.
        version: its increasing version number, or None.
    """

    from_at: datetime | None = None
    to_at: datetime | None = None
    version: int | None = None

    @property
    def bounds(self) -> tuple[datetime, datetime] | None:
        """Both bounds, if known."""
        return (self.from_at, self.to_at) if self.from_at and self.to_at else None


UNKNOWN = Written()


def written_between(stamp_us: int | None, clock: ClockBounds | None, slack_s: float) -> Written:
    """Bound the instant of a write by its own stamp.

    Args:
        stamp_us: in the system's clock, or None.
        clock: bounds of that clock; None while its stamps are meaningless.
        slack_s: how long after its stamp a write may be committed.
    """
    if stamp_us is None or clock is None:
        return UNKNOWN
    try:
        from_at, to_at = clock.local(stamp_us)
        return Written(from_at=from_at, to_at=to_at + timedelta(seconds=slack_s))
    except OverflowError:  # a stamp beyond the calendar
        return UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """What the record should be, and why.

    Attributes:
        winner: whose record counts; `merged` if it varies from field to field, `nobody` if the policy abstains.
        why: the reason, for people.
        fields: whose value counts, by differing field.
        merged: values that neither copy holds, by field (canonical, as `checks.field_text.plain` returns them).
    """

    winner: Winner
    why: str
    fields: Mapping[str, Winner] = field(default_factory=dict)
    merged: Mapping[str, Any] = field(default_factory=dict)

    @property
    def abstains(self) -> bool:
        """Whether a person must decide."""
        return self.winner is Winner.NOBODY


class MergeError(Exception):
    """A merge function failed, timed out or returned nonsense; the text says which."""


Merge = Callable[[Mapping[str, Any], Mapping[str, Any], Mapping[str, Sequence[str]]], Mapping[str, Any]]
"""Called with the owner's values, the target's values, and who `changed` which fields; returns values by field.
Raises MergeError."""


WRITTEN = frozenset({Cause.WRITE_CONFLICT, Cause.LOST_UPDATE, Cause.FOREIGN_WRITE})
"""Causes in which the target's copy was written as well as the owner's."""


def contested(comparison: Comparison, finding: Finding, *, target_may_write: bool) -> bool:
    """Whether the target wrote a field it may write, so that a policy must decide whose copy counts.

    Args:
        target_may_write: the map lets the target write some field; this decides when one side deleted the record.
    """
    if finding.cause not in WRITTEN:
        return False
    return any(place.shared for place in comparison.places) if comparison.places else target_may_write


def resolve(
    policy: Policy,
    comparison: Comparison,
    finding: Finding,
    *,
    systems: tuple[str, str],
    target_may_write: bool = False,
    owner: Written = UNKNOWN,
    target: Written = UNKNOWN,
    rules: Sequence[tuple[str, FieldRule]] = (),
    merge: Merge | None = None,
) -> Resolution:
    """Decide what a differing record should be.

    Args:
        systems: names of the flow's source and target.
        target_may_write: whether the map lets the target write any field at all.
        owner, target: when and as which version the two copies were last written.
        rules: the compared fields, for a merge function.
    """
    if finding.kind is Kind.DUPLICATE:
        return _nobody("several records stand for one: which one should stay cannot be determined from outside")
    if finding.kind is Kind.INVALID:
        return _nobody("the value is wrong in itself: only its owner can say what is right")
    if not contested(comparison, finding, target_may_write=target_may_write):
        if policy is Policy.MANUAL and finding.cause in {Cause.UNEXPLAINED, Cause.ORPHAN, Cause.WRITE_CONFLICT}:
            return _nobody("the map leaves the decision to a person")
        return _by_leaders(comparison, systems)
    if policy is Policy.SOURCE_OF_TRUTH:
        return _by_leaders(comparison, systems)
    if policy is Policy.AVOIDANCE:
        return _nobody(f"{systems[1]} wrote although conflicts are to be avoided: a breach of the design")
    if policy is Policy.MANUAL:
        return _nobody("the map leaves the decision to a person")
    if comparison.owner is None or comparison.target is None:
        return _nobody(f"one side deleted what the other changed: {policy} cannot compare a deletion")
    if policy is Policy.LAST_WRITE:
        resolution = _by_time(comparison, systems, owner, target)
    elif policy is Policy.VERSION:
        resolution = _by_version(comparison, systems, owner, target)
    elif policy is Policy.FIELD_MERGE:
        resolution = _by_field(comparison, finding)
    else:
        resolution = _by_function(comparison, finding, rules, merge)
    return resolution if resolution.abstains else _within_authority(comparison, resolution)


def _within_authority(comparison: Comparison, resolution: Resolution) -> Resolution:
    """A side never wins a field it may not write: the field's leader counts, whatever the policy decided."""
    fields, merged = dict(resolution.fields), dict(resolution.merged)
    for difference, place in zip(comparison.differences, comparison.places, strict=True):
        if not place.shared:
            fields[difference.field] = Winner.TARGET if place.target_leads else Winner.OWNER
            merged.pop(difference.field, None)
    return _summed(fields, resolution.why, merged)


def _nobody(why: str) -> Resolution:
    return Resolution(winner=Winner.NOBODY, why=why)


def _all(comparison: Comparison, winner: Winner, why: str) -> Resolution:
    return Resolution(winner=winner, why=why, fields={each.field: winner for each in comparison.differences})


def _summed(fields: Mapping[str, Winner], why: str, merged: Mapping[str, Any] | None = None) -> Resolution:
    winners = set(fields.values())
    winner = winners.pop() if len(winners) == 1 and not merged else Winner.MERGED
    return Resolution(winner=winner, why=why, fields=dict(fields), merged=merged or {})


def _by_leaders(comparison: Comparison, systems: tuple[str, str]) -> Resolution:
    """Each field's owner counts."""
    fields = {
        each.field: Winner.TARGET if place.target_leads else Winner.OWNER
        for each, place in zip(comparison.differences, comparison.places, strict=True)
    }
    if not fields:
        return Resolution(winner=Winner.OWNER, why=f"{systems[0]} is the source of truth")
    owners = {systems[winner is Winner.TARGET] for winner in fields.values()}
    return _summed(
        fields, f"{' and '.join(sorted(owners))} {'is' if len(owners) == 1 else 'are'} the source of truth"
    )


def _by_time(comparison: Comparison, systems: tuple[str, str], owner: Written, target: Written) -> Resolution:
    times = ((systems[0], owner), (systems[1], target))
    silent = [name for name, written in times if written.from_at is None or written.to_at is None]
    if silent:
        return _nobody(f"last-write-wins: {' and '.join(silent)} cannot tell when the record was written")
    assert owner.from_at and owner.to_at and target.from_at and target.to_at  # noqa: PT018
    if owner.from_at > target.to_at:
        apart_s = (owner.from_at - target.to_at).total_seconds()
        return _all(
            comparison, Winner.OWNER, f"{systems[0]} wrote last, at least {measured(apart_s, ROUND_FLOOR)} later"
        )
    if target.from_at > owner.to_at:
        apart_s = (target.from_at - owner.to_at).total_seconds()
        return _all(
            comparison, Winner.TARGET, f"{systems[1]} wrote last, at least {measured(apart_s, ROUND_FLOOR)} later"
        )
    spread_s = (max(owner.to_at, target.to_at) - min(owner.from_at, target.from_at)).total_seconds()
    return _nobody(
        f"last-write-wins: both wrote within {measured(spread_s, ROUND_CEILING)}, "
        "and the clocks are not known well enough to say who was last"
    )


def _by_version(comparison: Comparison, systems: tuple[str, str], owner: Written, target: Written) -> Resolution:
    if owner.version is None or target.version is None:
        silent = [name for name, each in zip(systems, (owner, target), strict=True) if each.version is None]
        return _nobody(f"version: {' and '.join(silent)} carries no version")
    if owner.version == target.version:
        return _nobody(f"version: both copies are version {owner.version} and differ all the same")
    ahead = owner.version > target.version
    numbers = f"version {max(owner.version, target.version)} is newer than {min(owner.version, target.version)}"
    return _all(comparison, Winner.OWNER if ahead else Winner.TARGET, f"{systems[not ahead]}: {numbers}")


def _by_field(comparison: Comparison, finding: Finding) -> Resolution:
    """A field that one side changed takes that side's value; one that both changed cannot be merged."""
    clashing = [
        difference.field
        for difference, place, cause in zip(comparison.differences, comparison.places, finding.fields, strict=True)
        if place.shared and cause in {Cause.WRITE_CONFLICT, Cause.UNEXPLAINED}
    ]
    if clashing:
        return _nobody(f"field-merge: both sides changed {', '.join(clashing)}")
    return _summed(_changed_by(comparison, finding), "each changed field takes the value of the side that changed it")


def _changed_by(comparison: Comparison, finding: Finding) -> dict[str, Winner]:
    """By differing field, the side that changed it; the leader if both did."""
    fields = {}
    for difference, place, cause in zip(comparison.differences, comparison.places, finding.fields, strict=True):
        leader, follower = (Winner.TARGET, Winner.OWNER) if place.target_leads else (Winner.OWNER, Winner.TARGET)
        fields[difference.field] = follower if cause is Cause.FOREIGN_WRITE and place.shared else leader
    return fields


def _by_function(
    comparison: Comparison, finding: Finding, rules: Sequence[tuple[str, FieldRule]], merge: Merge | None
) -> Resolution:
    if merge is None or comparison.unread:
        unread = ", ".join(each.field for each in comparison.unread)
        return _nobody(f"merge-function: {'the map names none' if merge is None else f'{unread} cannot be read'}")
    assert comparison.owner is not None
    assert comparison.target is not None
    both = [
        {name: plain(rule, value) for (name, rule), value in zip(rules, copy.values, strict=True)}
        for copy in (comparison.owner, comparison.target)
    ]
    sides: dict[str, list[str]] = {"owner": [], "target": []}
    for name, winner in _changed_by(comparison, finding).items():
        sides[winner.value].append(name)
    for difference, cause in zip(comparison.differences, finding.fields, strict=True):
        if cause is Cause.WRITE_CONFLICT:
            for names in sides.values():
                if difference.field not in names:
                    names.append(difference.field)
    try:
        answer = merge(both[0], both[1], sides)
    except MergeError as error:
        return _nobody(f"merge-function: {error}")
    unknown = sorted(set(answer) - {name for name, _ in rules})
    missing = [each.field for each in comparison.differences if each.field not in answer]
    if unknown or missing:
        problem = (
            f"it returned unknown fields {', '.join(unknown)}"
            if unknown
            else f"it returned nothing for {', '.join(missing)}"
        )
        return _nobody(f"merge-function: {problem}")
    fields, merged = {}, {}
    for difference in comparison.differences:
        name = difference.field
        value = answer[name]
        if value == both[0][name]:
            fields[name] = Winner.OWNER
        elif value == both[1][name]:
            fields[name] = Winner.TARGET
        else:
            fields[name], merged[name] = Winner.MERGED, value
    return _summed(fields, "as the merge function says", merged)
