"""What is used of a system's budget, what was skipped, and what the rest can still prove."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from auditor.history.budgets import LAST_S, budget_use, held_back
from auditor.ledger import Ledger
from auditor.map.integration_map import IntegrationMap
from auditor.map.loader import load_map
from checks.sampling import Cohort
from probes.wording import at_most
from tests.auditor.ledger.rows import NOW
from tests.stand import Stand

RUN = dict.fromkeys(("agreed", "in_flight", "suspected", "divergent", "inconclusive", "cannot_verify", "changes"), 0)


@pytest.fixture
def loaded(stand: Stand) -> IntegrationMap:
    text = stand.map_file.read_text()
    budget = "budget: {records_per_s: 20, calls_per_day: 15000}"
    stand.map_file.write_text(text.replace("zone: UTC}", f"zone: UTC, {budget}}}", 1))
    return load_map(stand.map_file, {})


def run(ledger: Ledger, ago_s: float, read: int, shed: int, **more: int) -> None:
    at = NOW - timedelta(seconds=ago_s)
    with ledger.write() as transaction:
        row = {"flow": "to_billing", "started_at": at, "finished_at": at, "read": read, "shed": shed, **RUN, **more}
        ledger.flows.save_run(transaction, row)


def sample(ledger: Ledger, ago_s: float, records: int, divergent: int = 0) -> None:
    cohort = Cohort().plus(0.01, records - divergent)
    if divergent:
        cohort = cohort.plus(0.01, divergent, divergent=True)
    with ledger.write() as transaction:
        at = NOW - timedelta(seconds=ago_s)
        ledger.measurements.save_samples(transaction, "to_billing", {"base": cohort}, at)


def test_before_anything_was_audited_nothing_is_used_and_nothing_proved(
    ledger: Ledger, loaded: IntegrationMap
) -> None:
    crm, billing = budget_use(loaded, ledger, NOW)
    assert (crm.system, crm.records_per_s, crm.records_used_per_s, crm.calls_per_day, crm.calls_used) == (
        *("crm", 20, 0, 15_000),
        0,
    )
    assert (billing.calls_per_day, billing.calls_used, billing.shed) == (None, None, 0)
    assert crm.differ_ratio_most is None
    assert crm.as_row()["by sample"] == "not sampled yet"
    assert billing.as_row()["calls in 24 h"] == "no limit"


def test_what_audits_of_the_last_hour_read_counts_for_both_systems_and_what_they_skipped_for_the_limited_one(
    ledger: Ledger, loaded: IntegrationMap
) -> None:
    run(ledger, 60, 3_600, 7)
    run(ledger, LAST_S - 1, 3_600, 3)
    run(ledger, LAST_S + 60, 9_999, 99)
    assert [(each.records_used_per_s, each.shed) for each in budget_use(loaded, ledger, NOW)] == [(2.0, 10), (2.0, 0)]
    row = budget_use(loaded, ledger, NOW)[0].as_row()
    assert (row["records/s"], row["reads left out in 1 h"]) == ("2 of 20", "10")


def test_in_the_first_hour_the_mean_is_over_the_time_that_was_audited(ledger: Ledger, loaded: IntegrationMap) -> None:
    every_s = loaded.flow("to_billing").every_s
    run(ledger, 0, 20, 0)
    assert budget_use(loaded, ledger, NOW)[0].records_used_per_s == pytest.approx(20 / every_s)
    run(ledger, 300 - every_s, 580, 0)
    assert budget_use(loaded, ledger, NOW)[0].records_used_per_s == pytest.approx(2)


def test_reads_left_out_count_for_both_systems_if_neither_limits_its_calls(ledger: Ledger, stand: Stand) -> None:
    run(ledger, 60, 3_600, 7)
    assert [each.shed for each in budget_use(load_map(stand.map_file, {}), ledger, NOW)] == [7, 7]


def test_calls_are_those_of_the_last_24_hours_of_all_processes(ledger: Ledger, loaded: IntegrationMap) -> None:
    for holder, ago in (("a", timedelta(0)), ("b", timedelta(hours=23)), ("c", timedelta(hours=25))):
        ledger.spending.reserve("crm", holder, NOW - ago, calls=100, limit=15_000, sent={})
    crm, _ = budget_use(loaded, ledger, NOW)
    assert crm.calls_used == 200
    assert crm.as_row()["calls in 24 h"] == "200 of 15,000"
    assert crm.as_document()["calls_used"] == 200


def test_what_is_proved_is_the_samples_bound_of_the_last_day(ledger: Ledger, loaded: IntegrationMap) -> None:
    sample(ledger, 60, 400)
    sample(ledger, 7_200, 600)
    sample(ledger, 3 * 86_400, 100_000)
    crm, _ = budget_use(loaded, ledger, NOW)
    assert crm.differ_ratio_most is not None
    assert 0.002 < crm.differ_ratio_most < 0.005
    assert crm.as_row()["by sample"] == f"{at_most(crm.differ_ratio_most)} of to_billing differ"
    sample(ledger, 60, 100, divergent=10)
    worse = budget_use(loaded, ledger, NOW)[0].differ_ratio_most
    assert worse is not None
    assert worse > crm.differ_ratio_most


def test_the_flow_is_named_of_which_the_least_is_proved(ledger: Ledger, loaded: IntegrationMap) -> None:
    flows = {**loaded.flows, "other": loaded.flows["to_billing"]}
    both = replace(loaded, flows=flows)
    sample(ledger, 60, 400)
    assert budget_use(both, ledger, NOW)[0].flow is None  # of the other one nothing is known
    with ledger.write() as transaction:
        ledger.measurements.save_samples(transaction, "other", {"base": Cohort().plus(0.01, 50)}, NOW)
    crm, _ = budget_use(both, ledger, NOW)
    assert crm.flow == "other"
    assert replace(crm, flow="x").as_row()["by sample"].endswith("of x differ")


def test_a_budget_holds_back_what_it_has_no_calls_for_and_says_until_when(
    ledger: Ledger, loaded: IntegrationMap
) -> None:
    def told(*first_sweep: str, late: str = "") -> str:
        work = ledger.flows.work_since(NOW - timedelta(seconds=LAST_S))
        held = held_back(loaded, ledger, NOW, work=work, first_sweep=first_sweep, late={"to_billing": late})
        return held["to_billing"]

    def spend(calls: int) -> None:
        ledger.spending.reserve("crm", "a", NOW - timedelta(hours=20), calls=calls, limit=15_000, sent={})

    assert told("to_billing") == ""  # it left nothing out
    run(ledger, 60, 0, 50)
    assert told() == ""
    assert told("to_billing") == (
        "the sweep of crm is slow: 15000 calls_per_day (0 used) allow about one call every 7.2 s for all its flows"
    )
    assert told(late="changes were last listed long ago") == (
        "the audit of crm is slow: 15000 calls_per_day (0 used) allow about one call every 7.2 s for all its flows"
    )
    spend(13_000)
    again = f"the first are free again at {NOW + timedelta(hours=4, minutes=1):%H:%M} UTC"
    assert told() == (
        "the sweep of crm waits: 13000 of 15000 calls_per_day are used, "
        f"and the rest is kept for changes and due records; {again}"
    )
    spend(2_000)
    assert told() == f"nothing more is read from crm: 15000 of 15000 calls_per_day are used; {again}"


def test_a_record_that_another_flow_has_read_is_read_once_at_the_owner(
    ledger: Ledger, loaded: IntegrationMap
) -> None:
    run(ledger, LAST_S - 1, 3_600, 0, shared=1_800)
    crm, billing = budget_use(loaded, ledger, NOW)
    assert (crm.records_used_per_s, crm.records_shared_per_s) == (0.5, 0.5)
    assert (billing.records_used_per_s, billing.records_shared_per_s) == (1.0, 0.0)
    assert crm.as_row()["records/s"] == "0.5 of 20, 0.5 shared"
    assert crm.as_document()["records_shared_per_s"] == 0.5
