"""Failures from within: run in the process of `auditor run`, they wait for a file and then break one thing for good.

Used by `benchmarks.self_failures`; each stands for a bug or an accident that no signal and no limit can bring about.
"""

from __future__ import annotations

import ctypes
import resource
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from apscheduler.schedulers.background import BackgroundScheduler

from auditor.audit.flow_audit import Auditor
from auditor.audit.queue_audit import QueueAuditor
from auditor.daemon.heartbeat import Heartbeat
from auditor.daemon.status_server import StatusServer
from auditor.daemon.timetable import Timetable
from auditor.ledger.lease import Leases
from auditor.ledger.outbox import Outbox
from auditor.senders.slack import SlackSender
from checks.records import RecordComparer

LOOK_S = 0.2

made: dict[type, Any] = {}
"""The last instance of the classes that a failure needs one of."""


def remember(*kinds: type) -> None:
    """Keep the last instance of these classes."""
    for kind in kinds:
        begin = kind.__init__  # type: ignore[misc]

        def init(self: Any, *given: Any, begin: Any = begin, kind: type = kind, **named: Any) -> None:
            begin(self, *given, **named)
            made[kind] = self

        kind.__init__ = init  # type: ignore[misc]


def never_returns(*_: Any, **__: Any) -> NoReturn:
    """Hang, as in a driver's call without a deadline."""
    while True:
        time.sleep(3600)


def raises(*_: Any, **__: Any) -> NoReturn:
    """Fail, as a bug does."""
    raise ZeroDivisionError


def leaves(*_: Any, **__: Any) -> NoReturn:
    """End the thread, as `sys.exit` does."""
    raise SystemExit(0)


def kill_thread(name: str) -> None:
    """Raise SystemExit in a thread."""
    for thread in threading.enumerate():
        if thread.name == name and thread.ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit))


def replace(kind: type, *names: str, by: Callable[..., Any]) -> Callable[[], None]:
    """Put something else in the place of methods."""

    def run() -> None:
        for name in names:
            setattr(kind, name, by)

    return run


def hold_lock() -> None:
    """Never give the timetable's lock back."""
    made[Timetable]._changed.acquire()


def freeze() -> None:
    """Keep the interpreter's lock in a call of C."""
    ctypes.PyDLL(None).sleep(3600)


def no_threads() -> None:
    """Let no thread be started any more."""

    def start(_: threading.Thread) -> NoReturn:
        raise RuntimeError("can't start new thread")

    setattr(threading.Thread, "start", start)  # noqa: B010  mypy allows no other


def use_memory() -> None:
    """Leave no memory."""
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    kept: list[bytes] = []
    made[list] = kept
    for piece in (1_000_000, 10_000, 300, 30):
        try:
            while True:
                kept.append(bytes(piece))
        except MemoryError:
            continue


def stop_serving() -> None:
    """End the status server, as an error in its thread would."""
    server = made[StatusServer]
    server._server.shutdown()
    server._server.server_close()


def agree_with_everything() -> None:
    """Compare the owner's copy with itself."""
    for name in ("meet", "compare"):
        original = getattr(RecordComparer, name)

        def blind(self: Any, key: Any, owner: Any, _: Any, original: Any = original) -> Any:
            return original(self, key, owner, owner)

        setattr(RecordComparer, name, blind)


FAILURES: dict[str, Callable[[], None]] = {
    "scheduler thread ends": lambda: kill_thread("APScheduler"),
    "scheduler thread hangs": replace(BackgroundScheduler, "_process_jobs", by=never_returns),
    "timetable's lock is never given back": hold_lock,
    "an audit never returns": replace(Auditor, "audit", "recheck", by=never_returns),
    "an audit always raises": replace(Auditor, "audit", "recheck", by=raises),
    "an audit ends its thread": replace(Auditor, "audit", "recheck", by=leaves),
    "every thread of the pool hangs": replace(Timetable, "_run", by=never_returns),
    "a sender never returns": replace(SlackSender, "send", by=never_returns),
    "reading a queue never returns": replace(QueueAuditor, "audit", by=never_returns),
    "the heartbeat's request never returns": replace(Heartbeat, "send", by=never_returns),
    "the look at senders never returns": replace(Outbox, "undelivered", by=never_returns),
    "the lease is not renewed any more": replace(Leases, "renew", by=never_returns),
    "no thread can be started": no_threads,
    "the interpreter is held by a call": freeze,
    "memory is used up": use_memory,
    "the status server ends": stop_serving,
    "different copies are taken for equal": agree_with_everything,
    "no message enters the outbox": replace(Outbox, "queue", by=lambda *_, **__: None),
}


def main(failure: str, flag: str) -> None:
    """Run `auditor` with the arguments of the process, and break it once the file exists."""
    from auditor.cli.program import main as run

    remember(Timetable, StatusServer)

    def wait() -> None:
        while not Path(flag).exists():
            time.sleep(LOOK_S)
        FAILURES[failure]()

    threading.Thread(target=wait, name="sabotage", daemon=True).start()
    run()
