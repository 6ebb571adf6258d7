"""Cells of what servers say: their answers, their bytes, their messages, and the addresses that name them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from auditor.systems.caller import PATIENCE_S
from benchmarks.hostile import places
from benchmarks.hostile.attacked import CANARY, DEADLINE_S
from benchmarks.hostile.bench import Attack, Bench, cell
from benchmarks.hostile.cells_held import REST_BINDING
from tests.attacks import database_urls, messages, wires
from tests.attacks.wires import Wire
from tests.daemons import queues_at
from tests.http_api import Api
from tests.wire_server import WireServer


def _hidden(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings with a secret of ours wherever there is one."""
    told = json.dumps(settings).replace("secret-of-looker", CANARY).replace("c2VjcmV0LW9mLWxvb2tlcg==", CANARY)
    hidden: dict[str, Any] = json.loads(told)
    return hidden


def _at(bench: Bench, wire: Wire, *, http: bool) -> int:
    server = WireServer(wire, asked_first=http)
    bench.stack.callback(server.close)
    return server.port


def _queue_at(port: int, kind: str) -> dict[str, Any]:
    return _hidden(queues_at(port, f"{DEADLINE_S:g}s")[kind])


@cell("answers", "rest", "rabbitmq", "anypoint_mq", "sqs", "service_bus management", "slack", "webhook")
def _answers(bench: Bench, place: str) -> Iterator[Attack]:
    for name, wire in bench.chosen(wires.HTTP):
        port = _at(bench, wire, http=True)
        url = f"http://127.0.0.1:{port}"
        if place == "rest":
            budget = {"timeout": f"{DEADLINE_S:g}s", "connections": 1}
            login = {"Authorization": f"Bearer {CANARY}"}
            settings = {"kind": "rest", "url": f"{url}/?key={CANARY}", "headers": login, "budget": budget}
            words = {"settings": settings, "binding": REST_BINDING}
            # Who asks to be left alone for a moment is asked again, for so long altogether.
            within_s = DEADLINE_S + (PATIENCE_S if "Retry-After" in name else 0)
            yield Attack(name=name, call=places.records, words=words, within_s=within_s, calls=4)
        elif place in {"slack", "webhook"}:
            words = {"kind": place, "url": f"{url}/services/T0/{CANARY}"}
            yield Attack(name=name, call=places.sender, words=words)
        else:
            settings = _queue_at(port, place.partition(" ")[0])
            yield Attack(name=name, call=places.queue, words={"settings": settings})


OWN: Mapping[str, Mapping[str, Wire]] = {
    "redis": wires.REDIS,
    "nats": wires.NATS,
    "kafka": wires.KAFKA,
    "pubsub": wires.HTTP2,
    "service_bus": wires.AMQP,
    "postgresql": wires.POSTGRESQL,
    "mariadb": wires.MARIADB,
    "mongodb": wires.MONGODB,
}


MANAGED = b"<MessageCount>3</MessageCount><DeadLetterMessageCount>3</DeadLetterMessageCount>"
"""What the management API of Service Bus says of a queue, while its AMQP is attacked."""


@cell("wires", *OWN)
def _wires(bench: Bench, place: str) -> Iterator[Attack]:
    for name, wire in bench.chosen({**wires.ANY, **OWN[place]}):
        port = _at(bench, wire, http=False)
        if place in {"postgresql", "mariadb"}:
            url = f"{place}://looker:{CANARY}@127.0.0.1:{port}/x"
            budget = {"timeout": f"{DEADLINE_S:g}s", "connections": 1}
            settings = {"kind": "sql", "url": url, "zone": "UTC", "budget": budget}
            binding = {"collection": "things", "changed_at": "updated_at"}
            words = {"settings": settings, "binding": binding}
            yield Attack(name=name, call=places.records, words=words, calls=4)
            continue
        if place == "mongodb":
            url = f"mongodb://looker:{CANARY}@127.0.0.1:{port}/x"
            budget = {"timeout": f"{DEADLINE_S:g}s", "connections": 1}
            binding = {"collection": "things", "key": "_id", "changed_at": "updated_at"}
            words = {"settings": {"kind": "mongodb", "url": url, "budget": budget}, "binding": binding}
            yield Attack(name=name, call=places.records, words=words, calls=4)
            continue
        settings = _queue_at(port, place)
        if place == "service_bus":
            settings["management"] = bench.of("management", lambda: Api(lambda _: MANAGED)).url
        yield Attack(name=name, call=places.queue, words={"settings": settings}, calls=1)


@cell("messages", "redis", "nats", "kafka", "rabbitmq", "sqs", "pubsub", "sql_queue", "anypoint_mq", "service_bus")
def _messages(bench: Bench, place: str) -> Iterator[Attack]:
    from benchmarks.hostile.brokers import letters_in

    for name, payload in bench.chosen(messages.PAYLOADS):
        settings = letters_in(bench, place, [payload, messages.GOOD])
        if settings is not None:
            yield Attack(
                name=name,
                call=places.letters,
                words={**settings, "good": messages.GOOD_KEY},
                within_s=10.0,
                calls=4,
            )


@cell("addresses", "sqlite", "postgresql", "mariadb")
def _addresses(bench: Bench, place: str) -> Iterator[Attack]:
    if place == "sqlite":
        for name, template in bench.chosen(database_urls.SQLITE):
            folder = bench.folder()
            places.things(str(folder / "d.sqlite"), "text", ["1"])
            path = folder / "d.sqlite"
            url = template.format(path=path, relative=path.name, folder=folder)
            yield Attack(name=name, call=places.address, words={"url": url, "folder": str(folder)})
        return
    unlocking = {
        "postgresql": database_urls.UNLOCKING_POSTGRESQL,
        "mariadb": database_urls.UNLOCKING_MARIADB,
    }[place]
    base = f"{bench.postgresql}/postgres" if place == "postgresql" else f"{bench.mariadb}/mysql"
    for name, parameter in bench.chosen(unlocking):
        words = {"url": f"{base}?{parameter}", "folder": str(bench.folder())}
        yield Attack(name=name, call=places.address, words=words)
