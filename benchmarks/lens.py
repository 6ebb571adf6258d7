"""The dashboard's queries over 1 M and 10 M rows of history, and the ledger's commits beside a reader."""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import sqlalchemy as sa

from auditor.dashboard.data import Data
from auditor.dashboard.time_range import last
from auditor.history.archive import write_file
from auditor.history.lens import Lens
from auditor.ledger import Ledger
from auditor.ledger import tables as t
from auditor.map.loader import load_map
from auditor.workspace import Workspace
from benchmarks.report import arguments, emit, percentile, say
from checks.cause import Cause, Kind
from checks.causes import Baseline
from checks.convergence import Change
from checks.record_history import Divergence, DivergenceState
from probes.queue_contract import Letter

FLOWS = 20

LETTERS = 10_000
"""Dead letters that wait."""
DAYS = 30
LIVE_ROWS = 20_000
SHARES = {"changes": 0.6, "probe_runs": 0.25, "divergences": 0.1, "backlogs": 0.05, "lag_cells": 0, "samples": 0}
"""What a history is made of; lag cells and samples are counted by hour, whatever the traffic."""

CELL_PAIRS = 60
"""Pairs of lag cells that a flow fills in an hour."""

MAP = """
systems:
  a: {kind: sql, url: "sqlite:///a.sqlite", zone: UTC}
  b: {kind: sql, url: "sqlite:///b.sqlite", zone: UTC}
data_types:
  thing:
    owner: a
    window: 30s
    fields: {name: {type: string}}
    in:
      a: {collection: things, key: id}
      b: {collection: things, key: id}
flows:
"""


def history(source: str, rows: int, first_id: int, day: datetime, chance: np.random.Generator) -> pa.Table:
    """Rows of one table settled over one day, as the archive holds them."""
    if source in {"lag_cells", "samples"}:
        return hourly(source, first_id, day, chance)
    seconds = np.sort(chance.uniform(0, 86_400, rows))
    at = pa.array((day.timestamp() * 1e6 + seconds * 1e6).astype("int64")).cast(pa.timestamp("us", tz="UTC"))
    ids = pa.array(np.arange(first_id, first_id + rows))
    flow = pa.array(np.char.add("flow_", chance.integers(0, FLOWS, rows).astype(str)))
    zero = pa.array(np.zeros(rows, "int64"))
    text = pa.array([None] * rows, pa.string())
    never, unknown = pa.nulls(rows, pa.timestamp("us", tz="UTC")), pa.nulls(rows, pa.bool_())
    if source == "changes":
        lag = chance.lognormal(1.0, 1.0, rows)
        verdicts = np.where(lag < 30, "met", "breach_then_converged")
        return pa.table(
            {
                "id": ids, "rev": ids, "flow": flow, "key": pa.array(chance.integers(0, 10**7, rows).astype(str)),
                "committed_from_at": at, "committed_to_at": at, "enrolled_at": at, "window_s": pa.array(np.full(rows, 30.0)),
                "probes": zero, "differed_at": at, "shown_at": at, "superseded": pa.array(np.zeros(rows, bool)),
                "verdict": pa.array(verdicts), "lag_lower_s": pa.array(np.maximum(lag - 1, 0)),
                "lag_upper_s": pa.array(lag), "clamped": pa.array(np.zeros(rows, bool)), "settled_at": at, "next_probe_at": never,
                "operation": text, "mark": pa.nulls(rows, pa.int64()), "stamped_at": at, "missed_at": never,
                "unseen_before": unknown, "lost_sight": unknown,
            }
        )  # fmt: skip
    if source == "probe_runs":
        read = pa.array(np.full(rows, 200))
        counts = (
            "agreed",
            "in_flight",
            "suspected",
            "divergent",
            "inconclusive",
            "cannot_verify",
            "shed",
            "changes",
            "deadlines",
            "shared",
        )
        held = {name: read if name == "agreed" else zero for name in counts}
        ms = pa.array(chance.uniform(1, 20, rows))
        return pa.table(
            {
                "id": ids, "rev": ids, "flow": flow, "started_at": at, "finished_at": at, "read": read, **held,
                "source_ms": ms, "target_ms": ms, "in_turn": pa.array(np.ones(rows, bool)), "verified_through_at": at, "system": text, "reason": text, "message": text,
            }
        )  # fmt: skip
    if source == "divergences":
        causes = np.array(["late", "lost", "foreign_write", "write_conflict", "orphan", "duplicate"])
        empty = pa.array([""] * rows)
        return pa.table(
            {
                "id": ids, "rev": ids, "flow": flow, "data_type": pa.array(["thing"] * rows),
                "key": pa.array(chance.integers(0, 10**7, rows).astype(str)), "kind": pa.array(["value"] * rows),
                "cause": pa.array(causes[chance.integers(0, len(causes), rows)]), "state": pa.array(["closed"] * rows),
                "first_seen_at": at, "last_seen_at": at, "opened_at": at, "closed_at": at, "readings": zero,
                "versions_behind": zero, "first_missed_at": at, "permitted": pa.array(np.zeros(rows, bool)),
                "steady_at": at, "winner": pa.array(["owner"] * rows), "resolution": empty, "witnesses": empty,
                "owner_from_at": at, "owner_to_at": at, "target_from_at": at, "target_to_at": at,
                "fields": pa.array(["name"] * rows), "differences": pa.array(["[]"] * rows), "detail": empty,
                "next_check_at": never, "suspected_at": at, "operation": text, "stamped_at": at,
            }
        )  # fmt: skip
    return pa.table(
        {
            "id": ids, "rev": ids, "flow": flow, "queue": pa.array(["dead"] * rows), "role": pa.array(["dead"] * rows),
            "read_at": at, "depth": pa.array(chance.integers(0, 50, rows)), "oldest_at": at,
            "oldest_age_s": pa.array(chance.uniform(0, 600, rows)), "reason": text, "message": text,
            "age_of": text, "notes": text, "arrived": zero, "taken": zero, "retention_s": pa.nulls(rows, pa.float64()),
            "drops_at": never, "looked_at": zero,
        }
    )  # fmt: skip


def hourly(source: str, first_id: int, day: datetime, chance: np.random.Generator) -> pa.Table:
    """A day's lag cells or sample cohorts of every flow."""
    each = CELL_PAIRS if source == "lag_cells" else 3
    rows = FLOWS * 24 * each
    ids = pa.array(np.arange(first_id, first_id + rows))
    begin = day.replace(minute=0, second=0, microsecond=0).timestamp() * 1e6
    hours = begin + np.repeat(np.arange(24), FLOWS * each) * 3.6e9
    common = {
        "id": ids, "rev": ids,
        "flow": pa.array(np.char.add("flow_", np.tile(np.repeat(np.arange(FLOWS), each), 24).astype(str))),
        "hour_at": pa.array(hours.astype("int64")).cast(pa.timestamp("us", tz="UTC")),
    }  # fmt: skip
    if source == "lag_cells":
        lower = chance.integers(0, 30, rows)
        return pa.table(
            {
                **common, "verdict": pa.array(["met"] * rows), "lower_cell": pa.array(lower),
                "upper_cell": pa.array(lower + chance.integers(0, 4, rows)), "changes": pa.array(chance.integers(1, 50, rows)),
            }
        )  # fmt: skip
    sums = ("weight", "weight_divergent", "weight_undecided", "square", "square_divergent", "square_undecided")
    counts = {name: pa.array(chance.integers(0, 99, rows)) for name in ("read", "divergent", "undecided")}
    policy = pa.array(np.tile(["base", "recent", "past_error"], FLOWS * 24))
    return pa.table({**common, "policy": policy, **counts, **{name: pa.array(chance.random(rows)) for name in sums}})


def fill(ledger: Ledger, archive: str, rows: int) -> None:
    """Write a month of history through the archive's own file writer."""
    chance = np.random.default_rng(1)
    now = datetime.now(UTC)
    identity = 1
    for back in range(DAYS, 0, -1):
        day = now - timedelta(days=back)
        for source, share in SHARES.items():
            count = int(rows * share / DAYS)
            table = history(source, count, identity, day, chance)
            identity += max(count, table.num_rows)
            assert set(table.column_names) == {name for name, _ in ledger.exports.columns(source)}, source
            label = f"{day:%Y-%m-%d}"
            path = write_file(archive, source, label, table)
            file = {"source": source, "day": label, "path": path, "rows": table.num_rows, "archived_at": now}
            with ledger.write() as transaction:
                transaction.execute(sa.insert(t.archive_files).values(rev=transaction.revision, **file))
    lens = Lens(ledger)
    lens.refresh()
    if lens.missing:
        raise RuntimeError(f"{len(lens.missing)} files of the history cannot be read: {lens.missing[0]}")
    lens.close()


def dead_letters(ledger: Ledger, now: datetime) -> None:
    """Letters that wait, of twenty reasons, half of them about records that differ."""
    letters = [
        Letter(letter_id=str(number), key=number, reason=f"{400 + number % 20} no", first_failed_at=now)
        for number in range(LETTERS)
    ]
    differing = [
        Divergence(
            key=number,
            kind=Kind.VALUE,
            cause=Cause.LOST,
            state=DivergenceState.OPEN,
            first_seen_at=now,
            last_seen_at=now,
        )
        for number in range(0, LETTERS, 2)
    ]
    with ledger.write() as transaction:
        ledger.queues.save_letters(transaction, "flow_4", "dead", letters, now)
        ledger.records.save_divergences(transaction, "flow_4", "thing", differing)


def observations(
    count: int, key: int, now: datetime
) -> tuple[list[Change], list[Divergence], dict[int | str, Baseline]]:
    """What an audit of `count` followed records has to write."""
    change = Change(
        key=0, fingerprint=b"f" * 16, committed_from_at=now, committed_to_at=now, window_s=30, enrolled_at=now
    )
    divergence = Divergence(
        key=0, kind=Kind.VALUE, cause=Cause.LATE, state=DivergenceState.SUSPECTED, first_seen_at=now, last_seen_at=now
    )
    keys = range(key, key + count)
    baseline = Baseline(owner=b"o" * 16, target=b"o" * 16)
    return (
        [replace(change, key=each) for each in keys[::2]],
        [replace(divergence, key=each) for each in keys[1::2]],
        dict.fromkeys(keys, baseline),
    )


def read_on(map_file: Path, workspace: Workspace) -> None:
    """Be a dashboard: read every 200 ms, in a process of its own, until ended."""
    data = Data(load_map(map_file, {}), workspace)
    while True:
        data.open_by_cause()
        data.windows(last("24 h", datetime.now(UTC)))
        time.sleep(0.2)


def commits(ledger: Ledger, map_file: Path, workspace: Workspace, rounds: int) -> list[float]:
    """Milliseconds of each commit of 200 observations while a dashboard reads."""
    reader = multiprocessing.get_context("spawn").Process(target=read_on, args=(map_file, workspace), daemon=True)
    reader.start()
    time.sleep(4)
    took = []
    try:
        for number in range(rounds):
            now = datetime.now(UTC)
            changes, divergences, baselines = observations(200, number * 200, now)
            begun = time.perf_counter()
            with ledger.write() as transaction:
                ledger.records.save_changes(transaction, "flow_1", [(each, now) for each in changes])
                ledger.measurements.count_lags(transaction, "flow_1", changes)
                ledger.records.save_divergences(transaction, "flow_1", "thing", divergences)
                ledger.records.save_baselines(transaction, "flow_1", baselines, [], now)
            took.append((time.perf_counter() - begun) * 1000)
            time.sleep(0.05)
    finally:
        reader.terminate()
        reader.join()
    return took


def queries(data: Data) -> dict[str, Callable[[], object]]:
    """Every query of every page, over the range that people look at most."""
    day, month = last("24 h", datetime.now(UTC)), last("30 d", datetime.now(UTC))
    everything = {"flows": [], "causes": [], "states": ["open", "closed", "suspected"], "search": ""}
    promised = next(each for each in data.objectives() if each.flow == "flow_3")
    return {
        "overview.windows": lambda: data.windows(day),
        "overview.open_by_cause": data.open_by_cause,
        "overview.timeline": lambda: data.timeline(day),
        "overview.timeline_30d": lambda: data.timeline(month),
        "overview.beats": lambda: data.beats(day),
        "drift.divergences": lambda: data.divergences(day, limit=100, offset=0, **everything),  # type: ignore[arg-type]
        "record.history": lambda: data.story(day, "thing", "4711"),
        "lag.lags": lambda: data.lags(day),
        "lag.heat": lambda: data.heat(day, "flow_3"),
        "dead_letters.letters": lambda: data.letters(day, 500),
        "dead_letters.backlogs": data.backlogs,
        "dead_letters.funnels": lambda: data.funnels(day),
        "overview.misled": data.misled,
        "drift.patterns": data.patterns,
        "overview.incidents": data.open_incidents,
        "sla.coverage": lambda: data.coverage(day),
        "sla.objective_days": lambda: data.objective_days(promised),
        "sla.coverage_days": lambda: data.coverage_days("flow_3"),
        "lag.weekly": lambda: data.weekly("flow_3"),
    }


def installation(place: Path, rows: int) -> tuple[Path, Workspace, Ledger]:
    """A map of twenty flows, and a ledger and archive with a month of their history."""
    file = place / "map.yaml"
    flow = "  flow_{}: {{data_type: thing, from: a, to: b, pattern: batch, {}}}\n"
    queue = "queues: {dead: {kind: sql_queue, system: b, table: dead}}"
    file.write_text(MAP + "".join(flow.format(number, queue) for number in range(FLOWS)))
    workspace = Workspace.at(place / "var")
    ledger = workspace.ledger()
    say(f"writing {rows} rows of history")
    fill(ledger, workspace.archive, rows)
    for key in range(0, LIVE_ROWS, 200):
        changes, _, _ = observations(200, 10**8 + key, datetime.now(UTC))
        with ledger.write() as transaction:
            ledger.records.save_changes(transaction, "flow_2", [(each, None) for each in changes])
    dead_letters(ledger, datetime.now(UTC))
    return file, workspace, ledger


def main() -> int:
    """Run the benchmark."""
    asked = arguments(__doc__)
    good = True
    for rows in (1_000_000,) if asked.quick else (1_000_000, 10_000_000):
        with tempfile.TemporaryDirectory() as place:
            file, workspace, ledger = installation(Path(place), rows)
            data = Data(load_map(file, {}), workspace)
            begun = time.perf_counter()
            data.windows(last("15 min", datetime.now(UTC)))
            emit("lens", "open", time.perf_counter() - begun, "s", rows=rows, quick=asked.quick)
            for name, query in queries(data).items():
                took = []
                for _ in range(10 if asked.quick else 20):
                    begun = time.perf_counter()
                    query()
                    took.append((time.perf_counter() - begun) * 1000)
                good &= emit(
                    "lens", f"{name}_p95", percentile(took, 0.95), "ms", goal="< 300",
                    n=len(took), spread=(min(took), max(took)), rows=rows, quick=asked.quick,
                )  # fmt: skip
            took = commits(ledger, file, workspace, 60 if asked.quick else 200)
            good &= emit(
                "lens", "commit_200_observations_p95", percentile(took, 0.95), "ms", goal="< 25",
                n=len(took), spread=(min(took), max(took)), rows=rows, quick=asked.quick,
            )  # fmt: skip
            data.lens.close()
            data.ledger.close()
            ledger.close()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
