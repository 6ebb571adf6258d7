"""Which one mistake explains many records."""

from __future__ import annotations

from pathlib import Path

from auditor.history.patterns import patterns
from tests.auditor.history.divergences import demo, difference, lens_over


def test_differences_that_most_records_share_are_one_finding(tmp_path: Path) -> None:
    shifted, other = difference("amount", "times 100"), difference("amount", "+3")
    lens, ledger = lens_over(
        tmp_path,
        *[("invoice_to_warehouse", "transformation", shifted)] * 4,
        *[("invoice_to_warehouse", "foreign_write", other)] * 2,
        *[("customer_to_billing", "foreign_write", difference("plan", "cut at 8"))] * 2,
    )
    (told,) = patterns(demo(), lens)
    assert str(told) == "amount in warehouse is times 100 in 4 of 6 records"
    lens.close()
    ledger.close()
