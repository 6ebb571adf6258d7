"""Failures of the auditor itself: whether each is visible from outside within two intervals, and how.

Fifty failures, each in a daemon of its own that audited without a complaint until then: its process, its threads, its
ledger, its disk, its keys, its map, its receivers, the machine's clock, a second daemon. It is looked at from outside
as people and programs do: the exit of its process, `/healthz`, the heartbeat, `auditor status`, and messages, its own
and the watchdog's. Where the daemon cannot speak for itself, the watchdog's message must come, too. Afterwards a
system becomes unreadable, and from then on no audit may agree, and no state be consistent for longer than two
intervals.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import mmap
import os
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import httpx
import psycopg

from auditor.alerts.delivery import open_senders
from auditor.alerts.drill_rule import problem
from auditor.daemon.watchdog import Watchdog
from auditor.history.status import Standing, flow_status
from auditor.ledger import Ledger, LedgerError, this_process
from auditor.map.loader import load_map
from auditor.map.problems import MapError
from auditor.workspace import Workspace
from benchmarks.report import arguments, emit, percentile, say
from tests import HOME, servers, warm
from tests.http_api import Api, Request, Response
from tests.proxy import Proxy
from tests.servers import free_port

EVERY_S, QUICK_EVERY_S = 60, 5
TOGETHER = 17
READY_S = 300.0
HEARTBEAT_INTERVALS = 1.5
"""A monitoring service misses a heartbeat after so many intervals: one, and half of one as its grace time."""

RECORDS = 5
OWN = {"unrecorded", "no_data", "drill", "clock_step"}
"""What messages about the auditor itself say they are about."""

MAP = """\
systems:
  crm: {{kind: sql, url: "sqlite:///{place}/crm.sqlite", zone: UTC}}
  billing: {{kind: sql, url: "sqlite:///{place}/billing.sqlite", zone: UTC}}
data_types:
  customer:
    owner: crm
    window: {window}s
    key_type: integer
    fields: {{name: {{type: string}}}}
    in:
      crm: {{collection: customers, key: id, changed_at: updated_at}}
      billing: {{collection: customers, key: id}}
flows:
  to_billing:
    data_type: customer
    from: crm
    to: billing
    pattern: real-time
    every: {every}s
    sla: {{strict: true}}
    queues:
      dead: {{kind: sql_queue, system: billing, table: letters, key: record, since: failed_at, reason: error}}
alerts:
  slack: {{webhook: "{slack}"}}
  webhook: {{url: "{webhook}"}}
  heartbeat: {{url: "{heartbeat}", every: {beats}s}}
{drill}"""

CLOCK = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static volatile long long *by;
static long long set_by(void) {
    if (!by) {
        const char *path = getenv("CLOCK_SET_BY");
        int file = path ? open(path, O_RDONLY) : -1;
        void *page = file < 0 ? MAP_FAILED : mmap(0, 8, PROT_READ, MAP_SHARED, file, 0);
        if (file >= 0) close(file);
        if (page == MAP_FAILED) return 0;
        by = page;
    }
    return *by;
}
int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && clock == CLOCK_REALTIME) now->tv_sec += set_by();
    return failed;
}
int gettimeofday(struct timeval *now, void *zone) {
    struct timespec precise;
    int failed = clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return failed;
}
time_t time(time_t *now) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (now) *now = precise.tv_sec;
    return precise.tv_sec;
}
"""
"""A clock of its own for one process; monotonic clocks go on."""

At = Literal["sqlite", "postgresql"]


@dataclass(slots=True, kw_only=True)
class Case:
    """One installation, its daemon, and who looks at it from outside.

    Attributes:
        seen: how the failure became visible, and after how many seconds; the first time of each way.
    """

    name: str
    place: Path
    every_s: int
    ledger_url: str = ""
    proxy: Proxy | None = None
    process: Any = None
    port: int = 0
    slack: Any = None
    webhook: Any = None
    heartbeat: Any = None
    dog_hears: Any = None
    stopped: threading.Event = field(default_factory=threading.Event)
    seen: dict[str, float] = field(default_factory=dict)
    begun_s: float = 0.0
    beat_s: float = 0.0
    broken_at: datetime | None = None
    ignored: tuple[str, ...] = ()
    false: list[str] = field(default_factory=list)
    stack: ExitStack = field(default_factory=ExitStack)
    lock: Any = field(default_factory=threading.Lock)
    reply: Callable[[Request], Any] = lambda _: "ok"

    @property
    def data(self) -> Path:
        return self.place / "var"

    @property
    def map_file(self) -> Path:
        return self.place / "map.yaml"

    @property
    def ledger_file(self) -> Path:
        return self.data / "ledger.sqlite"

    @property
    def flag(self) -> Path:
        return self.place / "flag"

    def environment(self) -> dict[str, str]:
        way = self.ledger_url
        if self.proxy is not None:
            way = f"postgresql://postgres@127.0.0.1:{self.proxy.port}/{self.ledger_url.rpartition('/')[2]}"
        named = {"AUDITOR_LEDGER": way} if way else {}
        return {**os.environ, "PYTHONPATH": str(HOME), "AUDITOR_STATUS_PORT": str(self.port), **named}

    def workspace(self) -> Workspace:
        return Workspace.at(self.data, ledger_url=self.ledger_url or None, make=False)

    def respond(self, request: Request) -> Any:
        """What Slack says at present."""
        return self.reply(request)

    def notice(self, way: str) -> None:
        """Note that the failure is visible."""
        if not self.begun_s or self.broken_at is not None or way.startswith(self.ignored):
            return
        if way not in self.seen:
            self.seen[way] = time.monotonic() - self.begun_s

    def start(self, *, sabotage: str = "", fresh: bool = False, **environment: str) -> Any:
        words = ["run", "--map", str(self.map_file), "--data", str(self.data)]
        env = {**self.environment(), **environment}
        script = ""
        if sabotage:
            script = f"from benchmarks.sabotage import main\nmain({sabotage!r}, {str(self.flag)!r})"
        with (self.place / "log").open("ab") as log:
            if fresh:
                command = [sys.executable, "-m", "auditor", *words]
                return subprocess.Popen(command, cwd=HOME, env=env, stderr=log, stdout=log)
            return warm.start(words, cwd=HOME, env=env, err=log, out=log, script=script)

    def ended(self) -> int | None:
        """The exit code of the daemon, None while it runs; safe to call from several threads."""
        with self.lock:
            code: int | None = self.process.poll()
            return code

    def end(self) -> None:
        """End whichever daemon runs now."""
        self.process.kill()
        while self.ended() is None:
            time.sleep(0.1)

    def run_sql(self, system: str, sql: str) -> None:
        with closing(sqlite3.connect(self.place / f"{system}.sqlite", timeout=30)) as database, database:
            database.execute(sql)

    def drift(self) -> None:
        """Let a record differ, and wait until there is something to report: a failing receiver fails from then on."""
        begun_s, self.begun_s = self.begun_s, 0.0
        self.run_sql("billing", "DELETE FROM customers WHERE id = 2")
        deadline = time.monotonic() + READY_S
        with closing(self.workspace().ledger()) as ledger:
            while time.monotonic() < deadline and not ledger.outbox.counts():
                time.sleep(0.5)
        self.begun_s = time.monotonic() if begun_s else 0.0

    def restart(self) -> None:
        """End the daemon, and start it as its supervisor would."""
        begun_s, self.begun_s = self.begun_s, 0.0
        self.end()
        self.process = self.start()
        self.begun_s = begun_s


Inject = Callable[[Case], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One failure of the auditor.

    Attributes:
        inject: makes it happen.
        mute: the daemon cannot speak for itself, so the watchdog has to.
        at: the kind of ledger.
        sabotage: what breaks from within, see `benchmarks.sabotage`.
        ignored: ways of becoming visible that do not count here, because the injection itself shows there.
    """

    name: str
    inject: Inject
    mute: bool = False
    at: At = "sqlite"
    sabotage: str = ""
    drill: bool = False
    disk: bool = False
    slack: str = ""
    clock: bool = False
    ignored: tuple[str, ...] = ()


def _signal(number: signal.Signals) -> Inject:
    return lambda case: os.kill(case.process.pid, number)


def _flag(case: Case) -> None:
    case.flag.touch()


def _flag_and_drift(case: Case) -> None:
    case.flag.touch()
    case.drift()


def _flag_and_drill(case: Case) -> None:
    case.flag.touch()
    with closing(case.workspace().ledger()) as ledger:
        ledger.drills.request(datetime.now(UTC))


def _limit(kind: int, size: int) -> Inject:
    def inject(case: Case) -> None:
        _, hard = resource.prlimit(case.process.pid, kind)
        resource.prlimit(case.process.pid, kind, (size, hard))

    return inject


def _hold(case: Case, *, exclusive: bool) -> None:
    holder = sqlite3.connect(case.ledger_file, timeout=60, isolation_level=None, check_same_thread=False)
    holder.execute("PRAGMA locking_mode=EXCLUSIVE" if exclusive else "SELECT 1")
    holder.execute("BEGIN IMMEDIATE")
    case.stack.callback(holder.close)


def _overwrite(case: Case) -> None:
    size = case.ledger_file.stat().st_size
    with case.ledger_file.open("r+b") as file:
        file.seek(100)
        file.write(b"\xa5" * (size - 100))


def _fill_disk(case: Case) -> None:
    with (case.data / "ballast").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(512))


def _drop_table(case: Case) -> None:
    with closing(sqlite3.connect(case.ledger_file, timeout=60)) as database, database:
        database.execute("DROP TABLE probe_runs")


def _older_backup(case: Case) -> None:
    """Put an empty ledger in the place of the one in use, as a wrong restore does."""
    for each in case.data.glob("ledger.sqlite*"):
        each.unlink()
    with closing(case.workspace().ledger()):
        pass


def _newer_version(case: Case) -> None:
    with closing(sqlite3.connect(case.ledger_file, timeout=60)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    case.restart()


def _admin(case: Case, statement: str) -> None:
    server, _, name = case.ledger_url.rpartition("/")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as admin:
        admin.execute(statement.format(name))
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])


def _proxied(mode: Literal["swallow", "reset"]) -> Inject:
    def inject(case: Case) -> None:
        assert case.proxy is not None
        case.proxy.mode = mode

    return inject


def _new_key(case: Case) -> None:
    (case.data / "digest.key").write_text("ab" * 32)
    case.restart()


def _lost_key(case: Case) -> None:
    (case.data / "digest.key").unlink()
    case.restart()


def _broken_map(case: Case) -> None:
    case.map_file.write_text(case.map_file.read_text().replace("data_type: customer", "data_type: custommer"))
    case.restart()


def _lost_map(case: Case) -> None:
    case.map_file.unlink()
    case.restart()


def _lost_secret(case: Case) -> None:
    text = case.map_file.read_text()
    case.map_file.write_text(text.replace(f"sqlite:///{case.place}/crm.sqlite", "${DATABASE_URL_THAT_IS_GONE}"))
    case.restart()


def _taken_port(case: Case) -> None:
    begun_s, case.begun_s = case.begun_s, 0.0
    case.end()
    taken = socket.create_server(("127.0.0.1", case.port))
    case.stack.callback(taken.close)
    case.process, case.begun_s = case.start(), begun_s


def _folder_is_a_file(case: Case) -> None:
    begun_s, case.begun_s = case.begun_s, 0.0
    case.end()
    shutil.rmtree(case.data)
    case.data.write_text("")
    case.process, case.begun_s = case.start(), begun_s


def _lose_folder(case: Case) -> None:
    shutil.rmtree(case.data)


def _slack(reply: Callable[[Request], Any]) -> Inject:
    def inject(case: Case) -> None:
        case.reply = reply
        case.drift()

    return inject


def _slack_down(case: Case) -> None:
    case.slack.close()
    case.drift()


def _hangs(_: Request) -> Any:
    time.sleep(600)


def _status(number: int, text: str, **headers: str) -> Callable[[Request], Any]:
    return lambda _: Response(document=text.encode(), status=number, headers=headers)


def _set_clock(by_s: int) -> Inject:
    def inject(case: Case) -> None:
        with (case.place / "clock").open("r+b") as file, mmap.mmap(file.fileno(), 8) as page:
            page[:8] = by_s.to_bytes(8, "little", signed=True)

    return inject


def _second_daemon(case: Case) -> None:
    """Another daemon on the same ledger: the first goes on, the second must not look as if it audits."""
    begun_s, case.begun_s, case.port = case.begun_s, 0.0, free_port()
    second = case.start()
    case.stack.callback(second.kill)
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{case.port}/livez", timeout=5)
            break
        time.sleep(0.2)
    case.begun_s = begun_s


def _steal(case: Case) -> None:
    """Another machine takes the lease, and audits nothing."""
    ledger = case.workspace().ledger()
    ledger.database.token = None
    case.stack.callback(ledger.close)
    mine = this_process("run", case.data)
    token = ledger.lease.take(ledger.lease.now(), mine)
    assert token is not None

    def keep() -> None:
        while not case.stopped.wait(2):
            with contextlib.suppress(LedgerError):
                ledger.lease.renew(token)

    threading.Thread(target=keep, daemon=True).start()


def _close_heartbeat(case: Case) -> None:
    case.heartbeat.close()


def sabotaged(name: str, inject: Inject = _flag, **more: Any) -> Failure:
    return Failure(name=name, inject=inject, sabotage=name, **more)


SENDER = ("status: unverified", "status: pending")
"""What `auditor status` says of the drift that there has to be if a receiver is to fail."""

RESTART = ("/healthz",)
"""The status port is closed while a daemon starts again; what counts is that it does not come back."""

FAILURES: tuple[Failure, ...] = (
    Failure(name="killed", inject=_signal(signal.SIGKILL), mute=True),
    Failure(name="crashed in a driver", inject=_signal(signal.SIGSEGV), mute=True),
    Failure(name="stopped and not started again", inject=_signal(signal.SIGTERM), mute=True),
    Failure(name="frozen", inject=_signal(signal.SIGSTOP), mute=True),
    sabotaged("the interpreter is held by a call", mute=True),
    sabotaged("scheduler thread ends", mute=True),
    sabotaged("scheduler thread hangs", mute=True),
    sabotaged("timetable's lock is never given back", mute=True),
    sabotaged("every thread of the pool hangs", mute=True),
    sabotaged("an audit never returns", mute=True),
    sabotaged("an audit always raises", mute=True),
    sabotaged("an audit ends its thread", mute=True),
    sabotaged("no thread can be started"),
    sabotaged("memory is used up"),
    Failure(name="file descriptors are used up", inject=_limit(resource.RLIMIT_NOFILE, 3)),
    sabotaged("a sender never returns", _flag_and_drift, ignored=SENDER),
    sabotaged("reading a queue never returns"),
    sabotaged("the heartbeat's request never returns"),
    sabotaged("the look at senders never returns"),
    sabotaged("the lease is not renewed any more"),
    sabotaged("the status server ends"),
    sabotaged("different copies are taken for equal", _flag_and_drill, drill=True),
    sabotaged("no message enters the outbox", _flag_and_drill, drill=True),
    Failure(name="the ledger is locked", inject=lambda case: _hold(case, exclusive=False)),
    Failure(name="the ledger is deleted", inject=lambda case: case.ledger_file.unlink()),
    Failure(name="the ledger is overwritten", inject=_overwrite),
    Failure(name="the ledger may not grow", inject=_limit(resource.RLIMIT_FSIZE, 0)),
    Failure(name="a table of the ledger is gone", inject=_drop_table),
    Failure(name="the ledger is replaced by an empty one", inject=_older_backup),
    Failure(name="the ledger is of a newer version", inject=_newer_version, mute=True, ignored=RESTART),
    Failure(name="its disk is full", inject=_fill_disk, disk=True),
    Failure(
        name="its server takes no connections",
        at="postgresql",
        inject=lambda case: _admin(case, "ALTER DATABASE {} ALLOW_CONNECTIONS false"),
    ),
    Failure(
        name="its server is read-only",
        at="postgresql",
        inject=lambda case: _admin(case, "ALTER DATABASE {} SET default_transaction_read_only = on"),
    ),
    Failure(name="its server hangs", at="postgresql", inject=_proxied("swallow")),
    Failure(name="the data folder is deleted", inject=_lose_folder),
    Failure(name="the data folder is a file", inject=_folder_is_a_file, mute=True, ignored=RESTART),
    Failure(name="the digest key is another", inject=_new_key, mute=True, ignored=RESTART),
    Failure(name="the digest key is lost", inject=_lost_key, mute=True, ignored=RESTART),
    Failure(name="the map is broken", inject=_broken_map, ignored=RESTART),
    Failure(name="a secret of the map is lost", inject=_lost_secret, ignored=RESTART),
    Failure(name="the status port is taken", inject=_taken_port, mute=True, ignored=RESTART),
    Failure(name="Slack is down", inject=_slack_down, ignored=SENDER),
    Failure(name="Slack's webhook is revoked", inject=_slack(_status(404, "no_service")), ignored=SENDER),
    Failure(
        name="Slack's name does not resolve",
        inject=lambda case: case.drift(),
        slack="https://hooks.slack.invalid/services/x",
        ignored=SENDER,
    ),
    Failure(name="Slack hangs", inject=_slack(_hangs), ignored=SENDER),
    Failure(name="the heartbeat's receiver is down", inject=_close_heartbeat),
    Failure(name="the clock is set forward", inject=_set_clock(3600), clock=True),
    Failure(name="the clock is set back", inject=_set_clock(-3600), clock=True),
    Failure(name="a second daemon", inject=_second_daemon),
    Failure(name="the lease is stolen", inject=_steal),
)

QUICK = (
    *("killed", "the status server ends", "the ledger is deleted", "the ledger is overwritten"),
    *("the digest key is another", "the map is broken", "Slack's webhook is revoked", "a second daemon"),
)


def build(failure: Failure, place: Path, every_s: int, postgresql: str, shim: Path | None) -> Case:
    """An installation with two systems that agree."""
    place.mkdir()
    case = Case(name=failure.name, place=place, every_s=every_s, ignored=failure.ignored)
    for system in ("crm", "billing"):
        with closing(sqlite3.connect(place / f"{system}.sqlite")) as database, database:
            database.execute("CREATE TABLE customers (id integer PRIMARY KEY, name text, updated_at text)")
            database.execute("CREATE INDEX changed ON customers (updated_at)")
            database.execute("CREATE TABLE letters (id integer, record integer, failed_at text, error text)")
            rows = [(key, "Ada", f"2026-01-01 00:00:0{key}") for key in range(1, RECORDS + 1)]
            database.executemany("INSERT INTO customers VALUES (?, ?, ?)", rows)
    case.slack = Api(case.respond)
    case.webhook, case.heartbeat, case.dog_hears = (Api(lambda _: "ok") for _ in range(3))
    for each in (case.slack, case.webhook, case.heartbeat, case.dog_hears):
        case.stack.callback(each.close)
    case.port = free_port()
    drill = "  drill: {to: webhook}\n" if failure.drill else ""
    text = MAP.format(
        place=place,
        every=every_s,
        window=2 * every_s,
        beats=max(1, every_s // 4),
        slack=failure.slack or case.slack.url,
        webhook=case.webhook.url,
        heartbeat=case.heartbeat.url,
        drill=drill,
    )
    case.map_file.write_text(text)
    case.data.mkdir(mode=0o700)
    if failure.disk:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs", str(case.data)], check=True)
        unmount = ["umount", "--lazy", str(case.data)]
        case.stack.callback(lambda: subprocess.run(unmount, check=False))
    if failure.at == "postgresql":
        name = f"ledger_{place.name}"
        with psycopg.connect(f"{postgresql}/postgres", autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {name}")
        case.ledger_url = f"{postgresql}/{name}"
        case.proxy = Proxy(int(postgresql.rpartition(":")[2]))
        case.stack.callback(case.proxy.close)
    if failure.clock:
        (place / "clock").write_bytes(bytes(8))
        assert shim is not None
        preloaded = {"LD_PRELOAD": str(shim), "CLOCK_SET_BY": str(place / "clock")}
        case.process = case.start(fresh=True, **preloaded)
    else:
        case.process = case.start(sabotage=failure.sabotage)
    case.stack.callback(case.end)
    return case


class Outside:
    """Looks at one installation again and again, each way on a thread of its own."""

    def __init__(self, case: Case) -> None:
        self.case = case
        dog_map = load_map(self._dog_map(), {})
        self.dog = Watchdog(dog_map, case.workspace(), open_senders(dog_map.alerts, timeout_s=5.0))
        self.status = ""
        for look, pause_s in ((self._program, 0.5), (self._people, 2.0), (self._watchdog, case.every_s / 6)):
            threading.Thread(target=self._again, args=(look, pause_s), daemon=True).start()

    def _dog_map(self) -> Path:
        file = self.case.place / "dog.yaml"
        text = self.case.map_file.read_text().partition("alerts:")[0]
        file.write_text(text + f'alerts:\n  webhook: {{url: "{self.case.dog_hears.url}"}}\n')
        return file

    def _again(self, look: Callable[[], None], pause_s: float) -> None:
        while not self.case.stopped.wait(pause_s):
            try:
                look()
            except Exception as error:
                say(f"{self.case.name}: looking from outside: {type(error).__name__}: {error}"[:300])

    def _program(self) -> None:
        """The exit of the process, `/healthz`, the heartbeat, messages."""
        case = self.case
        if (code := case.ended()) is not None:
            case.notice(f"exit {code}")
        elif case.begun_s:
            try:
                response = httpx.get(f"http://127.0.0.1:{case.port}/healthz", timeout=5)
                if response.status_code != 200:
                    checks = response.json()["checks"]
                    bad = [name for name, each in checks.items() if each["status"] == "fail"]
                    case.notice(f"/healthz: {', '.join(bad)}")
            except httpx.HTTPError as error:
                case.notice(f"/healthz: {type(error).__name__}")
        for receiver, told in ((case.webhook, "message"), (case.dog_hears, "watchdog's message")):
            for request in tuple(receiver.asked):
                notice = json.loads(request.body)
                if notice["breach"] in OWN and notice["transition"] == "opened":
                    case.notice(f"{told}: {notice['breach']}")
        if case.begun_s and case.beat_s + HEARTBEAT_INTERVALS * case.every_s < time.monotonic():
            case.notice("heartbeat missing")

    def _people(self) -> None:
        """What `auditor status` says, from its own functions: the command itself takes a second of processor time."""
        case = self.case
        try:
            loaded = load_map(case.map_file, {})
        except MapError:
            self.status = "no map"
            case.notice("status: exit 2")
            return
        try:
            ledger = case.workspace().existing_ledger()
        except LedgerError:
            self.status = "unreadable"
            case.notice("status: exit 3")
            return
        if ledger is None:
            self.status = "no ledger"
            case.notice("status: exit 3")
            return
        try:
            now = datetime.now(UTC)
            [flow] = flow_status(loaded, ledger, now)
            self.status = str(flow.state)
            failing = ledger.heartbeats.state().failing_since_at
            if flow.unknown:
                case.notice(f"status: {flow.unknown}")
            if failing is not None:
                case.notice("status: heartbeat failing")
            if ledger.outbox.undelivered():
                case.notice("status: messages not delivered")
            if loaded.alerts.held_drill is not None:
                wrong = problem(loaded.alerts.held_drill, ledger.drills.state(), now, ledger.lease.now().since_at)
                if wrong:
                    case.notice("status: drill")
        except LedgerError:
            self.status = "unreadable"
            case.notice("status: exit 3")
        finally:
            ledger.close()

    def _watchdog(self) -> None:
        report = self.dog.look()
        if report.silent:
            self.case.notice("watchdog: exit 3")


def await_ready(case: Case, outside: Outside, failure: Failure) -> bool:
    """Whether it audits without a complaint."""
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        if case.ended() is not None:
            return False
        drilled = not failure.drill
        with contextlib.suppress(httpx.HTTPError, LedgerError, AttributeError):
            if failure.drill:
                ledger = case.workspace().existing_ledger()
                drilled = ledger is not None and ledger.drills.state().arrived_at is not None
                if ledger is not None:
                    ledger.close()
            healthy = httpx.get(f"http://127.0.0.1:{case.port}/healthz", timeout=5).status_code == 200
            if healthy and drilled and outside.status == Standing.CONSISTENT and case.heartbeat.asked:
                return True
        time.sleep(0.5)
    return False


def agreed_since(case: Case, since: datetime) -> int:
    """Audits that agreed about a record although a system could not be read."""
    try:
        with closing(Ledger(case.workspace().ledger_url)) as ledger:
            rows, _ = ledger.exports.snapshot({"probe_runs": 0}, files_since=0)
            names = [name for name, _ in ledger.exports.columns("probe_runs")]
    except LedgerError:
        return 0
    runs = [dict(zip(names, row, strict=True)) for row in rows["probe_runs"]]
    return sum(run["agreed"] > 0 and run["started_at"] > since.timestamp() * 1e6 for run in runs)


def run(failure: Failure, place: Path, every_s: int, postgresql: str, shim: Path | None) -> tuple[Failure, Case]:
    """Bring one failure about, and look until it is visible, or for far longer than it may take."""
    case = build(failure, place, every_s, postgresql, shim)
    try:
        outside = Outside(case)
        if not await_ready(case, outside, failure):
            say(f"{failure.name}: did not get ready: {outside.status}")
            case.seen.clear()
            return failure, case
        limit_s = 2 * every_s
        _follow_beats(case)
        case.begun_s = time.monotonic()
        failure.inject(case)
        deadline = case.begun_s + 2 * limit_s
        while time.monotonic() < deadline and not _is_done(case, failure):
            time.sleep(0.2)
        broken_at = datetime.now(UTC)
        for system in ("billing", "crm"):
            with contextlib.suppress(sqlite3.Error):
                case.run_sql(system, "ALTER TABLE customers RENAME TO moved")
        case.broken_at = datetime.now(UTC)
        time.sleep(every_s + 5)
        if not failure.clock and agreed_since(case, case.broken_at):
            case.false.append("an audit agreed")
        time.sleep(max(0.0, limit_s - (datetime.now(UTC) - broken_at).total_seconds() + 5))
        with contextlib.suppress(LedgerError):
            outside._people()
            if outside.status == Standing.CONSISTENT:
                case.false.append("its state is consistent")
        say(f"{failure.name}: {_told(case)}")
        return failure, case
    except Exception as error:
        say(f"{failure.name}: {type(error).__name__}: {error}"[:300])
        case.seen.clear()
        return failure, case
    finally:
        case.stopped.set()
        case.stack.close()


def _follow_beats(case: Case) -> None:
    case.beat_s, count = time.monotonic(), len(case.heartbeat.asked)

    def follow() -> None:
        nonlocal count
        while not case.stopped.wait(0.2):
            if len(case.heartbeat.asked) > count:
                count, case.beat_s = len(case.heartbeat.asked), time.monotonic()

    threading.Thread(target=follow, daemon=True).start()


def _dog_s(case: Case) -> float | None:
    return next((s for way, s in case.seen.items() if way.startswith("watchdog's message")), None)


def _is_done(case: Case, failure: Failure) -> bool:
    return bool(case.seen) and (not failure.mute or _dog_s(case) is not None)


def _told(case: Case) -> str:
    ways = "; ".join(f"{way} after {s:.0f} s" for way, s in sorted(case.seen.items(), key=lambda each: each[1]))
    return (ways or "INVISIBLE") + (f"; FALSE: {', '.join(case.false)}" if case.false else "")


@contextlib.contextmanager
def _own_clock(folder: Path) -> Iterator[Path]:
    source, shim = folder / "clock.c", folder / "clock.so"
    source.write_text(CLOCK)
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(shim), str(source), "-ldl"], check=True)
    ctypes.CDLL(str(shim))
    yield shim


def main() -> int:
    """Run the benchmark."""
    asked = arguments(__doc__)
    every_s = QUICK_EVERY_S if asked.quick else EVERY_S
    chosen = [each for each in FAILURES if not asked.quick or each.name in QUICK]
    if only := os.environ.get("SELF_FAILURES"):
        chosen = [each for each in FAILURES if any(word in each.name for word in only.split(","))]
    done: list[tuple[Failure, Case]] = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        Path(folder).chmod(0o755)
        shim = stack.enter_context(_own_clock(Path(folder))) if any(each.clock for each in chosen) else None
        postgresql = ""
        if any(each.at == "postgresql" for each in chosen):
            postgresql = stack.enter_context(servers.postgresql())
        with ThreadPoolExecutor(TOGETHER) as pool:
            begun = [
                pool.submit(run, each, Path(folder) / f"case{at}", every_s, postgresql, shim)
                for at, each in enumerate(chosen)
            ]
            for each in begun:
                done.append(each.result())
        return 0 if _report(done, every_s, quick=asked.quick) else 1


def _report(done: list[tuple[Failure, Case]], every_s: int, *, quick: bool) -> bool:
    limit_s = 2 * every_s
    first = {failure.name: min(case.seen.values(), default=None) for failure, case in done}
    n = len(done)
    for failure, case in done:
        way = min(case.seen, key=lambda each: case.seen[each], default="")
        seen_s = first[failure.name]
        emit(
            "self_failures",
            "visible_after",
            -1 if seen_s is None else seen_s,
            "s",
            quick=quick,
            failure=failure.name,
            first=way,
            ways={name: round(s, 1) for name, s in sorted(case.seen.items(), key=lambda each: each[1])},
        )
    late = [name for name, s in first.items() if s is None or s > limit_s]
    good = emit(
        "self_failures", "not_visible_in_time", len(late), "failures", goal="= 0", n=n, quick=quick, names=late
    )
    shown = [s for s in first.values() if s is not None]
    if shown:
        spread = (min(shown), max(shown))
        emit("self_failures", "median_visible_after", percentile(shown, 0.5), "s", n=len(shown), spread=spread)
    mute = [(failure.name, _dog_s(case)) for failure, case in done if failure.mute]
    unspoken = [name for name, s in mute if s is None]
    good &= emit(
        "self_failures",
        "no_message_of_the_watchdog",
        len(unspoken),
        "failures",
        goal="= 0",
        n=len(mute),
        names=unspoken,
    )
    false = {failure.name: case.false for failure, case in done if case.false}
    good &= emit(
        "self_failures", "false_agreement", len(false), "failures", goal="= 0", n=n, quick=quick, names=false
    )
    return good


if __name__ == "__main__":
    sys.exit(main())
