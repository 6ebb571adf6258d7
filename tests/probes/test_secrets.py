"""Passwords with reserved characters: refused unquoted, right when quoted, and never in any text."""

from __future__ import annotations

import base64
import traceback
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import quote

import httpx
import psycopg
import pymysql
import pytest
import redis
from pydantic import SecretStr, ValidationError

from auditor.map.settings import AlertSettings
from auditor.senders.json_post import post, scrubber_of
from auditor.senders.registry import sender_settings
from auditor.systems.reader import SystemReader
from probes import registry
from probes.addresses import check_address
from probes.bounded_http import BoundedClient
from probes.contract import ProbeError, ReadSpec, Reason
from probes.queues.kafka import KafkaProbe
from probes.secrets import Scrubber
from tests.auditor.senders.receivers import OVER_HTTP
from tests.probes.chatter import PASSWORD, chatter
from tests.servers import free_port

PARTS = ("Zw0lf", "Boxk4mpfer", "jagen", "V1ktor", "ueber", "Sylter")
SPEC = ReadSpec(data_type="t", collection="things", key="id", changed_at=None, fields=("name",))

RECORDS: dict[str, Callable[[str], dict[str, Any]]] = {
    "postgresql": lambda login: {"kind": "sql", "url": f"postgresql://{login}@127.0.0.1:{free_port()}/x"},
    "mariadb": lambda login: {"kind": "sql", "url": f"mariadb://{login}@127.0.0.1:{free_port()}/x"},
    "rest": lambda login: {"kind": "rest", "url": f"http://{login}@127.0.0.1:{free_port()}"},
}
QUEUES: dict[str, Callable[[str], dict[str, Any]]] = {
    "rabbitmq": lambda login: {
        "kind": "rabbitmq",
        "url": f"http://{login}@127.0.0.1:{free_port()}",
        "queue": "q",
    },
    "nats": lambda login: {"kind": "nats", "url": f"nats://{login}@127.0.0.1:{free_port()}", "stream": "s"},
    "redis": lambda login: {"kind": "redis", "url": f"redis://{login}@127.0.0.1:{free_port()}", "name": "q"},
    "sqs": lambda login: {
        "kind": "sqs",
        "region": "r",
        "access_key": "someone",
        "secret_key": PASSWORD,
        "queue_url": f"http://{login}@127.0.0.1:{free_port()}/1/q",
        "endpoint": f"http://{login}@127.0.0.1:{free_port()}",
        "cloudwatch": False,
    },
    "anypoint_mq": lambda login: {
        "kind": "anypoint_mq",
        **{name: "x" for name in ("organization", "environment", "region", "queue", "client_id")},
        "client_secret": PASSWORD,
        "url": f"http://{login}@127.0.0.1:{free_port()}",
    },
    "kafka": lambda _: {
        "kind": "kafka",
        "servers": f"127.0.0.1:{free_port()}",
        "topic": "t",
        "security": "sasl_plaintext",
        "user": "someone",
        "password": PASSWORD,
    },
    "service_bus": lambda login: {
        "kind": "service_bus",
        "connection": f"Endpoint=sb://127.0.0.1/;SharedAccessKeyName=n;SharedAccessKey={quote(PASSWORD, safe='')}",
        "queue": "q",
        "management": f"http://{login}@127.0.0.1:{free_port()}",
    },
}
EVERY = [*((RECORDS, kind) for kind in RECORDS), *((QUEUES, kind) for kind in QUEUES)]
KINDS = [kind for _, kind in EVERY]
ADDRESSED = [(kinds, kind) for kinds, kind in EVERY if kind != "kafka"]


def parsed(made: dict[str, Any], *, queue: bool) -> Any:
    model = registry.queue_settings(made["kind"]) if queue else registry.record_settings(made["kind"])
    return model.model_validate({**made, **({"timeout": 1} if queue else {"budget": {"timeout": 1}})})


def assert_discreet(text: str) -> None:
    """No fragment of the password, in any case or encoding."""
    folded = text.casefold()
    for part in PARTS:
        assert part.casefold() not in folded, f"{part} in {text}"
    assert base64.b64encode(f"someone:{PASSWORD}".encode()).decode()[:24] not in text


@pytest.mark.parametrize(("kinds", "kind"), ADDRESSED, ids=[kind for _, kind in ADDRESSED])
@pytest.mark.parametrize("sign", ["@", "/", "?", "#", "%", " ", "[", "@@", "/@", "?x=@", "1/@"])
def test_a_login_with_an_unquoted_sign_is_refused_with_how_to_quote_it(
    kinds: dict[str, Callable[[str], dict[str, Any]]], kind: str, sign: str
) -> None:
    made = kinds[kind](f"someone:Zw0lf{sign}Boxk4mpfer")
    with pytest.raises(ValidationError) as refused:
        parsed(made, queue=kinds is QUEUES)
    (first, *_) = refused.value.errors(include_url=False, include_input=False, include_context=False)
    wanted = {"@": "%40", "/": "%2F", "?": "%3F", "#": "%23", "%": "%25", " ": "%20", "[": "%5B"}
    assert wanted[sign.lstrip("1")[0]] in first["msg"]
    assert_discreet(first["msg"])


@pytest.mark.parametrize("kind", OVER_HTTP)
@pytest.mark.parametrize("sign", ["@", "/", "#"])
def test_a_sender_with_an_unquoted_login_is_refused(kind: str, sign: str) -> None:
    word = sender_settings(kind).address_word
    with pytest.raises(ValidationError, match="percent-encoded"):
        AlertSettings.model_validate({kind: {word: f"https://someone:Zw0lf{sign}Boxk4mpfer@hooks.example/x"}})


def test_a_login_in_the_servers_of_kafka_is_refused() -> None:
    with pytest.raises(ValidationError, match="the login goes into user: and password:"):
        registry.queue_settings("kafka").model_validate({"kind": "kafka", "servers": "u:p@h:9092", "topic": "t"})


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://someone:a:b@host/db",
        "postgresql://someone:a%40b@[::1]:5432/db?sslmode=require",
        "postgresql:///db?host=/var/run/postgresql",
        "postgresql://h1:5432,h2:5432/db",
        "redis://:word@host:6379/0",
        "nats://token@host",
    ],
)
def test_what_every_driver_reads_the_same_way_is_accepted(address: str) -> None:
    assert check_address(address) == address


@pytest.mark.parametrize(("kinds", "kind"), EVERY, ids=KINDS)
def test_nobody_there_tells_no_secret(kinds: dict[str, Callable[[str], dict[str, Any]]], kind: str) -> None:
    assert_discreet(failure(kinds, kind))


@pytest.mark.parametrize(("kinds", "kind"), EVERY, ids=KINDS)
def test_whatever_a_driver_says_tells_no_secret(
    kinds: dict[str, Callable[[str], dict[str, Any]]], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import azure.servicebus
    import botocore.endpoint
    import nats

    monkeypatch.setattr(KafkaProbe, "driver", "tests.probes.chatty_kafka_driver")
    monkeypatch.setattr(psycopg.Connection, "connect", chatter)
    monkeypatch.setattr(psycopg, "connect", chatter)
    monkeypatch.setattr(pymysql, "connect", chatter)
    monkeypatch.setattr(pymysql.connections.Connection, "connect", chatter)
    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", chatter)
    monkeypatch.setattr(redis.Connection, "connect", chatter)
    monkeypatch.setattr(nats, "connect", chatter)
    monkeypatch.setattr(botocore.endpoint.Endpoint, "make_request", chatter)
    monkeypatch.setattr(azure.servicebus.ServiceBusClient, "from_connection_string", chatter)
    told = failure(kinds, kind)
    assert "***" in told or "ChattyError" in told or "cannot be reached" in told
    if kind == "kafka":
        assert "DriverError: ChattyError: (2003, '***" in told
    assert_discreet(told)


def failure(kinds: dict[str, Callable[[str], dict[str, Any]]], kind: str) -> str:
    """What is told where the system cannot be read."""
    settings = parsed(kinds[kind](f"someone:{quote(PASSWORD, safe='')}"), queue=kinds is QUEUES)
    if kinds is QUEUES:
        with pytest.raises(ProbeError) as failed:
            registry.open_queue_probe(settings, None).read(1)
        return "".join(traceback.format_exception(failed.value))
    reader = SystemReader("s", settings, registry.open_record_probe(settings))
    with pytest.raises(ProbeError) as failed:
        reader.call(reader.probe.clock)
    return "".join(traceback.format_exception(failed.value)) + str(reader.health.message)


def test_a_quoted_password_logs_in_everywhere(
    mariadb_url: str, redis_url: str, rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sqlalchemy as sa

    at = sa.make_url(mariadb_url)
    quoted = quote(PASSWORD, safe="")
    with pymysql.connect(
        host=at.host or "", port=at.port or 0, user=at.username, password=str(at.password), autocommit=True
    ) as admin:
        cursor = admin.cursor()
        cursor.execute("CREATE OR REPLACE USER 'odd'@'127.0.0.1' IDENTIFIED BY %s", (PASSWORD,))
        cursor.execute(f"GRANT SELECT ON {at.database}.* TO 'odd'@'127.0.0.1'")
        cursor.execute(f"CREATE TABLE {at.database}.things (id int, name text)")
    reading = {"kind": "sql", "url": f"mariadb://odd:{quoted}@{at.host}:{at.port}/{at.database}"}
    probe = registry.open_record_probe(parsed(reading, queue=False))
    assert probe.fetch(SPEC, [1]) == []
    probe.close()

    plain = redis.Redis.from_url(redis_url)
    plain.execute_command("ACL", "SETUSER", "odd", "on", f">{PASSWORD}", "allkeys", "allcommands")  # type: ignore[no-untyped-call]
    address = redis_url.rpartition("@")[2]
    asked = registry.open_queue_probe(
        parsed({"kind": "redis", "url": f"redis://odd:{quoted}@{address}", "name": "nothing"}, queue=True), None
    )
    assert asked.read(0).depth == 0

    httpx.put(f"{rabbitmq_url}/api/users/odd", json={"password": PASSWORD, "tags": "monitoring"}).raise_for_status()
    httpx.put(
        f"{rabbitmq_url}/api/permissions/%2F/odd", json={"configure": "", "write": "", "read": ".*"}
    ).raise_for_status()
    httpx.put(f"{rabbitmq_url}/api/queues/%2F/odd", json={}).raise_for_status()
    address = rabbitmq_url.rpartition("@")[2]
    asked = registry.open_queue_probe(
        parsed({"kind": "rabbitmq", "url": f"http://odd:{quoted}@{address}", "queue": "odd"}, queue=True), None
    )
    assert "as odd" in asked.prove_read_only()


def test_nats_is_given_the_password_decoded() -> None:
    settings = registry.queue_settings("nats")
    made = settings.model_validate({"kind": "nats", "url": f"nats://odd:{quote(PASSWORD, safe='')}@h", "stream": "s"})
    assert cast(Any, made).login() == {"user": "odd", "password": PASSWORD}
    token = settings.model_validate({"kind": "nats", "url": "nats://to%2Fken@h:4222", "stream": "s"})
    assert cast(Any, token).login() == {"token": "to/ken"}


def test_a_receiver_that_repeats_its_address_tells_nobody() -> None:
    address = "https://someone:Zw0lf%40Boxk4mpfer@hooks.example/services/T0000/V1ktorV1ktor"

    def answer(_: httpx.Request) -> httpx.Response:
        said = b"no /services/T0000/V1ktorV1ktor for someone:Zw0lf@Boxk4mpfer"
        return httpx.Response(404, stream=httpx.ByteStream(said))

    client = BoundedClient(timeout_s=5, transport=httpx.MockTransport(answer))
    receipt = post(client, address, b"{}", {}, scrubber_of(address))
    assert receipt.outcome == "rejected"
    assert_discreet(receipt.error)


def test_a_text_cut_off_within_a_secret_keeps_no_half_of_it() -> None:
    scrub = Scrubber(["correct-horse-battery"])
    assert scrub("refused for correct-hor") == "refused for ***"
    assert scrub("nothing secret here") == "nothing secret here"


def test_a_short_secret_is_taken_out_as_a_word() -> None:
    assert Scrubber(["ab"])("ab, about") == "***, about"


def test_knows_the_secrets_of_headers_and_nested_settings() -> None:
    made = registry.record_settings("rest").model_validate(
        {"kind": "rest", "url": "https://h/x?api_key=V1ktorV1ktor", "headers": {"Authorization": "Bearer Boxk4mpfer"}}
    )
    told = Scrubber.of(made)("401 for V1ktorV1ktor with Boxk4mpfer")
    assert told == "401 for *** with ***"
    assert SecretStr("x")


@pytest.mark.parametrize("login", ["orders", "orders:Boxk4mpfer"])
@pytest.mark.parametrize(
    "told",
    [
        "permission denied for table orders",
        'relation "orders" does not exist',
        "Access denied for user 'orders'@'localhost'",
        "orders",
    ],
)
def test_the_name_of_a_user_is_no_secret_where_it_is_another_word(login: str, told: str) -> None:
    made = registry.record_settings("sql").model_validate({"kind": "sql", "url": f"postgresql://{login}@h/db"})
    assert Scrubber.of(made)(told) == told
    assert Scrubber.of_address(f"postgresql://{login}@h/db")(told) == told


def test_the_name_of_a_user_is_taken_out_of_an_address() -> None:
    scrub = Scrubber.of_address("postgresql://orders:Boxk4mpfer@h/orders")
    told = scrub("cannot open postgresql://orders:Boxk4mpfer@h/orders or postgresql://orders@h/orders; Boxk4mpfer")
    assert told == "cannot open postgresql://***:***@h/orders or postgresql://***@h/orders; ***"


@pytest.mark.parametrize("login", ["auditor", "auditor:auditor"])
def test_what_the_auditor_says_itself_is_left_as_it_is(login: str) -> None:
    made = registry.record_settings("sql").model_validate({"kind": "sql", "url": f"postgresql://{login}@h/db"})
    told = ProbeError(Reason.PERMISSION, "permission denied for table t", hint="grant SELECT to the auditor's login")
    assert str(Scrubber.of(made).error(told)) == str(told)


def test_a_denied_table_that_is_called_like_the_login_is_named(postgresql_url: str) -> None:
    with psycopg.connect(postgresql_url, autocommit=True) as admin:
        admin.execute("CREATE TABLE things (id int PRIMARY KEY, name text)")
        admin.execute("DROP ROLE IF EXISTS things")
        admin.execute("CREATE ROLE things LOGIN PASSWORD 'Boxk4mpfer'")
    at = postgresql_url.partition("@")[2]
    reading = {"kind": "sql", "url": f"postgresql://things:Boxk4mpfer@{at}"}
    settings = parsed(reading, queue=False)
    reader = SystemReader("s", settings, registry.open_record_probe(settings))
    with pytest.raises(ProbeError) as failed:
        reader.call(lambda: reader.probe.fetch(SPEC, [1]))
    reader.close()
    with psycopg.connect(postgresql_url, autocommit=True) as admin:
        admin.execute("DROP ROLE things")
    assert str(failed.value) == (
        "permission: permission denied for table things (grant SELECT to the auditor's login)"
    )


def test_an_answer_nested_too_deeply_is_told_as_that() -> None:
    assert str(Scrubber([]).error(RecursionError("maximum recursion depth exceeded"))) == (
        "the answer is nested too deeply to be read"
    )
