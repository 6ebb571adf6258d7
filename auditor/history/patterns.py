"""Systematic differences: one mistake visible in many records, reported once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from auditor.history.lens import Lens
from auditor.map.integration_map import IntegrationMap
from checks.systematic import Alike, is_systematic


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern(Alike):
    """One mistake visible in many records of a flow."""

    flow: str
    target: str

    def __str__(self) -> str:
        return self.text_of(self.target)


def patterns(integration_map: IntegrationMap, lens: Lens) -> list[Pattern]:
    """Differences that most records of a field have in common, the most frequent first."""
    shared = _patterns(integration_map, lens.query(PATTERNS).to_pylist())
    return sorted(shared, key=lambda each: -each.records)


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
        if row["flow"] in integration_map.flows and is_systematic(row["pattern"], row["records"], row["differing"])
    ]


PATTERNS = """
    WITH told AS (
        SELECT flow, unnest(from_json(differences, '["json"]')) AS difference
        FROM divergences WHERE state = 'open' AND kind = 'value'),
    counted AS (
        SELECT flow, difference->>'field' AS field, coalesce(difference->>'pattern', '') AS pattern,
               count(*) AS records
        FROM told GROUP BY ALL)
    SELECT *, sum(records) OVER (PARTITION BY flow, field)::BIGINT AS differing FROM counted"""
