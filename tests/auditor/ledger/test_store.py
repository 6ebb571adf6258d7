"""What the stores of a ledger do together: all of a transaction or none, for every reader, also after kill -9."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from auditor.ledger import FlowState, Ledger, Swept
from tests import HOME
from tests.auditor.ledger.rows import change, save


def test_a_transaction_that_fails_leaves_no_trace(ledger: Ledger) -> None:
    def fail() -> None:
        with ledger.write() as transaction:
            ledger.flows.save_state(transaction, "f", FlowState(swept=Swept(count=1)))
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        fail()
    assert ledger.flows.state("f") == FlowState()


def test_a_reader_that_remembers_the_revision_never_misses_a_row(ledger: Ledger) -> None:
    """Writers in parallel, a reader that tops up by revision: in the end it has every row."""

    def write(first: int) -> None:
        for number in range(first, first + 25):
            save(ledger, changes=[change(number)])

    writers = [threading.Thread(target=write, args=(1000 * n,)) for n in range(3)]
    for writer in writers:
        writer.start()
    known, seen = 0, set()
    while True:
        running = any(writer.is_alive() for writer in writers)
        rows, _ = ledger.exports.snapshot({"changes": known}, files_since=0)
        names = [name for name, _ in ledger.exports.columns("changes")]
        for row in rows["changes"]:
            seen.add(row[names.index("key")])
            known = max(known, row[names.index("rev")])
        if not running:
            break
    assert len(seen) == 75


WRITER = """
import sys
from datetime import UTC, datetime
sys.path.insert(0, {home!r})
from tests.auditor.ledger.rows import change, save
from auditor.ledger import Ledger
ledger = Ledger({url!r})
number = 0
while True:
    number += 1
    save(ledger, changes=[change(number)])
    print(number, flush=True)
"""


def test_kill_9_loses_no_committed_row(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.sqlite"
    ledger = Ledger(url)
    ledger.migrate()
    acknowledged = 0
    for round_ in range(5):
        with ledger.database.unnumbered() as connection:
            connection.execute(sa.text("DELETE FROM changes"))
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER.format(home=str(HOME), url=url)], stdout=subprocess.PIPE, cwd=HOME
        )
        assert writer.stdout is not None
        first = int(writer.stdout.readline())
        time.sleep(0.05 * (round_ + 1))
        os.kill(writer.pid, signal.SIGKILL)
        lines = [line for line in writer.stdout.read().decode().split("\n") if line]
        writer.wait()
        told = int(lines[-1]) if lines else first
        rows, _ = ledger.exports.snapshot({"changes": 0}, files_since=0)
        assert len(rows["changes"]) >= told
        acknowledged += told
    assert acknowledged > 20
    ledger.close()
