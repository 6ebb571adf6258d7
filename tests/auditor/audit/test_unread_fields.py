"""A value that cannot be read concerns its own field: what else differs in its record is found all the same."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from auditor.audit.flow_audit import Auditor
from auditor.ledger import Ledger
from auditor.map.loader import load_map
from auditor.systems.reader import SystemReader
from checks.comparison import Comparison
from checks.differences import Shape
from checks.fields import FieldRule, parser_for
from checks.records import RecordComparer
from checks.sides import Side
from probes.registry import open_record_probe

RULES = [("at", FieldRule(type="timestamp")), ("plan", FieldRule()), ("note", FieldRule())]


def side(name: str) -> Side:
    return Side(
        system=name,
        parse_key=parser_for(FieldRule(type="integer"), name, None),
        parse_changed_at=parser_for(FieldRule(type="timestamp"), name, "UTC"),
        parsers=tuple(parser_for(rule, name, "UTC") for _, rule in RULES),
    )


COMPARER = RecordComparer(rules=RULES, owner=side("crm"), target=side("billing"), digest_key=b"k" * 32)


def compare(owner: list[Any] | None, target: list[Any] | None) -> Comparison:
    rows = [[] if values is None else [(1, None, *values)] for values in (owner, target)]
    return COMPARER.compare(1, *rows)


ZERO_DATE = "0000-00-00 00:00:00"


def test_another_field_that_differs_is_found_and_the_unreadable_one_is_said() -> None:
    found = compare(["2026-01-01", "pro", "x"], [ZERO_DATE, "free", "x"])
    assert not found.agrees
    assert not found.unverifiable
    assert [each.field for each in found.differences] == ["plan"]
    (unread,) = found.unread
    assert (unread.field, unread.shape) == ("at", Shape.UNREADABLE)
    assert unread.owner_value == "a whole number"  # private: its kind alone
    assert "a zero date" in unread.target_value


def test_a_record_of_which_nothing_else_differs_cannot_be_verified() -> None:
    found = compare([ZERO_DATE, "pro", "x"], ["2026-01-01", "pro", "x"])
    assert "at in crm" in found.unverifiable
    assert not found.agrees


def test_a_record_that_is_absent_on_one_side_is_missing_whatever_can_be_read_of_it() -> None:
    found = compare([ZERO_DATE, "pro", "x"], None)
    assert not found.unverifiable
    assert found.owner is not None
    assert found.target is None
    assert [each.field for each in found.unread] == ["at"]


def test_two_copies_that_cannot_be_read_alike_do_not_agree() -> None:
    found = compare([ZERO_DATE, "pro", "x"], [ZERO_DATE, "pro", "x"])
    assert found.unverifiable


MAP = """
systems:
  owner: {kind: sql, url: "${OWNER}", zone: UTC}
  target: {kind: sql, url: "${TARGET}", zone: UTC}
data_types:
  customer:
    owner: owner
    window: 1s
    key_type: integer
    fields:
      born: {type: date}
      plan: {type: string}
    in:
      owner: {collection: t, key: id}
      target: {collection: t, key: id}
flows:
  customers: {data_type: customer, from: owner, to: target, pattern: near-real-time, every: 1s}
"""


@pytest.fixture
def audited(postgresql_url: str, mariadb_url: str, tmp_path: Path) -> Callable[[], dict[int, list[dict[str, Any]]]]:
    """Fill two databases, audit them until the window is over, and answer the open differences by key."""
    with psycopg.connect(postgresql_url, autocommit=True) as owner:
        owner.execute("CREATE TABLE t (id int PRIMARY KEY, born date, plan text)")
        owner.execute(
            "INSERT INTO t VALUES (1, '12026-01-01', 'pro'), (2, '2026-01-01', 'pro'), (3, 'infinity', 'x')"
        )
    at = sa.make_url(mariadb_url).set(drivername="mariadb+pymysql")
    engine = sa.create_engine(at)
    with engine.begin() as target:
        target.exec_driver_sql("SET SESSION sql_mode = ''")
        target.exec_driver_sql("CREATE TABLE t (id int PRIMARY KEY, born date, plan text)")
        target.exec_driver_sql("INSERT INTO t VALUES (1, 0, 'free'), (2, 0, 'pro'), (3, '2026-01-01', 'x')")
    engine.dispose()
    file = tmp_path / "map.yaml"
    file.write_text(MAP)
    flow = load_map(file, {"OWNER": postgresql_url, "TARGET": mariadb_url}).flow("customers")

    def run() -> dict[int, list[dict[str, Any]]]:
        ledger = Ledger(f"sqlite:///{tmp_path}/ledger.sqlite")
        ledger.migrate()
        readers = [
            SystemReader(name, settings, open_record_probe(settings))
            for name, settings in (("owner", flow.source), ("target", flow.target))
        ]
        auditor = Auditor(flow=flow, source=readers[0], target=readers[1], ledger=ledger, digest_key=b"k" * 32)
        found: dict[int, list[dict[str, Any]]] = {}
        until = time.monotonic() + 60
        while len(found) < 2 and time.monotonic() < until:
            auditor.audit(datetime.now(UTC), sample=10)
            records = ledger.findings.open_records()
            found = {int(each["key"]): json.loads(each["differences"]) for each in records}
        assert {int(each["key"]): each["fields"] for each in records} == {1: "plan", 3: "born"}
        for reader in readers:
            reader.close()
        ledger.close()
        return found

    return run


def test_an_audit_finds_the_drift_beside_a_date_that_cannot_be_read(
    audited: Callable[[], dict[int, list[dict[str, Any]]]],
) -> None:
    found = audited()
    assert {key: [(each["field"], each["shape"]) for each in told] for key, told in found.items()} == {
        1: [("plan", "value"), ("born", "unreadable")],
        3: [("born", "value")],
    }
