"""Who acts on wrong values."""

from __future__ import annotations

from pathlib import Path

from auditor.history.misled import misled
from auditor.map.consumers import impact_of
from tests.auditor.history.divergences import demo, difference, lens_over


def names(flow: str, cause: str, winner: str = "owner") -> tuple[list[str], list[str]]:
    impact = impact_of(demo(), flow, cause, winner)
    return [each.name for each in impact.misled], [each.name for each in impact.right]


def test_who_reads_the_copy_that_does_not_count_is_misled() -> None:
    assert names("customer_to_billing", "late") == (["dunning"], ["sales"])
    assert names("customer_to_billing", "foreign_write", "target") == (["sales"], ["dunning"])
    assert names("customer_to_billing", "invalid") == (["churn model", "dunning", "sales"], [])


def test_where_nobody_can_say_which_copy_is_right_all_may_be_misled() -> None:
    impact = impact_of(demo(), "customer_to_billing", "write_conflict", "nobody")
    assert ([each.name for each in impact.misled], impact.certain) == (["dunning", "sales"], False)
    assert str(impact) == "dunning (automation), sales (team)"


def test_the_gravest_role_comes_first_however_few_its_records(tmp_path: Path) -> None:
    plain = difference("plan", "")
    lens, ledger = lens_over(
        tmp_path,
        *[("customer_to_billing", "late", plain)] * 5,
        ("customer_to_warehouse", "late", plain),
        ("gone_from_the_map", "late", plain),
    )
    found = misled(demo(), lens)
    assert [(each.consumer, each.records) for each in found] == [("churn model", 1), ("dunning", 5)]
    lens.close()
    ledger.close()
