"""Which systems agree with each other, and who is alone."""

from __future__ import annotations

from checks.partition import minority, partition, tell


def test_equal_marks_stand_together_largest_group_first() -> None:
    groups = partition({"crm": b"1", "billing": b"2", "warehouse": b"1", "shop": b""})
    assert groups == (("crm", "warehouse"), ("billing",), ("shop",))
    assert minority(groups) == ("billing", "shop")
    assert tell("plan", groups) == "plan: billing and shop against crm and warehouse"


def test_where_no_group_is_the_largest_nobody_is_blamed() -> None:
    groups = partition({"crm": b"1", "billing": b"2"})
    assert minority(groups) == ()
    assert tell("plan", groups) == "plan: crm against billing"
    assert minority(partition({"crm": b"1", "billing": b"1"})) == ()
