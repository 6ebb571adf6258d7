"""The presets that ship with the product: each passes `check`, and reads the stand-in of its vendor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from auditor.map.integration_map import IntegrationMap
from auditor.map.loader import check_map
from probes.contract import ProbeError, ReadSpec, Reason
from probes.records.rest.probe import RestProbe
from probes.records.rest.settings import RestSettings
from tests import HOME
from tests.standins import faults
from tests.standins.slack import BOT_TOKEN, Slack
from tests.standins.twilio import ACCOUNT, API_KEY, Twilio
from tests.standins.zendesk import OAUTH_TOKEN, Zendesk

PRESETS = HOME / "auditor/map/presets"
ADDRESSES = {
    "SLACK_URL": "https://slack.com/api",
    "SLACK_TOKEN": "xoxb-1",
    "TWILIO_URL": "https://SK1:secret@api.twilio.com/2010-04-01/Accounts/AC1",
    "ZENDESK_URL": "https://acme.zendesk.com",
    "ZENDESK_TOKEN": "token-1",
}
Load = Callable[[str, Mapping[str, str]], IntegrationMap]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Make a map of a preset: its data types flow to a warehouse."""

    def loaded(name: str, environment: Mapping[str, str]) -> IntegrationMap:
        yaml = YAML()
        document: dict[str, Any] = yaml.load((PRESETS / f"{name}.yaml").read_text())
        document["version"] = 1
        document["systems"]["warehouse"] = {"kind": "sql", "url": f"sqlite:///{tmp_path}/warehouse.db"}
        document["flows"] = {}
        for data_type, told in document["data_types"].items():
            told["in"]["warehouse"] = {"collection": data_type, "key": "id"}
            flow = {"data_type": data_type, "from": name, "to": "warehouse", "pattern": "batch"}
            document["flows"][f"{data_type}_to_warehouse"] = flow
        file = tmp_path / "map.yaml"
        with file.open("w") as written:
            yaml.dump(document, written)
        found, idle = check_map(file, environment)
        assert idle == []
        return found

    return loaded


def reads(found: IntegrationMap, system: str, data_type: str) -> tuple[RestProbe, ReadSpec]:
    settings = found.systems[system]
    assert isinstance(settings, RestSettings)
    held = found.data_types[data_type]
    binding = found.bindings[data_type, system]
    return RestProbe(settings), binding.spec(
        data_type, [*held.fields], zone=settings.zone, key_type=held.whole_key_type
    )


def walked(probe: RestProbe, spec: ReadSpec) -> list[Any]:
    found: list[Any] = []
    after: str | None = None
    while True:
        page = probe.page(spec, after, 2)
        found += [row[0] for row in page.rows]
        after = page.next
        if after is None:
            return found


@pytest.mark.parametrize("name", [each.stem for each in sorted(PRESETS.glob("*.yaml"))])
def test_every_preset_is_a_valid_part_of_a_map(load: Load, name: str) -> None:
    found = load(name, ADDRESSES)
    assert set(found.systems) == {name, "warehouse"}


@pytest.fixture
def zendesk() -> Iterator[Zendesk]:
    with Zendesk() as server:
        yield server


def test_zendesk_tickets_and_users_are_read(load: Load, zendesk: Zendesk) -> None:
    found = load("zendesk", {"ZENDESK_URL": zendesk.url, "ZENDESK_TOKEN": OAUTH_TOKEN})
    probe, spec = reads(found, "zendesk", "ticket")
    tickets = [zendesk.create("tickets", subject=str(at), status="open", requester_id=at) for at in range(5)]
    assert walked(probe, spec) == tickets
    zendesk.delete("tickets", tickets[0])
    rows = probe.fetch(spec, [*tickets[:2], 1])
    assert [(row[0], *row[2:]) for row in rows] == [(tickets[1], "1", "open", None, 1)]
    assert probe.inspect(spec) == ()
    people, users = reads(found, "zendesk", "zendesk_user")
    one = zendesk.create("users", name="Ann", email="ann@example.com")
    zendesk.delete("users", one)
    assert [row[2:] for row in people.fetch(users, [one])] == [("Ann", "ann@example.com", False)]


def test_a_limit_of_zendesk_is_waited_for(load: Load, zendesk: Zendesk) -> None:
    found = load("zendesk", {"ZENDESK_URL": zendesk.url, "ZENDESK_TOKEN": OAUTH_TOKEN})
    probe, spec = reads(found, "zendesk", "ticket")
    zendesk.fail(faults.refused(429), on="show_many")
    with pytest.raises(ProbeError) as failed:
        probe.fetch(spec, [1])
    assert (failed.value.reason, failed.value.retry_after_s) == (Reason.OVER_BUDGET, 60)


def test_twilio_messages_are_read(load: Load) -> None:
    with Twilio() as twilio:
        url = twilio.url.replace("://", f"://{API_KEY[0]}:{API_KEY[1]}@")
        found = load("twilio", {"TWILIO_URL": f"{url}/2010-04-01/Accounts/{ACCOUNT}"})
        probe, spec = reads(found, "twilio", "message")
        sids = [twilio.create(to=f"+1500555000{at}") for at in range(5)]
        assert walked(probe, spec) == sids[::-1]
        twilio.update(sids[0], status="failed", error_code=30003, price="-0.00750")
        twilio.delete(sids[1])
        rows = probe.fetch(spec, sids[:2])
        assert [(row[0], *row[2:]) for row in rows] == [(sids[0], "+15005550000", "failed", 30003, "-0.00750")]
        assert probe.inspect(spec) == ()
        twilio.revoke()
        with pytest.raises(ProbeError) as failed:
            probe.fetch(spec, sids[:1])
        assert failed.value.reason is Reason.AUTH


def test_slack_members_and_channels_are_read(load: Load) -> None:
    with Slack() as slack:
        found = load("slack", {"SLACK_URL": f"{slack.url}/api", "SLACK_TOKEN": BOT_TOKEN})
        probe, spec = reads(found, "slack", "slack_member")
        people = [slack.create_user(f"u{at}", email=f"u{at}@example.com") for at in range(5)]
        assert walked(probe, spec) == people
        slack.update_user(people[0], title="Director")
        slack.deactivate(people[0])
        rows = probe.fetch(spec, people[:1])
        assert [row[2:] for row in rows] == [("u0", "u0@example.com", "Director", True)]
        channels, spec_of_channels = reads(found, "slack", "slack_channel")
        general = slack.create_channel("general")
        slack.archive(general)
        rows = channels.fetch(spec_of_channels, [general])
        assert [row[2:] for row in rows] == [("general", "", True)]


def test_an_error_of_slack_with_status_200_is_no_verdict(load: Load) -> None:
    with Slack() as slack:
        found = load("slack", {"SLACK_URL": f"{slack.url}/api", "SLACK_TOKEN": BOT_TOKEN})
        probe, spec = reads(found, "slack", "slack_member")
        one = slack.create_user("ann")
        slack.revoke()
        for call in (lambda: probe.fetch(spec, [one]), lambda: probe.page(spec, None, 2)):
            with pytest.raises(ProbeError) as failed:
                call()
            assert failed.value.reason is Reason.DECODE
