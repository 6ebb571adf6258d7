"""Systematic differences: one mistake visible in many records, reported once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from auditor.history.lens import Lens
from auditor.map.integration_map import IntegrationMap
from checks.difference_kinds import VAGUE
from probes.wording import counted

SYSTEMATIC_SHARE, SYSTEMATIC_RECORDS = 0.5, 3
"""The share of a field's differing records, and their least number, that must look alike to be one finding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """One mistake visible in many records.

    Attributes:
        pattern: what their differences have in common, such as `+02:00`, `cut` or `times 100`.
        records: the records that show it.
        of: the records of the flow that differ in this field.
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
    """A pattern as part of a sentence."""
    if pattern.startswith(("+", "-")):
        return f"off by {pattern}"
    if pattern.endswith((" to NFC", " to NFD", "neither NFC nor NFD")):
        stored, _, target = pattern.partition(" to ")
        return f"in Unicode {target} instead of {stored}"
    plain = {
        "cut": "cut short",
        "rounded": "rounded",
        "sign": "negated",
        "case": "in another case",
        "accents": "without accents",
    }
    return plain.get(pattern, pattern)


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
        if row["flow"] in integration_map.flows
        and row["pattern"]
        and row["pattern"] not in VAGUE
        and row["records"] >= max(SYSTEMATIC_RECORDS, SYSTEMATIC_SHARE * row["differing"])
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
