"""Who gets a message about an incident: the routes of a map, the first that matches unless it goes on. Pure.

As in Alertmanager: https://prometheus.io/docs/alerting/latest/configuration/#route
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from fnmatch import fnmatchcase
from typing import Any
from zoneinfo import ZoneInfo

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

SEVERITIES = ("critical", "high", "low")
"""The most severe first."""

UNKNOWN_SEVERITY = "high"
"""The severity of a notice that has none."""

SUBJECTS: Mapping[str, tuple[str, ...]] = {
    "team": ("team",),
    "severity": ("severity",),
    "flow": ("flow",),
    "data_type": ("data_type",),
    "system": ("system", "source", "target"),
    "cause": ("cause", "breach"),
}
"""For each matcher, the keys of a notice of which one has to match."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """Times of the week in one time zone.

    Attributes:
        begin, end: of each day; if the end is not later, it is that of the next day.
        weekdays: the days on which these hours begin, 0 for Monday.
    """

    begin: time = time.min
    end: time = time.min
    zone: ZoneInfo
    weekdays: frozenset[int] = frozenset(range(7))

    def holds(self, at: datetime) -> bool:
        """Whether an instant lies within the hours."""
        local = at.astimezone(self.zone)
        today, yesterday = local.weekday(), (local.weekday() - 1) % 7
        now = local.time()
        if self.begin < self.end:
            return today in self.weekdays and self.begin <= now < self.end
        return (today in self.weekdays and now >= self.begin) or (yesterday in self.weekdays and now < self.end)

    def span(self, at: datetime) -> tuple[datetime, datetime] | None:
        """When the hours in which an instant lies begin and end, in UTC; None if it lies in none."""
        if not self.holds(at):
            return None
        local = at.astimezone(self.zone)
        overnight = self.begin >= self.end
        begun_today = not overnight or (local.weekday() in self.weekdays and local.time() >= self.begin)
        day = local.date() if begun_today else local.date() - timedelta(days=1)
        begin = datetime.combine(day, self.begin, self.zone)
        end = datetime.combine(day + timedelta(days=overnight), self.end, self.zone)
        return begin.astimezone(UTC), end.astimezone(UTC)

    def next_span(self, at: datetime) -> tuple[datetime, datetime] | None:
        """As `span`, but of the next hours if the instant lies in none; None if none begin within two weeks."""
        today = at.astimezone(self.zone).date()
        days = (today + timedelta(days=ahead) for ahead in range(15))
        begins = (datetime.combine(day, self.begin, self.zone).astimezone(UTC) for day in days)
        spans = (self.span(each) for each in (at, *(begin for begin in begins if begin > at)))
        return next((each for each in spans if each is not None), None)

    @property
    def text(self) -> str:
        """The hours in words, such as `Tue, 20:00–22:00, Europe/Berlin`."""
        days = [WEEKDAYS[each].capitalize() for each in sorted(self.weekdays)]
        hours = "all day" if self.begin == self.end else f"{self.begin:%H:%M}–{self.end:%H:%M}"
        return f"{'every day' if len(days) == len(WEEKDAYS) else ', '.join(days)}, {hours}, {self.zone.key}"


@dataclass(frozen=True, slots=True, order=True)
class Recipient:
    """One sender, and the channel in which it posts; "" for its own."""

    sender: str
    channel: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where some incidents are reported.

    Attributes:
        to: names of senders.
        channel: for senders that post in channels; "" for the flow's or the sender's own.
        matchers: for each subject (`SUBJECTS`), the accepted values, in which `*` stands for any text.
        hours: None for any time.
        goes_on: later routes apply, too.
        escalate_after_s: how long an incident may stay unacknowledged before `escalate_to` gets it; None for ever.
    """

    name: str
    to: tuple[str, ...]
    channel: str = ""
    matchers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    hours: Hours | None = None
    goes_on: bool = False
    escalate_after_s: float | None = None
    escalate_to: tuple[str, ...] = ()

    def matches(self, notice: Mapping[str, Any], at: datetime) -> bool:
        """Whether the route applies to a notice at an instant."""
        if self.hours is not None and not self.hours.holds(at):
            return False
        return matches(self.matchers, notice)

    def covers(self, other: Route) -> bool:
        """Whether this route, if it stands first, leaves nothing for the other one."""
        if self.goes_on or (self.hours is not None and self.hours != other.hours):
            return False
        return all(
            subject in other.matchers
            and all(any(fnmatchcase(value, pattern) for pattern in patterns) for value in other.matchers[subject])
            for subject, patterns in self.matchers.items()
        )


def matches(matchers: Mapping[str, Sequence[str]], notice: Mapping[str, Any]) -> bool:
    """Whether a notice has an accepted value for every subject that has patterns."""
    return all(
        any(fnmatchcase(value, pattern) for value in _values(notice, subject) for pattern in patterns)
        for subject, patterns in matchers.items()
        if patterns
    )


def _values(notice: Mapping[str, Any], subject: str) -> list[str]:
    if subject == "severity":
        return [severity_of(notice)]
    return [str(notice[key]) for key in SUBJECTS[subject] if notice.get(key)]


def severity_of(notice: Mapping[str, Any]) -> str:
    """The severity of a notice: critical, high or low."""
    severity = str(notice.get("severity") or UNKNOWN_SEVERITY)
    return severity if severity in SEVERITIES else UNKNOWN_SEVERITY


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """All routes of a map, in their order.

    Attributes:
        default: applies if no route does.
    """

    default: Route
    routes: tuple[Route, ...] = ()

    @classmethod
    def to_all(cls, senders: Sequence[str]) -> Routing:
        """Everything goes to every sender."""
        return cls(default=Route(name="default", to=tuple(senders)))

    @property
    def senders(self) -> tuple[str, ...]:
        """Every sender that a route or the default names."""
        named = [name for route in (*self.routes, self.default) for name in (*route.to, *route.escalate_to)]
        return tuple(dict.fromkeys(named))

    @property
    def escalates(self) -> bool:
        """Whether anything is ever escalated."""
        return any(route.escalate_to for route in (*self.routes, self.default))

    def taken(self, notice: Mapping[str, Any], at: datetime) -> list[Route]:
        """The routes that apply to a notice."""
        taken = []
        for route in self.routes:
            if route.matches(notice, at):
                taken.append(route)
                if not route.goes_on:
                    break
        return taken or [self.default]

    def recipients(self, notice: Mapping[str, Any], at: datetime) -> list[Recipient]:
        """Who gets a notice, each once."""
        return _each_once((route, route.to) for route in self.taken(notice, at))

    def escalations(self, notice: Mapping[str, Any], at: datetime, unacknowledged_s: float) -> list[Recipient]:
        """Who else gets a notice of an incident that nobody has acknowledged for so long."""
        return _each_once(
            (route, route.escalate_to)
            for route in self.taken(notice, at)
            if route.escalate_after_s is not None and unacknowledged_s >= route.escalate_after_s
        )


def _each_once(named: Iterator[tuple[Route, tuple[str, ...]]]) -> list[Recipient]:
    recipients = [Recipient(sender, route.channel) for route, senders in named for sender in senders]
    return list(dict.fromkeys(recipients))


def shadowed(routes: Sequence[Route]) -> Iterator[tuple[int, Sequence[Route]]]:
    """The positions of routes that can never apply, each with the earlier routes that take all of theirs.

    Several take all of a route together if each takes some of its severities.
    """
    for position, route in enumerate(routes):
        earlier = routes[:position]
        whole = next((each for each in earlier if each.covers(route)), None)
        if whole is not None:
            yield position, [whole]
            continue
        takers = [
            next((at for at, each in enumerate(earlier) if each.covers(part)), None) for part in _by_severity(route)
        ]
        by = {at for at in takers if at is not None}
        if by and None not in takers:
            yield position, [routes[at] for at in sorted(by)]


def _by_severity(route: Route) -> Iterator[Route]:
    """The route, once for each severity that it accepts."""
    patterns = route.matchers.get("severity", ("*",))
    for severity in SEVERITIES:
        if any(fnmatchcase(severity, pattern) for pattern in patterns):
            yield replace(route, matchers={**route.matchers, "severity": (severity,)})
