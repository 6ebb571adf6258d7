"""What ten flows of one owner read of it, with shared reads and without, in the same run.

The daemon audits ten flows from one SQLite database to ten others while records change, twice: once as it is, and
once with every flow reading the owner alone. Second readings are never shared, and count in both.
"""

from __future__ import annotations

import random
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from auditor.daemon.daemon import Daemon
from auditor.map.loader import load_map
from auditor.workspace import Workspace
from benchmarks.report import arguments, emit, say, wait_until

FLOWS = 10
RECORDS = 3_000
FAULTS = 20
CHANGES_PER_S = 10.0
TARGETS = [f"target_{number}" for number in range(FLOWS)]

MAP = """\
systems:
{systems}
data_types:
  customer:
    owner: owner
    window: 30s
    key_type: integer
    fields: {{name: {{type: string}}, city: {{type: string}}}}
    in:
{places}
flows:
{flows}
"""


@dataclass(frozen=True)
class Read:
    """What the flows have read of the owner.

    Attributes:
        audits: regular audits of all flows.
        found: injected faults that were reported, of all flows together.
        other: reported divergences that were not injected.
    """

    calls: int
    records: int
    audits: int
    found: int
    other: int


def main() -> int:
    """Run the benchmark."""
    asked = arguments(__doc__)
    turns = 8 if asked.quick else 40
    read = {}
    for shares in (True, False):
        with tempfile.TemporaryDirectory() as place:
            read[shares] = run(Path(place), random.Random(asked.seed), turns, shares=shares)
        say(f"{'shared' if shares else 'alone'}: {read[shares]}")
    return 0 if report(read[True], read[False], quick=asked.quick) else 1


def report(shared: Read, alone: Read, *, quick: bool) -> bool:
    """Emit the figures; returns whether all goals are met."""

    def figure(name: str, value: float, unit: str, n: int, goal: str = "") -> bool:
        return emit("shared_reads", name, value, unit, goal=goal, n=n, quick=quick, flows=FLOWS)

    good = True
    for name, each in (("alone", alone), ("shared", shared)):
        figure(f"calls_of_the_owner_per_audit_{name}", each.calls / each.audits, "calls", each.audits)
        figure(f"records_of_the_owner_per_audit_{name}", each.records / each.audits, "records", each.audits)
        share = each.found / (FAULTS * FLOWS)
        good &= figure(f"faults_reported_{name}", share, "ratio", FAULTS * FLOWS, ">= 1")
        good &= figure(f"divergences_that_were_none_{name}", each.other, "divergences", each.audits, "<= 0")
    records = (shared.records / shared.audits) / (alone.records / alone.audits)
    calls = (shared.calls / shared.audits) / (alone.calls / alone.audits)
    good &= figure("records_shared_against_alone", records, "ratio", shared.audits, "<= 0.3")
    return good & figure("calls_shared_against_alone", calls, "ratio", shared.audits, "<= 0.6")


def run(place: Path, dice: random.Random, turns: int, *, shares: bool) -> Read:
    """Let the daemon audit until every flow has had so many turns and has swept everything once."""
    faults = {target: frozenset(dice.sample(range(1, RECORDS + 1), FAULTS)) for target in TARGETS}
    for system in ("owner", *TARGETS):
        fill(place / f"{system}.sqlite", faults.get(system, frozenset()))
    file = place / "map.yaml"
    file.write_text(map_text(place))
    daemon = Daemon(load_map(file, {}), Workspace.at(place / "var"))
    if not shares:
        daemon.owner_reads = {}
    flows = list(daemon.auditors)
    with writes(place, dice, frozenset().union(*faults.values())):
        daemon.start()

        def done() -> bool:
            open_now = daemon.ledger.findings.open_by_cause()
            return all(
                daemon.ledger.flows.state(flow).swept.count >= 1 and sum(open_now.get(flow, {}).values()) >= FAULTS
                for flow in flows
            ) and all(count >= turns for count in audits(daemon).values())

        wait_until(done, 300)
        used = [daemon.allowances["owner"].used(flow) for flow in flows]
        made = sum(audits(daemon).values())
        open_keys = {flow: reported(daemon, flow) for flow in flows}
        daemon.stop()
    found = sum(len(open_keys[flow] & faults[flow.removeprefix("to_")]) for flow in flows)
    return Read(
        calls=sum(each.calls for each in used),
        records=sum(each.records for each in used),
        audits=made,
        found=found,
        other=sum(map(len, open_keys.values())) - found,
    )


def audits(daemon: Daemon) -> dict[str, int]:
    """By flow, how many regular audits were recorded."""
    rows, _ = daemon.ledger.exports.snapshot({"probe_runs": 0}, files_since=0)
    names = [name for name, _ in daemon.ledger.exports.columns("probe_runs")]
    counts = dict.fromkeys(daemon.auditors, 0)
    for row in rows["probe_runs"]:
        counts[row[names.index("flow")]] += bool(row[names.index("in_turn")])
    return counts


def reported(daemon: Daemon, flow: str) -> frozenset[int]:
    """The keys of a flow's confirmed divergences."""
    rows, _ = daemon.ledger.exports.snapshot({"divergences": 0}, files_since=0)
    at = {name: index for index, (name, _) in enumerate(daemon.ledger.exports.columns("divergences"))}
    return frozenset(
        int(row[at["key"]])
        for row in rows["divergences"]
        if row[at["flow"]] == flow and row[at["state"]] == "open" and row[at["closed_at"]] is None
    )


def map_text(place: Path) -> str:
    """The map of one owner and ten targets."""
    systems = "\n".join(
        f'  {name}: {{kind: sql, url: "sqlite:///{place}/{name}.sqlite", zone: UTC}}' for name in ("owner", *TARGETS)
    )
    places = ["      owner: {collection: customers, key: id, changed_at: updated_at}"]
    places += [f"      {name}: {{collection: customers, key: id}}" for name in TARGETS]
    flow = "{data_type: customer, from: owner, to: TARGET, pattern: near-real-time, every: 2s, sample: 200}"
    flows = "\n".join(f"  to_{name}: {flow.replace('TARGET', name)}" for name in TARGETS)
    return MAP.format(systems=systems, places="\n".join(places), flows=flows)


def fill(file: Path, faults: frozenset[int]) -> None:
    """A database with all records, some of them wrong."""
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE customers (id integer PRIMARY KEY, name text, city text, updated_at text)")
        database.execute("CREATE INDEX stamps ON customers (updated_at)")
        database.executemany(
            "INSERT INTO customers VALUES (?, ?, 'Bern', '2026-01-01 00:00:00.000000')",
            [(key, "wrong" if key in faults else "right") for key in range(1, RECORDS + 1)],
        )


@contextmanager
def writes(place: Path, dice: random.Random, spared: frozenset[int]) -> Iterator[None]:
    """Change records meanwhile at the owner and then at the targets, except some of them."""
    over = threading.Event()
    keys = [key for key in range(1, RECORDS + 1) if key not in spared]

    def write() -> None:
        with closing(sqlite3.connect(place / "owner.sqlite", timeout=30)) as owner:
            targets = [sqlite3.connect(place / f"{name}.sqlite", timeout=30) for name in TARGETS]
            number = 0
            while not over.wait(1 / CHANGES_PER_S):
                key, number = dice.choice(keys), number + 1
                at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
                for database in (owner, *targets):
                    with database:
                        database.execute(
                            "UPDATE customers SET city = ?, updated_at = ? WHERE id = ?", (f"{number}", at, key)
                        )
            for database in targets:
                database.close()

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    try:
        yield
    finally:
        over.set()
        writer.join()


if __name__ == "__main__":
    raise SystemExit(main())
