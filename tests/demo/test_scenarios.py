"""Every scenario breaks something, and mends it; with its pattern, the same situation harms nothing."""

from __future__ import annotations

import random
import re
import threading

import pytest

from demo.company import COPIES, Company
from demo.conditions import Conditions
from demo.scenarios import OPENING, SCENARIOS
from demo.stage import Stage
from tests.demo.test_company import company, copies, held

__all__ = ["company"]

INVISIBLE_IN_DATA = {"late-sync", "paused-consumer", "wrong-clock", "unreachable-crm", "quota-used-up", "cron-batch"}
"""Scenarios that change when data arrives or can be read, and not what arrives in the end."""

ONE_SIDE_STILL = {"late-sync"}
"""Scenarios whose pattern confines the harm and does not prevent it."""


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("time.monotonic", made)
    return made


@pytest.fixture
def stage(company: Company, clock: Clock) -> Stage:
    return Stage(company, random.Random(5))


def until(stage: Stage, clock: Clock, *, broken: bool = False) -> None:
    """Let the company work until the scenario is over, or until all that it breaks is broken."""
    for _ in range(2_000):
        stage.beat()
        clock.now_s += 0.5
        playing = stage.scenarios()["playing"]
        if playing is None or (broken and stage._playing is not None and stage._playing.due_s > clock.now_s + 100):
            return
    raise AssertionError("it does not end")


def settled(company: Company, stage: Stage, clock: Clock) -> None:
    """Let all jobs be done."""
    for _ in range(200):
        stage._bus.work()
        clock.now_s += 1
        if not held(company, "bus", "SELECT 1 FROM jobs"):
            return


def wrong(company: Company) -> list[str]:
    """What is not as it should be, in data."""
    found = copies(company)
    out = [each for each in COPIES if found[each] != found["crm"]]
    if held(company, "billing", "SELECT 1 FROM payments GROUP BY invoice_id HAVING count(*) > 1"):
        out.append("charged twice")
    if held(company, "messaging", "SELECT 1 FROM mails GROUP BY customer_id HAVING count(*) > 1"):
        out.append("mailed twice")
    if held(company, "billing", "SELECT 1 FROM invoices WHERE amount_cents < 0"):
        out.append("negative")
    if held(company, "bus", "SELECT 1 FROM dead_letters"):
        out.append("dead letters")
    return out


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_it_breaks_something_and_mends_it(name: str, company: Company, stage: Stage, clock: Clock) -> None:
    stage.play(name, held=True)
    until(stage, clock, broken=True)
    conditions = stage.conditions
    if name in INVISIBLE_IN_DATA:
        assert conditions != Conditions()
    else:
        settled(company, stage, clock)
        assert wrong(company) != []
    stage.mend()
    until(stage, clock)
    settled(company, stage, clock)
    assert wrong(company) == []
    assert conditions == Conditions()
    assert stage.scenarios()["last"]["name"] == name


@pytest.mark.parametrize("name", sorted(set(SCENARIOS) - ONE_SIDE_STILL))
def test_its_pattern_prevents_it(name: str, company: Company, stage: Stage, clock: Clock) -> None:
    stage.play(name, prevented=True, held=True)
    until(stage, clock, broken=True)
    settled(company, stage, clock)
    assert wrong(company) == []
    stage.mend()
    until(stage, clock)
    settled(company, stage, clock)
    assert wrong(company) == []
    assert stage.conditions == Conditions()


def test_every_text_is_a_sentence() -> None:
    for each in SCENARIOS.values():
        for text in (each.situation, each.person, each.prevented):
            assert text.endswith("."), each.name
        assert not re.search(r"\bfor \d+ s\b|\bafter \d+ s\b", each.situation), "how long is up to whoever plays it"
    assert OPENING in SCENARIOS


def test_what_is_queued_just_before_it_is_mended_leaves_no_dead_letter(
    company: Company, stage: Stage, clock: Clock
) -> None:
    stage.play("poison-message", held=True)
    until(stage, clock, broken=True)
    (key,) = held(company, "crm", "SELECT id FROM customers WHERE email LIKE '% at %' LIMIT 1")[0]
    stage.mend()
    stage._business.change(key, plan="team")
    until(stage, clock)
    settled(company, stage, clock)
    assert wrong(company) == []


class Beats(threading.Event):
    """An event that is set after so many waits."""

    def __init__(self, beats: int) -> None:
        super().__init__()
        self.left = beats

    def wait(self, timeout: float | None = None) -> bool:
        self.left -= 1
        return self.left < 0


@pytest.mark.parametrize("played", [False, True])
def test_the_first_scenario_plays_by_itself_unless_somebody_has_played_one(
    played: bool, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demo.stage.OPENS_AFTER_S", -1.0)
    if played:
        stage.play("wrong-clock", prevented=True)
        stage.mend()
    stage.live(Beats(20), per_s=20)
    told = stage.scenarios()
    if played:
        assert (told["playing"], told["last"]["name"]) == (None, "wrong-clock")
    else:
        assert told["playing"]["name"] == OPENING


def test_what_a_person_has_to_decide_is_not_mended_before(company: Company, stage: Stage, clock: Clock) -> None:
    (name,) = [name for name, each in SCENARIOS.items() if each.decided_for]
    stage.play(name)
    until(stage, clock, broken=True)
    clock.now_s += 5 * SCENARIOS[name].lasts_s
    stage.beat()
    assert stage.scenarios()["playing"] is not None
    stage.mend()
    until(stage, clock)
    stage.play(name, prevented=True)
    until(stage, clock)
    assert stage.scenarios()["last"]["prevented"]


def test_what_two_teams_dispute_is_left_alone_until_it_is_decided(
    company: Company, stage: Stage, clock: Clock
) -> None:
    stage.play("two-teams", held=True)
    until(stage, clock, broken=True)
    business = stage._business
    disputed = {*business.disputed}
    assert len(disputed) == 2
    everyone = {key for (key,) in held(company, "crm", "SELECT id FROM customers")}
    other = min(everyone - disputed)
    business.disputed |= everyone - {other}
    assert business.any_customer() == other
    business.disputed &= disputed
    stage.mend()
    until(stage, clock)
    assert not business.disputed
