"""The demo: the company, the daemon and the dashboard as three processes that stop together."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from auditor.daemon.pulse_file import pulse
from auditor.dashboard.serving import LOOPBACK, cannot_listen, command, free_port
from auditor.dashboard.serving import environment as serving
from auditor.scenarios import ADDRESS
from auditor.storage.private_files import PRIVATE_FOLDER, held, make_folder

if TYPE_CHECKING:
    from auditor.map.integration_map import IntegrationMap

START_WITHIN_S = 60.0
STOP_WITHIN_S = 8.0
LINES = 3
"""Last lines of its log that are shown of a process that has ended."""

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The last comes when the terminal is closed."""

AFTER_US = 'while read -r pid; do set -- "$@" "-$pid"; done; [ $# -eq 0 ] || kill -TERM "$@"'
"""Reads process groups, a line each, and ends them once there is nobody left who could write more of them."""

MAP = Path(__file__).with_name("demo_map.yaml")
ENGINES_MAP = Path(__file__).with_name("demo_engines.yaml")
"""Of the same company with real engines."""

ENGINES = {
    "DEMO_DOCUMENTS": "mongodb://127.0.0.1:27017",
    "DEMO_WAREHOUSE": "postgresql://127.0.0.1:5432",
    "DEMO_BUS": "redis://127.0.0.1:6379",
}
"""The variables with their addresses, and what stands for one that is not set where nothing is read from them."""

LOCK = "demo.lock"
"""The file in the demo's folder that is locked while a demo runs there; it holds the address of its dashboard."""

FOUNDED = "engines"
"""The file in the company's folder that is there if it has real engines."""


class RunningError(Exception):
    """A demo already runs in the folder; the message is for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Child:
    """One of the three processes.

    Attributes:
        log: what it writes; earlier starts have written to it, too.
        begun: the size of the log before it was started.
    """

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    begun: int

    @property
    def last_words(self) -> list[str]:
        """The last lines that it has written."""
        with self.log.open("rb") as log:
            log.seek(self.begun)
            return log.read().decode(errors="replace").splitlines()[-LINES:]


class _Children:
    """The processes that are started one after the other, and stop together, even if we are killed.

    Attributes:
        running: what has been started.
    """

    def __init__(self, folder: Path) -> None:
        self.running: list[_Child] = []
        self._folder = folder
        self._survivor = subprocess.Popen(  # noqa: S603  nobody else's words
            ["/bin/sh", "-c", AFTER_US], stdin=subprocess.PIPE, bufsize=0, start_new_session=True
        )

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str], *kept: int) -> None:
        """Start one; it keeps these descriptors."""
        child = _start(name, command, environment, self._folder, *kept)
        self.running.append(child)
        if self._survivor.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._survivor.stdin.write(f"{child.process.pid}\n".encode())

    def stop(self) -> None:
        """Stop all, the last first; what has not ended in time is killed."""
        for each in reversed(self.running):
            if each.process.poll() is None:
                each.process.terminate()
        deadline = time.monotonic() + STOP_WITHIN_S
        for each in self.running:
            try:
                each.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                each.process.kill()
                each.process.wait()
        self._survivor.kill()
        self._survivor.wait()


def load_map(company: Path) -> IntegrationMap:
    """The map of a running demo.

    Args:
        company: the folder of the company.

    Raises:
        MapError: with every mistake in it.
        OSError: no demo runs there.
    """
    from auditor.map import loader

    address = (company / ADDRESS).read_text(encoding="utf-8").strip()
    named = {**ENGINES, **os.environ, **_named(company, address)}
    return loader.load_map(ENGINES_MAP if (company / FOUNDED).exists() else MAP, named)


def _named(company: Path, address: str) -> dict[str, str]:
    """The variables of the map."""
    return {"DEMO_FOLDER": str(company), "DEMO_COMPANY": address}


def run_demo(folder: Path, port: int, status_port: int | None = None, *, engines: bool = False) -> int:
    """Start everything, print one address, and stop everything when told to.

    Args:
        engines: with MongoDB, PostgreSQL and Redis, at the addresses that the environment names.
        folder: state is kept here over restarts.
        port: of the dashboard on 127.0.0.1; another free one is taken where it is in use.
        status_port: of the auditor's health and metrics; None for none.

    Returns:
        The exit code.

    Raises:
        RunningError: a demo already runs in the folder.
    """
    folder = folder.resolve()
    with held(folder / LOCK) as lock:
        if lock is None:
            address = (folder / LOCK).read_text(encoding="utf-8").strip()
            raise RunningError(
                f"a demo already runs in {folder}{address and f': {address}'}; stop it first, or name another folder "
                "with --data"
            )
        wanted, port = port, free_port(port)
        address = f"http://{LOOPBACK}:{port}"
        lock.truncate()
        lock.write(address.encode())
        lock.flush()
        if wanted not in {0, port}:
            sys.stderr.write(
                f"{cannot_listen(LOOPBACK, wanted).partition(';')[0]}; the dashboard uses {port} instead\n"
            )
        return _run(folder, lock.fileno(), port, status_port, engines=engines)


def _run(folder: Path, lock: int, port: int, status_port: int | None, *, engines: bool) -> int:
    company_port = free_port(0)
    company = folder / "company"
    # Whatever the shell says of another installation is not the demo's.
    own = {name: value for name, value in os.environ.items() if not name.startswith("AUDITOR_")}
    named = {
        "AUDITOR_MAP": str(ENGINES_MAP if engines else MAP),
        "AUDITOR_DATA": str(folder),
        **_named(company, f"http://{LOOPBACK}:{company_port}"),
    }
    if not own.get("SLACK_WEBHOOK_URL"):
        named["SLACK_WEBHOOK_URL"] = f"{named['DEMO_COMPANY']}/chat"
    environment = {**own, **named, "DEMO_DASHBOARD": f"http://{LOOPBACK}:{port}", **_importable()}
    logs = folder / "logs"
    os.umask(os.umask(0o077) | 0o077)  # everything that the three processes make is their user's alone
    make_folder(logs)
    for kept in (logs, company):  # as an older version has left them
        if kept.is_dir():
            kept.chmod(PRIVATE_FOLDER)
    catch_stops()
    children = _Children(folder)
    running = children.running
    try:
        demo = [sys.executable, "-m", "demo", str(company), "--port", str(company_port)]
        demo += ["--engines"] if engines else []
        # A company that outlives us still writes to its folder, so it keeps the lock.
        children.start("company", demo, environment, lock)
        if not _wait(lambda: _answers(company_port), running):
            return _gave_up(running, "company")
        (company / ADDRESS).write_text(named["DEMO_COMPANY"], encoding="utf-8")
        status = [] if status_port is None else ["--status-port", str(status_port)]
        auditor = [sys.executable, "-m", "auditor", "run", *status]
        before = pulse(folder)
        children.start("auditor", auditor, environment)
        children.start("dashboard", command(port), serving(environment))
        if not _wait(lambda: _answers(port), running):
            return _gave_up(running, "dashboard")
        if not _wait(lambda: pulse(folder) != before, running):
            return _gave_up(running, "auditor")
        sys.stdout.write(f"\nPlumbline is watching the demo company: http://{LOOPBACK}:{port}\n")
        sys.stdout.write("The first drift shows within a minute, and is mended. Ctrl-C stops everything.\n\n")
        sys.stdout.write("To break something, open the Demo page, or in another shell:\n")
        sys.stdout.write(f"  auditor demo play paused-consumer --data {shlex.quote(str(folder))}\n\n")
        sys.stdout.write("To use all other commands on the demo there:\n")
        sys.stdout.write(f"  {export_line(named)}\n")
        if engines:
            sys.stdout.write(f"  export {' '.join(ENGINES)}   # as here\n")
        sys.stdout.write("\n")
        sys.stdout.flush()
        while all(each.process.poll() is None for each in running):
            time.sleep(0.3)
        return _gave_up(running)
    except KeyboardInterrupt:
        with contextlib.suppress(OSError):  # the terminal may have gone
            os.write(sys.stderr.fileno(), b"stopping\n")
        return 0
    finally:
        children.stop()
        (company / ADDRESS).unlink(missing_ok=True)


def export_line(named: Mapping[str, str]) -> str:
    """The line that points a shell's `auditor` commands at the demo's map and data."""
    return "export " + " ".join(f"{name}={shlex.quote(value)}" for name, value in named.items())


def _importable() -> dict[str, str]:
    """Where our own modules are found, if they are not installed."""
    home = Path(__file__).parent.parent
    if str(home) in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        return {}
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(home), os.environ.get("PYTHONPATH"))))}


def _start(name: str, command: Sequence[str], environment: Mapping[str, str], folder: Path, *kept: int) -> _Child:
    path = folder / "logs" / f"{name}.log"
    with path.open("ab") as log:
        begun = log.tell()
        process = subprocess.Popen(  # noqa: S603  our own modules
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=kept,
            start_new_session=True,
        )
    return _Child(name=name, process=process, log=path, begun=begun)


def catch_stops() -> None:
    """Let what stops the demo raise KeyboardInterrupt, but for what is ignored, as SIGHUP is under `nohup`."""
    for each in STOPS:
        if signal.getsignal(each) is not signal.SIG_IGN:
            signal.signal(each, _stop)


def _stop(*_: object) -> None:
    # Ctrl-C may come twice, from the terminal and from whoever started us: the second must not end the stopping.
    for each in STOPS:
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def _wait(ready: Callable[[], bool], running: Sequence[_Child]) -> bool:
    """Whether all came up: none of the processes has ended before it was ready."""
    deadline = time.monotonic() + START_WITHIN_S
    while time.monotonic() < deadline:
        if any(each.process.poll() is not None for each in running):
            return False
        if ready():
            return True
        time.sleep(0.05)
    return False


def _answers(port: int) -> bool:
    with socket.socket() as tried:
        tried.settimeout(0.5)
        return tried.connect_ex((LOOPBACK, port)) == 0


def _gave_up(running: Sequence[_Child], awaited: str = "") -> int:
    """Say which processes have ended; if none has, that the awaited one did not come up."""
    ended = [each for each in running if each.process.poll() is not None]
    for each in ended or [each for each in running if each.name == awaited]:
        code = each.process.returncode
        how = f"did not start within {START_WITHIN_S:.0f} s" if code is None else f"ended with {code}"
        said = "".join(f"  {line}\n" for line in each.last_words)
        sys.stderr.write(f"the {each.name} {how}; see the files in {each.log.parent}\n{said}")
    return 1
