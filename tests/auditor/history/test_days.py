"""Days and hours in SQL are those of UTC, whatever the time zone of the session."""

from __future__ import annotations

from datetime import UTC, datetime

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.history.days import day_of, hours_of

INSTANTS = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))


@pytest.fixture(scope="module")
def database() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(":memory:")
    connection.execute("SET TimeZone = 'Asia/Kolkata'")
    return connection


@given(st.lists(INSTANTS, min_size=1, max_size=20))
def test_they_are_what_python_finds(database: duckdb.DuckDBPyConnection, instants: list[datetime]) -> None:
    rows = database.execute(
        f"SELECT {day_of('seen_at')} AS day, {hours_of('seen_at')} FROM (SELECT unnest(?::TIMESTAMPTZ[]) AS seen_at) "
        "GROUP BY day",
        [instants],
    ).fetchall()
    by_hand = {
        each.date(): len({other.hour for other in instants if other.date() == each.date()}) for each in instants
    }
    assert dict(rows) == by_hand
