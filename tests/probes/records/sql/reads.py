"""A process that reads one database once and says what it has read and by how much it has grown, as JSON."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from auditor.systems.reader import SystemReader
from probes.contract import Reading, ReadSpec
from probes.queues.sql_queue import SqlQueueProbe, SqlQueueSettings
from probes.records.sql.probe import SqlProbe
from probes.records.sql.settings import SqlSettings

SPEC = ReadSpec(data_type="wide", collection="wide", key="id", changed_at=None, version="id", fields=("value",))


def peak_bytes() -> int:
    """The most memory that this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def told(reading: Reading) -> dict[str, Any]:
    """A reading, without its values."""
    return {
        "read": [row[0] for row in reading.rows],
        "unreadable": dict(reading.unreadable),
        "error": None if reading.error is None else str(reading.error),
    }


def records(task: str, url: str, keys: list[int], timeout_s: float) -> dict[str, Any]:
    """Read records; what must be loaded for it is loaded before."""
    settings = SqlSettings.model_validate({"kind": "sql", "url": url, "budget": {"timeout": timeout_s}})
    reader = SystemReader("s", settings, SqlProbe(settings))
    name, _, only_keys = task.partition(" of ")
    spec = replace(SPEC, fields=()) if only_keys else SPEC
    reads: dict[str, Callable[[], Reading]] = {
        "fetch": lambda: reader.fetch(spec, keys),
        "page": lambda: reader.page(spec, None, 100),
        "changed": lambda: reader.changed(spec, 0, 100),
    }
    reader.fetch(spec, [-1])
    before = peak_bytes()
    found = told(reads[name]())
    grown = peak_bytes() - before
    reader.close()
    return {**found, "grown_bytes": grown}


def queue(url: str, timeout_s: float) -> dict[str, Any]:
    """Read a queue in a table, page after page."""
    system = SqlSettings.model_validate({"kind": "sql", "url": url, "budget": {"timeout": timeout_s}})
    settings = SqlQueueSettings(
        kind="sql_queue",
        system="s",
        table="letters",
        key="$.id",
        payload="payload",
        reason="reason",
        attempts="attempts",
    )
    probe = SqlQueueProbe(settings, system)
    probe.read(0)
    before = peak_bytes()
    reading = probe.read(probe.page_limit)
    letters = list(reading.letters)
    while reading.truncated and reading.letters:
        reading = probe.read(probe.page_limit, reading.next)
        letters += reading.letters
    grown = peak_bytes() - before
    probe.close()
    shown = [{**asdict(each), "headers": None, "payload": None} for each in letters]
    return {"letters": shown, "depth": reading.depth, "grown_bytes": grown}


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    if asked["task"] == "queue":
        found = queue(asked["url"], asked["timeout"])
    else:
        found = records(asked["task"], asked["url"], asked["keys"], asked["timeout"])
    print(json.dumps(found))
