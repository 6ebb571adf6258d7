"""Comparing and judging what was read: values in, values out, and nobody is asked."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from auditor.audit import case as cases
from auditor.audit import gathered as readings
from auditor.audit import judging
from auditor.audit.case import Case, Known, Verdicts
from auditor.audit.gathered import Doubts, Gathered, Later, OwnerReading, TargetReading, Wanted
from auditor.audit.judging import Judge
from auditor.map.loader import load_map
from checks.causes import Baseline
from checks.clocks import ClockBounds
from checks.judgement import Outcome
from checks.record_history import History
from checks.terms import Look
from probes.contract import Key, Row
from tests.stand import MAP

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LOOK = Look(sent_at=NOW, received_at=NOW + timedelta(milliseconds=5))
CLOCK = ClockBounds(lower_s=-0.01, upper_s=0.01, measured_at=NOW)
STAMP = "2026-03-01 11:59:59.000000"
OLD = "2026-03-01 08:00:00.000000"


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    file = tmp_path / "map.yaml"
    file.write_text(MAP.replace("${PLACE}", str(tmp_path)))
    flow = load_map(file, {}).flow("to_billing")
    return Judge(flow, flow.comparer(b"k" * 32))


def gathered(owner: Mapping[Key, list[Row]], target: Mapping[Key, list[Row]], *, listed: bool = False) -> Gathered:
    """What was read of the records of both, the owner half a second before the target."""
    keys = dict.fromkeys([*owner, *target])
    asked_at = NOW - timedelta(seconds=0.5)
    return Gathered(
        wanted=Wanted(
            keys=keys, listed=frozenset(keys if listed else ()), polled_before_at=NOW - timedelta(seconds=1)
        ),
        owner=OwnerReading(rows=owner, seen=dict.fromkeys(keys, (asked_at, asked_at)), sent_at=asked_at),
        target=TargetReading(rows=target, look=LOOK),
    )


def case_of(judge: Judge, read: Gathered, **more: object) -> Case:
    compared = judge.compare(read)
    known = Known(
        looked_at=NOW - timedelta(seconds=1),
        behind_s=0.0,
        known_from_at=None,
        commit_delay_s=None,
        audited=True,
        unjudged={},
        panel_read=frozenset(),
        panel_read_at=None,
    )
    case = Case(
        gathered=read,
        comparisons=judge.to_judge(compared, read, frozenset()),
        settled=frozenset(),
        histories={},
        doubts=Doubts(),
        look=LOOK,
        clocks=(CLOCK, None),
        known=known,
    )
    return replace(case, **more)  # type: ignore[arg-type]


def verdicts_of(judge: Judge, case: Case, *, clock_stands: bool = True) -> Verdicts:
    return judge.judge(case, judge.follow(case), clock_stands=clock_stands)


def agreed_before(judge: Judge, row: Row) -> History:
    """That both systems agreed on a row."""
    met = judge.compare(gathered({1: [row]}, {1: [row]})).agreed[1]
    copy = judge._comparer.copy_of(met.values, row[1])
    baseline = Baseline(
        owner=copy.fingerprint,
        target=copy.fingerprint,
        owner_digests=copy.digests,
        target_digests=copy.digests,
    )
    return History(baseline=replace(baseline, agreed_at=NOW - timedelta(hours=1)))


@pytest.mark.parametrize("module", [judging, cases, readings])
def test_judging_asks_no_clock_and_opens_nothing(module: object) -> None:
    source = Path(str(getattr(module, "__file__", ""))).read_text()
    called = {ast.unparse(node.func) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)}
    assert not {each for each in called if each.split(".")[-1] in {"now", "utcnow", "today", "monotonic", "open"}}
    assert not {each for each in called if "ledger" in each or "reader" in each or "fetch" in each}


def test_what_agrees_and_is_known_to_is_counted_and_no_more(judge: Judge) -> None:
    row = (1, OLD, "Ada", "1.00")
    read = gathered({1: [row]}, {1: [row], 2: [(2, None, "Bob", "2")]})
    compared = judge.compare(read)
    assert ([*compared.agreed], [each.key for each in compared.comparisons]) == ([1], [2])
    assert [each.key for each in judge.to_judge(compared, read, frozenset({1}))] == [2]
    known = replace(case_of(judge, read).known, unjudged={1: NOW, 3: NOW})
    verdicts = verdicts_of(judge, case_of(judge, read, settled={1}, comparisons=compared.comparisons, known=known))
    assert verdicts.counts[Outcome.AGREED] == 1
    assert (verdicts.outcomes, [*verdicts.unjudged]) == ({2: Outcome.SUSPECTED}, [3])


def test_first_agreement_gives_a_baseline(judge: Judge) -> None:
    row = (1, OLD, "Ada", "1.00")
    verdicts = verdicts_of(judge, case_of(judge, gathered({1: [row]}, {1: [row]})))
    (judgement,) = verdicts.judgements
    assert judgement.baseline is not None
    assert judgement.baseline.mark is not None
    assert dict(verdicts.counts) == {Outcome.AGREED: 1}


def test_what_could_not_be_read_cannot_be_verified(judge: Judge) -> None:
    read = gathered({1: [(1, OLD, "Ada", "1.00")]}, {})
    read = replace(read, target=replace(read.target, unreadable={1: "spoiled"}))  # type: ignore[type-var]
    verdicts = verdicts_of(judge, case_of(judge, read))
    assert (verdicts.unverified, [*verdicts.unjudged]) == ({1: "spoiled"}, [1])


def test_a_stamp_is_believed_only_while_the_clock_stands(judge: Judge) -> None:
    before, after = (1, OLD, "Ada", "1.00"), (1, STAMP, "Grace", "1.00")
    read = gathered({1: [after]}, {1: [before]}, listed=True)
    case = case_of(judge, read, histories={1: agreed_before(judge, before)})
    traces = judge.follow(case)
    assert traces[1].rests_on_clock
    bounds = {}
    for stands in (True, False):
        (judgement,) = judge.judge(case, traces, clock_stands=stands).judgements
        (change,) = judgement.changes
        bounds[stands] = (change.committed_to_at - change.committed_from_at).total_seconds()
    assert bounds[True] < bounds[False]


@pytest.mark.parametrize(("known_s", "wanted_s"), [(10.0, None), (0.0, 10.0)])
def test_an_owner_that_always_lists_changes_late_is_not_out_of_sight(
    judge: Judge, known_s: float, wanted_s: float | None
) -> None:
    before, after = (1, None, "Ada", "1.00"), (1, None, "Grace", "1.00")
    read = gathered({1: [after]}, {1: [before]}, listed=True)
    first = case_of(judge, read, histories={1: agreed_before(judge, before)})
    pending = judge.follow(first)[1].history
    known = replace(first.known, looked_at=NOW - timedelta(seconds=12), behind_s=known_s)
    late = replace(read, wanted=replace(read.wanted, behind_s=wanted_s))
    trace = judge.follow(replace(first, gathered=late, known=known, histories={1: pending}))[1]
    assert not trace.sighting.blind
    assert trace.history == pending, "the version that is pending is not followed a second time"
    unseen = judge.follow(replace(first, known=replace(known, behind_s=0.0), histories={1: pending}))[1]
    assert unseen.sighting.blind


def test_a_record_that_is_read_again_and_again_is_not_out_of_sight(judge: Judge) -> None:
    before, after = (1, None, "Ada", "1.00"), (1, None, "Grace", "1.00")
    read = gathered({1: [after]}, {1: [before]}, listed=True)
    first = case_of(judge, read, histories={1: agreed_before(judge, before)})
    (judgement,) = verdicts_of(judge, first).judgements
    known = replace(first.known, looked_at=NOW - timedelta(minutes=5))
    pending = replace(first.histories[1], changes=judgement.changes)
    for differed_s, blind in ((2, False), (60, True)):
        at = NOW - timedelta(seconds=differed_s)
        history = replace(pending, changes=(replace(pending.changes[0], differed_at=at),))
        trace = judge.follow(replace(first, known=known, histories={1: history}))[1]
        assert trace.sighting.blind is blind
        (change,) = trace.history.changes
        assert change.unseen_before is blind


def test_a_record_that_moved_concludes_nothing_but_what_is_known_of_it_is_followed(judge: Judge) -> None:
    before, after = (1, OLD, "Ada", "1.00"), (1, STAMP, "Grace", "1.00")
    read = gathered({1: [after]}, {1: [before]}, listed=True)
    case = case_of(judge, read, histories={1: agreed_before(judge, before)})
    lost = verdicts_of(judge, replace(case, doubts=Doubts(moving={1})))
    assert (lost.outcomes, lost.judgements, [*lost.unjudged]) == ({1: Outcome.INCONCLUSIVE}, [], [1])
    held = Later(copy=case.comparisons[0].owner, sent_at=LOOK.received_at, received_at=LOOK.received_at)
    followed = verdicts_of(judge, replace(case, doubts=Doubts(moving={1}, later={1: held})))
    assert followed.outcomes == {1: Outcome.INCONCLUSIVE}
    assert [len(each.changes) for each in followed.judgements] == [1]
    assert not followed.unjudged
