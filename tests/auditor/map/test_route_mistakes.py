"""Routes that report to nobody, or can never match, are mistakes of the map."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from auditor.map.loader import check_map, load_map
from auditor.map.problems import MapError
from auditor.map.route_mistakes import route_remarks
from tests.stand import Stand

SENDERS = """\
alerts:
  slack: {webhook: "https://hooks.example/x"}
  email: {host: "", from: a@x.example, to: b@x.example}
"""


def problems(stand: Stand, routes: str) -> str:
    text = stand.map_file.read_text().partition("\nalerts:")[0]
    stand.map_file.write_text(f"{text}\n{SENDERS}{routes}")
    try:
        load_map(stand.map_file, {})
    except MapError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("routes", "mistake"),
    [
        ("  routes: [{team: x, to: []}]", "reports to nobody"),
        ("  routes: [{to: slak}]", "names no sender 'slak'; did you mean 'slack'"),
        ("  default: {to: webhook}", "names no sender 'webhook'"),
        ("  routes: [{flow: to_bilin, to: slack}]", "no flow 'to_bilin' is in the map; did you mean 'to_billing'"),
        ("  routes: [{system: crmm, to: slack}]", "no system 'crmm' is in the map"),
        ("  routes: [{severity: hihg, to: slack}]", "unknown word 'hihg'"),
        ("  routes: [{weekdays: [monday], to: slack}]", "unknown word 'monday'"),
        ("  routes: [{hours: 9-17, to: slack}]", "are no hours"),
        ("  routes: [{hours: '09:00-09:00', to: slack}]", "are no hours"),
        ("  routes: [{hours: '09:00-17:00', zone: Berlin, to: slack}]", "unknown time zone 'Berlin'"),
        ("  routes: [{to: slack}, {severity: low, to: slack}]", "it can never match: route 1"),
        (
            "  routes: [{severity: [low, high, critical], to: slack}, {flow: 'to_*', to: slack}]",
            "it can never match: route 1 matches all of it first",
        ),
        (
            "  routes: [{severity: [low, high], to: slack}, {severity: critical, to: slack}, {team: t, to: slack}]",
            "it can never match: routes 1 and 2 match all of it first",
        ),
        ("  routes: [{name: slack, to: slack}]", "'slack' also names something else"),
        ("  routes: [{to: slack, escalate_after: 5m}]", "belong together"),
    ],
)
def test_a_mistake_is_reported_with_its_remedy(stand: Stand, routes: str, mistake: str) -> None:
    assert mistake in problems(stand, routes)


def test_a_sender_whose_address_is_empty_may_be_named(stand: Stand) -> None:
    routes = "  routes: [{severity: low, to: [slack, email]}, {flow: 'to_*', system: crm, to: slack}]"
    assert problems(stand, routes) == ""
    assert load_map(stand.map_file, {}).alerts.routing.routes[0].to == ("slack",)


def test_a_route_without_any_sender_that_is_set_leaves_its_incidents_to_the_others(stand: Stand) -> None:
    assert problems(stand, "  routes: [{severity: high, to: email}]\n  default: {to: email}") == ""
    loaded, notes = check_map(stand.map_file, {})
    told = [each.message for each in notes if each.path.startswith("alerts")]
    assert told == ["alerts.email is not set, so its incidents are reported as if this were not here"] * 2
    notice = {"transition": "opened", "severity": "high"}
    assert {each.sender for each in loaded.alerts.routing.recipients(notice, datetime.now(UTC))} == {"slack"}


@pytest.mark.parametrize(
    ("routes", "remark"),
    [
        ("  routes: [{to: slack}]\n  default: {to: slack}", "alerts.default: it never applies: route 1 matches"),
        ("  routes: [{severity: low, to: slack}]\n  default: {to: slack}", ""),
        (
            "  routes: [{severity: low, to: slack, escalate_after: 5m, escalate_to: [slack, email]}]",
            "alerts.routes.0.escalate_to: slack already got the incident",
        ),
        (
            "  default: {to: slack, escalate_after: 5m, escalate_to: slack}",
            "alerts.default.escalate_to: slack already",
        ),
        ("  default: {to: slack, escalate_after: 5m, escalate_to: email}", ""),
    ],
)
def test_a_part_without_an_effect_is_remarked_on(stand: Stand, routes: str, remark: str) -> None:
    assert problems(stand, routes) == ""
    remarks = [f"{'.'.join(map(str, path))}: {text}" for path, text in route_remarks(load_map(stand.map_file, {}))]
    assert [each for each in remarks if not remark or remark not in each] == []
    assert bool(remarks) is bool(remark)
