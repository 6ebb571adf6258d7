"""Repair's SQL fed to the clients people use: exactly the intended change is made, or none, and the file says why."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from auditor.conflicts.proposal import Proposal
from auditor.conflicts.repair_formats import write_sql
from probes.contract import ReadSpec
from probes.records.sql.names import join_name
from probes.records.sql.probe import SqlProbe
from probes.records.sql.settings import SqlSettings
from tests.attacks.texts import NAME, TEXTS
from tests.probes.clients import Client

KINDS = ("postgresql", "mariadb", "sqlite")
TEXT = {"postgresql": "text", "mariadb": "longtext CHARACTER SET utf8mb4", "sqlite": "text"}
KEY = {
    "postgresql": "text",
    "mariadb": "varchar(700) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin",
    "sqlite": "text",
}
STRICT = {"postgresql": ["--set=ON_ERROR_STOP=1"], "mariadb": [], "sqlite": ["-bail"]}


@pytest.fixture(params=KINDS)
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Client]:
    made = Client(kind=request.param, url=request.getfixturevalue(f"{request.param}_url"), place=tmp_path)
    made.run(f"CREATE TABLE {NAME} (id int, v int)")
    made.run(f"INSERT INTO {NAME} VALUES (1, 1), (2, 2)")
    yield made
    made.close()


def unharmed(client: Client) -> None:
    assert client.run(f"SELECT id, v FROM {NAME} ORDER BY id") == [(1, 1), (2, 2)]
    assert client.left_behind() == []


def impossible(text: str) -> bool:
    """Whether no client carries it: NUL cuts lines short, half a character is no text."""
    return "\0" in text or bool(re.search("[\ud800-\udfff]", text))


def proposal(action: str, key: Any, changes: Mapping[str, Any], guard: Mapping[str, Any], **more: Any) -> Proposal:
    told: dict[str, Any] = {
        "flow": "f",
        "data_type": "t",
        "cause": "late",
        "system": "here",
        "collection": "t",
        "key_field": "id",
        "why": "the owner's copy counts",
        **more,
    }
    return Proposal(action=action, key=key, changes=changes, guard=guard, **told)


def settings(client: Client) -> SqlSettings:
    return SqlSettings.model_validate({"kind": "sql", "url": client.url})


def natives(client: Client, table: str, key: str, *fields: str) -> Mapping[str, Any]:
    probe = SqlProbe(settings(client))
    try:
        return probe.column_types(
            ReadSpec(data_type="t", collection=table, key=key, changed_at=None, key_type="string", fields=fields)
        )
    finally:
        probe.close()


def told(client: Client, *proposals: Proposal) -> str:
    text = write_sql(SimpleNamespace(systems={"here": settings(client)}), proposals)  # type: ignore[arg-type]
    assert not {*text} & {"\0", "\r", "\x1b", "\x85", "\u2028", "\u2029", "\u202e"}
    return text


def statements(text: str) -> list[str]:
    return [line for line in text.split("\n") if line and not line.startswith("--")]


def carried(client: Client, each: Proposal) -> bool:
    """Whether the file holds its statement, one line, or else the reason why there is none."""
    text = told(client, each)
    found = statements(text)
    assert len(found) < 2, text
    assert found or re.search(r"(?m)^-- no statement: \S", text), text
    return bool(found)


def held(client: Client, table: str, key: str, *columns: str) -> dict[str, tuple[Any, ...]]:
    names = ", ".join(client.named(each) for each in (key, *columns))
    return {row[0]: row[1:] for row in client.run(f"SELECT {names} FROM {client.named(table)}")}


def hostile_proposals(client: Client) -> tuple[list[Proposal], dict[str, tuple[Any, ...]]]:
    """A table of hostile texts, what is proposed for it, and what it should then hold."""
    client.run(f"CREATE TABLE t (id {KEY[client.kind]}, v {TEXT[client.kind]}, w {TEXT[client.kind]})")
    kinds = natives(client, "t", "id", "v", "w")
    wanted: list[Proposal] = []
    expected: dict[str, tuple[Any, ...]] = {}

    def put(key: str, v: str) -> bool:
        try:
            client.run("INSERT INTO t VALUES (?, ?, '')", (key, v))
        except Exception:
            if not impossible(key + v):
                raise
            return False
        expected[key] = (v, "")
        return True

    def propose(each: Proposal, after: tuple[Any, ...] | None, *, possible: bool) -> None:
        wanted.append(each)
        assert carried(client, each) is possible, each
        if possible and after is None:
            del expected[str(each.key)]
        elif possible and after is not None:
            expected[str(each.key)] = after

    for name, text in TEXTS.items():
        possible = not impossible(text)
        said: dict[str, Any] = {"natives": kinds, "why": text, "warnings": (text,), "flow": text}
        put(f"value {name}", "old")
        propose(proposal("update", f"value {name}", {"v": text}, {"v": "old"}, **said), (text, ""), possible=possible)
        if put(f"guard {name}", text):
            propose(
                proposal("update", f"guard {name}", {"w": "new"}, {"v": text}, **said),
                (text, "new"),
                possible=possible,
            )
        if put(f"gone {name}", text):
            propose(proposal("delete", f"gone {name}", {}, {"v": text}, **said), None, possible=possible)
        if len(text) > 700:
            continue
        propose(proposal("insert", text, {"v": text, "w": "made"}, {}, **said), (text, "made"), possible=possible)
    return wanted, expected


def test_every_text_is_written_exactly_or_not_at_all(client: Client) -> None:
    wanted, expected = hostile_proposals(client)
    done = client.feed(told(client, *wanted), options=STRICT[client.kind])
    assert done.returncode == 0, done.stderr[-2000:]
    unharmed(client)
    found = held(client, "t", "id", "v", "w")
    assert {key: each for key, each in found.items() if expected.get(key) != each} == {}
    assert found.keys() == expected.keys()


CLIENTS = [
    ("postgresql", [], {"PGOPTIONS": "-c standard_conforming_strings=off -c backslash_quote=on"}),
    ("postgresql", [], {"PGCLIENTENCODING": "LATIN1"}),
    ("postgresql", [], {"PGCLIENTENCODING": "SJIS"}),
    ("postgresql", [], {"PGCLIENTENCODING": "GBK"}),
    ("postgresql", [], {"PGCLIENTENCODING": "BIG5"}),
    ("postgresql", ["--single-transaction"], {"LC_ALL": "C"}),
    ("postgresql", ["--single-line"], {}),
    ("mariadb", ["--init-command=SET sql_mode='NO_BACKSLASH_ESCAPES'"], {}),
    ("mariadb", ["--init-command=SET sql_mode='ANSI_QUOTES,PIPES_AS_CONCAT'"], {}),
    ("mariadb", ["--init-command=SET sql_mode=''"], {}),
    ("mariadb", ["--default-character-set=latin1"], {}),
    ("mariadb", ["--default-character-set=sjis"], {}),
    ("mariadb", ["--default-character-set=gbk"], {}),
    ("mariadb", ["--default-character-set=big5"], {}),
    ("mariadb", ["--binary-mode"], {}),
    ("mariadb", ["--comments"], {}),
    ("mariadb", ["--named-commands", "--skip-auto-rehash"], {"LC_ALL": "C"}),
    ("sqlite", [], {"LC_ALL": "C"}),
    ("sqlite", ["-interactive"], {}),
]


@pytest.mark.parametrize(("kind", "options", "environment"), CLIENTS, ids=lambda each: str(each)[:60])
def test_however_the_client_is_set(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, options: list[str], environment: dict[str, str]
) -> None:
    """Each cell holds what was intended or what it held; nothing else happens."""
    client = Client(kind=kind, url=request.getfixturevalue(f"{kind}_url"), place=tmp_path)
    client.run(f"CREATE TABLE {NAME} (id int, v int)")
    client.run(f"INSERT INTO {NAME} VALUES (1, 1), (2, 2)")
    wanted, expected = hostile_proposals(client)
    done = client.feed(told(client, *wanted), options=options, environment=environment)
    unharmed(client)
    found = held(client, "t", "id", "v", "w")
    wrong = {key: each for key, each in found.items() if expected.get(key) != each}
    assert (wrong, found.keys()) == ({}, expected.keys()), done.stderr[-2000:]
    client.close()


def named_table(client: Client, table: str, key: str, field: str) -> bool:
    columns = [f"{client.named(key)} {KEY[client.kind]}", f"{client.named(field)} {TEXT[client.kind]}"]
    try:
        client.run(f"CREATE TABLE {client.named(table)} ({', '.join(columns)})")
        client.run(f"INSERT INTO {client.named(table)} VALUES ('k', 'old'), ('other', 'old')")
    except Exception:
        return False
    return True


@pytest.mark.parametrize("options", [[], ["gbk"], ["sjis"], ["latin1"]], ids=str)
def test_every_name_is_written_exactly_or_not_at_all(client: Client, options: list[str]) -> None:
    environment = {}
    misread = bool(options)
    if options and client.kind == "sqlite":
        pytest.skip("sqlite3 reads UTF-8 alone")
    if options and client.kind == "postgresql":
        environment, options = {"PGCLIENTENCODING": options[0].upper()}, []
    elif client.kind == "mariadb":
        options = ["--force", *(f"--default-character-set={each}" for each in options)]
    attack = f"`=1; DROP TABLE {NAME}; -- '; DROP TABLE {NAME}; --"
    wanted: list[Proposal] = []
    tables: list[tuple[str, str, str, bool]] = []
    for at, text in enumerate(TEXTS.values()):
        for table, key, field in ((text, "k1", "v"), (f"t{at}k", text, "v"), (f"t{at}v", "k1", text)):
            if not table or not key or not field or len(text) > 200:
                continue
            there = named_table(client, table, key, field)
            each = proposal(
                "update", "k", {field: attack}, {field: "old"}, collection=join_name(None, table), key_field=key
            )
            wanted.append(each)
            if there:
                tables.append((table, key, field, carried(client, each)))
    done = client.feed(told(client, *wanted), options=options, environment=environment)
    unharmed(client)
    changed = 0
    for table, key, field, possible in tables:
        found = held(client, table, key, field)
        assert found["other"] == ("old",), table
        allowed = {(attack,)} if possible else {("old",)}
        allowed |= {("old",)} if misread else set()
        assert found["k"] in allowed, (table, key, field, done.stderr[-1000:])
        changed += found["k"] == (attack,)
    assert changed > 60


@pytest.mark.parametrize(
    "collation", ["utf8mb4_general_ci", "utf8mb4_unicode_ci", "utf8mb4_bin", "latin1_swedish_ci"]
)
def test_what_a_collation_calls_equal_is_not_the_same(mariadb_url: str, tmp_path: Path, collation: str) -> None:
    client = Client(kind="mariadb", url=mariadb_url, place=tmp_path)
    type_ = f"varchar(50) CHARACTER SET {collation.partition('_')[0]} COLLATE {collation}"
    client.run(f"CREATE TABLE t (n int, id {type_}, v {type_})")
    spelled = ["Ada", "ADA", "\u00c1da", "Ada "]
    for at, text in enumerate(spelled):
        client.run("INSERT INTO t VALUES (?, ?, 'old')", (at, text))
        client.run("INSERT INTO t VALUES (?, 'k', ?)", (10 + at, text))
    known = natives(client, "t", "id", "v")
    text = told(
        client,
        proposal("update", "Ada", {"v": "new"}, {"v": "old"}, natives=known),
        proposal("update", "k", {"v": "new"}, {"v": "\u00c1da"}, natives=known),
    )
    assert len(statements(text)) == 2
    done = client.feed(text)
    assert done.returncode == 0, done.stderr
    assert client.run("SELECT n FROM t WHERE v = 'new' ORDER BY n") == [(0,), (12,)]
    client.close()


def test_case_counts_in_a_column_of_citext(postgresql_url: str, tmp_path: Path) -> None:
    client = Client(kind="postgresql", url=postgresql_url, place=tmp_path)
    client.run("CREATE EXTENSION citext")
    client.run("CREATE TABLE t (n int, id citext, v citext)")
    client.run("INSERT INTO t VALUES (1, 'Ada', 'old'), (2, 'ADA', 'old'), (3, 'Ada', 'OLD')")
    known = natives(client, "t", "id", "v")
    text = told(client, proposal("update", "Ada", {"v": "new"}, {"v": "old"}, natives=known))
    assert client.feed(text).returncode == 0
    assert client.run("SELECT n FROM t WHERE v = 'new'") == [(1,)]
    client.close()
