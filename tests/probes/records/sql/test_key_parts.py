"""Keys of several columns in real databases: exact lookups, an order to walk by, and keys without a part."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import product
from typing import Any

import pytest
import sqlalchemy as sa

from probes.composite_keys import joined
from probes.contract import Page, ProbeError, ReadSpec, Reason
from probes.records.sql.probe import SqlProbe
from probes.records.sql.settings import SqlSettings

SPEC = ReadSpec(
    data_type="line",
    collection="order_lines",
    key="tenant",
    key_parts=("tenant", "code"),
    changed_at="at",
    fields=("name",),
    zone="UTC",
)
CODES = ["a", "b/c", "100%", "quote'd \\", "\u03bd\u03b1\u03b9"]
KEYS = [(tenant, code) for tenant in (1, 2, 30) for code in CODES]


@pytest.fixture(params=["postgresql", "mariadb", "sqlite"])
def engine(request: pytest.FixtureRequest) -> Iterator[sa.Engine]:
    url = sa.make_url(request.getfixturevalue(f"{request.param}_url"))
    driver = {"postgresql": "postgresql+psycopg", "mariadb": "mariadb+pymysql", "sqlite": "sqlite"}
    made = sa.create_engine(url.set(drivername=driver[request.param]))
    stamp = {"postgresql": "timestamptz", "mariadb": "datetime(6)", "sqlite": "text"}[request.param]
    with made.begin() as connection:
        connection.execute(
            sa.text(f"CREATE TABLE order_lines (tenant int, code varchar(50), name varchar(50), at {stamp})")
        )
        connection.execute(sa.text("CREATE INDEX lines_key ON order_lines (tenant, code)"))
    put(made, [(tenant, code, f"{tenant} {code}") for tenant, code in KEYS])
    yield made
    made.dispose()


def put(engine: sa.Engine, rows: list[tuple[Any, Any, str]]) -> None:
    at: Any = datetime(2026, 3, 1, tzinfo=UTC)
    at = at if engine.dialect.name == "postgresql" else at.strftime("%Y-%m-%d %H:%M:%S.%f")
    with engine.begin() as connection:
        for tenant, code, name in rows:
            connection.execute(
                sa.text("INSERT INTO order_lines VALUES (:t, :c, :n, :a)"),
                {"t": tenant, "c": code, "n": name, "a": at},
            )


@pytest.fixture
def probe(engine: sa.Engine) -> Iterator[SqlProbe]:
    url = engine.url.set(drivername=engine.url.get_backend_name()).render_as_string(hide_password=False)
    opened = SqlProbe(
        SqlSettings.model_validate({"kind": "sql", "url": url, "zone": "UTC", "budget": {"timeout": "30s"}})
    )
    yield opened
    opened.close()


def found(rows: Any) -> list[tuple[Any, ...]]:
    return [row[0] for row in rows]


def walked(probe: SqlProbe, limit: int) -> list[tuple[Any, ...]]:
    seen: list[tuple[Any, ...]] = []
    page = Page(next=None)
    for _ in range(100):
        page = probe.page(SPEC, page.next, limit)
        seen += found(page.rows)
        if page.next is None:
            return seen
    raise AssertionError("a walk without an end")


def test_a_lookup_finds_the_keys_asked_for_and_none_of_their_mixtures(probe: SqlProbe) -> None:
    wanted = [(1, "a"), (2, "b/c"), (30, CODES[3]), (30, CODES[4]), (99, "a"), (1, "nothing")]
    rows = probe.fetch(SPEC, [joined(each) for each in wanted])
    assert sorted(found(rows)) == sorted(wanted[:4])
    assert {row[2] for row in rows} == {f"{tenant} {code}" for tenant, code in wanted[:4]}


def test_every_key_is_found_by_its_text(probe: SqlProbe) -> None:
    assert sorted(found(probe.fetch(SPEC, [joined(key) for key in KEYS]))) == sorted(KEYS)
    assert probe.fetch(SPEC, []) == []
    assert probe.fetch(SPEC, ["no number/a"]) == []


def test_as_many_keys_as_are_asked_for_at_once_fit_into_a_statement(engine: sa.Engine, probe: SqlProbe) -> None:
    many = [(tenant, f"c{tenant}") for tenant in range(1000, 1000 + probe.batch_limit(SPEC))]
    put(engine, [(tenant, code, "n") for tenant, code in many])
    assert sorted(found(probe.fetch(SPEC, [joined(key) for key in many]))) == many


@pytest.mark.parametrize("limit", [1, 2, 4, 100])
def test_a_walk_comes_across_every_record_once(probe: SqlProbe, limit: int) -> None:
    assert sorted(walked(probe, limit)) == sorted(KEYS)


def test_rows_of_one_key_stay_on_one_page(engine: sa.Engine, probe: SqlProbe) -> None:
    put(engine, [(1, "a", "again"), (1, "a", "and again")])
    page = probe.page(SPEC, None, 2)
    assert found(page.rows).count((1, "a")) in {0, 3}
    assert sorted(walked(probe, 2)) == sorted([*KEYS, (1, "a"), (1, "a")])


def test_a_row_without_a_part_of_its_key_comes_with_the_first_page(engine: sa.Engine, probe: SqlProbe) -> None:
    put(engine, [(None, "a", "no tenant"), (1, None, "no code")])
    first = probe.page(SPEC, None, 3)
    assert {(None, "a"), (1, None)} <= {*found(first.rows)}
    assert len(walked(probe, 3)) == len(KEYS) + 2


def test_changes_carry_whole_keys(probe: SqlProbe) -> None:
    page = probe.changed(SPEC, datetime(2026, 2, 1, tzinfo=UTC), 100)
    assert sorted(found(page.rows)) == sorted(KEYS)
    assert not page.more


def test_an_index_that_begins_with_a_part_is_enough_and_there_are_no_ranks(probe: SqlProbe) -> None:
    assert not any("tenant" in remark for remark in probe.inspect(SPEC))
    assert not probe.can_rank(SPEC, "0" * 32)
    assert probe.rank_index(SPEC, "0" * 32) is None


@pytest.mark.parametrize("cursor", ['{"after": "1", "as": "int"}', '{"after_all": []}', '{"after_all": [1, 2]}', "x"])
def test_a_cursor_of_another_walk_is_lost(probe: SqlProbe, cursor: str) -> None:
    with pytest.raises(ProbeError) as lost:
        probe.page(SPEC, cursor, 10)
    assert lost.value.reason is Reason.CURSOR_LOST


def test_any_combination_of_parts_is_looked_up_exactly(engine: sa.Engine, probe: SqlProbe) -> None:
    put(engine, [(tenant, code, "x") for tenant, code in product(range(50, 60), ["p", "q", "r"])])
    for step in (2, 3, 7):
        wanted = list(product(range(50, 60), ["p", "q", "r"]))[::step]
        assert sorted(found(probe.fetch(SPEC, [joined(key) for key in wanted]))) == wanted


def test_the_catalogue_names_the_columns_of_a_key(engine: sa.Engine, probe: SqlProbe) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE visits (day varchar(9), shop int, n int, PRIMARY KEY (shop, day))"))
        connection.execute(
            sa.text("CREATE TABLE stays (id int PRIMARY KEY, guest int, room int, UNIQUE (room, guest))")
        )
    described = {each.name: each for each in probe.collections()}
    assert {name: each.key for name, each in described.items()} == {
        "order_lines": (),
        "stays": ("room", "guest"),
        "visits": ("shop", "day"),
    }
    assert [field.name for field in described["stays"].fields if field.unique] == ["id"]
    assert [field.name for field in described["visits"].fields if field.unique] == []
