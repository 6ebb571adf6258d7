"""Vital signs of the daemon's process: whether it lives, whether it audits, and what keeps it from that."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from auditor.history.status import SLOW_FAILURE_S, STALE_INTERVALS
from auditor.map.flow import Flow
from auditor.map.integration_map import IntegrationMap
from probes.durations import measured

PULSE_EVERY_S = 1.0
"""The timetable runs a job that does nothing but this often: if it stops, no audit runs either."""

NO_PULSE_S = 30.0
"""A timetable without a pulse for this long is stuck, and only a restart helps."""

STARTING = "the auditor is starting"


CALLS = 4
"""Calls of each system that an audit may make one after the other, each until its timeout."""


def silent_after_s(flow: Flow) -> float:
    """How long a flow may go without a recorded audit; an audit whose systems hang takes its time to fail."""
    hangs_s = CALLS * (flow.source.budget.timeout_s + flow.target.budget.timeout_s)
    return max(STALE_INTERVALS * flow.every_s, SLOW_FAILURE_S, hangs_s)


def silent_limits(integration_map: IntegrationMap) -> dict[str, float]:
    """By flow of a map, how long it may go without a recorded audit."""
    return {name: silent_after_s(integration_map.flow(name)) for name in integration_map.flows}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessHealth:
    """The state of the process.

    Attributes:
        dead: why only a restart helps; empty if it lives.
        unready: why it does not audit now; empty if it does.
        silent: flows whose audits are overdue although nothing has failed, in words.
        hanging: jobs that do not end, in words.
        undelivered: senders that do not deliver, or whose buttons do nothing, in words.
        drill: where the last drill ended; empty if it arrived.
        warnings: failures of systems, and a newer map that was refused; the auditor itself works.
    """

    dead: tuple[str, ...] = ()
    unready: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    hanging: tuple[str, ...] = ()
    undelivered: tuple[str, ...] = ()
    drill: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def live(self) -> bool:
        """Whether the process works at all."""
        return not self.dead

    @property
    def ready(self) -> bool:
        """Whether it holds the lease and can record what it audits."""
        return self.live and not self.unready

    @property
    def well(self) -> bool:
        """Whether it does its work: every flow is being audited, and its messages arrive."""
        return self.ready and not (self.silent or self.hanging or self.undelivered or self.drill)

    def as_document(self) -> dict[str, Any]:
        """For programs: one check per subject, each with its reasons."""
        checks = {
            "live": self.dead,
            "ready": (*self.dead, *self.unready),
            "flows": self.silent,
            "jobs": self.hanging,
            "alerts": (*self.undelivered, *self.drill),
        }
        return {
            "status": "fail" if not self.well else "warn" if self.warnings else "pass",
            "checks": {
                name: {"status": "fail" if reasons else "pass", "reasons": list(reasons)}
                for name, reasons in checks.items()
            },
            "warnings": list(self.warnings),
        }


@dataclass(slots=True)
class _Signs:
    """The signs of one tenure."""

    begun_s: float
    pulse_s: float
    ledger_fails: Callable[[], bool]
    hanging: Callable[[], Sequence[str]]
    recorded_s: dict[str, float] = field(default_factory=dict)
    added_s: dict[str, float] = field(default_factory=dict)
    failing: dict[str, str] = field(default_factory=dict)
    undelivered: tuple[str, ...] = ()


class Vitals:
    """Collects the vital signs; safe to share between threads.

    Args:
        silent_after_s: by flow, how long it may go without a recorded audit.
        now_s: a monotonic clock.
    """

    def __init__(self, silent_after_s: Mapping[str, float], *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._silent_after_s = dict(silent_after_s)
        self._now_s = now_s
        self._lock = threading.Lock()
        self._signs: _Signs | None = None
        self._waits_for = STARTING
        self._drill = ""
        self._refused = ""

    def waits(self, why: str) -> None:
        """Note that the process does not audit, and why."""
        with self._lock:
            self._signs, self._waits_for = None, why

    def begins(self, ledger_fails: Callable[[], bool], hanging: Callable[[], Sequence[str]] = tuple) -> None:
        """Note that the process holds the lease and starts to audit.

        Args:
            ledger_fails: whether the ledger cannot be written now.
            hanging: the jobs that do not end, in words.
        """
        now_s = self._now_s()
        with self._lock:
            self._signs = _Signs(begun_s=now_s, pulse_s=now_s, ledger_fails=ledger_fails, hanging=hanging)

    def follows(
        self,
        silent_after_s: Mapping[str, float],
        ledger_fails: Callable[[], bool],
        hanging: Callable[[], Sequence[str]],
    ) -> None:
        """Note that the process goes on with another map; for flows of both, the signs so far stay.

        Args:
            silent_after_s: as at first.
            ledger_fails, hanging: see `begins`.
        """
        now_s = self._now_s()
        with self._lock:
            added = silent_after_s.keys() - self._silent_after_s.keys()
            self._silent_after_s = dict(silent_after_s)
            if self._signs is None:
                return
            signs = self._signs
            signs.ledger_fails, signs.hanging, signs.pulse_s = ledger_fails, hanging, now_s
            kept = {flow: each for flow, each in signs.added_s.items() if flow in silent_after_s}
            signs.added_s = kept | dict.fromkeys(added, now_s)
            signs.recorded_s = {flow: each for flow, each in signs.recorded_s.items() if flow in silent_after_s}
            signs.failing = {flow: each for flow, each in signs.failing.items() if flow in silent_after_s}

    def refuses(self, why: str) -> None:
        """Note that a newer map was refused, in words; "" if the one in force is the newest."""
        self._refused = why

    def pulse(self) -> None:
        """Note that the timetable runs jobs."""
        with self._lock:
            if self._signs is not None:
                self._signs.pulse_s = self._now_s()

    def recorded(self, flow: str, failure: str) -> None:
        """Note that the ledger has recorded an audit of a flow.

        Args:
            failure: why it could not read a system; "" if it was complete.
        """
        with self._lock:
            if self._signs is not None:
                self._signs.recorded_s[flow] = self._now_s()
                self._signs.failing[flow] = failure

    def delivers(self, undelivered: Sequence[str]) -> None:
        """Note the senders that do not deliver, or whose buttons do nothing, each with what is wrong."""
        with self._lock:
            if self._signs is not None:
                self._signs.undelivered = tuple(undelivered)

    def drilled(self, error: str) -> None:
        """Note how the last drill ended; "" if its message was accepted."""
        self._drill = error

    @property
    def leads(self) -> bool:
        """Whether the process holds the lease."""
        return self._signs is not None

    def all_recorded_since(self, instant_s: float) -> bool:
        """Whether something was recorded since then, and no flow is overdue."""
        with self._lock:
            signs = self._signs
            fresh = signs is not None and any(each > instant_s for each in signs.recorded_s.values())
        return fresh and self.health().well

    def now_s(self) -> float:
        """The present on the clock of the signs."""
        return self._now_s()

    def health(self) -> ProcessHealth:
        """The state of the process now."""
        with self._lock:
            signs, now_s = self._signs, self._now_s()
            if signs is None:
                return ProcessHealth(unready=(self._waits_for,))
            known_s = {**signs.added_s, **signs.recorded_s}
            failing, fails = dict(signs.failing), signs.ledger_fails
            hanging, undelivered, limits_s = signs.hanging, signs.undelivered, dict(self._silent_after_s)
        still_s = now_s - signs.pulse_s
        silent = []
        for flow, limit_s in limits_s.items():
            since_s = now_s - known_s.get(flow, signs.begun_s)
            if since_s > limit_s:
                silent.append(f"{flow}: no audit recorded for {measured(since_s)}")
        stuck = f"no job has run for {measured(still_s)}"
        return ProcessHealth(
            dead=(stuck,) if still_s > NO_PULSE_S else (),
            unready=("the ledger cannot be written",) if fails() else (),
            silent=tuple(silent),
            hanging=tuple(hanging()),
            undelivered=undelivered,
            drill=(f"the last drill did not arrive: {self._drill}",) if self._drill else (),
            warnings=(
                *((self._refused,) if self._refused else ()),
                *(f"{flow}: {why}" for flow, why in failing.items() if why),
            ),
        )


def vitals_of(integration_map: IntegrationMap) -> Vitals:
    """The vital signs of a daemon that has not started yet."""
    return Vitals(silent_limits(integration_map))
