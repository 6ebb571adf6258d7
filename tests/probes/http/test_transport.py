"""Requests on a real server on loopback: what is sent, what is read, and what each way to fail comes to."""

from __future__ import annotations

import gzip
import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from probes.bounded_http import ANSWER_LIMIT_BYTES
from probes.call_deadline import within
from probes.contract import ProbeError, Reason
from probes.http.allowed_reads import AllowedReads
from probes.http.authentication import basic, bearer, header
from probes.http.learning_scrubber import LearningScrubber
from probes.http.transport import Meaning, Refusal
from probes.metering import RateLimit, SpentError, metered
from probes.secrets import Scrubber
from tests.http_api import Api, Request, Response
from tests.probes.http.connected import answering, failure, transport_to
from tests.probes.meters import CountingMeter
from tests.proxy import Proxy
from tests.waiting import wait_until

Answer = Callable[[Request], Any]


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], Api]]:
    opened: list[Api] = []

    def make(answer: Answer) -> Api:
        opened.append(Api(answer))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


Serve = Callable[[Answer], Api]


def in_turn(*answers: Any) -> Answer:
    """Answers one after the other, the last one again and again."""
    left = iter(answers)
    last = answers[-1]
    return lambda _: next(left, last)


# -- what is sent and read


@pytest.mark.parametrize(
    ("authentication", "name", "value"),
    [
        (bearer("tok-en_1"), "Authorization", "Bearer tok-en_1"),
        (basic("ünn", "p:w"), "Authorization", "Basic w7xubjpwOnc="),
        (basic("sk_test_1", ""), "Authorization", "Basic c2tfdGVzdF8xOg=="),
        (header("X-Api-Key", "k3y"), "X-Api-Key", "k3y"),
    ],
)
def test_each_way_to_sign_in_sends_its_header(serve: Serve, authentication: Any, name: str, value: str) -> None:
    api = serve(lambda _: [])
    transport_to(api.url, authentication).ask("GET", "/x")
    assert api.asked[0].headers[name] == value


def test_a_target_arrives_as_it_is(serve: Serve) -> None:
    api = serve(lambda _: [])
    transport_to(f"{api.url}/not/this").ask("GET", "/a%2Fb/../c?d=%C3%A9&e=f%20g")
    assert api.paths == ["/a%2Fb/../c?d=%C3%A9&e=f%20g"]


def test_numbers_are_read_exactly(serve: Serve) -> None:
    api = serve(lambda _: Response(document=b'{"a": 0.1000000000000000055, "b": 12345678901234567890}'))
    document = transport_to(api.url).ask("GET", "/x").document
    assert (document["a"], document["b"]) == (Decimal("0.1000000000000000055"), 12345678901234567890)


def test_a_status_that_is_expected_is_an_answer_without_a_document(serve: Serve) -> None:
    api = serve(lambda _: Response(document={"error": "gone"}, status=410))
    answer = transport_to(api.url).ask("GET", "/x", expected={404, 410})
    assert (answer.status, answer.document) == (410, None)


def test_the_headers_of_any_status_are_answered(serve: Serve) -> None:
    api = serve(lambda _: Response(status=405, headers={"X-Odd": "1"}))
    assert transport_to(api.url).head("/x")["x-odd"] == "1"


# -- the list of reads


def test_a_post_that_is_not_on_the_list_is_refused_before_it_is_sent(serve: Serve) -> None:
    api, meter, allowed = serve(lambda _: []), CountingMeter(), AllowedReads()
    transport = transport_to(api.url, bearer("t"), allowed=allowed)
    with metered(meter):
        error = failure(lambda: transport.ask("POST", "/search?q=secret", body=b"{}"))
    assert (error.reason, "POST /search is not on the list" in error.message) == (Reason.QUERY, True)
    assert "q=secret" not in str(error)
    assert (api.asked, meter.spent) == ([], 0)
    allowed.add_post("/search")
    transport.ask("POST", "/search?q=secret", body=b"{}")
    assert [each.method for each in api.asked] == ["POST"]
    assert failure(lambda: transport.ask("POST", "/search/more", body=b"{}")).reason is Reason.QUERY


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "get"])
def test_no_other_method_is_ever_sent(serve: Serve, method: str) -> None:
    api = serve(lambda _: [])
    assert failure(lambda: transport_to(api.url).ask(method, "/x")).reason is Reason.QUERY
    assert api.asked == []


# -- what each way to fail comes to


@pytest.mark.parametrize(
    ("answer", "reason", "told"),
    [
        (Response(status=401), Reason.AUTH, "HTTP 401"),
        (Response(status=403), Reason.PERMISSION, "HTTP 403"),
        (Response(status=404), Reason.QUERY, "HTTP 404"),
        (Response(status=409), Reason.QUERY, "HTTP 409"),
        (Response(status=413), Reason.TOO_LARGE, "HTTP 413"),
        (Response(status=431), Reason.TOO_LARGE, "HTTP 431"),
        (Response(status=429), Reason.OVER_BUDGET, "HTTP 429"),
        (Response(status=500, document={"why": "broken"}), Reason.UNREACHABLE, "broken"),
        (Response(status=502), Reason.UNREACHABLE, "HTTP 502"),
        (Response(status=503), Reason.UNREACHABLE, "HTTP 503"),
        (Response(document=b"<html>", headers={"Content-Type": "text/html"}), Reason.DECODE, "(text/html)"),
        (Response(document=b'{"a": [1,'), Reason.DECODE, "not JSON"),
        (Response(document=b"[" * 100_000), Reason.DECODE, "nested"),
        (Response(document=b"[" + b"1," * 600_000 + b"1]"), Reason.TOO_LARGE, "values"),
        (Response(document=b"x", headers={"Content-Encoding": "br"}), Reason.DECODE, "'br'"),
        (Response(document=b"x", headers={"Content-Encoding": "gzip"}), Reason.DECODE, "gzip"),
        (Response(status=302, headers={"Location": "/login"}), Reason.QUERY, "redirected to http://127.0.0.1"),
        (Response(status=302), Reason.QUERY, "without saying where"),
    ],
)
def test_each_way_to_fail_has_a_reason(serve: Serve, answer: Response, reason: Reason, told: str) -> None:
    api = serve(lambda _: answer)
    error = failure(lambda: transport_to(api.url).ask("GET", "/x"))
    assert (error.reason, told in error.message) == (reason, True), str(error)
    assert len(api.asked) == 1


def test_an_answer_without_end_is_cut_off(serve: Serve) -> None:
    api = serve(lambda _: Response(document=itertools.repeat(b" " * 65_536)))
    error = failure(lambda: transport_to(api.url, too_large="lower batch:").ask("GET", "/x"))
    assert (error.reason, error.hint) == (Reason.TOO_LARGE, "lower batch:")


def test_an_answer_that_unpacks_to_gigabytes_is_cut_off(serve: Serve) -> None:
    packed = gzip.compress(b" " * (ANSWER_LIMIT_BYTES * 4))
    api = serve(lambda _: Response(document=packed, headers={"Content-Encoding": "gzip"}))
    assert failure(lambda: transport_to(api.url).ask("GET", "/x")).reason is Reason.TOO_LARGE


def test_an_api_may_explain_its_refusals_in_its_own_words(serve: Serve) -> None:
    def explained(refusal: Refusal) -> Meaning | None:
        if b"LIMIT" not in refusal.said:
            return None
        return Meaning(reason=Reason.OVER_BUDGET, words="the day is used up", hint="wait", retry_after_s=300)

    api = serve(in_turn(Response(status=403, document={"code": "LIMIT"}), Response(status=403)))
    transport = transport_to(api.url)
    error = failure(lambda: transport.ask("GET", "/x", explained=explained))
    assert (error.reason, error.hint, error.retry_after_s) == (Reason.OVER_BUDGET, "wait", 300)
    assert error.message.endswith("/x: the day is used up")
    assert failure(lambda: transport.ask("GET", "/x", explained=explained)).reason is Reason.PERMISSION


def test_a_redirect_is_told_and_not_followed(serve: Serve) -> None:
    elsewhere = serve(lambda _: [])
    location = f"{elsewhere.url}/x?token=abcdef"
    api = serve(lambda _: Response(status=307, headers={"Location": location}))
    error = failure(lambda: transport_to(api.url, bearer("t0ken-of-mine")).ask("GET", "/x"))
    assert f"redirected to {elsewhere.url}/x" in error.message
    assert "abcdef" not in str(error)
    assert elsewhere.asked == []


def test_no_secret_stands_in_what_a_server_repeats(serve: Serve) -> None:
    def repeat(request: Request) -> Response:
        return Response(status=400, document={"you sent": dict(request.headers), "path": request.path})

    api = serve(repeat)
    scrub = LearningScrubber(Scrubber(()))
    scrub.learn(["path-secret"])
    error = failure(lambda: transport_to(api.url, basic("me", "p4ssword"), scrub=scrub).ask("GET", "/path-secret"))
    for secret in ("p4ssword", "path-secret", "bWU6cDRzc3dvcmQ"):
        assert secret not in str(error)
    assert "HTTP 400 from /***" in error.message


# -- trying again


def refusing_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.mark.parametrize("status", [502, 504])
def test_what_a_gateway_could_not_reach_is_asked_again(serve: Serve, status: int) -> None:
    api, meter = serve(in_turn(Response(status=status), Response(status=status), {"here": 1})), CountingMeter()
    with metered(meter):
        assert transport_to(api.url, retries=2).ask("GET", "/x").document == {"here": 1}
    assert (len(api.asked), meter.spent) == (3, 3)


def test_it_is_asked_again_no_more_often_than_said(serve: Serve) -> None:
    api = serve(lambda _: Response(status=502))
    assert failure(lambda: transport_to(api.url, retries=2).ask("GET", "/x")).reason is Reason.UNREACHABLE
    assert len(api.asked) == 3
    assert failure(lambda: transport_to(api.url, retries=0).ask("GET", "/x")).reason is Reason.UNREACHABLE
    assert len(api.asked) == 4


@pytest.mark.parametrize("status", [429, 503])
def test_who_asks_for_a_moment_is_asked_again_after_it(serve: Serve, status: int) -> None:
    api = serve(in_turn(Response(status=status, headers={"Retry-After": "0"}), []))
    assert transport_to(api.url, retries=1).ask("GET", "/x").document == []
    assert len(api.asked) == 2


@pytest.mark.parametrize(
    ("response", "wait_s"),
    [
        (Response(status=429), None),
        (Response(status=503), None),
        (Response(status=429, headers={"Retry-After": "7"}), 7),
        (Response(status=503, headers={"Retry-After": "120"}), 120),
        (Response(status=429, headers={"Retry-After": "soon"}), None),
        (Response(status=500, headers={"Retry-After": "0"}), 0),
        (Response(status=404), None),
    ],
)
def test_everything_else_is_told_at_once(serve: Serve, response: Response, wait_s: float | None) -> None:
    api = serve(lambda _: response)
    error = failure(lambda: transport_to(api.url, retries=3).ask("GET", "/x"))
    assert (error.retry_after_s, len(api.asked)) == (wait_s, 1)


def test_a_connection_that_is_refused_is_opened_again() -> None:
    meter = CountingMeter()
    with metered(meter):
        error = failure(lambda: transport_to(f"http://127.0.0.1:{refusing_port()}", retries=2).ask("GET", "/"))
    assert (error.reason, meter.spent) == (Reason.UNREACHABLE, 3)


def test_a_connection_that_ends_before_an_answer_is_opened_again() -> None:
    opened = itertools.count()

    def drop_twice(connection: socket.socket) -> None:
        if next(opened) >= 2:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]")

    with answering(drop_twice) as url:
        assert transport_to(url, retries=2).ask("GET", "/x").document == []


def test_an_answer_that_breaks_off_is_not_asked_for_again() -> None:
    asked: list[None] = []

    def half(connection: socket.socket) -> None:
        asked.append(None)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n[1,")

    with answering(half) as url:
        error = failure(lambda: transport_to(url, retries=3).ask("GET", "/x"))
    assert (error.reason, len(asked)) == (Reason.UNREACHABLE, 1)


def test_no_pause_goes_beyond_the_deadline_of_the_call(serve: Serve) -> None:
    api = serve(lambda _: Response(status=429, headers={"Retry-After": "2"}))
    transport = transport_to(api.url, retries=9)
    with within(1.5):  # a pause of two seconds has no room in it, however slow the machine is
        error = failure(lambda: transport.ask("GET", "/x"))
    assert error.reason in {Reason.OVER_BUDGET, Reason.TIMEOUT}
    assert len(api.asked) <= 1


def test_a_pause_ends_when_everything_is_closed(serve: Serve) -> None:
    api = serve(lambda _: Response(status=429, headers={"Retry-After": "2"}))
    transport = transport_to(api.url, retries=1_000, timeout_s=3_600)
    failed: list[ProbeError] = []
    thread = threading.Thread(target=lambda: failed.append(failure(lambda: transport.ask("GET", "/x"))), daemon=True)
    thread.start()
    wait_until(lambda: api.asked)
    transport.close()
    wait_until(lambda: not thread.is_alive())
    assert failed[0].reason in {Reason.OVER_BUDGET, Reason.UNREACHABLE}


def test_a_pause_that_one_request_was_asked_for_is_kept_by_every_other(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = serve(in_turn(Response(status=503, headers={"Retry-After": "1"}), [], []))
    transport = transport_to(api.url, retries=0)
    waited: list[float] = []
    monkeypatch.setattr(transport._closing, "wait", waited.append)
    with pytest.raises(ProbeError):
        transport.ask("GET", "/x")
    transport.head("/x", method="GET")
    assert waited == [pytest.approx(1.0, abs=0.2)]
    monkeypatch.setattr(transport, "_timeout_s", 0.5)
    with pytest.raises(ProbeError, match="HTTP 503") as failed:
        transport.head("/x")
    assert (failed.value.retry_after_s, len(api.asked)) == (1, 2)


# -- what is counted


def test_each_request_is_paid_for_before_it_is_sent(serve: Serve) -> None:
    api = serve(lambda _: Response(status=502))
    with metered(CountingMeter(left=2)):
        error = failure(lambda: transport_to(api.url, retries=9).ask("GET", "/x"))
    assert (type(error), error.reason, len(api.asked)) == (SpentError, Reason.OVER_BUDGET, 2)


def test_what_an_api_says_of_its_limits_is_passed_on_with_refusals_too(serve: Serve) -> None:
    told = {"RateLimit-Limit": "10", "RateLimit-Remaining": "0", "RateLimit-Reset": "12"}
    api = serve(in_turn(Response(document=[], headers=told), Response(status=429, headers=told)))
    transport, meter = transport_to(api.url), CountingMeter()
    with metered(meter):
        transport.ask("GET", "/x")
        error = failure(lambda: transport.ask("GET", "/x"))
    assert meter.told == [RateLimit(limit=10, left=0, resets_in_s=12)] * 2
    assert error.retry_after_s == 12


def test_a_limit_that_is_not_used_up_says_nothing_about_a_refusal(serve: Serve) -> None:
    told = {"RateLimit-Limit": "10", "RateLimit-Remaining": "3", "RateLimit-Reset": "12"}
    api = serve(lambda _: Response(status=429, headers=told))
    assert failure(lambda: transport_to(api.url).ask("GET", "/x")).retry_after_s is None


# -- time


def test_a_server_that_hangs_ends_at_the_deadline() -> None:
    over = threading.Event()
    with answering(lambda _: over.wait(60)) as url:
        error = failure(lambda: transport_to(url, timeout_s=0.3, retries=5).ask("GET", "/x"))
        over.set()
    assert (error.reason, "budget.timeout" in error.hint) == (Reason.TIMEOUT, True)


def test_a_line_that_hangs_ends_at_the_deadline(serve: Serve) -> None:
    api = serve(lambda _: [])
    proxy = Proxy(api.port)
    proxy.mode = "swallow"
    error = failure(lambda: transport_to(f"http://127.0.0.1:{proxy.port}", timeout_s=0.3).ask("GET", "/x"))
    proxy.close()
    assert error.reason is Reason.TIMEOUT
