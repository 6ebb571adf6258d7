"""What people hear of twelve outages of a company on PostgreSQL and RabbitMQ, and of the demo left alone.

Each outage is a script. What a person who had caused it would call it, what the messages must name, and by when, is
written beside it here and not taken from the auditor. All messages are printed on standard error.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks.report import emit, say, wait_until
from benchmarks.stage import BATCH_S, HOLD_S, WINDOW_S, Message, Receivers, Record, Stage, World
from tests import HOME

QUIET_S, LINGER_S = 6.0, 8.0
RESOLVED_WITHIN_S = 100.0
TEN_MINUTES_S = 600.0
MESSAGES, DEMO_MESSAGES = 3, 4
TOLD_S = 3 * WINDOW_S + HOLD_S
"""How soon people hear of an outage: the window, the audits that confirm it, and the wait before a first message."""

USUAL = ("to_billing", "to_warehouse", "invoice_to_warehouse")
SHORT = ("unreachable_system", "poison_message", "second_writer")

Script = Callable[[Stage], Iterator[float]]
"""Breaks something, waits for as long as it yields, and mends it in the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One outage.

    Attributes:
        what: what happens, in a sentence.
        script: lets it happen and end.
        causes: the words for it, any of which is right.
        names: what the messages must name.
        grows: it gets worse by a multiple while it lasts.
        told_s: how soon people must hear of it.
        flows: what is audited.
    """

    what: str
    script: Script
    causes: frozenset[str]
    names: tuple[str, ...]
    grows: bool = False
    told_s: float = TOLD_S
    flows: tuple[str, ...] = USUAL


# -- the scripts


def stopped_worker(stage: Stage) -> Iterator[float]:
    """The worker stops, and is started again."""
    stage.stopped = True
    yield 75
    stage.stopped = False


def partial_batch(stage: Stage) -> Iterator[float]:
    """A batch is loaded by half; somebody loads it again."""
    stage.halfway = True
    yield 5 * BATCH_S
    stage.repair("reports")


def poison_message(stage: Stage) -> Iterator[float]:
    """Sales enters addresses that billing refuses; they are corrected, and the dead letters replayed."""
    stage.bad_addresses = True
    yield 35
    stage.bad_addresses = False
    stage.correct_addresses()
    while stage.replay():
        yield 0.5


def unreachable_system(stage: Stage) -> Iterator[float]:
    """Billing's server does not respond to anybody."""
    stage.down.add("billing")
    stage.way.mode = "swallow"
    yield 20
    stage.way.mode = "pass"
    stage.down.discard("billing")


def revoked_login(stage: Stage) -> Iterator[float]:
    """The auditor's login to the warehouse is revoked, and granted again."""
    stage.revoke(login=False)
    yield 20
    stage.revoke(login=True)


def clock_step(stage: Stage) -> Iterator[float]:
    """The clock of the CRM's server is set 20 s ahead."""
    stage.step_clock(20)
    yield 40


def zone_bug(stage: Stage) -> Iterator[float]:
    """A release of the worker writes local time into the warehouse; it is rolled back, and its records repaired."""

    def shifted(system: str, record: Record) -> Record:
        hours = 2 if system == "warehouse" and "signed_at" in record else 0
        return {**record, "signed_at": record["signed_at"] + timedelta(hours=2)} if hours else record

    stage.spoil = shifted
    yield 25
    stage.spoil = lambda _, record: record
    stage.repair("warehouse")


def second_writer(stage: Stage) -> Iterator[float]:
    """A script of billing's team changes plans there, which the CRM owns; the records are repaired."""
    for key in range(1, 51):
        stage.write_to_billing(key)
        yield 0.7 if key < 15 else 0.3
    stage.repair("billing")


def quota_used_up(stage: Stage) -> Iterator[float]:
    """Somebody else has used up the day's requests of marketing; the next day begins after 25 s."""
    stage.use_up_quota(25)
    yield 25


def slow_drift(stage: Stage) -> Iterator[float]:
    """One of eight customers is lost on the way to billing, without a dead letter."""

    def leaking(system: str, record: Record) -> Record | None:
        lost = system == "billing" and "email" in record and record["id"] % 8 == 0
        return None if lost else record

    stage.spoil = leaking
    yield 60
    stage.spoil = lambda _, record: record
    stage.repair("billing")


def flapping_link(stage: Stage) -> Iterator[float]:
    """The auditor's way to billing fails again and again."""
    for _ in range(5):
        stage.way.mode = "reset"
        yield 6
        stage.way.mode = "pass"
        yield 6


def recovery(stage: Stage) -> Iterator[float]:
    """The worker has stopped, and then catches up slowly."""
    stage.stopped = True
    yield 25
    stage.per_s = 5
    stage.stopped = False
    yield 40
    stage.per_s = None


STORIES = {
    "stopped_worker": Story(
        what="the sync worker stops for 75 s",
        script=stopped_worker,
        causes=frozenset({"stopped_consumer"}),
        names=("sync", "to_billing", "to_warehouse"),
        grows=True,
    ),
    "partial_batch": Story(
        what="half of a batch is loaded",
        script=partial_batch,
        causes=frozenset({"partial_batch"}),
        names=("to_reports",),
        told_s=5 * BATCH_S + HOLD_S,
        flows=("to_reports",),
    ),
    "poison_message": Story(
        what="billing refuses messages, one reason",
        script=poison_message,
        causes=frozenset({"rejected_messages"}),
        names=("email is not valid", "to_billing"),
        grows=True,
    ),
    "unreachable_system": Story(
        what="billing does not respond for 20 s",
        script=unreachable_system,
        causes=frozenset({"unreachable_system"}),
        names=("billing",),
    ),
    "revoked_login": Story(
        what="the auditor's login to the warehouse is revoked for 20 s",
        script=revoked_login,
        causes=frozenset({"login_refused"}),
        names=("warehouse", "log"),
    ),
    "clock_step": Story(
        what="the clock of the CRM's server is set 20 s ahead",
        script=clock_step,
        causes=frozenset({"clock_step"}),
        names=("crm", "clock"),
        told_s=TOLD_S + 20,
    ),
    "zone_bug": Story(
        what="signed_at is written two hours late into the warehouse",
        script=zone_bug,
        causes=frozenset({"systematic_difference"}),
        names=("warehouse", "signed_at"),
        grows=True,
    ),
    "second_writer": Story(
        what="plans are changed in billing, which does not own them",
        script=second_writer,
        causes=frozenset({"second_writer"}),
        names=("billing",),
        grows=True,
    ),
    "quota_used_up": Story(
        what="marketing refuses requests for 25 s: the quota is used up",
        script=quota_used_up,
        causes=frozenset({"quota_used"}),
        names=("marketing", "429"),
        flows=("to_billing", "to_marketing"),
    ),
    "slow_drift": Story(
        what="one of eight customers is lost on the way to billing",
        script=slow_drift,
        causes=frozenset({"not_arriving"}),
        names=("to_billing",),
        grows=True,
        told_s=TOLD_S + 8,
    ),
    "flapping_link": Story(
        what="the way to billing fails five times in a minute",
        script=flapping_link,
        causes=frozenset({"unreachable_system"}),
        names=("billing", "flap"),
    ),
    "recovery": Story(
        what="the sync worker stops for 25 s and catches up slowly",
        script=recovery,
        causes=frozenset({"stopped_consumer", "slow_consumer"}),
        names=("sync",),
    ),
}


# -- one of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """How a story went: instants are on the monotonic clock.

    Attributes:
        slack, notices: all messages since the company was started.
        incidents: those in the ledger that are not part of another one.
    """

    broken_s: float
    mended_s: float
    slack: Sequence[Message]
    notices: Sequence[Message]
    incidents: Sequence[dict[str, object]]

    @property
    def named(self) -> list[str]:
        """The cause that each message names."""
        return [str(each.document.get("cause", each.document["breach"])) for each in self.notices]

    @property
    def transitions(self) -> list[str]:
        """What each message reports."""
        return [str(each.document["transition"]) for each in self.notices]

    @property
    def resolved(self) -> bool:
        """Whether the end was reported of all incidents that were reported: after it was mended, and once."""
        ends = [each for each in self.notices if each.document["transition"] == "resolved"]
        heard_of = {each.document["incident"] for each in self.notices}
        ended = {each.document["incident"] for each in ends}
        return bool(ends) and ended == heard_of and all(each.at_s >= self.mended_s for each in ends)


def told(world: World, name: str, *, seed: int, quick: bool) -> Told:
    """Play a story."""
    story = STORIES[name]
    with Stage(world, name, story.flows, seed=seed) as stage:
        time.sleep(QUIET_S / 3 if quick else QUIET_S)
        say(f"{name}: {story.what}")
        broken_s = time.monotonic()
        for wait_s in story.script(stage):
            time.sleep(wait_s)
        mended_s = time.monotonic()
        wait_until(stage.told_the_end, RESOLVED_WITHIN_S)
        time.sleep(LINGER_S / 4 if quick else LINGER_S)
        heard = stage.receivers
        return Told(
            broken_s=broken_s,
            mended_s=mended_s,
            slack=tuple(heard.slack),
            notices=tuple(heard.notices),
            incidents=stage.incidents(),
        )


def transcript(name: str, heard: Sequence[Message], broken_s: float, mended_s: float) -> str:
    """All messages in Slack as people read them, with the seconds since the beginning of the outage."""
    lines = [f"---- {name}: mended after {mended_s - broken_s:.0f} s, {len(heard)} messages"]
    for each in heard:
        first, *more = each.text.split("\n")
        lines += [f"{each.at_s - broken_s:+7.1f} s  {first}", *(f"{'':11}{line}" for line in more if line)]
    return "\n".join(lines)


def report(name: str, heard: Told, *, quick: bool) -> bool:
    """Print the figures of a story; whether all goals are met."""
    story = STORIES[name]
    say(transcript(name, heard.slack, heard.broken_s, heard.mended_s))
    causes = {"causes": heard.named, "transitions": heard.transitions}

    def figure(metric: str, value: float, unit: str, goal: str, **more: Any) -> bool:
        return emit("stories", metric, value, unit, goal=goal, quick=quick, story=name, **more)

    n = len(heard.notices)
    opened = [f"{each['breach']} {each.get('cause') or ''}".strip() for each in heard.incidents]
    good = figure("incidents", len(heard.incidents), "incidents", "= 1", opened=opened)
    right = sum(each in story.causes for each in heard.named) / n if n else 0.0
    good &= figure("cause_right", right, "ratio", ">= 1", n=n, expected=sorted(story.causes), **causes)
    early = sum(each.at_s <= heard.broken_s + TEN_MINUTES_S for each in heard.slack)
    good &= figure("messages_10min", early, "messages", f"<= {MESSAGES}")
    first_s = next((each.at_s - heard.broken_s for each in heard.slack), float("inf"))
    good &= figure("first_message_after", min(first_s, 1e6), "s", f"<= {story.told_s:g}")
    text = "\n".join(each.text for each in heard.slack).lower()
    missing = [each for each in story.names if each.lower() not in text]
    good &= figure("names_missing", len(missing), "names", "= 0", n=len(story.names), missing=missing)
    if story.grows:
        grown = {"grown", "worse"} & set(heard.transitions)
        good &= figure("growth_reported", len(grown) > 0, "reports", "= 1")
    return good & figure("resolution_reported", heard.resolved, "reports", "= 1")


# -- the demo


def demo(seconds: float) -> bool:
    """Leave the demo alone for so long."""
    receivers = Receivers()
    with tempfile.TemporaryDirectory() as folder:
        begun_s = time.monotonic()
        words = [sys.executable, "-m", "auditor", "demo", "--data", folder, "--port", "0"]
        environment = {**os.environ, "PYTHONPATH": str(HOME), "SLACK_WEBHOOK_URL": f"{receivers.api.url}/slack"}
        with subprocess.Popen(words, cwd=HOME, env=environment, stdout=subprocess.DEVNULL, stderr=2) as running:
            try:
                raise RuntimeError(f"the demo ended with {running.wait(seconds)}")
            except subprocess.TimeoutExpired:
                pass
            finally:
                running.send_signal(signal.SIGINT)
                running.wait(30)
    receivers.api.close()
    say(transcript("demo", receivers.slack, begun_s, begun_s + seconds))
    reopened = sum("REOPENED" in each.text.upper() for each in receivers.slack)
    more: dict[str, Any] = {"story": "demo", "seconds": seconds}
    goal = f"<= {DEMO_MESSAGES}"
    good = emit("stories", "messages_10min", len(receivers.slack), "messages", goal=goal, **more)
    return good & emit("stories", "reopened", reopened, "messages", goal="= 0", **more)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three of them, within 50 s")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", action="append", choices=[*STORIES, "demo"], help="may be given several times")
    parser.add_argument("--side-by-side", type=int, default=3, help="how many run at a time")
    asked = parser.parse_args()
    names = asked.only or [*(SHORT if asked.quick else STORIES), *([] if asked.quick else ["demo"])]
    outages = [each for each in names if each != "demo"]
    good = True
    if outages:
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            world = World(stack, Path(folder))
            with ThreadPoolExecutor(asked.side_by_side) as pool:
                played = pool.map(lambda name: told(world, name, seed=asked.seed, quick=asked.quick), outages)
                for name, heard in zip(outages, played, strict=True):
                    good &= report(name, heard, quick=asked.quick)
    if "demo" in names:
        good &= demo(TEN_MINUTES_S)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
