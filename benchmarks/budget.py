"""A day's calls: never one over in simulated weeks with restarts and crashes, and what the rest of them proves.

Ten flows read one system of a million records that allows 15,000 calls a day. The account, the ledger (SQLite), the
shares and the plan are the auditor's own; the system, its records and the clock are simulated. Every call is noted
with its instant where it would arrive, and all of them are looked at in the end.
"""

from __future__ import annotations

import random
import tempfile
from collections import Counter, deque
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from auditor.audit.budget import SLICE_CALLS, Plan, plan
from auditor.audit.shares import Shares
from auditor.ledger import Ledger
from auditor.map.integration_map import IntegrationMap
from auditor.map.loader import load_map
from auditor.systems.allowance import DAY_S, Clocks, Worth, open_allowances, spending
from auditor.systems.reader import SystemReader, open_readers
from benchmarks.report import arguments, emit, say
from checks.estimates import estimate
from checks.intervals import clopper_pearson
from checks.sampling import Cohort
from probes.metering import SpentError

PER_DAY, PER_MINUTE, PER_S = 15_000, 60, 5
RECORDS = 1_000_000
FLOWS = 10
EVERY_S = 120.0
SAMPLE, PANEL = 200, 100
BATCH = 500
"""Records that one call reads: what a reader asks for at most."""

CHANGES_PER_HOUR = 30.0
"""Of each flow; on the busy day a hundred times as many."""

BUSY_DAY = 10
BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
WINDOWS_END_S = 300.0

MAP = f"""\
systems:
  crm:
    kind: sql
    url: "sqlite:///PLACE/crm.sqlite"
    budget: {{calls_per_s: {PER_S}, calls_per_minute: {PER_MINUTE}, calls_per_day: {PER_DAY}, timeout: 60s}}
  billing: {{kind: sql, url: "sqlite:///PLACE/billing.sqlite"}}
data_types:
  customer:
    owner: crm
    window: 5m
    fields: {{name: {{type: string}}}}
    in:
      crm: {{collection: customers, key: id, version: seq}}
      billing: {{collection: customers, key: id}}
flows:
"""
FLOW = """\
  flow{number}: {{data_type: customer, from: crm, to: billing, pattern: near-real-time, every: 2m, sample: 200}}
"""


def main() -> int:
    """Run the benchmark."""
    asked = arguments(__doc__)
    days = 3 if asked.quick else 30
    with tempfile.TemporaryDirectory() as place:
        world = World(Path(place), random.Random(asked.seed))
        for day in range(days):
            world.run(day)
            say(f"day {day + 1}: {world.calls_of(day)} calls, refused {dict(world.refused)}")
        world.close()
    return 0 if report(world, days, quick=asked.quick) else 1


class World:
    """The system, its clock, and an auditor that is started anew now and then.

    Attributes:
        calls: when each call arrived.
        refused: calls that the allowance refused, by what they were for.
        wanted: turns' probes of a window's end, answered or not.
        sampled: records of each flow's sample in the first day.
        restarts, crashes: of the auditor.
    """

    def __init__(self, place: Path, dice: random.Random) -> None:
        self._dice = dice
        file = place / "map.yaml"
        file.write_text(MAP.replace("PLACE", str(place)) + "".join(FLOW.format(number=at) for at in range(FLOWS)))
        self._map: IntegrationMap = load_map(file, {})
        self._names = list(self._map.flows)
        self._ledger = Ledger(f"sqlite:///{place}/ledger.sqlite")
        self._ledger.migrate()
        self.now_s = 0.0
        self.calls: list[float] = []
        self.refused: Counter[str] = Counter()
        self.shed = 0
        self.wanted = 0
        self.sampled: Counter[str] = Counter()
        self.restarts = self.crashes = 0
        self._due: dict[str, deque[float]] = {name: deque() for name in self._names}
        self._clock_read_s = -DAY_S
        self._open()

    def _open(self) -> None:
        clocks = Clocks(
            steady=lambda: self.now_s,
            now=lambda: BEGIN + timedelta(seconds=self.now_s),
            sleep=self._sleep,
        )
        allowances = open_allowances(self._map.systems, self._ledger.spending, clocks)
        self._readers: dict[str, SystemReader] = open_readers(self._map, allowances)
        self._crm = allowances["crm"]
        self._shares = Shares([self._map.flow(name) for name in self._names], self._readers)

    def _sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def close(self) -> None:
        """End the auditor as a stop does."""
        for reader in self._readers.values():
            reader.close()
        self._ledger.close()

    def calls_of(self, day: int) -> int:
        """Calls that arrived on a day."""
        return sum(day * DAY_S <= at < (day + 1) * DAY_S for at in reversed(self.calls) if at >= day * DAY_S)

    # -- a day

    def run(self, day: int) -> None:
        """Audit for a day."""
        end = (day + 1) * DAY_S
        begins = sorted(self._dice.uniform(day * DAY_S, end) for _ in range(4))
        while self.now_s < end:
            if begins and self.now_s >= begins[0]:
                begins.pop(0)
                self._begin_anew(crash=len(begins) % 2 == 0)
            turn_s = self.now_s
            for name in self._names:
                self._change(name, busy=day == BUSY_DAY)
                self._turn(name, first_day=day == 0)
            self.now_s = max(self.now_s, turn_s + EVERY_S)

    def _begin_anew(self, *, crash: bool) -> None:
        if crash:
            self.crashes += 1
        else:
            self.restarts += 1
            for reader in self._readers.values():
                reader.close()
        self._open()

    def _change(self, name: str, *, busy: bool) -> None:
        rate = CHANGES_PER_HOUR * (100 if busy else 1) * EVERY_S / 3_600
        count = int(rate) + (self._dice.random() < rate % 1)
        self._due[name].extend([self.now_s + WINDOWS_END_S] * count)

    def _turn(self, name: str, *, first_day: bool) -> None:
        flow = self._map.flow(name)
        due = self._due[name]
        deadlines = sum(at <= self.now_s for at in due)
        rechecks = len(due) - deadlines
        with spending(Worth.RECHECK, flow=name):
            if self.now_s - self._clock_read_s >= max(30.0, self._crm.clock_keeps_s):
                self._clock_read_s = self.now_s
                with spending(Worth.RECHECK, flow=""):
                    self._send(Worth.RECHECK)
            means = self._shares.means(flow, deadlines=deadlines, rechecks=rechecks, panel=PANEL, sample=SAMPLE)
            made = plan(
                watermark_at=BEGIN,
                owner_now=BEGIN,
                overlap_s=0,
                deadlines=deadlines,
                rechecks=rechecks,
                panel=PANEL,
                sample=SAMPLE,
                records=means.records,
                least=means.least,
                calls=means.calls,
                evenly=means.evenly,
            )
            sampled = self._read(made, deadlines, due)
        self._shares.note(name, made, sample=SAMPLE, found=rechecks)
        self.shed += made.shed
        if first_day:
            self.sampled[name] += sampled

    def _read(self, made: Plan, deadlines: int, due: deque[float]) -> int:
        """Send what a turn sends; answers how many records of the sample were read."""
        if made.changes:
            self._send(Worth.CHANGE)
        listed = made.sample > 0 and all(self._send(Worth.SWEEP) for _ in range(SLICE_CALLS))
        kinds = [Worth.DEADLINE] * deadlines + [Worth.RECHECK] * made.rechecks + [Worth.PANEL] * made.panel
        kinds += [Worth.SWEEP] * (made.sample if listed else 0)
        self.wanted += deadlines
        read: Counter[Worth] = Counter()
        for at in range(0, len(kinds), BATCH):
            batch = kinds[at : at + BATCH]
            if not self._send(batch[0]):
                break
            read.update(batch)
        for _ in range(read[Worth.DEADLINE]):
            due.popleft()
        return read[Worth.SWEEP]

    def _send(self, worth: Worth) -> bool:
        with spending(worth):
            try:
                self._crm.spend()
            except SpentError:
                self.refused[worth.name.lower()] += 1
                return False
        self.calls.append(self.now_s)
        return True


def most_within(calls: Sequence[float], seconds: float) -> int:
    """The most calls that ever arrived within so many seconds."""
    most = begin = 0
    for end, at in enumerate(calls):
        while calls[begin] <= at - seconds:
            begin += 1
        most = max(most, end - begin + 1)
    return most


def report(world: World, days: int, *, quick: bool) -> bool:
    """Emit the figures; answers whether all goals are met."""
    told = {"n": len(world.calls), "quick": quick}
    good = True
    for name, seconds, limit in (("second", 1.0, PER_S), ("minute", 60.0, PER_MINUTE), ("day", DAY_S, PER_DAY)):
        over = max(0, most_within(world.calls, seconds) - limit)
        good &= emit("budget", f"calls_over_in_any_{name}", over, "calls", goal="<= 0", **told)  # type: ignore[arg-type]
    used = len(world.calls) / (PER_DAY * days)
    starts = {"restarts": world.restarts, "crashes": world.crashes, "days": days}
    good &= emit("budget", "calls_used_of_those_allowed", used, "ratio", goal=">= 0.75", **told, **starts)  # type: ignore[arg-type]
    refused = world.refused["deadline"] / max(1, world.wanted)
    good &= emit("budget", "windows_ends_refused", refused, "ratio", goal="<= 0", n=world.wanted, quick=quick)
    least = min(world.sampled.values())
    proved = estimate(Cohort().plus(least / RECORDS, least)).upper
    good &= emit("budget", "differ_at_most_after_a_day", proved, "ratio", goal="<= 0.003", n=least, quick=quick)
    # All calls for a sample, drawn evenly, that finds no change: each record costs a read and a look for it.
    evenly = PER_DAY // FLOWS * BATCH // 2
    _, bound = clopper_pearson(0, evenly)
    emit("budget", "bound_against_uniform_sampling_alone", proved / bound, "ratio", n=evenly, quick=quick)
    _, bound = clopper_pearson(0, PER_DAY // FLOWS // 2)
    return good & emit(
        "budget",
        "bound_against_uniform_sampling_one_by_one",
        proved / bound,
        "ratio",
        goal="<= 0.1",
        n=PER_DAY // FLOWS // 2,
        quick=quick,
    )


if __name__ == "__main__":
    raise SystemExit(main())
