"""Attribution: is every divergence called by its right cause? The enumerated table, then injected faults.

First every combination of states of two to four systems is judged and compared with an oracle written from the
table in docs/concepts.md. Then `auditor run` watches PostgreSQL, MariaDB and an HTTP API while a pipeline copies
changes and thirteen kinds of fault are injected among normal traffic; what each divergence is called is compared
with what was done.
"""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from functools import cache
from pathlib import Path

from auditor.ledger import Ledger
from auditor.workspace import Workspace
from benchmarks import company
from benchmarks.causes_oracle import ABSENT, AGREED, OWNER_STATES, TARGET_STATES, Pair, Row, alone, pairs, row_of
from benchmarks.report import arguments, emit, say, wait_until
from checks.causes import Baseline, classify
from checks.comparison import Comparison, Copy, Place
from checks.partition import minority, partition
from checks.records import FIELD_DIGEST_BYTES

NAMES = ("a", "b", "c", "d")


def _copy(state: str) -> Copy | None:
    return None if state == ABSENT else Copy((state,), state.encode(), None, _mark(state))


def _mark(state: str) -> bytes:
    return state.encode().ljust(FIELD_DIGEST_BYTES, b".")[:FIELD_DIGEST_BYTES]


@cache
def found_for(pair: Pair) -> Row:
    """What `checks` says about a pair, in the oracle's words."""
    owner, target = _copy(pair.owner), _copy(pair.target)
    differ = owner is not None and target is not None and owner != target
    comparison = Comparison(
        key=1,
        owner=owner,
        target=target,
        places=(Place(0, shared=pair.shared, derived=pair.derived),) if differ else (),
        duplicates=(f"several rows in {pair.duplicates}",) if pair.duplicates else (),
    )
    if pair.owner == pair.target and not pair.duplicates:
        return AGREED
    baseline = None
    if pair.history != "none":
        ring = (b"old",) if pair.history == "agreed twice" else ()
        baseline = Baseline(
            owner=b"v0", target=b"v0", owner_digests=_mark("v0"), target_digests=_mark("v0"), ring=ring
        )
    between = {"": [], "mid": [b"mid"], ABSENT: [b""]}[pair.pending]
    found = classify(comparison, baseline, versions=between)
    return Row(found.kind.value, found.cause.value, found.at_once, found.source_ahead)


def enumerated(*, quick: bool) -> bool:
    """Every combination of states for two, three and four systems."""
    good = True
    for systems in (2, 3) if quick else (2, 3, 4):
        by_owner = {
            (owner, double): [
                each
                for each in pairs(
                    shared=(False, True) if systems == 2 else (False,),
                    derived=(False, True) if systems < 4 else (False,),
                )
                if each.owner == owner and (each.duplicates == "owner") == double
            ]
            for owner in OWNER_STATES
            for double in (False, True)
        }
        combinations = right = 0
        groups = _partitions(systems)
        for (owner, _), choices in by_owner.items():
            agreeing = {each: found_for(each) == row_of(each) for each in choices}
            for targets in itertools.product(choices, repeat=systems - 1):
                combinations += 1
                named = groups[(owner, *(each.target for each in targets))]
                right += named and all(agreeing[each] for each in targets)
        share = right / combinations
        good &= emit(
            "attribution", f"enumerated_{systems}_systems", share, "ratio", goal=">= 1.0", n=combinations, quick=quick
        )
    return good


def _partitions(systems: int) -> dict[tuple[str, ...], bool]:
    """For every combination of what the systems hold, whether the minority is named rightly."""
    states = sorted({*OWNER_STATES, *TARGET_STATES})
    found = {}
    for held in itertools.product(states, repeat=systems):
        named = dict(zip(NAMES, held, strict=False))
        groups = partition({name: state.encode() for name, state in named.items()})
        found[held] = set(minority(groups)) == alone(named)
    return found


def injected(*, quick: bool, seed: int) -> bool:
    """Faults on real systems, while the daemon watches."""
    faults, normal, seconds, rows = (260, 300, 6.0, 1_500) if quick else (5_000, 15_000, 240.0, 16_000)
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder, company.systems() as held:
        place = Path(folder)
        say(f"filling three systems with {rows} records")
        pipeline = company.Pipeline(held, chance, rows)
        ledger = Workspace.at(place / "var").ledger()
        command = [sys.executable, "-m", "auditor", "run", "--map", str(held.write_map(place, quick=quick))]
        daemon = subprocess.Popen([*command, "--data", str(place / "var")], env={**os.environ, **held.environment})
        try:
            wait_until(lambda: _swept(ledger, 1), 300)
            say("every record has been seen; preparing older versions")
            pipeline.prepare(faults // len(company.FAULTS) + 1)
            swept = _sweeps(ledger)
            wait_until(lambda: all(now > swept[flow] + 1 for flow, now in _sweeps(ledger).items()), 300)
            say("injecting")
            pipeline.run(faults, normal, seconds)
            swept = _sweeps(ledger)
            say("waiting for two more whole sweeps, and for what is undecided")
            wait_until(lambda: all(now > swept[flow] + 1 for flow, now in _sweeps(ledger).items()), 300)
            wait_until(lambda: not _suspected(ledger), 90)
            pipeline.overwrite_edits()
            swept = _sweeps(ledger)
            wait_until(lambda: all(now > swept[flow] + 1 for flow, now in _sweeps(ledger).items()), 300)
        finally:
            daemon.terminate()
            daemon.wait(30)
        good = _score(ledger, pipeline.truth, quick=quick)
        ledger.close()
    return good


def _sweeps(ledger: Ledger) -> dict[str, int]:
    return {flow: ledger.flows.state(flow).swept.count for flow in company.FLOWS}


def _suspected(ledger: Ledger) -> int:
    """Divergences that are not certain yet."""
    rows, _ = ledger.exports.snapshot({"divergences": 0}, files_since=0)
    at = [name for name, _ in ledger.exports.columns("divergences")].index("state")
    return sum(row[at] == "suspected" for row in rows["divergences"])


def _swept(ledger: Ledger, times: int) -> bool:
    return all(each >= times for each in _sweeps(ledger).values())


def _score(ledger: Ledger, truth: dict[tuple[str, int], str], *, quick: bool) -> bool:
    rows, _ = ledger.exports.snapshot({"divergences": 0}, files_since=0)
    names = [name for name, _ in ledger.exports.columns("divergences")]
    opened = [each for row in rows["divergences"] if (each := dict(zip(names, row, strict=True)))["opened_at"]]
    called: dict[tuple[str, int], str] = {}
    for each in sorted(opened, key=lambda each: each["id"]):
        called[str(each["flow"]), int(each["key"])] = str(each["cause"])
    confusion = Counter((kind, called.get(where, "undetected")) for where, kind in truth.items())
    false = [where for where in called if where not in truth]
    causes = sorted({cause for _, cause in confusion})
    say("fault".ljust(18) + "".join(cause.rjust(15) for cause in causes))
    for kind in company.FAULTS:
        say(kind.ljust(18) + "".join(str(confusion[kind, cause] or "·").rjust(15) for cause in causes))
    shown: Counter[str] = Counter()
    for where, kind in truth.items():
        if called.get(where) not in company.FAULTS[kind] and shown[kind] < 2:
            shown[kind] += 1
            mine = [each for each in opened if (each["flow"], int(each["key"])) == where]
            say(f"{kind} {where} was called {called.get(where)}: {mine}")
    for where in false[:3]:
        say(f"false: {[each for each in opened if (each['flow'], int(each['key'])) == where]}")
    right = sum(count for (kind, cause), count in confusion.items() if cause in company.FAULTS[kind])
    total = sum(confusion.values())
    matrix = {
        kind: {cause: confusion[kind, cause] for cause in causes if confusion[kind, cause]} for kind in company.FAULTS
    }
    good = emit(
        "attribution",
        "right_cause",
        right / total,
        "ratio",
        goal=">= 0.99",
        n=total,
        quick=quick,
        kinds=len(company.FAULTS),
        confusion=matrix,
    )
    return good & emit(
        "attribution", "false_divergences", len(false), "records", goal="<= 0", n=len(called), quick=quick
    )


def main() -> int:
    """Run the benchmark."""
    asked = arguments(__doc__)
    begun = time.monotonic()
    good = enumerated(quick=asked.quick)
    good &= injected(quick=asked.quick, seed=asked.seed)
    say(f"{time.monotonic() - begun:.0f} s")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
