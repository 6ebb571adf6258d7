"""Requests: how long a server asks to wait, secrets in addresses, and redirects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from probes.contract import Reason
from probes.records.rest.settings import RestSettings
from tests.http_api import Api, Request, Response
from tests.probes.records.rest.apis import KEYS, PEOPLE, Answer, failure, probe_of, spec_of, walked


@pytest.mark.parametrize(
    ("told", "wait_s"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("-3", 0.0),
        ("1e300", 365 * 86_400.0),
        ("inf", 365 * 86_400.0),
        ("315360000", 365 * 86_400.0),
        ("Sun, 01 Mar 2026 10:00:30 GMT", 30.0),
        ("nan", None),
        ("soon", None),
    ],
)
def test_how_long_a_server_asks_to_wait(serve: Callable[[Answer], Api], told: str, wait_s: float | None) -> None:
    def answer(_: Request) -> Response:
        return Response(document={}, status=429, headers={"Retry-After": told})

    from probes.http.header_times import retry_after_s

    assert retry_after_s(told, "Sun, 01 Mar 2026 10:00:00 GMT") == wait_s
    if not told.startswith("Sun"):
        error = failure(lambda: probe_of(serve(answer).url, retries=0).fetch(spec_of(), ["a"]))
        assert (error.reason, error.retry_after_s) == (Reason.OVER_BUDGET, wait_s)
        assert (told in error.hint or "0 s" in error.hint) is (wait_s is not None)


def test_a_spent_budget_that_github_tells_with_403_is_over_budget(serve: Callable[[Answer], Api]) -> None:
    headers = {"X-RateLimit-Remaining": "0", "Retry-After": "60"}
    api = serve(lambda _: Response(document={}, status=403, headers=headers))
    error = failure(lambda: probe_of(api.url).fetch(spec_of(), ["a"]))
    assert (error.reason, error.retry_after_s) == (Reason.OVER_BUDGET, 60.0)


SECRET = "k3y/with+odd=signs&%"


def test_a_key_in_the_address_goes_with_every_request_and_into_no_text(serve: Callable[[Answer], Api]) -> None:
    from urllib.parse import quote

    quoted = quote(SECRET, safe="")

    def answer(request: Request) -> Any:
        assert request.values["api_key"] == SECRET
        if request.path.endswith("/bad"):
            return Response(document={"echo": [SECRET, quoted]}, status=400)
        if request.values.get("page") == "2":
            return PEOPLE[3:]
        link = f"<http://{request.headers['Host']}{request.path}?api_key={quoted}&page=2&sig={quoted}>; rel=next"
        return Response(document=PEOPLE[:3], headers={"Link": link})

    api = serve(answer)
    url = f"{api.url}/v1?api_key={quoted}"
    probe = probe_of(url)
    spec = spec_of(many="/bad?ids={keys}", list="/c?limit={limit}", next="link")
    assert walked(probe, spec) == KEYS
    assert [each.path for each in api.asked] == ["/v1/c", "/v1/c"]
    assert api.asked[1].values["sig"] == SECRET
    cursor = probe.page(spec, None, 3).next
    error = failure(lambda: probe.fetch(spec, ["a"]))
    probe.clock()
    settings = RestSettings.model_validate({"kind": "rest", "url": url})
    for text in (str(cursor), str(error), repr(settings), settings.model_dump_json()):
        assert SECRET not in text
        assert quoted not in text
        assert "k3y" not in text


def test_a_login_in_the_address_is_sent_as_such_and_into_no_text(serve: Callable[[Answer], Api]) -> None:
    import base64

    login = base64.b64encode(b"me:pa@ss/word").decode()

    def answer(request: Request) -> Response:
        assert request.headers["Authorization"] == f"Basic {login}"
        return Response(document={"you sent": [login, "pa@ss/word", "pa%40ss%2Fword"]}, status=403)

    api = serve(answer)
    error = failure(lambda: probe_of(f"http://me:pa%40ss%2Fword@127.0.0.1:{api.port}").fetch(spec_of(), ["a"]))
    assert error.reason is Reason.PERMISSION
    assert not any(each in str(error) for each in (login, "pa@ss", "pa%40ss", "word"))


def test_a_redirect_is_told_with_its_target_and_never_followed(serve: Callable[[Answer], Api]) -> None:
    other = serve(lambda _: [])
    api = serve(
        lambda _: Response(document={}, status=302, headers={"Location": f"{other.url}/login?next=/c&token=t0ken"})
    )
    error = failure(
        lambda: probe_of(api.url, headers={"Authorization": "Bearer s3cret-word"}).fetch(spec_of(), ["a"])
    )
    assert error.reason is Reason.QUERY
    assert f"HTTP 302 from /x: redirected to {other.url}/login" in error.message
    assert "t0ken" not in str(error)
    assert other.asked == []
