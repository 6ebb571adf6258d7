"""Days and hours in UTC, in DuckDB's SQL.

`date_trunc` of an instant takes several times as long, because it looks at the session's time zone.
"""

from __future__ import annotations


def day_of(instant: str) -> str:
    """The date of an instant.

    Args:
        instant: a column of instants.
    """
    return f"make_timestamp(epoch_us({instant}))::DATE"


def hours_of(instant: str) -> str:
    """In how many hours of the day the instants of a group lie, which are all of one day."""
    hour = f"extract('hour' FROM make_timestamp(epoch_us({instant})))::INTEGER"
    return f"bit_count(bit_or(1::INTEGER << {hour}))::INTEGER"
