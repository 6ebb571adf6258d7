"""The life of an incident: which breaches it takes in, when it is reported, and when it is over. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from checks.breach_life import DELETIONS, SOME_DELETIONS, OpenBreach
from checks.breaches import MEANINGS, UNKNOWN, Breach
from checks.root_causes import SYMPTOMS, Group, RootCause, strongest_first, systems_of
from checks.severity import Severity
from checks.tables import complete

ABSORB = timedelta(minutes=15)
"""A cause that returns this soon after its incident was resolved is the same incident, reopened."""

FLAPPING = 2
"""An incident that is reopened so often flaps: from then on it is over only after `CALM` holds without a breach, or
after `ABSORB` if nothing is held."""

CALM = 10

GROWTH = (100, 10, 2)
"""Growth factors at which an incident is reported again."""

GROWTH_PAUSE = timedelta(minutes=10)
"""An incident that has been reported for its growth is so again after this time at the earliest, or at 100 times."""

GROWN_AT_LEAST = 10
"""Growth to fewer records or messages than this is not reported."""


class Transition(StrEnum):
    """What is reported of an incident."""

    OPENED = "opened"
    GROWN = "grown"
    WORSE = "worse"
    EXPLAINED = "explained"
    REOPENED = "reopened"
    FLAPPING = "flapping"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How large an incident is.

    Attributes:
        records, messages: how many are affected, over all flows.
        changes: how many missed their window, if that alone is wrong.
        conflicts: how many wait for a decision.
        audits: the most failed audits in a row.
    """

    records: int = 0
    messages: int = 0
    changes: int = 0
    conflicts: int = 0
    audits: int = 0

    @property
    def count(self) -> int:
        """The number that people read: records if there are any. Missed changes are none: their records may agree."""
        return self.records or self.messages or self.changes or self.conflicts or self.audits


def extent_of(breaches: Collection[OpenBreach], repeats: Collection[int] = ()) -> Extent:
    """How large an incident of these breaches is.

    A record of a flow differs for one cause; that it cannot be verified as well does not count again.

    Args:
        repeats: by number, breaches that say of a queue what another one says.
    """
    totals: dict[str, int] = defaultdict(int)
    differing: dict[str | None, int] = defaultdict(int)
    unverified: dict[str | None, int] = defaultdict(int)
    for each in breaches:
        counted = MEANINGS[each.breach].counts
        if each.breach_id in repeats:
            continue
        if counted == "record":
            (unverified if each.breach in UNKNOWN else differing)[each.flow] += each.count
        else:
            totals[counted] = max(totals[counted], each.count) if counted == "audit" else totals[counted] + each.count
    records = sum(max(differing[flow], unverified[flow]) for flow in {*differing, *unverified})
    alone = {MEANINGS[each.breach].counts for each in breaches} <= {"change"}
    return Extent(
        records=records,
        messages=totals["message"],
        changes=totals["change"] if alone else 0,
        conflicts=totals["conflict"],
        audits=totals["audit"],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """An incident, as the ledger holds it.

    Attributes:
        fingerprint: of its cause; the same when it comes back.
        cause: a root cause or a breach.
        told: the count that was last reported as its size.
        told_messages: the same for messages.
        growth: the multiple of those that was reported since (0, 2, 10, 100).
        tell_at: when its first message is due; until then the message is rewritten instead of followed by another.
            Later, when it was last reported for its growth.
        clear_since_at: since when it has no open breach.
        reopened_at: when it last began anew after it was over; None if it never did.
        apart: a person has split it off: it takes in no further breach, and none of its breaches moves.
    """

    incident_id: int
    fingerprint: str
    cause: str
    flow: str | None
    system: str | None
    breach: str
    severity: Severity
    state: str
    opened_at: datetime
    reopened_at: datetime | None
    resolved_at: datetime | None
    tell_at: datetime | None
    count: int
    peak: int
    told: int | None
    told_messages: int
    growth: int | None
    clear_since_at: datetime | None
    reopened: int
    explained: bool
    apart: bool
    summary: str
    evidence: str

    @property
    def live(self) -> bool:
        """Whether it is not over."""
        return self.state != "resolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """The breaches of one incident.

    Attributes:
        incident_id: 0 for a new one.
        group: its open breaches; None if it has none left.
        absorbed: incidents whose breaches it takes over.
    """

    incident_id: int
    group: Group | None
    absorbed: tuple[int, ...] = ()


def placements(
    groups: Sequence[Group], live: Mapping[int, Incident], recent: Mapping[str, Incident]
) -> list[Placement]:
    """Which incident each group of breaches belongs to.

    A breach stays in its incident, unless it has outgrown the dead letters that explained it, or dead letters are all
    that is left of a queue that was not read. A group's incident is the oldest one whose strongest breach is in it;
    another one is merged into that if all its open breaches are in the group. What is new in a group without an
    incident of its own belongs to the incident of its strongest breach. An incident that is over is opened again
    by its own cause, and by what that did to the same flows, unless dead letters explained it and the group has
    outgrown these.

    Args:
        groups: of all open breaches but those of incidents that stay apart.
        live: by number, the incidents that are not over and not apart.
        recent: by fingerprint of an incident or of one of its breaches, those that were resolved within `ABSORB` or
            have no open breach.

    Returns:
        A placement for each incident with an open breach, and for each live one without any.
    """
    part_of = _part_of(groups, live)
    home: dict[int, int] = {}
    elsewhere: set[int] = set()
    for at, group in enumerate(groups):
        for each in group.breaches:
            if each.breach_id in part_of and home.setdefault(each.incident_id, at) != at:
                elsewhere.add(each.incident_id)
    for number in elsewhere:
        home[number] = _home(number, groups, part_of)
    kept: dict[int, int] = {}
    merged_into: dict[int, int] = {}
    for number in sorted(home, key=lambda number: (live[number].opened_at, number)):
        first = kept.setdefault(home[number], number)
        if first != number and number not in elsewhere:
            merged_into[number] = first
    members: dict[tuple[int, int], list[OpenBreach]] = defaultdict(list)
    for at, group in enumerate(groups):
        for each in group.breaches:
            own = merged_into.get(each.incident_id, each.incident_id)
            if _left_behind(each, group, part_of, live):
                members[own, home.get(own, at)].append(each)
                continue
            stays = each.breach_id in part_of and not _outgrown(groups[home[own]].cause, group)
            number = own if stays else kept.get(at) or _host(group, groups, home, part_of)
            members[number, home.get(number, at)].append(each)
    placed, taken = [], set()
    for (number, at), listed in members.items():
        group = replace(groups[at], breaches=tuple(sorted(listed, key=lambda each: each not in groups[at].breaches)))
        absorbed = tuple(each for each, into in merged_into.items() if into == number)
        over = dict.fromkeys(recent[name] for name in (group.fingerprint, *_names(listed)) if name in recent)
        again = (each.incident_id for each in over if _returns(each, groups[at], recent))
        known = number or next((each for each in again if each not in taken), 0)
        taken.add(known)
        placed.append(Placement(incident_id=known, group=group, absorbed=absorbed))
    gone = live.keys() - home.keys() - taken
    return placed + [Placement(incident_id=number, group=None) for number in sorted(gone)]


def _names(breaches: Iterable[OpenBreach]) -> tuple[str, ...]:
    return tuple(each.fingerprint for each in breaches)


def _returns(over: Incident, group: Group, recent: Mapping[str, Incident]) -> bool:
    """Whether a group is an incident that is over, once more: its cause again, or what this did to the same flows.

    Another cause is another incident, although it concerns the same flow.
    """
    other = (over.cause == RootCause.DELETIONS_MISSING) != (group.cause is RootCause.DELETIONS_MISSING)
    if other or _outgrown(over.cause, group):
        return False
    if group.cause == over.cause or group.cause in MEANINGS or over.cause in MEANINGS or over.cause in SYMPTOMS:
        return True
    again = all(recent.get(name) == over for name in _names(group.breaches))
    return again and group.cause in SYMPTOMS


def _host(group: Group, groups: Sequence[Group], home: Mapping[int, int], part_of: Mapping[int, int]) -> int:
    """The incident with the breach that explains what is new in a group without its own incident; 0 for none."""
    hosts = (each.incident_id for each in group.breaches if each.breach_id in part_of)
    return next((number for number in hosts if not _outgrown(groups[home[number]].cause, group)), 0)


def _outgrown(cause: str, group: Group) -> bool:
    """Whether a group has become too large for the dead letters that are the cause of an incident."""
    return cause == RootCause.REJECTED_MESSAGES != group.cause and group.lead.breach is Breach.NOT_ARRIVING


def _part_of(groups: Sequence[Group], live: Mapping[int, Incident]) -> dict[int, int]:
    """By breach, the live incident that it is part of.

    Where the cause of an incident is over, what another cause explains is no part of it any more: messages that are
    rejected since then and what they carry, which people have to deal with, or deletions that are late on other flows
    as well. Nor is anything that has a cause of its own.
    """
    every = [
        (each, live[each.incident_id]) for group in groups for each in group.breaches if each.incident_id in live
    ]
    lasting = {own.incident_id for each, own in every if _shows(each, own.cause)}
    return {
        each.breach_id: each.incident_id
        for group in groups
        for each in group.breaches
        if each.incident_id in live
        and (each.incident_id in lasting or not _of_another_cause(each, group, live[each.incident_id]))
    }


def _of_another_cause(breach: OpenBreach, group: Group, own: Incident) -> bool:
    """Whether a breach of an incident whose cause is over has another cause now."""
    if not shown_by(own.cause) or own.cause == group.cause:
        return False
    if own.cause == RootCause.DELETIONS_MISSING:
        return breach.breach is Breach.NOT_ARRIVING and breach.count > 0
    if group.cause is RootCause.DELETIONS_MISSING:
        return any(each.incident_id != breach.incident_id for each in group.breaches)
    return group.cause not in MEANINGS and group.cause not in SYMPTOMS and group.subject != _subject(own)


def _left_behind(breach: OpenBreach, group: Group, part_of: Mapping[int, int], live: Mapping[int, Incident]) -> bool:
    """Whether an objective was missed for what an incident was about, and not for what else went wrong since."""
    missed = breach.breach is Breach.OBJECTIVE and breach.incident_id in live
    return missed and breach.breach_id not in part_of and breach.opened_at < group.lead.opened_at


def _shows(breach: OpenBreach, cause: str) -> bool:
    """Whether a breach shows that a cause lasts."""
    shown = breach.count > 0 and breach.breach in shown_by(cause)
    return shown and (cause != RootCause.DELETIONS_MISSING or breach.reason in {DELETIONS, SOME_DELETIONS})


def shown_by(cause: str) -> frozenset[Breach]:
    """The breaches that count something for as long as a cause lasts; none where nothing shows that."""
    return frozenset() if cause in MEANINGS else _SHOWN_BY.get(RootCause(cause), frozenset())


_OF_SYSTEMS, _OF_WRITERS = frozenset({Breach.UNREACHABLE}), frozenset({Breach.FOREIGN_WRITE, Breach.WRITE_CONFLICT})
_SHOWN_BY = complete(
    {
        RootCause.UNREACHABLE_SYSTEM: _OF_SYSTEMS,
        RootCause.LOGIN_REFUSED: _OF_SYSTEMS,
        RootCause.QUOTA_USED: _OF_SYSTEMS,
        RootCause.STOPPED_CONSUMER: frozenset({Breach.STALLED, Breach.BACKLOG}),
        RootCause.SLOW_CONSUMER: frozenset({Breach.STALLED, Breach.BACKLOG}),
        RootCause.REJECTED_MESSAGES: frozenset({Breach.DEAD_LETTERS}),
        RootCause.SECOND_WRITER: _OF_WRITERS,
        RootCause.CONCURRENT_WRITES: frozenset({Breach.WRITE_CONFLICT}),
        RootCause.CLOCK_STEP: frozenset({Breach.CLOCK_STEP}),
        RootCause.DELETIONS_MISSING: frozenset({Breach.NOT_ARRIVING}),
    },
    but=SYMPTOMS - {RootCause.DELETIONS_MISSING} | {RootCause.PARTIAL_BATCH, RootCause.SYSTEMATIC_DIFFERENCE},
)


def kept_cause(group: Group, incident: Incident | None) -> Group:
    """The group with the cause of its incident if that was known better than it is now, while it clears up."""
    if incident is None or not incident.live or not incident.explained:
        return group
    cause, subject = RootCause(incident.cause), _subject(incident)
    if _explained(group) and not _weaker(group, cause, subject):
        return group
    return replace(group, cause=cause, subject=subject, on_time=())


def as_group(incident: Incident, breaches: Iterable[OpenBreach]) -> Group:
    """Breaches of an incident, under its cause."""
    cause = Breach(incident.cause) if incident.cause in MEANINGS else RootCause(incident.cause)
    return Group(cause=cause, subject=_subject(incident), breaches=tuple(sorted(breaches, key=strongest_first)))


def _subject(incident: Incident) -> str:
    return incident.fingerprint.removesuffix(f"/{incident.cause}")


def _weaker(group: Group, cause: RootCause, subject: str) -> bool:
    """Whether a group only says where changes stop, and the known cause says more, or is about more systems."""
    if group.cause not in SYMPTOMS:
        return False
    if group.cause is RootCause.DELETIONS_MISSING:
        return cause is not group.cause
    wider = cause is RootCause.NOTHING_MOVES and systems_of(group.subject) <= systems_of(subject)
    return cause not in SYMPTOMS or wider


def _home(number: int, groups: Sequence[Group], part_of: Mapping[int, int]) -> int:
    """The group of the strongest breach of an incident whose breaches are in several."""
    own = (
        (each.breach is Breach.OBJECTIVE, not each.count, place, each.opened_at, at)
        for at, group in enumerate(groups)
        for place, each in enumerate(group.breaches)
        if part_of.get(each.breach_id) == number
    )
    return min(own)[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentMove:
    """The next state of an incident.

    Attributes:
        transition: what to report, None for nothing.
        others: see `Incident`.
    """

    state: str
    transition: Transition | None
    extent: Extent
    severity: Severity
    peak: int
    told: int
    told_messages: int
    growth: int
    tell_at: datetime | None
    clear_since_at: datetime | None
    reopened: int
    explained: bool


def next_move(
    incident: Incident | None,
    group: Group | None,
    severity: Severity,
    now: datetime,
    *,
    hold: timedelta = timedelta(),
) -> IncidentMove:
    """Decide the next state of an incident.

    Args:
        incident: a live one, or one that was resolved within `ABSORB`; None for a new one.
        group: its open breaches; None if it has none left.
        severity: of those breaches.
        hold: how long its first message waits for what belongs to it, and the last one for the breach to return. The
            first one waits longer while nothing is left of the incident.
    """
    extent = extent_of(group.breaches, group.repeats) if group is not None else Extent()
    if incident is None or not incident.live:
        reopened = incident.reopened + 1 if incident else 0
        opened = Transition.FLAPPING if reopened == FLAPPING else Transition.REOPENED
        return IncidentMove(
            state="open",
            transition=opened if incident else Transition.OPENED,
            extent=extent,
            severity=severity,
            peak=max(incident.peak, extent.count) if incident else extent.count,
            told=extent.records,
            told_messages=extent.messages,
            growth=0,
            tell_at=now + hold,
            clear_since_at=None,
            reopened=reopened,
            explained=_explained(group),
        )
    clear_since_at = None if group is not None else incident.clear_since_at or now
    early = incident.tell_at is not None and now < incident.tell_at
    calm = timedelta() if early else hold
    if incident.reopened >= FLAPPING:
        calm = min(CALM * hold, ABSORB) or ABSORB
    resolved = clear_since_at is not None and now - clear_since_at >= calm
    returned = group is not None and incident.clear_since_at is not None
    kept = IncidentMove(
        state="resolved" if resolved else incident.state,
        transition=Transition.RESOLVED if resolved else None,
        extent=extent,
        severity=min(severity, incident.severity, key=lambda each: each.rank),
        peak=max(incident.peak, extent.count),
        told=incident.told or 0,
        told_messages=incident.told_messages,
        growth=incident.growth or 0,
        tell_at=incident.tell_at,
        clear_since_at=None if resolved else clear_since_at,
        reopened=incident.reopened + (returned and incident.reopened < FLAPPING),
        explained=incident.explained or _explained(group),
    )
    if resolved or group is None:
        return kept
    if early:
        put_off = not extent.count and incident.tell_at is not None and incident.tell_at - now < hold / 2
        tell_at = now + hold if put_off else kept.tell_at
        return replace(kept, told=extent.records, told_messages=extent.messages, tell_at=tell_at)
    if kept.reopened > incident.reopened and kept.reopened == FLAPPING:
        return replace(kept, transition=Transition.FLAPPING, told=extent.records, told_messages=extent.messages)
    worse = kept.severity.rank < incident.severity.rank
    if worse or kept.explained > incident.explained:
        said = Transition.WORSE if worse else Transition.EXPLAINED
        return replace(kept, transition=said, told=extent.records, told_messages=extent.messages, growth=0)
    growth = max(_growth(extent.records, kept.told), _growth(extent.messages, kept.told_messages))
    paused = incident.tell_at is None or now - incident.tell_at >= GROWTH_PAUSE
    rested = not kept.growth or paused or growth == GROWTH[0]
    if growth > kept.growth and rested:
        return replace(kept, transition=Transition.GROWN, growth=growth, tell_at=now)
    return kept if kept.told_messages else replace(kept, told_messages=extent.messages)


def spent(incident: Incident, group: Group | None) -> bool:
    """Whether of an incident nothing is left but missed objectives, which its cause explained.

    An objective counts the changes of an hour: it cannot be kept again before that, and is no news meanwhile.
    """
    return (
        group is not None
        and incident.live
        and incident.breach != Breach.OBJECTIVE
        and all(each.breach is Breach.OBJECTIVE for each in group.breaches)
    )


def _explained(group: Group | None) -> bool:
    """Whether more is known than that something is breached."""
    return group is not None and group.cause not in MEANINGS


def _growth(count: int, told: int) -> int:
    """The multiple of the reported count that it has grown to (2, 10, 100); 0 if that is not news."""
    if count < GROWN_AT_LEAST or not told:
        return 0
    return next((each for each in GROWTH if count / told >= each), 0)
