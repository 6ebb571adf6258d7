"""A flow between a database and an API that does not list its records, or lists them by a cursor: what is found."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from auditor.audit.flow_audit import Auditor
from auditor.audit.once import audit_once
from auditor.audit.result import AuditResult
from auditor.history.status import flow_status
from auditor.map.blind_spots import blind_spots
from auditor.map.loader import check_map, load_map
from auditor.map.problems import MapError
from auditor.systems.doctor import examine
from auditor.systems.reader import open_readers
from checks.judgement import Outcome
from probes.contract import Reason
from tests import ledgers
from tests.http_api import Api, Request, Response

MAP = """\
systems:
  crm: {kind: rest, url: "URL"}
  billing: {kind: sql, url: "sqlite:///PLACE/billing.sqlite", zone: UTC}
data_types:
  customer:
    owner: OWNER
    window: 1s
    key_type: integer
    fields: {name: {type: string, evidence: clear}}
    in:
      crm: {collection: customers, key: id, records: "$.data[*]", many: "/{collection}?ids={keys}" WORDS}
      billing: {collection: customers, key: id, changed_at: updated_at}
flows:
  sync: {data_type: customer, from: OWNER, to: TARGET, pattern: real-time, every: 1s, sample: 10}
"""
LONG_AGO = "2026-01-01T00:00:00Z"


class World:
    """An API on loopback (a stand-in of ours), a database, and the auditor of the flow between them."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.api = Api(self.answer)
        self.crm: dict[int, tuple[str, str]] = {}
        self.breaks = False
        self.omits = False
        self.passed_s = 0.0
        with self.billing() as database:
            database.execute("CREATE TABLE customers (id integer PRIMARY KEY, name text, updated_at text)")
        self.ledger = ledgers.at(place / "ledger.sqlite")
        self.auditor: Auditor | None = None

    def billing(self) -> sqlite3.Connection:
        return sqlite3.connect(self.place / "billing.sqlite")

    def put(self, key: int, name: str = "Ada", *, crm: bool = True, billing: bool = True, at: str = LONG_AGO) -> None:
        if crm:
            self.crm[key] = (name, at)
        if billing:
            with self.billing() as database:
                database.execute("REPLACE INTO customers VALUES (?, ?, ?)", (key, name, at.replace("Z", "")))

    def answer(self, request: Request) -> Any:
        asked = request.values
        known: list[dict[str, Any]] = [
            {"id": key, "name": name, "at": at} for key, (name, at) in sorted(self.crm.items())
        ]
        if "ids" in asked:
            return {"data": [each for each in known if str(each["id"]) in asked["ids"].split(",")]}
        if "since" in asked:
            found = sorted((each for each in known if each["at"] >= asked["since"]), key=lambda each: each["at"])
            return {"data": found}
        if request.method == "HEAD":
            return {}
        if "after" in asked and self.breaks:
            return Response(document={"error": "expired"}, status=410)
        if "after" in asked and self.omits and asked["after"]:
            return {"error": "rate", "data": []}
        start = int(asked.get("after", "p0").removeprefix("p"))
        end = start + min(3, int(asked["limit"]))
        return {"data": known[start:end], "next_cursor": f"p{end}" if end < len(known) else None}

    def begin(self, words: str = "", *, owner: str = "crm") -> None:
        target = "billing" if owner == "crm" else "crm"
        text = MAP.replace("URL", self.api.url).replace("PLACE", str(self.place)).replace(" WORDS", words)
        (self.place / "map.yaml").write_text(text.replace("OWNER", owner).replace("TARGET", target))
        self.map = load_map(self.place / "map.yaml", {})
        self.readers = open_readers(self.map)
        self.restart()

    def restart(self) -> None:
        flow = self.map.flow("sync")
        self.auditor = Auditor(
            flow=flow,
            source=self.readers[flow.source_name],
            target=self.readers[flow.target_name],
            ledger=self.ledger,
            digest_key=b"k" * 32,
            others=self.readers,
        )

    @property
    def now(self) -> datetime:
        """The present, as far as this test has let time pass."""
        return datetime.now(UTC) + timedelta(seconds=self.passed_s)

    def audit(self) -> AuditResult:
        assert self.auditor is not None
        result = self.auditor.audit(self.now)
        assert result.error is None, result.error
        return result

    def swept(self) -> dict[str, str]:
        """Audit until two whole sweeps have ended; by key, the kind of what is found to be wrong."""
        sweeps = self.state["sweeps"] if self.ledger.exports.table("flow_state") else 0
        for _ in range(50):
            self.audit()
            if self.state["sweeps"] >= sweeps + 2:
                break
        rows = self.ledger.exports.table("divergences")
        return {row["key"]: row["kind"] for row in rows if row["closed_at"] is None}

    def found(self, kinds: dict[str, str]) -> None:
        """Audit until just this is found to be wrong, by key its kind; the windows have to pass first."""
        until = time.monotonic() + 60
        while (there := self.swept()) != kinds:
            assert time.monotonic() < until, there
            self.passed_s += 1
            time.sleep(0.05)

    @property
    def state(self) -> dict[str, Any]:
        (row,) = self.ledger.exports.table("flow_state")
        return row

    def close(self) -> None:
        for reader in getattr(self, "readers", {}).values():
            reader.close()
        self.ledger.close()
        self.api.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


CHANGED = ', changed_at: at, changed: "/{collection}?since={since}&limit={limit}"'
LIST = ', list: "/{collection}?after={after}&limit={limit}", next: $.next_cursor'


@pytest.mark.parametrize("words", ["", CHANGED])
def test_an_owner_that_does_not_list_is_audited_through_what_the_target_lists(world: World, words: str) -> None:
    world.begin(words)
    for key in range(1, 6):
        world.put(key)
    world.put(7, "Orphan", crm=False)
    world.put(3, "Eve", crm=False)
    world.found({"3": "value", "7": "orphan"})


def test_deletions_at_an_owner_that_does_not_list_are_found_by_the_keys_that_are_known(world: World) -> None:
    """17 is met in the list of the target, 9 only among the keys on which both agreed."""
    world.begin(CHANGED)
    for key in range(1, 26):
        world.put(key)
    assert world.swept() == {}
    del world.crm[17]
    with world.billing() as database:
        database.execute("DELETE FROM customers WHERE id = 9")
    world.found({"9": "missing", "17": "orphan"})


def test_a_target_that_does_not_list_loses_no_orphan_on_which_both_agreed_once(world: World) -> None:
    world.begin(owner="billing")
    for key in range(1, 26):
        world.put(key)
    assert world.swept() == {}
    with world.billing() as database:
        database.execute("DELETE FROM customers WHERE id = 17")
    world.restart()
    world.found({"17": "orphan"})


def test_without_a_list_and_without_changes_nothing_is_verified_through_an_instant(world: World) -> None:
    world.begin()
    for key in range(1, 6):
        world.put(key)
    assert world.swept() == {}
    assert world.state["verified_through_at"] is None
    world.readers["crm"].close()
    world.begin(CHANGED)
    assert world.swept() == {}
    assert world.state["verified_through_at"] is not None


def test_a_mark_without_a_template_is_no_way_to_ask_for_changes(world: World) -> None:
    world.begin(f", changed_at: at{LIST}")
    for key in range(1, 6):
        world.put(key)
    assert world.swept() == {}
    assert world.state["sweeps"] > 0


def test_a_list_by_cursor_is_swept_and_goes_on_after_a_restart(world: World) -> None:
    world.begin(LIST)
    for key in range(1, 31):
        world.put(key)
    world.put(99, "Alone", billing=False)
    world.audit()
    assert "p" in world.state["owner_after"]
    world.restart()
    world.found({"99": "missing"})
    assert world.state["swept_read"] == 31


def test_a_cursor_that_expired_begins_the_walk_anew_and_nothing_is_called_missing(world: World) -> None:
    world.begin(LIST)
    for key in range(1, 31):
        world.put(key)
    world.audit()
    world.breaks = True
    assert world.auditor is not None
    results = [world.auditor.audit(world.now) for _ in range(8)]
    assert {each.counts[Outcome.SUSPECTED] for each in results} == {0}
    assert {each.error[1].reason for each in results if each.error} == {Reason.CURSOR_LOST}
    world.breaks = False
    assert world.swept() == {}
    assert world.state["swept_read"] == 30
    assert world.ledger.exports.table("divergences") == []


def test_where_nobody_lists_nothing_is_consistent_before_anything_is_known(world: World, tmp_path: Path) -> None:
    other = Api(world.answer)
    text = MAP.replace("URL", world.api.url).replace("PLACE", str(tmp_path)).replace(" WORDS", CHANGED)
    text = text.replace("OWNER", "crm").replace("TARGET", "billing")
    sql = text[text.index("  billing: {kind") : text.index("data_types")]
    text = text.replace(sql, f'  billing: {{kind: rest, url: "{other.url}"}}\n')
    text = text.replace(
        "billing: {collection: customers, key: id, changed_at: updated_at}",
        'billing: {collection: customers, key: id, records: "$.data[*]", many: "/c?ids={keys}"}',
    )
    file = tmp_path / "both.yaml"
    file.write_text(text)
    world.map = load_map(file, {})
    world.readers = open_readers(world.map)
    world.restart()
    world.put(1, billing=False)
    world.audit()
    (status,) = flow_status(world.map, world.ledger, datetime.now(UTC))
    assert (status.state, status.begun) == ("unverified", False)
    world.put(1, "Grace", billing=False, at=datetime.now(UTC).isoformat().replace("+00:00", "Z"))
    for _ in range(3):
        world.passed_s += 2
        world.audit()
    (status,) = flow_status(world.map, world.ledger, world.now)
    assert status.begun
    (note_owner, note_target) = blind_spots(world.map.flow("sync")).values()
    assert "Not seen there: records on which both systems have never agreed until they change" in note_owner
    assert "records that crm does not have, unless both systems agreed on them once" in note_target
    file.write_text(text.replace(CHANGED, ""))
    with pytest.raises(MapError, match="no record would ever be found"):
        load_map(file, {})
    other.close()


def test_check_and_doctor_tell_what_is_not_seen(world: World) -> None:
    world.begin(CHANGED)
    (crm, _) = examine(world.map, seed=None, steps={})
    assert crm.ok
    told = "Not seen there: records that are missing in billing and on which both systems have never agreed until"
    assert any(told in remark for remark in crm.remarks)
    (remark,) = check_map(world.place / "map.yaml", {})[1]
    assert (remark.path, told in remark.message) == ("data_types.customer.in.crm", True)
    world.begin(LIST)
    assert blind_spots(world.map.flow("sync")) == {}


def test_check_tells_what_asking_for_changes_lacks(world: World) -> None:
    world.begin(f'{LIST}, changed: "/{{collection}}?since={{since}}"')
    (remark,) = check_map(world.place / "map.yaml", {})[1]
    assert (remark.path, "set changed_at or version" in remark.message) == (
        "data_types.customer.in.crm.changed",
        True,
    )
    with pytest.raises(MapError, match=r"in\.crm\.since: local time needs a zone; set zone: of crm"):
        world.begin(f"{CHANGED}{LIST}, since: local")


def test_the_doctor_tells_of_an_error_that_came_with_status_200(world: World) -> None:
    world.begin(CHANGED)
    world.api.answer = lambda _: {"success": False, "error": {"code": 17}}
    (crm, _) = examine(world.map, seed=None, steps={})
    assert not crm.ok
    assert "changed: of customers did not return anything at $.data" in crm.problems[0]


def test_an_error_with_status_200_makes_no_record_missing(world: World) -> None:
    world.begin(LIST)
    for key in range(1, 6):
        world.put(key)
    assert world.swept() == {}
    whole = world.api.answer
    world.api.answer = lambda _: {"success": False, "error": {"code": 17}}
    assert world.auditor is not None
    for _ in range(2):
        world.passed_s += 10
        result = world.auditor.audit(world.now)
        assert result.error is not None or result.counts[Outcome.CANNOT_VERIFY]
    world.api.answer = whole
    assert world.ledger.exports.table("divergences") == []


def test_a_list_that_leaves_records_out_is_incomplete_and_its_sweep_is_not_counted(world: World) -> None:
    world.begin(LIST)
    for key in range(1, 31):
        world.put(key)
    world.omits = True
    for _ in range(40):
        world.audit()
        world.passed_s += 1
    assert world.state["sweeps"] == 0
    (status,) = flow_status(world.map, world.ledger, world.now)
    assert status.state == "unverified"
    assert "the list of crm is incomplete: 27 records that it answers by key are on no page" in status.why
    world.omits = False
    assert world.swept() == {}
    (status,) = flow_status(world.map, world.ledger, world.now)
    assert (status.state, status.unverified) == ("consistent", 0)


def test_once_does_not_call_a_list_that_leaves_records_out_consistent(world: World) -> None:
    world.begin(LIST)
    for key in range(1, 31):
        world.put(key)
    world.omits = True
    (report,) = audit_once(world.map, world.ledger, b"k" * 32, flows=["sync"], wait_s=0, tell=lambda _: None)
    assert report.cannot_verify == 27
    assert world.state["sweeps"] == 0


def test_a_record_created_behind_the_walk_makes_no_list_incomplete(world: World) -> None:
    world.begin(LIST)
    for key in range(10, 31):
        world.put(key)
    for key in range(9, 0, -1):
        world.audit()
        world.put(key)
    assert world.swept() == {}
    assert [row for row in world.ledger.exports.table("unverified") if row["cleared_at"] is None] == []
