"""Root causes: which open breaches have one cause, and which. Pure.

A breach can explain another one that begins at about the same time: a stopped consumer explains why changes are late,
an unreachable system why its records cannot be verified. Each breach goes back to the strongest one that explains it;
those that end at the same cause are one incident.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum

from checks.breach_life import CONCURRENT, DELETIONS, PARTIAL, SYSTEMATIC, OpenBreach
from checks.breaches import MEANINGS, Breach
from checks.tables import complete

SLACK = timedelta(minutes=15)
"""A breach explains another one that began at most this long before it: a stalled queue is only certain after a
while, and changes are late before that."""


LETTERS_CARRY = 2
"""How many times as many late records as there are dead letters are explained by them: a letter may carry the changes
of several records."""

FEW = 10
"""So few records are explained by any number of dead letters, or of late changes on other flows."""


class RootCause(StrEnum):
    """What one or more breaches go back to."""

    UNREACHABLE_SYSTEM = "unreachable_system"
    LOGIN_REFUSED = "login_refused"
    QUOTA_USED = "quota_used"
    STOPPED_CONSUMER = "stopped_consumer"
    SLOW_CONSUMER = "slow_consumer"
    REJECTED_MESSAGES = "rejected_messages"
    SECOND_WRITER = "second_writer"
    CONCURRENT_WRITES = "concurrent_writes"
    NOTHING_ARRIVES = "nothing_arrives"
    NOTHING_LEAVES = "nothing_leaves"
    NOTHING_MOVES = "nothing_moves"
    DELETIONS_MISSING = "deletions_missing"
    PARTIAL_BATCH = "partial_batch"
    SYSTEMATIC_DIFFERENCE = "systematic_difference"
    CLOCK_STEP = "clock_step"


SYMPTOMS = frozenset(
    {RootCause.NOTHING_ARRIVES, RootCause.NOTHING_LEAVES, RootCause.NOTHING_MOVES, RootCause.DELETIONS_MISSING}
)
"""Causes that say where changes stop, and not what stops them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePlace:
    """A queue of a flow.

    Attributes:
        identity: the same for all flows that pass through it.
        system: the system that it lives in; None if it has an address of its own.
    """

    identity: str
    system: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowPlace:
    """Where a flow runs.

    Attributes:
        queues: by name.
    """

    source: str
    target: str
    queues: Mapping[str, QueuePlace] = field(default_factory=dict)

    @property
    def systems(self) -> frozenset[str]:
        """Its two ends."""
        return frozenset({self.source, self.target})


Places = Mapping[str, FlowPlace]
"""By name of the flow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Breaches with one cause.

    Attributes:
        cause: a root cause, or the breach itself if nothing explains it.
        subject: what the cause is about: `system/NAME`, `queue/FLOW/NAME` or `flow/NAME`.
        breaches: the one that explains the others first.
        repeats: by number, breaches of a queue that another flow reports as well.
        on_time: further flows with the same end, of which no change is late.
    """

    cause: RootCause | Breach
    subject: str
    breaches: tuple[OpenBreach, ...]
    repeats: frozenset[int] = frozenset()
    on_time: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """The same for the same cause of the same thing."""
        return f"{self.subject}/{self.cause}"

    @property
    def lead(self) -> OpenBreach:
        """The breach that explains the others."""
        return self.breaches[0]


_STRENGTH = complete(
    {
        Breach.UNREACHABLE: 0,
        Breach.CLOCK_STEP: 1,
        Breach.STALLED: 1,
        Breach.BACKLOG: 2,
        Breach.DEAD_LETTERS: 3,
        Breach.UNREAD_QUEUE: 3,
        Breach.UNREADABLE: 3,
        Breach.FOREIGN_WRITE: 4,
        Breach.WRITE_CONFLICT: 5,
        Breach.DUPLICATE: 5,
        Breach.NOT_ARRIVING: 6,
        Breach.REGRESSION: 6,
        Breach.ORPHAN: 6,
        Breach.LOST_UPDATE: 6,
        Breach.TRANSFORMATION: 6,
        Breach.INVALID: 7,
        Breach.UNEXPLAINED: 7,
        Breach.EXPIRING: 8,
        Breach.UNMEASURED_QUEUE: 8,
        Breach.UNVERIFIED: 8,
        Breach.OBJECTIVE: 9,
        Breach.CONFLICTS_WAITING: 10,
    }
)
"""A breach is explained only by a stronger one, with a lower number."""

_ON_THE_WAY = frozenset({Breach.NOT_ARRIVING, Breach.OBJECTIVE, Breach.DEAD_LETTERS, Breach.EXPIRING})
_UNREAD = frozenset({Breach.UNREADABLE, Breach.UNVERIFIED, Breach.UNREAD_QUEUE, Breach.UNMEASURED_QUEUE})
_LOGIN = "auth"
"""A refused login is the auditor's alone; a quota belongs to an account, and stops who writes there, too."""

_REFUSED = {_LOGIN: RootCause.LOGIN_REFUSED, "over_budget": RootCause.QUOTA_USED}
"""The causes by the reason why a system cannot be read."""

_BY_STAMPS = frozenset({Breach.UNVERIFIED, Breach.NOT_ARRIVING, Breach.OBJECTIVE})
"""Breaches that are judged by the timestamps of a system."""

_WAITING = frozenset({Breach.STALLED, Breach.BACKLOG})
"""Breaches of a queue in which messages wait."""

_FURTHER = _WAITING | {Breach.OBJECTIVE, Breach.ORPHAN, Breach.UNEXPLAINED}
"""Breaches of one flow that several others may make a part of what they share."""

_OF_DELETIONS = frozenset({Breach.OBJECTIVE, Breach.ORPHAN})
"""Those of them that deletions which are not carried over may lead to."""

_AT_ONCE = frozenset({Breach.DEAD_LETTERS, Breach.WRITE_CONFLICT})
"""Breaches that are seen as soon as they happen: messages dead-lettered, and records changed on both sides."""

_OF_ONE_WRITER = frozenset({Breach.FOREIGN_WRITE, Breach.WRITE_CONFLICT})


def groups(breaches: Sequence[OpenBreach], places: Places) -> list[Group]:
    """Group open breaches by cause.

    Args:
        breaches: all that are open.
        places: of the flows of the map; a breach of another flow is a group of its own.

    Returns:
        Each breach in exactly one group; the longest open group first.
    """
    explained_by = {each.breach_id: _explanation(each, breaches, places) for each in breaches}
    roots: dict[int, OpenBreach] = {}
    for each in breaches:
        root = each
        while (stronger := explained_by[root.breach_id]) is not None:
            root = stronger
        roots[each.breach_id] = root
    causes = _causes({each.breach_id: each for each in roots.values()}.values(), places)
    members: dict[tuple[RootCause | Breach, str], list[OpenBreach]] = defaultdict(list)
    for each in breaches:
        members[causes[roots[each.breach_id].breach_id]].append(each)
    made = [
        Group(
            cause=cause,
            subject=subject,
            breaches=tuple(sorted(listed, key=strongest_first)),
            repeats=_repeats(listed, places),
            on_time=_on_time(cause, subject, breaches, places),
        )
        for (cause, subject), listed in members.items()
    ]
    return sorted(made, key=lambda each: (min(breach.opened_at for breach in each.breaches), each.fingerprint))


def with_breaches(group: Group, more: Iterable[OpenBreach], places: Places) -> Group:
    """The same group with further breaches that were a part of it."""
    breaches = (*group.breaches, *more)
    return replace(group, breaches=breaches, repeats=_repeats(breaches, places))


def _repeats(breaches: Sequence[OpenBreach], places: Places) -> frozenset[int]:
    """Breaches of a queue that another flow reports, too: all but the largest of each queue."""
    largest: dict[tuple[str, Breach], OpenBreach] = {}
    for each in breaches:
        place = places.get(each.flow or "")
        if place is None or each.queue is None:
            continue
        queue = (_identity(place, each.queue), each.breach)
        largest[queue] = max(largest.get(queue, each), each, key=lambda one: (one.count, -one.breach_id))
    own = {each.breach_id for each in largest.values()}
    return frozenset(each.breach_id for each in breaches if each.queue is not None and each.flow in places) - own


def _on_time(
    cause: RootCause | Breach, subject: str, breaches: Sequence[OpenBreach], places: Places
) -> tuple[str, ...]:
    """Of flows that stopped together at one end, the others with this end that have no late change."""
    if cause not in {RootCause.NOTHING_ARRIVES, RootCause.NOTHING_LEAVES}:
        return ()
    late = {each.flow for each in breaches if each.breach is Breach.NOT_ARRIVING or each.breach in _FURTHER}
    ends = {
        name: place.target if cause is RootCause.NOTHING_ARRIVES else place.source for name, place in places.items()
    }
    return tuple(sorted(name for name, end in ends.items() if f"system/{end}" == subject and name not in late))


def strongest_first(breach: OpenBreach) -> tuple[int, bool, float, int]:
    """A key that sorts those first that explain others, and of these the ones that still count something."""
    return _STRENGTH[breach.breach], not breach.count, breach.opened_at.timestamp(), breach.breach_id


def _explanation(breach: OpenBreach, breaches: Sequence[OpenBreach], places: Places) -> OpenBreach | None:
    """The strongest other breach that explains this one, and that lasts if any does."""
    stronger = [each for each in breaches if _explains(each, breach, places)]
    return min(stronger, key=lambda each: (not each.count, *strongest_first(each)), default=None)


def _explains(cause: OpenBreach, breach: OpenBreach, places: Places) -> bool:
    """Whether one breach explains another that began while it was open, or shortly before."""
    stronger = _STRENGTH[cause.breach] < _STRENGTH[breach.breach] and cause.breach not in _EXPLAIN_NOTHING
    over = breach.breach in _AT_ONCE and _over_before(cause, breach)
    in_time = cause.opened_at - SLACK <= breach.opened_at and not over
    return stronger and in_time and _RULES[cause.breach](cause, breach, places)


def _over_before(cause: OpenBreach, breach: OpenBreach) -> bool:
    """Whether one breach was over when another one began."""
    return cause.clear_since_at is not None and cause.clear_since_at < breach.opened_at


def _unreachable(cause: OpenBreach, breach: OpenBreach, places: Places) -> bool:
    place = places.get(breach.flow or "")
    if place is None:
        return False
    queue = place.queues.get(breach.queue or "")
    touched = cause.system in place.systems or (queue is not None and queue.system == cause.system)
    return touched and (
        breach.breach in _UNREAD or (cause.reason != _LOGIN and breach.breach in _ON_THE_WAY | _WAITING)
    )


def _clock_set(cause: OpenBreach, breach: OpenBreach, places: Places) -> bool:
    place = places.get(breach.flow or "")
    return place is not None and cause.system in place.systems and breach.breach in _BY_STAMPS


def _too_new(cause: OpenBreach, breach: OpenBreach) -> bool:
    """Whether records have never matched because they were created and changed before both were seen to agree.

    Such a record is late, or was written to, like others, and cannot be told from one that will never match. Where
    more do not match than that, some never will.
    """
    return breach.breach is Breach.UNEXPLAINED and breach.peak <= cause.peak


def _changes_late(cause: OpenBreach, breach: OpenBreach, places: Places) -> bool:
    return cause.flow == breach.flow and (breach.breach is Breach.OBJECTIVE or _too_new(cause, breach))


def _queue_stopped(cause: OpenBreach, breach: OpenBreach, places: Places) -> bool:
    mine, other = places.get(cause.flow or ""), places.get(breach.flow or "")
    late = _too_new(cause, breach) or breach.breach in _ON_THE_WAY | {Breach.BACKLOG}
    if mine is None or other is None or cause.queue is None or not late:
        return False
    return cause.flow == breach.flow or _identity(mine, cause.queue) in {
        each.identity for each in other.queues.values()
    }


def _messages_rejected(cause: OpenBreach, breach: OpenBreach, places: Places) -> bool:
    # What was late before the first letter, and has arrived since, was in none of them.
    size = breach.count if breach.opened_at < cause.opened_at else breach.peak
    carried = size <= max(LETTERS_CARRY * cause.peak, FEW)
    return breach.breach is not Breach.DEAD_LETTERS and carried and _queue_stopped(cause, breach, places)


def _same_queue(cause: OpenBreach, breach: OpenBreach, places: Places) -> bool:
    return (cause.flow, cause.queue) == (breach.flow, breach.queue)


def _cannot_be_read(cause: OpenBreach, breach: OpenBreach, places: Places) -> bool:
    return cause.flow == breach.flow and breach.breach is Breach.UNVERIFIED


def _writes(cause: OpenBreach, breach: OpenBreach, places: Places) -> bool:
    mine, other = places.get(cause.flow or ""), places.get(breach.flow or "")
    if _too_new(cause, breach):
        return cause.flow == breach.flow
    return (
        mine is not None
        and other is not None
        and mine.target == other.target
        and breach.breach in {Breach.WRITE_CONFLICT, Breach.LOST_UPDATE, Breach.CONFLICTS_WAITING}
    )


def _in_its_flow(*breaches: Breach) -> Callable[[OpenBreach, OpenBreach, Places], bool]:
    def explains(cause: OpenBreach, breach: OpenBreach, places: Places) -> bool:
        return cause.flow == breach.flow and breach.breach in breaches

    return explains


_EXPLAIN_NOTHING = frozenset(
    {Breach.EXPIRING, Breach.UNMEASURED_QUEUE, Breach.UNVERIFIED, Breach.OBJECTIVE, Breach.CONFLICTS_WAITING}
)

_RULES = complete(
    {
        Breach.UNREACHABLE: _unreachable,
        Breach.CLOCK_STEP: _clock_set,
        Breach.STALLED: _queue_stopped,
        Breach.BACKLOG: _queue_stopped,
        Breach.DEAD_LETTERS: _messages_rejected,
        Breach.UNREAD_QUEUE: _same_queue,
        Breach.UNREADABLE: _cannot_be_read,
        Breach.FOREIGN_WRITE: _writes,
        Breach.WRITE_CONFLICT: _writes,
        Breach.DUPLICATE: _in_its_flow(Breach.INVALID, Breach.UNEXPLAINED, Breach.CONFLICTS_WAITING),
        Breach.NOT_ARRIVING: _changes_late,
        Breach.REGRESSION: _in_its_flow(Breach.CONFLICTS_WAITING, Breach.OBJECTIVE),
        Breach.ORPHAN: _in_its_flow(Breach.CONFLICTS_WAITING),
        Breach.LOST_UPDATE: _in_its_flow(Breach.CONFLICTS_WAITING),
        Breach.TRANSFORMATION: _in_its_flow(Breach.UNEXPLAINED, Breach.CONFLICTS_WAITING, Breach.OBJECTIVE),
        Breach.INVALID: _in_its_flow(Breach.CONFLICTS_WAITING),
        Breach.UNEXPLAINED: _in_its_flow(Breach.CONFLICTS_WAITING),
    },
    but=_EXPLAIN_NOTHING,
)
"""What a breach explains."""


def _identity(place: FlowPlace, queue: str) -> str:
    known = place.queues.get(queue)
    return known.identity if known is not None else queue


def _causes(roots: Iterable[OpenBreach], places: Places) -> dict[int, tuple[RootCause | Breach, str]]:
    """By breach, the cause and its subject; `roots` are those that nothing explains."""
    listed = list(roots)
    causes = {each.breach_id: _cause(each, places) for each in listed}
    late = [each for each in listed if causes[each.breach_id][0] in _LATE and each.flow in places]
    further = [each for each in listed if each.breach in _FURTHER and each.flow in places]
    shared = _shared_ends(late, places)
    return causes | shared | _meanwhile(further, late, shared, places)


def _cause(root: OpenBreach, places: Places) -> tuple[RootCause | Breach, str]:
    """The cause that a breach shows by itself, and its subject."""
    place = places.get(root.flow or "")
    if root.breach is Breach.UNREACHABLE:
        return _REFUSED.get(root.reason, RootCause.UNREACHABLE_SYSTEM), f"system/{root.system}"
    if root.breach is Breach.CLOCK_STEP:
        return RootCause.CLOCK_STEP, f"system/{root.system}"
    if root.reason == DELETIONS and place is not None:
        return RootCause.DELETIONS_MISSING, f"system/{place.source}"
    if root.reason in _OF_RECORDS:
        return _OF_RECORDS[root.reason], f"flow/{root.flow}"
    if place is not None and root.queue is not None and (of_queue := _of_queue(root.breach)) is not None:
        return of_queue, f"queue/{_identity(place, root.queue)}"
    if place is not None and root.breach in _OF_ONE_WRITER:
        both_may = root.reason == CONCURRENT
        return RootCause.CONCURRENT_WRITES if both_may else RootCause.SECOND_WRITER, f"system/{place.target}"
    queue = f"/{root.queue}" if root.queue is not None else ""
    return root.breach, f"flow/{root.flow}{queue}" if root.flow is not None else f"system/{root.system}"


_LATE = frozenset({Breach.NOT_ARRIVING, RootCause.DELETIONS_MISSING})

_OF_RECORDS = {SYSTEMATIC: RootCause.SYSTEMATIC_DIFFERENCE, PARTIAL: RootCause.PARTIAL_BATCH}
"""The causes by what the records of a breach have in common."""


def _of_queue(breach: Breach) -> RootCause | None:
    """The root cause that a breach of a queue is by itself."""
    match breach:
        case Breach.STALLED:
            return RootCause.STOPPED_CONSUMER
        case Breach.BACKLOG:
            return RootCause.SLOW_CONSUMER
        case Breach.DEAD_LETTERS:
            return RootCause.REJECTED_MESSAGES
    return None


def _shared_ends(late: Sequence[OpenBreach], places: Places) -> dict[int, tuple[RootCause | Breach, str]]:
    """Flows in which changes became late at about the same time: the cause is what they share.

    That is their target, or else their source. Three or more that share neither, but hang together by systems that
    they have in common, have one cause as well: what moves changes between these systems. Where deletions alone are
    late, each is a matter of its source; those that were late have nothing to do with what is late now.
    """
    shared: dict[int, tuple[RootCause | Breach, str]] = {}
    for late_together in _hanging_together(late, places):
        together = [each for each in late_together if each.reason != DELETIONS or each.count]
        if all(each.reason == DELETIONS for each in together):
            together = []
        shared |= {each.breach_id: _cause(each, places) for each in late_together if each not in together}
        ends = [places[each.flow or ""] for each in together]
        cause = _stopped(ends)
        if cause is not None:
            shared |= {each.breach_id: cause for each in together}
            continue
        for kind in (RootCause.NOTHING_ARRIVES, RootCause.NOTHING_LEAVES):
            by_end: dict[str, list[OpenBreach]] = defaultdict(list)
            for each in together:
                place = places[each.flow or ""]
                if each.breach_id not in shared:
                    by_end[place.target if kind is RootCause.NOTHING_ARRIVES else place.source].append(each)
            for system, listed in by_end.items():
                if len({each.flow for each in listed}) > 1:
                    shared |= {each.breach_id: (kind, f"system/{system}") for each in listed}
    return shared


def _meanwhile(
    further: Sequence[OpenBreach],
    late: Sequence[OpenBreach],
    shared: Mapping[int, tuple[RootCause | Breach, str]],
    places: Places,
) -> dict[int, tuple[RootCause | Breach, str]]:
    """Breaches of further flows with the end that several late ones share, or between their systems.

    What stopped those stopped these as well.

    Changes that are late too briefly to be a breach of their own count for an objective all the same. A queue that
    nothing leaves, or too slowly, says where the changes of its flow wait; it may have begun a little earlier. So may
    records that the owner does not have, or that have never matched: their deletion, or change, is late where the
    record had been read before it, and where it had not, nobody knows that there was one.
    """
    found = {}
    first_late = sorted(
        (each for each in late if each.breach_id in shared), key=lambda each: (each.opened_at, each.breach_id)
    )
    between: dict[tuple[RootCause | Breach, str], set[str]] = defaultdict(set)
    for one in first_late:
        between[shared[one.breach_id]] |= places[one.flow or ""].systems
    for each in further:
        place = places[each.flow or ""]
        earlier = timedelta() if each.breach is Breach.OBJECTIVE else SLACK
        for one in first_late:
            cause = shared[one.breach_id]
            concerned = place.systems <= between[cause] or _ends_there(*cause, place)
            over = each.breach in _WAITING and _over_before(one, each)
            in_time = one.opened_at - earlier <= each.opened_at and not over
            if each.breach not in _OF_DELETIONS and cause[0] is RootCause.DELETIONS_MISSING:
                continue
            if concerned and in_time and _no_more_than(one, each):
                found[each.breach_id] = cause
                break
    return found


def _no_more_than(late: OpenBreach, each: OpenBreach) -> bool:
    """Whether what a breach counts is little enough to be late, as the changes of another flow are."""
    match each.breach:
        case Breach.ORPHAN:
            return each.peak <= max(late.peak, FEW)
        case Breach.UNEXPLAINED:
            return _too_new(late, each)
    return True


def _ends_there(cause: RootCause | Breach, subject: str, place: FlowPlace) -> bool:
    """Whether a flow has the end that the late ones share."""
    return subject == f"system/{place.target if cause is RootCause.NOTHING_ARRIVES else place.source}"


def systems_of(subject: str) -> set[str]:
    """The systems that a cause is about."""
    return set(subject.removeprefix("system/").split("+"))


def _stopped(ends: Sequence[FlowPlace]) -> tuple[RootCause, str] | None:
    """What all of these flows share; None if that is nothing, or there are too few of them to tell."""
    targets, sources = {each.target for each in ends}, {each.source for each in ends}
    if len(ends) < 2:
        return None
    if len(targets) == 1:
        return RootCause.NOTHING_ARRIVES, f"system/{targets.pop()}"
    if len(sources) == 1:
        return RootCause.NOTHING_LEAVES, f"system/{sources.pop()}"
    if len(ends) > 2:
        return RootCause.NOTHING_MOVES, f"system/{'+'.join(sorted(targets | sources))}"
    return None


def _hanging_together(late: Sequence[OpenBreach], places: Places) -> list[list[OpenBreach]]:
    """Late flows that began within `SLACK` of the first and are linked by systems that they share, oldest first."""
    found: list[list[OpenBreach]] = []
    waiting = sorted(late, key=lambda each: (each.opened_at, each.breach_id))
    while waiting:
        first, *waiting = waiting
        together, systems = [first], places[first.flow or ""].systems
        while joining := [
            each
            for each in waiting
            if each.opened_at - first.opened_at <= SLACK and systems & places[each.flow or ""].systems
        ]:
            together += joining
            systems = systems.union(*(places[each.flow or ""].systems for each in joining))
            waiting = [each for each in waiting if each not in joining]
        found.append(together)
    return found


def evidence_text(group: Group) -> str:
    """Why these breaches are one incident, in a sentence; "" for a single one."""
    others = [each for each in group.breaches[1:] if each.breach_id not in group.repeats]
    if not others:
        return ""
    words = {each.breach: MEANINGS[each.breach].words for each in others}
    flows = sorted({each.flow for each in others if each.flow is not None})
    also = "; ".join(dict.fromkeys(words.values()))
    where = f" on {', '.join(flows)}" if flows else ""
    others_on_time = f"; no change is late on {', '.join(group.on_time)}" if group.on_time else ""
    link = _LINKS.get(group.cause, "One cause, since it began at the same time")
    return f"{link}: {also}{where}{others_on_time}"


_LINKS: Mapping[RootCause | Breach, str] = {
    RootCause.UNREACHABLE_SYSTEM: "It explains what else happens at this system",
    RootCause.LOGIN_REFUSED: "Nothing can be read there without a login",
    RootCause.QUOTA_USED: "Nothing can be read there until the quota is renewed",
    RootCause.STOPPED_CONSUMER: "These changes pass through the queue",
    RootCause.SLOW_CONSUMER: "These changes pass through the queue",
    RootCause.REJECTED_MESSAGES: "The rejected messages carried these changes",
    RootCause.SECOND_WRITER: "They are written to the same system",
    RootCause.CONCURRENT_WRITES: "They are written to the same system",
    RootCause.NOTHING_ARRIVES: "All of these flows end at the same system",
    RootCause.DELETIONS_MISSING: "They were deleted in the same system",
    RootCause.PARTIAL_BATCH: "The same batch left them out",
    RootCause.SYSTEMATIC_DIFFERENCE: "The same records differ",
    RootCause.CLOCK_STEP: "They are judged by this system's timestamps",
    RootCause.NOTHING_LEAVES: "All of these flows begin at the same system",
    RootCause.NOTHING_MOVES: "These flows stopped together and share systems",
}
