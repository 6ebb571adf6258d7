"""Keys and texts that no database or terminal takes: they are told, and keep nothing else from being audited."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from auditor.history.lens import Lens
from auditor.history.status import flow_status
from auditor.ledger import ROWS, Ledger
from auditor.ledger import tables as t
from auditor.map.loader import load_map
from checks.judgement import Outcome
from checks.keys import KEY_LIMIT_BYTES
from probes.queue_contract import Letter
from tests.auditor.cli.process import auditor
from tests.http_api import Api, Request
from tests.stand import swept

MAP = """\
systems:
  crm: {kind: rest, url: "URL/crm"}
  copy: {kind: rest, url: "URL/copy"}
data_types:
  odd:
    owner: crm
    window: 1s
    fields: {name: {type: string, evidence: clear}}
    in:
      crm: {collection: things, key: id, records: "$.data[*]", many: "/{collection}?ids={keys}",
        list: "/{collection}"}
      copy: {collection: things, key: id, records: "$.data[*]", many: "/{collection}?ids={keys}",
        list: "/{collection}"}
flows:
  sync: {data_type: odd, from: crm, to: copy, pattern: real-time, every: 1s, sample: 10}
"""
LONE = "k\ud800"
ODD = {"half of a pair": LONE, "too long": "k" * (KEY_LIMIT_BYTES + 1)}


class World:
    """Two APIs on loopback that answer whatever they are given."""

    def __init__(self, place: Path) -> None:
        self.held: dict[str, dict[str, str]] = {"crm": {}, "copy": {}}
        self.api = Api(self.answer)
        self.file = place / "plumbline.yaml"
        self.file.write_text(MAP.replace("URL", self.api.url))

    def answer(self, request: Request) -> Any:
        known = self.held[request.path.split("/")[1]]
        asked = request.values.get("ids")
        wanted = known if asked is None else asked.split(",")
        return {"data": [{"id": key, "name": known[key]} for key in wanted if key in known]}

    def put(self, key: str, name: str = "Ada", copied: str | None = None) -> None:
        self.held["crm"][key] = name
        self.held["copy"][key] = name if copied is None else copied


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.api.close()


def sweep(world: World, ledger: Ledger) -> Mapping[Outcome, int]:
    loaded = load_map(world.file, {})
    result = swept(loaded, "sync", ledger)
    (status,) = flow_status(loaded, ledger, datetime.now(UTC))
    assert status.unverified == result.counts[Outcome.CANNOT_VERIFY]
    return result.counts


@pytest.mark.parametrize("key", ODD.values(), ids=ODD)
def test_one_key_that_cannot_be_kept_is_one_row_that_cannot_be_verified(
    world: World, ledger: Ledger, key: str
) -> None:
    for good in ("a", "b", "é" * 500):
        world.put(good)
    world.put(key)
    counts = sweep(world, ledger)
    assert counts[Outcome.AGREED] == 3
    (row,) = [row for row in ledger.exports.table("unverified") if row["cleared_at"] is None]
    assert row["subject"] == ROWS
    assert "cannot be stored" in row["reason"]


def test_a_key_with_nul_is_audited_like_any_other(world: World, ledger: Ledger) -> None:
    for good in ("a", "k\0", "\0", "k\u24260000"):
        world.put(good)
    world.put("k\0other", "Ada", "Eve")
    assert sweep(world, ledger)[Outcome.AGREED] == 4
    (row,) = ledger.exports.table("divergences")
    assert row["key"] == "k\0other"
    with ledger.database.read() as connection:
        assert set(connection.execute(sa.select(t.baselines.c.key)).scalars()) == {"a", "k\0", "\0", "k\u24260000"}
    world.put("k\0other")
    assert sweep(world, ledger)[Outcome.AGREED] == 5
    (row,) = ledger.exports.table("divergences")
    assert row["closed_at"] is not None


def test_a_value_that_cannot_be_kept_is_compared_and_told(world: World, ledger: Ledger) -> None:
    world.put("same", LONE)
    world.put("other", LONE, "k")
    world.put("nul", "k\0", "k")
    assert sweep(world, ledger)[Outcome.AGREED] == 1
    found = {row["key"] for row in ledger.exports.table("divergences")}
    assert found == {"other", "nul"}


def test_what_a_letter_or_a_message_tells_is_kept_exactly(ledger: Ledger) -> None:
    letter = Letter(letter_id=LONE, key="k", reason=f"no\0 {LONE}", headers={LONE: "\0"}, payload=LONE)
    with ledger.write() as transaction:
        ledger.queues.save_letters(transaction, "sync", "dead", [letter], datetime.now(UTC))
    with ledger.database.read() as connection:
        row = connection.execute(sa.select(t.dead_letters)).mappings().one()
    assert row["reason"] == f"no\0 {LONE}"
    assert row["letter_id"] == row["payload"] == LONE
    assert json.loads(row["headers"]) == {LONE: "\0"}


def test_the_command_line_tells_it_with_a_sign(world: World, tmp_path: Path) -> None:
    world.put("lone", LONE, "k")
    world.put(LONE)
    words = ("--map", str(world.file), "--data", str(tmp_path / "var"))
    shown = auditor("record", "odd", "lone", "--map", str(world.file))
    assert shown.returncode == 1, shown.stderr  # the copies differ
    assert "k⟨U+D800⟩" in shown.stdout
    document = json.loads(auditor("record", "odd", "lone", "--json", "--map", str(world.file)).stdout)
    assert document["copies"][0]["cells"]["name"]["text"] == LONE
    once = auditor("once", *words)
    assert "Error" not in once.stderr
    refused = auditor("record", "odd", os.fsdecode(b"k\xff"), "--map", str(world.file))
    assert "is not a valid key of odd" in refused.stderr


def test_views_read_the_differences_of_such_values(world: World, ledger: Ledger) -> None:
    """JSON can write half of a pair as an escape, which no query over JSON takes: one such row fails them all."""
    world.put("a", "h\ud800", "Ada\0")
    sweep(world, ledger)
    (row,) = ledger.exports.table("divergences")
    lens = Lens(ledger)
    lens.refresh()
    told = "SELECT json_extract_string(differences, '$[0].owner_value') FROM divergences"
    ((value,),) = lens.query(told).to_pandas().values.tolist()
    lens.close()
    assert value == "h\u2426d800"
    assert "\\ud800" not in row["differences"]
