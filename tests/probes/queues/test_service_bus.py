"""Azure Service Bus: stand-ins of our own made from its documentation, over AMQP 1.0 (Qpid Proton) and HTTP."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import pytest

from probes.contract import ProbeError, Reason
from probes.queue_contract import QueueProbe
from probes.queues.service_bus import ServiceBusProbe, ServiceBusSettings
from tests.attacks import messages
from tests.probes.harness import all_letters, assert_told
from tests.servers import free_port, wait_for_port
from tests.waiting import wait_until

PEER = Path(__file__).with_name("service_bus_peer.py")
SENT_MS = 1_767_225_600_000

DESCRIPTION = """<entry xmlns="http://www.w3.org/2005/Atom"><content type="application/xml">
<QueueDescription xmlns="http://schemas.microsoft.com/netservices/2010/10/servicebus/connect">
<LockDuration>PT1M</LockDuration><MaxDeliveryCount>10</MaxDeliveryCount><MessageCount>{total}</MessageCount>
<CountDetails xmlns:d2p1="http://schemas.microsoft.com/netservices/2011/06/servicebus">
<d2p1:ActiveMessageCount>{active}</d2p1:ActiveMessageCount>
<d2p1:DeadLetterMessageCount>{dead}</d2p1:DeadLetterMessageCount>
<d2p1:TransferDeadLetterMessageCount>99</d2p1:TransferDeadLetterMessageCount></CountDetails>
</QueueDescription></content></entry>"""
EMPTY_LIST = '<feed xmlns="http://www.w3.org/2005/Atom"><title type="text">Publicly Listed Services</title></feed>'


class Namespace:
    """What both stand-ins know: by entity what is dead, and how many are active."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.letters: dict[str, list[dict[str, Any]]] = {}
        self.active: dict[str, int] = {}
        self.status = 200
        self.asked: list[str] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        namespace = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                namespace.asked.append(self.headers["Authorization"])
                entity = self.path.partition("?")[0].strip("/")
                if entity in namespace.active:
                    active = namespace.active[entity]
                    dead = len(namespace.letters.get(entity, []))
                    body = DESCRIPTION.format(total=active + dead, active=active, dead=dead).encode()
                else:
                    body = EMPTY_LIST.encode()
                self.send_response(namespace.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.management = f"http://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def give_up_on(self, entity: str, *bodies: str) -> None:
        there = self.letters.setdefault(entity, [])
        there += [
            {
                "seq": len(there) + number + 1,
                "body": body,
                "deliveries": 10,
                "reason": "MaxDeliveryCountExceeded",
                "description": "Message could not be consumed after 10 delivery attempts.",
                "properties": {"customer": f"cus_{number}"},
                "enqueued_ms": SENT_MS + number,
            }
            for number, body in enumerate(bodies)
        ]
        text = {f"{name}/$deadletterqueue".lower(): found for name, found in self.letters.items()}
        (self.folder / "state.json").write_text(json.dumps(text))

    def peer(self, mode: str = "") -> int:
        port = free_port()
        command = ["/usr/bin/python3", str(PEER), str(port), str(self.folder / "state.json"), mode]
        self._processes.append(subprocess.Popen(command))
        wait_for_port(port, self._processes[-1])
        return port

    def probe(self, port: int, **words: Any) -> ServiceBusProbe:
        key = "SharedAccessKeyName=looker;SharedAccessKey=c2VjcmV0LWtleQ=="
        settings = {
            "kind": "service_bus",
            "connection": f"Endpoint=sb://127.0.0.1:{port};{key};UseDevelopmentEmulator=true",
            "queue": None if "topic" in words else "orders",
            "management": self.management,
            **words,
        }
        return ServiceBusProbe(ServiceBusSettings.model_validate(settings))

    def close(self) -> None:
        self._http.shutdown()
        for process in self._processes:
            process.kill()
            process.wait()


@pytest.fixture
def namespace(tmp_path: Path) -> Iterator[Namespace]:
    if not Path("/usr/lib/python3/dist-packages/proton").exists() or not shutil.which("/usr/bin/python3"):
        pytest.skip("the stand-in wants Qpid Proton: apt-get install python3-qpid-proton")
    made = Namespace(tmp_path)
    made.active["orders"] = 2
    made.give_up_on("orders")
    yield made
    made.close()


def test_letters_are_peeked_page_by_page_and_tell_why(namespace: Namespace) -> None:
    namespace.give_up_on("orders", *(json.dumps({"id": number}) for number in range(12)))
    asked = namespace.probe(namespace.peer(), key="$.id")
    assert isinstance(asked, QueueProbe)
    reading = asked.read(8)
    assert (reading.depth, len(reading.letters), reading.truncated, reading.retention_s) == (12, 8, True, None)
    rest = asked.read(8, reading.next)
    assert [letter.key for letter in (*reading.letters, *rest.letters)] == [str(number) for number in range(12)]
    assert not rest.truncated
    (first, *_) = reading.letters
    assert first.reason is not None
    assert first.reason.startswith("MaxDeliveryCountExceeded: Message could not be consumed")
    assert (first.attempts, first.first_failed_at, first.headers["customer"]) == (10, None, "cus_0")
    assert reading.oldest_at == rest.oldest_at == datetime.fromtimestamp(SENT_MS / 1000, UTC)
    assert reading.age_of == "since it was first accepted"
    assert "no lock is taken" in asked.prove_read_only()


def test_active_and_dead_are_counted_apart(namespace: Namespace) -> None:
    namespace.give_up_on("orders", "{}")
    main = namespace.probe(1, role="main").read(0)
    assert (main.depth, main.letters) == (2, ())
    signed = namespace.asked[-1]
    assert re.fullmatch(r"SharedAccessSignature sr=\S+&sig=\S+&se=\d+&skn=looker", signed)
    assert unquote_plus(signed.partition("sr=")[2].partition("&")[0]) == f"{namespace.management}/orders"
    namespace.active["billing/subscriptions/crm"] = 5
    told = namespace.probe(1, topic="billing", subscription="crm", role="main").read(0)
    assert told.depth == 5


def test_a_subscriptions_letters_are_peeked_too(namespace: Namespace) -> None:
    namespace.active["billing/subscriptions/crm"] = 0
    namespace.give_up_on("billing/subscriptions/crm", '{"id": 7}')
    reading = namespace.probe(namespace.peer(), topic="billing", subscription="crm", key="field:customer").read(5)
    assert [letter.key for letter in reading.letters] == ["cus_0"]


@pytest.mark.parametrize(
    ("mode", "reason"),
    [("refuse", Reason.AUTH), ("deny", Reason.PERMISSION), ("silent", Reason.TIMEOUT)],
)
def test_a_peer_that_refuses_or_is_silent_is_a_named_error_in_time(
    namespace: Namespace, mode: str, reason: Reason
) -> None:
    namespace.give_up_on("orders", "{}")
    begun = time.monotonic()
    with pytest.raises(ProbeError) as caught:
        namespace.probe(namespace.peer(mode), timeout="3s").read(5)
    assert caught.value.reason is reason
    assert time.monotonic() - begun < 50, "the driver itself would wait for a minute"
    assert "c2VjcmV0" not in str(caught.value)


def test_the_thread_that_waits_for_a_silent_peer_ends_with_the_reading(namespace: Namespace) -> None:
    namespace.give_up_on("orders", "{}")
    with pytest.raises(ProbeError):
        namespace.probe(namespace.peer("silent"), timeout="2s").read(5)
    # The driver itself would wait for a minute.
    wait_until(lambda: not any(each.name == "service-bus-look" for each in threading.enumerate()), 40)


@pytest.mark.parametrize(
    ("spoil", "reason", "said"),
    [
        (lambda at: setattr(at, "status", 401), Reason.AUTH, "refuses the key"),
        (lambda at: setattr(at, "status", 403), Reason.PERMISSION, "counts want Manage"),
        (lambda at: setattr(at, "status", 503), Reason.UNREACHABLE, "answered 503"),
        (lambda at: at.active.clear(), Reason.QUERY, "there is no orders"),
        (lambda at: setattr(at, "management", "http://127.0.0.1:1"), Reason.UNREACHABLE, "cannot be reached"),
    ],
)
def test_what_the_management_refuses_is_named(
    namespace: Namespace, spoil: Callable[[Namespace], None], reason: Reason, said: str
) -> None:
    spoil(namespace)
    with pytest.raises(ProbeError, match=said) as caught:
        namespace.probe(1).read(5)
    assert caught.value.reason is reason


def test_settings_that_lead_nowhere_are_refused(namespace: Namespace) -> None:
    with pytest.raises(ValueError, match="name queue:, or topic: and subscription:"):
        namespace.probe(1, topic="billing")
    with pytest.raises(ValueError, match="SharedAccessKeyName"):
        namespace.probe(1, connection="Endpoint=sb://x")


def _text(payload: bytes) -> str | None:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        return None


@pytest.mark.usefixtures("patient")
def test_messages_of_any_content_are_letters(namespace: Namespace) -> None:
    made = {name: body for name, payload in messages.PAYLOADS.items() if (body := _text(payload)) is not None}
    namespace.give_up_on("orders", *made.values(), messages.GOOD.decode())
    for at, each in enumerate(namespace.letters["orders"]):
        each["properties"] = {f"name{number}": "x" for number in range(at * 10)} | {"id": "a\0b", "x-death": [[[1]]]}
        each["reason"], each["description"] = (None, "d" * 5_000) if at % 2 else (7, ["no", {"text": 1}])
    namespace.give_up_on("orders")
    for key in ("$.id", "$..id"):
        asked = namespace.probe(namespace.peer(), key=key, timeout="60s")
        depth, letters = all_letters(asked)
        assert (depth, len(letters), letters[-1].key) == (len(made) + 1, len(made) + 1, messages.GOOD_KEY)
        if key == "$.id":
            assert_told(made, letters)


@pytest.mark.parametrize("stamp_ms", [-(2**62), -1, 253_402_300_800_000, 2**62])
def test_a_stamp_beyond_the_calendar_is_no_age(namespace: Namespace, stamp_ms: int) -> None:
    namespace.give_up_on("orders", messages.GOOD.decode())
    namespace.letters["orders"][0]["enqueued_ms"] = stamp_ms
    namespace.give_up_on("orders")
    reading = namespace.probe(namespace.peer(), key="$.id").read(5)
    assert (reading.depth, reading.oldest_at, reading.letters[0].key) == (1, None, messages.GOOD_KEY)
