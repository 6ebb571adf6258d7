"""What every queue probe keeps to when its broker hangs, resets, lies or is gone: a named error, in time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, cast

import pytest
from pydantic import SecretStr

from probes import registry
from probes.contract import ProbeError, Reason
from probes.queue_contract import QueueProbe
from tests.probes.queues.test_anypoint_mq import Platform
from tests.proxy import Mode, Proxy
from tests.servers import Kafka

TIMEOUT_S = 1.5
SLACK_S = 4
"""A busy machine may wake a thread late; a probe without a deadline would hang for a minute."""
WIRE = {Reason.TIMEOUT, Reason.UNREACHABLE, Reason.DECODE, Reason.QUERY}
"""What a broken line may be called; never a refused login, never an empty queue."""

Make = Callable[[int], dict[str, Any]]


def _port(address: str) -> int:
    return int(address.rpartition("@")[2].rpartition(":")[2].partition("/")[0])


def _through(address: str, port: int) -> str:
    return address.replace(str(_port(address)), str(port))


BROKEN_HERE = ("redis", "nats", "rabbitmq", "kafka", "sqs", "pubsub", "anypoint_mq")
BROKEN_ELSEWHERE = {
    "salesforce_events": "it has two lines, HTTP and gRPC, which test_salesforce_events breaks",
    "service_bus": "it has two lines, HTTP and AMQP, which test_service_bus breaks one by one",
    "sql_queue": "its line is that of the SQL probe, which tests/probes/records break",
}


def test_the_lines_of_every_kind_are_broken() -> None:
    assert {*BROKEN_HERE, *BROKEN_ELSEWHERE} == {*registry.QUEUE_KINDS}


@pytest.fixture(params=BROKEN_HERE)
def broker(request: pytest.FixtureRequest) -> tuple[int, Make]:
    """A broker's port, and what makes the settings of a queue that is reached through another one."""

    def of(name: str) -> Any:
        return request.getfixturevalue(name)

    kind = request.param
    if kind in {"redis", "nats", "rabbitmq"}:
        url = of(f"{kind}_url")
        queues = {"redis": {"name": "letters"}, "nats": {"stream": "s"}, "rabbitmq": {"queue": "q"}}
        return _port(url), lambda port: {"kind": kind, "url": _through(url, port), **queues[kind]}
    if kind == "kafka":
        servers = cast(Kafka, of("kafka_server")).servers
        return _port(servers), lambda port: {"kind": kind, "servers": _through(servers, port), "topic": "t"}
    if kind == "sqs":
        login = {"region": "r", "access_key": "looker", "secret_key": "secret-of-looker"}
        return _port(of("elasticmq_url")), lambda port: {
            "kind": kind,
            "endpoint": f"http://127.0.0.1:{port}",
            "queue_url": f"http://127.0.0.1:{port}/1/q",
            "cloudwatch": False,
            **login,
        }
    if kind == "pubsub":
        place = {"project": "p", "subscription": "s"}
        return _port(of("pubsub_address")), lambda port: {"kind": kind, "endpoint": f"127.0.0.1:{port}", **place}
    platform = Platform()
    return platform.port, lambda port: {
        "kind": kind,
        **{name: "x" for name in ("organization", "environment", "region", "queue", "client_id")},
        "client_secret": "secret-of-looker",
        "url": f"http://127.0.0.1:{port}",
    }


def _probe(settings: dict[str, Any]) -> QueueProbe:
    model = registry.queue_settings(settings["kind"])
    return registry.open_queue_probe(model.model_validate({**settings, "timeout": TIMEOUT_S}), None)


def _failure(probe: QueueProbe) -> tuple[ProbeError, float]:
    begun = time.monotonic()
    with pytest.raises(ProbeError) as caught:
        probe.read(10)
    return caught.value, time.monotonic() - begun


@pytest.mark.parametrize("mode", ["swallow", "reset", "garbage"])
def test_a_broken_line_is_a_named_error_in_time(broker: tuple[int, Make], mode: Mode) -> None:
    port, make = broker
    proxy = Proxy(port)
    proxy.mode = mode
    settings = make(proxy.port)
    probe = _probe(settings)
    error, took_s = _failure(probe)
    assert error.reason in WIRE, error
    assert took_s < TIMEOUT_S + SLACK_S
    secrets = [
        value.get_secret_value() for value in vars(_settings(settings)).values() if isinstance(value, SecretStr)
    ]
    assert not any(secret in str(error) for secret in secrets)
    probe.close()


def test_a_broker_that_is_gone_is_unreachable(broker: tuple[int, Make]) -> None:
    _, make = broker
    error, took_s = _failure(_probe(make(1)))
    assert error.reason is Reason.UNREACHABLE, error
    assert took_s < TIMEOUT_S + SLACK_S


def _settings(settings: dict[str, Any]) -> Any:
    return registry.queue_settings(settings["kind"]).model_validate(settings)
