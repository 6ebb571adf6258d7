"""Which breaches an incident takes in, when it is reported, and when it is over."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.breach_life import OpenBreach
from checks.breaches import Breach
from checks.incidents import (
    ABSORB,
    GROWTH_PAUSE,
    Incident,
    IncidentMove,
    Transition,
    extent_of,
    kept_cause,
    next_move,
    placements,
    spent,
)
from checks.root_causes import Group, RootCause
from checks.severity import Severity

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HIGH = Severity.HIGH


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def breach(number: int, incident_id: int = 0, *, count: int = 5, what: str = "orphan", flow: str = "f") -> OpenBreach:
    return OpenBreach(
        breach_id=number,
        incident_id=incident_id,
        fingerprint=f"flow/{flow}/{what}",
        breach=Breach(what),
        flow=flow,
        system=None,
        queue=None,
        opened_at=NOW,
        count=count,
        peak=count,
        clear_since_at=None,
        reason="",
        detail="",
        detail_at=None,
    )


def group(*breaches: OpenBreach, cause: RootCause | Breach = Breach.ORPHAN) -> Group:
    return Group(cause=cause, subject="flow/f", breaches=breaches)


def of(count: int, **words: object) -> Group:
    return group(breach(1, 1, count=count, **words))  # type: ignore[arg-type]


def incident(number: int = 1, **words: object) -> Incident:
    made = Incident(
        incident_id=number,
        fingerprint="flow/f/orphan",
        cause="orphan",
        flow="f",
        system=None,
        breach="orphan",
        severity=HIGH,
        state="open",
        opened_at=NOW,
        reopened_at=None,
        resolved_at=None,
        tell_at=NOW,
        count=5,
        peak=5,
        told=5,
        told_messages=0,
        growth=0,
        clear_since_at=None,
        reopened=0,
        explained=False,
        apart=False,
        summary="",
        evidence="",
    )
    return replace(made, **words)  # type: ignore[arg-type]


def after(known: Incident, moved: IncidentMove, now: datetime) -> Incident:
    """The incident once its move is recorded."""
    return replace(
        known,
        state=moved.state,
        severity=moved.severity,
        resolved_at=now if moved.state == "resolved" else None,
        tell_at=moved.tell_at,
        count=moved.extent.count,
        peak=moved.peak,
        told=moved.told,
        told_messages=moved.told_messages,
        growth=moved.growth,
        clear_since_at=moved.clear_since_at,
        reopened=moved.reopened,
        explained=moved.explained,
    )


# -- life


def test_it_opens_with_its_first_breach_and_waits_before_it_is_reported() -> None:
    moved = next_move(None, of(5), HIGH, NOW, hold=timedelta(seconds=30))
    assert (moved.state, moved.transition, moved.told, moved.tell_at) == ("open", Transition.OPENED, 5, later(30))


def test_until_it_is_reported_its_message_is_rewritten() -> None:
    moved = next_move(incident(tell_at=later(30)), of(500), HIGH, later(20))
    assert (moved.transition, moved.told) == (None, 500)


def test_the_first_message_waits_while_nothing_is_left() -> None:
    hold = timedelta(seconds=30)
    waits = incident(tell_at=later(30))
    moved = next_move(waits, of(0), HIGH, later(20), hold=hold)
    assert (moved.transition, moved.tell_at) == (None, later(50))
    assert next_move(waits, of(0), HIGH, later(10), hold=hold).tell_at == later(30)
    assert next_move(waits, of(2), HIGH, later(20), hold=hold).tell_at == later(30)


def test_growth_by_2_10_and_100_times_is_reported_once_each() -> None:
    reported: list[tuple[int, int]] = []
    known = incident()
    for at, count in enumerate((5, 7, 9, 10, 12, 30, 49, 50, 51, 300, 20, 50, 500, 5_000, 50_000)):
        moved = next_move(known, of(count), HIGH, NOW + at * GROWTH_PAUSE)
        if moved.transition:
            assert moved.transition is Transition.GROWN
            reported.append((count, moved.growth))
        known = after(known, moved, NOW)
    assert reported == [(10, 2), (50, 10), (500, 100)]


def test_further_growth_is_reported_after_a_pause_and_that_to_100_times_at_once() -> None:
    known = incident()
    moved = next_move(known, of(10), HIGH, later(60))
    assert (moved.transition, moved.growth) == (Transition.GROWN, 2)
    known = after(known, moved, later(60))
    soon, due = later(659), later(660)
    assert next_move(known, of(50), HIGH, soon).transition is None
    moved = next_move(known, of(50), HIGH, due)
    assert (moved.transition, moved.growth) == (Transition.GROWN, 10)
    moved = next_move(known, of(500), HIGH, soon)
    assert (moved.transition, moved.growth) == (Transition.GROWN, 100)


def test_missed_changes_and_waiting_conflicts_are_no_records() -> None:
    late, missed = of(2).breaches[0], replace(of(9).breaches[0], breach=Breach.OBJECTIVE)
    waiting = replace(of(4).breaches[0], breach=Breach.CONFLICTS_WAITING)
    whole = extent_of([late, missed, waiting])
    assert (whole.records, whole.changes, whole.conflicts) == (2, 0, 4)
    assert whole.count == 2
    assert extent_of([replace(late, count=0), missed]).count == 0
    assert [extent_of(each).count for each in ([missed], [waiting], [])] == [9, 4, 0]


def test_the_cause_that_was_known_stays_while_its_breaches_end_one_by_one() -> None:
    known = incident(fingerprint="system/crm/nothing_leaves", cause="nothing_leaves", explained=True)
    kept = kept_cause(of(3), known)
    assert (kept.cause, kept.subject, kept.fingerprint) == ("nothing_leaves", "system/crm", known.fingerprint)
    assert kept_cause(of(3), replace(known, state="resolved")).cause is Breach.ORPHAN
    stronger = replace(of(3), cause=RootCause.STOPPED_CONSUMER, subject="queue/f/q")
    assert kept_cause(stronger, known) is stronger
    fewer = replace(of(3), cause=RootCause.NOTHING_LEAVES, subject="system/crm")
    stopped = incident(fingerprint="queue/f/q/stopped_consumer", cause="stopped_consumer", explained=True)
    assert kept_cause(fewer, stopped).cause is RootCause.STOPPED_CONSUMER
    moves = incident(fingerprint="system/a+b+crm/nothing_moves", cause="nothing_moves", explained=True)
    assert kept_cause(fewer, moves).cause is RootCause.NOTHING_MOVES
    more = replace(of(3), cause=RootCause.NOTHING_MOVES, subject="system/a+b+c")
    assert kept_cause(more, known) is more
    plain = of(3)
    assert kept_cause(plain, incident()) is plain
    assert kept_cause(plain, None) is plain
    deletions = replace(of(3), cause=RootCause.DELETIONS_MISSING, subject="system/crm")
    assert kept_cause(deletions, known).cause is RootCause.NOTHING_LEAVES, "the last that are late are deletions"
    assert kept_cause(deletions, incident()) is deletions


def test_a_cause_of_several_systems_stays_while_fewer_of_them_are_left() -> None:
    known = incident(fingerprint="system/a+b+crm/nothing_moves", cause="nothing_moves", explained=True)
    for cause, subject in (
        ("nothing_arrives", "system/b"),
        ("nothing_leaves", "system/a"),
        ("nothing_moves", "system/a+b"),
    ):
        left = replace(of(3), cause=RootCause(cause), subject=subject)
        assert kept_cause(left, known).fingerprint == known.fingerprint
    for cause, subject in (("nothing_arrives", "system/d"), ("nothing_moves", "system/a+b+c+d")):
        other = replace(of(3), cause=RootCause(cause), subject=subject)
        assert kept_cause(other, known) is other
    narrow = incident(fingerprint="system/a/nothing_leaves", cause="nothing_leaves", explained=True)
    wide = replace(of(3), cause=RootCause.NOTHING_MOVES, subject="system/a+b")
    assert kept_cause(wide, narrow) is wide


def test_late_records_leave_the_incident_of_the_dead_letters_that_they_have_outgrown() -> None:
    letters, late = of(10).breaches[0], of(36).breaches[0]
    letters = replace(letters, breach_id=101, incident_id=1, breach=Breach.DEAD_LETTERS, fingerprint="letters")
    late = replace(late, breach_id=102, incident_id=1, breach=Breach.NOT_ARRIVING, fingerprint="late")
    grouped = [
        Group(cause=RootCause.REJECTED_MESSAGES, subject="queue/f/dead", breaches=(letters,)),
        Group(cause=Breach.NOT_ARRIVING, subject="flow/f", breaches=(late,)),
    ]
    placed = placements(grouped, {1: incident(1)}, {})
    assert [(each.incident_id, each.group and each.group.lead.breach) for each in placed] == [
        (1, Breach.DEAD_LETTERS),
        (0, Breach.NOT_ARRIVING),
    ]


@pytest.mark.parametrize("still_clearing", [True, False])
def test_dead_letters_leave_the_incident_of_a_queue_that_is_read_again(still_clearing: bool) -> None:
    stalled = replace(of(0).breaches[0], breach_id=101, incident_id=1, breach=Breach.STALLED, fingerprint="stalled")
    letters = replace(
        of(27).breaches[0], breach_id=102, incident_id=1, breach=Breach.DEAD_LETTERS, fingerprint="dead"
    )
    late = replace(of(9).breaches[0], breach_id=103, incident_id=1, breach=Breach.NOT_ARRIVING, fingerprint="late")
    rejected = Group(cause=RootCause.REJECTED_MESSAGES, subject="queue/f/dead", breaches=(letters, late))
    waited = Group(cause=RootCause.STOPPED_CONSUMER, subject="queue/f/jobs", breaches=(stalled,))
    grouped = [waited, rejected] if still_clearing else [rejected]
    known = incident(1, cause=RootCause.STOPPED_CONSUMER, fingerprint="queue/f/jobs/stopped_consumer", explained=True)
    placed = {each.incident_id: each.group for each in placements(grouped, {1: known}, {})}
    assert placed == {1: waited if still_clearing else None, 0: rejected}
    together = replace(waited, breaches=(stalled, letters, late))
    assert [each.incident_id for each in placements([together], {1: known}, {})] == [1]


def test_an_objective_missed_while_a_queue_was_not_read_is_not_one_of_messages_rejected_since() -> None:
    known = incident(1, cause=RootCause.STOPPED_CONSUMER, fingerprint="queue/f/jobs/stopped_consumer", explained=True)
    letters = replace(breach(3, what="dead_letters"), opened_at=later(300))
    late, missed = breach(4, 1, what="not_arriving"), breach(5, 1, what="objective")
    rejected = group(letters, late, missed, cause=RootCause.REJECTED_MESSAGES)
    assert placed([rejected], [known]) == [(0, [3, 4], ()), (1, [5], ())]
    (_, own) = placements([rejected], {1: known}, {})
    assert spent(known, own.group)
    still = group(breach(6, 1, what="stalled", count=0), cause=RootCause.STOPPED_CONSUMER)
    assert placed([still, rejected], [known]) == [(1, [6, 5], ()), (0, [3, 4], ())]
    since = replace(missed, opened_at=later(301))
    rejected = replace(rejected, breaches=(letters, late, since))
    assert placed([rejected], [known]) == [(0, [3, 4, 5], ()), (1, None, ())]


def test_what_has_another_cause_leaves_an_incident_whose_cause_is_over() -> None:
    letters = incident(1, cause=RootCause.REJECTED_MESSAGES, fingerprint="queue/f/dead/rejected_messages")
    late = breach(1, 1, what="not_arriving")
    stalled = breach(2, what="stalled")
    paused = replace(group(stalled, late, cause=RootCause.STOPPED_CONSUMER), subject="queue/f/jobs")
    assert placed([paused], [letters]) == [(0, [2, 1], ()), (1, None, ())]
    gone = replace(group(breach(3, 1, what="dead_letters", count=0), cause=RootCause.REJECTED_MESSAGES), subject="x")
    assert placed([gone, paused], [letters]) == [(1, [3], ()), (0, [2, 1], ())]
    still = replace(gone, breaches=(breach(3, 1, what="dead_letters"),))
    assert placed([still, paused], [letters])[0] == (1, [3, 2, 1], ()), "it lasts, and may have led to the other"
    slow = incident(1, cause=RootCause.SLOW_CONSUMER, fingerprint="queue/f/jobs/slow_consumer")
    assert placed([paused], [slow]) == [(1, [2, 1], ())], "of the same queue"


def test_deletions_that_are_late_elsewhere_as_well_leave_an_incident_whose_cause_is_over() -> None:
    known = incident(1, cause=RootCause.STOPPED_CONSUMER, fingerprint="queue/f/jobs/stopped_consumer")
    own, other = breach(1, 1, what="not_arriving"), breach(2, what="not_arriving", flow="g")

    def deletions(*breaches: OpenBreach) -> Group:
        return group(*breaches, cause=RootCause.DELETIONS_MISSING)

    assert placed([deletions(own, other)], [known]) == [(0, [1, 2], ()), (1, None, ())]
    assert placed([deletions(own)], [known]) == [(1, [1], ())], "the last that the queue held up"
    deleted = incident(1, cause=RootCause.DELETIONS_MISSING, fingerprint="system/crm/deletions_missing")
    paused = replace(group(breach(3, what="stalled"), own, cause=RootCause.STOPPED_CONSUMER), subject="queue/f/jobs")
    assert placed([paused], [deleted]) == [(0, [3, 1], ()), (1, None, ())]
    unknown = group(own, cause=Breach.NOT_ARRIVING)
    assert placed([unknown], [deleted]) == [(0, [1], ()), (1, None, ())], "other changes are late"
    some = replace(own, reason="some_deletions")
    assert placed([group(some, cause=Breach.NOT_ARRIVING)], [deleted]) == [(1, [1], ())], "deletions are late, too"
    still = replace(paused, breaches=(breach(3, what="stalled"), replace(own, reason="deletions")))
    assert placed([still], [deleted]) == [(1, [3, 1], ())], "it may be why these stay"
    plain = replace(known, cause="not_arriving")
    assert placed([deletions(own, other)], [plain]) == [(1, [1, 2], ())]


def test_another_cause_does_not_open_an_incident_again() -> None:
    late, elsewhere = breach(1, what="not_arriving"), breach(2, what="not_arriving", flow="g")
    over = incident(
        7, state="resolved", cause=RootCause.STOPPED_CONSUMER, fingerprint="queue/f/jobs/stopped_consumer"
    )
    recent = {late.fingerprint: over, over.fingerprint: over}

    def opened(*breaches: OpenBreach, cause: RootCause | Breach, **known: Incident) -> int:
        (found,) = placements([group(*breaches, cause=cause)], {}, recent | known)
        return found.incident_id

    queue = replace(group(late, cause=RootCause.STOPPED_CONSUMER), subject="queue/f/jobs")
    assert [each.incident_id for each in placements([queue], {}, recent)] == [7]
    assert opened(late, cause=Breach.NOT_ARRIVING) == 7, "what the cause did to the flow before it is found"
    assert opened(late, elsewhere, cause=RootCause.NOTHING_LEAVES) == 0, "it did nothing to the other flow"
    assert opened(late, elsewhere, cause=RootCause.NOTHING_LEAVES, **{elsewhere.fingerprint: over}) == 7
    assert opened(late, cause=RootCause.DELETIONS_MISSING) == 0
    assert opened(late, cause=RootCause.SYSTEMATIC_DIFFERENCE) == 0
    assert opened(late, cause=RootCause.CONCURRENT_WRITES) == 0
    recent[late.fingerprint] = replace(over, cause=RootCause.DELETIONS_MISSING)
    assert opened(late, cause=Breach.NOT_ARRIVING) == 0, "other changes are late"
    recent[late.fingerprint] = replace(over, cause="not_arriving")
    assert opened(late, cause=RootCause.DELETIONS_MISSING) == 0
    assert opened(late, cause=RootCause.SYSTEMATIC_DIFFERENCE) == 7, "its cause was not known"


def test_late_records_do_not_open_the_incident_of_dead_letters_again() -> None:
    late = replace(of(36).breaches[0], incident_id=0, breach=Breach.NOT_ARRIVING, fingerprint="late")
    letters = replace(of(10).breaches[0], incident_id=0, breach=Breach.DEAD_LETTERS, fingerprint="letters")
    over = incident(7, state="resolved", cause=RootCause.REJECTED_MESSAGES, explained=True)
    recent = {"late": over, "letters": over}
    alone = Group(cause=Breach.NOT_ARRIVING, subject="flow/f", breaches=(late,))
    again = Group(cause=RootCause.REJECTED_MESSAGES, subject="queue/f/dead", breaches=(letters, late))
    assert [each.incident_id for each in placements([alone], {}, recent)] == [0]
    assert [each.incident_id for each in placements([again], {}, recent)] == [7]
    late_before = {"late": replace(over, cause=RootCause.STOPPED_CONSUMER)}
    assert [each.incident_id for each in placements([alone], {}, late_before)] == [7]


def test_its_end_waits_for_the_breach_to_return() -> None:
    hold = timedelta(seconds=30)
    known = incident()
    moved = next_move(known, None, HIGH, later(60), hold=hold)
    assert (moved.transition, moved.state, moved.clear_since_at) == (None, "open", later(60))
    clear = after(known, moved, later(60))
    assert next_move(clear, None, HIGH, later(90), hold=hold).transition is Transition.RESOLVED
    back = next_move(clear, of(5), HIGH, later(80), hold=hold)
    assert (back.transition, back.reopened, back.clear_since_at) == (None, 1, None)


def test_a_link_that_flaps_is_two_messages_and_its_end() -> None:
    hold = timedelta(seconds=30)
    known, reported = incident(), []
    for at in range(10):
        now = later(60 + 20 * at)
        moved = next_move(known, of(5) if at % 2 else None, HIGH, now, hold=hold)
        reported += [moved.transition] if moved.transition else []
        known = after(known, moved, now)
    assert reported == [Transition.FLAPPING]
    cleared = after(known, next_move(known, None, HIGH, later(300), hold=hold), later(300))
    assert next_move(cleared, None, HIGH, later(599), hold=hold).transition is None
    assert next_move(cleared, None, HIGH, later(600), hold=hold).transition is Transition.RESOLVED


def test_what_is_over_before_it_is_reported_ends_at_once() -> None:
    moved = next_move(incident(tell_at=later(30)), None, HIGH, later(20), hold=timedelta(seconds=30))
    assert moved.transition is Transition.RESOLVED


def test_missed_objectives_do_not_outlive_their_cause() -> None:
    missed = group(breach(2, 1, what="objective"), cause=Breach.OBJECTIVE)
    assert spent(incident(), missed)
    assert not spent(incident(), group(breach(1, 1), breach(2, 1, what="objective")))
    assert not spent(incident(breach="objective"), missed)
    assert not spent(incident(state="resolved"), missed)
    assert not spent(incident(), None)


def test_an_incident_in_two_groups_stays_with_its_cause_though_that_is_clearing_up() -> None:
    cause, missed = breach(1, 1, count=0), breach(2, 1, count=9, what="objective")
    (placement,) = placements([group(missed, cause=Breach.OBJECTIVE), group(cause)], {1: incident()}, {})
    assert placement.group is not None
    assert (placement.group.cause, placement.group.lead) == (Breach.ORPHAN, cause)


def test_a_few_records_more_and_more_failed_audits_are_no_growth() -> None:
    assert next_move(incident(told=1), of(9), HIGH, NOW).transition is None
    failing = next_move(incident(told=0), of(400, what="unreachable"), HIGH, NOW)
    assert (failing.transition, failing.extent.count) == (None, 400)


def test_a_queue_that_fills_while_records_stay_is_growth() -> None:
    both = group(breach(1, 1), breach(2, 1, what="stalled", count=100), cause=RootCause.STOPPED_CONSUMER)
    moved = next_move(incident(told_messages=4, explained=True), both, HIGH, NOW)
    assert (moved.transition, moved.growth) == (Transition.GROWN, 10)


def test_a_worse_severity_is_reported_and_a_lighter_one_is_not() -> None:
    worse = next_move(incident(severity=Severity.LOW), of(6), Severity.CRITICAL, NOW)
    assert (worse.transition, worse.severity, worse.told) == (Transition.WORSE, Severity.CRITICAL, 6)
    lighter = next_move(incident(severity=Severity.CRITICAL), of(6), Severity.LOW, NOW)
    assert (lighter.transition, lighter.severity) == (None, Severity.CRITICAL)


def test_the_cause_is_reported_once_when_it_becomes_known() -> None:
    known = group(breach(1, 1), cause=RootCause.STOPPED_CONSUMER)
    moved = next_move(incident(), known, HIGH, NOW)
    assert moved.transition is Transition.EXPLAINED
    assert next_move(after(incident(), moved, NOW), known, HIGH, NOW).transition is None


def test_it_is_over_with_its_last_breach_and_comes_back_as_the_same() -> None:
    over = next_move(incident(), None, Severity.LOW, NOW)
    assert (over.state, over.transition) == ("resolved", Transition.RESOLVED)
    again = next_move(after(incident(), over, NOW), of(5), HIGH, later(60))
    assert (again.transition, again.reopened, again.growth) == (Transition.REOPENED, 1, 0)


def test_flapping_is_reported_once_and_over_only_after_a_calm_time() -> None:
    known, reported = incident(), []
    for minute in range(12):
        now = later(60 * minute)
        moved = next_move(known, None if minute % 2 else of(5), HIGH, now)
        if moved.transition:
            reported.append(moved.transition.value)
        known = after(known, moved, now)
    assert reported == ["resolved", "reopened", "resolved", "flapping"]
    calm = later(60 * 11) + ABSORB
    assert next_move(known, None, HIGH, calm - timedelta(seconds=1)).transition is None
    assert next_move(known, None, HIGH, calm).transition is Transition.RESOLVED


@given(st.lists(st.integers(0, 3), max_size=60))
def test_messages_alternate_between_open_and_resolved_and_are_few(counts: list[int]) -> None:
    known: Incident | None = None
    reported: list[Transition] = []
    for at, count in enumerate(counts):
        now = later(60 * at)
        if known is None and not count:
            continue
        if known is not None and not known.live and not count:
            continue
        moved = next_move(known, of(count) if count else None, HIGH, now)
        known = after(known or incident(), moved, now)
        if moved.transition:
            reported.append(moved.transition)
    opening = {Transition.OPENED, Transition.REOPENED, Transition.FLAPPING}
    assert all((before is Transition.RESOLVED) == (here in opening) for before, here in pairwise(reported))
    assert sum(each is Transition.FLAPPING for each in reported) <= 1


def test_records_messages_and_audits_are_counted_apart() -> None:
    members = (
        breach(1, count=75, what="not_arriving"),
        breach(2, count=60, what="objective"),
        breach(3, count=29, what="not_arriving", flow="g"),
        breach(4, count=100, what="stalled"),
        breach(5, count=3, what="unreadable"),
    )
    extent = extent_of(members)
    assert extent_of(members, repeats={4}).messages == 0
    assert (extent.records, extent.messages, extent.audits, extent.count) == (104, 100, 3, 104)


def test_records_that_differ_for_several_causes_add_up_and_those_unverified_do_not() -> None:
    members = (
        breach(1, count=11, what="foreign_write"),
        breach(2, count=10, what="write_conflict"),
        breach(3, count=15, what="unverified"),
        breach(4, count=30, what="unverified", flow="g"),
    )
    assert extent_of(members).records == 21 + 30


# -- placements


def placed(groups: list[Group], live: list[Incident], recent: dict[str, Incident] | None = None) -> list[object]:
    found = placements(groups, {each.incident_id: each for each in live}, recent or {})
    return [
        (each.incident_id, [one.breach_id for one in each.group.breaches] if each.group else None, each.absorbed)
        for each in found
    ]


def test_a_new_group_opens_an_incident_and_a_new_breach_joins_the_one_of_its_group() -> None:
    assert placed([group(breach(1), breach(2))], []) == [(0, [1, 2], ())]
    assert placed([group(breach(1, 7), breach(2))], [incident(7)]) == [(7, [1, 2], ())]


def test_two_incidents_with_one_cause_become_the_older_one() -> None:
    older, younger = incident(7), incident(8, opened_at=later(5))
    assert placed([group(breach(1, 8), breach(2, 7))], [older, younger]) == [(7, [1, 2], (8,))]


def test_an_incident_that_also_has_another_cause_is_not_merged_and_its_breaches_stay() -> None:
    older, younger = incident(7), incident(8, opened_at=later(5))
    groups = [group(breach(1, 7), breach(2, 8)), group(breach(3, 8), cause=Breach.INVALID)]
    assert placed(groups, [older, younger]) == [(7, [1], ()), (8, [3, 2], ())]


def test_what_a_breach_explains_that_is_in_an_incident_is_a_part_of_it_although_the_rest_has_another_cause() -> None:
    rest = group(breach(1, 1, what="not_arriving"), breach(2, 1, what="not_arriving", flow="g"))
    queue = group(
        breach(3, 1, what="stalled", flow="h"),
        breach(4, what="objective", flow="h"),
        cause=RootCause.STOPPED_CONSUMER,
    )
    assert placed([rest, queue], [incident(1)]) == [(1, [1, 2, 3, 4], ())]


def test_what_was_over_shortly_before_is_opened_again_once() -> None:
    recent = {"flow/f/orphan": incident(7, state="resolved")}
    again = [group(breach(1)), group(breach(2), cause=Breach.INVALID)]
    assert placed(again, [], recent) == [(7, [1], ()), (0, [2], ())]


def test_a_live_incident_without_breaches_is_placed_without_a_group() -> None:
    assert placed([], [incident(7)]) == [(7, None, ())]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), max_size=12),
)
def test_no_breach_is_lost_and_none_is_in_two_incidents(spread: list[tuple[int, int]]) -> None:
    by_group: dict[int, list[OpenBreach]] = {}
    for number, (at, incident_id) in enumerate(spread, 1):
        by_group.setdefault(at, []).append(breach(number, incident_id))
    live = {number: incident(number, opened_at=later(number)) for number in range(1, 5)}
    groups = [replace(group(*each), subject=f"flow/{at}") for at, each in by_group.items()]
    found = placements(groups, live, {})
    members = [each.breach_id for one in found if one.group for each in one.group.breaches]
    assert sorted(members) == list(range(1, len(spread) + 1))
    numbers = [each.incident_id for each in found if each.incident_id]
    assert len(set(numbers)) == len(numbers)
    assert {*numbers} | {each for one in found for each in one.absorbed} == live.keys()
