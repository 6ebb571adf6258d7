"""A queue that may not exist is remarked on where its broker cannot tell that from an empty one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import redis

from auditor.map.loader import load_map
from auditor.systems.doctor import SystemReport, examine
from tests.stand import Stand

SQL = "kind: sql_queue, system: billing, table: letters, key: record, since: failed_at, reason: error"


def queue(stand: Stand) -> SystemReport:
    found = examine(load_map(stand.map_file, {}), seed=None, steps={})
    (told,) = [each for each in found if each.system == "queue to_billing/dead"]
    return told


def say(stand: Stand, words: str) -> None:
    text = stand.map_file.read_text()
    assert SQL in text
    Path(stand.map_file).write_text(text.replace(SQL, words))


@pytest.mark.parametrize("command", [["XADD", "letters", "*", "id", "1"], ["LPUSH", "letters", "{}"]])
def test_a_misspelt_redis_key_is_remarked_on(stand: Stand, redis_url: str, command: list[str]) -> None:
    client: Any = redis.Redis.from_url(redis_url)
    client.flushall()
    say(stand, f'kind: redis, url: "{redis_url}", name: letters')
    told = queue(stand)
    assert (told.ok, told.remarks) == (True, ["there is no key letters: empty, or misspelt"])
    client.execute_command(*command)
    assert queue(stand).remarks == []
    client.close()


def test_a_condition_that_no_row_keeps_is_remarked_on(stand: Stand) -> None:
    say(stand, f"{SQL}, where: {{error: boom}}")
    stand.run("billing", "INSERT INTO letters VALUES (1, 1, '2026-01-01 00:00:00', 'bang')")
    (remark,) = queue(stand).remarks
    assert "no row of letters with what where: says of error" in remark
    stand.run("billing", "INSERT INTO letters VALUES (2, 1, '2026-01-01 00:00:00', 'boom')")
    assert queue(stand).remarks == []


def test_an_empty_table_is_an_empty_queue(stand: Stand) -> None:
    assert queue(stand).remarks == []


def test_a_table_that_is_not_there_is_an_error(stand: Stand) -> None:
    say(stand, SQL.replace("letters", "leters"))
    assert not queue(stand).ok
