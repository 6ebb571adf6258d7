"""Records that never rest: `auditor run` on PostgreSQL to MariaDB, with outages of the pipeline and of the target.

In every world fifty hot records are written ten times a second, deleted and created again, while a pipeline copies
them and the auditor first sees them in full traffic. For a while the pipeline stands still; for a while the auditor
cannot reach the target, and values come, go and come back meanwhile. What was committed and delivered is known.
"""

from __future__ import annotations

import asyncio
import heapq
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import sqlalchemy as sa

from auditor.ledger import Ledger
from auditor.workspace import Workspace
from benchmarks import flights
from benchmarks.report import arguments, emit, percentile, say, wait_until
from tests import servers

KEYS = 50
WRITES_PER_S = 10.0
WORLDS, AT_ONCE = 20, 10
LAG_S = 0.4
CLOCK_S = 0.002
"""How far two clocks of this machine may be apart: the database's stamps and ours."""

FLOW = """\
  flow_{number}: {{data_type: record_{number}, from: owner, to: target_{number}, pattern: near-real-time, every: 1s,
    sample: 200}}
"""

DATA_TYPE = """\
  record_{number}:
    owner: owner
    window: {window}s
    key_type: integer
    fields:
      value: {{type: integer}}
      state: {{type: string}}
    in:
      owner: {{collection: busy_{number}, key: id, changed_at: updated_at}}
      target_{number}: {{collection: busy_{number}, key: id}}
"""

SYSTEM = """\
  target_{number}: {{kind: sql, url: "{url}", zone: UTC, budget: {{connections: 1, timeout: 5s}}}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timetable:
    """When what happens, in seconds since the traffic began.

    Attributes:
        stopped_s: between which instants the pipeline stands still.
        dark_s: between which instants the auditor cannot reach the target.
    """

    window_s: float
    seen_s: float
    stopped_s: tuple[float, float]
    dark_s: tuple[float, float]
    over_s: float


QUICK = Timetable(window_s=2, seen_s=1, stopped_s=(9, 18), dark_s=(21, 29), over_s=32)
LONG = Timetable(window_s=5, seen_s=5, stopped_s=(45, 135), dark_s=(165, 255), over_s=285)


@dataclass(slots=True, kw_only=True)
class Version:
    """One write of the owner, and its delivery; instants are local.

    Attributes:
        held: what it holds of the compared fields, None where the record was deleted.
        came_back: it holds what the record held before.
    """

    held: tuple[int, str] | None
    touched: bool
    came_back: bool
    stamp_us: int | None
    committed: tuple[float, float]
    delivered: tuple[float, float] | None = None


@dataclass(slots=True, kw_only=True)
class World:
    """One table, its traffic and its truth."""

    number: int
    timetable: Timetable
    chance: random.Random
    versions: dict[int, list[Version]] = field(default_factory=lambda: defaultdict(list))
    waiting: list[tuple[float, int, int, int]] = field(default_factory=list)
    ready_s: dict[int, float] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    drawn: int = 0

    @property
    def table(self) -> str:
        """Its name in both databases."""
        return f"busy_{self.number}"

    def stopped(self, at_s: float) -> bool:
        """Whether the pipeline stands still."""
        return self.timetable.stopped_s[0] <= at_s < self.timetable.stopped_s[1]

    def dark(self, at_s: float) -> bool:
        """Whether the auditor cannot reach the target."""
        return self.timetable.dark_s[0] <= at_s < self.timetable.dark_s[1]


class Relay:
    """A way to a server that can be cut."""

    def __init__(self, port: int) -> None:
        self.port = servers.free_port()
        self._to = port
        self._open = threading.Event()
        self._open.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(asyncio.start_server(self._carry, "127.0.0.1", self.port))
        self._loop.run_forever()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._open.is_set():
            writer.close()
            return
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._to)
        self._writers |= {writer, to_writer}
        with suppress(OSError):
            await asyncio.gather(self._copy(reader, to_writer), self._copy(to_reader, writer))
        self._writers -= {writer, to_writer}

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    def cut(self) -> None:
        """Refuse new connections and end those there are."""
        self._open.clear()
        self._loop.call_soon_threadsafe(self._abort)

    def _abort(self) -> None:
        for writer in tuple(self._writers):
            writer.transport.abort()

    def mend(self) -> None:
        """Let connections through again."""
        self._open.set()

    def close(self) -> None:
        """Stop."""
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)


class Traffic:
    """Writes the worlds' owners and copies what they wrote, each in a thread of its own."""

    def __init__(self, worlds: list[World], owner_url: str, target_url: str, relays: list[Relay]) -> None:
        self.worlds = worlds
        self._owner = psycopg.connect(owner_url, autocommit=True)
        self._target: pymysql.Connection[Any] = flights.target(target_url)
        self._target.autocommit(True)
        self._relays = relays
        self._written = threading.Event()
        self._threads = [threading.Thread(target=each) for each in (self._write, self._deliver)]
        self.began = 0.0

    def start(self) -> None:
        """Begin."""
        self.began = time.time()
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Wait until all is written and delivered."""
        for thread in self._threads:
            thread.join()
        self._owner.close()
        self._target.close()

    @property
    def now_s(self) -> float:
        """Seconds since it began."""
        return time.time() - self.began

    def _write(self) -> None:
        due = [(world.chance.expovariate(WRITES_PER_S), index) for index, world in enumerate(self.worlds)]
        dark = [False] * len(self.worlds)
        heapq.heapify(due)
        while due:
            at_s, index = heapq.heappop(due)
            world = self.worlds[index]
            time.sleep(max(0.0, at_s - self.now_s))
            if world.dark(at_s) != dark[index]:
                dark[index] = not dark[index]
                (self._relays[index].cut if dark[index] else self._relays[index].mend)()
            if at_s > world.timetable.over_s:
                continue
            self._move(world, at_s)
            heapq.heappush(due, (at_s + world.chance.expovariate(WRITES_PER_S), index))
        self._written.set()

    def _move(self, world: World, at_s: float) -> None:
        """One write of one record."""
        chance = world.chance
        key = chance.randrange(1, KEYS + 1)
        known = world.versions[key]
        held = known[-1].held
        drawn = chance.random()
        touched = came_back = False
        if held is None:
            new: tuple[int, str] | None = self._fresh(world)
        elif drawn < 0.05:
            new = None
        elif drawn < 0.15:
            new, touched = held, True
        elif drawn < 0.45 and world.dark(at_s):
            new, came_back = chance.choice([each.held for each in known if each.held is not None]), True
        else:
            new = self._fresh(world)
        before = time.time()
        stamp = None
        if new is None:
            self._owner.execute(f"DELETE FROM {world.table} WHERE id = %s", [key])
        else:
            row = self._owner.execute(
                f"INSERT INTO {world.table} VALUES (%s, %s, %s, 0, clock_timestamp()) ON CONFLICT (id) DO UPDATE SET "
                "value = EXCLUDED.value, state = EXCLUDED.state, touched = "
                f"{world.table}.touched + 1, updated_at = clock_timestamp() "
                "RETURNING (extract(epoch FROM updated_at) * 1000000)::bigint",
                [key, *new],
            ).fetchone()
            assert row is not None
            stamp = int(row[0])
        version = Version(
            held=new, touched=touched, came_back=came_back, stamp_us=stamp, committed=(before, time.time())
        )
        with world.lock:
            known.append(version)
            ready_s = max(world.ready_s.get(key, 0.0), at_s + LAG_S * chance.lognormvariate(0, 0.5))
            world.ready_s[key] = ready_s
            world.drawn += 1
            heapq.heappush(world.waiting, (ready_s, world.drawn, key, len(known) - 1))

    def _fresh(self, world: World) -> tuple[int, str]:
        world.drawn += 1
        return world.drawn, world.chance.choice(["open", "paid", "gone"])

    def _deliver(self) -> None:
        while True:
            over = self._written.is_set()
            idle = True
            for world in self.worlds:
                idle &= not self._due(world)
            if over and idle and not any(world.waiting for world in self.worlds):
                return
            if idle:
                time.sleep(0.002)

    def _due(self, world: World) -> bool:
        """Deliver what is due of a world; answers whether anything was."""
        now_s = self.now_s
        with world.lock:
            if world.stopped(now_s) or not world.waiting or world.waiting[0][0] > now_s:
                return False
            _, _, key, at = heapq.heappop(world.waiting)
            version = world.versions[key][at]
        before = time.time()
        cursor = self._target.cursor()
        if version.held is None:
            cursor.execute(f"DELETE FROM {world.table} WHERE id = %s", (key,))
        else:
            cursor.execute(f"REPLACE INTO {world.table} VALUES (%s, %s, %s)", (key, *version.held))
        version.delivered = (before, time.time())
        return True


def _fill(worlds: list[World], owner_url: str, target_url: str) -> None:
    """Make the tables, alike in both databases."""
    with psycopg.connect(owner_url, autocommit=True) as owner, flights.target(target_url) as target:
        cursor = target.cursor()
        for world in worlds:
            owner.execute(
                f"CREATE TABLE {world.table} (id bigint PRIMARY KEY, value bigint, state text, touched integer, "
                "updated_at timestamptz)"
            )
            owner.execute(f"CREATE INDEX ON {world.table} (updated_at)")
            cursor.execute(f"CREATE TABLE {world.table} (id bigint PRIMARY KEY, value bigint, state varchar(10))")
            for key in range(1, KEYS + 1):
                owner.execute(
                    f"INSERT INTO {world.table} VALUES (%s, %s, 'new', 0, now() - interval '1 day')", [key, -key]
                )
                cursor.execute(f"INSERT INTO {world.table} VALUES (%s, %s, 'new')", (key, -key))
                at = time.time() - 86_400
                world.versions[key] = [
                    Version(
                        held=(-key, "new"),
                        touched=False,
                        came_back=False,
                        stamp_us=None,
                        committed=(at, at),
                        delivered=(at, at),
                    )
                ]
        target.commit()


def _write_map(folder: Path, worlds: list[World], target_url: str, relays: list[Relay]) -> Path:
    urls = [sa.make_url(target_url).set(host="127.0.0.1", port=relay.port) for relay in relays]
    window = f"{worlds[0].timetable.window_s:g}"
    text = 'systems:\n  owner: {kind: sql, url: "${OWNER_URL}", budget: {records_per_s: 100000, connections: 8}}\n'
    for world, url in zip(worlds, urls, strict=True):
        text += SYSTEM.format(number=world.number, url=url.render_as_string(hide_password=False))
    text += "data_types:\n" + "".join(DATA_TYPE.format(number=each.number, window=window) for each in worlds)
    text += "flows:\n" + "".join(FLOW.format(number=each.number) for each in worlds)
    file = folder / "map.yaml"
    file.write_text(text)
    return file


@dataclass(slots=True, kw_only=True)
class Score:
    """What was said of all worlds against what was true."""

    seen: int = 0
    followed: int = 0
    intervals: int = 0
    intervals_true: int = 0
    outlived: int = 0
    found: int = 0
    false_breaches: int = 0
    false_met: int = 0
    false_divergences: int = 0
    opened: int = 0
    changes: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    widths_s: list[float] = field(default_factory=list)

    def add(self, world: World, ledger: Ledger, began: float) -> None:
        """Hold one world's changes and divergences to its truth."""
        rows, _ = ledger.exports.snapshot({"changes": 0, "divergences": 0, "probe_runs": 0}, files_since=0)
        flow = f"flow_{world.number}"
        changes, divergences, runs = (
            [
                each
                for row in rows[source]
                if (each := dict(zip(_names(ledger, source), row, strict=True)))["flow"] == flow
            ]
            for source in ("changes", "divergences", "probe_runs")
        )
        good = [
            (each["started_at"] / 1e6, each["finished_at"] / 1e6)
            for each in sorted(runs, key=lambda each: each["started_at"])
            if not each["system"] and each["in_turn"]
        ]
        by_key: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for change in changes:
            by_key[int(change["key"])].append(change)
            self.changes += 1
            self.verdicts[change["verdict"]] += 1
        for key, versions in world.versions.items():
            matched = {id(change): _version_of(change, versions) for change in by_key[key]}
            for change in by_key[key]:
                at = matched[id(change)]
                if at is None:
                    say(f"world {world.number}: no version of the owner is {change}")
                    self.false_breaches += change["verdict"].startswith("breach")
                    continue
                self._hold(world, change, versions, at)
            told = set(matched.values())
            self._follow(versions, told, good)
        self._outage(world, by_key, divergences, began)
        for each in divergences:
            if each["opened_at"] is not None:
                self.opened += 1
                if not _was_late(world, each):
                    self.false_divergences += 1
                    say(f"world {world.number}: false divergence {each}")

    def _hold(self, world: World, change: dict[str, Any], versions: list[Version], at: int) -> None:
        window_s = world.timetable.window_s
        lags = _lags(versions, at)
        delivered = _delivered_lag(versions, at)
        if change["verdict"].startswith("breach") and delivered is not None and delivered[1] <= window_s:
            self.false_breaches += 1
            say(f"world {world.number}: false breach, truly {delivered}: {change}")
        if change["verdict"] == "met" and lags and min(low for low, _ in lags) > window_s:
            self.false_met += 1
            say(f"world {world.number}: false met, truly {lags}: {change}; {versions[max(0, at - 6) : at + 6]}")
        if change["settled_at"] is None or change["lag_upper_s"] is None or not lags:
            return
        lower, upper = change["lag_lower_s"] - CLOCK_S, change["lag_upper_s"] + CLOCK_S
        held = any(low <= upper and lower <= high for low, high in lags)
        self.intervals += 1
        self.intervals_true += held
        self.widths_s.append(upper - lower)
        if not held:
            say(f"world {world.number}: outside, truly {lags}: {change}")

    def _follow(self, versions: list[Version], told: set[int | None], runs: list[tuple[float, float]]) -> None:
        """Count the changes that a whole audit ran beside, and those of them that were followed."""
        starts = [begin for begin, _ in runs]
        for at, version in enumerate(versions):
            if at == 0 or version.touched or version.came_back or version.held == versions[at - 1].held:
                continue
            run_on = at + 1
            while run_on < len(versions) and versions[run_on].held == version.held:
                run_on += 1
            gone = versions[run_on].committed[0] if run_on < len(versions) else float("inf")
            first = bisect_left(starts, version.committed[1])
            beside = first < len(runs) and runs[first][1] < gone
            known = bool(runs) and runs[0][1] < version.committed[0]
            if beside and known:
                self.seen += 1
                was = bool(told & set(range(at, run_on)))
                self.followed += was
                if not was and os.environ.get("BUSY_VERBOSE"):
                    say(f"not followed: {version} gone {gone} run {runs[first]} before {runs[max(0, first - 1)]}")

    def _outage(
        self, world: World, by_key: dict[int, list[dict[str, Any]]], divergences: list[dict[str, Any]], began: float
    ) -> None:
        """Records that were behind for longer than the window while the pipeline stood still, and those found."""
        begin, end = (began + each for each in world.timetable.stopped_s)
        enough_s = world.timetable.window_s + 4
        for key, versions in world.versions.items():
            behind = [
                each.committed[1]
                for at, each in enumerate(versions)
                if begin <= each.committed[0] < end and each.held != versions[at - 1].held
            ]
            if not behind or end - min(behind) < enough_s:
                continue
            self.outlived += 1
            breached = any(
                each["verdict"].startswith("breach")
                and each["committed_to_at"] / 1e6 < end
                and (each["differed_at"] or 0) / 1e6 > begin
                for each in by_key[key]
            )
            open_then = any(
                int(each["key"]) == key
                and each["opened_at"] is not None
                and begin <= each["opened_at"] / 1e6 <= end + 10
                for each in divergences
            )
            self.found += breached or open_then
            if not (breached or open_then):
                say(f"world {world.number}: {key} was behind for {end - min(behind):.1f} s and not found")


def _names(ledger: Ledger, source: str) -> list[str]:
    return [name for name, _ in ledger.exports.columns(source)]


def _version_of(change: dict[str, Any], versions: list[Version]) -> int | None:
    """Which version of the owner a change is."""
    if change["operation"] != "delete":
        return next((at for at, each in enumerate(versions) if each.stamp_us == change["stamped_at"]), None)
    begin, end = change["committed_from_at"] / 1e6 - CLOCK_S, change["committed_to_at"] / 1e6 + CLOCK_S
    fits = [
        at
        for at, each in enumerate(versions)
        if each.held is None and begin <= each.committed[1] and each.committed[0] <= end
    ]
    return fits[-1] if fits else None


def _run_start(versions: list[Version], at: int) -> int:
    """The first of the versions up to this one that hold the same."""
    while at > 0 and versions[at - 1].held == versions[at].held:
        at -= 1
    return at


def _delivered_lag(versions: list[Version], at: int) -> tuple[float, float] | None:
    """How long after its commit this version or a later one was delivered, at least and at most."""
    committed = versions[at].committed
    for each in versions[_run_start(versions, at) :]:
        if each.delivered is not None and each.delivered[1] >= committed[0]:
            return max(0.0, each.delivered[0] - committed[1]), max(0.0, each.delivered[1] - committed[0])
    return None


def _lags(versions: list[Version], at: int) -> list[tuple[float, float]]:
    """Every lag that is true of it: until it was delivered, or until the target showed what it or a later holds."""
    committed = versions[at].committed
    found = [lag] if (lag := _delivered_lag(versions, at)) is not None else []
    shown = [(each.delivered, each.held) for each in versions if each.delivered is not None]
    shown.sort(key=lambda pair: pair[0])
    for delivered, held in shown:
        later = {each.held for each in versions[at:] if each.committed[0] <= delivered[1]}
        if delivered[1] >= committed[0] and held in later:
            found.append((max(0.0, delivered[0] - committed[1]), max(0.0, delivered[1] - committed[0])))
    for each in versions[at:]:
        if [held for delivered, held in shown if delivered[0] <= each.committed[1]][-1] == each.held:
            begin, end = each.committed
            found.append((max(0.0, begin - committed[1]), max(0.0, end - committed[0])))
    return found


def _was_late(world: World, divergence: dict[str, Any]) -> bool:
    """Whether the record of an open divergence really was behind for longer than its window before it was opened."""
    versions = world.versions[int(divergence["key"])]
    begin, end = divergence["first_seen_at"] / 1e6, divergence["opened_at"] / 1e6
    for at, version in enumerate(versions[1:], start=1):
        delivered = version.delivered[1] if version.delivered else float("inf")
        late = delivered - version.committed[0] > world.timetable.window_s
        if late and version.committed[0] <= end and delivered >= begin and version.held != versions[at - 1].held:
            return True
    return False


def _batch(numbers: range, timetable: Timetable, seed: int, score: Score) -> None:
    """Run some worlds side by side, audited by one `auditor run`."""
    worlds = [
        World(number=number, timetable=timetable, chance=random.Random(seed * 1_000 + number)) for number in numbers
    ]
    for world in worlds[1::2]:  # the other half of the worlds cannot be reached first
        first, second = timetable.stopped_s, timetable.dark_s
        shifted = second[0] - first[0]
        swapped = (first[0], first[0] + second[1] - second[0]), (first[0] + shifted, second[1])
        world.timetable = replace(timetable, dark_s=swapped[0], stopped_s=swapped[1])
    with servers.postgresql() as postgresql, servers.mariadb() as mariadb, tempfile.TemporaryDirectory() as place:
        with psycopg.connect(f"{postgresql}/postgres", autocommit=True) as admin:
            admin.execute("CREATE DATABASE busy")
        with flights.target(f"{mariadb}/mysql") as admin_target:
            admin_target.cursor().execute("CREATE DATABASE busy CHARACTER SET utf8mb4")
        owner_url, target_url = f"{postgresql}/busy", f"{mariadb}/busy"
        _fill(worlds, owner_url, target_url)
        relays = [Relay(sa.make_url(target_url).port or 3306) for _ in worlds]
        ledger = Workspace.at(Path(place) / "var").ledger()
        file = _write_map(Path(place), worlds, target_url, relays)
        traffic = Traffic(worlds, owner_url, target_url, relays)
        traffic.start()
        wait_until(lambda: traffic.now_s >= timetable.seen_s, 60)
        daemon = subprocess.Popen(
            [*(sys.executable, "-m", "auditor", "run", "--map", str(file)), *("--data", str(Path(place) / "var"))],
            env={**os.environ, "OWNER_URL": owner_url},
            stdout=subprocess.DEVNULL,
            stderr=None if os.environ.get("BUSY_VERBOSE") else subprocess.DEVNULL,
        )
        try:
            traffic.join()
            settle_s = 12 if timetable is QUICK else 120
            wait_until(
                lambda: not any(ledger.findings.pending_count(f"flow_{each.number}") for each in worlds), settle_s
            )
        finally:
            daemon.terminate()
            daemon.wait(60)
            for relay in relays:
                relay.close()
        for world in worlds:
            score.add(world, ledger, traffic.began)
        ledger.close()


def main() -> int:
    """Run the benchmark."""
    asked = arguments(__doc__)
    score = Score()
    worlds, at_once, timetable = (1, 1, QUICK) if asked.quick else (WORLDS, AT_ONCE, LONG)
    for begin in range(0, worlds, at_once):
        say(f"worlds {begin + 1} to {begin + at_once} of {worlds}")
        _batch(range(begin + 1, begin + at_once + 1), timetable, asked.seed, score)
    quick = {"quick": asked.quick, "worlds": worlds}
    good = emit(
        "busy", "followed", score.followed / max(1, score.seen), "ratio", goal=">= 0.95", n=score.seen,
        changes=score.changes, verdicts=dict(score.verdicts), **quick,
    )  # fmt: skip
    good &= emit(
        "busy", "lag_interval_contains_truth", score.intervals_true / max(1, score.intervals), "ratio",
        goal=">= 0.999", n=score.intervals, width_p50_s=round(percentile(score.widths_s or [0.0], 0.5), 3), **quick,
    )  # fmt: skip
    good &= emit(
        "busy", "outages_found", score.found / max(1, score.outlived), "ratio", goal=">= 1.0", n=score.outlived,
        **quick,
    )  # fmt: skip
    good &= emit("busy", "false_breaches", score.false_breaches, "changes", goal="<= 0", n=score.changes, **quick)
    good &= emit("busy", "false_met", score.false_met, "changes", goal="<= 0", n=score.changes, **quick)
    good &= emit(
        "busy", "false_divergences", score.false_divergences, "records", goal="<= 0", n=score.opened, **quick
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
