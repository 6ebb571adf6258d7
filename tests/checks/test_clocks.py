"""Clock bounds contain the true offset, whatever the network does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from checks.clocks import ClockBounds, aim_s, bounds_of, narrow, worth_aiming
from probes.contract import ClockSample

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def exchange(
    offset_s: float, out_s: float, back_s: float, resolution_s: float = 0, at: datetime = NOW
) -> ClockSample:
    """A look at a clock that is `offset_s` ahead, over a network with these delays."""
    read_at = at + timedelta(seconds=out_s + offset_s)
    if resolution_s:
        whole = int(read_at.timestamp() / resolution_s) * resolution_s
        read_at = datetime.fromtimestamp(whole, UTC)
    return ClockSample(
        sent_at=at,
        received_at=at + timedelta(seconds=out_s + back_s),
        server_at=read_at,
        resolution_s=resolution_s,
    )


delays = st.floats(0, 2)
offsets = st.floats(-300, 300)


@given(offsets, delays, delays, st.sampled_from([0.0, 0.001, 1.0]))
def test_one_exchange_contains_the_truth(offset_s: float, out_s: float, back_s: float, resolution_s: float) -> None:
    bounds = bounds_of(exchange(offset_s, out_s, back_s, resolution_s))
    assert bounds.lower_s - 1e-5 <= offset_s <= bounds.upper_s + 1e-5


@given(offsets, st.lists(st.tuples(delays, delays), min_size=1, max_size=8))
def test_more_exchanges_contain_the_truth_and_never_widen(offset_s: float, trips: list[tuple[float, float]]) -> None:
    known: ClockBounds | None = None
    for number, (out_s, back_s) in enumerate(trips):
        sample = exchange(offset_s, out_s, back_s, at=NOW + timedelta(seconds=5 * number))
        before = known
        known = narrow(known, sample)
        assert known.lower_s - 1e-5 <= offset_s <= known.upper_s + 1e-5
        assert known.half_width_s <= bounds_of(sample).half_width_s + 1e-9
        if before is not None:
            assert known.half_width_s <= before.at(known.measured_at).half_width_s + 1e-9


def test_a_clock_that_was_set_is_a_step() -> None:
    known = narrow(None, exchange(0, 0.01, 0.01))
    stepped = narrow(known, exchange(60, 0.01, 0.01, at=NOW + timedelta(seconds=5)))
    assert stepped.stepped_at == stepped.measured_at
    assert stepped.lower_s < 60 < stepped.upper_s + 1e-6


def test_after_a_step_no_stamp_is_believed_until_those_before_it_are_past() -> None:
    known = narrow(None, exchange(0, 0.01, 0.01))
    assert known.trusted(NOW) is known
    stepped = narrow(known, exchange(-30, 0.01, 0.01, at=NOW + timedelta(seconds=5)))
    assert stepped.trusted(NOW + timedelta(seconds=90)) is None
    later = narrow(stepped, exchange(-30, 0.01, 0.01, at=NOW + timedelta(seconds=100)))
    assert later.stepped_at == stepped.stepped_at
    assert later.trusted(NOW + timedelta(seconds=100)) is later


@given(offsets, st.lists(st.floats(0.03, 0.05), min_size=8, max_size=8))
def test_aimed_exchanges_halve_the_bounds_of_a_clock_of_whole_seconds(offset_s: float, trips: list[float]) -> None:
    known: ClockBounds | None = None
    at = NOW
    for half_s in trips:
        if known is not None:
            at += timedelta(seconds=1 + aim_s(known, at + timedelta(seconds=1)))
        known = narrow(known, exchange(offset_s, half_s, half_s, 1.0, at=at))
        assert known.lower_s - 1e-5 <= offset_s <= known.upper_s + 1e-5
    assert known is not None
    assert known.half_width_s < 0.07


def test_a_clock_of_microseconds_needs_no_aiming() -> None:
    known = bounds_of(exchange(0, 0.5, 0.5))
    assert (aim_s(known, NOW), worth_aiming(known), worth_aiming(None)) == (0, False, True)


def test_bounds_widen_with_time() -> None:
    known = bounds_of(exchange(0, 0.01, 0.01))
    later = known.at(NOW + timedelta(hours=1))
    assert later.half_width_s > known.half_width_s + 0.3


def test_a_stamp_becomes_a_local_interval() -> None:
    bounds = ClockBounds(lower_s=9.9, upper_s=10.1, measured_at=NOW)
    stamp = NOW + timedelta(seconds=10)
    earliest, latest = bounds.local(int(stamp.timestamp() * 1_000_000))
    assert earliest <= NOW <= latest
    assert (latest - earliest).total_seconds() < 0.21
