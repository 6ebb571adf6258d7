"""The generic kind against the stand-ins of vendors: what the map's documentation shows, and every way of failing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ruamel.yaml import YAML

from probes.contract import Key, ProbeError, ReadSpec, Reason
from probes.records.rest.probe import RestProbe
from probes.records.rest.settings import RestBinding, RestSettings
from tests import HOME
from tests.standins import faults
from tests.standins.clock import Clock
from tests.standins.faults import Fault
from tests.standins.hubspot import PRIVATE_APP_TOKEN, HubSpot
from tests.standins.salesforce import APP, Salesforce
from tests.standins.service import Service
from tests.standins.slack import BOT_TOKEN, Slack
from tests.standins.stripe import SECRET_KEY, VERSION, Stripe
from tests.standins.twilio import ACCOUNT, API_KEY, Twilio
from tests.standins.zendesk import OAUTH_TOKEN, Zendesk

NOON = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)


def _documented(name: str) -> dict[str, Any]:
    """The binding of a vendor in docs/map.md."""
    text = (HOME / "docs/map.md").read_text()
    (block,) = re.findall(rf"```yaml\n({name}:\n.*?)```", text, re.DOTALL)
    found: dict[str, Any] = YAML(typ="safe").load(block)[name]
    return found


SLACK = {
    "collection": "users",
    "key": "id",
    "one": "/{collection}.info?user={key}",
    "record": "$.user",
    "list": "/{collection}.list?limit={limit}&cursor={after}",
    "records": "$.members[*]",
    "next": "$.response_metadata.next_cursor",
}
TWILIO = {
    "collection": "Messages",
    "key": "sid",
    "one": "/{collection}/{key}.json",
    "list": "/{collection}.json?PageSize={limit}",
    "records": "$.messages[*]",
    "next": "$.next_page_uri",
}


@dataclass(frozen=True, kw_only=True)
class Vendor:
    """One vendor with some records, as the generic kind sees it.

    Attributes:
        listed: the keys in the order of the list.
        reading: the operation that reads by key.
        missing: what a 404 for such a call means; None where it is the word for a record that is not there.
    """

    service: Service
    probe: RestProbe
    spec: ReadSpec
    listed: list[Key]
    reading: str
    listing: str
    missing: Reason | None


def _vendor(
    service: Service, path: str, headers: Mapping[str, str], binding: Mapping[str, Any], names: list[str], **more: Any
) -> Vendor:
    url = service.url + path
    words = {"kind": "rest", "url": url, "headers": headers, "budget": {"timeout": 20}}
    spec = RestBinding.model_validate(binding).spec("customer", names, zone="UTC")
    return Vendor(service=service, probe=RestProbe(RestSettings.model_validate(words)), spec=spec, **more)


def _stripe() -> Vendor:
    service = Stripe(clock=Clock(NOON))
    keys: list[Key] = [service.create("customer", email=f"c{at}@example.com") for at in range(7)]
    headers = {"Authorization": f"Bearer {SECRET_KEY}", "Stripe-Version": VERSION}
    more = {"reading": "read_customers", "listing": "list_customers", "missing": None}
    return _vendor(service, "", headers, _documented("stripe"), ["email"], listed=keys[::-1], **more)


def _hubspot() -> Vendor:
    service = HubSpot(clock=Clock(NOON))
    keys: list[Key] = []
    for at in range(7):
        keys.append(service.create("contacts", email=f"c{at}@example.com"))
        service.clock.advance(1)
    headers = {"Authorization": f"Bearer {PRIVATE_APP_TOKEN}"}
    more = {"reading": "batch_read", "listing": "list", "missing": Reason.QUERY}
    return _vendor(service, "", headers, _documented("hubspot"), ["email"], listed=keys, **more)


def _zendesk() -> Vendor:
    service = Zendesk(clock=Clock(NOON))
    keys: list[Key] = [service.create("users", name=f"n{at}") for at in range(7)]
    headers = {"Authorization": f"Bearer {OAUTH_TOKEN}"}
    more = {"reading": "show_many", "listing": "list", "missing": Reason.QUERY}
    return _vendor(service, "", headers, _documented("zendesk"), ["name"], listed=keys, **more)


def _twilio() -> Vendor:
    service = Twilio(clock=Clock(NOON))
    keys: list[Key] = [service.create(to=f"+1500555000{at}") for at in range(7)]
    path = f"/2010-04-01/Accounts/{ACCOUNT}"
    service_url = service.url.replace("://", f"://{API_KEY[0]}:{API_KEY[1]}@")
    words = {"kind": "rest", "url": service_url + path, "budget": {"timeout": 20}}
    return Vendor(
        service=service,
        probe=RestProbe(RestSettings.model_validate(words)),
        spec=RestBinding.model_validate(TWILIO).spec("message", ["to"], zone="UTC"),
        listed=keys[::-1],
        reading="fetch",
        listing="list",
        missing=None,
    )


def _slack() -> Vendor:
    service = Slack(clock=Clock(NOON))
    keys: list[Key] = [service.create_user(f"u{at}") for at in range(7)]
    headers = {"Authorization": f"Bearer {BOT_TOKEN}"}
    more = {"reading": "users_info", "listing": "users_list", "missing": Reason.DECODE}
    return _vendor(service, "/api", headers, SLACK, ["name"], listed=keys, **more)


VENDORS: dict[str, Callable[[], Vendor]] = {
    "stripe": _stripe,
    "hubspot": _hubspot,
    "zendesk": _zendesk,
    "twilio": _twilio,
    "slack": _slack,
}


@pytest.fixture(params=VENDORS)
def vendor(request: pytest.FixtureRequest) -> Iterator[Vendor]:
    made = VENDORS[request.param]()
    with made.service:
        yield made
        made.probe.close()


def test_hubspots_tokens_are_renewed_by_its_refresh_token() -> None:
    with HubSpot(clock=Clock(NOON)) as service:
        key = service.create("contacts", email="c@example.com")
        client_id, client_secret, refresh_token = service.oauth
        auth = {"kind": "oauth2_refresh_token", "client_id": client_id, "client_secret": client_secret}
        auth |= {"refresh_token": refresh_token, "token_url": f"{service.url}/oauth/v1/token"}
        words = {"kind": "rest", "url": service.url, "auth": auth, "budget": {"timeout": 20}}
        probe = RestProbe(RestSettings.model_validate(words))
        spec = RestBinding.model_validate(_documented("hubspot")).spec("contact", ["email"], zone="UTC")
        assert probe.fetch(spec, [key])[0][2] == "c@example.com"
        service.clock.advance(1801)  # by the server's clock alone: here the token is still good
        assert probe.fetch(spec, [key])[0][2] == "c@example.com"
        assert (service.count("token"), service.count("batch_read")) == (2, 3)
        service.revoke()
        with pytest.raises(ProbeError, match="authorize the app again") as refused:
            probe.fetch(spec, [key])
        assert (refused.value.reason, refresh_token in str(refused.value)) == (Reason.AUTH, False)
        probe.close()


def test_an_org_of_salesforce_can_be_signed_in_to_by_the_generic_words() -> None:
    with Salesforce() as org:
        key = org.put("Account", Name="Acme")
        auth = {"kind": "oauth2_client_credentials", "client_id": APP.client_id, "client_secret": APP.client_secret}
        words = {"auth": {**auth, "token_url": f"{org.url}/services/oauth2/token"}, "budget": {"timeout": 20}}
        probe = RestProbe(RestSettings.model_validate({"kind": "rest", "url": org.url, **words}))
        one = {"one": "/services/data/v62.0/sobjects/{collection}/{key}", "collection": "Account", "key": "Id"}
        spec = RestBinding.model_validate({**one, "fields": {"name": "Name"}}).spec("account", ["name"], zone="UTC")
        for _ in range(2):
            assert probe.fetch(spec, [key])[0][2] == "Acme"
            org.revoke_tokens()
        assert org.calls["token"] == 2
        probe.close()


EXPORT = {
    "request": "/api/v2/incremental/{collection}/cursor.json?start_time={since}&per_page={limit}",
    "next": "$.after_url",
    "until": "$.end_of_stream",
}


def test_zendesks_list_and_its_export_go_on_and_end_each_in_its_own_way() -> None:
    with Zendesk(clock=Clock(NOON)) as service:
        keys: list[Key] = [service.create("users", name=f"n{at}") for at in range(7)]
        service.clock.advance(3600)
        changed = keys[1:6]
        for key in changed:
            service.update("users", int(key), name="other")
            service.clock.advance(1)
        service.clock.advance(120)
        binding = {**_documented("zendesk"), "changed_at": "updated_at", "changed": EXPORT, "since": "s"}
        words = {"kind": "rest", "url": service.url, "auth": {"kind": "bearer", "token": OAUTH_TOKEN}}
        probe = RestProbe(RestSettings.model_validate({**words, "budget": {"timeout": 20}}))
        spec = RestBinding.model_validate(binding).spec("user", ["name"], zone="UTC")
        page = probe.changed(spec, NOON + timedelta(seconds=1800), 2)
        found, pages = [row[0] for row in page.rows], 1
        while page.more:
            page = probe.changed(spec, NOON + timedelta(seconds=1800), 2, page.next)
            found += [row[0] for row in page.rows]
            pages += 1
        assert (found, pages, service.count("export")) == (changed, 2, 2)  # its address leaves out how many at once
        listed = probe.page(spec, None, 100)
        assert ([row[0] for row in listed.rows], listed.more) == (keys, False)
        service.fail(faults.renamed({"end_of_stream": None}), on="export")
        with pytest.raises(ProbeError, match="the map's until"):
            probe.changed(spec, NOON, 2)
        probe.close()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"changed": {**EXPORT, "more": "$.x"}}, "set one of them"),
        ({"more": "$.x", "until": "$.y"}, "set one of them"),
        ({"changed": {**EXPORT, "next": "after"}}, "begins with"),
        ({"changed": {**EXPORT, "nxt": "$.x"}}, "nxt"),
        ({"changed": {"request": "/x?cursor={after}&t={since}"}, "next": None}, "set next:"),
        ({"changed": {"request": "/x"}}, "changed needs {since}"),
        ({"changed": {"request": {"read_only_post": "/x", "bdy": {}}}}, "bdy"),
    ],
)
def test_a_list_of_changes_that_cannot_be_meant_is_told(words: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        RestBinding.model_validate({**_documented("zendesk"), "more": None, "changed_at": "updated_at", **words})


def test_what_a_list_of_changes_does_not_say_is_as_for_the_other_list() -> None:
    binding = RestBinding.model_validate({**_documented("zendesk"), "changed": {"request": "/x?t={since}"}})
    ways = binding.options()["ways"]
    assert ways["changed"] == ways["list"]
    other = RestBinding.model_validate({**_documented("zendesk"), "changed": EXPORT}).options()["ways"]["changed"]
    wanted = {"records": "$.users[*]", "next": "$.after_url", "more": None, "until": "$.end_of_stream", "limit": 100}
    assert other == wanted


def _walked(vendor: Vendor, before_the_second: Fault | None = None) -> list[Any]:
    found: list[Any] = []
    page = vendor.probe.page(vendor.spec, None, 2)
    if before_the_second:
        vendor.service.fail(before_the_second, on=vendor.listing)
    while True:
        found += [row[0] for row in page.rows]
        if page.next is None:
            return found
        page = vendor.probe.page(vendor.spec, page.next, 2)


def test_a_list_is_walked_and_records_are_read_by_key(vendor: Vendor) -> None:
    assert _walked(vendor) == vendor.listed
    rows = vendor.probe.fetch(vendor.spec, vendor.listed[:3])
    assert {row[0] for row in rows} == {*vendor.listed[:3]}


FAULTS: dict[str, tuple[Fault, Reason]] = {
    "403": (faults.refused(403), Reason.PERMISSION),
    "401": (faults.refused(401), Reason.AUTH),
    "409": (faults.refused(409), Reason.QUERY),
    "429": (faults.refused(429, None), Reason.OVER_BUDGET),
    "500": (faults.refused(500), Reason.UNREACHABLE),
    "html": (faults.page_of_a_proxy(), Reason.DECODE),
    "an error with 200": (faults.error_with_success({"ok": False, "error": "internal_error"}), Reason.DECODE),
    "truncated": (faults.truncated(), Reason.DECODE),
    "cut off": (faults.cut_off(), Reason.UNREACHABLE),
    "a changed schema": (faults.renamed({"id": "ident", "sid": "ident"}), Reason.DECODE),
    "endless": (faults.endless(), Reason.TOO_LARGE),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_a_named_error_without_a_secret_and_the_next_call_reads(vendor: Vendor, name: str) -> None:
    fault, reason = FAULTS[name]
    if isinstance(vendor.service, Slack) and name in {"401", "403", "409"}:
        reason = Reason.DECODE  # told with status 200, which the generic kind does not interpret
    vendor.service.fail(fault, on=vendor.reading)
    with pytest.raises(ProbeError) as failed:
        vendor.probe.fetch(vendor.spec, vendor.listed[:1])
    assert failed.value.reason is reason
    told = f"{failed.value.message} {failed.value.hint}"
    secrets = (SECRET_KEY, PRIVATE_APP_TOKEN, OAUTH_TOKEN, API_KEY[1], BOT_TOKEN)
    assert not [each for each in secrets if each in told]
    assert [row[0] for row in vendor.probe.fetch(vendor.spec, vendor.listed[:1])] == vendor.listed[:1]


def test_a_404_is_a_missing_record_only_where_one_record_was_asked_for(vendor: Vendor) -> None:
    vendor.service.fail(faults.refused(404), on=vendor.reading)
    if vendor.missing is None:
        assert vendor.probe.fetch(vendor.spec, vendor.listed[:1]) == []
        return
    with pytest.raises(ProbeError) as failed:
        vendor.probe.fetch(vendor.spec, vendor.listed[:1])
    assert failed.value.reason is vendor.missing


def test_a_wait_that_is_asked_for_is_passed_on(vendor: Vendor) -> None:
    vendor.service.fail(faults.refused(429, "77"), on=vendor.reading)
    with pytest.raises(ProbeError) as failed:
        vendor.probe.fetch(vendor.spec, vendor.listed[:1])
    assert (failed.value.reason, failed.value.retry_after_s) == (Reason.OVER_BUDGET, 77)


def test_a_page_that_comes_twice_is_no_end_of_a_list(vendor: Vendor) -> None:
    with pytest.raises(ProbeError) as failed:
        _walked(vendor, faults.repeated_page())
    assert failed.value.reason is Reason.QUERY


def test_a_token_that_is_revoked_ends_reading(vendor: Vendor) -> None:
    _walked(vendor)
    vendor.service.revoke()
    with pytest.raises(ProbeError) as failed:
        vendor.probe.fetch(vendor.spec, vendor.listed[:1])
    assert failed.value.reason is (Reason.DECODE if isinstance(vendor.service, Slack) else Reason.AUTH)


# -- HubSpot: what the others do not have


@pytest.fixture
def hubspot() -> Iterator[Vendor]:
    made = _hubspot()
    with made.service:
        yield made
        made.probe.close()


def test_a_missing_id_in_a_batch_of_hubspot_is_missing_and_the_others_are_read(hubspot: Vendor) -> None:
    rows = hubspot.probe.fetch(hubspot.spec, [hubspot.listed[0], "99999999"])
    assert [row[0] for row in rows] == hubspot.listed[:1]


def test_changes_in_hubspot_are_found_by_the_search_once_its_index_has_them(hubspot: Vendor) -> None:
    service = hubspot.service
    assert isinstance(service, HubSpot)
    service.searches.most = 100
    service.index_lag_s = 60
    service.clock.advance(120)
    changed = str(hubspot.listed[3])
    since = service.clock.now() - timedelta(seconds=30)
    service.update("contacts", changed, email="new@example.com")
    assert hubspot.probe.changed(hubspot.spec, since, 10).rows == []
    assert hubspot.probe.fetch(hubspot.spec, [changed])[0][2] == "new@example.com"
    service.clock.advance(61)
    assert [row[0] for row in hubspot.probe.changed(hubspot.spec, since, 10).rows] == [changed]


def test_a_sixth_search_of_a_second_is_over_budget(hubspot: Vendor) -> None:
    for _ in range(5):
        hubspot.probe.changed(hubspot.spec, NOON + timedelta(days=1), 10)
    with pytest.raises(ProbeError) as failed:
        hubspot.probe.changed(hubspot.spec, NOON + timedelta(days=1), 10)
    assert failed.value.reason is Reason.OVER_BUDGET
