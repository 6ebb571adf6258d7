"""Change stamps in every form in which databases keep them: no change is ever passed over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.contract import ProbeError, ReadSpec, Reason
from probes.records.sql import stamps
from probes.records.sql.probe import SqlProbe
from probes.records.sql.settings import SqlSettings
from probes.records.sql.stamps import earliest_local
from probes.settings import Budget

SPEC = ReadSpec(data_type="t", collection="t", key="id", changed_at="at", fields=("name",), zone="UTC")
SINCE = datetime(2026, 3, 1, 12, tzinfo=UTC)
DRIVERS = {"postgresql": "postgresql+psycopg", "mariadb": "mariadb+pymysql", "sqlite": "sqlite"}
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture(autouse=True)
def _restless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every poll looks for stamps in other forms, however long that takes on a busy machine."""
    monkeypatch.setattr(stamps, "REST_SHARE", 0)


class Table:
    """A table with a stamp of some type in some database."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.dialect = sa.make_url(url).get_backend_name()
        self.engine = sa.create_engine(sa.make_url(url).set(drivername=DRIVERS[self.dialect]))
        self.probes: list[SqlProbe] = []

    def make(self, type_: str) -> None:
        with self.engine.begin() as connection:
            connection.execute(sa.text(f"CREATE TABLE t (id integer, name varchar(20), at {type_})"))
            connection.execute(sa.text("CREATE INDEX t_at ON t (at)"))

    def put(self, *marks: Any) -> None:
        """Rows 1, 2, 3 ... behind those that are there."""
        with self.engine.begin() as connection:
            count = connection.execute(sa.text("SELECT count(*) FROM t")).scalar_one()
            for at, mark in enumerate(marks):
                connection.execute(sa.text("INSERT INTO t VALUES (:i, 'x', :m)"), {"i": count + at + 1, "m": mark})

    def probe(self) -> SqlProbe:
        made = SqlProbe(SqlSettings(kind="sql", url=self.url, zone="UTC", budget=Budget(timeout_s=20)))
        self.probes.append(made)
        return made

    def close(self) -> None:
        for probe in self.probes:
            probe.close()
        self.engine.dispose()


@pytest.fixture(params=list(DRIVERS))
def table(request: pytest.FixtureRequest) -> Iterator[Table]:
    made = Table(request.getfixturevalue(f"{request.param}_url"))
    yield made
    made.close()


def keys(probe: SqlProbe, spec: ReadSpec = SPEC, since: datetime = SINCE, limit: int = 100) -> list[int]:
    return [int(row[0]) for row in probe.changed(spec, since, limit).rows]


# -- the hour that repeats


NAIVE = {"postgresql": "timestamp", "mariadb": "datetime(6)", "sqlite": "text"}


def test_a_change_in_the_hour_that_repeats_is_found(table: Table) -> None:
    """02:30 comes twice on 25 October 2026 in Berlin: at 00:30Z and at 01:30Z."""
    table.make(NAIVE[table.dialect])
    table.put("2026-10-25 01:30:00", "2026-10-25 02:30:00", "2026-10-25 03:30:00")
    probe, spec = table.probe(), replace(SPEC, zone="Europe/Berlin")
    for minutes in (0, 29, 31, 59, 61, 89):  # from 00:00Z on: the change may be the one at 01:30Z
        since = datetime(2026, 10, 25, tzinfo=UTC) + timedelta(minutes=minutes)
        assert {2, 3} <= set(keys(probe, spec, since)), minutes
    assert keys(probe, spec, datetime(2026, 10, 25, 2, 1, tzinfo=UTC)) == [3]
    assert keys(probe, spec, datetime(2026, 10, 24, 23, 29, tzinfo=UTC)) == [1, 2, 3]


def test_the_hour_that_is_skipped_loses_nothing(table: Table) -> None:
    table.make(NAIVE[table.dialect])
    table.put("2026-03-29 01:59:59", "2026-03-29 03:00:00")
    spec = replace(SPEC, zone="Europe/Berlin")
    assert keys(table.probe(), spec, datetime(2026, 3, 29, 0, 59, 59, tzinfo=UTC)) == [1, 2]
    assert keys(table.probe(), spec, datetime(2026, 3, 29, 1, 0, 0, tzinfo=UTC)) == [2]


@settings(deadline=None)
@given(
    name=st.sampled_from(["Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Africa/Casablanca", "UTC"]),
    at=st.datetimes(datetime(2024, 1, 1), datetime(2027, 12, 31)),
    later_s=st.floats(0, 40 * 86_400),
)
def test_no_later_change_has_an_earlier_local_time(name: str, at: datetime, later_s: float) -> None:
    zone, since = ZoneInfo(name), at.replace(tzinfo=UTC)
    changed = (since + timedelta(seconds=later_s)).astimezone(zone).replace(tzinfo=None)
    bound = earliest_local(since, zone)
    assert bound <= changed
    assert since.astimezone(zone).replace(tzinfo=None) - bound <= timedelta(hours=1, seconds=1)


# -- text


TEXT = {"postgresql": "text", "mariadb": "varchar(40)", "sqlite": "text"}


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("2026-03-01T06:59:59-05:00", "2026-03-01T07:00:01-05:00"),
        ("2026-03-01T23:59:59+12:00", "2026-03-02T00:00:01+12:00"),
        ("2026-03-01 11:59:59", "2026-03-01 12:00:00"),
        ("2026-03-01T11:59:59.999Z", "2026-03-01T12:00:00.5Z"),
        ("2026-03-01 11:59:59+00:00", "2026-03-01 12:00:00+00:00"),
        ("2026-03-01 11:59:59.123456", "2026-03-01 12:00:00.000001"),
    ],
)
def test_text_written_alike_is_compared_as_the_instants_it_stands_for(table: Table, earlier: str, later: str) -> None:
    table.make(TEXT[table.dialect])
    table.put(earlier, later)
    probe = table.probe()
    for _ in range(2):
        assert keys(probe) == [2]


def test_text_written_in_many_ways_is_compared_by_instants_and_answered_oldest_first(table: Table) -> None:
    table.make(TEXT[table.dialect])
    table.put(
        "2026-03-01T08:00:00-05:00",  # 1: 13:00Z
        "2026-03-01 12:30:00",  # 2
        "2026-03-01T14:15:00+02:00",  # 3: 12:15Z
        "2026-03-01T12:10Z",  # 4: without seconds
        "2026-03-01T13:59:59+02:00",  # 5: 11:59:59Z
        "2026-03-02T02:00:00+14:00",  # 6: 12:00Z
        "2026-02-28T23:59:00-12:00",  # 7: 11:59Z
        "2026-03-01T00:00:00-12:00",  # 8: 12:00Z
        "20260301T123000Z",  # 9: basic form
    )
    probe = table.probe()
    for _ in range(3):
        found = keys(probe)
        assert found[:2] == [6, 8] or found[:2] == [8, 6]
        assert found[2:] == [4, 3, 2, 9, 1] or found[2:] == [4, 3, 9, 2, 1]
        assert set(keys(probe, limit=3)) == {6, 8, 4}


def test_a_later_row_in_another_form_is_met_at_once(table: Table) -> None:
    table.make(TEXT[table.dialect])
    table.put("2026-03-01 12:30:00", "2026-03-01 12:40:00")
    probe = table.probe()
    assert keys(probe) == [1, 2]
    table.put("2026-03-01T08:00:00-05:00")
    assert keys(probe) == [1, 2, 3]
    # Also where the page is full of rows that are written alike.
    assert keys(probe, limit=2) == [1, 2]
    assert probe.changed(SPEC, SINCE, 2).more
    table.put("2026-03-01T07:01:00-05:00")
    assert keys(probe, limit=2) == [4, 1]


def test_what_is_written_in_another_form_while_nobody_looks_is_found_afterwards(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then the answer says how far back it is sure of itself."""
    table.make("varchar(40)")
    table.put("2026-03-01T12:00:01Z")
    probe = table.probe()
    monkeypatch.setattr(stamps, "REST_SHARE", 1e9)
    assert probe.changed(SPEC, SINCE, 10).behind_s == 0
    table.put("2026-03-01T07:00:02-05:00", "2026-03-01T12:00:03Z")
    resting = probe.changed(SPEC, SINCE, 10)
    assert [row[0] for row in resting.rows] == [1, 3]
    assert resting.behind_s > 0
    (written,) = [each.stamps for each in probe._collections.values()]
    assert isinstance(written, stamps.Written)
    written._scan_after = 0.0
    assert written._scan_began is not None
    written._scan_began -= 60  # a minute has passed
    later = probe.changed(SPEC, SINCE + timedelta(seconds=50), 10)
    assert {row[0] for row in later.rows} == {1, 2, 3}
    assert later.behind_s == 0


@pytest.mark.parametrize("odd", ["yesterday", "1772366400", "01/03/2026 12:30", "Sun, 01 Mar 2026 12:30:00 GMT", ""])
def test_what_is_no_iso_instant_is_always_among_the_answers(table: Table, odd: str) -> None:
    table.make(TEXT[table.dialect])
    table.put("2026-03-01 11:00:00", odd, "2026-03-01 12:30:00")
    probe = table.probe()
    assert set(keys(probe)) == {2, 3}
    table.put("2026-03-01 12:45:00")
    assert set(keys(probe)) == {2, 3, 4}


def test_too_many_stamps_that_cannot_be_compared_cannot_be_verified(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    import probes.records.sql.probe as sql

    monkeypatch.setattr(sql, "STRAYS_CEILING", 3)
    monkeypatch.setattr(sql, "SCAN_CEILING", 3)
    table.make(TEXT[table.dialect])
    table.put("2026-03-01 11:00:00", *["never"] * 2)
    assert set(keys(table.probe())) == {2, 3}
    table.put(*["2026-03-01T08:00:00-05:00"] * 3)
    with pytest.raises(ProbeError, match="write all of them in one form") as failed:
        table.probe().changed(SPEC, SINCE, 10)
    assert failed.value.reason is Reason.QUERY
    assert stamps.SCAN_CEILING > 3


def test_stamps_in_the_future_hide_nothing(table: Table) -> None:
    table.make(NAIVE[table.dialect])
    table.put("2026-03-01 12:30:00", "2199-01-01 00:00:00", "2026-03-01 12:45:00")
    assert keys(table.probe(), limit=2) == [1, 3]


def test_records_without_a_stamp_are_remarked_on(table: Table) -> None:
    table.make(NAIVE[table.dialect])
    table.put("2026-03-01 12:30:00")
    remarks = table.probe().inspect(SPEC)
    assert not [each for each in remarks if "NULL" in each]
    table.put(None)
    assert [each for each in table.probe().inspect(SPEC) if "t.at is NULL in some records" in each]


# -- numbers


def test_epoch_numbers_kept_as_text_are_compared_as_numbers(table: Table) -> None:
    table.make(TEXT[table.dialect])
    second = int(SINCE.timestamp())
    table.put(str(second - 1), str(second), f" {second + 1}", "999999999", "unknown", str(10**10), f"{second}.5")
    spec = replace(SPEC, changed_at_unit="s")
    assert keys(table.probe(), spec) == [2, 7, 3, 6, 5]


def test_epoch_numbers_without_a_unit_are_refused_with_what_to_write(table: Table) -> None:
    table.make("bigint")
    table.put(1772366400)
    with pytest.raises(ProbeError, match="changed_at_unit: s, ms or us"):
        table.probe().changed(SPEC, SINCE, 10)
    with pytest.raises(ProbeError, match="changed_at_unit: s, ms or us"):
        table.probe().inspect(SPEC)


# -- what is no instant


@pytest.mark.parametrize("type_", ["date", "text"])
def test_days_are_refused_with_what_to_do(table: Table, type_: str) -> None:
    table.make({**TEXT, "mariadb": "varchar(20)"}[table.dialect] if type_ == "text" else "date")
    table.put("2026-03-01")
    with pytest.raises(ProbeError, match=r"holds days without a time.*only the sweep finds changes"):
        table.probe().inspect(SPEC)


@pytest.mark.parametrize("type_", ["time", "boolean"])
def test_a_column_of_another_type_is_refused(postgresql_url: str, type_: str) -> None:
    table = Table(postgresql_url)
    table.make(type_)
    with pytest.raises(ProbeError, match="holds no instants"):
        table.probe().inspect(SPEC)
    table.close()


def test_a_domain_over_an_instant_is_one(postgresql_url: str) -> None:
    table = Table(postgresql_url)
    with table.engine.begin() as connection:
        connection.execute(sa.text("CREATE DOMAIN stamp AS timestamptz"))
    table.make("stamp")
    table.put("2026-03-01T08:00:00-05:00", "2026-03-01T06:00:00-05:00")
    assert keys(table.probe()) == [1]
    table.close()
