"""How figures with their errors are written."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from auditor.history.figure_text import agreement_text, differing_text, estimate_text, interval, ratio_text
from auditor.history.findings import Findings, fields_text
from checks.clocks import ClockBounds, clock_text
from probes.durations import measured


@pytest.mark.parametrize(
    ("lower", "upper", "said"),
    [
        (0, 1.5, "0 s … 1.5 s"),
        (0.1894, 2.67, "180 ms … 2.7 s"),
        (0.0012, 0.9961, "1 ms … 1 s"),
        (2.67, 2.7, "2.6 s … 2.7 s"),
        (81.7, float("inf"), "> 81 s"),
        (3, None, "> 3 s"),
        (None, None, "–"),
    ],
)
def test_a_lag_is_an_interval(lower: float | None, upper: float | None, said: str) -> None:
    assert interval(lower, upper) == said


@pytest.mark.parametrize(
    ("best", "lower", "upper", "said"),
    [(2.5, 1, 4, "2.5 s (1 s … 4 s)"), (None, 20, None, "> 20 s"), (None, None, None, "–")],
)
def test_an_estimate_never_comes_without_its_interval(
    best: float | None, lower: float | None, upper: float | None, said: str
) -> None:
    assert estimate_text(best, lower, upper) == said


def test_none_seen_is_told_as_an_upper_bound() -> None:
    assert ratio_text(0.0, 0.0, 0.0013) == "at most 0.13%"
    assert ratio_text(1e-17, 0.0, 0.0034) == ratio_text(0.0, 0.0, 0.0034) == "at most 0.34%"
    assert ratio_text(0.153, 0.1075, 0.2064) == "15% (10% … 21%)"
    assert ratio_text(0.0, 0.0, 0.00001) == "less than 0.01%"
    assert ratio_text(0.01, 0.002, 0.04) == "1% (0.2% … 4%)"
    assert ratio_text(None) == "–"


def test_certain_and_uncertain_counts_are_told_apart() -> None:
    assert differing_text((3, 3), 400) == "3 of 400"
    assert differing_text((3, 29), 423) == "3 … 29 of 423"
    assert agreement_text((0.95, 0.99)) == "95% … 99%"
    assert agreement_text((0.99, 0.99)) == "99%"
    assert agreement_text(None) == "not known yet"


@pytest.mark.parametrize(
    ("middle_ms", "half_ms", "said"),
    [
        (0.5, 3.0, "+0.5 ms (± 3 ms)"),
        (-0.0, 0.01, "0 s (± 0.1 ms)"),
        (0.4, 11.3, "0 s (± 12 ms)"),
        (-7.6, 134.6, "-8 ms (± 140 ms)"),
        (90_012.4, 11.0, "+90 s (± 24 ms)"),
        (89_827.0, 502.0, "+90 s (± 680 ms)"),
        (5_400_000.0, 200.0, "+90 min (± 200 ms)"),
        (1_234.0, 5_678.0, "+1.2 s (± 5.8 s)"),
    ],
)
def test_a_clock_is_told_with_its_error_rounded_outwards(middle_ms: float, half_ms: float, said: str) -> None:
    lower_s, upper_s = (middle_ms - half_ms) / 1000, (middle_ms + half_ms) / 1000
    bounds = ClockBounds(lower_s=lower_s, upper_s=upper_s, measured_at=datetime(2026, 3, 1, tzinfo=UTC))
    assert clock_text(bounds) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "–"),
        (0.0455, "46 ms"),
        (8.13, "8.1 s"),
        (42.1, "42 s"),
        (119.6, "120 s"),
        (133.8, "2.2 min"),
        (179.4, "3 min"),
        (828.0, "14 min"),
    ],
)
def test_a_measured_time_has_two_digits(seconds: float | None, said: str) -> None:
    assert measured(seconds) == said


@pytest.mark.parametrize(
    ("fields", "detail", "told"),
    [
        ("s", "s: cut at 65000", "s: cut at 65000"),
        ("s, t", "s: cut at 65000", "t; s: cut at 65000"),
        ("s", "", "s"),
        ("", "two records", "two records"),
    ],
)
def test_a_differing_field_is_named_once(fields: str, detail: str, told: str) -> None:
    assert fields_text(fields, detail) == told


@pytest.mark.parametrize(
    ("kind", "told"), [("missing", "missing in the copy"), ("orphan", "exists only in the copy")]
)
def test_a_record_that_one_side_lacks_says_so(kind: str, told: str) -> None:
    row = {"key": "7", "kind": kind, "cause": "late", "fields": "", "detail": "", "since_at": datetime.now(UTC)}
    found = Findings(flow="f", divergent=[row], pending=[], unverified=[], counts={"divergent": 1})
    assert [each["why"] for each in found.as_rows()] == [told]
