"""`auditor` as a process of its own that has its libraries already: forked from a server, not started from nothing.

Most of what a command takes is loading libraries that no test is about. The server has loaded them, and forks for
each command; the product's own modules are loaded by the command itself, in its own order. All else is as in a new
process: arguments, folder, environment, streams, signals, exit code. Nothing can be measured here of how long a
command takes to start.
"""

from __future__ import annotations

import atexit
import functools
import gc
import io
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests import HOME

LOADED = (
    "auditor.cli",
    "auditor.cli.rows",
    "auditor.audit.once",
    "auditor.history.coverage",
    "auditor.history.lag",
    "auditor.history.lens",
    "auditor.systems.doctor",
)
"""What the commands load, from which the server takes the libraries."""

OWN = ("auditor", "checks", "probes")
AT_START = ("PYTHON", "LANG", "LC_")
"""Variables that an interpreter reads once, when it starts."""

LONGEST_REQUEST = 200_000


def run(
    words: Sequence[str], *, cwd: Path, env: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """`python -m auditor` with these words, and what it wrote."""
    if _at_start(env) != _at_start(_environment()):
        command = [sys.executable, "-m", "auditor", *words]
        return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env, timeout=timeout)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with (
        ours,
        theirs,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
        Path(os.devnull).open() as none,
    ):
        asked = json.dumps({"words": list(words), "cwd": str(cwd), "env": dict(env)}).encode()
        socket.send_fds(_server(), [asked], [none.fileno(), out.fileno(), err.fileno(), theirs.fileno()])
        theirs.close()
        ours.settimeout(timeout)
        pid = int(ours.recv(100))
        try:
            code = int(ours.recv(100))
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            raise subprocess.TimeoutExpired(["auditor", *words], timeout) from None
        told = [_read(file) for file in (out, err)]
    return subprocess.CompletedProcess(["auditor", *words], code, *told)


def _read(file: Any) -> str:
    file.seek(0)
    return io.TextIOWrapper(file).read()


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(HOME)}


def _at_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(AT_START)}


@functools.cache
def _server() -> socket.socket:
    """The server of this process, and the way to it; it ends when we do."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.warm", str(theirs.fileno())],
            cwd=HOME,
            env={**_environment(), "OPENBLAS_NUM_THREADS": "1"},
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def _serve(control: socket.socket) -> None:
    """Fork for every request until nobody can ask any more; returns in the forked process alone, as the command."""
    for name in LOADED:
        __import__(name)
    for name in [each for each in sys.modules if each.partition(".")[0] in OWN]:
        del sys.modules[name]
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        asked, descriptors, _, _ = socket.recv_fds(control, LONGEST_REQUEST, 4)
        if not asked:
            os._exit(0)
        if os.fork() == 0:
            control.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            *streams, answer = descriptors
            pid = os.fork()
            if pid == 0:
                os.close(answer)
                _become(json.loads(asked), streams)
                return
            for each in streams:
                os.close(each)
            os.write(answer, b"%d" % pid)
            _, status = os.waitpid(pid, 0)
            os.write(answer, b"%d" % os.waitstatus_to_exitcode(status))
            os._exit(0)
        for each in descriptors:
            os.close(each)


def _become(asked: Mapping[str, Any], streams: Sequence[int]) -> None:
    for number, each in enumerate(streams):
        os.dup2(each, number)
        os.close(each)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    sys.path[0] = asked["cwd"]
    sys.argv = ["-m", *asked["words"]]
    raw = bool(os.environ.get("PYTHONUNBUFFERED"))
    for number, name in ((1, "stdout"), (2, "stderr")):
        was: io.TextIOWrapper = getattr(sys, name)
        stream = io.TextIOWrapper(
            open(number, "wb", 0 if raw else -1, closefd=False),  # noqa: SIM115  open as long as the process
            encoding=was.encoding,
            errors=was.errors,
            line_buffering=name == "stderr",
            write_through=raw,
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _end(code: int) -> None:
    """End as an interpreter does, but free nothing: that takes longer than most commands."""
    for each in threading.enumerate():
        if each is not threading.current_thread() and not each.daemon:
            each.join()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
    try:
        runpy.run_module("auditor", run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        _end(int(ended.code or 0))
