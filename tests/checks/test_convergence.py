"""One change's verdict: certain only where the intervals leave no other way."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks.clocks import ClockBounds
from checks.convergence import Change, Verdict, commit_bounds, commit_delay_s, next_probe_at, shows, still_differs
from checks.values import EPOCH

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def change(window_s: float = 10, uncertain_s: float = 0) -> Change:
    return Change(
        key=1,
        fingerprint=b"v",
        committed_from_at=after(-uncertain_s),
        committed_to_at=after(uncertain_s),
        window_s=window_s,
        enrolled_at=NOW,
    )


def test_seen_in_time_is_met() -> None:
    seen = shows(still_differs(change(), after(3), after(3)), after(5), by_later_version=False)
    assert (seen.verdict, seen.lag_lower_s, seen.lag_upper_s) == (Verdict.MET, 3, 5)


def test_still_differing_past_the_window_is_a_breach_at_once() -> None:
    assert still_differs(change(), after(10.01), after(10.02)).verdict is Verdict.BREACH
    assert still_differs(change(), after(10), after(10.02)).verdict is Verdict.PENDING


def test_a_breach_that_arrives_is_a_breach_that_converged() -> None:
    seen = shows(still_differs(change(), after(11), after(11)), after(15), by_later_version=False)
    assert seen.verdict is Verdict.BREACH_THEN_CONVERGED


def test_a_bracket_around_the_window_is_undecided() -> None:
    seen = shows(still_differs(change(), after(9), after(9)), after(12), by_later_version=False)
    assert seen.verdict is Verdict.UNDECIDED


def test_the_error_of_the_commit_counts_against_certainty() -> None:
    assert still_differs(change(uncertain_s=2), after(11), after(11)).verdict is Verdict.PENDING
    assert shows(change(uncertain_s=2), after(9), by_later_version=False).verdict is Verdict.UNDECIDED


def test_no_window_at_all_is_broken_by_any_certain_difference() -> None:
    assert still_differs(change(window_s=0), after(0.1), after(0.2)).verdict is Verdict.BREACH


def test_a_version_that_was_overtaken_is_counted_apart() -> None:
    assert shows(change(), after(5), by_later_version=True).verdict is Verdict.SUPERSEDED


def test_a_change_is_given_up_after_eight_windows() -> None:
    lost = still_differs(change(), after(80.1), after(80.1))
    assert (lost.verdict, lost.settled_at) == (Verdict.BREACH, after(80.1))
    assert still_differs(change(window_s=1), after(59), after(59)).settled_at is None


@pytest.mark.parametrize("window_s", [1.0, 100.0, 86_400.0, 7 * 86_400.0])
def test_the_end_of_the_window_is_probed_once_on_each_side(window_s: float) -> None:
    of, now, seen = change(window_s=window_s), NOW, []
    for _ in range(200):
        at = next_probe_at(of, now, every_s=min(window_s / 3, 300), guard_s=0.1)
        if at <= now:
            break
        seen.append(at)
        now = at
    assert seen.count(after(window_s - 0.2)) == 1
    assert seen.count(after(window_s + 0.1)) == 1
    assert max(seen) == of.gives_up_at
    assert len([at for at in seen if at <= after(window_s + 0.1)]) <= 25


def test_re_probes_are_geometric_and_drift_apart() -> None:
    one, other = change(window_s=1e6), replace(change(window_s=1e6), fingerprint=b"\xff\xff")
    waits = [
        (next_probe_at(each, after(1000), every_s=1, guard_s=0) - after(1000)).total_seconds()
        for each in (one, other)
    ]
    assert all(490 <= wait <= 500 for wait in waits)
    assert waits[0] != waits[1]


def test_a_change_that_seems_to_arrive_before_it_was_made_is_clamped_and_no_proof() -> None:
    seen = shows(change(), after(-3), by_later_version=False)
    assert (seen.lag_upper_s, seen.clamped, seen.verdict) == (0, True, Verdict.UNDECIDED)
    assert not shows(change(), after(3), by_later_version=False).clamped


def test_a_stamp_that_was_there_before_its_record_tells_the_delay_of_the_commit() -> None:
    clock = ClockBounds(lower_s=0, upper_s=0, measured_at=NOW)
    stamp = int(after(-10).timestamp() * 1_000_000)
    assert commit_delay_s(stamp_us=stamp, clock=clock, not_seen_at=after(-7)) == 3
    assert commit_delay_s(stamp_us=stamp, clock=clock, not_seen_at=after(-12)) == 0
    assert commit_delay_s(stamp_us=None, clock=clock, not_seen_at=NOW) == 0


seconds = st.floats(0, 100)


@given(
    true_lag_s=st.floats(0, 60),
    probes=st.lists(st.tuples(st.floats(0, 80), st.floats(0, 2)), min_size=1, max_size=12),
    error_s=st.floats(0, 5),
    bias=st.floats(-1, 1),
    window_s=st.sampled_from([0.0, 1.0, 10.0, 30.0]),
)
def test_verdicts_are_never_wrong(
    true_lag_s: float, probes: list[tuple[float, float]], error_s: float, bias: float, window_s: float
) -> None:
    """The commit is somewhere in its bounds; each answer is what the target held at some instant between."""
    commit_s = bias * error_s
    of = replace(change(window_s=window_s), committed_from_at=after(-error_s), committed_to_at=after(error_s))
    sureties = []
    for sent_s, took_s in sorted(probes):
        if of.settled_at:
            break
        shown = sent_s + took_s / 2 >= commit_s + true_lag_s
        of = (
            shows(of, after(sent_s + took_s), by_later_version=False)
            if shown
            else still_differs(of, after(sent_s), after(sent_s + took_s))
        )
        sureties.append(of.verdict)
        assert of.lag_lower_s <= true_lag_s + 1e-5
        assert of.lag_upper_s is None or of.lag_upper_s >= true_lag_s - 1e-5
        if of.verdict is Verdict.MET:
            assert true_lag_s <= window_s + 1e-5
        if of.verdict in {Verdict.BREACH, Verdict.BREACH_THEN_CONVERGED}:
            assert true_lag_s > window_s - 1e-5
    if Verdict.BREACH in sureties:
        assert sureties[-1] in {Verdict.BREACH, Verdict.BREACH_THEN_CONVERGED}


@given(st.lists(seconds, min_size=2, max_size=8))
def test_another_probe_never_widens_the_interval(sent: list[float]) -> None:
    of = change(window_s=1000)
    lower = 0.0
    for at in sent:
        of = still_differs(of, after(at), after(at))
        assert of.lag_lower_s >= lower
        lower = of.lag_lower_s


def test_a_stamp_is_corrected_by_the_clock_and_cut_by_what_was_seen() -> None:
    clock = ClockBounds(lower_s=4.9, upper_s=5.1, measured_at=NOW)
    stamp = int(after(5).timestamp() * 1_000_000)
    low, high = commit_bounds(stamp_us=stamp, clock=clock, slack_s=0, seen_at=after(60), not_seen_at=None)
    assert low <= NOW <= high
    assert (high - low).total_seconds() < 0.21
    _, high = commit_bounds(stamp_us=stamp, clock=clock, slack_s=9, seen_at=after(0.05), not_seen_at=None)
    assert high == after(0.05)


def test_a_stamp_older_than_a_reading_that_did_not_see_it_is_a_late_commit() -> None:
    clock = ClockBounds(lower_s=0, upper_s=0, measured_at=NOW)
    stamp = int(after(-100).timestamp() * 1_000_000)
    bounds = commit_bounds(stamp_us=stamp, clock=clock, slack_s=0.1, seen_at=after(5), not_seen_at=after(1))
    assert bounds == (after(1), after(5))


def test_without_a_stamp_or_a_clock_only_the_readings_count() -> None:
    assert commit_bounds(stamp_us=None, clock=None, slack_s=0, seen_at=after(5), not_seen_at=after(1)) == (
        after(1),
        after(5),
    )
    low, _ = commit_bounds(stamp_us=None, clock=None, slack_s=0, seen_at=after(5), not_seen_at=None)
    unknown = replace(change(), committed_from_at=low)
    assert low == EPOCH
    assert shows(unknown, after(9), by_later_version=False).lag_upper_s is None
