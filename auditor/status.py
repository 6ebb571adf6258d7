"""The status: what the ledger says of every flow and system, without reading any of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from auditor.integration_map import IntegrationMap
from auditor.ledger import Ledger
from auditor.words import clock_text
from checks.clocks import ClockBounds

STALE_INTERVALS = 2
"""No audit for this many intervals is a state of its own: silence is never good news."""

STALE_FLOOR_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowStatus:
    """How a flow stands.

    Attributes:
        stale: no audit for two intervals, or none ever.
    """

    flow: str
    audited_at: datetime | None
    age_s: float | None
    stale: bool
    open_by_cause: Mapping[str, int]
    undecided: int
    sweeps: int
    verified_through_at: datetime | None

    @property
    def state(self) -> str:
        """One word: no data, drift or consistent."""
        if self.stale:
            return "no data"
        return "drift" if self.open_by_cause else "consistent"

    def as_row(self) -> dict[str, Any]:
        """The status as one row of a table."""
        drift = ", ".join(f"{count} {cause}" for cause, count in sorted(self.open_by_cause.items()))
        return {
            "flow": self.flow,
            "state": self.state,
            "open": drift,
            "undecided": self.undecided,
            "audited_at": self.audited_at,
            "verified_through": self.verified_through_at,
            "sweeps": self.sweeps,
        }


def flow_status(integration_map: IntegrationMap, ledger: Ledger, now: datetime) -> list[FlowStatus]:
    """The status of every flow of the map."""
    states = {row["flow"]: row for row in ledger.table("flow_state")}
    counts = ledger.live_counts()
    found = []
    for name in integration_map.flows:
        state = states.get(name, {})
        audited_at = state.get("audited_at")
        age_s = (now - audited_at).total_seconds() if audited_at else None
        limit_s = max(STALE_INTERVALS * integration_map.flow(name).every_s, STALE_FLOOR_S)
        found.append(
            FlowStatus(
                flow=name,
                audited_at=audited_at,
                age_s=age_s,
                stale=age_s is None or age_s > limit_s,
                open_by_cause=counts.get(name, {}),
                undecided=ledger.undecided(name),
                sweeps=state.get("sweeps", 0),
                verified_through_at=state.get("verified_through_at"),
            )
        )
    return found


def system_status(integration_map: IntegrationMap, ledger: Ledger, now: datetime) -> list[dict[str, Any]]:
    """How every system of the map has been answering."""
    rows = {row["name"]: row for row in ledger.table("systems")}
    in_flows = {name for flow in integration_map.flows.values() for name in (flow.from_, flow.to)}
    found = []
    for name in integration_map.systems:
        row = rows.get(name)
        if row is None:
            found.append(
                {
                    "system": name,
                    "state": "never read" if name in in_flows else "queues only",
                    "latency_ms": None,
                    "clock": "unknown",
                    "clock_read_at": None,
                    "clock_set_at": None,
                    "message": "",
                }
            )
            continue
        failing_s = (now - row["failing_since_at"]).total_seconds() if row["failing_since_at"] else 0.0
        clock = "unknown"
        if row["clock_at"] is not None:
            bounds = ClockBounds(
                lower_s=row["clock_lower_s"], upper_s=row["clock_upper_s"], measured_at=row["clock_at"]
            )
            clock = clock_text(bounds.at(now))
        found.append(
            {
                "system": name,
                "state": f"{row['reason']} for {failing_s:.0f} s" if row["failures"] else "answers",
                "latency_ms": None if row["latency_s"] is None else round(row["latency_s"] * 1000, 1),
                "clock": clock,
                "clock_read_at": row["clock_at"],
                "clock_set_at": row["clock_stepped_at"],
                "message": row["message"] or "",
            }
        )
    return found
