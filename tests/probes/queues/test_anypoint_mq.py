"""Anypoint MQ: a stand-in of our own, made from the documented answers of its Broker, Admin and Stats APIs."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from probes.contract import ProbeError, Reason
from probes.queue_contract import QueueProbe
from probes.queues.anypoint_mq import AnypointMqProbe, AnypointMqSettings
from tests.attacks import messages

PLACE = "organizations/acme/environments/prod"


class Platform:
    """One queue with locks: what is read is hidden until it is given back, and its delivery count rises."""

    def __init__(self) -> None:
        self.waiting: list[dict[str, Any]] = []
        self.locked: dict[str, dict[str, Any]] = {}
        self.settings: dict[str, Any] = {"queueId": "dead", "type": "queue", "defaultTtl": 604_800_000}
        self.status: dict[str, int] = {}
        self.deleted: list[str] = []
        self.token = "t"
        self.logins = 0
        platform = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self._body()
                platform.logins += 1
                token = {"access_token": platform.token, "token_type": "bearer"}
                self._answer(platform.status.get("token", 200), token)

            def do_GET(self) -> None:
                path = urlsplit(self.path)
                if self.headers["Authorization"] != f"Bearer {platform.token}":
                    self._answer(401, {})
                elif path.path.startswith("/mq/admin"):
                    self._answer(platform.status.get("admin", 200), platform.settings)
                elif path.path.startswith("/mq/stats"):
                    (name,) = parse_qs(path.query)["destinationIds"]
                    figures = {"destination": name, "messages": len(platform.waiting), "inflightMessages": 0}
                    self._answer(platform.status.get("stats", 200), [figures])
                else:
                    assert path.path == f"/api/v1/{PLACE}/destinations/dead/messages"
                    count = int(parse_qs(path.query)["batchSize"][0])
                    found = [platform.waiting.pop(0) for _ in range(min(count, len(platform.waiting)))]
                    for each in found:
                        each["headers"]["deliveryCount"] = str(int(each["headers"]["deliveryCount"]) + 1)
                        platform.locked[each["headers"]["lockId"]] = each
                    self._answer(200 if found else 204, found)

            def do_DELETE(self) -> None:
                given = json.loads(self._body())
                if not self.path.endswith("/messages/locks"):
                    platform.deleted += [each["messageId"] for each in given]
                else:
                    platform.waiting += [platform.locked.pop(each["lockId"]) for each in given]
                self._answer(200, [])

            def _body(self) -> bytes:
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))

            def _answer(self, status: int, document: Any) -> None:
                body = b"" if status == 204 else json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def put(self, *bodies: str) -> None:
        for body in bodies:
            number = len(self.waiting)
            headers = {
                "messageId": f"m{number}",
                "lockId": f"l/{number}+=",
                "created": "Sun, 01 Mar 2026 00:00:00 GMT",
                "deliveryCount": "10",
            }
            self.waiting.append({"headers": headers, "properties": {"error": "422: no e-mail"}, "body": body})

    def probe(self, port: int | None = None, **words: Any) -> AnypointMqProbe:
        url = f"http://127.0.0.1:{port or self.port}"
        settings = {
            "kind": "anypoint_mq",
            "organization": "acme",
            "environment": "prod",
            "region": "us-east-1",
            "queue": "dead",
            "client_id": "looker",
            "client_secret": "secret-of-looker",
            "url": url,
            "broker_url": url,
            **words,
        }
        return AnypointMqProbe(AnypointMqSettings.model_validate(settings))


@pytest.fixture
def platform() -> Iterator[Platform]:
    made = Platform()
    yield made
    made._server.shutdown()


def test_depth_and_time_to_live_are_told_without_reading_a_message(platform: Platform) -> None:
    platform.put("{}", "{}")
    asked = platform.probe()
    assert isinstance(asked, QueueProbe)
    reading = asked.read(10)
    assert (reading.depth, reading.letters, reading.oldest_at, reading.retention_s) == (2, (), None, 604_800)
    assert (reading.drops_at, "is not known" in reading.notes[-1]) == (None, True)
    assert [each["headers"]["deliveryCount"] for each in platform.waiting] == ["10", "10"]
    assert asked.prove_read_only() == "asks for counts alone, reads no message"


def test_where_the_map_allows_it_letters_are_read_and_given_back(platform: Platform) -> None:
    platform.put(*(json.dumps({"id": number}) for number in range(25)))
    reading = platform.probe(peek="lock", key="$.id", reason="field:error").read(100)
    assert [letter.key for letter in reading.letters] == [str(number) for number in range(25)]
    assert {(letter.reason, letter.attempts) for letter in reading.letters} == {("422: no e-mail", 11)}
    assert (len(platform.waiting), platform.locked, platform.deleted) == (25, {}, []), "given back, none deleted"
    assert reading.oldest_at == datetime(2026, 3, 1, tzinfo=UTC)
    assert "by its own word" in reading.age_of
    assert "lockId" not in reading.letters[0].headers
    assert "counts as a delivery in vain" in reading.notes[0]


def test_a_token_that_was_revoked_is_renewed_within_the_same_read(platform: Platform) -> None:
    asked = platform.probe()
    assert asked.read(10).depth == 0
    platform.token = "another"
    assert asked.read(10).depth == 0
    assert platform.logins == 2


def test_a_token_that_is_never_good_is_a_refused_login_and_no_loop(platform: Platform) -> None:
    platform.status["admin"] = 401
    asked = platform.probe()
    for _ in range(3):
        with pytest.raises(ProbeError) as refused:
            asked.read(10)
        assert (refused.value.reason, refused.value.message) == (Reason.AUTH, "Anypoint refuses the login")
    assert platform.logins == 2


def test_a_queue_with_dead_letters_of_its_own_is_never_read(platform: Platform) -> None:
    platform.put("{}")
    platform.settings["deadLetterQueueId"] = "deader"
    reading = platform.probe(peek="lock").read(10)
    assert (reading.letters, "moves on what is delivered in vain" in reading.notes[0]) == ((), True)
    assert platform.waiting[0]["headers"]["deliveryCount"] == "10"


@pytest.mark.parametrize(
    ("where", "status", "reason"),
    [
        ("token", 401, Reason.AUTH),
        ("admin", 403, Reason.PERMISSION),
        ("admin", 404, Reason.QUERY),
        ("stats", 429, Reason.OVER_BUDGET),
        ("stats", 503, Reason.UNREACHABLE),
    ],
)
def test_refusals_are_named_without_the_secret(platform: Platform, where: str, status: int, reason: Reason) -> None:
    platform.status[where] = status
    with pytest.raises(ProbeError) as caught:
        platform.probe().read(1)
    assert caught.value.reason is reason
    assert "secret-of-looker" not in str(caught.value)


ODD_MESSAGES: dict[str, Any] = {
    "a text": "message",
    "nothing": None,
    "a list": [1],
    "without headers": {"body": "{}"},
    "headers that are a list": {"headers": ["messageId"], "body": "{}"},
    "headers with other types": {"headers": {"messageId": 5, "lockId": [], "created": 7, "deliveryCount": {}}},
    "properties that are a list": {"headers": {"messageId": "x1", "lockId": "k1"}, "properties": [1], "body": "{}"},
    "a body that is a table": {"headers": {"messageId": "x2", "lockId": "k2"}, "body": {"id": 7}},
    "a stamp beyond the calendar": {
        "headers": {
            "messageId": "x3",
            "lockId": "k3",
            "created": "Fri, 31 Dec 9999 23:59:59 -1200",
            "deliveryCount": -1,
        },
        "body": "{}",
    },
}


class Odd(Platform):
    """A platform whose broker answers what the test says, one answer a request."""

    def __init__(self, *answers: Any, figures: Any = None) -> None:
        super().__init__()
        self.answers = list(answers)
        self.given_back: list[Any] = []
        platform = self

        class Handler(self._server.RequestHandlerClass):  # type: ignore[name-defined,misc]
            def do_GET(self) -> None:  # noqa: N802
                if "/destinations/dead/messages" in self.path:
                    self._answer(200, platform.answers.pop(0) if platform.answers else [])
                elif self.path.startswith("/mq/stats") and figures is not None:
                    self._answer(200, figures)
                else:
                    super().do_GET()

            def do_DELETE(self) -> None:  # noqa: N802
                platform.given_back += json.loads(self._body())
                self._answer(200, [])

        self._server.RequestHandlerClass = Handler


def test_messages_of_any_shape_are_letters_and_are_given_back() -> None:
    good = {"headers": {"messageId": "good", "lockId": "k"}, "body": messages.GOOD.decode()}
    platform = Odd([*ODD_MESSAGES.values(), good], figures=[{"messages": len(ODD_MESSAGES) + 1}])
    reading = platform.probe(peek="lock", key="$.id").read(100)
    letters = {letter.letter_id: letter for letter in reading.letters}
    assert (reading.depth, letters["good"].key, letters["good"].unreadable) == (10, messages.GOOD_KEY, "")
    assert letters["x1"].unreadable == "its properties are no table"
    assert letters["x2"].unreadable == "its body is no text"
    assert letters["x3"].attempts is None
    assert [each["messageId"] for each in platform.given_back] == ["x1", "x2", "x3", "good"]
    assert "a letter came without messageId and lockId" in "; ".join(reading.notes)


@pytest.mark.parametrize("name", messages.PAYLOADS)
def test_bodies_of_any_content_are_letters(name: str) -> None:
    payload = messages.PAYLOADS[name]
    made = [
        {"headers": {"messageId": "odd", "lockId": "1"}, "body": payload.decode("utf-8", "surrogateescape")},
        {"headers": {"messageId": "good", "lockId": "2"}, "body": messages.GOOD.decode()},
    ]
    reading = Odd(made, figures=[{"messages": 2}]).probe(peek="lock", key="$..id").read(100)
    assert [letter.letter_id for letter in reading.letters] == ["odd", "good"]
    assert reading.letters[1].key == messages.GOOD_KEY


@pytest.mark.parametrize("name", messages.FIGURES)
def test_a_depth_that_cannot_be_true_is_unknown(name: str) -> None:
    for figures in ([{"messages": messages.FIGURES[name]}], messages.FIGURES[name], [messages.FIGURES[name]]):
        reading = Odd(figures=figures or [None]).probe().read(0)
        assert reading.depth is None
        assert "without figures of this queue" in reading.notes[0]
