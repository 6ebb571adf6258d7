"""A record's life through many readings: suspicion, certainty, closing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from checks.cause import Cause, Kind
from checks.causes import Baseline
from checks.comparison import Comparison, Copy, Place
from checks.convergence import Change, Operation, Verdict
from checks.differences import Difference, Shape
from checks.judgement import Judgement, Outcome, glimpse, judge
from checks.record_history import Divergence, DivergenceState, History
from checks.records import FIELD_DIGEST_BYTES
from checks.terms import Look, Terms

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TERMS = Terms(window_s=10, every_s=1, guard_s=0.1, confirm_s=1)


def mark(version: str) -> bytes:
    return version.encode().ljust(FIELD_DIGEST_BYTES)[:FIELD_DIGEST_BYTES]


def based(version: str, ring: tuple[bytes, ...] = ()) -> Baseline:
    digest = version.encode()
    return Baseline(owner=digest, target=digest, owner_digests=mark(version), target_digests=mark(version), ring=ring)


BASE = based("0", ring=(b"old",))


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def look(seconds: float) -> Look:
    return Look(sent_at=after(seconds), received_at=after(seconds + 0.05))


def held(version: str | None) -> Copy | None:
    return None if version is None else Copy((version,), version.encode(), None, mark(version))


def compared(owner: str | None, target: str | None, **more: object) -> Comparison:
    differs = owner is not None and target is not None and owner != target
    difference = Difference(field="name", shape=Shape.VALUE, owner_value="", target_value="")
    return Comparison(
        key=1,
        owner=held(owner),
        target=held(target),
        differences=(difference,) if differs else (),
        places=(Place(0),) if differs else (),
        **more,  # type: ignore[arg-type]
    )


def change(version: str, at: float = 0) -> Change:
    return Change(
        key=1,
        fingerprint=version.encode(),
        committed_from_at=after(at),
        committed_to_at=after(at),
        window_s=10,
        enrolled_at=after(at),
        change_id=1,
    )


def carried(history: History, found: Judgement) -> History:
    """The history before the next reading."""
    live = found.divergence if found.divergence and found.divergence.closed_at is None else None
    return History(
        baseline=found.baseline or history.baseline,
        changes=tuple(each for each in found.changes if not each.settled_at),
        divergence=replace(live, divergence_id=1) if live else None,
    )


def test_an_agreement_sets_the_baseline_and_says_no_more() -> None:
    found = judge(compared("1", "1"), History(), look(0), TERMS)
    assert found.outcome is Outcome.AGREED
    assert found.baseline == based("1")
    assert not judge(compared("1", "1"), History(baseline=found.baseline), look(1), TERMS).tells


def test_a_change_within_its_window_is_no_divergence() -> None:
    found = judge(compared("1", "0"), History(baseline=BASE, changes=(change("1"),)), look(5), TERMS)
    assert (found.outcome, found.divergence) == (Outcome.IN_FLIGHT, None)
    assert found.changes[0].lag_lower_s == 5


def test_a_breach_is_suspected_first_and_open_after_a_second_reading() -> None:
    history = History(baseline=BASE, changes=(change("1"),))
    first = judge(compared("1", "0"), history, look(11), TERMS)
    assert first.changes[0].verdict is Verdict.BREACH
    assert first.divergence is not None
    assert first.divergence.state is DivergenceState.SUSPECTED
    second = judge(compared("1", "0"), carried(history, first), look(12.5), TERMS)
    assert second.divergence is not None
    assert (second.divergence.state, second.divergence.cause) == (DivergenceState.OPEN, Cause.LATE)
    closed = judge(compared("1", "1"), carried(carried(history, first), second), look(20), TERMS)
    assert closed.divergence is not None
    assert closed.divergence.state is DivergenceState.CLOSED
    assert closed.changes[0].verdict is Verdict.BREACH_THEN_CONVERGED


def test_a_change_that_never_arrives_is_lost() -> None:
    history = History(baseline=BASE, changes=(change("1"),))
    found = None
    for at in (11, 13, 90):
        found = judge(compared("1", "0"), history, look(at), TERMS)
        history = carried(history, found)
    assert found is not None
    assert found.divergence is not None
    assert found.divergence.cause is Cause.LOST
    again = judge(compared("1", "0"), history, look(100), TERMS)
    assert again.divergence is not None
    assert (again.divergence.cause, again.divergence.state) == (Cause.LOST, DivergenceState.OPEN)


def returned(*held: str) -> History:
    """After readings that agreed, the owner having held these versions one second after the other."""
    versions = tuple(change(each, at) for at, each in enumerate(held))
    return carried(
        History(),
        judge(compared(held[-1], held[-1]), History(baseline=BASE, changes=versions), look(len(held)), TERMS),
    )


def test_a_version_that_the_owner_left_again_arrives_late_and_is_no_foreign_write() -> None:
    history = returned("1", "0")
    assert not history.changes
    for at, expected in ((4, Outcome.IN_FLIGHT), (13, Outcome.IN_FLIGHT), (15, Outcome.DIVERGENT)):
        found = judge(compared("0", "1"), history, look(at), TERMS)
        history = carried(history, found)
        assert found.outcome is expected
    assert found.divergence is not None
    assert found.divergence.cause is Cause.LATE
    assert found.baseline is None  # the way back began long before this reading
    arrived = judge(compared("0", "0"), history, look(16), TERMS)
    assert arrived.divergence is not None
    assert arrived.divergence.state is DivergenceState.CLOSED


@pytest.mark.parametrize(
    ("held_by_owner", "shown", "cause"),
    [
        (("1", "2", "0"), "2", Cause.LATE),
        (("1", "2", "1"), "2", Cause.LATE),  # the target may have come only as far as the first of the two
        (("1", "2", "1"), "0", Cause.REGRESSION),
        (("1", "2"), "1", Cause.REGRESSION),  # skipped, as messages out of order do
        (("1", "0"), "9", Cause.FOREIGN_WRITE),
    ],
)
def test_what_the_owner_held_between_two_agreements_is_known(
    held_by_owner: tuple[str, ...], shown: str, cause: Cause
) -> None:
    history = returned(*held_by_owner)
    found = judge(compared(held_by_owner[-1], shown), history, look(len(held_by_owner) + 1), TERMS)
    assert found.finding is not None
    assert found.finding.cause is cause


def test_a_version_left_again_is_an_earlier_one_once_the_way_back_would_have_been_given_up() -> None:
    history = returned("1", "0")
    assert history.baseline is not None
    assert history.baseline.unshown_until_at == change("0", 1).gives_up_at
    found = judge(compared("0", "1"), history, look(90), TERMS)
    assert found.finding is not None
    assert found.finding.cause is Cause.REGRESSION


def test_a_version_left_again_is_older_than_every_change_since() -> None:
    history = replace(returned("1", "0"), changes=(change("2", 5), change("3", 6)))
    found = judge(compared("3", "1"), history, look(16.5), TERMS)
    assert [each.lag_lower_s for each in found.changes] == [11.5, 10.5]


def test_versions_left_again_add_up_until_the_target_moves() -> None:
    history = returned("1", "0")
    again = History(baseline=history.baseline, changes=(change("2", 5), change("0", 6)))
    history = carried(again, judge(compared("0", "0"), again, look(7), TERMS))
    assert history.baseline is not None
    assert history.baseline.unshown == (b"1", b"2")
    moved = History(baseline=history.baseline, changes=(change("3", 8),))
    history = carried(moved, judge(compared("3", "3"), moved, look(9), TERMS))
    assert history.baseline is not None
    assert history.baseline.unshown == ()
    assert history.baseline.ring == (b"old", b"1", b"2", b"0")


def test_the_versions_up_to_the_one_shown_have_arrived() -> None:
    history = History(baseline=BASE, changes=(change("1"), change("2", 1), change("3", 2)))
    found = judge(compared("3", "2"), history, look(4), TERMS)
    assert [each.verdict for each in found.changes] == [Verdict.SUPERSEDED, Verdict.MET, Verdict.PENDING]


@pytest.mark.parametrize(
    ("owner", "target", "kind", "cause"),
    [
        ("0", "9", Kind.VALUE, Cause.FOREIGN_WRITE),
        ("0", None, Kind.MISSING, Cause.LOST),
        ("0", "old", Kind.VALUE, Cause.REGRESSION),
    ],
)
def test_what_needs_no_window_opens_at_the_second_reading(
    owner: str, target: str | None, kind: Kind, cause: Cause
) -> None:
    history = History(baseline=BASE)
    first = judge(compared(owner, target), history, look(0), TERMS)
    assert first.divergence is not None
    assert first.divergence.state is DivergenceState.SUSPECTED
    too_soon = judge(compared(owner, target), carried(history, first), look(0.2), TERMS)
    assert too_soon.divergence is not None
    assert too_soon.divergence.state is DivergenceState.SUSPECTED
    second = judge(compared(owner, target), carried(history, too_soon), look(1.2), TERMS)
    assert second.divergence is not None
    assert (second.divergence.kind, second.divergence.cause) == (kind, cause)
    assert second.divergence.state is DivergenceState.OPEN


def test_a_conflict_waits_for_the_window() -> None:
    history = History(baseline=BASE, changes=(change("1"),))
    for at, state in ((0, "suspected"), (5, "suspected"), (10.2, "open")):
        found = judge(compared("1", "9"), history, look(at), TERMS)
        history = carried(history, found)
        assert found.divergence is not None
        assert found.divergence.state.value == state


def test_a_suspicion_that_goes_away_is_dismissed_and_never_was_open() -> None:
    history = History()
    first = judge(compared(None, "9"), history, look(0), TERMS)
    gone = judge(compared("9", "9"), carried(history, first), look(3), TERMS)
    assert gone.divergence is not None
    assert (gone.divergence.state, gone.divergence.opened_at) == (DivergenceState.DISMISSED, None)


def test_what_cannot_be_verified_concludes_nothing() -> None:
    history = History(baseline=BASE, changes=(change("1"),))
    unreadable = Comparison(key=1, owner=None, target=None, unverifiable="amount in a: not a decimal")
    found = judge(unreadable, history, look(100), TERMS)
    assert (found.outcome, found.changes, found.divergence) == (Outcome.CANNOT_VERIFY, history.changes, None)
    assert found.probe_at == (after(130.05),)


def test_a_target_only_change_waits_for_the_window_where_the_owner_may_have_moved() -> None:
    history = History(baseline=BASE)
    for at, state in ((0, "suspected"), (5, "suspected"), (10.2, "open")):
        found = judge(compared("0", "9"), history, look(at), TERMS, unseen_s=10.0)
        history = carried(history, found)
        assert found.divergence is not None
        assert found.divergence.state.value == state


@pytest.mark.parametrize(
    ("owner", "target", "changes", "cause"),
    [
        ("0", "9", (), Cause.FOREIGN_WRITE),
        ("1", "9", (change("1"),), Cause.WRITE_CONFLICT),
        ("0", None, (), Cause.LOST),
    ],
)
def test_what_an_unseen_version_may_explain_waits_as_long_as_one_may_be_on_its_way(
    owner: str, target: str | None, changes: tuple[Change, ...], cause: Cause
) -> None:
    history = History(baseline=BASE, changes=changes)
    for at, state in ((0, "suspected"), (20, "suspected"), (75, "suspected"), (80.2, "open")):
        found = judge(compared(owner, target), history, look(at), TERMS, unseen_s=80.0)
        history = carried(history, found)
        assert found.divergence is not None
        assert found.divergence.state.value == state
        assert found.divergence.cause is cause


def test_an_invalid_record_is_a_divergence_of_its_own_owner() -> None:
    broken = Difference(field="amount", shape=Shape.VALUE, owner_value="decimal: below 0", target_value="")
    history = History(baseline=based("1"))
    first = judge(compared("1", "1", invalid=(broken,)), history, look(0), TERMS)
    second = judge(compared("1", "1", invalid=(broken,)), carried(history, first), look(2), TERMS)
    assert second.divergence is not None
    assert (second.divergence.kind, second.divergence.state) == (Kind.INVALID, DivergenceState.OPEN)


def test_a_record_gone_from_both_systems_is_forgotten() -> None:
    assert judge(compared(None, None), History(baseline=BASE), look(0), TERMS).forget_baseline


def test_an_open_divergence_is_looked_at_again_and_again() -> None:
    history = History(baseline=BASE)
    for at in (0, 2, 5, 20, 60, 3000):
        found = judge(compared("0", "9"), history, look(at), TERMS)
        assert found.divergence is not None
        assert found.divergence.next_check_at is not None
        assert after(at) < found.divergence.next_check_at <= after(at + 901)
        history = carried(history, found)


def test_an_unknown_value_may_be_a_later_version_and_proves_no_breach_of_an_earlier_one() -> None:
    history = History(baseline=BASE, changes=(change("1"), change("3", 2)))
    found = judge(compared("3", "2"), history, look(11), TERMS)
    assert [each.verdict for each in found.changes] == [Verdict.PENDING, Verdict.PENDING]
    assert found.changes[0].differed_at is None
    assert found.changes[1].lag_lower_s == 9
    known = judge(compared("3", "0"), history, look(11), TERMS)
    assert known.changes[0].verdict is Verdict.BREACH


def test_what_the_target_showed_when_it_was_behind_is_still_behind_later() -> None:
    first = judge(compared("1", "x"), History(baseline=BASE, changes=(change("1"),)), look(5), TERMS)
    pending = (*first.changes, change("2", 6))
    found = judge(compared("2", "x"), History(baseline=BASE, changes=pending), look(11), TERMS)
    assert found.changes[0].verdict is Verdict.BREACH


def test_a_version_that_can_never_be_told_is_given_up_undecided() -> None:
    history = History(baseline=BASE, changes=(change("1"), change("3", 2)))
    found = judge(compared("3", "2"), history, look(200), TERMS)
    assert found.changes[0].verdict is Verdict.UNDECIDED
    assert found.changes[0].settled_at is not None


def test_an_event_stream_must_show_every_version() -> None:
    history = History(baseline=BASE, changes=(change("1"), change("2", 1)))
    found = judge(compared("2", "2"), history, look(3), TERMS)
    assert [each.verdict for each in found.changes] == [Verdict.SUPERSEDED, Verdict.MET]
    strict = judge(compared("2", "2"), history, look(3), replace(TERMS, every_version=True))
    assert [each.verdict for each in strict.changes] == [Verdict.UNDECIDED, Verdict.MET]


def test_a_divergence_tells_how_many_versions_the_target_is_behind_and_since_when() -> None:
    history = History(baseline=BASE, changes=(change("1"), change("2", 4), change("3", 8)))
    found = judge(compared("3", "1"), history, look(30), TERMS)
    assert found.divergence is not None
    assert (found.divergence.versions_behind, found.divergence.first_missed_at) == (2, after(4))


def test_swapping_the_sides_swaps_missing_and_orphan() -> None:
    missing = judge(compared("1", None), History(), look(0), TERMS)
    orphan = judge(compared(None, "1"), History(), look(0), TERMS)
    assert missing.divergence is not None
    assert orphan.divergence is not None
    assert (missing.divergence.kind, orphan.divergence.kind) == (Kind.MISSING, Kind.ORPHAN)


def test_a_suspicion_waits_for_the_end_of_the_window_and_not_for_every_turn() -> None:
    terms = replace(TERMS, window_s=86_400, every_s=300)
    pending = replace(change("1"), window_s=86_400)
    suspected = judge(compared("2", "x"), History(baseline=BASE), look(50), terms).divergence
    assert suspected is not None
    assert suspected.next_check_at == after(50 + 86_400.1)
    history = History(baseline=BASE, changes=(pending,), divergence=replace(suspected, divergence_id=1))
    found = judge(compared("1", "0"), history, look(100), terms).divergence
    assert found is not None
    assert found.next_check_at == pending.deadline_at(terms.guard_s)


def test_a_version_in_between_moves_the_baseline_so_that_going_back_is_a_regression() -> None:
    changes = (change("1", 0), change("2", 1))
    between = judge(compared("2", "1"), History(baseline=BASE, changes=changes), look(3), TERMS)
    assert between.baseline is not None
    assert (between.baseline.owner, between.baseline.ring[-1]) == (b"1", b"0")
    back = judge(compared("2", "0"), carried(History(baseline=BASE, changes=changes), between), look(5), TERMS)
    assert back.divergence is not None
    assert back.finding is not None
    assert back.finding.cause is Cause.REGRESSION


def test_a_record_written_again_and_again_is_given_its_window_each_time() -> None:
    history = History(baseline=BASE)
    for at in range(0, 40, 4):  # always a version that was not seen at the owner
        found = judge(compared(f"o{at}", f"t{at}"), history, look(at), TERMS)
        assert found.divergence is not None
        assert found.divergence.state is DivergenceState.SUSPECTED
        history = carried(history, found)
    for at in (40, 45, 52):
        found = judge(compared("o36", "t36"), history, look(at), TERMS)
        history = carried(history, found)
    assert found.divergence is not None
    assert (found.divergence.state, found.divergence.cause) == (DivergenceState.OPEN, Cause.WRITE_CONFLICT)


def shared(owner: str, target: str) -> Comparison:
    return replace(compared(owner, target), places=(Place(0, shared=True),))


@pytest.mark.parametrize(
    ("apart", "winner", "agreed", "cause"),
    [
        (("0", "9"), "target", "0", Cause.LOST_UPDATE),  # the permitted edit was written over
        (("0", "9"), "owner", "0", Cause.FOREIGN_WRITE),  # the policy says so
        (("0", "9"), "target", "9", Cause.FOREIGN_WRITE),  # it came through to the owner
        (("1", "9"), "nobody", "1", Cause.LOST_UPDATE),
        (("1", "9"), "nobody", "9", Cause.LOST_UPDATE),
        (("1", "9"), "target", "9", Cause.WRITE_CONFLICT),
        (("1", "9"), "owner", "1", Cause.WRITE_CONFLICT),
        (("1", "9"), "nobody", "5", Cause.WRITE_CONFLICT),  # a third value: nobody's update alone
    ],
)
def test_an_update_that_may_be_made_must_not_vanish(
    apart: tuple[str, str], winner: str, agreed: str, cause: Cause
) -> None:
    seen = judge(shared(*apart), History(baseline=BASE), look(0), TERMS)
    assert seen.divergence is not None
    assert seen.divergence.permitted
    known = replace(seen.divergence, winner=winner, divergence_id=1)
    over = judge(compared(agreed, agreed), History(baseline=BASE, divergence=known), look(5), TERMS)
    assert over.divergence is not None
    lost = cause is Cause.LOST_UPDATE
    assert (over.divergence.cause is Cause.LOST_UPDATE) == lost
    assert lost or (seen.finding is not None and seen.finding.cause is cause)
    assert (over.divergence.state is DivergenceState.CLOSED) == (cause is Cause.LOST_UPDATE)


def test_an_edit_that_was_not_permitted_is_no_update_to_be_lost() -> None:
    seen = judge(compared("0", "9"), History(baseline=BASE), look(0), TERMS)
    assert seen.divergence is not None
    known = replace(seen.divergence, winner="owner", divergence_id=1)
    over = judge(compared("0", "0"), History(baseline=BASE, divergence=known), look(5), TERMS)
    assert over.divergence is not None
    assert over.divergence.state is DivergenceState.DISMISSED


def test_each_difference_tells_its_own_cause() -> None:
    found = judge(compared("0", "9"), History(baseline=BASE), look(0), TERMS)
    assert found.divergence is not None
    assert [each.cause for each in found.divergence.differences] == ["foreign_write"]


def test_a_divergence_that_a_breach_finds_began_with_the_first_probe_that_missed_the_change() -> None:
    history = History(baseline=BASE, changes=(change("1"),))
    for at in (1, 4, 9.7):
        found = judge(compared("1", "0"), history, look(at), TERMS)
        assert found.divergence is None
        history = carried(history, found)
    found = judge(compared("1", "0"), history, look(10.2), TERMS)
    assert found.changes[0].verdict is Verdict.BREACH
    assert found.divergence is not None
    assert (found.divergence.first_seen_at, found.divergence.readings) == (after(1), 4)
    assert (found.divergence.state, found.divergence.suspected_at) == (DivergenceState.SUSPECTED, after(10.2))
    confirmed = judge(compared("1", "0"), carried(history, found), look(11.3), TERMS)
    assert confirmed.divergence is not None
    assert (confirmed.divergence.state, confirmed.divergence.operation) == (DivergenceState.OPEN, "update")


def test_a_certain_breach_stays_one_although_it_healed_before_the_second_reading() -> None:
    history = History(baseline=BASE, changes=(change("1"),))
    late = judge(compared("1", "0"), history, look(10.2), TERMS)
    healed = judge(compared("1", "1"), carried(history, late), look(11.2), TERMS)
    assert healed.changes[0].verdict is Verdict.BREACH_THEN_CONVERGED
    assert (healed.changes[0].lag_lower_s, healed.changes[0].lag_upper_s) == (10.2, 11.25)
    assert healed.divergence is not None
    assert healed.divergence.state is DivergenceState.DISMISSED


def test_a_change_of_which_sight_was_lost_is_called_neither_missing_nor_on_time() -> None:
    lost = replace(change("1"), lost_sight=True, behind=b"0")
    history = History(baseline=BASE, changes=(lost, change("3", 90)))
    found = judge(compared("3", "0"), history, look(92), TERMS)
    assert [each.verdict for each in found.changes] == [Verdict.UNDECIDED, Verdict.PENDING]
    assert found.changes[0].lag_lower_s == 0
    assert found.changes[1].lag_lower_s == 2


def test_several_rows_in_the_target_prove_no_change_missing() -> None:
    history = History(baseline=BASE, changes=(change("1"),))
    found = judge(compared("1", "0", duplicates=("several rows in b",)), history, look(11), TERMS)
    assert found.changes[0].verdict is Verdict.PENDING


def first_sight(version: str, shown: str, at: float = 0) -> History:
    found = judge(compared(version, shown), History(), look(at), TERMS)
    assert found.divergence is not None
    return carried(History(), found)


def test_a_record_that_never_rests_is_found_although_it_never_agreed() -> None:
    history = first_sight("v0", "x")
    opened = None
    for number in range(1, 30):  # written twice a second, on a window of ten: it is never still
        at = number * 0.5
        history = replace(history, changes=(*history.changes, change(f"v{number}", at - 0.1)))
        found = judge(compared(f"v{number}", "x"), history, look(at), TERMS)
        history = carried(history, found)
        assert found.divergence is not None
        opened = opened or (found.divergence.state is DivergenceState.OPEN and at)
        assert (found.changes[0].verdict is Verdict.BREACH) == (at > 10.4)
    assert opened
    assert opened < 13


def test_a_record_that_never_rests_is_no_longer_late_once_the_target_has_caught_up() -> None:
    history = first_sight("v0", "x")
    states, begins = {}, {}
    for number in range(1, 120):  # twice a second; the target is one version behind, but for 20 s nothing arrives
        at = number * 0.5
        stopped = 20 <= at < 40
        shown = "v38" if stopped else f"v{number - 1}"
        history = replace(history, changes=(*history.changes, change(f"v{number}", at - 0.1)))
        found = judge(compared(f"v{number}", shown), history, look(at), TERMS)
        history = carried(history, found)
        states[at] = found.divergence.state if found.divergence else None
        if found.divergence and found.divergence.state is DivergenceState.OPEN:
            begins[at] = found.divergence.first_seen_at
            assert found.outcome is Outcome.DIVERGENT
        elif not stopped and at > 1:
            assert found.outcome is Outcome.IN_FLIGHT
    assert {state for at, state in states.items() if 1 < at < 29} == {None}
    assert states[35] is DivergenceState.OPEN
    assert set(begins.values()) == {after(19.5)}  # the first probe without v39, and not the first sight
    assert states[40] is DivergenceState.CLOSED
    assert {state for at, state in states.items() if at > 40} == {None}


def test_what_was_given_up_is_not_made_good_by_a_later_change_on_its_way() -> None:
    history = History(baseline=BASE, changes=(change("1"),))
    for at in (11, 13, 90):
        history = carried(history, judge(compared("1", "0"), history, look(at), TERMS))
    assert history.divergence is not None
    assert history.divergence.cause is Cause.LOST
    history = replace(history, changes=(*history.changes, change("2", 91)))
    found = judge(compared("2", "0"), history, look(92), TERMS)
    assert found.outcome is Outcome.DIVERGENT
    arrived = judge(compared("3", "2"), replace(history, changes=(change("2", 91), change("3", 92))), look(93), TERMS)
    assert arrived.divergence is not None
    assert (arrived.divergence.state, arrived.outcome) == (DivergenceState.CLOSED, Outcome.IN_FLIGHT)


def test_a_record_that_never_rests_has_its_first_baseline_where_the_target_shows_a_version_it_held() -> None:
    history = replace(first_sight("v0", "x"), changes=(change("v1", 1), change("v2", 2)))
    found = judge(compared("v2", "v1"), history, look(3), TERMS)
    assert found.baseline is not None
    assert found.baseline.owner == b"v1"
    assert found.finding is not None
    assert found.finding.cause is Cause.LATE
    assert [each.verdict for each in found.changes] == [Verdict.MET, Verdict.PENDING]


def test_the_version_of_the_first_sight_is_older_than_every_change_since() -> None:
    history = replace(first_sight("v0", "x"), changes=(change("v1", 1),))
    found = judge(compared("v1", "v0"), history, look(12), TERMS)
    assert found.changes[0].verdict is Verdict.BREACH
    assert found.finding is not None
    assert found.finding.cause is Cause.LATE


def test_a_record_that_is_written_but_never_changed_is_found_late_by_readings_alone() -> None:
    history = History(baseline=BASE, changes=(change("1"),))
    opened = None
    for at in range(1, 20):  # something else of it is written each second, so that no stamp proves a breach
        written = tuple(replace(each, committed_to_at=after(at - 0.5)) for each in history.changes)
        found = judge(compared("1", "0"), replace(history, changes=written), look(at), TERMS)
        history = carried(history, found)
        assert found.changes[0].verdict is Verdict.PENDING
        if found.divergence and found.divergence.state is DivergenceState.OPEN:
            opened = opened or at
    assert opened == 12
    assert found.divergence is not None
    assert found.divergence.cause is Cause.LATE


def test_a_glimpse_settles_what_is_shown_and_concludes_nothing_of_what_is_not() -> None:
    history = History(baseline=BASE, changes=(change("1"), change("2", 1), change("3", 20)))
    seen = glimpse(compared("2", "1"), history, look(12), TERMS)
    assert [each.verdict for each in seen.changes] == [Verdict.UNDECIDED, Verdict.BREACH, Verdict.PENDING]
    assert seen.outcome is Outcome.INCONCLUSIVE
    assert seen.baseline is not None
    assert seen.baseline.owner == b"1", "both have held this version"
    assert seen.changes[2] == history.changes[2], "it was not there yet when the target answered"
    gone = History(baseline=BASE, changes=(change("1"), replace(change("", 12.1), operation=Operation.DELETE)))
    assert glimpse(compared("1", None), gone, look(12), TERMS).changes[0].shown_at is None
    unknown = glimpse(compared("2", "u"), history, look(12), TERMS)
    assert [each.verdict for each in unknown.changes] == [Verdict.PENDING] * 3
    assert unknown.divergence is None


def test_the_pattern_of_a_transformation_is_told() -> None:
    scaled = replace(compared("0", "9"), places=(Place(0, derived=True),))
    scaled = replace(scaled, differences=(replace(scaled.differences[0], pattern="times 100"),))
    found = judge(scaled, History(baseline=BASE), look(0), TERMS)
    assert isinstance(found.divergence, Divergence)
    assert (found.divergence.cause, found.divergence.detail) == (Cause.TRANSFORMATION, "name: times 100")
    second = judge(scaled, carried(History(baseline=BASE), found), look(2), TERMS)
    assert second.divergence is not None
    assert second.divergence.state is DivergenceState.OPEN, "only the target was written: no window is needed"


def test_what_is_left_beside_noise_proves_no_arrival() -> None:
    only_target = compared("0", "9")  # the field that the owner changed was taken for noise and left out
    history = History(baseline=BASE, changes=(change("1"),))
    assert judge(only_target, history, look(3), TERMS).changes[0].shown_at is not None
    assert judge(replace(only_target, partial=True), history, look(3), TERMS).changes[0].shown_at is None


def test_a_deletion_is_not_called_missing_by_what_the_target_came_to_show_since() -> None:
    gone = replace(change(""), operation=Operation.DELETE, behind=b"0")
    history = History(baseline=BASE, changes=(gone,))
    assert judge(compared(None, "0"), history, look(11), TERMS).changes[0].verdict is Verdict.BREACH
    assert judge(compared(None, "u"), history, look(11), TERMS).changes[0].verdict is Verdict.PENDING
