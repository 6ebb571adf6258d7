"""Attacks of every kind on every place where that kind can occur: bounded, named, told without a secret.

Each attack runs against a process of its own, on real engines wherever there are such. A kind is a module of
`tests/attacks`; a place is a function that says how it is reached. `--table FILE` writes the table of
docs/benchmarks.md from the lines that a run has printed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.hostile import cells_answered, cells_held, cells_written  # noqa: F401  the cells
from benchmarks.hostile.attacked import GROWN_MIB, LATE_S, Outcome
from benchmarks.hostile.bench import CELLS, Attack, Bench
from benchmarks.hostile.beside import beside
from benchmarks.report import emit, say

AT_ONCE = 3


def _run(bench: Bench, kind: str, place: str) -> list[tuple[Attack, Outcome]]:
    def one(attack: Attack) -> tuple[Attack, Outcome]:
        outcome = bench.processes.run(
            attack.name, attack.call, attack.words, within_s=attack.within_s, calls=attack.calls
        )
        for fault in outcome.faults:
            say(f"{kind} x {place}: {attack.name}: {fault}; told {list(outcome.told)[:3]!r:.400}")
        return attack, outcome

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, CELLS[kind, place](bench)))


def _tell(kind: str, place: str, found: Sequence[tuple[Attack, Outcome]], *, quick: bool) -> bool:
    count = sum(attack.covers for attack, _ in found)
    failed = sum(attack.covers for attack, outcome in found if not outcome.holds)
    late = max((outcome.took_s - attack.within_s for attack, outcome in found), default=0.0)
    grown = max((outcome.grown_mib for _, outcome in found), default=0.0)
    more: dict[str, Any] = {"kind": kind, "place": place, "late_s": round(late, 3), "grown_mib": round(grown, 1)}
    return emit(
        "hostile", f"{kind} x {place}", failed, "attacks that worked", goal="= 0", n=count, quick=quick, **more
    )


def table(lines: Sequence[str]) -> str:
    """The Markdown table of kind x place, from the lines that a run has printed."""
    told = [json.loads(line) for line in lines if line.startswith("{")]
    found = [each for each in told if each["benchmark"] == "hostile" and "kind" in each]
    by_kind: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for each in found:
        by_kind[each["kind"]].append(each)
    out = [
        "| kind | place | attacks | worked | longest beyond its deadline | memory grown |",
        "|---|---|---|---|---|---|",
    ]
    for kind, cells in by_kind.items():
        for each in cells:
            late = f"{each['late_s']:.1f} s" if each["late_s"] > 0 else "–"
            row = (kind, each["place"], str(each["n"]), f"{each['value']:g}", late, f"{each['grown_mib']:.0f} MiB")
            out.append(f"| {' | '.join(row)} |")
    return "\n".join(out) + "\n"


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few attacks of each cell")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="cells whose name (KIND x PLACE) begins with this")
    parser.add_argument("--table", type=Path, help="print the table of a run whose lines are in this file")
    asked = parser.parse_args()
    if asked.table:
        sys.stdout.write(table(asked.table.read_text().splitlines()))
        return 0
    good, every = True, list[tuple[Attack, Outcome]]()
    with ExitStack() as shared:
        bench = Bench(shared, quick=asked.quick)
        for kind, place in CELLS:
            if not f"{kind} x {place}".startswith(asked.only):
                continue
            begun = time.monotonic()
            try:
                with ExitStack() as bench.stack:
                    found = _run(bench, kind, place)
            except Exception as error:  # the cells behind it are to be told of all the same
                say(f"{kind} x {place}: not prepared: {type(error).__name__}: {error!s:.300}")
                good = False
                continue
            say(f"{kind} x {place}: {len(found)} in {time.monotonic() - begun:.0f} s")
            good &= _tell(kind, place, found, quick=asked.quick)
            every += found
    if "daemon".startswith(asked.only or "daemon"):
        good &= beside(quick=asked.quick)
    count = sum(attack.covers for attack, _ in every)
    late = max((outcome.took_s - attack.within_s for attack, outcome in every), default=0.0)
    grown = max((outcome.grown_mib for _, outcome in every), default=0.0)
    failed = sum(attack.covers for attack, outcome in every if not outcome.holds)
    emit("hostile", "longest_beyond_deadline", max(0.0, late), "s", goal=f"<= {LATE_S:g}", n=count, quick=asked.quick)
    emit("hostile", "memory_grown", grown, "MiB", goal=f"<= {GROWN_MIB:g}", n=count, quick=asked.quick)
    good &= emit("hostile", "attacks_that_worked", failed, "attacks", goal="= 0", n=count, quick=asked.quick)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
