"""The state of a flow's audits: its watermark, the sweep under way, and the last complete sweep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Watermark:
    """How far the owner's changes have been read.

    Attributes:
        at: the latest changed-at stamp seen at the owner, or the instant that its list of changes reaches, in the
            owner's clock.
        version_low, version_middle, version_high: the highest version seen at least one overlap ago, when
            `version_middle` was last taken (`version_turned_at`), and at all.
        polled_at: when the owner last returned all changes asked for (local, start of the request).
        announced_to: the position up to which its announcements have been read, in its probe's own form.
    """

    at: datetime | None = None
    version_low: int | None = None
    version_middle: int | None = None
    version_high: int | None = None
    version_turned_at: datetime | None = None
    polled_at: datetime | None = None
    announced_to: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """The current pass over all records of both systems.

    Attributes:
        walk: how it goes, by `rank` or by `key`.
        owner_after, target_after: where the next page begins, in the probes' own form, if it goes by key.
        rank_after: the rank at which the next slice begins, if it goes by rank.
        begun_at: None if none is under way.
        read, divergent, undecided: its records.
        unlisted: those of them that could not be verified and did not fit on the list (`UnverifiedList`).
    """

    walk: str | None = None
    owner_after: str | None = None
    target_after: str | None = None
    rank_after: int | None = None
    begun_at: datetime | None = None
    read: int | None = None
    divergent: int | None = None
    undecided: int | None = None
    unlisted: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """The completed sweeps.

    Attributes:
        count: how many.
        from_at, at: begin and end of the last one.
        read, divergent, undecided, unlisted: its records, see `Sweep`.
    """

    count: int = 0
    from_at: datetime | None = None
    at: datetime | None = None
    read: int | None = None
    divergent: int | None = None
    undecided: int | None = None
    unlisted: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowState:
    """The state of a flow's audits.

    Attributes:
        commit_delay_s: the longest time after its stamp that a change was seen to be committed.
        known_from_at: every record that the owner held at this time has been read since, under the present series.
        verified_through_at: every change of the owner until then has a verdict.
        audited_at: the instant of the last complete audit; one that a budget kept from reading anything is none.
        series: the rules and the digest key under which its fingerprints were made.
    """

    watermark: Watermark = Watermark()
    sweep: Sweep = Sweep()
    swept: Swept = Swept()
    commit_delay_s: float | None = None
    known_from_at: datetime | None = None
    verified_through_at: datetime | None = None
    audited_at: datetime | None = None
    series: str | None = None


SWEEP_COLUMNS = {name: name for name in ("walk", "owner_after", "target_after", "rank_after")} | {
    name: f"sweep_{name}" for name in ("begun_at", "read", "divergent", "undecided", "unlisted")
}
"""Attributes of `Sweep`, each with its column of the table `flow_state`."""

_WATERMARK_COLUMNS = {each.name: each.name for each in fields(Watermark)} | {"at": "watermark_at"}
_SWEPT_COLUMNS = {each.name: f"swept_{each.name}" for each in fields(Swept)} | {"count": "sweeps"}
_OWN = ("commit_delay_s", "known_from_at", "verified_through_at", "audited_at", "series")


def state_row(state: FlowState) -> dict[str, Any]:
    """The state as one row of the table `flow_state`, without its flow."""
    parts = ((state.watermark, _WATERMARK_COLUMNS), (state.sweep, SWEEP_COLUMNS), (state.swept, _SWEPT_COLUMNS))
    row = {column: getattr(part, name) for part, columns in parts for name, column in columns.items()}
    return row | {name: getattr(state, name) for name in _OWN}


def state_of(row: Mapping[str, Any]) -> FlowState:
    """The state that a row of the table `flow_state` holds."""

    def part(columns: Mapping[str, str]) -> dict[str, Any]:
        return {name: row[column] for name, column in columns.items()}

    return FlowState(
        watermark=Watermark(**part(_WATERMARK_COLUMNS)),
        sweep=Sweep(**part(SWEEP_COLUMNS)),
        swept=Swept(**part(_SWEPT_COLUMNS)),
        **{name: row[name] for name in _OWN},
    )
