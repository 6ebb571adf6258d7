"""Signing in, and what is sent and said: with the stand-in's tokens, limits and faults."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from probes.contract import ProbeError, Reason
from probes.metering import metered
from probes.records.salesforce.session import READS, Session
from probes.records.salesforce.settings import SalesforceSettings
from tests.probes.meters import CountingMeter
from tests.standins.faults import cut_off, truncated
from tests.standins.salesforce import APP, App, Fault, Salesforce, faults

QUERY = "SELECT Id FROM Account"


@pytest.fixture
def org() -> Iterator[Salesforce]:
    with Salesforce() as found:
        found.put("Account", Name="Acme")
        yield found


def settings(org: Salesforce, **more: Any) -> SalesforceSettings:
    words = {"kind": "salesforce", "url": org.url, "client_id": APP.client_id, "client_secret": APP.client_secret}
    return SalesforceSettings.model_validate(words | {"budget": {"timeout": 20}} | more)


@pytest.fixture
def session(org: Salesforce) -> Iterator[Session]:
    found = Session(settings(org))
    yield found
    found.close()


def failure(call: Callable[[], object]) -> ProbeError:
    with pytest.raises(ProbeError) as caught:
        call()
    return caught.value


def test_it_signs_in_once(org: Salesforce, session: Session) -> None:
    for _ in range(3):
        assert session.query(QUERY)["totalSize"] == 1
    assert org.calls == {"token": 1, "query": 3}


def test_it_signs_in_with_a_jwt() -> None:
    key = generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    app = App(client_id=APP.client_id, client_secret="unused", public_key=key.public_key())
    with Salesforce(apps=[app]) as org:
        words = {"client_secret": None, "private_key": pem, "username": "auditor@example.com"}
        session = Session(settings(org, **words))
        assert session.query(QUERY)["totalSize"] == 0
        stranger = Session(settings(org, **words | {"username": "stranger@example.com"}))
        refused = failure(lambda: stranger.query(QUERY))
        assert (refused.reason, "hasn't approved" in refused.message) == (Reason.AUTH, True)
        broken = Session(settings(org, **words | {"private_key": pem[:80]}))
        assert failure(lambda: broken.query(QUERY)).reason is Reason.AUTH
        for each in (session, stranger, broken):
            each.close()


def test_it_signs_in_with_a_refresh_token(org: Salesforce) -> None:
    token = org.authority.refresh_token(APP.client_id)
    session = Session(settings(org, refresh_token=token))
    for _ in range(2):
        assert session.query(QUERY)["totalSize"] == 1
        org.revoke_tokens()
    assert org.calls["token"] == 2
    org.authority.revoke_all(refresh_tokens=True)
    refused = failure(lambda: session.query(QUERY))
    assert (refused.reason, "authorize the app again" in refused.hint) == (Reason.AUTH, True)
    assert token not in str(refused)
    session.close()


def test_what_the_org_says_of_its_allowance_is_passed_on(org: Salesforce, session: Session) -> None:
    meter = CountingMeter()
    with metered(meter):
        session.query(QUERY)
    assert (meter.spent, len(meter.told)) == (2, 1)  # a token, and the query
    (told,) = meter.told
    assert (told.limit, told.left, told.per) == (org.limits.daily, org.limits.daily - 1, 86_400)


def test_what_passes_is_asked_again_where_the_map_allows_it(org: Salesforce, session: Session) -> None:
    org.fail(faults.status(503, retry_after="0"), on="query")
    org.fail(faults.status(502), on="query")
    assert session.query(QUERY)["totalSize"] == 1
    never = Session(settings(org, retries=0))
    org.fail(faults.status(502), on="query")
    assert failure(lambda: never.query(QUERY)).reason is Reason.UNREACHABLE
    never.close()


def test_a_revoked_token_is_renewed_once(org: Salesforce, session: Session) -> None:
    session.query(QUERY)
    org.revoke_tokens()
    assert session.query(QUERY)["totalSize"] == 1
    assert org.calls["token"] == 2
    org.fail(faults.status(401), on="query", times=2)
    assert failure(lambda: session.query(QUERY)).reason is Reason.AUTH
    assert org.calls["token"] == 3


def test_a_session_that_expired_is_renewed(org: Salesforce, session: Session) -> None:
    session.query(QUERY)
    org.clock.advance(3 * 3600)
    assert session.query(QUERY)["totalSize"] == 1


def test_a_wrong_secret_is_told_and_not_repeated(org: Salesforce) -> None:
    session = Session(settings(org, client_secret="wrong-but-secret"))
    error = failure(lambda: session.query(QUERY))
    assert (error.reason, org.calls) == (Reason.AUTH, {"token": 1})
    assert "wrong-but-secret" not in str(error)
    session.close()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (faults.status(403), Reason.PERMISSION),
        (faults.limit_exceeded(), Reason.OVER_BUDGET),
        (faults.limit_exceeded(concurrent=True), Reason.OVER_BUDGET),
        (faults.status(404), Reason.QUERY),
        (faults.status(409), Reason.QUERY),
        (faults.status(414), Reason.TOO_LARGE),
        (faults.status(429), Reason.OVER_BUDGET),
        (faults.status(500), Reason.UNREACHABLE),
        (faults.status(503), Reason.UNREACHABLE),
        (faults.html(), Reason.DECODE),
        (truncated(), Reason.DECODE),
        (cut_off(), Reason.UNREACHABLE),
        (faults.endless(), Reason.TOO_LARGE),
    ],
)
def test_each_way_to_fail_has_a_reason(org: Salesforce, session: Session, fault: Fault, reason: Reason) -> None:
    org.fail(fault, on="query")
    assert failure(lambda: session.query(QUERY)).reason is reason
    assert session.query(QUERY)["totalSize"] == 1


def test_it_says_how_long_to_leave_the_org_alone(org: Salesforce, session: Session) -> None:
    org.fail(faults.status(429, retry_after="7"), on="query")
    assert failure(lambda: session.query(QUERY)).retry_after_s == 7
    org.fail(faults.limit_exceeded(), on="query")
    assert failure(lambda: session.query(QUERY)).retry_after_s == 300


def test_a_token_endpoint_that_fails_is_not_a_wrong_login(org: Salesforce, session: Session) -> None:
    org.fail(faults.status(503), on="token")
    assert failure(lambda: session.query(QUERY)).reason is Reason.UNREACHABLE
    org.fail(faults.html(), on="token")
    error = failure(lambda: session.query(QUERY))
    assert (error.reason, "is this the token endpoint?" in error.hint) == (Reason.AUTH, True)


def test_no_secret_is_repeated_from_what_the_org_says(org: Salesforce, session: Session) -> None:
    session.query(QUERY)
    token = org.requests[-1].headers["Authorization"].removeprefix("Bearer ")
    org.fail(faults.status(400, "MALFORMED_QUERY", f"your token {token} of {APP.client_secret}"), on="query")
    error = failure(lambda: session.query(QUERY))
    assert "your token" in error.message
    assert token not in str(error)
    assert APP.client_secret not in str(error)


@pytest.mark.parametrize(
    "request_",
    [
        "POST /services/data/v62.0/composite/sobjects",
        "POST /services/data/v62.0/composite/sobjects/",
        "POST /services/data/v62.0/composite/sobjects/Account/Key__c",
        "POST /services/data/v62.0/sobjects/Account",
        "PATCH /services/data/v62.0/composite/sobjects/Account",
        "DELETE /services/data/v62.0/composite/sobjects?ids=1",
        "POST /services/data/v62.0/composite/batch",
        "POST /services/data/v62.0/jobs/ingest",
        "GET /services/apexrest/anything",
        "GET /services/data/v62.0/query?q=x&more=y",
        "POST /services/data/v62.0/jobs/query/750000000000001AAA",
        "GET /services/data/v62.0/jobs/query/750000000000001AAA/..",
    ],
)
def test_nothing_is_sent_that_is_not_on_the_list(org: Salesforce, session: Session, request_: str) -> None:
    method, _, target = request_.partition(" ")
    assert failure(lambda: session.ask(method, target, {})).reason is Reason.QUERY
    assert org.requests == []


def test_the_token_goes_nowhere_else(org: Salesforce, session: Session) -> None:
    elsewhere = {"Location": "https://elsewhere.example.com/"}
    redirect = Fault(name="redirect", instead=lambda: faults.Answer(status=302, headers=elsewhere))
    org.fail(redirect, on="query")
    assert "redirects are not followed" in failure(lambda: session.query(QUERY)).hint
    other = Fault(
        name="other", after=lambda a: replace(a, document=a.document | {"instance_url": "https://x.example"})
    )
    org.revoke_tokens()
    org.fail(other, on="token")
    assert session.query(QUERY)["totalSize"] == 1


def test_what_was_sent_is_on_the_list(org: Salesforce, session: Session) -> None:
    session.query(QUERY)
    session.ask("POST", f"{session.data}/composite/sobjects/Account", {"ids": ["x"], "fields": ["Id"]})
    session.head()
    sent = [f"{each.method} {each.target}" for each in org.requests if not each.path.endswith("/token")]
    assert len(sent) == 3
    assert all(any(re.fullmatch(allowed, each) for allowed in READS) for each in sent)
