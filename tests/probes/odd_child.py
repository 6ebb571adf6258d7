"""A child that does what it is asked, also to die, to hang, to swallow memory and to talk out of turn."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path

from probes.child_process import serve

MEMORY_BYTES = 256 * 1024**2

_gone_on = threading.Event()
_filled: list[bytearray] = []


def answer(question: bytes) -> bytes:
    """Do it."""
    what = question.decode()
    if what == "abort":
        os.abort()
    if what == "exit":
        os._exit(7)
    if what == "raise":
        raise ValueError(what)
    if what == "hang":
        time.sleep(3600)
    if what == "fill":
        while True:
            _filled.append(bytearray(1024**2))
    if what == "wait":
        _gone_on.wait()
    if what == "go on":
        _gone_on.set()
    if what == "print":
        print("out of turn" * 1000, flush=True)
    if what == "close":
        os.closerange(3, 64)
    if what == "known":
        return json.dumps(
            {"environment": dict(os.environ), "words": Path("/proc/self/cmdline").read_text(), "path": sys.path}
        ).encode()
    return b"x" * 5_000 if what == "long" else question


if __name__ == "__main__":
    serve(answer, memory_bytes=MEMORY_BYTES)
