"""Mistakes in the routes of a map, such as routes that can never match, and parts without an effect. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from auditor.map.integration_map import IntegrationMap
from auditor.map.settings import Destination, Matching
from checks.routes import Route, shadowed
from probes.wording import did_you_mean

Path_ = tuple[str | int, ...]


def route_mistakes(integration_map: IntegrationMap) -> Iterator[tuple[Path_, str]]:
    """The mistakes, each with the path of the setting at fault."""
    alerts = integration_map.alerts
    for position, route in enumerate(alerts.routes):
        path: Path_ = ("alerts", "routes", position)
        yield from _unknown_senders(path, route, alerts.named_senders)
        yield from _unmatchable(path, route, integration_map)
    if alerts.default is not None:
        yield from _unknown_senders(("alerts", "default"), alerts.default, alerts.named_senders)
    for position, by in shadowed([each.route(at, ()) for at, each in enumerate(alerts.routes)]):
        yield (
            ("alerts", "routes", position),
            f"it can never match: {_named(by)} {'matches' if len(by) == 1 else 'match'} all of it first; move it up, "
            "or write continue: true there",
        )
    for position, window in enumerate(alerts.maintenance):
        path = ("alerts", "maintenance", position)
        yield from _unmatchable(path, window, integration_map)
        if [each.name for each in alerts.maintenance].count(window.name) > 1:
            yield (*path, "name"), f"{window.name!r} also names another maintenance window"
    names = [each.name for each in alerts.routes if each.name]
    for position, route in enumerate(alerts.routes):
        if route.name and (names.count(route.name) > 1 or route.name in {*alerts.named_senders, "default"}):
            yield ("alerts", "routes", position, "name"), f"{route.name!r} also names something else"


def route_remarks(integration_map: IntegrationMap) -> Iterator[tuple[Path_, str]]:
    """What has no effect in valid routes, each with the path of the setting."""
    alerts = integration_map.alerts
    if alerts.default is not None:
        last = len(alerts.routes)
        routes = [each.route(at, ()) for at, each in enumerate(alerts.routes)]
        for position, by in shadowed([*routes, Route(name="default", to=())]):
            if position == last:
                yield (
                    ("alerts", "default"),
                    f"it never applies: {_named(by)} {'matches' if len(by) == 1 else 'match'} every incident",
                )
    destinations: list[tuple[Path_, Destination]] = [
        (("alerts", "routes", position), each) for position, each in enumerate(alerts.routes)
    ]
    if alerts.default is not None:
        destinations.append((("alerts", "default"), alerts.default))
    for path, each in destinations:
        if again := [name for name in each.escalate_to if name in each.to]:
            yield (
                (*path, "escalate_to"),
                f"{' and '.join(again)} already got the incident through to:, and is not notified again; name "
                "another sender",
            )


def _named(routes: Sequence[Route]) -> str:
    return f"route{'s' * (len(routes) != 1)} {' and '.join(each.name for each in routes)}"


def _unknown_senders(path: Path_, settings: Destination, named: list[str]) -> Iterator[tuple[Path_, str]]:
    for word in ("to", "escalate_to"):
        for each in getattr(settings, word):
            if each not in named:
                yield (*path, word), f"alerts: names no sender {each!r}{did_you_mean(each, named)}"


def _unmatchable(path: Path_, route: Matching, integration_map: IntegrationMap) -> Iterator[tuple[Path_, str]]:
    flows = integration_map.flows
    known = {
        "team": {each.team for each in flows.values() if each.team},
        "flow": set(flows),
        "data_type": {each.data_type for each in flows.values()},
        "system": set(integration_map.systems),
    }
    whole = True
    for subject, values in known.items():
        for pattern in getattr(route, subject):
            if not any(fnmatchcase(value, pattern) for value in values):
                whole = False
                yield (*path, subject), f"no {subject} {pattern!r} is in the map{did_you_mean(pattern, values)}"
    flows_alone = any(getattr(route, subject) for subject in ("team", "flow", "data_type"))
    if whole and flows_alone and not any(_takes(route, name, integration_map) for name in flows):
        yield path, "it can never match: no flow has all of team, flow, data_type and system"


def _takes(route: Matching, name: str, integration_map: IntegrationMap) -> bool:
    """Whether a route may match incidents of a flow."""
    flow = integration_map.flows[name]
    of_flow = {
        "team": [flow.team],
        "flow": [name],
        "data_type": [flow.data_type],
        "system": [flow.from_, flow.to],
    }
    return all(
        any(fnmatchcase(value, pattern) for value in values for pattern in getattr(route, subject))
        for subject, values in of_flow.items()
        if getattr(route, subject)
    )
