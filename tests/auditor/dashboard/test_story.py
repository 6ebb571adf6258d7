"""The story of a record as a picture: every version, arrival, divergence, letter and incident on the right lane."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from auditor.dashboard import look, story
from auditor.dashboard.look import Tone
from auditor.dashboard.story import Story

BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROUTES = {"to_billing": ("crm", "billing"), "to_warehouse": ("crm", "warehouse")}
COLUMNS = {
    "changes": "flow verdict committed_from_at committed_to_at shown_at lag_lower_s lag_upper_s window_s",
    "divergences": "flow cause family state first_seen_at closed_at",
    "letters": "flow queue reason first_failed_at first_seen_at gone_at",
    "incidents": "id severity state summary opened_at resolved_at spans",
}


def after(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def a_story(**rows: list[dict[str, Any]]) -> Story:
    frames = {}
    for name, columns in COLUMNS.items():
        frame = pd.DataFrame(rows.get(name, []), columns=columns.split())
        instants = [each for each in frame.columns if each.endswith("_at")]
        frames[name] = frame.assign(**{each: pd.to_datetime(frame[each], utc=True) for each in instants})
    return Story(owner="crm", routes=ROUTES, begin=BEGIN, now=after(600), **frames)


def change(flow: str = "to_billing", **more: Any) -> dict[str, Any]:
    return {
        "flow": flow,
        "verdict": "met",
        "committed_from_at": after(9),
        "committed_to_at": after(10),
        "shown_at": after(12),
        "lag_lower_s": 1.0,
        "lag_upper_s": 3.0,
        "window_s": 30.0,
        **more,
    }


def divergence(**more: Any) -> dict[str, Any]:
    seen = {"state": "open", "first_seen_at": after(40), "closed_at": None}
    return {"flow": "to_billing", "cause": "late", "family": "timing", **seen, **more}


LETTER = {
    "flow": "to_billing",
    "queue": "dead",
    "reason": "no <b>e-mail</b>",
    "first_failed_at": None,
    "first_seen_at": after(41),
    "gone_at": None,
}
INCIDENT = {
    "id": 7,
    "severity": "high",
    "state": "open",
    "summary": "the consumer stopped",
    "opened_at": after(50),
    "resolved_at": None,
    "spans": [(after(50), after(120)), (after(300), after(600))],
}


def traces(told: Story) -> dict[str, Any]:
    return {each.name: each for each in story.chart(told).data if each.name}


def test_each_system_has_a_lane_the_owner_first() -> None:
    told = a_story(changes=[change()])
    assert told.lanes == ["crm", "billing", "warehouse"]
    axis = story.chart(told).layout.yaxis
    assert list(axis.ticktext) == told.lanes
    assert axis.range[0] > axis.range[1]


def test_a_version_that_two_flows_follow_is_drawn_once_and_its_arrivals_on_their_lanes() -> None:
    found = traces(a_story(changes=[change(), change("to_warehouse", verdict="breach_then_converged")]))
    assert list(found["version"].y) == [0]
    assert list(found["arrived: in time"].y) == [1]
    assert list(found["arrived: late"].y) == [2]
    assert found["arrived: late"].marker.symbol != found["arrived: in time"].marker.symbol


def test_the_window_is_shaded_where_the_copy_is_awaited() -> None:
    window = traces(a_story(changes=[change()]))["window"]
    assert list(window.y)[:2] == [1, 1]
    assert [each - BEGIN for each in window.x[:2]] == [timedelta(seconds=10), timedelta(seconds=40)]


def test_a_divergence_lasts_until_it_is_closed_or_until_now() -> None:
    found = traces(a_story(divergences=[divergence(), divergence(family="ownership", closed_at=after(60))]))
    assert found["timing"].x[1] == after(600)
    assert found["ownership"].x[1] == after(60)
    assert found["timing"].line.color == look.HEX[Tone.LATE]


def test_letters_and_incidents_are_marked_and_their_words_are_no_markup() -> None:
    told = a_story(letters=[LETTER], incidents=[INCIDENT])
    found = traces(told)
    assert told.lanes[-1] == "incidents"
    assert list(found["dead letter"].y) == [1]
    assert "<b>" not in found["dead letter"].text[0]
    assert list(found["incident opened"].y) == [3, 3]
    assert [each for each in found["incident"].x if each is not None] == [
        after(50),
        after(120),
        after(300),
        after(600),
    ], "it was over in between"
    assert "the consumer stopped" in found["incident"].text[0]


def test_a_change_that_has_not_arrived_has_no_mark_of_arrival() -> None:
    found = traces(a_story(changes=[change(verdict="pending", shown_at=None)]))
    assert not [name for name in found if name.startswith("arrived")]


def test_the_axis_begins_with_what_happened_within_the_time_range() -> None:
    old = divergence(first_seen_at=after(-90_000), closed_at=after(-80_000))
    told = a_story(divergences=[old], changes=[change()])
    first, last = story.chart(told).layout.xaxis.range
    assert after(0) < first < after(10)
    assert after(40) < last < after(60)
    assert story.chart(a_story(divergences=[old])).layout.xaxis.range is None


def test_the_text_counts_what_the_picture_shows() -> None:
    told = a_story(changes=[change()], divergences=[divergence()], letters=[LETTER])
    assert story.text(told) == (
        "History of the record on a time axis: 1 version; billing showed 1 of 1 changes and differed 1 time; "
        "warehouse showed 0 of 0 changes and differed 0 times; 1 dead letter, 0 incidents."
    )


@pytest.mark.parametrize("name", COLUMNS)
def test_a_story_of_one_kind_of_row_alone_can_be_drawn(name: str) -> None:
    rows = {"changes": change(), "divergences": divergence(), "letters": LETTER, "incidents": INCIDENT}
    assert story.chart(a_story(**{name: [rows[name]]})).data
