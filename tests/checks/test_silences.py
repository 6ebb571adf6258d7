"""Silences: what they hide, for how long, and which are too wide to begin unconfirmed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from checks.escalation import RefusedError
from checks.routes import Hours
from checks.silences import Silence, SilenceState, Window, check_matchers, first_hiding, too_wide

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
NOTICE = {
    "flow": "to_billing",
    "source": "crm",
    "target": "billing",
    "team": "sales",
    "severity": "high",
    "cause": "stopped_consumer",
    "breach": "stalled",
}
SILENCE = Silence(
    silence_id=3,
    matchers={"flow": ("to_*",)},
    from_at=NOW,
    until_at=NOW + 2 * HOUR,
    reason="migration",
    who="ada",
    made_at=NOW,
)


@pytest.mark.parametrize(
    ("matchers", "hides"),
    [
        ({}, True),
        ({"flow": ("to_*",)}, True),
        ({"flow": ("other",)}, False),
        ({"system": ("billing",)}, True),
        ({"cause": ("stopped_consumer",)}, True),
        ({"cause": ("stalled",)}, True),
        ({"cause": ("orphan",)}, False),
        ({"team": ("sales",), "severity": ("low",)}, False),
        ({"team": ("sales",), "severity": ("low", "high")}, True),
    ],
)
def test_every_subject_has_to_match(matchers: dict[str, tuple[str, ...]], hides: bool) -> None:
    assert replace(SILENCE, matchers=matchers).hides(NOTICE, NOW) is hides


def test_it_holds_from_its_beginning_to_its_end() -> None:
    instants = [NOW - HOUR, NOW, NOW + HOUR, NOW + 2 * HOUR]
    assert [SILENCE.holds(each) for each in instants] == [False, True, True, False]
    ended = replace(SILENCE, ended_at=NOW + HOUR, ended_by="bob")
    assert [ended.holds(each) for each in instants] == [False, True, False, False]
    assert first_hiding([ended, SILENCE], NOTICE, NOW + HOUR) is SILENCE
    assert first_hiding([ended, SILENCE], NOTICE, NOW + 3 * HOUR) is None


@pytest.mark.parametrize(
    ("matchers", "notices", "says"),
    [
        ({}, [], "silences every incident"),
        ({"flow": ("*",)}, [NOTICE], "silences every incident"),
        ({"flow": ("a", "*")}, [], "silences every incident"),
        ({"flow": ("*",), "team": ("sales",)}, [NOTICE], ""),
        ({"flow": ("to_billing",)}, [NOTICE], ""),
        ({"flow": ("to_billing",)}, [NOTICE, NOTICE], "silences all 2 open incidents"),
        ({"flow": ("to_billing",)}, [NOTICE, {**NOTICE, "flow": "x"}], ""),
    ],
)
def test_what_would_hide_everything_has_to_be_confirmed(
    matchers: dict[str, tuple[str, ...]], notices: list[dict[str, Any]], says: str
) -> None:
    found = too_wide(matchers, notices)
    assert (says in found) if says else found == ""


@pytest.mark.parametrize(
    ("matchers", "why"),
    [
        ({"owner": ("x",)}, "not for owner"),
        ({"flow": (" ",)}, "a pattern for flow is empty"),
        ({"flow": ("x" * 101,)}, "has 101 characters"),
        ({"flow": ("x",) * 51}, "at most 50 patterns"),
    ],
)
def test_odd_matchers_are_refused(matchers: dict[str, tuple[str, ...]], why: str) -> None:
    with pytest.raises(RefusedError, match=why):
        check_matchers(matchers)


BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("begin", "end", "weekdays", "at", "span"),
    [
        # Sunday 1 March 2026, UTC+1 in Berlin
        ("01:00", "03:00", range(7), "2026-03-01T01:30", ("2026-03-01T00:00", "2026-03-01T02:00")),
        ("01:00", "03:00", range(7), "2026-03-01T03:30", None),
        ("22:00", "06:00", [6], "2026-03-01T23:00", ("2026-03-01T21:00", "2026-03-02T05:00")),
        ("22:00", "06:00", [6], "2026-03-02T05:59", ("2026-03-01T21:00", "2026-03-02T05:00")),
        ("22:00", "06:00", [6], "2026-03-02T22:30", None),
        ("00:00", "00:00", [6], "2026-03-01T12:00", ("2026-02-28T23:00", "2026-03-01T23:00")),
        # the night in which the clocks are put forward is an hour shorter
        ("22:00", "06:00", range(7), "2026-03-29T01:00", ("2026-03-28T21:00", "2026-03-29T04:00")),
    ],
)
def test_a_maintenance_window_stands_for_its_hours(
    begin: str, end: str, weekdays: Sequence[int], at: str, span: tuple[str, str] | None
) -> None:
    hours = Hours(
        begin=time.fromisoformat(begin), end=time.fromisoformat(end), zone=BERLIN, weekdays=frozenset(weekdays)
    )
    window = Window(name="nightly", hours=hours, matchers={"system": ("*",)}, reason="load")
    silence = window.silence(datetime.fromisoformat(at).replace(tzinfo=BERLIN), NOW)
    if span is None or silence is None:
        assert (silence, span) == (None, None)
        return
    assert (silence.from_at, silence.until_at) == tuple(
        datetime.fromisoformat(each).replace(tzinfo=UTC) for each in span
    )
    assert window.stands_for(silence)
    assert not replace(window, name="other").stands_for(silence)
    assert not replace(window, hours=replace(hours, end=time(7))).stands_for(silence)


def test_it_is_described_in_words() -> None:
    assert SILENCE.matcher_text == "flow to_*"
    assert replace(SILENCE, matchers={}).matcher_text == "everything"
    both = {"data_type": ("order", "invoice"), "severity": ("low",)}
    assert replace(SILENCE, matchers=both).matcher_text == "data type order or invoice, severity low"


def test_a_silence_stands_as_its_times_tell() -> None:
    instants = [NOW - HOUR, NOW, NOW + 2 * HOUR]
    to_come, holds, over = [SILENCE.state(each) for each in instants]
    assert (to_come, holds, over) == (SilenceState.TO_COME, SilenceState.HOLDS, SilenceState.OVER)
    ended = replace(SILENCE, ended_at=NOW + HOUR, ended_by="bob")
    assert [ended.state(NOW), ended.state(NOW + HOUR)] == [SilenceState.HOLDS, SilenceState.ENDED]


def test_a_window_comes_now_or_next_unless_a_person_ended_it() -> None:
    hours = Hours(begin=time(11), end=time(13), zone=ZoneInfo("UTC"), weekdays=frozenset({6}))  # NOW is a Sunday
    window = Window(name="load", hours=hours, matchers={"system": ("billing",)}, reason="load")
    present = (NOW - HOUR, NOW + HOUR)
    week = timedelta(days=7)
    later = (present[0] + week, present[1] + week)
    assert window.coming(NOW) == present
    assert window.coming(NOW + HOUR) == later
    entered = window.silence(NOW, NOW)
    assert entered is not None
    assert window.coming(NOW, [entered]) == present
    ended = replace(entered, ended_at=NOW, ended_by="bob")
    assert window.coming(NOW, [ended]) == later
    other = replace(ended, matchers={"system": ("crm",)})
    assert window.coming(NOW, [other]) == present
