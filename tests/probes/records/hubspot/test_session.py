"""Signing in, limits, refusals and lies: with the stand-in's tokens, allowances and faults."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from probes.contract import ProbeError, ReadSpec, Reason
from probes.metering import metered
from probes.records.hubspot.probe import HubSpotProbe
from probes.records.hubspot.session import READS, Session
from probes.records.hubspot.settings import HubSpotSettings
from tests.probes.meters import CountingMeter
from tests.standins import faults
from tests.standins.faults import Fault
from tests.standins.hubspot import PRIVATE_APP_TOKEN, HubSpot

SPEC = ReadSpec(
    data_type="deal", collection="deals", key="id", changed_at="hs_lastmodifieddate", fields=("dealname",)
)


@pytest.fixture
def account() -> Iterator[HubSpot]:
    with HubSpot() as server:
        server.create("deals", dealname="one")
        yield server


def settings(account: HubSpot, **more: Any) -> HubSpotSettings:
    signed = {} if "refresh_token" in more else {"token": PRIVATE_APP_TOKEN}
    words = {"kind": "hubspot", "url": account.url, "budget": {"timeout": 20}, **signed}
    return HubSpotSettings.model_validate(words | more)


@pytest.fixture
def probe(account: HubSpot) -> Iterator[HubSpotProbe]:
    found = HubSpotProbe(settings(account))
    yield found
    found.close()


def failure(call: Callable[[], object]) -> ProbeError:
    with pytest.raises(ProbeError) as caught:
        call()
    return caught.value


def oauth(account: HubSpot) -> dict[str, str]:
    client_id, secret, refresh = account.oauth
    return {"client_id": client_id, "client_secret": secret, "refresh_token": refresh}


def test_it_signs_in_with_a_refresh_token_and_renews_what_expired(account: HubSpot) -> None:
    probe = HubSpotProbe(settings(account, **oauth(account)))
    for _ in range(2):
        assert len(probe.page(SPEC, None, 10).rows) == 1
    assert account.count("token") == 1
    account.clock.advance(1_800)
    assert len(probe.page(SPEC, None, 10).rows) == 1
    assert account.count("token") == 2
    account.revoke()
    refused = failure(lambda: probe.page(SPEC, None, 10))
    assert (refused.reason, "authorize the app again" in refused.hint) == (Reason.AUTH, True)
    assert not [each for each in oauth(account).values() if each in str(refused) and each != "client-1"]
    probe.close()


def test_a_revoked_token_is_auth_and_is_not_said(account: HubSpot, probe: HubSpotProbe) -> None:
    account.revoke()
    refused = failure(lambda: probe.page(SPEC, None, 10))
    assert (refused.reason, "INVALID_AUTHENTICATION" in refused.message) == (Reason.AUTH, True)
    assert PRIVATE_APP_TOKEN not in str(refused) + repr(refused)


@pytest.mark.parametrize(
    ("fault", "reason", "said"),
    [
        (faults.refused(401), Reason.AUTH, "INVALID_AUTHENTICATION"),
        (faults.refused(403), Reason.PERMISSION, "MISSING_SCOPES"),
        (faults.refused(404), Reason.QUERY, "OBJECT_NOT_FOUND"),
        (faults.refused(409), Reason.UNREACHABLE, "CONFLICT"),
        (faults.refused(423), Reason.UNREACHABLE, "LOCKED"),
        (faults.refused(429), Reason.OVER_BUDGET, "TEN_SECONDLY_ROLLING"),
        (faults.refused(500), Reason.UNREACHABLE, "INTERNAL_ERROR"),
        (faults.page_of_a_proxy(), Reason.DECODE, "text/html"),
        (faults.page_of_a_proxy(503), Reason.UNREACHABLE, "503"),
        (faults.error_with_success({"status": "error", "category": "RATE_LIMITS"}), Reason.OVER_BUDGET, "RATE"),
        (faults.error_with_success([1]), Reason.DECODE, "object"),
        (faults.truncated(), Reason.DECODE, "not JSON"),
        (faults.cut_off(), Reason.UNREACHABLE, ""),
        (faults.endless(), Reason.TOO_LARGE, ""),
    ],
    ids=lambda each: each.name if isinstance(each, Fault) else None,
)
@pytest.mark.parametrize("read", ["fetch", "page", "changed"])
def test_every_fault_is_a_named_error(account: HubSpot, read: str, fault: Fault, reason: Reason, said: str) -> None:
    probe = HubSpotProbe(settings(account, retries=0))
    on, call = {
        "fetch": ("batch_read", lambda: probe.fetch(SPEC, ["501"])),
        "page": ("list", lambda: probe.page(SPEC, None, 10)),
        "changed": ("search", lambda: probe.changed(SPEC, None, 10)),
    }[read]
    account.fail(fault, on=on)
    refused = failure(call)
    assert (refused.reason, said in str(refused)) == (reason, True), str(refused)
    assert PRIVATE_APP_TOKEN not in str(refused)
    if fault.status is not None:
        assert "correlationId" in refused.message
    probe.close()


def test_the_batch_behind_a_search_may_fail_as_any_other(account: HubSpot, probe: HubSpotProbe) -> None:
    account.fail(faults.truncated(), on="batch_read")
    assert failure(lambda: probe.changed(SPEC, None, 10)).reason is Reason.DECODE


@pytest.mark.parametrize(
    ("retry_after", "wait_s"), [(None, 10.0), ("7", 7.0), ("86400", 86_400.0)], ids=["silent", "seconds", "a day"]
)
def test_how_long_a_limit_is_left_alone(
    account: HubSpot, probe: HubSpotProbe, retry_after: str | None, wait_s: float
) -> None:
    account.fail(faults.refused(429, retry_after=retry_after), on="list")
    assert failure(lambda: probe.page(SPEC, None, 10)).retry_after_s == wait_s


def test_limits_by_their_names(account: HubSpot, probe: HubSpotProbe) -> None:
    account.searches.most = 0
    second = failure(lambda: probe.changed(SPEC, None, 10))
    account.daily.most = 0
    day = failure(lambda: probe.page(SPEC, None, 10))
    assert (second.retry_after_s, day.retry_after_s) == (1.0, 900.0)
    assert "SECONDLY" in second.message
    assert "DAILY" in day.message
    assert "midnight" in day.hint


def test_what_the_headers_say_is_told_to_the_meter(account: HubSpot, probe: HubSpotProbe) -> None:
    meter = CountingMeter()
    with metered(meter):
        probe.page(SPEC, None, 10)
    assert [(each.limit, each.left, each.per) for each in meter.told] == [
        (190, 189, 10.0),
        (650_000, 649_999, 86_400.0),
    ]


def test_only_what_reads_is_on_the_list() -> None:
    allowed = [
        "GET /crm/v3/objects/deals?limit=100",
        "GET /crm/v3/objects/2-1/a%2Fb?properties=x",
        "POST /crm/v3/objects/deals/batch/read",
        "POST /crm/v3/objects/deals/search",
        "POST /crm/v4/associations/deals/contacts/batch/read",
    ]
    refused = [
        "POST /crm/v3/objects/deals",
        "POST /crm/v3/objects/deals/batch/create",
        "POST /crm/v3/objects/deals/batch/archive",
        "POST /crm/v3/objects/deals/batch/read/../create",
        "POST /crm/v3/objects/deals/merge",
        "POST /crm/v3/objects/contacts/gdpr-delete",
        "POST /crm/v4/associations/deals/contacts/batch/create",
        "POST /crm/v3/schemas",
        "PATCH /crm/v3/objects/deals/1",
        "DELETE /crm/v3/objects/deals/1",
        "GET /crm/v3/objects/deals/../../../oauth/v1/access-tokens?x",
    ]
    assert [each for each in allowed if not any(one.fullmatch(each) for one in READS)] == []
    assert [each for each in refused if any(one.fullmatch(each) for one in READS)] == []


def test_a_request_that_is_not_on_the_list_is_not_sent(account: HubSpot) -> None:
    session = Session(settings(account))
    assert "not on the list" in failure(lambda: session.ask("POST", "/crm/v3/objects/deals", {})).message
    assert account.count() == 0
    session.close()


def test_searches_are_limited_apart(account: HubSpot, probe: HubSpotProbe) -> None:
    meter = CountingMeter()
    with metered(meter):
        probe.changed(SPEC, None, 10)
        probe.fetch(SPEC, ["1"])
    assert meter.operations[0] == "search"
    assert meter.operations[-1] == ""
    documented = settings(account).operation_limits["search"]
    assert documented.call_limits == {"calls_per_s": (4, 1.0)}
    own = settings(account, budget={"operations": {"search": {"calls_per_s": 2, "calls_per_minute": 60}}})
    assert own.operation_limits["search"].call_limits == {"calls_per_s": (2, 1.0), "calls_per_minute": (60, 60.0)}


def test_signing_in_does_not_count_as_a_search(account: HubSpot) -> None:
    probe, meter = HubSpotProbe(settings(account, **oauth(account))), CountingMeter()
    with metered(meter):
        probe.changed(SPEC, None, 10)
    assert sorted({*meter.operations}) == ["", "search"]
    probe.close()


def test_a_closed_session_sends_nothing(account: HubSpot) -> None:
    session = Session(settings(account))
    session.close()
    assert failure(lambda: session.search("deals", {})).reason is Reason.UNREACHABLE
