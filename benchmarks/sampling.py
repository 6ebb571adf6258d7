"""Samples: the same in every database and process, worth their probes, and their intervals true while watched."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import sqlalchemy as sa
from scipy.special import betaln

from benchmarks.report import arguments, emit, say
from checks.estimates import estimate
from checks.intervals import PRIOR_HITS, finite_bounds, sequence_bounds
from checks.sampling import PAST_ERROR, RECENT, VALUE, Arc, Cohort, Pool, affordable_shares, draw
from probes import registry
from probes.contract import ReadSpec
from probes.ranking import RANKS, rank_hex, rank_of, rank_sql
from probes.records.sql.settings import SqlSettings
from tests import servers

SEED = "000102030405060708090a0b0c0d0e0f"
SPEC = ReadSpec(data_type="thing", collection="things", key="id", changed_at=None, fields=(), key_type="integer")
SLICE = RANKS // 10, RANKS // 5

POPULATION = 200_000
EPOCHS, SAMPLE = 4, 500
STRATA = {
    # policy: (records, share of them that differs, probability that one audit takes them)
    RECENT: (2_000, 0.03, 0.05),
    PAST_ERROR: (200, 0.3, 0.5),
    VALUE: (1_000, 0.02, 0.05),
}
BACKGROUND = 0.0003

WATCHED, WATCHES = 3_000, 10_000
RATES = (0.0005, 0.005, 0.05, 0.3)
EXPECTED = 0.005


def main() -> int:
    """Run the benchmark."""
    asked = arguments(__doc__)
    good = _same_everywhere(20_000 if asked.quick else 200_000, quick=asked.quick)
    good &= _worth_their_probes(20 if asked.quick else 400, asked.seed, quick=asked.quick)
    good &= _watched(1_000 if asked.quick else WATCHES, asked.seed, quick=asked.quick)
    return 0 if good else 1


# -- the same everywhere


def _same_everywhere(rows: int, *, quick: bool) -> bool:
    """The slice of these keys, chosen by each database itself, and by three processes one after the other."""
    say(f"{rows} keys in four databases")
    keys = range(-rows // 2, rows // 2)
    listed = {key for key in keys if SLICE[0] <= rank_of(SEED, "integer", key) < SLICE[1]}
    with (
        servers.postgresql() as postgresql,
        servers.mariadb() as mariadb,
        tempfile.TemporaryDirectory() as place,
    ):
        urls = [f"{postgresql}/postgres", f"{mariadb}/mysql", f"sqlite:///{place}/things.sqlite"]
        found = [_by_probe(url, keys) for url in urls] + [_by_duckdb(keys)]
        processes = [_by_process(urls[0]) for _ in range(3)]
    same = sum(each == listed for each in found) + sum(each == _digest(listed) for each in processes)
    return emit(
        "sampling",
        "same_sample",
        same / (len(found) + len(processes)),
        "ratio",
        goal=">= 1.0",
        n=len(listed),
        quick=quick,
        databases=["postgresql", "mariadb", "sqlite", "duckdb"],
        processes=len(processes),
    )


def _by_probe(url: str, keys: range) -> set[int]:
    drivers = {"postgresql": "postgresql+psycopg", "mariadb": "mariadb+pymysql", "sqlite": "sqlite"}
    engine = sa.create_engine(sa.make_url(url).set(drivername=drivers[sa.make_url(url).get_backend_name()]))
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE things (id bigint)")
        table = sa.table("things", sa.column("id"))
        connection.execute(sa.insert(table), [{"id": key} for key in keys])
    engine.dispose()
    return _pushed(url)


def _pushed(url: str) -> set[int]:
    probe: Any = registry.open_record_probe(SqlSettings(kind="sql", url=url, budget={"timeout": 60}))
    try:
        return {key for key, _ in probe.ranked(SPEC, SEED, *SLICE, RANKS)}
    finally:
        probe.close()


def _by_duckdb(keys: range) -> set[int]:
    with duckdb.connect() as connection:
        rank = rank_sql("duckdb", "id", seed=SEED, key_type="integer")
        found = connection.execute(
            f"SELECT id FROM range({keys.start}, {keys.stop}) t(id) WHERE {rank} >= ? AND {rank} < ?",
            [rank_hex(SLICE[0]), rank_hex(SLICE[1])],
        ).fetchall()
    return {key for (key,) in found}


def _by_process(url: str) -> str:
    code = f"from benchmarks import sampling; print(sampling._digest(sampling._pushed({url!r})))"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=True
    )
    return ran.stdout.strip()


def _digest(keys: set[int]) -> str:
    return f"{len(keys)} {rank_hex(sum(rank_of(SEED, 'integer', key) for key in keys) % RANKS)}"


# -- worth their probes


def _worth_their_probes(campaigns: int, seed: int, *, quick: bool) -> bool:
    """Drift found by policies and by as many uniform probes, and what the estimate makes of it."""
    say(f"{campaigns} campaigns over {POPULATION} records")
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        found = np.array(list(pool.map(_campaign, [seed * 100_003 + number for number in range(campaigns)])))
    probes, hits, uniform, share, lower, upper, truth = found.T
    ratio = (hits.sum() / probes.sum()) / (uniform.sum() / probes.sum())
    errors = share - truth
    bias_z = float(errors.mean() / (errors.std(ddof=1) / math.sqrt(campaigns)))
    covers = float(((lower <= truth) & (truth <= upper)).mean())
    good = emit(
        "sampling",
        "drift_found_per_probe_against_uniform",
        float(ratio),
        "ratio",
        goal=">= 20",
        n=campaigns,
        quick=quick,
        probes=int(probes.mean()),
        truth=float(truth[0]),
    )
    good &= emit("sampling", "bias_z", abs(bias_z), "z", goal="< 2", n=campaigns, quick=quick)
    return good & emit(
        "sampling",
        "interval_covers",
        covers,
        "ratio",
        goal=">= 0.95",
        n=campaigns,
        quick=quick,
        width=float((upper - lower).mean()),
    )


def _campaign(seed: int) -> tuple[float, ...]:
    chance = np.random.default_rng(seed)
    keys = np.arange(POPULATION)
    differs = np.zeros(POPULATION, dtype=bool)
    fixed = np.random.default_rng(7)  # the records are the same in every campaign, their ranks are not
    begin = 0
    members: dict[str, range] = {}
    for policy, (size, rate, _) in STRATA.items():
        members[policy] = range(begin, begin + size)
        differs[begin : begin + size] = fixed.random(size) < rate
        begin += size
    differs[begin:] = fixed.random(POPULATION - begin) < BACKGROUND
    ranks = chance.integers(0, RANKS, POPULATION)
    ordered = keys[np.argsort(ranks)]
    pools = {policy: Pool({key: int(ranks[key]) for key in each}) for policy, each in members.items()}
    probabilities = {policy: probability for policy, (_, _, probability) in STRATA.items()}
    at = int(chance.integers(0, POPULATION - EPOCHS * SAMPLE))
    shares = affordable_shares(pools, probabilities, SAMPLE)
    starts = dict.fromkeys(pools, 0)
    cohort, probes = Cohort(), 0
    hits: set[int | str] = set()  # a record that is found again is not found twice
    for _ in range(EPOCHS):
        taken: dict[int | str, int] = {int(key): int(ranks[key]) for key in ordered[at : at + SAMPLE]}
        start = int(ranks[ordered[at]])
        at += SAMPLE
        arcs = {policy: Arc(starts[policy], round(share * RANKS)) for policy, share in shares.items()}
        starts = {policy: arc.start + arc.width for policy, arc in arcs.items()}
        drawn = draw(taken, Arc(start, round(SAMPLE / POPULATION * RANKS)), pools, arcs)
        for key, how in drawn.items():
            differing = bool(differs[int(key)])
            cohort = cohort.plus(how.probability, divergent=differing)
            if differing:
                hits.add(key)
        probes += len(drawn)
    uniform = int(differs[chance.choice(POPULATION, probes, replace=False)].sum())
    told = estimate(cohort)
    return probes, len(hits), uniform, told.share or 0.0, told.lower, told.upper, float(differs.mean())


# -- watched


def _watched(campaigns: int, seed: int, *, quick: bool) -> bool:
    """How often a sequence of bounds ever leaves the truth out, looked at after every single record."""
    say(f"{campaigns} campaigns, looked at after every record")
    chance = np.random.default_rng(seed)
    outside = finite_outside = certain = 0
    for number in range(campaigns):
        rate = RATES[number % len(RATES)]
        hits = np.cumsum(chance.random(WATCHED) < rate)
        seen = np.arange(1, WATCHED + 1)
        prior = PRIOR_HITS, PRIOR_HITS / EXPECTED
        mixed = betaln(prior[0] + hits, prior[1] + seen - hits) - betaln(*prior)
        exceeds = mixed - hits * math.log(rate) - (seen - hits) * math.log1p(-rate) >= math.log(20)
        outside += bool(exceeds.any())
        look = int(chance.integers(0, WATCHED))  # the bounds as the product computes them say the same
        lower, upper = sequence_bounds(int(hits[look]), int(seen[look]), expected=EXPECTED)
        if (lower <= rate <= upper) == bool(exceeds[look]):
            raise AssertionError(f"bounds {lower} {upper} of {hits[look]} in {seen[look]} and the sequence differ")
        if number % 20 == 0:
            missed, met = _swept(chance, rate)
            finite_outside, certain = finite_outside + missed, certain + met
    sweeps = len(range(0, campaigns, 20))
    good = emit(
        "sampling",
        "ever_outside_the_sequence",
        outside / campaigns,
        "ratio",
        goal="<= 0.05",
        n=campaigns,
        quick=quick,
    )
    good &= emit(
        "sampling", "sweep_ever_outside", finite_outside / sweeps, "ratio", goal="<= 0.05", n=sweeps, quick=quick
    )
    return good & emit("sampling", "sweep_ends_certain", certain / sweeps, "ratio", goal=">= 1.0", n=sweeps)


def _swept(chance: np.random.Generator, rate: float, size: int = 600) -> tuple[bool, bool]:
    """A whole sweep, looked at every few records: whether the truth was ever left out, and the end is certain."""
    differs = chance.random(size) < rate
    total, hits = int(differs.sum()), np.cumsum(differs)
    looks = [finite_bounds(int(hits[at]), at + 1, size, expected=EXPECTED) for at in (*range(0, size, 7), size - 1)]
    return any(not least <= total <= most for least, most in looks), looks[-1] == (total, total)


if __name__ == "__main__":
    sys.exit(main())
