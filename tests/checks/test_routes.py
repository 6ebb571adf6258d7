"""Routes: the first that matches, hours across midnight and in a zone, and routes that can never match."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from checks.routes import Hours, Recipient, Route, Routing, severity_of, shadowed

NOTICE: dict[str, Any] = {
    "team": "billing",
    "severity": "high",
    "flow": "to_billing",
    "data_type": "customer",
    "system": None,
    "source": "crm",
    "target": "billing_db",
}
AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
"""A Monday."""


def route(*to: str, **more: Any) -> Route:
    matchers = {name: more.pop(name) for name in list(more) if name in {"team", "severity", "flow", "system"}}
    return Route(name=to[0], to=to, matchers=matchers, **more)


def test_the_first_route_that_matches_applies_and_later_ones_only_if_it_goes_on() -> None:
    routes = (route("a", team=("sales",)), route("b", team=("billing",), goes_on=True), route("c"), route("d"))
    routing = Routing(default=route("z"), routes=routes)
    assert routing.recipients(NOTICE, AT) == [Recipient("b"), Recipient("c")]
    assert Routing(default=route("z"), routes=routes[:1]).recipients(NOTICE, AT) == [Recipient("z")]
    assert routing.senders == ("a", "b", "c", "d", "z")


@pytest.mark.parametrize(
    ("matchers", "matches"),
    [
        ({"flow": ("to_*",)}, True),
        ({"flow": ("from_*",)}, False),
        ({"system": ("crm",)}, True),
        ({"system": ("other",)}, False),
        ({"severity": ("critical", "high")}, True),
        ({"severity": ("low",)}, False),
        ({"team": ("billing",), "flow": ("x",)}, False),
    ],
)
def test_every_matcher_has_to_match(matchers: dict[str, Any], matches: bool) -> None:
    assert route("a", **matchers).matches(NOTICE, AT) is matches


def test_a_notice_without_a_severity_is_high() -> None:
    assert severity_of({}) == severity_of({"severity": "unheard of"}) == "high"


def test_hours_are_those_of_their_zone() -> None:
    office = Hours(begin=time(8), end=time(18), zone=ZoneInfo("America/New_York"), weekdays=frozenset(range(5)))
    assert not office.holds(AT)  # 7:00 there
    assert office.holds(AT.replace(hour=13))
    assert not office.holds(datetime(2026, 3, 7, 15, tzinfo=UTC))


def test_hours_across_midnight_belong_to_the_day_on_which_they_begin() -> None:
    night = Hours(begin=time(22), end=time(6), zone=ZoneInfo("UTC"), weekdays=frozenset({4}))
    assert night.holds(datetime(2026, 3, 6, 23, tzinfo=UTC))
    assert night.holds(datetime(2026, 3, 7, 5, 59, tzinfo=UTC))
    assert not night.holds(datetime(2026, 3, 7, 6, tzinfo=UTC))
    assert not night.holds(datetime(2026, 3, 6, 5, tzinfo=UTC))


def test_a_route_behind_one_that_takes_everything_of_it_can_never_match() -> None:
    office = Hours(zone=ZoneInfo("UTC"), weekdays=frozenset({0}))
    routes = [
        route("a", team=("bill*",)),
        route("b", team=("billing",), severity=("low",)),
        route("c", severity=("low",)),
        route("d", hours=office),
        route("e"),
        route("f", hours=office),
    ]
    assert [(position, [each.name for each in by]) for position, by in shadowed(routes)] == [(1, ["a"]), (5, ["d"])]
    assert list(shadowed([route("a", goes_on=True), route("b")])) == []


@pytest.mark.parametrize(
    ("severities", "by"),
    [
        ([("critical", "high", "low")], ["r0"]),
        ([("critical",), ("high", "low")], ["r0", "r1"]),
        ([("critical",), ("high",)], []),
    ],
)
def test_routes_that_match_every_severity_together_leave_nothing_for_one_behind_them(
    severities: list[tuple[str, ...]], by: list[str]
) -> None:
    routes = [route(f"r{number}", severity=each) for number, each in enumerate(severities)]
    last = route("last", team=("billing",))
    assert [each.name for _, found in shadowed([*routes, last]) for each in found] == by


def test_escalation_waits_for_its_time_and_stays_in_the_channel() -> None:
    by_night = route("slack_bot", channel="#b", escalate_after_s=60.0, escalate_to=("pagerduty",))
    routing = Routing(default=by_night)
    assert routing.escalates
    assert routing.escalations(NOTICE, AT, 59) == []
    assert routing.escalations(NOTICE, AT, 60) == [Recipient("pagerduty", "#b")]
    assert routing.recipients(NOTICE, AT) == [Recipient("slack_bot", "#b")]


def test_the_next_hours_are_those_that_hold_or_begin_next() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    nights = Hours(begin=time(22), end=time(6), zone=berlin, weekdays=frozenset({4}))
    at = datetime(2026, 3, 2, 9, tzinfo=UTC)  # a Monday
    friday = (datetime(2026, 3, 6, 21, tzinfo=UTC), datetime(2026, 3, 7, 5, tzinfo=UTC))
    assert nights.next_span(at) == friday
    assert nights.next_span(friday[0]) == friday
    assert nights.next_span(friday[1] - timedelta(minutes=1)) == friday
    assert nights.next_span(friday[1]) == (friday[0] + timedelta(days=7), friday[1] + timedelta(days=7))


def test_hours_that_the_clock_skips_come_on_the_next_day() -> None:
    hours = Hours(begin=time(2, 10), end=time(2, 50), zone=ZoneInfo("Europe/Berlin"))
    skipped = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)  # at 01:00 the clocks go from 02:00 to 03:00
    begin = datetime(2026, 3, 30, 0, 10, tzinfo=UTC)
    assert hours.next_span(skipped) == (begin, begin + timedelta(minutes=40))


def test_hours_are_said_in_words() -> None:
    zone = ZoneInfo("Europe/Berlin")
    some = Hours(begin=time(20), end=time(22), zone=zone, weekdays=frozenset({1, 0}))
    assert some.text == "Mon, Tue, 20:00–22:00, Europe/Berlin"
    assert Hours(zone=ZoneInfo("UTC")).text == "every day, all day, UTC"
