"""`auditor` as a process of its own that has its libraries already: forked from a server, not started from nothing.

Most of what a command takes is loading modules, which few tests are about. The server has loaded them, and forks for
each command. All else is as in a new process: arguments, folder, environment, streams, signals, exit code. Nothing
can be measured here of how long a command takes to start, or of what it loads.
"""

from __future__ import annotations

import atexit
import contextlib
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
from typing import IO, Any

from tests import HOME

LOADED = (
    "auditor.cli",
    "auditor.cli.rows",
    "auditor.audit.once",
    "auditor.conflicts.decisions",
    "auditor.conflicts.repair",
    "auditor.console.query",
    "auditor.daemon.daemon",
    "auditor.history.coverage",
    "auditor.history.lag",
    "auditor.history.lens",
    "auditor.history.letters",
    "auditor.history.status",
    "auditor.systems.doctor",
    "auditor.systems.discovery",
)
"""What the commands load."""

AT_START = ("PYTHON", "LANG", "LC_", "COLUMNS")
"""Variables that are read once: by an interpreter when it starts, or by a module when it is loaded."""

LONGEST_REQUEST = 200_000


class Started:
    """A command in a process of its own, with what `subprocess.Popen` offers for it.

    Attributes:
        pid: the process.
        returncode: None until it has ended and `poll` or `wait` has seen that.
        peak_bytes: the most memory that it, or a process it waited for, took; known when it has ended.
    """

    def __init__(self, pid: int, way: socket.socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.peak_bytes = 0
        self._way = way

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        return self._ended(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end.

        Raises:
            subprocess.TimeoutExpired: it still runs.
        """
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(["auditor"], timeout or 0.0)
        return code

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            self._way.settimeout(timeout)
            with contextlib.suppress(BlockingIOError, TimeoutError):
                self.returncode, self.peak_bytes = map(int, self._way.recv(100).split())
                self._way.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to stop."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


def start(
    words: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    given: IO[bytes] | int | None = None,
    out: IO[bytes] | int | None = None,
    err: IO[bytes] | int | None = None,
    script: str = "",
) -> Started:
    """Begin `python -m auditor` with these words.

    Args:
        env: its variables for the interpreter itself, such as `PYTHONUTF8`, have no effect.
        given: file or descriptor of its standard input; None for none.
        out: the same for what it writes; None drops it.
        err: the same for its errors and its log.
        script: a program to run in place of `auditor`, as with `python -c`.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs, Path(os.devnull).open("r+b") as none:
        asked = json.dumps({"words": list(words), "cwd": str(cwd), "env": dict(env), "script": script}).encode()
        files = [none if each is None else each for each in (given, out, err)]
        streams = [each if isinstance(each, int) else each.fileno() for each in files]
        socket.send_fds(_server(), [asked], [*streams, theirs.fileno()])
    return Started(int(ours.recv(100)), ours)


def run(
    words: Sequence[str], *, cwd: Path, env: Mapping[str, str], timeout: float, script: str = ""
) -> subprocess.CompletedProcess[str]:
    """`python -m auditor`, or a script, with these words, and what it wrote."""
    if _at_start(env) != _at_start(_environment()):
        command = [sys.executable, *(("-c", script) if script else ("-m", "auditor")), *words]
        return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env, timeout=timeout)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        started = start(words, cwd=cwd, env=env, out=out, err=err, script=script)
        try:
            code = started.wait(timeout)
        except subprocess.TimeoutExpired:
            started.kill()
            raise subprocess.TimeoutExpired(["auditor", *words], timeout) from None
        told = [_read(file) for file in (out, err)]
    return subprocess.CompletedProcess(["auditor", *words], code, *told)


def _read(file: Any) -> str:
    file.seek(0)
    return io.TextIOWrapper(file).read()


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(HOME), "COLUMNS": "200"}


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


def _serve(control: socket.socket) -> str:
    """Fork for every request until nobody can ask any more; returns in the forked process alone, with its script."""
    for name in LOADED:
        __import__(name)
    gc.freeze()
    signal.signal(signal.SIGCHLD, _reap)
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
                request = json.loads(asked)
                _become(request, streams)
                return str(request["script"])
            for each in streams:
                os.close(each)
            os.write(answer, b"%d" % pid)
            _, status, used = os.wait4(pid, 0)
            os.write(answer, b"%d %d" % (os.waitstatus_to_exitcode(status), used.ru_maxrss * 1024))
            os._exit(0)
        for each in descriptors:
            os.close(each)


def _reap(*_: object) -> None:
    """Take what has ended, with the time it took, which whoever waits for this server then counts."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _become(asked: Mapping[str, Any], streams: Sequence[int]) -> None:
    for number, each in enumerate(streams):
        os.dup2(each, number)
        os.close(each)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    sys.path[0] = asked["cwd"]
    sys.argv = ["-c" if asked["script"] else "-m", *asked["words"]]
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
    own = _serve(socket.socket(fileno=int(sys.argv[1])))
    try:
        if own:
            exec(compile(own, "<script>", "exec"), {"__name__": "__main__"})
        else:
            runpy.run_module("auditor", run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        _end(int(ended.code or 0))
