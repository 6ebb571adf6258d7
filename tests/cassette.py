"""Requests and answers of an API on a tape, without secrets: a probe's contract is checked without the vendor.

    with recording(path, secrets=[TOKEN]) as tape:           # once, with an account of the vendor for tests
        probe = RestProbe(settings, Line(connect=tape))
    with replaying(path) as tape:                            # ever after, with nothing listening
        probe = RestProbe(settings, Line(connect=tape))

A tape holds what was asked and what was answered, in JSON that people read and compare. It never holds a header of a
request (only whether it was signed in), a secret that it was told of, the fields of a form that sign in, or a token
that was given out: each stands there as a word of its own. It holds the records that were answered, so it is recorded
with made-up ones. Answering, it takes the first answer to the same request that was not given yet, and fails for a
request that was never recorded; at the end it fails where recorded requests were not sent.
"""

from __future__ import annotations

import json
import re
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx

from probes.secrets import HIDDEN, Scrubber, without_parameters

KEPT_HEADERS = re.compile(
    r"content-type|date|age|link|retry-after|location|sforce-limit-info|.*rate-?limit.*|.*-version", re.IGNORECASE
)
"""Headers of answers that a probe may act on; all others are left out, cookies and identities of calls among them."""

SIGNS_IN = frozenset({"client_secret", "assertion", "client_assertion", "refresh_token", "password", "code"})
"""Fields of a form whose values are never kept."""

GIVEN_OUT = re.compile(r"(?i).*token|signature|secret")
"""Members of an answer whose values are never kept, where they are text."""

NOT_GIVEN_OUT = frozenset({"token_type"})


class Tape:
    """What stands on it, and what is still to come of it."""

    def __init__(self, exchanges: list[dict[str, Any]], secrets: Iterable[str] = ()) -> None:
        self.exchanges = exchanges
        self._secrets = list(secrets)
        self._scrub = Scrubber(self._secrets)
        self._given: dict[str, str] = {}
        self._writing = threading.Lock()

    # -- writing

    def write(self, request: httpx.Request, body: bytes, response: httpx.Response, answer: bytes) -> None:
        """Keep an exchange."""
        with self._writing:
            document = self._document(_unpacked(answer, response.headers.get("content-encoding", "")))
            kept = {name.lower(): self._scrub(value) for name, value in response.headers.items() if _kept(name)}
            answered = {"status": response.status_code, "headers": kept, **document}
            self.exchanges.append({"asked": self._asked(request, body), "answered": answered})

    def _document(self, body: bytes) -> dict[str, Any]:
        """The body as JSON where writing it again changes nothing of its meaning, otherwise as text."""
        try:
            text = body.decode()
            clean = self._clean(json.loads(text))
        except ValueError:
            return {"text": self._hidden(body.decode("latin-1"))}
        return {"json": clean} if _stays_the_same(text) else {"text": self._hidden(text)}

    def _clean(self, node: Any, name: str = "") -> Any:
        if isinstance(node, dict):
            return {key: self._clean(value, key) for key, value in node.items()}
        if isinstance(node, list):
            return [self._clean(value, name) for value in node]
        if isinstance(node, str):
            if node and GIVEN_OUT.fullmatch(name) and name not in NOT_GIVEN_OUT:
                self._learn(name, node)
                return self._given.get(node, node)
            return self._hidden(node)
        return node

    def _hidden(self, text: str) -> str:
        for token, word in self._given.items():
            text = text.replace(token, word)
        return self._scrub(text)

    def _learn(self, name: str, token: str) -> None:
        if token in self._given.values():  # it came from a tape
            return
        self._given.setdefault(token, f"{name}-{len(self._given) + 1}")
        self._scrub = Scrubber([*self._secrets, *self._given])

    # -- asking

    def _asked(self, request: httpx.Request, body: bytes) -> dict[str, Any]:
        target = request.extensions.get("target", request.url.raw_path).decode()
        signed_in = "authorization" in request.headers or any("key" in name for name in request.headers)
        asked = {
            "method": request.method,
            "host": request.url.host,
            "target": self._hidden(without_parameters(target)),
        }
        return {**asked, "signed_in": signed_in, **self._body(request, body)}

    def _body(self, request: httpx.Request, body: bytes) -> dict[str, Any]:
        if not body:
            return {}
        if "form" in request.headers.get("content-type", ""):
            fields = parse_qsl(body.decode(), keep_blank_values=True)
            return {
                "form": {name: HIDDEN if name in SIGNS_IN else self._scrub(value) for name, value in sorted(fields)}
            }
        return {"json": self._clean(json.loads(body))}

    # -- answering

    def play(self, request: httpx.Request, body: bytes) -> httpx.Response:
        """The first answer to this request that was not given yet."""
        with self._writing:
            asked = self._asked(request, body)
            found = next((each for each in self.exchanges if each["asked"] == asked and not each.get("played")), None)
            assert found is not None, f"never recorded, or not so often: {json.dumps(asked)}"
            found["played"] = True
            answered: Mapping[str, Any] = found["answered"]
        content = answered["text"].encode("latin-1") if "text" in answered else json.dumps(answered["json"]).encode()
        return httpx.Response(answered["status"], headers=answered["headers"], stream=httpx.ByteStream(content))

    @property
    def left(self) -> list[str]:
        """Recorded requests that were not sent."""
        missed = [each["asked"] for each in self.exchanges if not each.get("played")]
        return [f"{each['method']} {each['target']}" for each in missed]


class _Recording(httpx.HTTPTransport):
    """A line to the real server, so that its deadlines are kept as ever."""

    def __init__(self, tape: Tape, **words: Any) -> None:
        super().__init__(**words)
        self._tape = tape

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        body = request.read()
        response = super().handle_request(request)
        assert isinstance(response.stream, httpx.SyncByteStream)
        answer = b"".join(response.stream)
        response.stream.close()
        self._tape.write(request, body, response, answer)
        return httpx.Response(
            response.status_code,
            headers=response.headers,
            stream=httpx.ByteStream(answer),
            extensions=response.extensions,
        )


class _Replaying(httpx.BaseTransport):
    def __init__(self, tape: Tape) -> None:
        self._tape = tape

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._tape.play(request, request.read())


class Recorder:
    """Opens lines that are recorded; see `probes.http.line.Line.connect`."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape

    def __call__(self, verify: bool, connections: int) -> httpx.BaseTransport:
        return _Recording(self.tape, verify=verify, limits=httpx.Limits(max_connections=connections))


class Player:
    """Opens lines that answer from a tape."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape

    def __call__(self, verify: bool, connections: int) -> httpx.BaseTransport:
        return _Replaying(self.tape)


@contextmanager
def recording(path: Path, secrets: Iterable[str] = ()) -> Iterator[Recorder]:
    """Record what is sent inside the block; the tape is written where that ended well.

    Args:
        secrets: whatever must not stand on it, beside what signs in and what is given out.
    """
    tape = Tape([], secrets)
    yield Recorder(tape)
    path.write_text(json.dumps(tape.exchanges, indent=1, ensure_ascii=False) + "\n")


@contextmanager
def replaying(path: Path) -> Iterator[Player]:
    """Answer what is sent inside the block from a tape.

    Raises:
        AssertionError: recorded requests were not sent.
    """
    tape = Tape(json.loads(path.read_text()))
    yield Player(tape)
    assert tape.left == [], "recorded, and not sent"


def _kept(name: str) -> bool:
    return KEPT_HEADERS.fullmatch(name) is not None


def _unpacked(body: bytes, encoding: str) -> bytes:
    return zlib.decompress(body, 16 + zlib.MAX_WBITS) if encoding == "gzip" else body


def _stays_the_same(text: str) -> bool:
    """Whether JSON says the same when it was read and written again: no name twice, no number that is rounded."""
    twice = False

    def named(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal twice
        twice = twice or len(dict(pairs)) < len(pairs)
        return dict(pairs)

    json.loads(text, object_pairs_hook=named)
    numbers = re.findall(r"-?\d[\d.eE+-]*", re.sub(r'"(?:[^"\\]|\\.)*"', "", text))
    return not twice and all(json.dumps(json.loads(each)) == each for each in numbers)
