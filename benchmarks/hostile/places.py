"""The places that are attacked: each reads, sends, loads or shows what an attack has prepared."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.hostile.attacked import DEADLINE_S, NOTICE, timed

SHOWN = ("overview", "drift", "lag", "dead_letters", "sla", "map", "record")
"""Pages that are drawn over what an attack left."""


def records(settings: Mapping[str, Any], binding: Mapping[str, Any]) -> list[str]:
    """Every way in which a system's records are read: by key, page by page, what changed; and its clock."""
    from auditor.systems.reader import SystemReader
    from probes import registry
    from probes.contract import ReadSpec

    made: Any = registry.record_settings(settings["kind"]).model_validate(dict(settings))
    options: dict[str, Any] = {}
    if settings["kind"] == "rest":
        from probes.records.rest.settings import RestBinding

        options = {"options": RestBinding.model_validate(dict(binding)).options()}
    spec = ReadSpec(
        data_type="thing",
        collection=binding["collection"],
        key="id",
        changed_at=binding.get("changed_at"),
        fields=("n",),
        **options,
    )
    told = []
    reads: list[Callable[[SystemReader], Any]] = [
        lambda reader: _seen(reader.fetch(spec, [1, 2])),
        lambda reader: _seen(reader.page(spec, None, 500)),
        lambda reader: reader.read_clock(datetime.now(UTC)) and "a clock",
    ]
    if spec.changed_at:
        reads.append(lambda reader: _seen(reader.changed(spec, datetime(2026, 3, 1, tzinfo=UTC), 500)))
    for read in reads:  # each with a reader of its own: one that was told to wait would not ask again
        reader = SystemReader("attacked", made, registry.open_record_probe(made))
        told.append(timed(lambda read=read, reader=reader: read(reader)))  # type: ignore[misc]
        if reader.clock_failure is not None:
            told.append(str(reader.clock_failure))
        reader.close()
    return told


def _seen(reading: Any) -> str:
    if reading.error is not None:
        return f"{reading.error.reason.value}: {reading.error.message}"
    unreadable = "; ".join(sorted({str(each) for each in reading.unreadable.values()}))[:500]
    return f"{len(reading.rows)} rows, {len(reading.unreadable)} unreadable {unreadable}"


def queue(settings: Mapping[str, Any], pages: int = 1) -> list[str]:
    """A queue's figures and letters."""
    from probes import registry

    made = registry.queue_settings(settings["kind"]).model_validate(dict(settings))
    probe = registry.open_queue_probe(made, None)
    told, after = [], None
    for _ in range(pages):
        seen: list[Any] = []
        told.append(timed(lambda after=after, seen=seen: seen.append(probe.read(10, after)) or _of_queue(seen[0])))  # type: ignore[misc]
        if not seen or (after := seen[0].next) is None:
            break
    probe.close()
    return told


def _of_queue(reading: Any) -> str:
    letters = [f"{each.key!s:.50}" for each in reading.letters]
    return f"depth {reading.depth}, {len(letters)} letters, {'; '.join(reading.notes)[:500]}"


def sender(kind: str, url: str) -> list[str]:
    """A try to send an alert."""
    from auditor.senders.registry import open_sender, sender_settings

    model = sender_settings(kind)
    made = open_sender(kind, model.model_validate({model.address_word: url}), timeout_s=DEADLINE_S)
    return [timed(lambda: made.send(NOTICE, possible_repeat=False))]


def audit(map_text: str, folder: str, keys: Sequence[str] = ()) -> list[str]:
    """A whole audit of a map; then every command and page that shows what it found.

    Raises:
        AssertionError: a command or a page failed, or let through what a terminal would act on.
    """
    from auditor.audit.once import audit_once
    from auditor.ledger import Ledger
    from auditor.map.loader import load_map

    place = Path(folder)
    file = place / "plumbline.yaml"
    file.write_text(map_text)
    loaded = load_map(file, {})
    ledger = Ledger(f"sqlite:///{place}/ledger.sqlite")
    ledger.migrate()
    told: list[str] = []

    def audited() -> str:
        reports = audit_once(loaded, ledger, b"k" * 32, flows=list(loaded.flows), wait_s=3, tell=lambda _: None)
        return "; ".join(f"{each.as_row()}" for each in reports)

    told.append(timed(audited))
    ledger.close()
    return told + shown(file, place, keys)


def shown(file: Path, place: Path, keys: Sequence[str] = ()) -> list[str]:
    """What the commands and the pages say of an installation; long tables are cut to lines."""
    from typer.testing import CliRunner

    import auditor.cli  # noqa: F401  the commands
    from auditor.cli.options import app
    from benchmarks.hostile.pages import drawn

    named = {
        "AUDITOR_MAP": str(file),
        "AUDITOR_DATA": str(place),
        "AUDITOR_LEDGER": f"sqlite:///{place}/ledger.sqlite",
    }
    os.environ.update(named)
    words = [["drift"], ["drift", "--json"], ["status"], ["coverage"], ["backlog"], ["letters"], ["incidents"]]
    words += [["repair", "--format", each] for each in ("sql", "json", "csv")]
    words += [["record", "thing", "--", key] for key in keys]
    told: list[str] = []
    for command in words:
        result = CliRunner().invoke(app, command)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise AssertionError(f"auditor {command[0]}: {type(result.exception).__name__}: {result.exception}")
        if "Usage: " in result.output:
            raise AssertionError(f"auditor {command[0]} does not know these words: {result.output[:300]}")
        lines = result.output.splitlines()
        told += [line[:1_900] for line in lines]
        if "--json" not in command and "repair" not in command:
            acts = [each for each in result.output if each != "\n" and (ord(each) < 32 or 127 <= ord(each) < 160)]
            if acts:
                raise AssertionError(f"auditor {command[0]} printed {acts[0]!r}")
    for page in SHOWN:
        told += drawn(page)
    return told


def rows(url: str, table: str, keys: int) -> list[str]:
    """Every record of a table, by key and page by page."""
    from auditor.systems.reader import SystemReader
    from probes import registry
    from probes.contract import ReadSpec

    words = {"kind": "sql", "url": url, "budget": {"timeout": "20s"}}
    made: Any = registry.record_settings("sql").model_validate(words)
    spec = ReadSpec(data_type="thing", collection=table, key="id", changed_at=None, fields=("n",))
    reader = SystemReader("attacked", made, registry.open_record_probe(made))
    told = [timed(lambda: _seen(reader.fetch(spec, list(range(1, keys + 1)))))]
    told.append(timed(lambda: _seen(reader.page(spec, None, 500))))
    reader.close()
    return told


def map_text(text: bytes, folder: str) -> list[str]:
    """A map's file, as every command reads it first."""
    from auditor.map.loader import load_map
    from auditor.map.problems import MapError

    file = Path(folder) / "plumbline.yaml"
    file.write_bytes(text)

    def load() -> str:
        try:
            load_map(file, {})
        except MapError as error:
            lines = str(error).splitlines()
            if not any(str(file) in line for line in lines):
                raise AssertionError(f"no file is named in {lines[:1]}") from None
            return lines[0][:1_900]
        return "valid"

    return [timed(load)]


def address(url: str, folder: str) -> list[str]:
    """A database's address; nothing is made in its folder."""
    from auditor.systems.reader import SystemReader
    from probes import registry
    from probes.contract import ReadSpec

    place = Path(folder)
    before = {each.name: each.read_bytes() for each in place.iterdir()}
    try:
        words = {"kind": "sql", "url": url, "budget": {"timeout": f"{DEADLINE_S}s"}}
        made: Any = registry.record_settings("sql").model_validate(words)
        probe = registry.open_record_probe(made)
    except Exception as error:
        if "Boxk4mpfer" in str(error):
            raise AssertionError("the refusal repeats the password") from None
        return [f"refused: {str(error)[:500]}"]
    spec = ReadSpec(data_type="thing", collection="things", key="id", changed_at=None, fields=("n",))
    reader = SystemReader("attacked", made, probe)
    told = [timed(lambda: _seen(reader.fetch(spec, [1])))]
    reader.close()
    after = {each.name: each.read_bytes() for each in place.iterdir()}
    if after != before:
        raise AssertionError(f"changed or made {sorted(set(after.items()) ^ set(before.items()))[0][0]}")
    return told


def things(file: str, column: str, values: Sequence[str]) -> None:
    """A SQLite table of things, one for each value."""
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(f"CREATE TABLE things (id integer PRIMARY KEY, n {column}, j text, updated_at text)")
        stamp = datetime(2026, 3, 1, tzinfo=UTC).strftime("%Y-%m-%d %H:%M:%S")
        told = [(at, value, json.dumps({"v": value}), stamp) for at, value in enumerate(values, 1)]
        database.executemany("INSERT INTO things VALUES (?, ?, ?, ?)", told)


def letters(
    settings: Mapping[str, Any], good: str, system: Mapping[str, Any] | None = None, *, depth_known: bool = True
) -> list[str]:
    """A queue in which a message of an attack waits beside a good one.

    Raises:
        AssertionError: the queue's depth is wrong, or the good letter is not seen.
    """
    from probes import registry

    made = registry.queue_settings(settings["kind"]).model_validate(dict(settings))
    owner = registry.record_settings("sql").model_validate(dict(system)) if system else None
    probe = registry.open_queue_probe(made, owner)
    told: list[str] = []
    keys: list[Any] = []
    depth, after = None, None
    for _ in range(4):
        seen: list[Any] = []

        def read(seen: list[Any] = seen, after: str | None = after) -> str:
            seen.append(probe.read(probe.page_limit, after))
            return _of_queue(seen[0])

        told.append(timed(read))
        if not seen:
            break
        depth = seen[0].depth if depth is None else depth
        keys += [each.key for each in seen[0].letters]
        after = seen[0].next
        if after is None:
            break
    probe.close()
    if depth_known and depth != 2:
        raise AssertionError(f"a depth of {depth} instead of 2; {told}")
    if good not in [str(each) for each in keys]:
        raise AssertionError(f"the other letter was not seen: {keys!r:.200}; {told!r:.500}")
    return told


def pages(file: Path, place: Path) -> list[str]:
    """What the pages say of an installation."""
    from benchmarks.hostile.pages import drawn

    named = {
        "AUDITOR_MAP": str(file),
        "AUDITOR_DATA": str(place),
        "AUDITOR_LEDGER": f"sqlite:///{place}/ledger.sqlite",
    }
    os.environ.update(named)
    return [line for page in SHOWN for line in drawn(page)]
