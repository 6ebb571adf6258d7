"""The stand-in's tokens, REST API and Bulk API 2.0 against the vendor's documents, and each way that it can fail."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256

from tests.standins.faults import Fault, cut_off, repeated_page, skipped_page, truncated
from tests.standins.salesforce import APP, App, Field, Salesforce, faults
from tests.standins.salesforce.oauth import JWT_BEARER, LOGIN

NOON = datetime(2026, 3, 4, 12, 0, 30, 999_000, tzinfo=UTC)
DATA = "/services/data/v68.0"
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000\+0000")


@pytest.fixture
def org() -> Iterator[Salesforce]:
    with Salesforce(start=NOON) as found:
        yield found


class Caller:
    """Somebody with a token."""

    def __init__(self, org: Salesforce) -> None:
        self.http = httpx.Client(base_url=org.url)
        self.authorise()

    def token(self, **form: str) -> httpx.Response:
        return self.http.post("/services/oauth2/token", data=form)

    def authorise(self) -> None:
        form = {"grant_type": "client_credentials", "client_id": APP.client_id, "client_secret": APP.client_secret}
        self.http.headers["Authorization"] = "Bearer " + self.token(**form).json()["access_token"]

    def get(self, path: str, **values: Any) -> httpx.Response:
        return self.http.get(DATA + path, params=values)

    def query(self, text: str, path: str = "/query") -> Any:
        answer = self.get(path, q=text)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def names(self, text: str, path: str = "/query") -> list[str]:
        return [each["Name"] for each in self.query(text, path)["records"]]


@pytest.fixture
def caller(org: Salesforce) -> Iterator[Caller]:
    found = Caller(org)
    yield found
    found.http.close()


def refusal(answer: httpx.Response) -> tuple[int, str]:
    """The status and the code of an error, in the documented form."""
    body = answer.json()
    assert isinstance(body, list)
    assert {"message", "errorCode"} <= body[0].keys()
    return answer.status_code, body[0]["errorCode"]


# tokens


def test_a_token_says_whose_and_where(org: Salesforce, caller: Caller) -> None:
    form = {"grant_type": "client_credentials", "client_id": APP.client_id, "client_secret": APP.client_secret}
    found = caller.token(**form).json()
    assert found.keys() == {"access_token", "signature", "scope", "instance_url", "id", "token_type", "issued_at"}
    assert (found["instance_url"], found["token_type"]) == (org.url, "Bearer")
    assert found["issued_at"] == str(int(NOON.timestamp() * 1000))


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "invalid_request"),
        ({"grant_type": "nonsense"}, "unsupported_grant_type"),
        ({"grant_type": "client_credentials", "client_id": "nobody"}, "invalid_client_id"),
        ({"grant_type": "client_credentials", "client_id": APP.client_id, "client_secret": "x"}, "invalid_client"),
        ({"grant_type": JWT_BEARER, "assertion": "x.y.z"}, "invalid_grant"),
        (
            {"grant_type": "refresh_token", "client_id": APP.client_id, "client_secret": APP.client_secret,
             "refresh_token": "x"},
            "invalid_grant",
        ),
    ],
)  # fmt: skip
def test_the_token_endpoint_refuses(caller: Caller, form: dict[str, str], error: str) -> None:
    answer = caller.token(**form)
    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert "error_description" in answer.json()


def test_a_client_may_say_who_it_is_in_a_header(caller: Caller) -> None:
    url, form = "/services/oauth2/token", {"grant_type": "client_credentials"}
    assert caller.http.post(url, data=form, auth=(APP.client_id, APP.client_secret)).status_code == 200
    assert caller.http.post(url, data=form, auth=(APP.client_id, "wrong")).status_code == 401


def test_a_refresh_token_gives_a_new_session_until_it_is_revoked(org: Salesforce, caller: Caller) -> None:
    token = org.authority.refresh_token(APP.client_id)
    form = {"client_id": APP.client_id, "client_secret": APP.client_secret, "refresh_token": token}
    assert caller.token(grant_type="refresh_token", **form).status_code == 200
    assert caller.http.post("/services/oauth2/revoke", data={"token": token}).status_code == 200
    assert caller.token(grant_type="refresh_token", **form).json()["error"] == "invalid_grant"


def jwt(key: RSAPrivateKey, **claims: Any) -> str:
    def part(document: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")

    whole = {"iss": APP.client_id, "sub": "auditor@example.com", "aud": LOGIN}
    signed = part({"alg": "RS256"}) + "." + part({**whole, "exp": int(NOON.timestamp()) + 120, **claims})
    signature = key.sign(signed.encode(), PKCS1v15(), SHA256())
    return f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def test_a_jwt_is_taken_if_its_signature_and_claims_are_right() -> None:
    key, other = generate_private_key(65537, 2048), generate_private_key(65537, 2048)
    app = App(client_id=APP.client_id, client_secret="x", public_key=key.public_key())
    with Salesforce(start=NOON, apps=[app]) as org, httpx.Client(base_url=org.url) as http:

        def tried(assertion: str) -> str:
            form = {"grant_type": JWT_BEARER, "assertion": assertion}
            found = http.post("/services/oauth2/token", data=form).json()
            return str(found.get("error_description", found.get("token_type")))

        assert tried(jwt(key)) == "Bearer"
        assert tried(jwt(key, aud=org.url)) == "Bearer"
        assert tried(jwt(other)) == "invalid assertion"
        assert tried(jwt(key)[:-8] + "AAAAAAAA") == "invalid assertion"
        assert tried(jwt(key, aud="https://example.com")) == "audience is invalid"
        assert tried(jwt(key, exp=int(NOON.timestamp()) - 1)) == "expired assertion"
        assert tried(jwt(key, exp=int(NOON.timestamp()) + 3600)) == "expiry is too far ahead"
        assert tried(jwt(key, sub="stranger@example.com")) == "user hasn't approved this consumer"
        assert tried(jwt(key, iss="nobody")) == "client identifier invalid"


def test_a_session_ends_after_its_timeout_without_a_call(org: Salesforce, caller: Caller) -> None:
    for _ in range(3):
        org.clock.advance(5_000)
        assert caller.get("/limits").status_code == 200
    org.clock.advance(7_201)
    answer = caller.get("/limits")
    assert refusal(answer) == (401, "INVALID_SESSION_ID")
    assert "WWW-Authenticate" in answer.headers
    caller.authorise()
    assert caller.get("/limits").status_code == 200


def test_tokens_are_revoked_in_the_midst_of_a_run(org: Salesforce, caller: Caller) -> None:
    org.revoke_tokens(after_calls=2)
    assert [caller.get("/limits").status_code for _ in range(4)] == [200, 200, 401, 401]
    caller.authorise()
    assert caller.get("/limits").status_code == 200


def test_nobody_reads_without_a_token(org: Salesforce) -> None:
    assert httpx.get(org.url + DATA + "/limits").status_code == 401
    assert httpx.get(org.url + "/services/data").json()[-1]["version"] == "68.0"


# queries and records


def test_a_record_looks_as_documented(org: Salesforce, caller: Caller) -> None:
    account = org.put("Account", Name="Acme", AnnualRevenue=350_000_000, Balance__c="12.50", Regions__c="North;East")
    contact = org.put("Contact", LastName="Lee", AccountId=account)
    lone = org.put("Contact", LastName="Solo")
    text = "SELECT id, lastname, Account.Name, Account.Balance__c FROM Contact ORDER BY LastName"
    found = caller.query(text)
    assert (found["totalSize"], found["done"]) == (2, True)
    assert "nextRecordsUrl" not in found
    assert found["records"][0] == {
        "attributes": {"type": "Contact", "url": f"{DATA}/sobjects/Contact/{contact}"},
        "Id": contact,
        "LastName": "Lee",
        "Account": {
            "attributes": {"type": "Account", "url": f"{DATA}/sobjects/Account/{account}"},
            "Name": "Acme",
            "Balance__c": 12.5,
        },
    }
    assert found["records"][1] | {"attributes": None} == {
        "attributes": None, "Id": lone, "LastName": "Solo", "Account": None,
    }  # fmt: skip
    whole = caller.get(f"/sobjects/Account/{account[:15]}").json()
    assert {name for name in whole if name != "attributes"} == {each.name for each in org.store.objects["account"]}
    assert INSTANT.fullmatch(whole["SystemModstamp"])
    assert (whole["CurrencyIsoCode"], whole["Regions__c"], whole["Phone"]) == ("EUR", "North;East", None)
    assert '"AnnualRevenue":3.5E8' in caller.get(f"/sobjects/account/{account}", fields="AnnualRevenue").text


def test_an_org_with_one_currency_has_no_currency_field() -> None:
    with Salesforce(start=NOON, multi_currency=False) as org:
        caller = Caller(org)
        assert refusal(caller.get("/query", q="SELECT CurrencyIsoCode FROM Account")) == (400, "INVALID_FIELD")
        caller.http.close()


def pages(caller: Caller, text: str, path: str = "/query", headers: dict[str, str] | None = None) -> list[list[str]]:
    answer = caller.http.get(DATA + path, params={"q": text}, headers=headers or {}).json()
    found = [[each["Id"] for each in answer["records"]]]
    while not answer["done"]:
        answer = caller.http.get(answer["nextRecordsUrl"]).json()
        found.append([each["Id"] for each in answer["records"]])
    return found


def many(org: Salesforce, count: int) -> list[str]:
    with org.begin() as people:
        return [people.put("Account", {"Name": f"A{number:05}"}) for number in range(count)]


def test_pages_hold_2000_records_or_what_was_asked_for(org: Salesforce, caller: Caller) -> None:
    known = many(org, 4_500)
    text = "SELECT Id FROM Account ORDER BY Name"
    found = pages(caller, text)
    assert [len(page) for page in found] == [2_000, 2_000, 500]
    assert list(chain.from_iterable(found)) == known
    asked = {"Sforce-Query-Options": "batchSize=1500"}
    assert [len(page) for page in pages(caller, text, headers=asked)] == [1_500] * 3
    asked = {"Sforce-Query-Options": "batchSize=1"}
    assert len(pages(caller, text + " LIMIT 400", headers=asked)) == 2
    org.rest.page_size = 900
    assert [len(page) for page in pages(caller, text)] == [900] * 5


def test_the_pages_of_query_all_show_the_recycle_bin(org: Salesforce, caller: Caller) -> None:
    known = many(org, 300)
    org.rest.page_size = 100
    with org.begin() as people:
        for each in known[:150]:
            people.delete(each)
    assert sorted(chain.from_iterable(pages(caller, "SELECT Id FROM Account", "/queryAll"))) == sorted(known)
    assert sorted(chain.from_iterable(pages(caller, "SELECT Id FROM Account"))) == sorted(known[150:])


def test_a_query_locator_lives_two_days(org: Salesforce, caller: Caller) -> None:
    many(org, 20)
    org.rest.page_size = 10
    address = caller.query("SELECT Id FROM Account")["nextRecordsUrl"]
    org.clock.advance(47 * 3600)
    caller.authorise()
    assert caller.http.get(address).status_code == 200
    org.clock.advance(2 * 3600)
    caller.authorise()
    assert refusal(caller.http.get(address)) == (400, "INVALID_QUERY_LOCATOR")
    assert refusal(caller.get("/query/01gHu0000000999AAA-10")) == (400, "INVALID_QUERY_LOCATOR")


def test_a_count_has_no_records(org: Salesforce, caller: Caller) -> None:
    many(org, 7)
    assert caller.query("SELECT COUNT() FROM Account WHERE Name >= 'A00003'") == {
        "totalSize": 4, "done": True, "records": [],
    }  # fmt: skip


def test_a_record_that_is_not_there_says_why(org: Salesforce, caller: Caller) -> None:
    gone, purged = org.put("Account", Name="Gone"), org.put("Account", Name="Purged")
    org.delete(gone)
    org.delete(purged, purge=True)
    assert refusal(caller.get(f"/sobjects/Account/{gone}")) == (404, "ENTITY_IS_DELETED")
    assert refusal(caller.get(f"/sobjects/Account/{purged}")) == (404, "NOT_FOUND")
    assert refusal(caller.get("/sobjects/Account/003Hu0000000001AAA")) == (400, "MALFORMED_ID")
    assert refusal(caller.get("/sobjects/Account/nonsense")) == (400, "MALFORMED_ID")
    assert refusal(caller.get("/sobjects/Nothing/describe")) == (404, "NOT_FOUND")
    assert caller.names("SELECT Name FROM Account", "/queryAll") == ["Gone"]
    org.undelete(gone)
    assert caller.get(f"/sobjects/Account/{gone}").status_code == 200


def test_a_record_by_its_external_id(org: Salesforce, caller: Caller) -> None:
    one = org.put("Account", Name="One", Customer_Number__c="C/1 ö", Legacy_Code__c="L")
    two = org.put("Account", Name="Two", Legacy_Code__c="l")
    assert caller.get("/sobjects/Account/Customer_Number__c/c%2F1%20%C3%96").json()["Id"] == one
    several = caller.get("/sobjects/Account/Legacy_Code__c/L")
    assert several.status_code == 300
    assert several.json() == [f"{DATA}/sobjects/Account/{each}" for each in (one, two)]
    assert refusal(caller.get("/sobjects/Account/Customer_Number__c/none")) == (404, "NOT_FOUND")
    assert refusal(caller.get("/sobjects/Account/Name/One")) == (404, "NOT_FOUND")
    org.update(one, Customer_Number__c=None)
    assert refusal(caller.get("/sobjects/Account/Customer_Number__c/c%2F1%20%C3%96")) == (404, "NOT_FOUND")


def test_a_unique_field_has_a_value_once(org: Salesforce) -> None:
    org.put("Account", Name="One", Customer_Number__c="C-1", Token__c="t")
    with pytest.raises(ValueError, match="DUPLICATE_VALUE"):
        org.put("Account", Name="Two", Customer_Number__c="c-1")
    org.put("Account", Name="Two", Token__c="T")


def test_many_records_by_their_ids(org: Salesforce, caller: Caller) -> None:
    one, two = org.put("Account", Name="One"), org.put("Account", Name="Two")
    org.delete(two)
    path, fields = "/composite/sobjects/Account", ["id", "name"]
    asked = [one, two, one[:15], "nonsense", "003Hu0000000001AAA"]
    found = caller.http.post(DATA + path, json={"ids": asked, "fields": fields}).json()
    expected = {"attributes": {"type": "Account", "url": f"{DATA}/sobjects/Account/{one}"}, "Id": one, "Name": "One"}
    assert found == [expected, None, expected, None, None]
    assert caller.get(path, ids=",".join(asked), fields="id,name").json() == found
    wrong = caller.http.post(DATA + path, json={"ids": [one], "fields": ["Nothing"]})
    assert refusal(wrong) == (400, "INVALID_FIELD")
    full = {"ids": [one] * 2_000, "fields": ["Id"]}
    assert len(caller.http.post(DATA + path, json=full).json()) == 2_000
    full["ids"].append(one)
    assert refusal(caller.http.post(DATA + path, json=full)) == (400, "EXCEEDED_ID_LIMIT")


def test_a_uri_and_its_headers_have_a_length(org: Salesforce, caller: Caller) -> None:
    one = org.put("Account", Name="One")
    path = "/composite/sobjects/Account?fields=Id&ids="
    assert len(caller.http.get(DATA + path + ",".join([one] * 800)).json()) == 800
    assert refusal(caller.http.get(DATA + path + ",".join([one] * 900)))[0] == 414
    long = {"X-Long": "x" * 16_300}
    assert refusal(caller.http.get(f"{DATA}/sobjects/Account/{one}?fields=Id", headers=long))[0] == 431


def test_a_batch_is_as_many_calls_as_it_holds(org: Salesforce, caller: Caller) -> None:
    one = org.put("Account", Name="One")
    asked = [
        {"method": "GET", "url": f"v68.0/sobjects/Account/{one}?fields=Name"},
        {"method": "GET", "url": "v68.0/query?q=SELECT+Name+FROM+Account"},
        {"method": "GET", "url": "v68.0/query?q=SELECT+Nothing+FROM+Account"},
        {"method": "GET", "url": "v68.0/limits"},
    ]
    url = f"{DATA}/composite/batch"
    found = caller.http.post(url, json={"batchRequests": asked}).json()
    assert found["hasErrors"] is True
    assert [each["statusCode"] for each in found["results"]] == [200, 200, 400, 200]
    assert found["results"][2]["result"][0]["errorCode"] == "INVALID_FIELD"
    assert org.limits.used == 4
    halted = caller.http.post(url, json={"batchRequests": asked, "haltOnError": True}).json()
    assert [each["statusCode"] for each in halted["results"]] == [200, 200, 400, 412]
    assert caller.http.post(url, json={"batchRequests": asked[:1] * 26}).status_code == 400


def test_nothing_writes(org: Salesforce, caller: Caller) -> None:
    one = org.put("Account", Name="One")
    for method in ("POST", "PATCH", "PUT", "DELETE"):
        answer = caller.http.request(method, f"{DATA}/sobjects/Account/{one}", json={"Name": "Two"})
        assert refusal(answer) == (405, "METHOD_NOT_ALLOWED")
    assert (org.get(one) or {})["Name"] == "One"


def test_describe_tells_types_keys_labels_and_when_it_changed(org: Salesforce, caller: Caller) -> None:
    answer = caller.get("/sobjects/Account/describe")
    found = {each["name"]: each for each in answer.json()["fields"]}
    assert found["Customer_Number__c"]["externalId"]
    assert found["Customer_Number__c"]["unique"]
    assert [each["value"] for each in found["Regions__c"]["picklistValues"]] == ["North", "East", "South", "West"]
    assert (found["Balance__c"]["type"], found["Balance__c"]["scale"]) == ("currency", 2)
    asked = {"If-Modified-Since": answer.headers["Last-Modified"]}
    assert caller.http.get(f"{DATA}/sobjects/Account/describe", headers=asked).status_code == 304
    org.clock.advance(5)
    org.drop_field("Account", "Phone")
    org.set_field("Account", Field(name="Industry", type="string", length=10))
    changed = {each["name"]: each for each in caller.http.get(f"{DATA}/sobjects/Account/describe").json()["fields"]}
    assert "Phone" not in changed
    assert changed["Industry"]["type"] == "string"
    assert refusal(caller.get("/query", q="SELECT Phone FROM Account")) == (400, "INVALID_FIELD")
    assert {each["name"] for each in caller.get("/sobjects").json()["sobjects"]} >= {"Account", "Subscription__c"}


# stamps, late commits, replication


def iso(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%S+00:00")


def span(caller: Caller, what: str, start: datetime, end: datetime, of: str = "Account") -> httpx.Response:
    return caller.get(f"/sobjects/{of}/{what}", start=iso(start), end=iso(end))


def test_stamps_are_of_whole_seconds_and_the_system_has_one_of_its_own(org: Salesforce, caller: Caller) -> None:
    one = org.put("Account", Name="One")
    org.clock.advance(10)
    org.touch(one)
    found = caller.get(f"/sobjects/Account/{one}").json()
    assert found["LastModifiedDate"] == "2026-03-04T12:00:30.000+0000"
    assert found["SystemModstamp"] == "2026-03-04T12:00:40.000+0000"


def test_a_long_transaction_commits_with_the_stamps_it_wrote(org: Salesforce, caller: Caller) -> None:
    batch = org.begin()
    one = batch.put("Account", {"Name": "Early"})
    org.clock.advance(300)
    org.put("Account", Name="Late")
    text = "SELECT Id, Name, SystemModstamp FROM Account ORDER BY SystemModstamp"
    assert caller.names(text) == ["Late"]
    end = NOON + timedelta(seconds=360)
    covered = span(caller, "updated", NOON - timedelta(minutes=1), end).json()["latestDateCovered"]
    assert covered == "2026-03-04T12:00:30.000+0000"
    org.clock.advance(60)
    batch.commit()
    assert caller.names(text) == ["Early", "Late"]
    assert caller.query(text)["records"][0]["SystemModstamp"] == "2026-03-04T12:00:30.000+0000"
    found = span(caller, "updated", NOON - timedelta(minutes=1), end).json()
    assert found["ids"][0] == one
    assert found["latestDateCovered"] == "2026-03-04T12:06:00.000+0000"


def test_a_transaction_that_is_rolled_back_was_never_there(org: Salesforce, caller: Caller) -> None:
    batch = org.begin()
    batch.put("Account", {"Name": "Never"})
    batch.roll_back()
    assert caller.names("SELECT Name FROM Account", "/queryAll") == []


def test_get_updated_ignores_seconds_and_has_its_limits(org: Salesforce, caller: Caller) -> None:
    one = org.put("Account", Name="One")
    org.delete(org.put("Account", Name="Gone"))
    org.clock.advance(600)
    assert span(caller, "updated", NOON, NOON + timedelta(minutes=5)).json()["ids"] == [one]
    assert refusal(span(caller, "updated", NOON, NOON)) == (400, "INVALID_REPLICATION_DATE")
    assert refusal(span(caller, "updated", NOON - timedelta(days=32), NOON)) == (400, "INVALID_REPLICATION_DATE")
    plain = caller.http.get(
        f"{DATA}/sobjects/Account/updated/?start=2026-03-04T12:00:00+00:00&end=2026-03-04T12:05:00Z"
    )
    assert refusal(plain) == (400, "INVALID_REPLICATION_DATE")
    org.rest.most_updated = 0
    assert refusal(span(caller, "updated", NOON, NOON + timedelta(minutes=5))) == (400, "EXCEEDED_ID_LIMIT")


def test_get_deleted_tells_ids_and_how_far_its_log_reaches(org: Salesforce, caller: Caller) -> None:
    one, two = org.put("Account", Name="One"), org.put("Account", Name="Two")
    org.clock.advance(60)
    org.delete(one)
    org.delete(two, purge=True)
    org.clock.advance(60)
    end = NOON + timedelta(minutes=2)
    found = span(caller, "deleted", NOON - timedelta(days=1), end).json()
    assert found["deletedRecords"] == [
        {"id": each, "deletedDate": "2026-03-04T12:01:30.000+0000"} for each in (one, two)
    ]
    assert found.keys() == {"deletedRecords", "earliestDateAvailable", "latestDateCovered"}
    org.undelete(one)
    assert [each["id"] for each in span(caller, "deleted", NOON, end).json()["deletedRecords"]] == [two]
    assert refusal(span(caller, "deleted", NOON - timedelta(days=17), NOON)) == (400, "INVALID_REPLICATION_DATE")
    org.store.forget_deletions("Account", NOON + timedelta(hours=1))
    assert refusal(span(caller, "deleted", NOON, end)) == (400, "INVALID_REPLICATION_DATE")


def test_an_index_that_lags_shows_the_org_as_it_was(org: Salesforce, caller: Caller) -> None:
    one = org.put("Account", Name="One")
    org.clock.advance(100)
    org.update(one, Name="Two")
    org.lag(30)
    assert caller.names("SELECT Name FROM Account") == ["One"]
    assert caller.get(f"/sobjects/Account/{one}").json()["Name"] == "Two"
    org.clock.advance(30)
    assert caller.names("SELECT Name FROM Account") == ["Two"]


# limits


def test_calls_are_counted_over_24_rolling_hours_and_never_one_more_is_answered() -> None:
    with Salesforce(start=NOON, daily=3) as org:
        caller = Caller(org)
        seen = []
        for _ in range(5):
            answer = caller.get("/limits")
            seen.append((answer.status_code, answer.headers["Sforce-Limit-Info"]))
        assert (
            seen
            == [(200, "api-usage=1/3"), (200, "api-usage=2/3"), (200, "api-usage=3/3")] + [(403, "api-usage=3/3")] * 2
        )
        assert refusal(caller.get("/limits")) == (403, "REQUEST_LIMIT_EXCEEDED")
        org.clock.advance(24 * 3600)
        caller.authorise()
        assert caller.get("/limits").json()["DailyApiRequests"] == {"Max": 3, "Remaining": 2}
        assert org.calls == {"token": 2, "limits": 7}
        caller.http.close()


def test_versions_and_resources_that_are_not_there(caller: Caller) -> None:
    assert refusal(caller.http.get("/services/data/v99.0/limits")) == (404, "NOT_FOUND")
    assert refusal(caller.get("/nothing")) == (404, "NOT_FOUND")
    assert caller.http.get("/services/data/v68.0").json()["query"] == f"{DATA}/query"


def test_it_listens_on_loopback_alone(org: Salesforce) -> None:
    host, port = httpx.URL(org.url).host, httpx.URL(org.url).port
    assert host == "127.0.0.1"
    with socket.socket() as tried:
        tried.bind(("127.0.0.2", port or 0))  # nobody has taken the port on other addresses


# Bulk API 2.0


def job(caller: Caller, text: str, operation: str = "query", **more: str) -> Any:
    answer = caller.http.post(f"{DATA}/jobs/query", json={"operation": operation, "query": text, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def results(caller: Caller, job_id: str, **values: Any) -> httpx.Response:
    return caller.get(f"/jobs/query/{job_id}/results", **values)


def test_a_job_is_created_waited_for_and_read_in_sets(org: Salesforce, caller: Caller) -> None:
    known = many(org, 25)
    org.rest.jobs.queued_s, org.rest.jobs.running_s = 10, 10
    made = job(caller, "SELECT Id, Name FROM Account ORDER BY Name")
    assert {"id", "operation", "object", "createdById", "createdDate", "systemModstamp", "state", "concurrencyMode",
            "contentType", "apiVersion", "lineEnding", "columnDelimiter"} == made.keys()  # fmt: skip
    states = []
    for _ in range(3):
        states.append(caller.get(f"/jobs/query/{made['id']}").json()["state"])
        early = results(caller, made["id"])
        org.clock.advance(10)
        if states[-1] != "JobComplete":
            assert (early.status_code, early.content) == (204, b"")
    assert states == ["UploadComplete", "InProgress", "JobComplete"]
    assert caller.get(f"/jobs/query/{made['id']}").json()["numberRecordsProcessed"] == 25
    found, locators, locator = [], [], ""
    while locator != "null":
        answer = results(caller, made["id"], maxRecords=10, **({"locator": locator} if locator else {}))
        assert (answer.headers["Content-Type"], answer.headers["Content-Encoding"]) == ("text/csv", "gzip")
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        assert len(rows) == int(answer.headers["Sforce-NumberOfRecords"])
        found += [row["Id"] for row in rows]
        locator = answer.headers["Sforce-Locator"]
        locators.append(locator)
    assert (found, len(set(locators))) == (known, 3)


def test_a_job_writes_values_as_csv(org: Salesforce, caller: Caller) -> None:
    name = 'A "quoted", name\nwith lines'
    account = org.put("Account", Name=name, AnnualRevenue=10, Active__c=True, Renewal__c="2026-01-02")
    org.delete(org.put("Contact", LastName="Lee", AccountId=account))
    made = job(caller, "SELECT Name, AnnualRevenue, Active__c, Renewal__c, Phone, CreatedDate FROM Account")
    rows = list(csv.reader(io.StringIO(results(caller, made["id"]).text, newline="")))
    assert rows[1:] == [[name, "10.0", "true", "2026-01-02", "", "2026-03-04T12:00:30.000Z"]]
    made = job(caller, "SELECT Account.Name FROM Contact", "queryAll", columnDelimiter="PIPE", lineEnding="CRLF")
    assert results(caller, made["id"]).text.startswith('"Account.Name"\r\n"A ')


def test_a_job_reads_the_org_as_it_is_when_it_begins(org: Salesforce, caller: Caller) -> None:
    one = org.put("Account", Name="One")
    org.rest.jobs.queued_s = 60
    made = job(caller, "SELECT Name FROM Account")
    org.clock.advance(30)
    org.update(one, Name="Two")
    org.clock.advance(60)
    org.update(one, Name="Three")
    assert results(caller, made["id"]).text == '"Name"\n"Two"\n'


def test_jobs_fail_end_and_go(org: Salesforce, caller: Caller) -> None:
    assert refusal(
        caller.http.post(f"{DATA}/jobs/query", json={"operation": "query", "query": "SELECT Nothing FROM Account"})
    ) == (400, "INVALID_FIELD")
    failed = caller.get(f"/jobs/query/{job(caller, 'SELECT Id FROM Account OFFSET 5')['id']}").json()
    assert (failed["state"], "OFFSET" in failed["errorMessage"]) == ("Failed", True)
    org.rest.jobs.failing = "QUERY_TIMEOUT: Your query request was running for too long."
    made = job(caller, "SELECT Id FROM Account")
    assert caller.get(f"/jobs/query/{made['id']}").json()["errorMessage"].startswith("QUERY_TIMEOUT")
    assert results(caller, made["id"]).status_code == 204
    done = job(caller, "SELECT Id FROM Account")
    older = f"/services/data/v60.0/jobs/query/{done['id']}/results"
    assert refusal(caller.http.get(older))[0] == 409
    org.rest.jobs.queued_s = 60
    waiting = job(caller, "SELECT Id FROM Account")
    url = f"{DATA}/jobs/query/{waiting['id']}"
    assert caller.http.delete(url).status_code == 400
    assert caller.http.patch(url, json={"state": "Aborted"}).json()["state"] == "Aborted"
    assert caller.http.delete(url).status_code == 204
    assert refusal(caller.http.get(url)) == (404, "NOT_FOUND")
    org.clock.advance(8 * 24 * 3600)
    caller.authorise()
    assert refusal(results(caller, done["id"])) == (404, "NOT_FOUND")
    assert caller.get("/jobs/query").json()["records"] == []


def test_jobs_have_a_quota_of_their_own(org: Salesforce, caller: Caller) -> None:
    org.limits.jobs = 1
    job(caller, "SELECT Id FROM Account")
    second = caller.http.post(f"{DATA}/jobs/query", json={"operation": "query", "query": "SELECT Id FROM Account"})
    assert second.status_code == 400
    assert caller.get("/limits").json()["DailyBulkV2QueryJobs"] == {"Max": 1, "Remaining": 0}


# what goes wrong


@pytest.mark.parametrize("code", [401, 403, 404, 409, 429, 500, 503])
def test_the_next_calls_of_a_kind_get_a_status(org: Salesforce, caller: Caller, code: int) -> None:
    org.fail(faults.status(code, retry_after="7"), on="query", times=2)
    text = "SELECT Id FROM Account"
    assert caller.get("/limits").status_code == 200
    answers = [caller.get("/query", q=text) for _ in range(3)]
    assert [each.status_code for each in answers] == [code, code, 200]
    assert answers[0].headers["Retry-After"] == "7"
    assert isinstance(answers[0].json()[0]["errorCode"], str)
    org.fail(faults.status(code))
    assert "Retry-After" not in caller.get("/limits").headers


def test_the_token_endpoint_fails_too(org: Salesforce, caller: Caller) -> None:
    org.fail(faults.status(500), on="token")
    assert caller.token(grant_type="client_credentials").status_code == 500


def test_200_that_is_no_answer(org: Salesforce, caller: Caller) -> None:
    org.fail(faults.html(), on="query")
    org.fail(faults.error_body(), on="query")
    first, second = (caller.get("/query", q="SELECT Id FROM Account") for _ in range(2))
    assert (first.status_code, first.headers["Content-Type"].partition(";")[0]) == (200, "text/html")
    assert (second.status_code, second.json()[0]["errorCode"]) == (200, "QUERY_TIMEOUT")


def test_an_answer_ends_too_early(org: Salesforce, caller: Caller) -> None:
    many(org, 50)
    org.fail(truncated(), on="query")
    cut = caller.get("/query", q="SELECT Id FROM Account")
    assert cut.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        cut.json()
    org.fail(cut_off(), on="query")
    with pytest.raises(httpx.RemoteProtocolError):
        caller.get("/query", q="SELECT Id FROM Account")


def test_an_answer_that_does_not_end(org: Salesforce, caller: Caller) -> None:
    org.fail(faults.endless(), on="query")
    read = 0
    with caller.http.stream("GET", f"{DATA}/query", params={"q": "SELECT Id FROM Account"}) as answer:
        for part in answer.iter_raw():
            read += len(part)
            if read > 20_000_000:
                break
    assert read > 20_000_000


@pytest.mark.parametrize(("fault", "seen"), [(repeated_page, [0, 0, 1, 2]), (skipped_page, [0, 2])])
def test_pages_repeat_or_are_left_out(
    org: Salesforce, caller: Caller, fault: Callable[[], Fault], seen: list[int]
) -> None:
    known = many(org, 30)
    org.rest.page_size = 10
    org.fail(fault(), on="query_more")
    found = pages(caller, "SELECT Id FROM Account ORDER BY Name")
    assert [known.index(page[0]) // 10 for page in found] == seen


def test_the_clock_jumps_and_so_does_the_date_header(org: Salesforce, caller: Caller) -> None:
    assert caller.get("/limits").headers["Date"] == "Wed, 04 Mar 2026 12:00:30 GMT"
    org.clock.advance(-3_600)
    assert caller.get("/limits").headers["Date"] == "Wed, 04 Mar 2026 11:00:30 GMT"


def test_what_was_asked_is_kept_and_counted(org: Salesforce, caller: Caller) -> None:
    caller.query("SELECT Id FROM Account")
    caller.get("/limits")
    assert org.calls == {"token": 1, "query": 1, "limits": 1}
    assert [each.path for each in org.requests] == ["/services/oauth2/token", f"{DATA}/query", f"{DATA}/limits"]
