"""What the auditor makes of each scenario of the demo company, and what people hear of it.

Each scenario is played at a company of its own, with its own auditor, once as it goes wrong and once with the pattern
that prevents it. What a person who had caused it would call it is written beside it here, and not taken from the
auditor. Measured are the incidents (one for each scenario, none where it is prevented), their cause, how long it took
to say so, how many messages were sent, and whether all is resolved after it was mended.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import auditor.demo
from auditor.ledger import LISTED, Ledger
from auditor.map.loader import load_map
from auditor.scenarios import Message, Stage, StageError
from auditor.workspace import Workspace
from benchmarks.report import emit, say
from tests import HOME
from tests.servers import free_port
from tests.waiting import wait_until

MAP = Path(auditor.demo.__file__).with_name("demo_map.yaml")
READY_WITHIN_S, ENDS_WITHIN_S, RESOLVED_WITHIN_S = 120.0, 400.0, 420.0
LOOKS_EVERY_S = 0.5
LINGERS_S = 15.0
"""How long a scenario that nothing is heard of is watched after its end."""

SHORT = ("overwritten-address", "double-charge", "unreachable-crm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What one scenario has to look like.

    Attributes:
        causes: of its incident; any of them is right.
        told_s: how soon people must hear of it, after it begins.
        prevented: causes that its pattern still leaves, at most.
    """

    causes: frozenset[str]
    told_s: float
    prevented: frozenset[str] = frozenset()


def _of(*causes: str, told_s: float = 75.0, prevented: tuple[str, ...] = ()) -> Expected:
    return Expected(causes=frozenset(causes), told_s=told_s, prevented=frozenset(prevented))


EXPECTED = {
    "late-sync": _of(
        "slow_consumer",
        "stopped_consumer",
        "nothing_leaves",
        "nothing_moves",
        prevented=("slow_consumer", "not_arriving"),
    ),
    "paused-consumer": _of("stopped_consumer", "slow_consumer", told_s=100.0),
    "poison-message": _of("rejected_messages"),
    "overwritten-address": _of("second_writer"),
    "two-teams": _of("concurrent_writes"),
    "double-charge": _of("duplicate"),
    "deleted-customer": _of("deletions_missing", "orphan"),
    "negative-invoice": _of("invalid"),
    "wrong-clock": _of("clock_step"),
    "unreachable-crm": _of("unreachable_system"),
    "quota-used-up": _of("quota_used"),
    "cron-batch": _of("not_arriving", "slow_consumer", "stopped_consumer", told_s=140.0),  # nobody reads in between
    "zone-bug": _of("systematic_difference"),
    "replayed-mails": _of("duplicate"),
}
"""By scenario; cause and time are a person's, see the scenario's own texts."""


@dataclass(slots=True, kw_only=True)
class Seen:
    """What came of one performance.

    Attributes:
        incidents: rows of the ledger.
        told_s: from its beginning to the first message; None without one.
        messages: of the channel.
        resolved: no incident is open at the end.
    """

    incidents: list[dict[str, Any]] = field(default_factory=list)
    told_s: float | None = None
    messages: list[Message] = field(default_factory=list)
    resolved: bool = False


@contextmanager
def company_and_auditor(place: Path, seed: int) -> Iterator[tuple[Stage, Ledger, dict[str, str]]]:
    """A company and its auditor, once the auditor has seen everything agree, and the environment of both."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AUDITOR_", "DEMO_"))},
        "DEMO_COMPANY": address,
        "DEMO_FOLDER": str(place / "company"),
        "SLACK_WEBHOOK_URL": f"{address}/chat",
        "AUDITOR_MAP": str(MAP),
        "AUDITOR_DATA": str(place / "var"),
        "PYTHONPATH": str(HOME),
    }
    company = [sys.executable, "-m", "demo", str(place / "company"), "--port", str(port), "--seed", str(seed)]
    watcher = [sys.executable, "-m", "auditor", "run"]
    running: list[subprocess.Popen[bytes]] = []
    with (place / "log").open("wb") as log:
        try:
            stage = Stage(address)
            running.append(subprocess.Popen([*company, "--quiet-start"], env=environment, stdout=log, stderr=log))
            wait_until(lambda: _answers(stage), READY_WITHIN_S)
            running.append(subprocess.Popen(watcher, env=environment, stdout=log, stderr=log))
            ledger = Workspace.at(place / "var").ledger()
            flows = list(load_map(MAP, environment).flows)
            wait_until(lambda: _has_verified(ledger, flows), READY_WITHIN_S, (place / "log").read_text()[-2000:])
            yield stage, ledger, environment
            ledger.close()
        finally:
            for each in reversed(running):
                each.send_signal(signal.SIGINT)
                with suppress(subprocess.TimeoutExpired):
                    each.wait(30)
                each.kill()


def _decide(ledger: Ledger, environment: Mapping[str, str], system: str) -> None:
    """Decide on the command line that in all conflicts that wait the copy of a system counts."""
    for each in ledger.conflicts.listed(live_only=True):
        if each.state == "open":
            words = [sys.executable, "-m", "auditor", "conflicts", "decide", str(each.conflict_id), system]
            done = subprocess.run([*words, "--by", "benchmark"], env=environment, capture_output=True, text=True)
            say(f"   {' '.join(words[3:])}: {done.stderr.strip()}")


def _answers(stage: Stage) -> bool:
    try:
        stage.programme()
    except StageError:
        return False
    return True


def _has_verified(ledger: Ledger, flows: list[str]) -> bool:
    return all(ledger.flows.state(each).verified_through_at is not None for each in flows)


def perform(name: str, seed: int, *, prevented: bool) -> Seen:
    """Play a scenario, and watch until it is over."""
    seen = Seen()
    with (
        tempfile.TemporaryDirectory() as folder,
        company_and_auditor(Path(folder), seed) as (stage, ledger, environment),
    ):
        time.sleep(random.Random(seed).uniform(0, 5))  # audits are not in step with it
        begun_s, ended_s = time.monotonic(), None
        undecided = "" if prevented else stage.programme().scenarios[name].decided_for
        stage.play(name, prevented=prevented, held=bool(undecided))
        while True:
            seen.messages = stage.messages()
            if seen.messages and seen.told_s is None:
                seen.told_s = time.monotonic() - begun_s
            now_s = time.monotonic()
            if ended_s is None and stage.programme().playing is None:
                ended_s = now_s
            if undecided and seen.messages:  # somebody hears of it, decides, and carries it out
                _decide(ledger, environment, undecided)
                undecided = ""
                stage.mend()
            if ended_s is not None and now_s - ended_s > LINGERS_S:
                seen.resolved = not ledger.incidents.rows(live_only=True, limit=LISTED)
                if seen.resolved or now_s - ended_s > RESOLVED_WITHIN_S:
                    break
            if now_s - begun_s > ENDS_WITHIN_S + RESOLVED_WITHIN_S:
                break
            time.sleep(LOOKS_EVERY_S)
        seen.incidents = ledger.incidents.rows(live_only=False, limit=LISTED)
    how = " prevented" if prevented else ""
    say(f"== {name}{how}, seed {seed}: told after {seen.told_s} s")
    for message in seen.messages:
        say(f"   {message.received_at:%H:%M:%S} {message.title}")
    for each in seen.incidents:
        say(f"   incident {each['id']}: {each['cause']} {each['state']} {each['summary']}")
    return seen


def score(name: str, broken: list[Seen], prevented: list[Seen]) -> bool:
    """Print the figures of a scenario."""
    expected = EXPECTED[name]
    told_s = [each.told_s for each in broken if each.told_s is not None]
    in_time = [each.told_s is not None and each.told_s <= expected.told_s for each in broken]
    right = [bool(_heard(each)) and _causes([each]) <= expected.causes for each in broken]
    more: dict[str, Any] = {"scenario": name, "n": len(broken)}

    def ratio(metric: str, held: list[bool], **told: Any) -> bool:
        return emit("scenarios", metric, sum(held) / len(held), "ratio", goal=">= 1.0", **more, **told)

    good = ratio("one_incident", [len(_heard(each)) == 1 for each in broken])
    good &= ratio("right_cause", right, causes=sorted(_causes(broken)))
    good &= ratio(
        "told_in_time", in_time, within_s=expected.told_s, told_s=[round(each, 1) for each in sorted(told_s)]
    )
    good &= ratio("resolved", [each.resolved for each in broken])
    emit("scenarios", "most_messages", max(len(each.messages) for each in broken), "messages", **more)
    false = sorted(_causes(prevented) - expected.prevented)
    return good & emit(
        "scenarios",
        "causes_if_prevented",
        len(false),
        "causes",
        goal="<= 0",
        n=len(prevented),
        scenario=name,
        causes=false,
    )


def _heard(seen: Seen) -> list[dict[str, Any]]:
    """The incidents that people heard of; what clears up before its first message is due is never reported."""
    return [each for each in seen.incidents if each["message"] not in {None, "withdrawn"}]


def _causes(seen: list[Seen]) -> set[str]:
    """The causes of the incidents that people heard of."""
    return {str(one["cause"]) for each in seen for one in _heard(each)}


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three scenarios, once each, within 3 min")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=20, help="of each scenario")
    parser.add_argument("--only", action="append", choices=list(EXPECTED), help="may be given several times")
    parser.add_argument("--side-by-side", type=int, default=4, help="how many play at a time")
    asked = parser.parse_args()
    names = asked.only or (SHORT if asked.quick else list(EXPECTED))
    runs = 1 if asked.quick else asked.runs
    wanted = [(name, asked.seed + run, how) for run in range(runs) for name in names for how in (False, True)]
    found: dict[tuple[str, bool], list[Seen]] = {}
    with ThreadPoolExecutor(asked.side_by_side) as pool:
        performances = [(each, pool.submit(perform, each[0], each[1], prevented=each[2])) for each in wanted]
        for (name, _, how), future in performances:
            found.setdefault((name, how), []).append(future.result())
    good = True
    for name in names:
        good &= score(name, found[name, False], found[name, True])
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
