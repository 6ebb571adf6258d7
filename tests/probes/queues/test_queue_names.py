"""Names of queues as parts of an address: one that leads to another place is refused, any other arrives as it is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import pytest
from pydantic import ValidationError

from probes import registry
from probes.contract import ProbeError
from tests.http_api import Api, Response

WORDS: dict[str, dict[str, Any]] = {
    "rabbitmq": {"url": "http://u:p@127.0.0.1:1", "vhost": "/", "queue": "q"},
    "anypoint_mq": {
        **{"organization": "o", "environment": "e", "region": "r", "queue": "q", "client_id": "c"},
        **{"client_secret": "long secret", "url": "http://127.0.0.1:1", "broker_url": "http://127.0.0.1:1"},
    },
    "service_bus": {
        "connection": "Endpoint=sb://127.0.0.1/;SharedAccessKeyName=n;SharedAccessKey=a2V5",
        **{"topic": "t", "subscription": "s"},
    },
    "pubsub": {"project": "p", "subscription": "s", "endpoint": "127.0.0.1:1"},
}
NAMED = [
    (kind, word)
    for kind, words in WORDS.items()
    for word in ("vhost", "queue", "organization", "environment", "region", "topic", "subscription", "project")
    if word in words
]


@pytest.mark.parametrize("name", ["", ".", ".."])
@pytest.mark.parametrize(("kind", "word"), NAMED)
def test_a_name_that_leads_to_another_place_is_refused(kind: str, word: str, name: str) -> None:
    with pytest.raises(ValidationError, match="it stands for another place"):
        registry.queue_settings(kind).model_validate({"kind": kind, "role": "dead", **WORDS[kind], word: name})


@pytest.mark.parametrize("name", ["a/../b", "../b", "a/.", "a//b"])
def test_a_queue_of_service_bus_whose_path_leads_to_another_place_is_refused(name: str) -> None:
    connection = WORDS["service_bus"]["connection"]
    with pytest.raises(ValidationError, match="it stands for another place"):
        registry.queue_settings("service_bus").model_validate(
            {"kind": "service_bus", "role": "dead", "connection": connection, "queue": name}
        )


@pytest.mark.parametrize("name", ["a/b", 'a"b', "a?b", "a#b"])
def test_google_has_no_such_names(name: str) -> None:
    with pytest.raises(ValidationError, match="no name of Google's"):
        registry.queue_settings("pubsub").model_validate(
            {"kind": "pubsub", "role": "dead", **WORDS["pubsub"], "subscription": name}
        )


@pytest.fixture
def api() -> Iterator[Api]:
    served = Api(lambda request: Response(document={"access_token": "t", "expires_in": 3600}, status=200))
    yield served
    served.close()


@pytest.mark.parametrize(
    "name", ["a/b", "../a", "a?b=c", "a#b", "%2e%2e", "%2E%2e", "a;b", "a b", "a\\b", "..\\x", "...", "n" * 200]
)
@pytest.mark.parametrize("kind", ["rabbitmq", "anypoint_mq"])
def test_any_other_name_is_asked_for_exactly(api: Api, kind: str, name: str) -> None:
    words = {**WORDS[kind], "queue": name}
    words |= (
        {"url": api.url.replace("//", "//u:p@")} if kind == "rabbitmq" else {"url": api.url, "broker_url": api.url}
    )
    settings = registry.queue_settings(kind).model_validate({"kind": kind, "role": "dead", **words})
    probe = registry.open_queue_probe(settings, None)
    with contextlib.suppress(ProbeError):  # the stand-in describes no queue; what it was asked for counts
        probe.read(0)
    own = [each for each in api.asked if "queues/" in each.path]
    assert own
    for each in own:
        last = each.path.split("/queues/", 1)[1].split("/")
        assert [unquote(part) for part in last] == (["/", name] if kind == "rabbitmq" else [name])
