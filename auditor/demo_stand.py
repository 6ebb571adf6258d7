"""The demo: the company, the daemon and the dashboard as three processes that stop together."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

HOME = Path(__file__).parent.parent
START_WITHIN_S = 60.0
STOP_WITHIN_S = 8.0


def run_demo(folder: Path, port: int) -> int:
    """Start everything, print one address, and stop everything when told to.

    Args:
        folder: state is kept here over restarts.
        port: of the dashboard on 127.0.0.1; another free one is taken where it is in use.

    Returns:
        The exit code.
    """
    folder = folder.resolve()
    billing_port, port = _free(0), _free(port)
    company = folder / "company"
    # Whatever the shell says of another installation is not the demo's.
    own = {name: value for name, value in os.environ.items() if not name.startswith("AUDITOR_")}
    environment = {
        **own,
        "DEMO_FOLDER": str(company),
        "DEMO_BILLING": f"http://127.0.0.1:{billing_port}",
        "AUDITOR_MAP": str(Path(__file__).with_name("demo_map.yaml")),
        "AUDITOR_DATA": str(folder),
        "PYTHONPATH": os.pathsep.join(filter(None, (str(HOME), os.environ.get("PYTHONPATH")))),
    }
    logs = folder / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    running: list[tuple[str, subprocess.Popen[bytes]]] = []
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, _stop)
    try:
        running.append(("company", _start([*_demo(company), "--port", str(billing_port)], environment, logs)))
        if not _wait(billing_port, running):
            return _gave_up(running, logs)
        running.append(("auditor", _start(["-m", "auditor", "run"], environment, logs)))
        running.append(("dashboard", _start(_streamlit(port), environment, logs)))
        if not _wait(port, running):
            return _gave_up(running, logs)
        sys.stdout.write(f"\nPlumbline is watching the demo company: http://127.0.0.1:{port}\n")
        sys.stdout.write("The first drift shows within a minute. Ctrl-C stops everything.\n\n")
        sys.stdout.flush()
        while all(process.poll() is None for _, process in running):
            time.sleep(0.3)
        return _gave_up(running, logs)
    except KeyboardInterrupt:
        sys.stderr.write("stopping\n")
        return 0
    finally:
        _stop_all(running)


def _demo(company: Path) -> list[str]:
    return ["-m", "demo", str(company)]


def _streamlit(port: int) -> list[str]:
    return [
        *("-m", "streamlit", "run", str(HOME / "app.py")),
        *("--server.port", str(port), "--server.address", "127.0.0.1"),
    ]


def _start(arguments: Sequence[str], environment: Mapping[str, str], logs: Path) -> subprocess.Popen[bytes]:
    name = arguments[1].rpartition(".")[2]
    with (logs / f"{name}.log").open("ab") as log:
        return subprocess.Popen(  # noqa: S603  our own modules
            [sys.executable, *arguments],
            cwd=HOME,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _stop(*_: object) -> None:
    # Ctrl-C may come twice, from the terminal and from whoever started us: the second must not end the stopping.
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.SIG_IGN)
    raise KeyboardInterrupt


def _stop_all(running: Sequence[tuple[str, subprocess.Popen[bytes]]]) -> None:
    for _, process in reversed(running):
        if process.poll() is None:
            process.terminate()
    deadline = time.monotonic() + STOP_WITHIN_S
    for _, process in running:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(port: int, running: Sequence[tuple[str, subprocess.Popen[bytes]]]) -> bool:
    deadline = time.monotonic() + START_WITHIN_S
    while time.monotonic() < deadline:
        if any(process.poll() is not None for _, process in running):
            return False
        with socket.socket() as tried:
            tried.settimeout(0.5)
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return True
        time.sleep(0.05)
    return False


def _gave_up(running: Sequence[tuple[str, subprocess.Popen[bytes]]], logs: Path) -> int:
    for name, process in running:
        if process.poll() is not None:
            sys.stderr.write(f"the {name} ended with {process.returncode}; see the files in {logs}\n")
    return 1


def _free(port: int) -> int:
    """The port if it can be had, else any free one."""
    for wanted in (port, 0):
        with socket.socket() as held:
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                held.bind(("127.0.0.1", wanted))
            except OSError:
                continue
            found: int = held.getsockname()[1]
            return found
    raise OSError("no free port on 127.0.0.1")
