"""The single records that differ, are pending or cannot be verified now."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from auditor.ledger import LISTED, Ledger
from checks.cause import KINDS, Kind


def fields_text(fields: str, detail: str) -> str:
    """The differing fields, each named once, and how they came to differ, if known."""
    explained = {part.partition(": ")[0] for part in detail.split("; ") if ": " in part}
    rest = ", ".join(each for each in fields.split(", ") if each and each not in explained)
    separator = "; " if explained else " "
    return separator.join(part for part in (rest, detail) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Findings about single records of a flow.

    Attributes:
        divergent: rows of key, kind, cause, fields, detail, since_at; longest first.
        pending: rows of key, why, since_at; records that may be in order within their window.
        unverified: rows of subject (record, rows, queue), name, reason, records, since_at.
        counts: the total of each of the three; a list has at most `LISTED` entries.
    """

    flow: str
    divergent: list[dict[str, Any]]
    pending: list[dict[str, Any]]
    unverified: list[dict[str, Any]]
    counts: dict[str, int]

    def as_rows(self) -> list[dict[str, Any]]:
        """All findings as rows of one table: flow, key, state, why, since."""
        rows = []
        for each in self.divergent:
            why = fields_text(each["fields"], each["detail"]) or KINDS[Kind(each["kind"])]
            rows.append(self._row(each["key"], f"divergent: {each['cause']}", why, each["since_at"]))
        for each in self.pending:
            rows.append(self._row(each["key"], "pending", each["why"], each["since_at"]))
        for each in self.unverified:
            name = f"queue {each['name']}" if each["subject"] == "queue" else each["name"]
            rows.append(self._row(name, "unverified", each["reason"], each["since_at"]))
        return rows

    def _row(self, key: str, state: str, why: str, since_at: datetime) -> dict[str, Any]:
        return {"flow": self.flow, "key": key, "state": state, "why": why, "since": since_at}

    @property
    def beyond(self) -> int:
        """How many are counted but not listed."""
        unverified = sum(int(each["records"]) for each in self.unverified)
        return max(0, sum(self.counts.values()) - len(self.divergent) - len(self.pending) - unverified)


def findings(ledger: Ledger, flow: str, *, causes: Collection[str] = (), limit: int = LISTED) -> Findings:
    """The present findings about single records of a flow.

    Args:
        causes: only divergences with these causes; everything if empty.
        limit: the most rows of each kind.
    """
    by_cause = ledger.findings.open_by_cause().get(flow, {})
    divergent = ledger.findings.divergent(flow, list(causes), limit)
    counts = {"divergent": sum(count for cause, count in by_cause.items() if not causes or cause in causes)}
    if causes:
        counts |= {"pending": 0, "unverified": 0}
        return Findings(flow=flow, divergent=divergent, pending=[], unverified=[], counts=counts)
    counts["pending"] = ledger.findings.pending_count(flow)
    counts["unverified"] = ledger.unverified.count(flow)
    return Findings(
        flow=flow,
        divergent=divergent,
        pending=ledger.findings.pending(flow, limit),
        unverified=ledger.unverified.rows(flow, limit),
        counts=counts,
    )
