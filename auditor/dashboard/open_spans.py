"""When incidents were open: once, or several times if they came back after they were over."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime

import pandas as pd

TURNS = """
    SELECT incident_id, acted_at, verb IN ('resolve', 'resolved') AS over FROM incident_events
    WHERE incident_id IN (SELECT unnest(?::BIGINT[]))
        AND verb IN ('opened', 'reopened', 'flapping', 'resolve', 'resolved')
    ORDER BY id"""
"""When each of some incidents began and ended, oldest first."""


def open_spans(incidents: pd.DataFrame, turns: pd.DataFrame, now: datetime) -> list[list[tuple[datetime, datetime]]]:
    """The times of each incident, oldest first, at least one.

    Args:
        incidents: `id`, `opened_at` and `resolved_at` of each; it may have begun before what is kept of its turns.
        turns: as `TURNS` returns them.
        now: until when those are open that are not over.
    """
    of_incident = defaultdict(list)
    for turn in turns.itertuples():
        of_incident[turn.incident_id].append((turn.acted_at, turn.over))
    listed = []
    for each in incidents.itertuples():
        spans: list[tuple[datetime, datetime]] = []
        since = each.opened_at
        for at, over in of_incident[each.id]:
            if over and since is not None:
                spans.append((since, at))
            since = None if over else since or at
        if since is not None:
            spans.append((since, max(since, now) if pd.isna(each.resolved_at) else each.resolved_at))
        listed.append(spans)
    return listed
