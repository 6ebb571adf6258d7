"""`auditor run` as a process, how it is stopped, and a server that takes connections and never says a word."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from tests import HOME, warm

Running = subprocess.Popen[bytes] | warm.Started


@contextmanager
def running(
    map_file: Path,
    data: Path,
    *,
    environment: Mapping[str, str] | None = None,
    stderr: IO[bytes] | int | None = None,
    warmed: bool = False,
) -> Iterator[Running]:
    """A daemon on a map, which is killed at the end of the block at the latest; its log goes to `data/log`.

    Args:
        warmed: fork it with its libraries loaded, for tests that do not measure how it starts.
    """
    data.mkdir(exist_ok=True, mode=0o700)
    words = ["run", "--map", str(map_file), "--data", str(data)]
    env = {**os.environ, "PYTHONPATH": str(HOME), "PLACE": str(map_file.parent), **(environment or {})}
    with (data / "log").open("ab") as log:
        err = log if stderr is None else stderr
        daemon: Running = (
            warm.start(words, cwd=HOME, env=env, err=err)
            if warmed
            else subprocess.Popen([sys.executable, "-m", "auditor", *words], cwd=HOME, env=env, stderr=err)
        )
        try:
            yield daemon
        finally:
            daemon.kill()
            daemon.wait()


def stopped_after(daemon: Running, within_s: float, how: signal.Signals = signal.SIGTERM) -> float:
    """Stop it, and say how long that took: `within_s` where it has not ended by then."""
    begun = time.monotonic()
    daemon.send_signal(how)
    with contextlib.suppress(subprocess.TimeoutExpired):
        daemon.wait(within_s)
        return time.monotonic() - begun
    return within_s


class Deaf:
    """Takes every connection and never answers.

    Attributes:
        taken: connections so far.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._open.append(self._listener.accept()[0])

    @property
    def taken(self) -> int:
        """How many connections it has taken."""
        return len(self._open)

    def close(self) -> None:
        """End all of it."""
        for each in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                each.close()


def queues_at(port: int, timeout: str) -> dict[str, dict[str, Any]]:
    """Settings of a queue of every kind that is reached over a network, at one port of this machine."""
    place = f"127.0.0.1:{port}"
    login = {"region": "r", "access_key": "looker", "secret_key": "secret-of-looker"}
    key = "SharedAccessKeyName=looker;SharedAccessKey=c2VjcmV0LW9mLWxvb2tlcg=="
    organisation = {name: "x" for name in ("organization", "environment", "region", "queue", "client_id")}
    settings: dict[str, dict[str, Any]] = {
        "redis": {"url": f"redis://:secret-of-looker@{place}", "name": "letters"},
        "nats": {"url": f"nats://t:secret-of-looker@{place}", "stream": "s"},
        "rabbitmq": {"url": f"http://t:secret-of-looker@{place}", "queue": "q", "peek": "requeue"},
        "kafka": {"servers": place, "topic": "t", "group": "g"},
        "sqs": {
            **login,
            "endpoint": f"http://{place}",
            "queue_url": f"http://{place}/1/q",
            "cloudwatch_endpoint": f"http://{place}",
            "peek": "receive",
        },
        "pubsub": {"endpoint": place, "project": "p", "subscription": "s", "peek": "pull"},
        "anypoint_mq": {**organisation, "client_secret": "secret-of-looker", "url": f"http://{place}"},
        "service_bus": {
            "connection": f"Endpoint=sb://{place};{key};UseDevelopmentEmulator=true",
            "management": f"http://{place}",
            "queue": "q",
        },
    }
    return {kind: {"kind": kind, "role": "dead", "timeout": timeout, **more} for kind, more in settings.items()}


def map_of_every_kind() -> dict[str, Any]:
    """A valid map with a system of every kind and every SQL dialect, and a queue of every kind; none is reached."""
    systems = {
        "owner": {"kind": "sql", "url": "postgresql://looker@127.0.0.1:1/x", "zone": "UTC"},
        "maria": {"kind": "sql", "url": "mariadb://looker@127.0.0.1:1/x", "zone": "UTC"},
        "file": {"kind": "sql", "url": "sqlite:///copy.sqlite", "zone": "UTC"},
        "api": {"kind": "rest", "url": "http://127.0.0.1:1", "zone": "UTC"},
        "documents": {"kind": "mongodb", "url": "mongodb://127.0.0.1:1/x", "zone": "UTC"},
        "org": {"kind": "salesforce", "url": "http://127.0.0.1:1", "client_id": "x", "client_secret": "y"},
        "payments": {"kind": "stripe", "url": "http://127.0.0.1:1", "key": "rk_test_x"},
        "crm": {"kind": "hubspot", "url": "http://127.0.0.1:1", "token": "x"},
    }
    bindings: dict[str, Any] = {name: {"collection": "things", "key": "id"} for name in systems}
    bindings["documents"]["key"], bindings["org"]["key"], bindings["crm"]["key"] = "_id", "Id", "hs_object_id"
    bindings["payments"]["collection"] = "invoices"
    bindings["owner"]["changed_at"] = "updated_at"
    bindings["api"] |= {"records": "$.data[*]", "many": "/things?ids={keys}"}
    queues = queues_at(1, "5s")
    queues["sql_queue"] = {"kind": "sql_queue", "role": "dead", "system": "owner", "table": "failed"}
    queues["salesforce_events"] = {"kind": "salesforce_events", "system": "org", "topic": "Failed_Sync__e"}
    words = {"data_type": "thing", "from": "owner", "pattern": "real-time", "every": "5s"}
    flows: dict[str, Any] = {f"to_{name}": {**words, "to": name} for name in systems if name != "owner"}
    flows["to_api"]["queues"] = queues
    fields = {"name": {"type": "string"}, "amount": {"type": "decimal"}}
    thing = {"owner": "owner", "window": "30s", "key_type": "integer", "fields": fields, "in": bindings}
    return {"systems": systems, "data_types": {"thing": thing}, "flows": flows}
