"""The generic kind signed in as the map says, against an authorization server and an API on loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from auditor.map.loader import load_map
from auditor.systems.reader import SystemReader
from probes import registry
from probes.contract import ProbeError, ReadSpec, Reason
from probes.records.rest.probe import RestProbe
from probes.records.rest.settings import RestBinding, RestSettings
from tests.http_api import Api, Request, Response
from tests.standins import faults
from tests.standins.clock import Clock
from tests.standins.oauth import CLIENT_ID, CLIENT_SECRET, OAuth

DEADLINE = {"budget": {"timeout": 30, "connections": 4}}


@pytest.fixture
def server() -> Iterator[OAuth]:
    with OAuth(clock=Clock()) as found:
        yield found


def app(server: OAuth, **more: Any) -> dict[str, Any]:
    words = {"kind": "oauth2_client_credentials", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    return {**words, "token_url": server.token_url, **more}


def settings(url: str, **more: Any) -> RestSettings:
    return RestSettings.model_validate({"kind": "rest", "url": url, **DEADLINE, **more})


@pytest.fixture
def probe(server: OAuth) -> Iterator[RestProbe]:
    found = RestProbe(settings(f"{server.url}/api", auth=app(server)))
    yield found
    found.close()


def spec(**words: Any) -> ReadSpec:
    binding = RestBinding.model_validate({"collection": "customers", "key": "id", **words})
    return binding.spec("customer", ["name"], zone="UTC")


ONE = spec(one="/{collection}/{key}")
MANY = spec(many="/{collection}?ids={keys}")
POST = spec(many={"read_only_post": "/{collection}/search", "body": {"ids": "{keys}"}})


def failure(call: Callable[[], object]) -> ProbeError:
    with pytest.raises(ProbeError) as failed:
        call()
    return failed.value


@pytest.mark.parametrize("of", [ONE, MANY, POST], ids=["one", "many", "post"])
def test_records_are_read_with_one_token(server: OAuth, probe: RestProbe, of: ReadSpec) -> None:
    rows = probe.fetch(of, ["c1", "c2", "c3", "none"])
    assert sorted(map(tuple, rows)) == [(f"c{number}", None, f"n{number}") for number in (1, 2, 3)]
    assert server.count("token") == 1


def test_a_token_revoked_in_the_middle_of_a_run_is_renewed(server: OAuth, probe: RestProbe) -> None:
    for _ in range(3):
        assert len(probe.fetch(ONE, ["c1", "c2", "c3", "c4"])) == 4
        server.revoke()
    assert server.count("token") == 3


def test_many_threads_share_what_one_gets(server: OAuth, probe: RestProbe) -> None:
    with ThreadPoolExecutor(8) as pool:
        read = [pool.submit(probe.fetch, MANY, [f"c{number % 5}"]) for number in range(24)]
        assert all(len(each.result(60)) == 1 for each in read)
    assert server.count("token") == 1


def test_a_login_that_is_refused_is_not_repeated_by_the_reader(server: OAuth) -> None:
    wrong = settings(f"{server.url}/api", auth=app(server, client_secret="another-secret"))
    reader = SystemReader("crm", wrong, registry.open_record_probe(wrong))
    for _ in range(5):
        error = reader.fetch(MANY, ["c1", "c2"]).error
        assert error is not None
        assert error.reason is Reason.AUTH
        assert "another-secret" not in str(error)
    reader.close()
    assert (server.count("token"), server.count("many")) == (1, 0)


def test_a_post_is_on_the_list_because_the_map_names_it(server: OAuth, probe: RestProbe) -> None:
    assert "only GET and HEAD" in probe.prove_read_only(ONE)
    assert "/{collection}/search" in probe.prove_read_only(POST)
    probe.fetch(ONE, ["c1"])
    assert list(probe._client._allowed.posts) == []
    probe.fetch(POST, ["c1"])
    assert list(probe._client._allowed.posts) == ["/api/customers/search"]
    error = failure(lambda: probe._client._transport.ask("POST", "/api/customers", body=b"{}"))
    assert (error.reason, "not on the list" in error.message) == (Reason.QUERY, True)
    assert {call.operation for call in server.calls} == {"token", "one", "search"}


def test_old_words_keep_working(server: OAuth) -> None:
    server.expires_in = None
    api = Api(
        lambda request: [
            {"id": "c1", "name": {name.lower(): each for name, each in request.headers.items()}.get("authorization")}
        ]
    )
    for words, sent in (
        ({"url": api.url, "headers": {"Authorization": "Bearer of-old"}}, "Bearer of-old"),
        ({"url": api.url.replace("//", "//me:pw@")}, "Basic bWU6cHc="),
        ({"url": api.url.replace("//", "//me:pw@"), "headers": {"authorization": "Bearer first"}}, "Bearer first"),
        ({"url": api.url.replace("//", "//me:pw@"), "auth": {"kind": "header", "name": "X-K", "value": "k"}}, None),
    ):
        probe = RestProbe(RestSettings.model_validate({"kind": "rest", **DEADLINE, **words}))
        assert probe.fetch(MANY, ["c1"])[0][2] == sent
        probe.close()
    api.close()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"auth": {"kind": "bearer", "token": "t"}, "headers": {"AUTHORIZATION": "x"}}, "take it out of headers"),
        (
            {"auth": {"kind": "header", "name": "X-K", "value": "k"}, "headers": {"x-k": "x"}},
            "take it out of headers",
        ),
        ({"auth": {"kind": "bearer", "token": "t"}, "url": "https://me:pw@x.example"}, "take the login out of url"),
    ],
)
def test_who_signs_in_twice_is_told(words: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        settings(**{"url": "https://x.example", **words})


def test_a_map_says_all_of_it(server: OAuth, tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text(f"""
systems:
  crm:
    kind: rest
    url: {server.url}/api
    retries: 0
    budget: {{timeout: 30}}
    auth:
      kind: oauth2_client_credentials
      token_url: {server.token_url}
      client_id: {CLIENT_ID}
      client_secret: ${{SECRET}}
      client_auth: basic
      scope: customers.read
      parameters: {{audience: crm}}
  copy: {{kind: rest, url: "{server.url}/api", auth: {{kind: bearer, token: none}}}}
data_types:
  customer:
    owner: crm
    window: 30s
    fields: {{name: {{type: string}}}}
    in:
      crm: {{collection: customers, key: id, many: "/customers?ids={{keys}}", list: "/customers?ids="}}
      copy: {{collection: customers, key: id, many: "/customers?ids={{keys}}"}}
flows:
  one_way: {{data_type: customer, from: crm, to: copy, pattern: real-time}}
""")
    loaded = load_map(tmp_path / "map.yaml", {"SECRET": CLIENT_SECRET})
    assert CLIENT_SECRET not in repr(loaded)
    crm = loaded.systems["crm"]
    probe = registry.open_record_probe(crm)
    read = loaded.bindings["customer", "crm"].spec("customer", ["name"], zone=None)
    assert probe.fetch(read, ["c1"]) == [("c1", None, "n1")]
    form = server.calls[0].request.form
    assert (form["scope"], form["audience"], "client_secret" in form) == ("customers.read", "crm", False)
    server.fail(faults.refused(502), on="many")
    assert failure(lambda: probe.fetch(read, ["c1"])).reason is Reason.UNREACHABLE
    probe.close()


@pytest.mark.parametrize("kind", ["bearer", "oauth2"])
def test_a_cursor_holds_no_token_where_an_api_puts_it_into_its_addresses(server: OAuth, kind: str) -> None:
    def answer(request: Request) -> Any:
        if request.values.get("page") == "2":
            return [{"id": "c2"}]
        sent = quote(request.headers["Authorization"].partition(" ")[2], safe="")
        return Response(document=[{"id": "c1"}], headers={"Link": f"</list?page=2&token={sent}>; rel=next"})

    api = Api(answer)
    fixed = "t0ken/that stays+the same".replace(" ", "-")
    words = {"kind": "bearer", "token": fixed} if kind == "bearer" else app(server)
    listed = spec(many="/x?ids={keys}", list="/list", next="link")
    page = RestProbe(settings(api.url, auth=words)).page(listed, None, 10)
    assert page.next is not None
    again = RestProbe(settings(api.url, auth=words))  # after a restart, with another token
    assert again.page(listed, page.next, 10).rows[0][0] == "c2"
    sent = fixed if kind == "bearer" else server.issued[1]
    assert api.asked[-1].values["token"] == sent
    assert not any(each in page.next for each in (fixed, *server.issued))
    api.close()


def test_the_doctor_and_the_clock_sign_in_too(server: OAuth, probe: RestProbe) -> None:
    assert probe.inspect(MANY) == ()
    assert probe.clock().resolution_s == 1.0
    assert server.count("token") == 1


@pytest.mark.parametrize("retries", [0, 2])
def test_a_system_that_asks_for_a_moment_gets_it_where_the_map_allows_it(server: OAuth, retries: int) -> None:
    probe = RestProbe(settings(f"{server.url}/api", auth=app(server), retries=retries))
    server.fail(faults.refused(429, retry_after="0"), on="many")
    if retries:
        assert len(probe.fetch(MANY, ["c1"])) == 1
    else:
        assert failure(lambda: probe.fetch(MANY, ["c1"])).retry_after_s == 0
    probe.close()


@pytest.mark.parametrize(
    ("url", "words", "remarked"),
    [
        ("http://crm.internal", {"auth": {"kind": "bearer", "token": "t0ken"}}, True),
        ("http://me:pw@crm.internal", {}, True),
        ("http://crm.internal", {}, False),
        ("https://crm.internal", {"auth": {"kind": "bearer", "token": "t0ken"}}, False),
        ("http://127.0.0.1:1", {"auth": {"kind": "bearer", "token": "t0ken"}}, False),
    ],
)
def test_secrets_that_travel_unencrypted_are_remarked_on(url: str, words: dict[str, Any], remarked: bool) -> None:
    probe = RestProbe(settings(url, **words))
    assert [("unencrypted" in each) for each in probe._client.remarks] == [True] * remarked
    probe.close()
