"""The SQL console under attack: hostile statements of 14 classes through the command line, and honest ones.

A hostile statement escapes where it shows, writes, reads or reaches what it must not, or goes beyond a limit of
memory, time or length; `tests.attacks.statements` holds them.
"""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from auditor.console.limits import ANSWER_BYTES, MEMORY_BYTES, MESSAGE_BYTES
from auditor.history.archive import archive_settled
from benchmarks.report import arguments, emit, percentile, say
from tests.attacks.statements import HONEST, HOSTILE, fields
from tests.stand import Stand

TIMEOUT_S = 20.0
QUICK_TIMEOUT_S = 3.0
HEAVY = {"memory", "length", "time"}
QUICK_EACH = 4
"""Statements of a class in the short form."""

SECRET = "the-canary-of-the-console"
HIDDEN = "a-canary-that-no-view-shows"


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What became of a statement: exit code, what was printed, seconds, bytes of memory of its largest process."""

    code: int
    out: bytes
    err: bytes
    took_s: float
    peak_bytes: int


class Place:
    """An installation with history, a secret beside it, and a port that notices who calls."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "leak"
        self.folder.mkdir()
        self.secret = folder / "secret.csv"
        self.secret.write_text(f"a,b\n{SECRET},1\n")
        self.stand = Stand(folder)
        self.stand.agree(5)
        self.stand.put("crm", 3, "Grace", ago_s=0)
        self.stand.audit()
        self.archive_folder = folder / "var" / "archive"
        self.data = folder / "var"
        self.data.mkdir()
        soon = datetime.now(UTC) + timedelta(seconds=5)
        archive_settled(self.stand.ledger, str(self.archive_folder), soon, keep_live_s=0)
        self.stand.put("crm", 4, "Grace", ago_s=0)
        self.stand.audit()
        self.archived = next(iter(self.archive_folder.rglob("*.parquet")))
        self.ledger = folder / "ledger.sqlite"
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.calls = 0
        threading.Thread(target=self._listen, daemon=True).start()
        self.before = self.state()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self.calls += 1
            connection.close()

    def state(self) -> tuple[str, ...]:
        """What a statement must not change."""
        files = (*self.folder.rglob("*"), self.secret, *self.archive_folder.rglob("*.parquet"), self.ledger)
        return tuple(f"{each}:{hashlib.sha256(each.read_bytes()).hexdigest()}" for each in files if each.is_file())

    def fill(self, text: str) -> str:
        """A statement of the corpus against this place."""
        return fields(
            text,
            secret=self.secret,
            ledger=self.ledger,
            archive=self.archived,
            folder=self.folder,
            port=self.port,
        )

    def close(self) -> None:
        """End what was started."""
        self._server.close()
        self.stand.close()


def ask(place: Place, sql: str, timeout_s: float, *words: str) -> Done:
    """Put a statement to `auditor query -`, and measure its processes."""
    environment = {**os.environ, "AUDITOR_LEDGER": f"sqlite:///{place.ledger}", "CANARY": SECRET}
    begun = time.perf_counter()
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(sql.encode("utf-8", "surrogatepass"))
        given.seek(0)
        command = [sys.executable, "-m", "auditor", "query", "-", "--data", str(place.data)]
        process = subprocess.Popen(
            [*command, "--timeout", f"{timeout_s:g}s", *words], stdin=given, stdout=out, stderr=err, env=environment
        )
        clock = threading.Timer(timeout_s + 60, os.kill, (process.pid, signal.SIGKILL))
        clock.start()
        _, status, used = os.wait4(process.pid, 0)
        clock.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        took = time.perf_counter() - begun
        for file in (out, err):
            file.seek(0)
        return Done(
            code=process.returncode,
            out=out.read(ANSWER_BYTES * 4),
            err=err.read(ANSWER_BYTES),
            took_s=took,
            peak_bytes=used.ru_maxrss * 1024,
        )


def escaped(place: Place, sql: str, done: Done, timeout_s: float) -> list[str]:
    """In which ways a statement has escaped."""
    said = (done.out + done.err).decode(errors="replace")
    ways = []
    if done.code not in {0, 2}:
        ways.append(f"ended with {done.code}")
    if "Traceback" in said:
        ways.append("a traceback")
    for what in (SECRET, HIDDEN):
        if what in said:
            ways.append("shows a secret")
    for what in (str(place.archive_folder), str(place.ledger), "live_", "read_parquet", "CREATE VIEW", "alembic"):
        if what in said and what.casefold() not in sql.casefold():
            ways.append(f"shows {what}")
    if place.state() != place.before:
        ways.append("wrote")
    if place.calls:
        ways.append("called")
        place.calls = 0
    if len(done.out) > ANSWER_BYTES * 1.1:
        ways.append(f"answered {len(done.out)} bytes")
    if len(done.err) > 2 * MESSAGE_BYTES:
        ways.append(f"said {len(done.err)} bytes")
    if done.peak_bytes > MEMORY_BYTES:
        ways.append(f"took {done.peak_bytes >> 20} MiB")
    if done.took_s > timeout_s + 3:  # a second to be killed in, and what two interpreters take to start
        ways.append(f"took {done.took_s:.1f} s")
    return ways


def main() -> int:
    """Run the benchmark."""
    asked = arguments(__doc__)
    timeout_s = QUICK_TIMEOUT_S if asked.quick else TIMEOUT_S
    good = True
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder))
        escapes, peak, longest, overrun, count = 0, 0, 0, 0.0, 0
        for name, statements in HOSTILE.items():
            chosen = statements[:QUICK_EACH] if asked.quick else statements
            here, refused = 0, 0
            for sql in map(place.fill, chosen):
                done = ask(place, sql, timeout_s, *(("--json",) if count % 3 else ("--csv",) if count % 2 else ()))
                ways = escaped(place, sql, done, timeout_s)
                for way in ways:
                    say(f"ESCAPE {name}: {sql[:100]!r}: {way}; {done.err[:200]!r}")
                count, here, refused = count + 1, here + bool(ways), refused + (done.code == 2)
                peak = max(peak, done.peak_bytes)
                longest = max(longest, len(done.out))
                overrun = max(overrun, done.took_s - timeout_s)
            escapes += here
            emit("console", f"escapes_{name}", here, "", n=len(chosen), refused=refused, quick=asked.quick)
        good &= emit("console", "escapes", escapes, "", goal="<= 0", n=count, classes=len(HOSTILE), quick=asked.quick)
        good &= emit("console", "peak", peak / 2**20, "MiB", goal="<= 1024", n=count, quick=asked.quick)
        good &= emit("console", "longest_answer", longest / 2**20, "MiB", goal="<= 17", n=count, quick=asked.quick)
        good &= emit("console", "beyond_time_limit", max(overrun, 0), "s", goal="<= 3", n=count, quick=asked.quick)
        answered, took = 0, []
        honest = list(HONEST.items())[: 4 * QUICK_EACH] if asked.quick else list(HONEST.items())
        for name, sql in honest:
            done = ask(place, sql, TIMEOUT_S, "--json")
            took.append(done.took_s)
            answered += done.code == 0
            if done.code:
                say(f"UNANSWERED {name}: {done.err[:300]!r}")
        good &= emit(
            "console", "honest_answered", answered / len(honest), "", goal=">= 1", n=len(honest), quick=asked.quick
        )
        emit("console", "honest_p95", percentile(took, 0.95), "s", n=len(took), spread=(min(took), max(took)))
        place.close()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
