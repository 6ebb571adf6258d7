"""What a service's answer may cost: bytes that are unpacked, and time that goes by while it drips."""

from __future__ import annotations

import gzip
import itertools
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import certifi
import httpx
import pytest

from probes import registry
from probes.bounded_http import ERROR_LIMIT_BYTES, BoundedClient, trusted
from probes.contract import ProbeError, Reason
from tests.http_api import Api, Response

PART = b" " * 65_536
DRIPS = 400
"""Enough for twenty seconds; a client without a deadline waits for all of them."""


def packed(_: object) -> Response:
    """A small answer that stands for more than any limit allows."""
    return Response(document=gzip.compress(PART * 2_000), headers={"Content-Encoding": "gzip"})


def endless(_: object) -> Response:
    return Response(document=itertools.repeat(PART))


def dripping(_: object) -> Response:
    def drops() -> Iterator[bytes]:
        for _ in range(DRIPS):
            yield b" "
            time.sleep(0.05)

    return Response(document=drops())


def refused_with(answer: Response) -> Callable[[object], Response]:
    return lambda _: answer


@pytest.fixture
def api() -> Iterator[Api]:
    made = Api(endless)
    yield made
    made.close()


QUEUES: dict[str, Callable[[str], dict[str, Any]]] = {
    "rabbitmq": lambda url: {"url": url, "queue": "q"},
    "anypoint_mq": lambda url: {
        **{name: "x" for name in ("organization", "environment", "region", "queue", "client_id")},
        "client_secret": "secret-of-looker",
        "url": url,
    },
    "service_bus": lambda url: {
        "connection": "Endpoint=sb://127.0.0.1;SharedAccessKeyName=looker;SharedAccessKey=c2VjcmV0LWtleQ==",
        "queue": "q",
        "management": url,
    },
}


@pytest.mark.parametrize("kind", QUEUES)
@pytest.mark.parametrize(
    ("answer", "reason"),
    [(packed, Reason.TOO_LARGE), (endless, Reason.TOO_LARGE), (dripping, Reason.TIMEOUT)],
)
def test_a_queue_whose_answer_is_too_much_is_not_read(
    api: Api, kind: str, answer: Callable[[object], Response], reason: Reason
) -> None:
    api.answer = answer
    timeout_s = 1 if reason is Reason.TIMEOUT else 60
    model = registry.queue_settings(kind)
    settings = model.model_validate({"kind": kind, "timeout": timeout_s, **QUEUES[kind](api.url)})
    probe = registry.open_queue_probe(settings, None)
    with pytest.raises(ProbeError) as caught:
        probe.read(1)
    # Anypoint's first answer is that of its token endpoint, where whatever is no token is a matter of signing in.
    of_token = kind == "anypoint_mq" and reason is Reason.TOO_LARGE
    assert caught.value.reason is (Reason.AUTH if of_token else reason), caught.value
    probe.close()


def test_of_an_error_only_the_beginning_is_read_and_its_status_counts(api: Api) -> None:
    client = BoundedClient(timeout_s=60)
    for refused in (replace(endless(None), status=503), replace(packed(None), status=503)):
        api.answer = refused_with(refused)
        told = client.ask("GET", api.url)
        assert (told.status_code, len(told.content)) == (503, ERROR_LIMIT_BYTES)
    client.close()


def test_the_deadline_holds_through_a_proxy_of_the_environment(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", api.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    api.answer = dripping
    client = BoundedClient(timeout_s=1)
    with pytest.raises(httpx.TimeoutException):
        client.ask("GET", "http://service.example/figures")
    assert [request.path for request in api.asked] == ["http://service.example/figures"]
    client.close()


def test_clients_share_the_authorities_that_the_environment_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    usual = trusted()
    assert trusted() is usual
    assert usual.get_ca_certs()
    monkeypatch.setenv("SSL_CERT_FILE", shutil.copy(certifi.where(), str(tmp_path)))
    assert trusted() is not usual
    monkeypatch.delenv("SSL_CERT_FILE")
    assert trusted() is usual
