"""Child processes for work that may crash a process: how they are started, limited, called and ended.

A child reads its task from standard input and ends when that is closed, which also happens when its parent is gone
for any reason. Its environment has no variables that may hold a secret, and neither has its command line. `Child`
handles requests one after the other, or many at once; `serve` is its other end.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import resource
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from typing import NoReturn

KILL_AFTER_S = 0.75
"""How long after its deadline a child may still report that itself before it is killed; a call allows a second."""

STARTED_WITHIN_S = 60.0
"""A child that is not ready after this long counts as hung. Earlier callers just stop waiting: if a child were killed
because the machine is slow, it would never get ready."""

STARTS_APART_S = 5.0
"""The least time between two starts of a child: an attack that kills it with every call would otherwise make the
machine start processes all day."""

STACK_BYTES = 1024**2
"""The stack of every thread of a serving child; a driver may well have eight threads for each queue."""

UNNEEDED = "is no longer needed"

ANSWER_BYTES = 128 * 1024**2
"""The longest response accepted; real ones are far shorter."""

_ENVIRONMENT = frozenset(
    {
        *("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR"),
        *("PGPASSFILE", "PGSSLROOTCERT", "PGSERVICEFILE"),
    }
)
"""The environment variables passed to a child; the secrets of a map are in others."""

_QUIET = {"MALLOC_ARENA_MAX": "2", "PYTHONUNBUFFERED": "1"}
"""Every arena of memory counts against the child's limit, used or not."""

_HEAD = struct.Struct(">QI")
"""Header of every request and response: its number and length. The number 0 says that the child is ready."""

_numbers = itertools.count(1)


class ChildEndedError(Exception):
    """A child ended before it responded.

    Args:
        how: the text after "its process".
        crashed: whether by its own doing.
    """

    def __init__(self, how: str, *, crashed: bool = False) -> None:
        super().__init__(how)
        self.how = how
        self.crashed = crashed

    def anew(self) -> ChildEndedError:
        """A copy to raise again."""
        return ChildEndedError(self.how, crashed=self.crashed)


# -- what every child has


def command(module: str) -> list[str]:
    """The command that runs one of our modules as a child, with this process's module path."""
    return [sys.executable, "-S", "-P", "-m", module]


def environment() -> dict[str, str]:
    """The environment of a child, with its module path."""
    kept = {name: value for name, value in os.environ.items() if name in _ENVIRONMENT}
    places = [str(Path(__file__).parents[1]), *(str(Path(each).absolute()) for each in sys.path if each)]
    return {**kept, **_QUIET, "PYTHONPATH": os.pathsep.join(dict.fromkeys(places))}


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a child in its own session, and everything it started."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def end_of(code: int) -> str:
    """How a process ended, in words."""
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


def limit_memory(data_bytes: int, *, for_good: bool = True) -> None:
    """Limit this process's memory, and keep its contents out of core dumps.

    Only Linux counts all of it; elsewhere only the deadline ends a process.

    Args:
        for_good: the limit cannot be raised later.
    """
    _, highest = resource.getrlimit(resource.RLIMIT_DATA)
    if not for_good and highest != resource.RLIM_INFINITY:
        data_bytes = min(data_bytes, highest)
    resource.setrlimit(resource.RLIMIT_DATA, (data_bytes, data_bytes if for_good else highest))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def limit_stacks(stack_bytes: int) -> None:
    """Limit the stack of every thread started from now on, including those of libraries.

    The usual 8 MiB count against the memory limit, used or not. Without such a setting in the C library nothing
    happens. Source: pthread_setattr_default_np(3).
    """
    library = ctypes.CDLL(None)
    attributes = ctypes.create_string_buffer(256)  # no C library's pthread_attr_t has as much
    with contextlib.suppress(AttributeError):
        set_default = library.pthread_setattr_default_np
        library.pthread_attr_init(attributes)
        library.pthread_attr_setstacksize(attributes, ctypes.c_size_t(stack_bytes))
        set_default(attributes)
        library.pthread_attr_destroy(attributes)


def end_with_parent() -> None:
    """End this process when standard input is closed; further input is discarded."""
    while os.read(0, 4096):
        pass
    os._exit(1)


# -- a child that serves requests


class Child:
    """A process that serves requests, started by the first one and restarted by the next one after its death.

    Several callers share it. It is killed if it does not respond by a call's deadline, and when its last caller has
    left; pending requests then end with an error.

    Args:
        module: what it runs; it calls `serve`.
    """

    def __init__(self, module: str) -> None:
        self._module = module
        self._guard = threading.Lock()
        self._life: _Life | None = None
        self._callers: set[int] = set()
        self._again_at = 0.0

    def start(self, caller: int, within_s: float) -> None:
        """Get it ready before a request, so that its start does not count against the response time.

        Raises:
            ChildEndedError: it died.
            TimeoutError: it is not ready yet; it continues to start.
        """
        with self._guard:
            life = self._living()
            self._callers.add(caller)
        if life.begun.wait(within_s):
            if life.over is not None:
                raise life.over.anew()
            return
        if time.monotonic() > life.started_at + STARTED_WITHIN_S:
            life.end(f"was ended because it was not up after {STARTED_WITHIN_S:g} s")
        raise TimeoutError

    def ask(self, caller: int, question: bytes, until: float) -> bytes:
        """Send a request and return the response.

        Args:
            caller: the caller's id, the same until it leaves.
            until: deadline in monotonic seconds; the request tells the child.

        Raises:
            ChildEndedError: it died, or the caller left meanwhile.
            TimeoutError: it did not respond in time.
        """
        with self._guard:
            life = self._living()
            self._callers.add(caller)
        number, answer = life.put(question, caller)
        try:
            return answer.result(max(0.0, until + KILL_AFTER_S - time.monotonic()))
        except TimeoutError:
            if life.begun.is_set():
                life.end("was ended because it did not answer another call in time")
            raise
        finally:
            life.drop(number)

    def leave(self, caller: int, farewell: bytes) -> None:
        """Leave, and end this caller's pending requests; if others are left, the child gets the farewell."""
        with self._guard:
            self._callers.discard(caller)
            life = self._life
            if life is None:
                return
            life.fail(ChildEndedError(UNNEEDED), caller)
            if self._callers:
                life.put(farewell, None)
            else:
                self._life, self._again_at = None, 0.0
                life.end(UNNEEDED)

    @property
    def pid(self) -> int | None:
        """The serving process; None if there is none."""
        life = self._life
        return None if life is None or life.over is not None else life.process.pid

    def _living(self) -> _Life:
        if self._life is not None and self._life.over is None:
            return self._life
        if self._life is not None and time.monotonic() < self._again_at:
            assert self._life.over is not None
            raise self._life.over.anew()
        self._again_at = time.monotonic() + STARTS_APART_S
        self._life = _Life(self._module)
        return self._life

    def __del__(self) -> None:
        if self._life is not None:
            self._life.end(UNNEEDED)


class _Life:
    """A child from its start to its death.

    Attributes:
        begun: set when it is ready, or dead.
        over: why it is dead; None while it lives.
    """

    def __init__(self, module: str) -> None:
        self.started_at = time.monotonic()
        self.process = subprocess.Popen(  # noqa: S603
            command(module),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(),
            start_new_session=True,
        )
        self.begun = threading.Event()
        self.over: ChildEndedError | None = None
        self._guard = threading.Lock()
        self._pending: dict[int, tuple[int, Future[bytes]]] = {}
        self._questions: SimpleQueue[bytes | None] = SimpleQueue()
        for each in (self._tell, self._hear):
            threading.Thread(target=each, name=f"child-{self.process.pid}", daemon=True).start()

    def put(self, question: bytes, caller: int | None) -> tuple[int, Future[bytes]]:
        """Pass a request on; without a caller no one waits for the response."""
        number, answer = next(_numbers), Future[bytes]()
        with self._guard:
            if self.over is not None:
                answer.set_exception(self.over.anew())
            elif caller is not None:
                self._pending[number] = caller, answer
        self._questions.put(_HEAD.pack(number, len(question)) + question)
        return number, answer

    def drop(self, number: int) -> None:
        """Stop waiting for this response."""
        with self._guard:
            self._pending.pop(number, None)

    def fail(self, error: ChildEndedError, caller: int | None = None) -> None:
        """End the pending requests of a caller, or of all."""
        with self._guard:
            numbers = [number for number, (whose, _) in self._pending.items() if caller in {None, whose}]
            answers = [self._pending.pop(number)[1] for number in numbers]
        for each in answers:
            each.set_exception(error.anew())

    def end(self, why: str) -> None:
        """Kill it; from any thread, at any time."""
        with self._guard:  # it is dead from here on: the next request starts another one
            self.over = self.over or ChildEndedError(why)
        kill(self.process)

    def _tell(self) -> None:
        assert self.process.stdin
        with contextlib.suppress(OSError), self.process.stdin as pipe:
            while (question := self._questions.get()) is not None:
                pipe.write(question)
                pipe.flush()

    def _hear(self) -> None:
        assert self.process.stdout
        with self.process.stdout as pipe:
            while len(head := pipe.read(_HEAD.size)) == _HEAD.size:
                number, size = _HEAD.unpack(head)
                if size > ANSWER_BYTES:
                    self.end(f"was ended because it answered more than {ANSWER_BYTES >> 20} MiB")
                    break
                answer = pipe.read(size)
                if len(answer) < size:
                    break
                self.begun.set()
                with self._guard:
                    waiting = self._pending.pop(number, None)
                if waiting is not None:
                    waiting[1].set_result(answer)
                del answer, waiting  # nothing is kept until the next response
        if self.over is None:  # it has ended by itself, or has closed its output and is useless
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(KILL_AFTER_S)
        kill(self.process)
        code = self.process.wait()
        with self._guard:
            if self.over is None:
                self.over = ChildEndedError(end_of(code), crashed=code != -signal.SIGKILL)
            error = self.over
        self.begun.set()
        self.fail(error)
        self._questions.put(None)


def serve(answer: Callable[[bytes], bytes], *, memory_bytes: int, for_good: bool = True) -> NoReturn:
    """Serve requests as a child, each on its own thread, until the parent is gone.

    Args:
        answer: must not raise; if it does, the process ends.
        memory_bytes: the memory that the process may allocate.
        for_good: the limit cannot be raised later.
    """
    limit_memory(memory_bytes, for_good=for_good)
    limit_stacks(STACK_BYTES)
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)  # meant for the parent, which ends this process when it is done
    out = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # a library's output must not mix with responses
    one_at_a_time = threading.Lock()

    def say(number: int, message: bytes) -> None:
        left = memoryview(_HEAD.pack(number, len(message)) + message)
        with one_at_a_time:
            while left:
                left = left[os.write(out, left) :]

    def reply(number: int, question: bytes) -> None:
        try:
            say(number, answer(question))
        except BaseException:
            os._exit(1)

    try:
        say(0, b"")
        while len(head := sys.stdin.buffer.read(_HEAD.size)) == _HEAD.size:
            number, size = _HEAD.unpack(head)
            question = sys.stdin.buffer.read(size)
            threading.Thread(target=reply, args=(number, question), daemon=True).start()
    finally:
        # At Python's own shutdown a driver that is still busy could block the process.
        os._exit(0)
