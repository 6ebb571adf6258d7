"""Systematic differences: one mistake visible in many records. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from checks.difference_kinds import VAGUE
from probes.wording import counted

SYSTEMATIC_SHARE, SYSTEMATIC_RECORDS = 0.5, 3
"""The share of a field's differing records, and their least number, that must look alike to be one mistake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alike:
    """One mistake visible in many records.

    Attributes:
        pattern: what their differences have in common, such as `+02:00`, `cut` or `times 100`.
        records: the records that show it.
        of: the records that differ in this field.
    """

    field: str
    pattern: str
    records: int
    of: int

    def text_of(self, system: str) -> str:
        """What is wrong with the field in a system, and in how many records."""
        share = f"{self.records} of {counted(self.of, 'record')}"
        return f"{self.field} in {system} is {pattern_text(self.pattern)} in {share}"


def is_systematic(pattern: str, records: int, of: int) -> bool:
    """Whether so many records of all that differ in a field look like one mistake."""
    return bool(pattern) and pattern not in VAGUE and records >= max(SYSTEMATIC_RECORDS, SYSTEMATIC_SHARE * of)


def most_alike(differences: Iterable[Sequence[Mapping[str, Any]]]) -> Alike | None:
    """The mistake that most records have in common; None if they have none.

    Args:
        differences: of each record, its differing fields with their patterns.
    """
    shown: Counter[tuple[str, str]] = Counter()
    for each in differences:
        shown.update({(str(one["field"]), str(one.get("pattern") or "")) for one in each})
    of: Counter[str] = Counter()
    for (field, _), count in shown.items():
        of[field] += count
    alike = [
        Alike(field=field, pattern=pattern, records=count, of=of[field])
        for (field, pattern), count in shown.items()
        if is_systematic(pattern, count, of[field])
    ]
    return max(alike, key=lambda each: (each.records, each.field, each.pattern), default=None)


def pattern_text(pattern: str) -> str:
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
