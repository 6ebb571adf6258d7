"""When an incident was open."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pandas as pd

from auditor.dashboard.open_spans import open_spans

BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)


def after(minutes: float) -> datetime:
    return BEGIN + timedelta(minutes=minutes)


def spans(*turns: tuple[float, bool], over_after: float | None = None) -> list[tuple[float, float]]:
    resolved_at = None if over_after is None else after(over_after)
    incidents = pd.DataFrame({"id": [7], "opened_at": [BEGIN], "resolved_at": [resolved_at]})
    rows = [(7, after(at), over) for at, over in turns] + [(8, after(1), True)]
    (found,) = open_spans(incidents, pd.DataFrame(rows, columns=["incident_id", "acted_at", "over"]), after(60))
    return [((since - BEGIN).total_seconds() / 60, (until - BEGIN).total_seconds() / 60) for since, until in found]


def test_an_incident_is_open_until_it_is_over_or_until_now() -> None:
    assert spans((0, False)) == [(0, 60)]
    assert spans((0, False), (10, True), over_after=10) == [(0, 10)]


def test_it_is_not_open_between_its_end_and_its_return() -> None:
    assert spans((0, False), (10, True), (30, False)) == [(0, 10), (30, 60)]
    assert spans((0, False), (10, True), (30, False), (40, True), over_after=40) == [(0, 10), (30, 40)]


def test_what_is_no_longer_kept_of_its_turns_does_not_hide_it() -> None:
    assert spans() == [(0, 60)]
    assert spans(over_after=20) == [(0, 20)]


def test_one_that_flaps_without_an_end_stays_open() -> None:
    assert spans((0, False), (5, False), (10, True), over_after=10) == [(0, 10)]
