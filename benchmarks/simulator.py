"""A deterministic simulator of one record in two systems, watched by the product's own enrolment and judgement.

The truth is known: when each version was committed, and what the target held at every instant. Clocks are
wrong within their declared bounds, readings take time and show some instant within it, deliveries are delayed,
retried, doubled, dropped and overtaken, and the owner rewrites the record faster than it is read. In restless worlds
the record is first seen in full traffic, the target cannot be read at times, versions come and go meanwhile and come
back later, and writes change nothing that is compared.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from checks.causes import Baseline
from checks.clocks import ClockBounds
from checks.comparison import Comparison, Copy, Place
from checks.convergence import Change, Verdict
from checks.differences import Difference, Shape
from checks.enrolment import Sighting, followed
from checks.judgement import glimpse, judge
from checks.record_history import NO_HISTORY, DivergenceState, History
from checks.records import FIELD_DIGEST_BYTES
from checks.terms import TIMER_S, Look, Terms
from checks.values import EPOCH, MICROSECOND

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
DIFFERS = (Difference(field="value", shape=Shape.VALUE, owner_value="", target_value=""),)
ABSENT = -1
"""What a version holds that is none: the record was deleted."""

CERTAIN = {Verdict.MET, Verdict.BREACH, Verdict.BREACH_THEN_CONVERGED}


def at(seconds: float) -> datetime:
    """An instant of the simulation."""
    return BEGIN + timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What really happens to one record.

    Attributes:
        committed_s: when each version was committed; version 0 is there from the beginning.
        stamped_s: the owner's stamp of each, in true time: a little before the commit.
        applied: what the target holds from when on: seconds and version, in order.
        offset_s: the owner's clock minus the true one.
        clock: what is declared of it.
        contents: what each version holds: another version may hold the same.
        dark_s: spells during which the target cannot be read.
        first_sight: the record is first read in the middle of its traffic, without a baseline.
        marked: the owner's copies carry a stamp.
    """

    window_s: float
    every_s: float
    committed_s: tuple[float, ...]
    stamped_s: tuple[float, ...]
    applied: tuple[tuple[float, int], ...]
    offset_s: float
    clock: ClockBounds
    slack_s: float
    read_s: float
    contents: tuple[int, ...]
    dark_s: tuple[tuple[float, float], ...] = ()
    first_sight: bool = False
    marked: bool = True

    def dark_until(self, seconds: float) -> float | None:
        """When the target can be read again, None where it can be."""
        return next((end for begin, end in self.dark_s if begin <= seconds <= end), None)

    def reflects(self, shown: int, version: int, seconds: float) -> bool:
        """Whether the target's version stands for this one: it is this or a later one, or holds what one holds."""
        held = self.contents[version : self.owner_at(seconds) + 1]
        return shown >= version or self.contents[shown] in held

    def reflects_at(self, seconds: float, version: int) -> bool:
        """Whether the target stands for this version then."""
        return self.reflects(self.target_at(seconds), version, seconds)

    def owner_at(self, seconds: float) -> int:
        """The owner's version."""
        return bisect_right(self.committed_s, seconds) - 1

    def target_at(self, seconds: float) -> int:
        """The target's version."""
        return self.applied[bisect_right(self.applied, (seconds, 1 << 60)) - 1][1]

    def arrived_s(self, version: int) -> float | None:
        """When the target first showed this version or a later one, or what one of them holds."""
        committed_s = self.committed_s[version]
        moments = sorted({committed_s, *(when for when, _ in self.applied), *self.committed_s})
        return next(
            (when for when in moments if when >= committed_s and self.reflects_at(when, version)),
            None,
        )


def make_world(chance: random.Random, *, orderly: bool = False) -> World:
    """Draw a world.

    Args:
        orderly: nothing is overtaken or doubled, so that what has arrived stays.
    """
    window_s = chance.choices([1.0, 5.0, 30.0, 300.0, 3600.0, 7 * 86_400.0], [20, 20, 20, 19, 19, 2])[0]
    every_s = min(max(window_s / 3, 1.0), 300.0)
    half_s = chance.choice([0.0005, 0.02, 0.3, 2.0])
    offset_s = chance.uniform(-300, 300)
    within = chance.uniform(-half_s, half_s)
    clock = ClockBounds(lower_s=offset_s + within - half_s, upper_s=offset_s + within + half_s, measured_at=BEGIN)
    slack_s = 0.1
    committed, stamped = [-1e6], [-1e6]
    now = chance.uniform(0, every_s)
    for _ in range(chance.choice([1, 1, 2, 3, 6])):
        now += chance.uniform(0.005, 0.8) if chance.random() < 0.5 else chance.uniform(0, 2.5) * window_s
        committed.append(now)
        stamped.append(now - chance.uniform(0, slack_s))
    return World(
        window_s=window_s,
        every_s=every_s,
        committed_s=tuple(committed),
        stamped_s=tuple(stamped),
        applied=tuple(_deliveries(chance, committed, window_s, orderly=orderly)),
        offset_s=offset_s,
        clock=clock,
        slack_s=slack_s,
        read_s=chance.choice([0.002, 0.05, 0.4]),
        contents=tuple(range(len(committed))),
    )


def make_restless_world(chance: random.Random) -> World:
    """Draw a world whose record never rests, with spells in which the target cannot be read."""
    window_s = chance.choice([1.0, 5.0, 30.0, 300.0])
    every_s = min(max(window_s / 3, 1.0), 60.0)
    half_s = chance.choice([0.0005, 0.02, 0.3])
    offset_s = chance.uniform(-300, 300)
    within = chance.uniform(-half_s, half_s)
    clock = ClockBounds(lower_s=offset_s + within - half_s, upper_s=offset_s + within + half_s, measured_at=BEGIN)
    first_sight = chance.random() < 0.5
    begin_s = -4 * window_s if first_sight else chance.uniform(0, every_s)
    dark: list[tuple[float, float]] = []
    at_s = chance.uniform(0, 4 * window_s)
    for _ in range(chance.choice([0, 1, 1, 2])):
        # Longer than what the product takes for its own rhythm: within that a value that comes back is not told.
        long_s = chance.uniform(3.5 * every_s + 6, 20 * every_s + 6)
        dark.append((at_s, at_s + long_s))
        at_s += long_s + chance.uniform(2, 8) * window_s
    pace_s = chance.choice([0.1, 0.4, 1.0, 3.0]) * window_s
    slack_s = 0.1
    committed, stamped, contents = [-1e6], [-1e6], [0]
    end_s = max(at_s, 6 * window_s)
    now = begin_s
    while now < end_s and len(committed) < 60:
        now += chance.expovariate(1 / pace_s)
        committed.append(now)
        stamped.append(now - chance.uniform(0, slack_s))
        drawn = chance.random()
        hidden = any(begin + every_s < now < end for begin, end in dark)
        if drawn < 0.08 and contents[-1] != ABSENT:
            contents.append(ABSENT)
        elif drawn < 0.25 and contents[-1] != ABSENT:
            contents.append(contents[-1])  # something that is not compared was written
        elif drawn < 0.7 and hidden:
            contents.append(chance.choice([each for each in contents if each != ABSENT]))
        else:
            contents.append(len(committed))
    deliveries = _deliveries(chance, committed, window_s, orderly=True)
    if dark and chance.random() < 0.5:  # the pipeline stood still as well
        deliveries = sorted((_after(dark, when), version) for when, version in deliveries)
    return World(
        window_s=window_s,
        every_s=every_s,
        committed_s=tuple(committed),
        stamped_s=tuple(stamped),
        applied=tuple(deliveries),
        offset_s=offset_s,
        clock=clock,
        slack_s=slack_s,
        read_s=chance.choice([0.002, 0.05, 0.4]),
        contents=tuple(contents),
        dark_s=tuple(dark),
        first_sight=first_sight,
    )


def _after(dark: Sequence[tuple[float, float]], when: float) -> float:
    return next((end for begin, end in dark if begin <= when <= end), when)


def _deliveries(
    chance: random.Random, committed: list[float], window_s: float, *, orderly: bool
) -> list[tuple[float, int]]:
    typical_s = chance.choice([0.05, 0.3, 0.8, 1.6]) * window_s
    arrivals: list[tuple[float, int]] = []
    before = 0.0
    for version, when in enumerate(committed[1:], start=1):
        lag_s = typical_s * chance.lognormvariate(0, 0.6)
        while chance.random() < 0.15:  # tries that failed
            lag_s += typical_s * chance.uniform(0.5, 2)
        if chance.random() < 0.06:
            continue  # given up on
        arrives = max(before, when + lag_s) if orderly else when + lag_s
        before = arrives
        arrivals.append((arrives, version))
        if not orderly and chance.random() < 0.1:  # delivered once more
            arrivals.append((arrives + typical_s * chance.uniform(0.2, 3), version))
    arrivals.sort()
    guarded = orderly or chance.random() < 0.5  # half of the targets refuse an older version
    held = [(-1e6, 0)]
    for when, version in arrivals:
        if version != held[-1][1] and not (guarded and version < held[-1][1]):
            held.append((when, version))
    return held


@dataclass(slots=True, kw_only=True)
class Told:
    """What the watcher said of one version, and what was true.

    Attributes:
        breach_false: a breach was called although the target was not behind when it was looked at, or the
            window had not run out.
        flipped: a certain verdict became another one.
    """

    change: Change
    version: int
    breach_false: bool = False
    met_false: bool = False
    flipped: bool = False


@dataclass(slots=True, kw_only=True)
class Watch:
    """What became of a world's versions, by the identity of the change."""

    told: dict[int, Told] = field(default_factory=dict)
    opened: bool = False
    enrolled: int = 0
    probes: int = 0
    widened: int = 0
    negative: int = 0


def watch(world: World, chance: random.Random) -> Watch:
    """Let the product watch a world to its end."""
    seen = Watch()
    first = _copy(0)
    assert first is not None
    agreed = Baseline(
        owner=first.fingerprint,
        target=first.fingerprint,
        owner_digests=first.digests,
        target_digests=first.digests,
        agreed_at=at(-10),
    )
    history = NO_HISTORY if world.first_sight else History(baseline=agreed)
    polled_at: datetime | None = None
    busy = unjudged = False
    enrolled: dict[int, int] = {}
    enrolled_at: dict[int, datetime] = {}
    known_version = -1 if world.first_sight else 0
    tick_s = chance.uniform(0, world.every_s) - world.every_s
    due_s: float | None = None
    over_s = -1e9  # when the audit before was over: a flow is audited once at a time
    ends_s = (world.committed_s[-1], *(end for _, end in world.dark_s))
    end_s = max(ends_s) + 20 * max(world.window_s, 60)
    while True:
        next_tick_s = tick_s + world.every_s
        polls = due_s is None or next_tick_s <= due_s
        now_s = max(next_tick_s if polls else due_s or 0.0, over_s)
        if polls:
            # Polls that can find nothing and owe nothing are skipped: only the last of them counts.
            moves = [when for when in world.committed_s if when > now_s - world.every_s]
            if known_version == world.owner_at(now_s) and not busy and due_s is None:
                if not moves:
                    break
                skipped = int((moves[0] - now_s) // world.every_s)
                if skipped > 0:
                    now_s += skipped * world.every_s
                    last_s = now_s - world.every_s
                    while world.dark_until(last_s) is not None:
                        last_s -= world.every_s
                    polled_at = max(polled_at or at(last_s), at(last_s))
            tick_s = next_tick_s if now_s == over_s else now_s
        if now_s > end_s:
            break
        # the owner: listed if it changed, else read by key; the answer shows some instant of the reading
        owner_sent_s = now_s + chance.uniform(0, 0.01)
        owner_s = owner_sent_s + chance.uniform(0, world.read_s)
        owner_received_s = owner_s + chance.uniform(0, world.read_s)
        version = world.owner_at(owner_s)
        listed = polls and version > 0 and version != known_version
        target_sent_s = owner_received_s
        target_s = target_sent_s + chance.uniform(0, world.read_s)
        received_s = target_s + chance.uniform(0, world.read_s)
        again_s = received_s + chance.uniform(0, world.read_s)
        reads = listed or busy or known_version < 0 or (due_s is not None and due_s <= now_s)
        if reads and world.dark_until(target_s) is not None:  # the audit fails, and nothing of it counts
            over_s = now_s + world.every_s
            continue
        polled_before_at = polled_at
        if polls:
            polled_at = at(owner_sent_s)
        if not reads:
            continue
        over_s = again_s + chance.uniform(0, world.read_s)
        shown = world.target_at(target_s)
        seen.probes += 1
        was_unjudged, unjudged = unjudged, False
        owner, target = _copy(world.contents[version]), _copy(world.contents[shown])
        comparison = Comparison(key=1, owner=owner, target=target)
        if owner != target and owner is not None and target is not None:
            comparison = replace(comparison, differences=DIFFERS, places=(Place(0),))
        held = owner.fingerprint if owner is not None else b""
        sighting = Sighting(
            listed=listed and owner is not None,
            stamp_us=_stamp_us(world, version),
            clock=world.clock.at(at(now_s)) if now_s < 1000 else world.clock,
            slack_s=world.slack_s,
            asked_at=at(owner_sent_s),
            seen_at=at(owner_received_s),
            not_seen_at=polled_before_at if listed and not was_unjudged else None,
            blind=polled_before_at is not None
            and (at(owner_sent_s) - polled_before_at).total_seconds() > max(3 * world.every_s, 5.0),
        )
        now_version = world.owner_at(again_s)
        moving = owner != target and now_version != version
        later = None
        if moving and world.contents[now_version] != world.contents[version]:
            later = (
                replace(comparison, owner=_copy(world.contents[now_version])),
                replace(
                    sighting,
                    stamp_us=_stamp_us(world, now_version),
                    seen_at=at(over_s),
                    earlier=(held, at(owner_sent_s)),
                ),
            )
        busy = moving
        known_version = now_version if moving else version
        before = len(enrolled)
        history = followed(comparison, history, sighting, window_s=world.window_s, later=later)
        changes = []
        for change in history.changes:
            if change.change_id:
                if change.enrolled_at != enrolled_at[change.change_id]:  # it may have come back just now
                    enrolled[change.change_id] = seen.told[change.change_id].version = version
                    enrolled_at[change.change_id] = change.enrolled_at
                changes.append(change)
                continue
            enrolled[len(enrolled) + 1] = version if change.fingerprint == held else now_version
            enrolled_at[len(enrolled)] = change.enrolled_at
            changes.append(replace(change, change_id=len(enrolled)))
        seen.enrolled += len(enrolled) - before
        history = replace(history, changes=tuple(changes))
        look = Look(sent_at=at(target_sent_s), received_at=at(received_s))
        terms = Terms(
            window_s=world.window_s,
            every_s=world.every_s,
            guard_s=received_s - target_sent_s + world.clock.half_width_s + TIMER_S,
            confirm_s=min(max(world.every_s, 1.0), 5.0),
        )
        judgement = (glimpse if moving else judge)(comparison, history, look, terms)
        for moved in judgement.changes:
            _hold_to_truth(world, seen, enrolled[moved.change_id], moved, target_s, shown)
        pending = tuple(each for each in judgement.changes if each.settled_at is None)
        probe_at = [each for each in judgement.probe_at if each is not None]
        divergence = judgement.divergence if judgement.divergence is not None else history.divergence
        if divergence is not None:
            seen.opened |= divergence.state is DivergenceState.OPEN
            if divergence.state in {DivergenceState.CLOSED, DivergenceState.DISMISSED}:
                divergence = None
        if divergence is not None and divergence.next_check_at is not None and (pending or world.first_sight):
            probe_at.append(divergence.next_check_at)
        baseline = history.baseline
        if judgement.forget_baseline:
            baseline = None
        elif judgement.baseline is not None:
            baseline = replace(judgement.baseline, agreed_at=at(owner_sent_s))
        history = History(baseline=baseline, changes=pending, divergence=divergence)
        due_s = max((min(probe_at) - BEGIN).total_seconds(), received_s + 0.001) if probe_at else None
    return seen


def _stamp_us(world: World, version: int) -> int | None:
    if not version or not world.marked or world.contents[version] == ABSENT:
        return None
    return (at(world.stamped_s[version] + world.offset_s) - EPOCH) // MICROSECOND


def _print(version: int) -> bytes:
    return (version * 0x9E3779B97F4A7C15 % (1 << 64)).to_bytes(8, "big")


def _copy(version: int) -> Copy | None:
    if version == ABSENT:
        return None
    digest = _print(version)
    return Copy((version,), digest, None, digest[-FIELD_DIGEST_BYTES:])


def _hold_to_truth(world: World, seen: Watch, version: int, moved: Change, target_s: float, shown: int) -> None:
    before = seen.told.get(moved.change_id)
    told = seen.told[moved.change_id] = before or Told(change=moved, version=version)
    was, told.change = told.change.verdict, moved
    committed_s = world.committed_s[version]
    if before is not None:
        if was in CERTAIN and moved.verdict is not was:
            told.flipped |= not (was is Verdict.BREACH and moved.verdict is Verdict.BREACH_THEN_CONVERGED)
        written_again = moved.committed_to_at > before.change.committed_to_at
        seen.widened += not written_again and moved.lag_lower_s < before.change.lag_lower_s
    seen.negative += moved.lag_lower_s < 0 or (moved.lag_upper_s or 0) < 0
    if moved.verdict is Verdict.BREACH and (before is None or was is not Verdict.BREACH):
        too_soon = target_s <= committed_s + world.window_s
        told.breach_false = too_soon or shown >= _same_since(world, version)
    if moved.verdict is Verdict.MET:
        arrived_s = world.arrived_s(version)
        told.met_false = arrived_s is None or arrived_s > committed_s + world.window_s + 2e-6


def owes_a_breach(world: World, told: Told, seen: Watch) -> tuple[bool, bool]:
    """Whether the target was still behind when the deadline probe, guard included, had been answered.

    Returns:
        Whether a breach is owed, and whether it can be told: not where the target then showed a version that
        came and went at the owner between two readings, which may as well be a later one.
    """
    arrived_s = world.arrived_s(told.version)
    guard_s = 6 * world.read_s + world.clock.half_width_s + 2 * TIMER_S
    latest_s = (told.change.committed_to_at - BEGIN).total_seconds() + world.window_s + guard_s
    owed = arrived_s is None or arrived_s > latest_s
    held = {world.target_at(latest_s - guard_s), world.target_at(latest_s)}
    followed_versions = {0, *(each.version for each in seen.told.values())}
    return owed, held <= followed_versions


def _same_since(world: World, version: int) -> int:
    """The first of the versions up to this one that hold the same: what was written since is not compared."""
    while version > 1 and world.contents[version - 1] == world.contents[version]:
        version -= 1
    return version


def contains_truth(world: World, told: Told) -> bool | None:
    """Whether the interval of a settled change holds its true lag; None where there is no upper end.

    Where versions hold the same there are several truths: when the version itself was delivered, and whenever the
    target began to show what it holds.
    """
    upper_s, version = told.change.lag_upper_s, told.version
    committed_s = world.committed_s[version]
    same = _same_since(world, version)
    delivered_s = next((when for when, shown in world.applied if shown >= same), None)
    begins = [] if delivered_s is None else [delivered_s]
    begins += [when for when, _ in world.applied if when >= committed_s and world.reflects_at(when, version)]
    begins += [
        when
        for later, when in enumerate(world.committed_s)
        if later >= version and world.contents[later] == world.contents[world.target_at(when)]
    ]
    if upper_s is None or not begins:
        return None
    lags_s = [max(0.0, when - committed_s) for when in begins]
    return any(told.change.lag_lower_s - 2e-6 <= lag_s <= upper_s + 2e-6 for lag_s in lags_s)


def tally(worlds: int, seed: int, *, orderly: bool = False, restless: bool = False) -> Counter[str]:
    """Watch many worlds and count what was said against what was true.

    Args:
        orderly, restless: which kind of world; a restless one is orderly, too.
    """
    chance = random.Random(seed)
    counted: Counter[str] = Counter()
    for _ in range(worlds):
        world = make_restless_world(chance) if restless else make_world(chance, orderly=orderly)
        seen = watch(world, chance)
        counted["probes"] += seen.probes
        counted["widened"] += seen.widened
        counted["negative"] += seen.negative
        for told in seen.told.values():
            counted["changes"] += 1
            counted[told.change.verdict] += 1
            counted["false_breach"] += told.breach_false
            counted["false_met"] += told.met_false
            counted["flipped"] += told.flipped
            if restless:
                held = contains_truth(world, told)
                counted["intervals"] += held is not None
                counted["intervals_true"] += held is True
            elif orderly:
                called = told.change.verdict in {Verdict.BREACH, Verdict.BREACH_THEN_CONVERGED}
                owed, tellable = owes_a_breach(world, told, seen)
                if owed:
                    counted["owed"] += 1
                    counted["owed_called"] += called
                    counted["tellable"] += tellable
                    counted["tellable_called"] += called and tellable
                held = contains_truth(world, told)
                if held is not None:
                    counted["intervals"] += 1
                    counted["intervals_true"] += held
    return counted
