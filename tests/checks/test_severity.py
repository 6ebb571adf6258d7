"""How severe a breach is."""

from __future__ import annotations

import pytest

from checks.breaches import Breach
from checks.severity import Severity, severity, worst


@pytest.mark.parametrize(
    ("breach", "weight", "strict", "expected"),
    [
        ("not_arriving", 0, False, "high"),
        ("not_arriving", 8, False, "critical"),
        ("not_arriving", 1, False, "low"),
        ("not_arriving", 1, True, "critical"),
        ("unverified", 0, False, "low"),
        ("unverified", 9, False, "high"),
        ("unverified", 1, False, "low"),
        ("foreign_write", 2, True, "critical"),
    ],
)
def test_who_acts_on_the_copy_decides(breach: str, weight: int, strict: bool, expected: str) -> None:
    assert severity(Breach(breach), weight=weight, strict=strict) is Severity(expected)


def test_the_worst_of_several() -> None:
    assert worst([Severity.LOW, Severity.CRITICAL, Severity.HIGH]) is Severity.CRITICAL
    assert worst([]) is Severity.LOW
