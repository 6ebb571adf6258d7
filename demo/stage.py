"""The stage: the company at work, the scenario that is being played on it, and the channel that hears of it."""

from __future__ import annotations

import math
import random
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from demo.bus import Bus
from demo.business import Business
from demo.company import Company
from demo.conditions import Conditions
from demo.scenarios import OPENING, SCENARIOS, Play, Scenario, Step
from demo.stores import StoreError, stamp

MESSAGES_KEPT = 200
OPENS_AFTER_S = 15.0
"""How long after the start the first scenario begins, which plays by itself."""

HELD_S = math.inf
"""How long a scenario stays broken for whoever wants to mend it himself."""


@dataclass(slots=True)
class _Playing:
    """The scenario that plays.

    Attributes:
        begun_at: as the company's systems write it.
        due_s: when the script goes on, by the monotonic clock.
    """

    scenario: Scenario
    prevented: bool
    held: bool
    begun_at: str
    script: Iterator[Step]
    due_s: float = 0.0
    mending: bool = False


class Stage:
    """Runs the company; other threads ask it to play a scenario.

    Attributes:
        conditions: what is wrong at the moment.
    """

    def __init__(self, company: Company, chance: random.Random) -> None:
        self.conditions = Conditions()
        self._business = Business(company, self.conditions, chance)
        self._bus = Bus(company, self.conditions)
        self._lock = threading.Lock()
        self._playing: _Playing | None = None
        self._last: dict[str, Any] | None = None
        self._messages: deque[dict[str, Any]] = deque(maxlen=MESSAGES_KEPT)

    # -- what other threads ask

    def scenarios(self) -> dict[str, Any]:
        """All scenarios, the one that plays, and the one that played last."""
        with self._lock:
            playing, last = self._playing, self._last
        return {
            "playing": _told(playing) if playing is not None else None,
            "last": last,
            "scenarios": [each.described() for each in SCENARIOS.values()],
        }

    def chat(self) -> dict[str, Any]:
        """The messages that came into the channel, the latest last."""
        return {"messages": list(self._messages)}

    def told(self, what: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Do what another thread asks: play a scenario, mend what it broke, or put a message into the channel.

        Raises:
            ValueError: there is no such scenario, another one plays, or nothing of the kind can be asked.
        """
        if what == "chat":
            self._messages.append({"received_at": stamp(), "message": dict(body)})
            return {"ok": True}
        if what == "mend":
            self.mend()
        elif what == "play":
            self.play(str(body["name"]), prevented=bool(body.get("prevented")), held=bool(body.get("held")))
        else:
            raise ValueError(f"no such request: {what}")
        return self.scenarios()

    def play(self, name: str, *, prevented: bool = False, held: bool = False) -> None:
        """Begin a scenario.

        Args:
            prevented: with the pattern that prevents it.
            held: what it breaks stays broken until it is mended.

        Raises:
            ValueError: there is none of this name, or another one plays.
        """
        if name not in SCENARIOS:
            raise ValueError(f"no such scenario: {name}; known: {', '.join(SCENARIOS)}")
        with self._lock:
            if self._playing is not None:
                raise ValueError(
                    f"{self._playing.scenario.name} is being played; mend it first, with `auditor demo mend`"
                )
            scenario = SCENARIOS[name]
            play = Play(business=self._business, bus=self._bus, conditions=self.conditions, prevented=prevented)
            self._playing = _Playing(
                scenario=scenario, prevented=prevented, held=held, begun_at=stamp(), script=scenario.script(play)
            )
        sys.stderr.write(f"{stamp()} {name}{', prevented' if prevented else ''}\n")

    def mend(self) -> None:
        """Let the scenario that plays go on to its end at once."""
        with self._lock:
            if self._playing is not None:
                self._playing.due_s, self._playing.mending = 0.0, True

    # -- the company at work

    def live(self, stop: threading.Event, *, per_s: float, opens: bool = True) -> None:
        """Run the business and the bus until told to stop; jobs wait for a server that cannot be used.

        Args:
            per_s: business events a second.
            opens: the first scenario plays by itself, unless somebody has played one before.
        """
        opens_s = time.monotonic() + OPENS_AFTER_S
        failing = ""
        while not stop.wait(1 / per_s):
            try:
                self.beat()
            except StoreError as error:
                if not failing:
                    sys.stderr.write(f"{stamp()} {error}\n")
                failing = str(error)
            else:
                if failing:
                    sys.stderr.write(f"{stamp()} all servers can be used again\n")
                failing = ""
            if opens and (self._playing is not None or self._last is not None):
                opens = False
            if opens and time.monotonic() > opens_s:
                opens = False
                with suppress(ValueError):  # somebody plays at this very moment
                    self.play(OPENING)

    def beat(self) -> None:
        """One event of the business, one round of the bus, and the next step of the scenario."""
        self._business.act()
        self._step()
        self._bus.work()

    def _step(self) -> None:
        playing = self._playing
        if playing is None or time.monotonic() < playing.due_s:
            return
        try:
            wait_s = next(playing.script)
        except StopIteration:
            with self._lock:
                self._playing, self._last = None, {**_told(playing), "ended_at": stamp()}
            return
        with self._lock:
            if wait_s is None:
                awaited = playing.held or (playing.scenario.decided_for and not playing.prevented)
                wait_s = HELD_S if awaited else playing.scenario.lasts_s
            playing.due_s = 0.0 if playing.mending else time.monotonic() + wait_s


def _told(playing: _Playing) -> dict[str, Any]:
    return {
        "name": playing.scenario.name,
        "prevented": playing.prevented,
        "held": playing.held,
        "begun_at": playing.begun_at,
    }
