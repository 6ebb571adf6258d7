"""Sharing out one audit's reads."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from auditor.audit.budget import CHANGES_LIMIT, EVERYBODY, SLICE_CALLS, Calls, Plan, plan, shares

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def share(**given: object) -> Plan:
    usual: dict[str, object] = {
        "watermark_at": NOW,
        "owner_now": NOW,
        "overlap_s": 10,
        "deadlines": 0,
        "rechecks": 0,
        "panel": 0,
        "sample": 0,
        "records": 5_000,
    }
    return plan(**{**usual, **given})  # type: ignore[arg-type]


def test_the_overlap_reaches_back_behind_the_watermark() -> None:
    made = share(sample=100)
    assert made.changes_since == NOW - timedelta(seconds=10)
    assert (made.sample, made.shed) == (100, 0)


def test_before_the_first_audit_only_what_changes_from_now_on_is_followed() -> None:
    made = share(watermark_at=None)
    assert made.changes_since == NOW - timedelta(seconds=10)


counts = st.integers(0, 2_000)
many = st.one_of(st.just(math.inf), st.floats(-50, 5_000))


def used(made: Plan, deadlines: int) -> int:
    """Records that a plan reads at most, beside changes."""
    return deadlines + made.rechecks + made.panel + 2 * made.sample + made.extra


@given(deadlines=counts, rechecks=counts, panel=counts, sample=counts, records=st.integers(0, 10_000))
def test_what_is_not_urgent_gives_way_and_is_counted(
    deadlines: int, rechecks: int, panel: int, sample: int, records: int
) -> None:
    made = share(deadlines=deadlines, rechecks=rechecks, panel=panel, sample=sample, records=records)
    assert made.shed == (rechecks - made.rechecks) + (panel - made.panel) + (sample - made.sample)
    assert 1 <= made.changes <= CHANGES_LIMIT
    least = min(rechecks, 1) + min(sample, 1) * 2
    assert used(made, deadlines) <= max(records, deadlines) + least


@given(
    deadlines=counts,
    rechecks=counts,
    panel=counts,
    sample=counts,
    records=st.integers(0, 10_000),
    left=many,
    batch=st.integers(1, 500),
    more=st.sampled_from([0.0, 0.0, 0.3, 1.0]),
    evenly=st.booleans(),
    discover=st.booleans(),
)
def test_a_flow_that_shares_its_systems_never_plans_with_more_than_it_may_use(
    deadlines: int,
    rechecks: int,
    panel: int,
    sample: int,
    records: int,
    left: float,
    batch: int,
    more: float,
    evenly: bool,
    discover: bool,
) -> None:
    made = share(
        deadlines=deadlines,
        rechecks=rechecks,
        panel=panel,
        sample=sample,
        records=records,
        least=False,
        calls=Calls(left=left, batch=batch, more=more),
        evenly=evenly,
        discover=discover,
    )
    assert used(made, deadlines) <= max(records, deadlines)
    assert made.changes <= (min(CHANGES_LIMIT, max(0, records)) if discover else 0) + evenly
    unread = (rechecks - made.rechecks) + (panel - made.panel) + (sample - made.sample)
    assert made.shed == unread + (discover and made.changes == 0)
    read = deadlines + made.rechecks + made.panel + made.sample + made.extra
    calls = cost(read, batch, more) + bool(made.changes) + SLICE_CALLS * bool(made.sample)
    assert calls <= max(left, cost(deadlines, batch, more)) * (1 + 1e-9)


def cost(records: int, batch: int, more: float) -> float:
    """Calls that so many records cost."""
    return records * (more + 1 / batch) if more else math.ceil(records / batch)


@example(deadlines=0, rechecks=1, panel=1, sample=1, records=2, left=1.0, batch=2, more=0.0)
@given(
    deadlines=counts,
    rechecks=st.integers(1, 2_000),
    panel=st.integers(1, 500),
    sample=st.integers(1, 500),
    records=st.integers(0, 6_000),
    left=many,
    batch=st.integers(1, 500),
    more=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_the_more_urgent_is_never_shed_before_the_less_urgent(
    deadlines: int, rechecks: int, panel: int, sample: int, records: int, left: float, batch: int, more: float
) -> None:
    made = share(
        deadlines=deadlines,
        rechecks=rechecks,
        panel=panel,
        sample=sample,
        records=records,
        least=False,
        calls=Calls(left=left, batch=batch, more=more),
    )
    if made.rechecks < rechecks:
        assert made.panel == made.sample == made.extra == 0
    if not made.changes:
        assert made.sample == 0
        urgent = deadlines + made.rechecks
        along = urgent + made.panel + made.extra
        assert cost(along, batch, more) == cost(urgent, batch, more), "what rides along costs no call of its own"


def test_without_calls_for_a_slice_nothing_is_taken_of_the_sample() -> None:
    made = share(sample=10, least=False, calls=Calls(left=2.9, batch=100))
    assert (made.changes > 0, made.sample, made.shed) == (True, 0, 10)
    made = share(sample=10, least=False, calls=Calls(left=5, batch=1, more=1))
    assert (made.sample, made.shed) == (1, 9)


def test_records_ride_along_in_calls_that_are_made_anyway() -> None:
    made = share(deadlines=1, rechecks=50, panel=40, sample=200, least=False, calls=Calls(left=4, batch=500))
    assert (made.rechecks, made.panel, made.sample, made.shed) == (50, 40, 200, 0)
    made = share(deadlines=1, rechecks=50, panel=40, sample=200, least=False, calls=Calls(left=1, batch=60))
    assert (made.rechecks, made.changes, made.panel, made.sample) == (50, 0, 9, 0)


def test_what_has_waited_for_long_comes_once_before_the_rechecks_and_is_saved_for() -> None:
    busy = {"rechecks": 100, "sample": 10, "records": 40, "least": False}
    assert share(**busy).sample == 0
    made = share(**busy, evenly=True)
    assert (made.sample, made.changes > 0, made.rechecks) == (10, True, 20)
    saving = share(**busy, evenly=True, calls=Calls(left=2.5, batch=500))
    assert (saving.sample, saving.changes, saving.rechecks) == (0, 0, 0)
    assert share(**busy, evenly=True, calls=Calls(left=4, batch=500)).sample == 10


# -- shares


needs = st.lists(st.lists(st.floats(0, 1_000), min_size=5, max_size=5), min_size=1, max_size=12)


@given(total=st.floats(0, 2_000), needs=needs)
def test_shares_never_come_to_more_than_there_is(total: float, needs: list[list[float]]) -> None:
    given_to = shares(total, needs)
    assert len(given_to) == len(needs)
    assert sum(given_to) <= total * (1 + 1e-9)
    assert sum(given_to) >= total * (1 - 1e-9)  # and nothing is left unused
    assert min(given_to) >= 0


@given(total=st.floats(0.1, 2_000), needs=needs)
def test_everybody_has_a_part_whatever_others_need(total: float, needs: list[list[float]]) -> None:
    for part, need in zip(shares(total, needs), needs, strict=True):
        assert part >= min(sum(need), EVERYBODY * total / len(needs)) * (1 - 1e-9)


@given(total=st.floats(0.1, 2_000), needs=needs)
def test_nobody_gets_what_is_less_urgent_while_another_lacks_what_is_more_urgent(
    total: float, needs: list[list[float]]
) -> None:
    given_to = shares(total, needs)
    for kind in range(5):
        up_to = [sum(need[: kind + 1]) for need in needs]
        lacking = [flow for flow, part in enumerate(given_to) if part < up_to[flow] * (1 - 1e-6) - 1e-6]
        for lacks in lacking:
            for flow, part in enumerate(given_to):
                # Whoever has more than this kind takes has it from what is everybody's, or the others lack no more.
                more = part - up_to[flow]
                assert more <= EVERYBODY * total * (1 + 1e-6) + 1e-6, (kind, lacks)


def test_one_flow_alone_gets_all_and_equal_flows_get_the_same() -> None:
    assert shares(20, [[0, 0, 1, 0, 0]]) == [20]
    assert shares(20, [[0, 1, 2, 3, 100]] * 4) == [5] * 4
    assert shares(20, []) == []


def test_who_needs_little_leaves_the_rest_to_who_needs_much() -> None:
    little, much = shares(100, [[0, 1, 1, 0, 0], [0, 10, 0, 0, 1_000]])
    assert little == pytest.approx(2)
    assert much == pytest.approx(98)


@given(records=st.integers(0, 500), panel=st.integers(0, 100), sample=st.integers(0, 100), burst=st.integers(0, 100))
def test_a_burst_takes_only_what_is_left_and_nothing_from_the_others(
    records: int, panel: int, sample: int, burst: int
) -> None:
    without = share(records=records, panel=panel, sample=sample, calls=Calls(left=10, batch=20))
    made = share(records=records, panel=panel, sample=sample, calls=Calls(left=10, batch=20), burst=burst)
    assert (made.changes, made.panel, made.sample, made.shed) == (
        without.changes,
        without.panel,
        without.sample,
        without.shed,
    )
    assert made.burst <= min(burst, max(0, records - made.panel - 2 * made.sample))
    assert made.extra <= without.extra


def test_a_burst_is_read_whole_where_the_budget_allows_it() -> None:
    assert share(records=300, panel=50, sample=50, burst=100).burst == 100
    assert share(records=200, panel=50, sample=50, burst=100).burst == 50
