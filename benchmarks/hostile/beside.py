"""One daemon with attacked systems, queues and receivers beside a healthy flow, which must stay on time."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.hostile import places
from benchmarks.hostile.attacked import CANARY, GROWN_MIB, Processes
from benchmarks.report import emit, percentile, say, wait_until
from tests import HOME
from tests.attacks import wires
from tests.attacks.wires import Wire
from tests.daemons import queues_at, running, stopped_after
from tests.wire_server import WireServer

EVERY_S = 1.0
GAP_S = 5.0
"""The healthy flow is audited once a second; a longer pause between two audits is one in which others held it up."""

EACH_S = 2.5
TIMEOUT = "2s"

ATTACKED_HTTP = ("rabbitmq", "anypoint_mq", "sqs")
ATTACKED_WIRES = ("redis", "nats", "kafka", "pubsub")
OWN: Mapping[str, Mapping[str, Wire]] = {
    "redis": wires.REDIS,
    "nats": wires.NATS,
    "kafka": wires.KAFKA,
    "pubsub": wires.HTTP2,
}


def beside(*, quick: bool) -> bool:
    """Attack everything in a daemon at once, one attack after the other; answers whether all of it holds."""
    http = list(wires.HTTP.values())
    http = http[:: len(http) // 8] if quick else http
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = {name: _server(stack, http[0], http=True) for name in ("api", *ATTACKED_HTTP, "webhook", "slack")}
        servers |= {name: _server(stack, wires.ANY["rubbish"], http=False) for name in (*ATTACKED_WIRES, "database")}
        file = place / "plumbline.yaml"
        file.write_text(json.dumps(_map(place, {name: each.port for name, each in servers.items()})))
        for name in ("crm", "copy"):
            places.things(str(place / f"{name}.sqlite"), "text", ["same"] * 20)
        data = place / "var"
        with running(file, data, environment={"AUDITOR_DIGEST_KEY": "k" * 32}) as daemon:
            wait_until(lambda: len(_runs(data, "healthy")) >= 3, 120)
            _differ(place)
            before, peak, began = _mib(daemon.pid, "VmRSS"), 0.0, time.time()
            _forget_peak(daemon.pid)
            for at in range(len(http)):
                _play(servers, at, http[at])
                time.sleep(EACH_S)
            peak = _mib(daemon.pid, "VmHWM")
            ended = time.time()
            took_s = stopped_after(daemon, 30)
        return _told(place, file, data, began, ended, len(http), peak - before, took_s, quick=quick)


def _server(stack: ExitStack, wire: Wire, *, http: bool) -> WireServer:
    made = WireServer(wire, asked_first=http)
    stack.callback(made.close)
    return made


def _play(servers: Mapping[str, WireServer], at: int, http: Wire) -> None:
    """Have every server say the next of what it can say."""
    for name, server in servers.items():
        if name in OWN or name == "database":
            corpus = [*wires.ANY.values(), *OWN.get(name, wires.POSTGRESQL).values()]
            server.wire = corpus[at % len(corpus)]
        else:
            server.wire = http


def _map(place: Path, ports: Mapping[str, int]) -> dict[str, Any]:
    budget = {"timeout": TIMEOUT}
    login = {"Authorization": f"Bearer {CANARY}"}
    systems: dict[str, Any] = {
        name: {"kind": "sql", "url": f"sqlite:///{place}/{name}.sqlite", "zone": "UTC"} for name in ("crm", "copy")
    }
    systems["api"] = {
        "kind": "rest",
        "url": f"http://127.0.0.1:{ports['api']}/?key={CANARY}",
        "headers": login,
        "zone": "UTC",
        "budget": budget,
    }
    url = f"postgresql://looker:{CANARY}@127.0.0.1:{ports['database']}/x"
    systems["database"] = {"kind": "sql", "url": url, "zone": "UTC", "budget": budget}
    plain = {"collection": "things", "key": "id"}
    many = {"records": "$.data[*]", "many": "/{collection}?ids={keys}", "list": "/{collection}?after={after}"}
    bindings = {"crm": {**plain, "changed_at": "updated_at"}, "copy": plain, "api": {**plain, **many}}
    thing = {
        "owner": "crm",
        "window": "2s",
        "key_type": "integer",
        "fields": {"n": {"type": "string"}},
        "in": {**bindings, "database": plain},
    }
    words = {"data_type": "thing", "from": "crm", "pattern": "real-time", "every": f"{EVERY_S:g}s"}
    queues: dict[str, Any] = {}
    for name in (*ATTACKED_HTTP, *ATTACKED_WIRES):
        told = json.dumps(queues_at(ports[name], TIMEOUT)[name])
        queues[name] = json.loads(told.replace("secret-of-looker", CANARY))
    return {
        "systems": systems,
        "data_types": {"thing": thing},
        "flows": {
            "healthy": {**words, "to": "copy"},
            "to_api": {**words, "to": "api", "queues": queues},
            "to_database": {**words, "to": "database"},
        },
        "alerts": {
            "webhook": {"url": f"http://127.0.0.1:{ports['webhook']}/{CANARY}"},
            "slack": {"webhook": f"http://127.0.0.1:{ports['slack']}/services/T0/{CANARY}"},
        },
    }


def _differ(place: Path) -> None:
    """Something is wrong in the healthy flow, so that an alert is on its way to each receiver."""
    with contextlib.closing(sqlite3.connect(place / "copy.sqlite", timeout=30)) as copy, copy:
        copy.execute("UPDATE things SET n = 'other' WHERE id < 4")


def _rows(data: Path, source: str) -> list[dict[str, Any]]:
    file = data / "ledger.sqlite"
    if not file.exists():
        return []
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30)) as ledger:
        ledger.row_factory = sqlite3.Row
        try:
            return [dict(row) for row in ledger.execute(f"SELECT * FROM {source}")]
        except sqlite3.OperationalError:
            return []


def _runs(data: Path, flow: str) -> list[dict[str, Any]]:
    return [row for row in _rows(data, "probe_runs") if row["flow"] == flow]


def _mib(pid: int, name: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _forget_peak(pid: int) -> None:
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def _told(
    place: Path, file: Path, data: Path, began: float, ended: float, attacks: int, grown: float, stop_s: float, *,
    quick: bool,
) -> bool:  # fmt: skip
    runs = [row for row in _runs(data, "healthy") if began <= row["finished_at"] / 1e6 <= ended]
    at = sorted(row["finished_at"] / 1e6 for row in runs)
    gaps = [after - before for before, after in pairwise([began, *at, ended])]
    failed = [row for row in runs if row["reason"]]
    good = emit(
        "hostile", "longest_pause_of_the_healthy_flow", max(gaps), "s", goal=f"<= {GAP_S:g}", n=len(runs),
        p95_s=round(percentile(gaps, 0.95), 3), quick=quick,
    )  # fmt: skip
    good &= emit(
        "hostile", "failures_of_the_healthy_flow", len(failed), "audits", goal="= 0", n=len(runs), quick=quick
    )
    good &= emit(
        "hostile", "memory_of_the_daemon_grown", grown, "MiB", goal=f"<= {GROWN_MIB:g}", n=attacks, quick=quick
    )
    log = (data / "log").read_text(errors="replace")
    traces = log.count("Traceback (most recent call last)")
    good &= emit("hostile", "tracebacks_in_the_log", traces, "tracebacks", goal="= 0", n=attacks, quick=quick)
    if traces:
        say(log[max(0, log.index("Traceback (most") - 500) :][:3_000])
    named = {row["queue"] for row in _rows(data, "backlogs") if row["reason"]}
    named |= {f"flow {row['flow']}" for row in _rows(data, "probe_runs") if row["reason"]}
    wanted = {*ATTACKED_HTTP, *ATTACKED_WIRES, "flow to_api", "flow to_database"}
    for each in sorted(wanted - named):
        say(f"nothing is said of {each}")
    unnamed = len(wanted - named)
    good &= emit("hostile", "attacked_places_not_named", unnamed, "places", goal="= 0", n=len(wanted), quick=quick)
    leaked = list(_leaked(place, file, data, log))
    for each in leaked:
        say(f"a secret stands in {each}")
    good &= emit("hostile", "secrets_told", len(leaked), "places", goal="= 0", n=attacks, quick=quick)
    return good & emit("hostile", "time_to_stop_under_attack", stop_s, "s", goal="<= 10", n=1, quick=quick)


def _leaked(place: Path, file: Path, data: Path, log: str) -> Iterator[str]:
    """Where the secret stands: the log, the data folder, what commands and pages say."""
    if CANARY in log:
        yield "the log"
    for each in sorted(data.rglob("*")):
        if each.is_file() and each.name != "log" and CANARY.encode() in each.read_bytes():
            yield each.name
    ways = {"AUDITOR_DATA": str(data), "AUDITOR_MAP": str(file), "PLACE": str(place)}
    for command in ("status", "drift", "backlog", "letters", "incidents", "doctor", "coverage", "lag", "review"):
        done = subprocess.run(
            [sys.executable, "-m", "auditor", command], capture_output=True, cwd=HOME, env={**os.environ, **ways}
        )
        if CANARY.encode() in done.stdout + done.stderr:
            yield f"auditor {command}"
        if b"Traceback" in done.stderr:
            yield f"(a traceback of) auditor {command}"
    words = {"file": file, "place": data}
    shown = Processes().run("pages", places.pages, words, within_s=300.0)
    yield from (f"the pages: {each}" for each in shown.faults)
