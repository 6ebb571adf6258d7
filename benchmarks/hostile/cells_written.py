"""Cells of what is read from files and written for people: maps, archives, ledgers, proposals, pages."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from benchmarks.hostile import places, written
from benchmarks.hostile.bench import Attack, Bench, cell
from benchmarks.hostile.cells_held import map_of, owner_holding
from probes.records.sql.names import join_name
from tests.attacks import files, names, texts, yaml_texts


@cell("maps", "map file")
def _maps(bench: Bench, _: str) -> Iterator[Attack]:
    for name, (text, _line) in bench.chosen(yaml_texts.REFUSED):
        words = {"text": text, "folder": str(bench.folder())}
        yield Attack(name=name, call=places.map_text, words=words, within_s=5.0)


@cell("files", "archive", "ledger")
def _files(bench: Bench, place: str) -> Iterator[Attack]:
    call = written.archive if place == "archive" else written.ledger
    for name, _spoil in bench.chosen(files.PARQUET if place == "archive" else files.LEDGERS):
        yield Attack(name=name, call=call, words={"folder": str(bench.folder()), "name": name}, within_s=10.0)


@cell("names", "discover", "repair")
def _names(bench: Bench, place: str) -> Iterator[Attack]:
    if place == "discover":
        told = {**names.NAMES, **{name: text for name, text in texts.TEXTS.items() if 0 < len(text) < 200}}
        chosen = [text for _, text in bench.chosen(told)]
        words: dict[str, Any] = {"names": chosen}
        yield Attack(name="all", call=written.proposals, words=words, within_s=30.0, covers=len(chosen))
        return
    folder, met = bench.folder(), [name for _, name in bench.chosen(names.NAMES)]
    whole = json.loads(map_of({"kind": "sql", "url": f"sqlite:///{folder}/owner.sqlite"}, folder, {"type": "string"}))
    whole["data_types"], whole["flows"] = {}, {}
    for at, name in enumerate(met):
        column = f"{name} it"
        for system, value in (("owner", "right"), ("copy", "wrong")):
            with contextlib.closing(sqlite3.connect(folder / f"{system}.sqlite")) as database, database:
                table, key, field = (sa.sql.quoted_name(each, True) for each in (name, name, column))
                made = sa.Table(table, sa.MetaData(), sa.Column(key, sa.Text, primary_key=True), sa.Column(field))
                dialect: Any = sa.create_engine("sqlite://").dialect
                quoted = [dialect.identifier_preparer.quote(each) for each in (made.name, key, field)]
                database.execute(f"CREATE TABLE {quoted[0]} ({quoted[1]} text PRIMARY KEY, {quoted[2]} text)")
                database.execute(f"INSERT INTO {quoted[0]} VALUES ('k', ?)", (value,))
        binding = {"collection": join_name(None, name).replace("$", "$$"), "key": name.replace("$", "$$")}
        bound = {**binding, "fields": {"n": column.replace("$", "$$")}}
        fields = {"n": {"type": "string", "evidence": "clear"}}
        whole["data_types"][f"t{at}"] = {
            "owner": "owner",
            "window": "1s",
            "key_type": "string",
            "fields": fields,
            "in": {"owner": bound, "copy": bound},
        }
        whole["flows"][f"f{at}"] = {
            "data_type": f"t{at}",
            "from": "owner",
            "to": "copy",
            "pattern": "batch",
            "every": "1s",
        }
    words = {"map_text": json.dumps(whole), "folder": str(folder), "flows": len(met)}
    yield Attack(name="all", call=written.repairs, words=words, within_s=60.0, calls=2, covers=len(met))


@cell("formulas", "CSV")
def _formulas(bench: Bench, _: str) -> Iterator[Attack]:
    begun = {name: text for name, text in texts.TEXTS.items() if text[:1] in set("=+-@\t\r")}
    more = {f"{sign} before a text": f"{sign}cmd|' /c calc'!A1" for sign in ("=", "+", "-", "@", "\t=", "\r=")}
    folder, values = bench.folder(), [text for _, text in bench.chosen({**begun, **more})]
    owner, taken = owner_holding(bench, "sqlite", folder, values)
    places.things(str(folder / "copy.sqlite"), "text", ["0"] * len(taken))
    words = {"map_text": map_of(owner, folder, {"type": "string"}), "folder": str(folder)}
    yield Attack(name="all", call=written.formulas, words=words, within_s=60.0, calls=2, covers=len(taken))


@cell("hosts", "dashboard")
def _hosts(bench: Bench, _: str) -> Iterator[Attack]:
    from tests import HOME
    from tests.auditor.dashboard import test_access
    from tests.auditor.screens import served

    address = bench.stack.enter_context(served([str(HOME / "app.py")], {"AUDITOR_MAP": "/nowhere"}))
    for host in test_access.EVIL:
        words = {"port": int(address.rpartition(":")[2]), "host": host}
        yield Attack(name=host or "none", call=written.dashboard, words=words, within_s=30.0)
