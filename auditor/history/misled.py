"""Who is affected right now: the consumers of copies that differ."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from auditor.history.lens import Lens
from auditor.map.consumers import ROLE_WEIGHT, impact_of
from auditor.map.integration_map import IntegrationMap


@dataclass(frozen=True, slots=True, kw_only=True)
class Misled:
    """A consumer that is reading wrong values now.

    Attributes:
        records: open divergences in what it reads.
        uncertain: those of which it is still undecided which copy is right.
        flows: in which they differ.
        oldest_at: when the first of them was seen.
    """

    consumer: str
    role: str
    reads: str
    records: int
    uncertain: int
    causes: tuple[str, ...]
    flows: tuple[str, ...]
    oldest_at: datetime

    @property
    def weight(self) -> tuple[int, int]:
        """Sort key: the role, then the number of records."""
        return ROLE_WEIGHT[self.role], self.records


def misled(integration_map: IntegrationMap, lens: Lens) -> list[Misled]:
    """Consumers that are reading wrong values, gravest first; empty if the map names no consumers."""
    by_consumer: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in lens.query(OPEN).to_pylist():
        if row["flow"] not in integration_map.flows:
            continue
        impact = impact_of(integration_map, row["flow"], row["cause"], row["winner"])
        for consumer in impact.misled:
            entry = by_consumer.setdefault(
                (consumer.name, consumer.role, consumer.reads),
                {"records": 0, "uncertain": 0, "causes": {}, "flows": {}, "oldest_at": row["oldest_at"]},
            )
            entry["records"] += row["records"]
            entry["uncertain"] += 0 if impact.certain else row["records"]
            entry["causes"][row["cause"]] = None
            entry["flows"][row["flow"]] = None
            entry["oldest_at"] = min(entry["oldest_at"], row["oldest_at"])
    consumers = [
        Misled(
            consumer=name,
            role=role,
            reads=reads,
            records=entry["records"],
            uncertain=entry["uncertain"],
            causes=tuple(entry["causes"]),
            flows=tuple(entry["flows"]),
            oldest_at=entry["oldest_at"],
        )
        for (name, role, reads), entry in by_consumer.items()
    ]
    return sorted(consumers, key=lambda each: each.weight, reverse=True)


OPEN = """
    SELECT flow, cause, coalesce(winner, '') AS winner, count(*) AS records, min(first_seen_at) AS oldest_at
    FROM divergences WHERE state = 'open' GROUP BY ALL"""
