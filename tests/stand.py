"""Two small SQLite systems and the auditor between them, for tests that need the whole way but no server."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from auditor.alerts.reporter import Reporter
from auditor.audit.flow_audit import Auditor
from auditor.audit.result import AuditResult
from auditor.ledger import Ledger
from auditor.map.integration_map import IntegrationMap
from auditor.map.loader import load_map
from auditor.systems.reader import SystemReader, open_readers
from checks.objectives import WindowCounts
from tests import ledgers
from tests.standins.clock import Clock

MAP = """\
systems:
  crm: {kind: sql, url: "sqlite:///${PLACE}/crm.sqlite", zone: UTC}
  billing: {kind: sql, url: "sqlite:///${PLACE}/billing.sqlite", zone: UTC}
data_types:
  customer:
    owner: crm
    window: 4s
    key_type: integer
    fields:
      name: {type: string, evidence: clear}
      amount: {type: decimal, evidence: clear, valid: {min: 0}}
    in:
      crm: {collection: customers, key: id, changed_at: updated_at}
      billing: {collection: customers, key: id}
flows:
  to_billing:
    data_type: customer
    from: crm
    to: billing
    pattern: real-time
    every: 1s
    alert: {clear_after: 1s}
    sla: {dead_letters: 1}
    queues:
      dead: {kind: sql_queue, system: billing, table: letters, key: record, since: failed_at, reason: error}
"""

MOMENT_S = 0.25
"""From one audit to the next, where something is awaited."""


@cache
def _system() -> bytes:
    """The file of a system that has no record yet."""
    with TemporaryDirectory() as place, closing(sqlite3.connect(f"{place}/system.sqlite")) as database:
        database.executescript(
            "CREATE TABLE customers (id integer, name text, amount text, updated_at text);"
            "CREATE INDEX i ON customers (id); CREATE INDEX u ON customers (updated_at);"
            "CREATE TABLE letters (id integer, record integer, failed_at text, error text);"
        )
        return Path(place, "system.sqlite").read_bytes()


class Stand:
    """The systems' databases, the map, the ledger and an auditor of the one flow.

    Attributes:
        clock: what writes, reads and audits take for the present; a test moves it instead of waiting.
        begun_at: when the test began, by the clock.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self.clock = Clock()
        self.begun_at = self.clock.now()
        for system in ("crm", "billing"):
            (place / f"{system}.sqlite").write_bytes(_system())
        self.map_file = place / "map.yaml"
        self.map_file.write_text(MAP.replace("${PLACE}", str(place)))
        self.map: IntegrationMap = load_map(self.map_file, {})
        self.ledger_url = f"sqlite:///{place}/ledger.sqlite"
        ledgers.put(place / "ledger.sqlite")
        self.ledger = Ledger(self.ledger_url)
        self.readers: dict[str, SystemReader] = open_readers(self.map, now=self.clock.now)
        self.auditor = self.new_auditor()

    def new_auditor(self) -> Auditor:
        """An auditor as it is after a restart."""
        return Auditor(
            flow=self.map.flow("to_billing"),
            source=self.readers[self.map.flows["to_billing"].from_],
            target=self.readers[self.map.flows["to_billing"].to],
            ledger=self.ledger,
            digest_key=b"k" * 32,
            reporter=Reporter.of_map(self.ledger, self.map, ["slack"], hold_s=0),
            others=self.readers,
            objective_every_s=1,
            now=self.clock.now,
        )

    def breaches(self, breach: str) -> list[dict[str, object]]:
        """The breaches of this kind, each with its `state` and what its incident says."""
        said = {row["id"]: f"{row['summary']}; {row['evidence']}" for row in self.rows("incidents")}
        rows = sorted(self.rows("breaches"), key=lambda row: int(str(row["id"])))
        return [
            {
                **row,
                "state": "open" if row["ended_at"] is None else "resolved",
                "summary": said[row["incident_id"]],
            }
            for row in rows
            if row["breach"] == breach
        ]

    def remap(self, old: str, new: str) -> None:
        """Change the map and begin again with it."""
        text = self.map_file.read_text()
        assert old in text
        self.map_file.write_text(text.replace(old, new))
        self.map = load_map(self.map_file, {})
        for reader in self.readers.values():
            reader.close()
        self.readers = open_readers(self.map, now=self.clock.now)
        self.auditor = self.new_auditor()

    @contextmanager
    def open(self, system: str) -> Iterator[sqlite3.Connection]:
        """A transaction on a system's database."""
        connection = sqlite3.connect(self.place / f"{system}.sqlite")
        connection.execute("PRAGMA synchronous=OFF")
        with connection:
            yield connection
        connection.close()

    def put(self, system: str, key: int, name: str = "Ada", amount: str = "1.00", ago_s: float = 3600) -> None:
        """Write a record; `ago_s` says when it changed."""
        at = (self.clock.now() - timedelta(seconds=ago_s)).strftime("%Y-%m-%d %H:%M:%S.%f")
        with self.open(system) as database:
            database.execute("DELETE FROM customers WHERE id = ?", (key,))
            database.execute("INSERT INTO customers VALUES (?, ?, ?, ?)", (key, name, amount, at))

    def run(self, system: str, sql: str) -> None:
        """Run one statement on a system."""
        with self.open(system) as database:
            database.execute(sql)

    def fill(self, count: int) -> None:
        """Put records 1 to `count` into both systems, alike, as each changed an hour ago."""
        for system in ("crm", "billing"):
            begun = self.clock.now() - timedelta(hours=1)
            stamps = (begun + timedelta(microseconds=key) for key in range(count))
            rows = [
                (key, "Ada", "1.00", at.strftime("%Y-%m-%d %H:%M:%S.%f")) for key, at in enumerate(stamps, start=1)
            ]
            with self.open(system) as database:
                database.executemany("DELETE FROM customers WHERE id = ?", [row[:1] for row in rows])
                database.executemany("INSERT INTO customers VALUES (?, ?, ?, ?)", rows)

    def agree(self, count: int = 20) -> None:
        """Fill both systems alike and audit until a sweep is done."""
        self.fill(count)
        self.sweep()

    def audit(self, after_s: float = 0) -> AuditResult:
        """Audit as of now plus some seconds (what is due by then is due)."""
        return self.auditor.audit(self.clock.now() + timedelta(seconds=after_s))

    def audit_until(self, done: Callable[[], object], seconds: float = 60) -> None:
        """Audit again and again, a moment of the clock apart, until something has become true."""
        for _ in range(round(seconds / MOMENT_S)):
            if done():
                return
            self.audit()
            self.clock.advance(MOMENT_S)
        assert done(), f"waited {seconds:g} s in vain"

    def sweep(self) -> AuditResult:
        """Audit every record once."""
        self.auditor.begin_sweep()
        while not (result := self.audit()).swept:
            if result.error:
                return result
        return result

    def rows(self, source: str) -> list[dict[str, object]]:
        """What the ledger holds in a table."""
        return ledgers.rows(self.ledger, source)

    def count(self, source: str) -> int:
        """How many rows the ledger holds in a table."""
        return ledgers.count(self.ledger, source)

    def windows(self) -> WindowCounts:
        """The verdicts on windows since the test began, whatever slots they are counted in."""
        return self.ledger.measurements.windows("to_billing", [self.begun_at])[0]

    def close(self) -> None:
        """Release everything."""
        for reader in self.readers.values():
            reader.close()
        self.ledger.close()


def swept(loaded: IntegrationMap, flow: str, ledger: Ledger) -> AuditResult:
    """Audit every record of a flow once; no audit on the way may fail."""
    audited, readers = loaded.flow(flow), open_readers(loaded)
    with ExitStack() as opened:
        for reader in readers.values():
            opened.enter_context(closing(reader))
        auditor = Auditor(
            flow=audited,
            source=readers[audited.settings.from_],
            target=readers[audited.settings.to],
            ledger=ledger,
            digest_key=b"k" * 32,
            others=readers,
        )
        while not (result := auditor.audit(datetime.now(UTC))).swept:
            assert result.error is None
    assert result.error is None
    return result
