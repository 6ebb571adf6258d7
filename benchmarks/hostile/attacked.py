"""One attack at a time: what is attacked runs in a process of its own, which is timed and measured."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DEADLINE_S = 2.0
"""What every system, queue and sender is given for one call."""

LATE_S = 1.0
GROWN_MIB = 300.0

CANARY = "cAnary4711secret"
"""Stands in every login, token and address: it must show nowhere."""

NOTICE = {
    "transition": "opened",
    "summary": "12 records differ",
    "incident": 1,
    "count": 12,
    "peak": 12,
    "opened_at": "2026-03-01T00:00:00+00:00",
    "at": "2026-03-01T00:00:00+00:00",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one attack ended.

    Attributes:
        took_s: of the longest of its calls, none of which may take longer than `within_s`.
        grown_mib: by how much the memory of the process grew at its peak.
        told: what was said or answered.
        faults: what did not hold.
    """

    name: str
    took_s: float = 0.0
    grown_mib: float = 0.0
    told: Sequence[str] = ()
    faults: Sequence[str] = field(default=())

    @property
    def holds(self) -> bool:
        return not self.faults


IMPORTED = (
    "auditor.cli",
    "auditor.cli.program",
    "auditor.history.lens",
    "auditor.audit.once",
    "auditor.senders.slack",
    "auditor.senders.webhook",
    "auditor.dashboard.navigation",
    "streamlit.testing.v1",
    "typer.testing",
    "psycopg",
    "pymongo",
    "pymysql",
    "confluent_kafka",
    "nats",
    "redis",
    "boto3",
    "uamqp",
    "google.pubsub_v1",
    *(f"probes.queues.{kind}" for kind in ("anypoint_mq", "kafka", "nats", "pubsub", "rabbitmq", "redis", "sqs")),
)
"""What every process has imported before it is measured; what is not installed is passed over."""

Call = Callable[..., Sequence[str]]
"""What is attacked: a function of this or another module, its arguments picklable; answers what was told."""


class Processes:
    """Runs calls in processes that are made from a clean one, in which everything is imported and nothing is open."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["benchmarks.hostile.places", "benchmarks.hostile.written", *IMPORTED])
        # Every process would import the benchmark itself again, with all its attacks.
        main: Any = sys.modules["__main__"]
        main.__spec__ = main.__file__ = None

    def run(self, name: str, call: Call, words: Mapping[str, Any], *, within_s: float, calls: int = 1) -> Outcome:
        """Run one attack.

        Args:
            within_s: the deadline of one call; it may take `LATE_S` longer.
            calls: most calls one after the other.
        """
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_attacked, args=(theirs, call, dict(words)), daemon=True)
        process.start()
        theirs.close()
        patience_s = calls * (within_s + LATE_S) + 20
        got: dict[str, Any] | None = None
        if ours.poll(patience_s):
            with contextlib.suppress(EOFError):
                got = ours.recv()
        process.kill()
        process.join()
        ours.close()
        if got is None:
            why = "died" if process.exitcode not in {-9, None} else f"does not end within {patience_s:g} s"
            return Outcome(name=name, faults=(f"the process {why} ({process.exitcode})",))
        faults = list(got["faults"])
        if got["took_s"] > within_s + LATE_S:
            faults.append(f"a call took {got['took_s']:.2f} s at a deadline of {within_s:g} s")
        if got["grown_mib"] > GROWN_MIB:
            faults.append(f"memory grew by {got['grown_mib']:.0f} MiB")
        faults += leaks(got["told"])
        return Outcome(
            name=name, took_s=got["took_s"], grown_mib=got["grown_mib"], told=got["told"], faults=tuple(faults)
        )


def leaks(told: Sequence[str]) -> list[str]:
    """What of it must not have been told."""
    found = [f"told a secret: {each[:200]!r}" for each in told if CANARY in each]
    return found + [f"told {len(each)} characters at once" for each in told if len(each) > 2_000]


_took: list[float] = []


def timed(call: Callable[[], Any]) -> str:
    """One call of what is attacked: what it answered or the named error it ended with, and how long that took."""
    from probes.contract import ProbeError

    begun = time.monotonic()
    try:
        answer = call()
    except ProbeError as error:
        return f"{error.reason.value}: {error.message}"
    finally:
        _took.append(time.monotonic() - begun)
    return str(answer)


def _attacked(to: multiprocessing.connection.Connection, call: Call, words: dict[str, Any]) -> None:
    faults: list[str] = []
    told: Sequence[str] = ()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    before = _peak_mib()
    os.environ["AUDITOR_DIGEST_KEY"] = "k" * 32
    threading.excepthook = lambda args: faults.append(f"a thread ended with {args.exc_type.__name__}")
    try:
        told = call(**words)
    except Exception as error:
        faults.append(f"no named error: {type(error).__name__}: {str(error)[:300]}")
    took_s = max(_took, default=0.0)
    to.send({"told": list(told), "faults": faults, "took_s": took_s, "grown_mib": _peak_mib() - before})
    os._exit(0)


def _peak_mib() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0
