"""A tape holds no secret, and a probe reads from it what it read from the server."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from probes.http.line import Line
from probes.records.rest.probe import RestProbe
from probes.records.rest.settings import RestBinding, RestSettings
from probes.records.salesforce.probe import SalesforceProbe
from probes.records.salesforce.settings import SalesforceBinding, SalesforceSettings
from tests.cassette import recording, replaying
from tests.http_api import Api, Response
from tests.standins import faults
from tests.standins.hubspot import PRIVATE_APP_TOKEN, HubSpot
from tests.standins.oauth import CLIENT_ID, CLIENT_SECRET, OAuth
from tests.standins.salesforce import APP, Salesforce

BUDGET = {"budget": {"timeout": 30, "connections": 1}}
MANY = RestBinding.model_validate({"collection": "customers", "key": "id", "many": "/{collection}?ids={keys}"})
READ = MANY.spec("customer", ["name"], zone=None)


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    return tmp_path / "tape.json"


@pytest.fixture
def server() -> Iterator[OAuth]:
    with OAuth() as found:
        yield found


def rest(url: str, line: Line, **words: Any) -> RestProbe:
    return RestProbe(RestSettings.model_validate({"kind": "rest", "url": url, **BUDGET, **words}), line)


def oauth(server: OAuth) -> dict[str, Any]:
    words = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "refresh_token": server.refresh_token()}
    return {"kind": "oauth2_refresh_token", "token_url": server.token_url, **words}


def test_what_was_recorded_is_read_with_nothing_listening(server: OAuth, tape: Path) -> None:
    words = {"auth": oauth(server)}

    def read(line: Line) -> list[Any]:
        probe = rest(f"{server.url}/api", line, **words)
        found = [probe.fetch(READ, ["c1", "none"]), probe.fetch(READ, ["c2"])]
        probe.close()
        return found

    with recording(tape) as recorder:
        recorded = read(Line(connect=recorder))
    server.close()
    with replaying(tape) as player:
        assert read(Line(connect=player)) == recorded == [[("c1", None, "n1")], [("c2", None, "n2")]]


def test_a_tape_holds_no_secret(server: OAuth, tape: Path) -> None:
    server.rotates, server.further = True, {"id_token": "an-identity", "signature": "a-signature"}
    words = oauth(server)
    with recording(tape, secrets=["query-secret"]) as recorder:
        probe = rest(f"{server.url}/api?api_key=named-secret&x=query-secret", Line(connect=recorder), auth=words)
        probe.fetch(READ, ["c1"])
        server.revoke()
        probe.fetch(READ, ["c1"])  # the API repeats the token that it refuses
        probe.close()
    text = tape.read_text()
    known = [*server.issued, CLIENT_SECRET, words["refresh_token"], "an-identity", "a-signature"]
    for secret in (*known, "named-secret", "query-secret", *server._refresh):
        for form in (secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode()):
            assert form not in text
    assert "Authorization" not in text
    kept = json.loads(text)
    assert [each["asked"]["signed_in"] for each in kept] == [False, True, True, False, True]
    assert kept[0]["answered"]["json"]["access_token"].startswith("access_token-")
    with replaying(tape) as player:
        probe = rest(f"{server.url}/api?api_key=another&x=query-secret", Line(connect=player), auth=words)
        with pytest.raises(AssertionError, match="never recorded"):
            probe.fetch(READ, ["c1"])  # the parameter is another one, since the tape knows no secret any more
        for each in player.tape.exchanges:
            each["played"] = True


def test_a_request_that_was_never_recorded_fails(server: OAuth, tape: Path) -> None:
    with recording(tape) as recorder:
        rest(f"{server.url}/api", Line(connect=recorder), auth=oauth(server)).fetch(READ, ["c1"])
    with replaying(tape) as player:
        probe = rest(f"{server.url}/api", Line(connect=player), auth=oauth(server))
        probe.fetch(READ, ["c1"])
        for keys in (["c1"], ["c2"]):
            with pytest.raises(AssertionError, match="never recorded, or not so often"):
                probe.fetch(READ, keys)


def test_a_recorded_request_that_is_not_sent_fails(server: OAuth, tape: Path) -> None:
    with recording(tape) as recorder:
        rest(f"{server.url}/api", Line(connect=recorder), auth=oauth(server)).fetch(READ, ["c1"])
    with pytest.raises(AssertionError, match="recorded, and not sent"), replaying(tape):
        pass


@pytest.mark.parametrize("fault", [faults.refused(500), faults.page_of_a_proxy(), faults.truncated()])
def test_a_failure_is_replayed_as_it_was(server: OAuth, tape: Path, fault: faults.Fault) -> None:
    def failed(line: Line) -> str:
        from tests.probes.http.connected import failure

        probe = rest(f"{server.url}/api", line, auth=words)
        return str(failure(lambda: probe.fetch(READ, ["c1"])))

    words = oauth(server)
    server.fail(fault, on="many")
    with recording(tape) as recorder:
        recorded = failed(Line(connect=recorder))
    with replaying(tape) as player:
        assert failed(Line(connect=player)) == recorded


@pytest.mark.parametrize("number", ["0.1000000000000000055", "1e3", "1.50", "12345678901234567890", "-0.5", "1E400"])
def test_numbers_stay_exact(tape: Path, number: str) -> None:
    api = Api(lambda _: Response(document=f'[{{"id": "c1", "name": {number}}}]'.encode()))

    def read(line: Line) -> Any:
        return rest(api.url, line).fetch(READ, ["c1"])[0][2]

    with recording(tape) as recorder:
        assert read(Line(connect=recorder)) == Decimal(number)
    api.close()
    with replaying(tape) as player:
        assert read(Line(connect=player)) == Decimal(number)


def test_hubspots_search_by_post_and_its_limits_are_replayed(tape: Path) -> None:
    binding = RestBinding.model_validate(
        {
            **{"collection": "contacts", "key": "id", "fields": {"email": "$.properties.email"}},
            "many": {
                "read_only_post": "/crm/v3/objects/{collection}/batch/read",
                "body": {"inputs": [{"id": "{key}"}], "properties": ["email"]},
            },
            **{"list": "/crm/v3/objects/{collection}?limit={limit}&after={after}", "limit": 1},
            **{"records": "$.results[*]", "next": "$.paging.next.after"},
        }
    )
    spec = binding.spec("contact", ["email"], zone=None)

    def read(line: Line) -> list[Any]:
        probe = rest(hub.url, line, auth={"kind": "bearer", "token": PRIVATE_APP_TOKEN})
        first = probe.page(spec, None, 1)
        keys = [row[0] for row in (*first.rows, *probe.page(spec, first.next, 1).rows)]
        return [keys, sorted(map(tuple, probe.fetch(spec, keys)))]

    with HubSpot() as hub:
        for name in ("a", "b"):
            hub.create("contacts", email=f"{name}@example.com")
        with recording(tape, secrets=[PRIVATE_APP_TOKEN]) as recorder:
            recorded = read(Line(connect=recorder))
    assert PRIVATE_APP_TOKEN not in tape.read_text()
    assert "x-hubspot-ratelimit-remaining" in tape.read_text()
    with replaying(tape) as player:
        assert read(Line(connect=player)) == recorded


def test_salesforce_is_replayed_with_its_token_and_its_pages(tape: Path) -> None:
    spec = SalesforceBinding(collection="Account", key="Name").spec("account", ["Name"], zone=None)

    def read(line: Line) -> list[Any]:
        words = {"client_id": APP.client_id, "client_secret": APP.client_secret, "url": org.url, **BUDGET}
        probe = SalesforceProbe(SalesforceSettings.model_validate({"kind": "salesforce", **words}), line)
        found = sorted(map(tuple, probe.fetch(spec, ["A", "B", "C"])))
        probe.close()
        return found

    with Salesforce() as org:
        org.rest.page_size = 2
        for name in ("A", "B", "C"):
            org.put("Account", Name=name)
        with recording(tape) as recorder:
            recorded = read(Line(connect=recorder))
    assert len(recorded) == 3
    assert APP.client_secret not in tape.read_text()
    assert "sforce-limit-info" in tape.read_text()
    with replaying(tape) as player:
        assert read(Line(connect=player)) == recorded
