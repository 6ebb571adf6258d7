"""Cells of what records hold: numbers, texts and rows, audited."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa

from benchmarks import flights
from benchmarks.hostile import places
from benchmarks.hostile.attacked import CANARY
from benchmarks.hostile.bench import Attack, Bench, cell
from tests.attacks import numbers, rows, texts
from tests.http_api import Api, Request

REST_BINDING = {
    "collection": "things",
    "key": "id",
    "changed_at": "updated_at",
    "records": "$.data[*]",
    "many": "/{collection}?ids={keys}",
    "list": "/{collection}?after={after}&limit={limit}",
    "changed": "/{collection}?since={since}&limit={limit}",
}


AUDITED_S = 30.0
"""How long the audit of a whole corpus may take; its systems answer at once."""


def map_of(owner: Mapping[str, Any], folder: Path, n: Mapping[str, Any], *, key: str = "integer") -> str:
    """A map of an attacked owner and a copy that holds something else."""
    rest = {} if owner["kind"] != "rest" else {**REST_BINDING}
    rest.pop("changed", None)
    systems = {"owner": dict(owner), "copy": {"kind": "sql", "url": f"sqlite:///{folder}/copy.sqlite"}}
    for each in systems.values():
        each["zone"] = "UTC"
    bindings = {
        "owner": {"collection": "things", "key": "id", **rest, "changed_at": "updated_at"},
        "copy": {"collection": "things", "key": "id"},
    }
    fields = {"n": {**n, "evidence": "clear"}, "j": {"type": "json", "evidence": "clear"}}
    thing = {"owner": "owner", "window": "1s", "key_type": key, "fields": fields, "in": bindings}
    flow = {"data_type": "thing", "from": "owner", "to": "copy", "pattern": "real-time", "every": "1s"}
    return json.dumps({"systems": systems, "data_types": {"thing": thing}, "flows": {"flow": flow}})


def owner_holding(bench: Bench, place: str, folder: Path, values: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """A system whose record number N holds the Nth of these values, as text and in JSON; and those that it took."""
    documents = [json.dumps({"v": value}) for value in values]
    stamp = "2026-03-01 00:00:00"
    if place == "rest":
        return _of_api(
            bench,
            [
                f'{{"id": {at}, "n": {json.dumps(value)}, "j": {document}, "updated_at": "2026-03-01T00:00:00Z"}}'
                for at, (value, document) in enumerate(zip(values, documents, strict=True), 1)
            ],
        ), list(values)
    taken: list[str] = []
    if place == "sqlite":
        taken = [value for value in values if value.encode(errors="ignore").decode() == value]
        places.things(str(folder / "owner.sqlite"), "text", taken)
        return {"kind": "sql", "url": f"sqlite:///{folder}/owner.sqlite"}, taken
    name = f"h{len(bench._known)}_{time.monotonic_ns()}"
    if place == "postgresql":
        with psycopg.connect(f"{bench.postgresql}/postgres", autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {name}")
        with psycopg.connect(f"{bench.postgresql}/{name}", autocommit=True) as database:
            database.execute("CREATE TABLE things (id bigint PRIMARY KEY, n text, j json, updated_at timestamptz)")
            for value, document in zip(values, documents, strict=True):
                with contextlib.suppress(psycopg.Error, UnicodeError, ValueError):  # what it does not hold
                    row = (len(taken) + 1, value, document, stamp)
                    database.execute("INSERT INTO things VALUES (%s, %s, %s, %s)", row)
                    taken.append(value)
        return {"kind": "sql", "url": f"{bench.postgresql}/{name}"}, taken
    with contextlib.closing(flights.target(f"{bench.mariadb}/mysql")) as admin_target:
        admin_target.cursor().execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    with contextlib.closing(flights.target(f"{bench.mariadb}/{name}")) as target:
        cursor = target.cursor()
        cursor.execute("CREATE TABLE things (id bigint PRIMARY KEY, n longtext, j longtext, updated_at datetime)")
        for value, document in zip(values, documents, strict=True):
            with contextlib.suppress(Exception):
                cursor.execute("INSERT INTO things VALUES (%s, %s, %s, %s)", (len(taken) + 1, value, document, stamp))
                taken.append(value)
        target.commit()
    url = sa.make_url(bench.mariadb).set(database=name).render_as_string(hide_password=False)
    return {"kind": "sql", "url": url}, taken


def _of_api(bench: Bench, records: Sequence[str]) -> dict[str, Any]:
    """An API that answers these records, written as they are."""

    def answer(request: Request) -> bytes:
        asked = request.values
        if "ids" in asked:
            wanted = [int(each) - 1 for each in asked["ids"].split(",") if each.isdigit()]
            found = [records[at] for at in wanted if at < len(records)]
        else:
            after = int(asked.get("after") or 0)
            found = list(records[after : after + int(asked.get("limit") or 100)])
        return f'{{"data": [{", ".join(found)}]}}'.encode("utf-8", "surrogatepass")

    api = Api(answer)
    bench.stack.callback(api.close)
    return {"kind": "rest", "url": f"{api.url}?key={CANARY}"}


ENGINES = ("rest", "postgresql", "mariadb", "sqlite")


def _audits(bench: Bench, place: str, corpus: Mapping[str, str], types: Sequence[str]) -> Iterator[Attack]:
    """One audit for each type, whose owner holds the whole corpus."""
    values = [value for _, value in bench.chosen(corpus)]
    for type_ in types:
        folder = bench.folder()
        owner, taken = owner_holding(bench, place, folder, values)
        places.things(str(folder / "copy.sqlite"), "text", ["0"] * len(taken))
        yield Attack(
            name=type_,
            call=places.audit,
            words={"map_text": map_of(owner, folder, {"type": type_}), "folder": str(folder), "keys": ["1", "2"]},
            within_s=AUDITED_S,
            calls=2,
            covers=len(taken),
        )


@cell("numbers", *ENGINES)
def _numbers(bench: Bench, place: str) -> Iterator[Attack]:
    yield from _audits(
        bench, place, {**numbers.NUMBERS, **numbers.SPELT}, ("integer", "decimal", "float", "timestamp")
    )
    if place == "rest":  # as JSON writes them, in values, keys and stamps
        told = [text for _, text in bench.chosen(numbers.NUMBERS)]
        for name, record in {
            "as values": '{{"id": {at}, "n": {text}, "j": {{"v": {text}}}, "updated_at": "2026-03-01T00:00:00Z"}}',
            "as keys": '{{"id": {text}, "n": 1, "j": {{}}, "updated_at": "2026-03-01T00:00:00Z"}}',
            "as stamps": '{{"id": {at}, "n": 1, "j": {{}}, "updated_at": {text}}}',
        }.items():
            folder = bench.folder()
            places.things(str(folder / "copy.sqlite"), "text", ["0"] * len(told))
            owner = _of_api(bench, [record.format(at=at, text=text) for at, text in enumerate(told, 1)])
            whole = map_of(owner, folder, {"type": "integer"})
            words = {"map_text": whole, "folder": str(folder), "keys": ["1"]}
            yield Attack(name=name, call=places.audit, words=words, within_s=AUDITED_S, calls=2, covers=len(told))


@cell("texts", *ENGINES)
def _texts(bench: Bench, place: str) -> Iterator[Attack]:
    yield from _audits(bench, place, texts.TEXTS, ("string", "enum", "timestamp", "uuid"))
    if place == "rest":
        values = [value for _, value in bench.chosen(texts.TEXTS)]
        folder = bench.folder()
        places.things(str(folder / "copy.sqlite"), "text", ["0"])
        record = '{{"id": {text}, "n": "x", "j": {{}}, "updated_at": "2026-03-01T00:00:00Z"}}'
        owner = _of_api(bench, [record.format(text=json.dumps(value)) for value in values])
        whole = map_of(owner, folder, {"type": "string"}, key="string")
        words = {"map_text": whole, "folder": str(folder), "keys": [values[0]]}
        yield Attack(name="as keys", call=places.audit, words=words, within_s=AUDITED_S, calls=2, covers=len(values))


@cell("rows", "postgresql", "mariadb", "sqlite")
def _rows(bench: Bench, place: str) -> Iterator[Attack]:
    for at, (name, table) in enumerate(bench.chosen(rows.TABLES)):
        url = _large(bench, place, at, table)
        words = {"url": url, "table": f"rows{at}", "keys": len(table.sizes)}
        yield Attack(name=name, call=places.rows, words=words, within_s=20.0, calls=2)


def _large(bench: Bench, place: str, at: int, table: rows.Table) -> str:
    filled = [
        (number, table.begins + rows.TEXT * (size - len(table.begins))) for number, size in enumerate(table.sizes, 1)
    ]
    if place == "sqlite":
        file = bench.of("large sqlite", bench.folder) / "rows.sqlite"
        with contextlib.closing(sqlite3.connect(file)) as database, database:
            database.execute(f"CREATE TABLE rows{at} (id integer PRIMARY KEY, n text)")
            database.executemany(f"INSERT INTO rows{at} VALUES (?, ?)", filled)
        return f"sqlite:///{file}"
    if place == "postgresql":
        with psycopg.connect(f"{bench.postgresql}/postgres", autocommit=True) as admin:
            admin.execute(f"CREATE TABLE rows{at} (id bigint PRIMARY KEY, n text)")
            for row in filled:
                admin.execute(f"INSERT INTO rows{at} VALUES (%s, %s)", row)
        return f"{bench.postgresql}/postgres"

    def made() -> str:
        with contextlib.closing(flights.target(f"{bench.mariadb}/mysql")) as admin_target:
            admin_target.cursor().execute("CREATE DATABASE large CHARACTER SET utf8mb4")
        return f"{bench.mariadb}/large"

    url = str(bench.of("large mariadb", made))
    with contextlib.closing(flights.target(url)) as target:
        cursor = target.cursor()
        cursor.execute(f"CREATE TABLE rows{at} (id bigint PRIMARY KEY, n longtext)")
        for row in filled:
            cursor.execute(f"INSERT INTO rows{at} VALUES (%s, %s)", row)
        target.commit()
    return url
