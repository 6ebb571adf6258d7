"""From a change stream to the records that an audit reads, through the map and the reader."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from auditor.audit.budget import Plan
from auditor.audit.flow_audit import Auditor
from auditor.audit.reading import Gatherer, Search
from auditor.ledger import Watermark
from auditor.map.loader import check_map
from auditor.systems.reader import open_readers
from tests import ledgers
from tests.standins.mongodb import MongoServer

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
MAP = """\
systems:
  shop: {kind: mongodb, url: "${SHOP}", budget: {timeout: 60s}}
  billing: {kind: sql, url: "sqlite:///${PLACE}/billing.sqlite", zone: UTC}
data_types:
  customer:
    owner: shop
    window: 1m
    key_type: integer
    fields: {name: {}}
    in:
      shop: {collection: customers, key: _id, STAMP changes: stream}
      billing: {collection: customers, key: id}
flows:
  to_billing: {data_type: customer, from: shop, to: billing, pattern: batch, overlap: 5s}
"""


@pytest.fixture
def server() -> Iterator[MongoServer]:
    made = MongoServer()
    for number in range(1, 5):
        made.write("customers", "insert", {"_id": number, "name": "Ada", "at": AT}, AT)
    yield made
    made.close()


def copied(place: Path) -> None:
    """A copy of each record in SQLite."""
    with closing(sqlite3.connect(place / "billing.sqlite")) as billing, billing:
        billing.execute("CREATE TABLE customers (id integer, name text)")
        billing.executemany("INSERT INTO customers VALUES (?, 'Ada')", [(number,) for number in range(1, 5)])


@pytest.mark.parametrize("stamp", ["changed_at: at,", ""])
def test_an_audit_reads_what_changed_without_a_stamp_and_what_was_deleted(
    server: MongoServer, tmp_path: Path, stamp: str
) -> None:
    copied(tmp_path)
    (tmp_path / "map.yaml").write_text(MAP.replace("STAMP", stamp))
    loaded, remarks = check_map(tmp_path / "map.yaml", {"SHOP": server.url, "PLACE": str(tmp_path)})
    assert not any("overlap" in str(remark) for remark in remarks), "the stream starts an overlap earlier"
    flow, readers = loaded.flow("to_billing"), open_readers(loaded)
    with ExitStack() as opened:
        for reader in readers.values():
            opened.enter_context(closing(reader))
        gatherer = Gatherer(flow, readers["shop"], readers["billing"], flow.comparer(b"k" * 32))
        now = datetime.now(UTC)
        planned = Plan(changes_since=now, changes=9, rechecks=0, panel=0, sample=0, extra=0, shed=0)
        begun = gatherer.discover(Search(source=gatherer.source), Watermark(), planned, now, now)
        server.write("customers", "update", {"_id": 2, "name": "Bo"})
        server.write("customers", "delete", {"_id": 3})
        search = Search(source=gatherer.source)
        later = now + timedelta(hours=1)
        reached = gatherer.discover(search, begun, planned, later, later)
        assert search.error is None
        assert search.wanted.listed == {2, 3}
        owner = gatherer.read_owner(search.wanted, search.owner, gatherer.source)
        assert ({key: row[0][2] for key, row in owner.rows.items() if row}, set(owner.seen)) == ({2: "Bo"}, {2, 3})
        assert reached.at is not None
        assert begun.at is not None
        assert reached.at >= begun.at


@pytest.mark.parametrize("stamp", ["changed_at: at,", ""])
def test_changes_and_deletions_are_followed_from_the_time_of_their_events(
    server: MongoServer, tmp_path: Path, stamp: str
) -> None:
    copied(tmp_path)
    (tmp_path / "map.yaml").write_text(MAP.replace("STAMP", stamp))
    loaded, _ = check_map(tmp_path / "map.yaml", {"SHOP": server.url, "PLACE": str(tmp_path)})
    readers, ledger = open_readers(loaded), ledgers.at(tmp_path / "ledger.sqlite")
    with ExitStack() as opened:
        opened.enter_context(closing(ledger))
        for reader in readers.values():
            opened.enter_context(closing(reader))
        auditor = Auditor(
            flow=loaded.flow("to_billing"),
            source=readers["shop"],
            target=readers["billing"],
            ledger=ledger,
            digest_key=b"k" * 32,
            others=readers,
        )
        while not (result := auditor.audit(datetime.now(UTC))).swept:
            assert result.error is None
        begun_us = int((datetime.now(UTC) - timedelta(seconds=1)).timestamp() * 1_000_000)
        server.write("customers", "update", {"_id": 2, "name": "Bo"})
        server.write("customers", "delete", {"_id": 3})
        result = auditor.audit(datetime.now(UTC), sample=0)
        assert (result.error, result.read) == (None, 2)
        changes = {each["key"]: each for each in ledgers.rows(ledger, "changes")}
        assert {key: each["operation"] for key, each in changes.items()} == {"2": "update", "3": "delete"}
        for each in changes.values():
            assert each["verdict"] == "pending"
            assert each["committed_from_at"] >= begun_us
