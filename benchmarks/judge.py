"""How many records the pure path judges in a second, on one core: nothing is read and nothing is written.

One judgement is a comparison and its history in, everything that follows from it out. The mix is that of a busy flow:
most records agree and are known to, some have a change on its way, some differ.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks.report import arguments, emit
from checks.cause import Cause, Kind
from checks.causes import Baseline
from checks.comparison import Comparison
from checks.convergence import Change
from checks.fields import FieldRule, parser_for
from checks.judgement import judge
from checks.record_history import Divergence, DivergenceState, History
from checks.records import RecordComparer
from checks.sides import Side
from checks.terms import Look, Terms

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LOOK = Look(sent_at=NOW, received_at=NOW + timedelta(milliseconds=5))
TERMS = Terms(window_s=30, every_s=5, guard_s=0.1, confirm_s=5)
RULES = [
    *((name, FieldRule(type="string")) for name in ("name", "email", "plan", "status", "city")),
    ("amount", FieldRule(type="decimal")),
    ("orders", FieldRule(type="integer")),
    ("changed", FieldRule(type="timestamp")),
]
MIX = {"agreed": 0.94, "in_flight": 0.03, "open": 0.02, "suspected": 0.01}


def _side(system: str) -> Side:
    return Side(
        system=system,
        parse_key=parser_for(FieldRule(type="integer"), system, None),
        parse_changed_at=parser_for(FieldRule(type="timestamp"), system, "UTC"),
        parsers=tuple(parser_for(rule, system, "UTC") for _, rule in RULES),
    )


def _row(key: int, plan: str) -> tuple[Any, ...]:
    at = "2026-01-01T00:00:00+00:00"
    return (key, None, f"Customer {key}", f"c{key}@example.com", plan, "active", "Köln", "12.50", key % 90, at)


def _case(comparer: RecordComparer, kind: str, key: int) -> tuple[Any, Any, Comparison, History]:
    """One record's two rows, their comparison, and what was known of it before."""
    owner = [_row(key, "pro" if kind != "agreed" else "team")]
    target = [_row(key, "free" if kind == "open" else "team")]
    before = comparer.compare(key, [_row(key, "team")], [_row(key, "team")]).owner
    assert before is not None
    baseline = Baseline(
        owner=before.fingerprint,
        target=before.fingerprint,
        owner_digests=before.digests,
        target_digests=before.digests,
    )
    comparison = comparer.compare(key, owner, target)
    changes: tuple[Change, ...] = ()
    divergence = None
    if kind in {"in_flight", "suspected"} and comparison.owner is not None:
        ago_s = 10 if kind == "in_flight" else 40
        at = NOW - timedelta(seconds=ago_s)
        version = comparison.owner.fingerprint
        changes = (
            Change(
                key=key, fingerprint=version, committed_from_at=at, committed_to_at=at, window_s=30, enrolled_at=at
            ),
        )
    if kind in {"open", "suspected"}:
        divergence = Divergence(
            key=key,
            kind=Kind.VALUE,
            cause=Cause.WRITE_CONFLICT if kind == "open" else Cause.LATE,
            state=DivergenceState.OPEN if kind == "open" else DivergenceState.SUSPECTED,
            first_seen_at=NOW - timedelta(seconds=60),
            last_seen_at=NOW - timedelta(seconds=5),
            divergence_id=1,
        )
    return owner, target, comparison, History(baseline=baseline, changes=changes, divergence=divergence)


def _rate(work: Callable[[], int], rounds: int) -> list[float]:
    """Judgements per second of processor time, a figure a round."""
    rates = []
    for _ in range(rounds):
        begun = time.process_time()
        done = work()
        rates.append(done / (time.process_time() - begun))
    return rates


def main() -> int:
    """Run the benchmark."""
    asked = arguments(__doc__)
    count, rounds = (10_000, 5) if asked.quick else (50_000, 9)
    comparer = RecordComparer(rules=RULES, owner=_side("a"), target=_side("b"), digest_key=b"k" * 32)
    kinds = [kind for kind, share in MIX.items() for _ in range(round(share * count))]
    cases = [_case(comparer, kind, key) for key, kind in enumerate(kinds)]

    def judged() -> int:
        for _, _, comparison, history in cases:
            judge(comparison, history, LOOK, TERMS)
        return len(cases)

    def compared() -> int:
        for owner, target, _, history in cases:
            judge(comparer.compare(owner[0][0], owner, target), history, LOOK, TERMS)
        return len(cases)

    gc.collect()
    gc.freeze()
    good = True
    for metric, work, goal in (("records_per_s_per_core", judged, ">= 100000"), ("with_comparison", compared, "")):
        rates = _rate(work, rounds)
        good &= emit(
            "judge",
            metric,
            statistics.median(rates),
            "1/s",
            goal=goal,
            n=len(cases) * rounds,
            spread=(min(rates), max(rates)),
            quick=asked.quick,
            **({"mix": MIX} if goal else {}),
        )
    for kind in MIX:
        mine = [case for case, each in zip(cases, kinds, strict=True) if each == kind]

        def only(mine: list[Any] = mine) -> int:
            for _, _, comparison, history in mine:
                judge(comparison, history, LOOK, TERMS)
            return len(mine)

        rates = _rate(only, rounds)
        emit("judge", f"{kind}_per_s", statistics.median(rates), "1/s", n=len(mine) * rounds, quick=asked.quick)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
