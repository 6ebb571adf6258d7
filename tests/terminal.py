"""A command on a terminal of its own, answered as a person answers it."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path

from tests import HOME
from tests.waiting import wait_until

WITHIN_S = 120.0
SIGNS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

INTERRUPT = "\x03"
"""As an answer: Ctrl-C."""

NOT_SHOWN = "not shown"
"""In every question whose answer is hidden."""


class Terminal:
    """A command on a terminal of its own.

    Attributes:
        shown: all that it has written, without colours.
    """

    def __init__(self, place: Path, *words: str, **environment: str) -> None:
        self._mine, theirs = os.openpty()
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("AUDITOR_", "DEMO_"))}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "auditor", *words],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=place,
            env={**clean, "PYTHONPATH": str(HOME), "TERM": "dumb", "COLUMNS": "200", **environment},
            start_new_session=True,
        )
        os.close(theirs)
        self.shown = ""
        self._seen = 0

    def until(self, text: str) -> str:
        """Wait until this is shown after what was waited for before; answers what came with it."""
        until = time.monotonic() + WITHIN_S
        while text not in self.shown[self._seen :]:
            assert self._read(until), f"{text!r} was not shown: {self.shown}"
        begun = self._seen
        self._seen = self.shown.index(text, begun) + len(text)
        return self.shown[begun : self._seen]

    def _read(self, until: float) -> bool:
        ready, _, _ = select.select([self._mine], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            return False
        try:
            content = os.read(self._mine, 65536)
        except OSError:  # the command has ended
            return False
        self.shown += SIGNS.sub("", content.decode("utf-8", "replace"))
        return bool(content)

    def answer(self, question: str, text: str | None) -> None:
        """Wait for a question, and answer it; None for what is no question.

        A hidden answer is typed once the terminal hides what is typed, which drops what came before.
        """
        self.until(question)
        if text is None:
            return
        if text == INTERRUPT:
            self.process.send_signal(signal.SIGINT)
            # Python notices a signal that comes just before it waits for a line when it gets one.
            os.write(self._mine, b"\n")
            return
        self.until(": ")
        if NOT_SHOWN in self.shown[: self._seen].rpartition("\n")[2]:
            wait_until(lambda: not termios.tcgetattr(self._mine)[3] & termios.ECHO)
        os.write(self._mine, f"{text}\n".encode())

    def end(self) -> int:
        """The exit code, with all that was shown until then."""
        until = time.monotonic() + WITHIN_S
        while self._read(until):
            pass
        os.close(self._mine)
        return self.process.wait(WITHIN_S)


def talk(terminal: Terminal, answers: Sequence[tuple[str, str | None]]) -> int:
    """Answer questions one after the other; the exit code."""
    for question, text in answers:
        terminal.answer(question, text)
    return terminal.end()
