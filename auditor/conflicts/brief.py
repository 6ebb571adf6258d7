"""What a person needs to decide a conflict, compiled from the map and from the audits' findings. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_CEILING
from typing import Any

from auditor.map.consumers import impact_of
from auditor.map.integration_map import IntegrationMap
from checks.conflicts import Winner
from checks.escalation import Conflict, RefusedError
from probes.durations import measured


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldBrief:
    """One differing field of a conflict, as far as its evidence policy allows."""

    field: str
    owner: str
    target: str
    cause: str
    shape: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictBrief:
    """What a person needs to decide a conflict.

    Attributes:
        writers: the systems that may write each side's fields.
        owner_written, target_written: when the copies were last written, as an interval in words.
        warnings: the possible side effects of a repair.
    """

    flow: str
    source: str
    target: str
    why: str
    policy: str
    team: str
    writers: str
    owner_written: str
    target_written: str
    witnesses: str
    impact: str
    detail: str
    warnings: tuple[str, ...]
    fields: tuple[FieldBrief, ...]

    def lines(self) -> list[tuple[str, str]]:
        """Everything except the fields, as pairs of label and text."""
        lines = [
            ("why it needs a person", self.why),
            ("policy", self.policy),
            (f"{self.source} was written", self.owner_written),
            (f"{self.target} was written", self.target_written),
            ("who may write", self.writers),
            ("other systems", self.witnesses),
            ("who acts on it", self.impact),
            ("what was found", "" if self.detail == self.why else self.detail),
            ("owner of the flow", self.team),
            *(("careful", warning) for warning in self.warnings),
        ]
        return [(word, what) for word, what in lines if what]


def brief_of(integration_map: IntegrationMap, conflict: Conflict, about: Mapping[str, Any]) -> ConflictBrief:
    """Compile what is known about a conflict.

    Args:
        about: the divergence's ledger row; empty once it is archived.
    """
    settings = integration_map.flows.get(conflict.flow)
    if settings is None:
        raise RefusedError(f"the flow {conflict.flow} is no longer in the map")
    flow = integration_map.flow(conflict.flow)
    differing = json.loads(about.get("differences") or "[]")
    names = [each["field"] for each in differing if each["field"] in flow.data_type.fields] or list(flow.field_names)
    fields = flow.data_type.fields
    writers = {
        name: sorted({fields[name].owner or flow.data_type.owner, *fields[name].writers, *flow.data_type.writers})
        for name in names
    }
    shared = {", ".join(each) for each in writers.values()}
    writers_text = (
        shared.pop() if len(shared) == 1 else "; ".join(f"{name}: {', '.join(w)}" for name, w in writers.items())
    )
    return ConflictBrief(
        flow=flow.name,
        source=flow.source_name,
        target=flow.target_name,
        why=conflict.why,
        policy=str(settings.conflict_policy),
        team=settings.team,
        writers=writers_text,
        owner_written=_when(about.get("owner_from_at"), about.get("owner_to_at")),
        target_written=_when(about.get("target_from_at"), about.get("target_to_at")),
        witnesses=about.get("witnesses") or "",
        impact=str(impact_of(integration_map, flow.name, conflict.cause, Winner.NOBODY)),
        detail=about.get("detail") or "",
        warnings=flow.replay_warnings,
        fields=tuple(
            FieldBrief(
                field=each["field"],
                owner=each["owner_value"],
                target=each["target_value"],
                cause=each.get("cause", ""),
                shape=each["shape"],
            )
            for each in differing
        ),
    )


def _when(from_at: datetime | None, to_at: datetime | None) -> str:
    if from_at is None or to_at is None:
        return "not known"
    shown_at = from_at.replace(microsecond=from_at.microsecond // 1000 * 1000)
    spread = measured((to_at - shown_at).total_seconds(), ROUND_CEILING)
    return f"{shown_at.replace(tzinfo=None).isoformat(' ', 'milliseconds')} UTC, within {spread}"
