"""Flows that share a system: together never more than it can spare, and nobody waits for ever."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.audit.budget import plan
from auditor.audit.flow_audit import Auditor
from auditor.audit.shares import PATIENCE_TURNS, Purses, Shares
from auditor.map.integration_map import IntegrationMap
from auditor.map.loader import load_map
from auditor.systems.allowance import Allowance, Clocks, Worth, spending
from auditor.systems.reader import SystemReader, open_readers
from tests.stand import MAP, Stand

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DUE = {"watermark_at": NOW, "owner_now": NOW, "overlap_s": 0.0}


class Simulated:
    """Flows of one system that plan in turn and use what they planned, and a little more.

    Attributes:
        used: of each flow altogether.
    """

    def __init__(self, rate: float, every_s: dict[str, float]) -> None:
        self.purses = Purses(rate, every_s, 0.0)
        self.used = dict.fromkeys(every_s, 0.0)

    def turn(self, flow: str, now: float, needs: list[float], *, more: float = 0.0) -> float:
        """One turn; answers what was used of it."""
        deadlines, *others = needs
        has = max(0.0, self.purses.draw(flow, now, needs, self.used[flow]))
        used = deadlines + min(sum(others), max(0.0, has - deadlines)) + more
        self.used[flow] += used
        return used


flows = st.dictionaries(st.sampled_from("abcdefghij"), st.floats(1, 60), min_size=1)


@given(rate=st.floats(0.5, 500), every_s=flows, data=st.data())
def test_flows_together_never_use_more_than_the_system_can_spare(
    rate: float, every_s: dict[str, float], data: st.DataObject
) -> None:
    world, now = Simulated(rate, every_s), 0.0
    longest = max(every_s.values())
    burst = 0.0
    for _ in range(data.draw(st.integers(1, 40))):
        now += data.draw(st.floats(0, 30))
        flow = data.draw(st.sampled_from(sorted(every_s)))
        needs = [0.0, *data.draw(st.lists(st.floats(0, 500), min_size=4, max_size=4))]
        world.turn(flow, now, needs)
        burst = max(burst, rate * longest)
    # What is there at the beginning is what one turn of all comes to.
    assert sum(world.used.values()) <= rate * now + burst * (1 + 1e-9) + 1e-6


def test_a_windows_end_is_never_shed_and_paid_back_afterwards() -> None:
    world = Simulated(10, {"a": 1, "b": 1})
    now = 0.0
    for _ in range(5):
        world.turn("a", now, [100, 0, 0, 0, 0])
        now += 1
    assert world.used["a"] == 500
    assert world.turn("a", now, [0, 50, 0, 0, 0]) == 0
    for _ in range(200):
        now += 1
        world.turn("a", now, [0, 50, 0, 0, 0])
        world.turn("b", now, [0, 0, 0, 0, 50])
    assert sum(world.used.values()) <= 10 * now + 500
    assert world.used["a"] > 500


def test_a_flow_that_is_audited_no_more_leaves_its_share_to_the_others() -> None:
    world, now = Simulated(10, {"a": 1, "b": 1}), 0.0
    for _ in range(100):
        now += 1
        world.turn("a", now, [0, 0, 0, 0, 100])
    assert world.used["a"] >= 10 * now * 0.9


@pytest.mark.parametrize(("rate", "flows"), [(20, 10), (1, 10), (0.5, 3)])
def test_every_flow_and_every_kind_comes_to_something_however_tight_it_is(rate: float, flows: int) -> None:
    every_s = {str(number): 5.0 for number in range(flows)}
    purses = Purses(rate, every_s, 0.0)
    used, waited = dict.fromkeys(every_s, 0.0), dict.fromkeys(every_s, 0)
    swept, asked, total = dict.fromkeys(every_s, 0), dict.fromkeys(every_s, 0), 0.0
    turns = round(4_000 / rate)
    for turn in range(turns):
        for flow in every_s:
            has = purses.draw(flow, 5.0 * turn, [0, 500, 10, 100, 400], used[flow])
            made = plan(
                **DUE,  # type: ignore[arg-type]
                deadlines=0,
                rechecks=500,
                panel=100,
                sample=200,
                records=max(0, int(has)),
                least=False,
                evenly=waited[flow] >= PATIENCE_TURNS,
            )
            used[flow] += made.rechecks + made.panel + 2 * made.sample + made.extra
            swept[flow] += made.sample
            asked[flow] += made.changes > 0
            waited[flow] = 0 if made.changes and made.sample else waited[flow] + 1
    total = sum(used.values())
    assert total <= rate * 5 * (turns + 1)
    assert total >= rate * 5 * turns * 0.9
    assert min(swept.values()) >= 3
    assert min(asked.values()) >= 3


# -- with a map


class Time:
    s = 0.0


@pytest.fixture
def two_flows(stand: Stand) -> IntegrationMap:
    text = MAP.replace("${PLACE}", str(stand.place))
    text = text.replace("zone: UTC}", "zone: UTC, budget: {records_per_s: 20}}")
    head, flow = text.split("  to_billing:\n")
    flow = flow.partition("    queues:")[0]
    flows = "".join(f"  to_billing_{number}:\n{flow}" for number in range(10))
    stand.map_file.write_text(head + flows)
    return load_map(stand.map_file, {})


def readers_at(loaded: IntegrationMap, time: Time) -> dict[str, SystemReader]:
    clocks = Clocks(steady=lambda: time.s)
    return open_readers(
        loaded, {name: Allowance(name, each.budget, None, clocks) for name, each in loaded.systems.items()}
    )


def test_ten_flows_of_one_system_together_read_no_more_than_it_spares(
    stand: Stand, two_flows: IntegrationMap
) -> None:
    stand.fill(300)
    time = Time()
    readers = readers_at(two_flows, time)
    shares = Shares([two_flows.flow(name) for name in two_flows.flows], readers)
    auditors = [
        Auditor(
            flow=two_flows.flow(name),
            source=readers["crm"],
            target=readers["billing"],
            ledger=stand.ledger,
            digest_key=b"k" * 32,
            others=readers,
            shares=shares,
        )
        for name in two_flows.flows
    ]
    begun, shed = datetime.now(UTC), 0
    turns = 24
    for turn in range(turns):
        for auditor in auditors:
            time.s = turn * 1.0
            result = auditor.audit(begun + timedelta(seconds=turn))
            assert result.error is None
            shed += result.shed
    for reader in readers.values():
        # Ten flows took 62.5 a second of 20. One turn of all may come on top, and a few records that a page is long.
        assert reader.allowance.used().records <= 20 * (turns + 1) + 20
        assert min(reader.allowance.used(name).records for name in two_flows.flows) > 0
        reader.close()
    assert shed > 0


def test_a_flow_alone_plans_with_all_that_its_systems_spare(stand: Stand) -> None:
    readers = readers_at(stand.map, Time())
    made = Shares([stand.map.flow("to_billing")], readers)
    means = made.means(stand.map.flow("to_billing"), deadlines=0, rechecks=0, panel=0, sample=0)
    assert (means.records, means.least, means.calls.left) == (5_000, True, float("inf"))
    for reader in readers.values():
        reader.close()


def test_few_calls_are_planned_with_also_where_a_flow_is_alone(stand: Stand) -> None:
    stand.map_file.write_text(
        stand.map_file.read_text().replace("zone: UTC}", "zone: UTC, budget: {calls_per_day: 86400}}", 1)
    )
    loaded, time = load_map(stand.map_file, {}), Time()
    readers = readers_at(loaded, time)
    flow = loaded.flow("to_billing")
    made = Shares([flow], readers)
    wanted = {"deadlines": 0, "rechecks": 0, "panel": 0, "sample": 100}
    first = made.means(flow, **wanted)
    time.s += 3_600
    later = made.means(flow, **wanted)
    assert first.calls.left == 1.0  # changes can be listed at once
    assert later.calls.left == pytest.approx(8.0)
    for reader in readers.values():
        reader.close()


def test_where_calls_are_few_most_of_them_list_changes(stand: Stand) -> None:
    stand.map_file.write_text(
        stand.map_file.read_text()
        .replace("zone: UTC}", "zone: UTC, budget: {calls_per_day: 60}}", 1)
        .replace("window: 4s", "window: 5m")
        .replace("every: 1s", "every: 1m")
    )
    loaded, time = load_map(stand.map_file, {}), Time()
    readers = readers_at(loaded, time)
    flow = loaded.flow("to_billing")
    made, owner = Shares([flow], readers), readers["crm"].allowance
    listed, sampled = [], 0
    for minute in range(3 * 1_440):
        time.s = 60.0 * minute
        means = made.means(flow, deadlines=0, rechecks=0, panel=100, sample=250)
        planned = plan(
            watermark_at=NOW,
            owner_now=NOW,
            overlap_s=0.0,
            deadlines=0,
            rechecks=0,
            panel=100,
            sample=250,
            records=means.records,
            least=means.least,
            calls=means.calls,
            evenly=means.evenly,
        )
        for _ in range(bool(planned.changes) + 3 * bool(planned.sample)):
            with spending(Worth.SWEEP, flow=flow.name):
                owner.spend()
        made.note(flow.name, planned, sample=250, found=0)
        listed += [minute] if planned.changes else []
        sampled += bool(planned.sample)
    longest = max(later - earlier for earlier, later in pairwise(listed))
    assert len(listed) > 3 * 60 / 2
    assert sampled >= 3
    assert longest <= 3 * 60
    for reader in readers.values():
        reader.close()
