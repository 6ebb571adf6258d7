"""Signing in with tokens, against an authorization server and an API on loopback."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from probes.call_deadline import within
from probes.contract import ProbeError, Reason
from probes.http.allowed_reads import AllowedReads
from probes.http.authentication import Authentication
from probes.http.grants import Client, ClientCredentials, Grant, RefreshToken
from probes.http.learning_scrubber import LearningScrubber
from probes.http.token_endpoint import LEAVE_ALONE_S, TokenEndpoint
from probes.http.tokens import EARLY_AGAIN_S, MARGIN_S, VAIN_S, TokenSource
from probes.http.transport import Transport
from probes.metering import SpentError, metered
from probes.secrets import Scrubber
from tests.http_api import Api, Request, Response
from tests.probes.http.connected import DEADLINE_S, failure, transport_to
from tests.probes.meters import CountingMeter
from tests.standins import faults
from tests.standins.clock import Clock
from tests.standins.faults import Answer, Fault
from tests.standins.oauth import CLIENT_ID, CLIENT_SECRET, OAuth
from tests.waiting import wait_until

NOON = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
CLIENT = Client(CLIENT_ID, CLIENT_SECRET)


class SignedIn:
    """An app's transport to the stand-in, on a clock that goes with the server's."""

    def __init__(self, server: OAuth, grant: Grant | None = None, token_url: str | None = None) -> None:
        self.server = server
        self.seconds = 0.0
        self.scrub = LearningScrubber(Scrubber(()))
        endpoint = TokenEndpoint(token_url or server.token_url, self.scrub, timeout_s=DEADLINE_S)
        self.tokens = TokenSource(grant or ClientCredentials(CLIENT, {}), endpoint, now=lambda: self.seconds)
        self.transport = self.to(self.tokens)

    def to(self, authentication: Authentication, **words: Any) -> Transport:
        return transport_to(self.server.url, authentication, scrub=self.scrub, **words)

    def ask(self, key: str = "c1") -> Any:
        return self.transport.ask("GET", f"/api/customers/{key}").document

    def advance(self, seconds: float) -> None:
        """Let time pass here and there."""
        self.seconds += seconds
        self.server.clock.advance(seconds)


@pytest.fixture
def server() -> Iterator[OAuth]:
    with OAuth(clock=Clock(NOON)) as found:
        yield found


@pytest.fixture
def app(server: OAuth) -> Iterator[SignedIn]:
    found = SignedIn(server)
    yield found
    found.transport.close()


# -- when a token is asked for


def test_one_token_serves_many_requests(app: SignedIn, server: OAuth) -> None:
    meter = CountingMeter()
    with metered(meter):
        assert [app.ask()["id"] for _ in range(5)] == ["c1"] * 5
    assert (server.count("token"), server.count("one"), meter.spent) == (1, 5, 6)


def test_a_budget_that_is_spent_says_so_and_not_that_nobody_may_sign_in(app: SignedIn, server: OAuth) -> None:
    with metered(CountingMeter(left=0)):
        error = failure(app.ask)
    assert (type(error), error.reason, server.calls) == (SpentError, Reason.OVER_BUDGET, [])


def test_threads_that_need_one_at_the_same_time_ask_once(app: SignedIn, server: OAuth) -> None:
    server.open.clear()
    begun = threading.Barrier(9)

    def ask() -> Any:
        begun.wait(DEADLINE_S)
        return app.ask()["id"]

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask) for _ in range(8)]
        begun.wait(DEADLINE_S)
        server.open.set()
        assert [each.result(DEADLINE_S) for each in asked] == ["c1"] * 8
    assert server.count("token") == 1


def test_threads_whose_token_was_revoked_renew_it_once(app: SignedIn, server: OAuth) -> None:
    app.ask()
    server.revoke()
    server.open.clear()
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(app.ask) for _ in range(8)]
        wait_until(lambda: sum(call.status == 401 for call in server.calls) >= 1)
        server.open.set()
        assert [each.result(DEADLINE_S)["id"] for each in asked] == ["c1"] * 8
    assert server.count("token") == 2


def test_threads_that_wait_share_a_failure(app: SignedIn, server: OAuth) -> None:
    server.takes = frozenset()
    server.open.clear()
    with ThreadPoolExecutor(6) as pool:
        first = pool.submit(failure, app.ask)
        wait_until(app.tokens._asking.locked)
        others = [pool.submit(failure, app.ask) for _ in range(5)]
        wait_until(lambda: len(others) == 5 and all(each.running() for each in others))
        server.open.set()
        assert {each.result(DEADLINE_S).reason for each in (first, *others)} == {Reason.AUTH}
    assert server.count("token") <= 6


def test_who_waits_for_a_token_of_another_thread_waits_no_longer_than_its_own_call(
    app: SignedIn, server: OAuth
) -> None:
    server.open.clear()
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(app.ask)
        wait_until(app.tokens._asking.locked)
        with within(0.3):
            assert failure(app.ask).reason is Reason.TIMEOUT
        server.open.set()
        assert slow.result(DEADLINE_S)["id"] == "c1"


def test_a_token_is_renewed_before_it_ends(app: SignedIn, server: OAuth) -> None:
    app.ask()
    app.advance(1800 - MARGIN_S - 1)
    app.ask()
    assert server.count("token") == 1
    app.advance(2)
    app.ask()
    assert server.count("token") == 2
    assert all(call.status == 200 for call in server.calls)


def test_a_token_that_has_ended_is_replaced_without_being_sent(app: SignedIn, server: OAuth) -> None:
    app.ask()
    app.advance(5000)
    app.ask()
    assert (server.count("token"), [call.status for call in server.calls]) == (2, [200] * 4)


def test_a_token_of_a_short_life_is_renewed_in_its_last_tenth(app: SignedIn, server: OAuth) -> None:
    server.expires_in = 20
    app.ask()
    app.advance(17)
    app.ask()
    assert server.count("token") == 1
    app.advance(1.5)
    app.ask()
    assert server.count("token") == 2


@pytest.mark.parametrize("told", [None, 0, -5, "soon", "", [], 1e300, "1e999"])
def test_a_token_whose_life_is_not_told_is_renewed_after_a_401(app: SignedIn, server: OAuth, told: Any) -> None:
    server.expires_in, server.told_expires_in = None, told
    app.ask()
    app.advance(500_000)
    app.ask()
    assert server.count("token") == 1
    server.revoke()
    assert app.ask()["id"] == "c1"
    assert server.count("token") == 2


def test_a_life_that_is_told_as_text_counts(app: SignedIn, server: OAuth) -> None:
    server.told_expires_in = "1800"
    app.ask()
    app.advance(1790)
    app.ask()
    assert server.count("token") == 2


def test_a_token_that_is_still_good_is_used_where_it_could_not_be_renewed(app: SignedIn, server: OAuth) -> None:
    app.ask()
    app.advance(1790)
    server.fail(faults.refused(503), on="token", times=2)
    assert [app.ask()["id"] for _ in range(3)] == ["c1"] * 3
    assert server.count("token") == 2  # and not with each request
    app.advance(EARLY_AGAIN_S)
    assert failure(app.ask).reason is Reason.UNREACHABLE
    assert app.ask()["id"] == "c1"


# -- after a 401


def test_a_token_revoked_in_between_is_renewed_and_the_request_repeated(app: SignedIn, server: OAuth) -> None:
    app.ask()
    server.revoke()
    assert app.ask("c2") == {"id": "c2", "name": "n2"}
    assert [call.operation for call in server.calls] == ["token", "one", "one", "token", "one"]


def test_a_401_that_stays_is_told_and_never_a_loop(app: SignedIn, server: OAuth) -> None:
    app.ask()
    server.fail(faults.refused(401), on="one", times=9)
    assert failure(app.ask).reason is Reason.AUTH
    assert (server.count("token"), server.count("one")) == (2, 3)
    for _ in range(3):  # another token would be refused as well
        assert failure(app.ask).reason is Reason.AUTH
    assert (server.count("token"), server.count("one")) == (2, 6)
    app.advance(VAIN_S)
    assert failure(app.ask).reason is Reason.AUTH
    assert server.count("token") == 3


def test_one_thing_that_is_refused_does_not_spoil_the_token_for_others(app: SignedIn, server: OAuth) -> None:
    server.fail(faults.refused(401), on="many", times=9)
    for _ in range(4):
        assert failure(lambda: app.transport.ask("GET", "/api/customers?ids=c1")).reason is Reason.AUTH
        assert app.ask()["id"] == "c1"
    assert server.count("token") == 2


# -- how a token endpoint fails


@pytest.mark.parametrize(
    ("fault", "reason", "hint"),
    [
        (faults.refused(400), Reason.AUTH, "set up at the server"),
        (faults.refused(403), Reason.AUTH, "set up at the server"),
        (faults.refused(404), Reason.AUTH, "is this the token endpoint?"),
        (faults.refused(429), Reason.OVER_BUDGET, ""),
        (faults.refused(429, retry_after="9"), Reason.OVER_BUDGET, "requests a pause of 9 s"),
        (faults.refused(500), Reason.UNREACHABLE, ""),
        (faults.refused(503, retry_after="1"), Reason.UNREACHABLE, "requests a pause of 1 s"),
        (faults.page_of_a_proxy(), Reason.AUTH, "web pages for people"),
        (faults.page_of_a_proxy(403), Reason.AUTH, "set up at the server"),
        (faults.truncated(), Reason.AUTH, "is this the token endpoint?"),
        (faults.endless(), Reason.AUTH, "is this the token endpoint?"),
        (faults.cut_off(), Reason.UNREACHABLE, "whether the server runs"),
        (faults.error_with_success([1, 2]), Reason.AUTH, "is this the token endpoint?"),
        (faults.error_with_success({"ok": True}), Reason.AUTH, "is this the token endpoint?"),
        (faults.error_with_success({"ok": False, "error": "invalid_client"}), Reason.AUTH, "check client_id"),
        (faults.error_with_success({"access_token": "a\nb"}), Reason.AUTH, "is this the token endpoint?"),
        (faults.error_with_success({"access_token": 7}), Reason.AUTH, "is this the token endpoint?"),
        (faults.error_with_success({"access_token": "a" * 20_000}), Reason.AUTH, "fewer scopes"),
        (faults.error_with_success({"access_token": "a", "token_type": "mac"}), Reason.AUTH, "bearer tokens"),
        (faults.error_with_success({"error": "invalid_scope"}), Reason.AUTH, "check the scope"),
    ],
)
def test_each_way_a_token_endpoint_fails_has_a_reason_and_advice(
    app: SignedIn, server: OAuth, fault: Fault, reason: Reason, hint: str
) -> None:
    server.fail(fault, on="token")
    error = failure(app.ask)
    assert (error.reason, hint in error.hint) == (reason, True), str(error)
    assert f"the token endpoint 127.0.0.1:{server.port}/oauth/token" in error.message
    assert (server.count("token"), server.count("one")) == (1, 0)
    assert error.retry_after_s == LEAVE_ALONE_S if reason is Reason.AUTH else True
    assert app.ask()["id"] == "c1"


def test_a_token_endpoint_that_is_not_there_is_unreachable(server: OAuth) -> None:
    gone = OAuth()
    gone.close()
    error = failure(SignedIn(server, token_url=gone.token_url).ask)
    assert (error.reason, "the token endpoint" in error.message) == (Reason.UNREACHABLE, True)


def test_a_token_endpoint_that_hangs_ends_with_the_call(app: SignedIn, server: OAuth) -> None:
    server.open.clear()
    with within(0.3):
        error = failure(app.ask)
    server.open.set()
    assert error.reason is Reason.TIMEOUT


def test_a_redirect_of_the_token_endpoint_is_not_followed(app: SignedIn, server: OAuth) -> None:
    elsewhere = Api(lambda _: {"access_token": "stolen"})
    location = {"Location": f"{elsewhere.url}/token"}
    for status in (301, 302, 303, 307, 308):
        moved = Answer(status=status, headers=location)
        server.fail(Fault(name="moved", instead=lambda moved=moved: moved), on="token")  # type: ignore[misc]
        error = failure(app.ask)
        assert (error.reason, "redirects are not followed" in error.hint) == (Reason.AUTH, True)
    assert elsewhere.asked == []
    elsewhere.close()


def test_clocks_that_are_far_apart_are_named_where_a_grant_is_refused(server: OAuth) -> None:
    app = SignedIn(server, RefreshToken(CLIENT, "never given", {}))
    error = failure(app.ask)
    assert (error.reason, "authorize the app again" in error.hint) == (Reason.AUTH, True)
    assert "this machine's" in error.hint  # the stand-in's clock stands at noon of another day


# -- grants


def test_client_credentials_in_the_form_and_as_basic(server: OAuth) -> None:
    for sends in ("form", "basic"):
        server.takes = frozenset({sends})
        client = Client(CLIENT_ID, CLIENT_SECRET, sends)
        app = SignedIn(server, ClientCredentials(client, {"scope": "read", "audience": "crm"}))
        assert app.ask()["id"] == "c1"
        form = next(call.request.form for call in reversed(server.calls) if call.operation == "token")
        assert (form["scope"], form["audience"]) == ("read", "crm")
        other = "basic" if sends == "form" else "form"
        wrong = SignedIn(server, ClientCredentials(Client(CLIENT_ID, CLIENT_SECRET, other), {}))  # type: ignore[arg-type]
        error = failure(wrong.ask)
        assert (error.reason, "in the form or as basic" in error.hint) == (Reason.AUTH, True)


def test_a_refresh_token_is_used_again_and_again(server: OAuth) -> None:
    grant = RefreshToken(CLIENT, server.refresh_token(), {})
    app = SignedIn(server, grant)
    for _ in range(3):
        assert app.ask()["id"] == "c1"
        server.revoke()
    assert (server.count("token"), grant.remarks) == (3, ())


def test_a_refresh_token_that_is_replaced_with_each_use_is_followed(server: OAuth) -> None:
    server.rotates = True
    grant = RefreshToken(CLIENT, server.refresh_token(), {})
    app = SignedIn(server, grant)
    for _ in range(3):
        assert app.ask()["id"] == "c1"
        server.revoke()
    assert (server.count("token"), "the one in the map is used up" in app.transport.remarks[0]) == (3, True)
    server.revoke_refresh_tokens()
    error = failure(app.ask)
    assert (error.reason, "authorize the app again" in error.hint) == (Reason.AUTH, True)


# -- secrets


def test_no_token_and_no_secret_stands_in_any_text(
    app: SignedIn, server: OAuth, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    given = server.refresh_token()
    told: list[str] = []
    refreshed = SignedIn(server, RefreshToken(CLIENT, given, {}))
    for each in (app, refreshed):
        each.ask()
        server.revoke()
        server.fail(faults.refused(401), on="one")
        each.ask()
    server.revoke()
    # The API and the token endpoint repeat what they were sent.
    server.fail(faults.refused(500), on="token")
    told += [str(failure(app.ask)), repr(app.transport), repr(app.tokens), repr(app.tokens._token)]
    server.takes = frozenset()
    told += [str(failure(app.ask)), str(failure(refreshed.ask))]
    server.takes = frozenset({"form"})
    server.revoke_refresh_tokens()
    told.append(str(failure(refreshed.ask)))
    everything = "\n".join([*told, caplog.text, *capfd.readouterr()])
    for secret in (*server.issued, given, CLIENT_SECRET):
        assert secret not in everything


def test_an_api_that_repeats_a_token_is_not_quoted(server: OAuth) -> None:
    app = SignedIn(server)
    app.ask()
    echo = Fault(name="echo", instead=lambda: Answer(status=400, document={"sent": f"Bearer {server.issued[-1]}"}))
    server.fail(echo, on="one")
    error = failure(app.ask)
    assert ("sent" in error.message, server.issued[-1] in str(error)) == (True, False)


def test_the_token_goes_to_the_api_alone(server: OAuth) -> None:
    """The token endpoint may be on another host than the API; neither gets what is the other's."""

    def answer(request: Request) -> Any:
        return Response(document={"auth": request.headers.get("Authorization", "")})

    api = Api(answer)
    app = SignedIn(server)
    transport = transport_to(api.url, app.tokens, scrub=app.scrub)
    assert transport.ask("GET", "/x").document == {"auth": f"Bearer {server.issued[0]}"}
    (token,) = [call.request for call in server.calls if call.operation == "token"]
    assert "authorization" not in token.headers
    assert all(CLIENT_SECRET.encode() not in each.body for each in api.asked)
    api.close()


def test_closing_ends_who_waits_for_a_token(app: SignedIn, server: OAuth) -> None:
    server.open.clear()
    failed: list[ProbeError] = []
    thread = threading.Thread(target=lambda: failed.append(failure(app.ask)), daemon=True)
    thread.start()
    wait_until(app.tokens._asking.locked)
    app.transport.close()
    wait_until(lambda: not thread.is_alive())
    server.open.set()
    assert failed[0].reason is Reason.UNREACHABLE


def test_a_post_that_reads_is_signed_in_and_repeated_like_any_read(app: SignedIn, server: OAuth) -> None:
    allowed = AllowedReads()
    allowed.add_post("/api/customers/search")
    transport = app.to(app.tokens, allowed=allowed)
    app.ask()
    server.revoke()
    found = transport.ask("POST", "/api/customers/search", body=b'{"ids": ["c3"]}').document
    assert found == [{"id": "c3", "name": "n3"}]
