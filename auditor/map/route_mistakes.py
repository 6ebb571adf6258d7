"""Mistakes in the routes of a map: senders that it does not name, and routes that can never match. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from auditor.map.integration_map import IntegrationMap
from auditor.map.settings import Destination, RouteSettings
from checks.routes import shadowed
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
            f"it can never match: route {by.name}, which comes first, matches all of it; move it up, or write "
            "continue: true there",
        )
    names = [each.name for each in alerts.routes if each.name]
    for position, route in enumerate(alerts.routes):
        if route.name and (names.count(route.name) > 1 or route.name in {*alerts.named_senders, "default"}):
            yield ("alerts", "routes", position, "name"), f"{route.name!r} also names something else"


def _unknown_senders(path: Path_, settings: Destination, named: list[str]) -> Iterator[tuple[Path_, str]]:
    for word in ("to", "escalate_to"):
        for each in getattr(settings, word):
            if each not in named:
                yield (*path, word), f"alerts: names no sender {each!r}{did_you_mean(each, named)}"


def _unmatchable(path: Path_, route: RouteSettings, integration_map: IntegrationMap) -> Iterator[tuple[Path_, str]]:
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


def _takes(route: RouteSettings, name: str, integration_map: IntegrationMap) -> bool:
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
