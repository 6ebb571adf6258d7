"""Notices about the auditor itself, and about no incident of the ledger. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

NOT_RECORDED = "not recorded"
"""Placeholder for the number of the message's incident."""


def own_notice(
    transition: str,
    *,
    breach: str,
    summary: str,
    detail: str,
    count: int,
    peak: int,
    opened_at: datetime,
    at: datetime,
    incident: str | int = NOT_RECORDED,
) -> dict[str, Any]:
    """The notice in the form that senders expect.

    Args:
        transition: such as opened or resolved.
        breach: what is wrong, in a word for programs.
        count: how many things are affected; 0 once it is over.
        peak: the highest count.
    """
    return {
        **dict.fromkeys(("flow", "system", "data_type", "source", "target", "team", "channel", "runbook")),
        "incident": incident,
        "transition": transition,
        "breach": breach,
        "summary": summary,
        "detail": detail,
        "count": count,
        "told": peak,
        "peak": peak,
        "window_s": 0,
        "opened_at": opened_at.isoformat(),
        "at": at.isoformat(),
    }
