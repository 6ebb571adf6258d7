"""Figures of ownership for the pages: who acts on wrong values, and which one mistake explains many records."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from auditor.history.lens import Lens
from auditor.map.consumers import ROLE_WEIGHT, impact_of
from auditor.map.integration_map import IntegrationMap
from checks.difference_kinds import VAGUE
from probes.wording import counted

SYSTEMATIC_SHARE, SYSTEMATIC_RECORDS = 0.5, 3
"""So many of a field's differing records, and at least so many, that look alike are one finding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Misled:
    """A consumer that acts on wrong values now.

    Attributes:
        records: open divergences in what it reads.
        uncertain: of these, records of which nobody can say yet which copy is right.
        flows: where they differ.
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
        """What comes first: the role, then the number of records."""
        return ROLE_WEIGHT[self.role], self.records


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """One mistake that many records show, told once.

    Attributes:
        pattern: what their differences have in common, such as `+02:00`, `cut` or `times 100`.
        records: that show it.
        of: records of the flow that differ in this field.
    """

    flow: str
    field: str
    target: str
    pattern: str
    records: int
    of: int

    def __str__(self) -> str:
        share = f"{self.records} of {counted(self.of, 'record')}"
        return f"{self.field} in {self.target} is {words_of(self.pattern)} in {share}"


def words_of(pattern: str) -> str:
    """A pattern in the middle of a sentence."""
    if pattern.startswith(("+", "-")):
        return f"off by {pattern}"
    if pattern.endswith((" to NFC", " to NFD", "neither NFC nor NFD")):
        stored, _, found = pattern.partition(" to ")
        return f"in Unicode {found} instead of {stored}"
    plain = {
        "cut": "cut short",
        "rounded": "rounded",
        "sign": "negated",
        "case": "in another case",
        "accents": "without accents",
    }
    return plain.get(pattern, pattern)


def misled(integration_map: IntegrationMap, lens: Lens) -> list[Misled]:
    """Consumers that act on wrong values, the gravest first; empty where the map names no consumers."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in lens.query(OPEN).to_pylist():
        if row["flow"] not in integration_map.flows:
            continue
        impact = impact_of(integration_map, row["flow"], row["cause"], row["winner"])
        for consumer in impact.misled:
            entry = found.setdefault(
                (consumer.name, consumer.role, consumer.reads),
                {"records": 0, "uncertain": 0, "causes": {}, "flows": {}, "oldest_at": row["oldest_at"]},
            )
            entry["records"] += row["records"]
            entry["uncertain"] += 0 if impact.certain else row["records"]
            entry["causes"][row["cause"]] = None
            entry["flows"][row["flow"]] = None
            entry["oldest_at"] = min(entry["oldest_at"], row["oldest_at"])
    told = [
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
        for (name, role, reads), entry in found.items()
    ]
    return sorted(told, key=lambda each: each.weight, reverse=True)


def patterns(integration_map: IntegrationMap, lens: Lens) -> list[Pattern]:
    """Differences that most records of a field have in common, those of most records first."""
    found = _patterns(integration_map, lens.query(PATTERNS).to_pylist())
    return sorted(found, key=lambda each: -each.records)


def _patterns(integration_map: IntegrationMap, rows: Iterable[dict[str, Any]]) -> list[Pattern]:
    return [
        Pattern(
            flow=row["flow"],
            field=row["field"],
            target=integration_map.flows[row["flow"]].to,
            pattern=row["pattern"],
            records=row["records"],
            of=row["differing"],
        )
        for row in rows
        if row["flow"] in integration_map.flows
        and row["pattern"]
        and row["pattern"] not in VAGUE
        and row["records"] >= max(SYSTEMATIC_RECORDS, SYSTEMATIC_SHARE * row["differing"])
    ]


OPEN = """
    SELECT flow, cause, coalesce(winner, '') AS winner, count(*) AS records, min(first_seen_at) AS oldest_at
    FROM divergences WHERE state = 'open' GROUP BY ALL"""

PATTERNS = """
    WITH told AS (
        SELECT flow, unnest(from_json(differences, '["json"]')) AS difference
        FROM divergences WHERE state = 'open' AND kind = 'value'),
    counted AS (
        SELECT flow, difference->>'field' AS field, coalesce(difference->>'pattern', '') AS pattern,
               count(*) AS records
        FROM told GROUP BY ALL)
    SELECT *, sum(records) OVER (PARTITION BY flow, field)::BIGINT AS differing FROM counted"""
