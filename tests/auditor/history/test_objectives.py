"""What each flow promises, and whether it keeps it, as people and programs are shown it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from auditor.audit.queue_audit import QueueAuditor
from auditor.history.lens import Lens
from auditor.history.objectives import ObjectiveFigure, left_text, objectives
from checks.objectives import Standing, WindowCounts
from probes.registry import open_queue_probe
from tests.auditor.cli.process import auditor
from tests.stand import Stand

SLA = "sla: {dead_letters: 1, within: {1h: 0.5, 3d: 0.9}, agreement: 0.9, coverage: 0.5, verified_within: 1d}"


@contextmanager
def figures(stand: Stand) -> Iterator[dict[str, ObjectiveFigure]]:
    with closing(Lens(stand.ledger)) as lens:
        lens.refresh()
        now = stand.clock.now()
        yield {each.name: each for each in objectives(stand.map, stand.ledger, lens, now, now)}


def audit_queue(stand: Stand) -> None:
    settings = stand.map.queues["to_billing", "dead"]
    probe = open_queue_probe(settings, stand.map.systems["billing"])
    flow = stand.map.flow("to_billing")
    QueueAuditor(flow=flow, queue="dead", settings=settings, probe=probe, ledger=stand.ledger).audit(
        stand.clock.now()
    )


def test_nothing_is_kept_before_anything_was_audited(stand: Stand) -> None:
    stand.remap("sla: {dead_letters: 1}", SLA)
    with figures(stand) as found:
        assert {name: each.standing for name, each in found.items()} == {
            "changes within the window of 4 s": Standing.NO_TRAFFIC,
            "changes within 60 min": Standing.NO_TRAFFIC,
            "changes within 3 d": Standing.NO_TRAFFIC,
            "records that agree, by sample": Standing.UNDECIDED,
            "due records with a verdict": Standing.NO_TRAFFIC,
            "verified through": Standing.UNDECIDED,
        }


def test_every_objective_is_judged_by_its_own_figure(stand: Stand) -> None:
    stand.remap("sla: {dead_letters: 1}", SLA)
    stand.agree(60)
    for key in (1, 2):
        stand.put("crm", key, "Grace", ago_s=0)
    stand.audit()
    stand.put("billing", 1, "Grace")
    stand.audit()
    stand.audit_until(lambda: stand.windows().missed, 60)
    with figures(stand) as found:
        window = found["changes within the window of 4 s"]
        assert (window.counts, window.goal_ratio) == (WindowCounts(met=1, missed=1), 0.99)
        assert window.standing is Standing.UNDECIDED
        assert window.budget_left == pytest.approx((-49.0, -49.0))
        assert list((window.burn or {}).values()) == pytest.approx([50, 50, 50])
        assert window.as_row()["error budget left"] == "overspent 50x"
        assert window.as_row()["burn 1 h / 6 h / 3 d"] == "50 / 50 / 50"
        hour = found["changes within 60 min"]
        assert hour.counts == WindowCounts(met=1, undecided=1)  # the second has not been waiting for so long
        assert found["due records with a verdict"].standing is Standing.KEPT
        assert found["verified through"].standing is Standing.KEPT


@pytest.mark.parametrize(
    ("rule", "waiting", "goal", "standing"),
    [
        ("dead_letters: 1, oldest_letter: 1h", 0, "at most 1, none older than 60 min", Standing.KEPT),
        ("dead_letters: 1, oldest_letter: 1h", 1, "at most 1, none older than 60 min", Standing.BROKEN),
        ("dead_letters: 1", 1, "at most 1", Standing.KEPT),
        ("dead_letters: 1", 2, "at most 1", Standing.BROKEN),
    ],
)
def test_a_queue_keeps_what_its_incident_would_be_opened_for(
    stand: Stand, rule: str, waiting: int, goal: str, standing: Standing
) -> None:
    stand.remap("sla: {dead_letters: 1}", f"sla: {{{rule}}}")
    for key in range(waiting):
        stand.run("billing", f"INSERT INTO letters VALUES ({key}, 3, '2026-03-01 00:00:00', 'no')")
    audit_queue(stand)
    with figures(stand) as found:
        queue = found["dead letters, queue dead"]
        assert (queue.goal, queue.standing) == (goal, standing)


def test_a_queue_that_is_not_being_read_is_undecided(stand: Stand) -> None:
    audit_queue(stand)
    stand.clock.advance(3_600)
    with figures(stand) as found:
        queue = found["dead letters, queue dead"]
        assert queue.standing is Standing.UNDECIDED
        assert queue.seen.startswith("0; not read since ")


def test_the_command_shows_them_and_fails_on_a_broken_one(stand: Stand) -> None:
    places = ["--map", stand.map_file, "--data", stand.place]
    stand.remap("sla: {dead_letters: 1}", "sla: {dead_letters: 1, strict: true}")
    stand.agree(5)
    kept = auditor("objectives", *places, "--json")
    assert {row["objective"]: row["state"] for row in json.loads(kept.stdout)} == {
        "changes within the window of 4 s": "no traffic",
        "no change may miss its window": "kept",
    }
    stand.put("crm", 3, "Grace", ago_s=0)
    stand.audit_until(lambda: stand.windows().missed, 60)
    broken = auditor("objectives", *places)
    assert (broken.returncode, "1 missed" in broken.stdout) == (1, True)
    unknown = auditor("objectives", "to_biling", *places)
    assert (unknown.returncode, "did you mean 'to_billing'" in unknown.stderr) == (2, True)


@pytest.mark.parametrize(
    ("left", "told"),
    [
        (None, "–"),
        ((1.0, 1.0), "100%"),
        ((0.4, 0.6), "40% … 60%"),
        ((0.0, 0.0), "0%"),
        ((-0.3, 0.19), "overspent 1.3x … 19%"),
        ((-0.3, -0.3), "overspent 1.3x"),
        ((-1.9, -1.4), "overspent 2.4x … 2.9x"),
        ((-49.0, -49.0), "overspent 50x"),
    ],
)
def test_what_is_left_of_an_error_budget_in_words(left: tuple[float, float] | None, told: str) -> None:
    assert left_text(left) == told


@pytest.mark.parametrize(
    ("within", "said"),
    [
        ("{5s: 0.9, 1m: 0.8}", "for a longer time no smaller share"),
        ("{none: 0.9}", "write a time above 0"),
        ("{5s: 1.2}", "must be at most 1"),
        ("{soon: 0.9}", "not a duration"),
    ],
)
def test_times_that_make_no_sense_are_refused(stand: Stand, within: str, said: str) -> None:
    text = stand.map_file.read_text()
    stand.map_file.write_text(text.replace("sla: {dead_letters: 1}", f"sla: {{within: {within}}}"))
    done = auditor("check", "--map", stand.map_file)
    assert (done.returncode, said in done.stdout) == (2, True), done.stdout
