"""A process that asks one HTTP server after the other with one client of the product, and says how that ended."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

from probes import registry
from probes.bounded_http import BoundedClient
from probes.contract import ProbeError
from probes.queues.bounded_google import bounded_request
from probes.queues.pubsub import PubSubProbe, PubSubSettings
from probes.records.rest.probe import RestProbe
from probes.records.rest.settings import RestBinding, RestSettings
from tests.auditor.senders.receivers import NOTICE, OVER_HTTP, opened

KEY = {"client_secret": "secret-of-looker"}
BINDING: dict[str, Any] = {
    "collection": "things",
    "key": "id",
    "version": "version",
    "one": "/things/{key}",
    "many": "/things?ids={keys}",
    "list": "/things?limit={limit}",
    "changed": "/things?since={since}",
}


def rest(word: str) -> Callable[[str, float], str]:
    """A call of the probe of HTTP APIs."""

    def ask(url: str, timeout_s: float) -> str:
        words = {name: value for name, value in BINDING.items() if name != "many" or word != "one"}
        binding = RestBinding.model_validate(words)
        settings = RestSettings.model_validate({"kind": "rest", "url": url, "budget": {"timeout": timeout_s}})
        probe, spec = RestProbe(settings), binding.spec("thing", ("name",), zone="UTC")
        calls: dict[str, Callable[[], object]] = {
            "one": lambda: probe.fetch(spec, ["1"]),
            "many": lambda: probe.fetch(spec, ["1", "2"]),
            "list": lambda: probe.page(spec, None, 10),
            "changed": lambda: probe.changed(spec, 1, 10),
        }
        try:
            calls[word]()
        finally:
            probe.close()
        return "an answer"

    return ask


def queue(kind: str, words: Callable[[str], dict[str, Any]]) -> Callable[[str, float], str]:
    """A reading of a queue."""

    def ask(url: str, timeout_s: float) -> str:
        model = registry.queue_settings(kind)
        settings = model.model_validate({"kind": kind, "timeout": timeout_s, **words(url)})
        probe = registry.open_queue_probe(settings, None)
        try:
            probe.read(10)
        finally:
            probe.close()
        return "an answer"

    return ask


def monitoring(url: str, timeout_s: float) -> str:
    """Figures of Cloud Monitoring."""
    words = {"project": "p", "subscription": "s", "endpoint": "127.0.0.1:1", "monitoring": url, "timeout": timeout_s}
    probe = PubSubProbe(PubSubSettings.model_validate({"kind": "pubsub", **words}))
    try:
        probe._latest("num_undelivered_messages")
    finally:
        probe.close()
    return "an answer"


def token(url: str, timeout_s: float) -> str:
    """What google-auth asks for."""
    client = BoundedClient(timeout_s=timeout_s)
    try:
        bounded_request(client)(url, "POST", b"grant")
    except Exception as error:
        if isinstance(error.__cause__, ProbeError):
            raise error.__cause__ from None
        return f"{type(error).__name__}: {type(error.__cause__).__name__}"
    finally:
        client.close()
    return "an answer"


def sender(name: str) -> Callable[[str, float], str]:
    """A try of a sender of alerts."""

    def ask(url: str, timeout_s: float) -> str:
        made = opened(name, f"{url}/services/T0/B0/secret-part", timeout_s=timeout_s)
        receipt = made.send(NOTICE, possible_repeat=False)
        made.close()
        assert "secret-part" not in receipt.error
        return f"{receipt.outcome}: {receipt.error}"

    return ask


CLIENTS: dict[str, Callable[[str, float], str]] = {
    **{f"rest {word}": rest(word) for word in ("one", "many", "list", "changed")},
    "rabbitmq": queue("rabbitmq", lambda url: {"url": url, "queue": "q"}),
    "anypoint_mq": queue(
        "anypoint_mq",
        lambda url: (
            {**dict.fromkeys(("organization", "environment", "region", "queue", "client_id"), "x"), **KEY}
            | {"url": url}
        ),
    ),
    "service_bus": queue(
        "service_bus",
        lambda url: {
            "connection": "Endpoint=sb://127.0.0.1;SharedAccessKeyName=looker;SharedAccessKey=c2VjcmV0LWtleQ==",
            "queue": "q",
            "management": url,
        },
    ),
    "sqs": queue(
        "sqs",
        lambda url: {
            "endpoint": url,
            "queue_url": f"{url}/1/q",
            "region": "r",
            "access_key": "looker",
            "secret_key": "secret-of-looker",
            "cloudwatch": False,
        },
    ),
    "pubsub monitoring": monitoring,
    "google token": token,
    **{name: sender(name) for name in (*OVER_HTTP, "slack_bot")},
}


def peak_bytes() -> int:
    """The most memory that this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def ended(client: str, url: str, timeout_s: float) -> dict[str, Any]:
    """How an exchange ended, when, and what it cost."""
    before, begun = peak_bytes(), time.monotonic()
    reason = ""
    try:
        told = CLIENTS[client](url, timeout_s)
    except ProbeError as error:
        told, reason = str(error), error.reason.value
    except Exception as error:
        told = f"TRACEBACK {type(error).__name__}: {error}"
    took_s = time.monotonic() - begun
    return {"told": told, "reason": reason, "took_s": took_s, "grown_bytes": peak_bytes() - before}


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    ended(asked["client"], "http://127.0.0.1:1", 1.0)  # loads what it needs
    print(json.dumps({name: ended(asked["client"], url, asked["timeout"]) for name, url in asked["urls"].items()}))
