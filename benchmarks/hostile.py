"""Attacks of every kind on every place where that kind can occur: bounded, named, told without a secret.

Each attack runs against a process of its own, on real engines wherever there are such. A kind is a module of
`tests/attacks`; a place is a function that says how it is reached. `--table FILE` writes the table of
docs/benchmarks.md from the lines that a run has printed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sqlite3
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa

from auditor.systems.reader import PATIENCE_S
from benchmarks import flights, hostile_places, hostile_written
from benchmarks.attacked import CANARY, DEADLINE_S, GROWN_MIB, LATE_S, Call, Outcome, Processes
from benchmarks.hostile_beside import beside
from benchmarks.report import emit, say
from probes.records.names import join_name
from tests import servers
from tests.attacks import database_urls, files, messages, names, numbers, rows, texts, wires, yaml_texts
from tests.attacks.wires import Wire
from tests.daemons import queues_at
from tests.http_api import Api, Request
from tests.wire_server import WireServer

AT_ONCE = 3
QUICKLY = 4
"""So many attacks of each cell are left by `--quick`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One attack, prepared: what is called with which words.

    Attributes:
        within_s: the deadline of each of its calls.
        covers: how many entries of the corpus it carries at once.
    """

    name: str
    call: Call
    words: Mapping[str, Any]
    within_s: float = DEADLINE_S
    calls: int = 1
    covers: int = 1


class Bench:
    """The servers that cells share, each started when it is first needed.

    Attributes:
        shared: ends with the run.
        stack: ends with the present cell.
    """

    def __init__(self, shared: ExitStack, *, quick: bool) -> None:
        self.shared = shared
        self.stack = shared
        self.quick = quick
        self.processes = Processes()
        self._known: dict[str, Any] = {}

    def of(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self._known:
            self._known[name] = make()
        return self._known[name]

    def folder(self) -> Path:
        made = Path(self.shared.enter_context(tempfile.TemporaryDirectory()))
        made.chmod(0o755)
        return made

    @property
    def postgresql(self) -> str:
        return str(self.of("postgresql", lambda: self.shared.enter_context(servers.postgresql())))

    @property
    def mariadb(self) -> str:
        return str(self.of("mariadb", lambda: self.shared.enter_context(servers.mariadb())))

    def chosen(self, corpus: Mapping[str, Any]) -> list[tuple[str, Any]]:
        """The attacks of a corpus, a few of them for a quick run."""
        every = list(corpus.items())
        return every[:: max(1, len(every) // QUICKLY)] if self.quick else every


Cell = Callable[[Bench], Iterator[Attack]]
CELLS: dict[tuple[str, str], Cell] = {}
"""Every kind of attack, and every place where it can occur."""


def cell(kind: str, *places: str) -> Callable[[Callable[[Bench, str], Iterator[Attack]]], Any]:
    """Enter a cell for each of these places."""

    def enter(make: Callable[[Bench, str], Iterator[Attack]]) -> Any:
        for place in places:
            CELLS[kind, place] = lambda bench, place=place: make(bench, place)  # type: ignore[misc]
        return make

    return enter


# -- what servers say

REST_BINDING = {
    "collection": "things",
    "key": "id",
    "changed_at": "updated_at",
    "records": "$.data[*]",
    "many": "/{collection}?ids={keys}",
    "list": "/{collection}?after={after}&limit={limit}",
    "changed": "/{collection}?since={since}&limit={limit}",
}


def _hidden(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings with a secret of ours wherever there is one."""
    told = json.dumps(settings).replace("secret-of-looker", CANARY).replace("c2VjcmV0LW9mLWxvb2tlcg==", CANARY)
    hidden: dict[str, Any] = json.loads(told)
    return hidden


def _at(bench: Bench, wire: Wire, *, http: bool) -> int:
    server = WireServer(wire, asked_first=http)
    bench.stack.callback(server.close)
    return server.port


def _queue_at(port: int, kind: str) -> dict[str, Any]:
    return _hidden(queues_at(port, f"{DEADLINE_S:g}s")[kind])


@cell("answers", "rest", "rabbitmq", "anypoint_mq", "sqs", "service_bus management", "slack", "webhook")
def _answers(bench: Bench, place: str) -> Iterator[Attack]:
    for name, wire in bench.chosen(wires.HTTP):
        port = _at(bench, wire, http=True)
        url = f"http://127.0.0.1:{port}"
        if place == "rest":
            budget = {"timeout": f"{DEADLINE_S:g}s", "connections": 1}
            login = {"Authorization": f"Bearer {CANARY}"}
            settings = {"kind": "rest", "url": f"{url}/?key={CANARY}", "headers": login, "budget": budget}
            words = {"settings": settings, "binding": REST_BINDING}
            # Who asks to be left alone for a moment is asked again, for so long altogether.
            within_s = DEADLINE_S + (PATIENCE_S if "Retry-After" in name else 0)
            yield Attack(name=name, call=hostile_places.records, words=words, within_s=within_s, calls=4)
        elif place in {"slack", "webhook"}:
            words = {"kind": place, "url": f"{url}/services/T0/{CANARY}"}
            yield Attack(name=name, call=hostile_places.sender, words=words)
        else:
            settings = _queue_at(port, place.partition(" ")[0])
            yield Attack(name=name, call=hostile_places.queue, words={"settings": settings})


OWN: Mapping[str, Mapping[str, Wire]] = {
    "redis": wires.REDIS,
    "nats": wires.NATS,
    "kafka": wires.KAFKA,
    "pubsub": wires.HTTP2,
    "service_bus": wires.AMQP,
    "postgresql": wires.POSTGRESQL,
    "mariadb": wires.MARIADB,
}


MANAGED = b"<MessageCount>3</MessageCount><DeadLetterMessageCount>3</DeadLetterMessageCount>"
"""What the management API of Service Bus says of a queue, while its AMQP is attacked."""


@cell("wires", *OWN)
def _wires(bench: Bench, place: str) -> Iterator[Attack]:
    for name, wire in bench.chosen({**wires.ANY, **OWN[place]}):
        port = _at(bench, wire, http=False)
        if place in {"postgresql", "mariadb"}:
            url = f"{place}://looker:{CANARY}@127.0.0.1:{port}/x"
            budget = {"timeout": f"{DEADLINE_S:g}s", "connections": 1}
            settings = {"kind": "sql", "url": url, "zone": "UTC", "budget": budget}
            binding = {"collection": "things", "changed_at": "updated_at"}
            words = {"settings": settings, "binding": binding}
            yield Attack(name=name, call=hostile_places.records, words=words, calls=4)
            continue
        settings = _queue_at(port, place)
        if place == "service_bus":
            settings["management"] = bench.of("management", lambda: Api(lambda _: MANAGED)).url
        yield Attack(name=name, call=hostile_places.queue, words={"settings": settings}, calls=1)


# -- what records hold

AUDITED_S = 30.0
"""How long the audit of a whole corpus may take; its systems answer at once."""


def _map(owner: Mapping[str, Any], folder: Path, n: Mapping[str, Any], *, key: str = "integer") -> str:
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


def _owner(bench: Bench, place: str, folder: Path, values: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
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
        hostile_places.things(str(folder / "owner.sqlite"), "text", taken)
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
        owner, taken = _owner(bench, place, folder, values)
        hostile_places.things(str(folder / "copy.sqlite"), "text", ["0"] * len(taken))
        yield Attack(
            name=type_,
            call=hostile_places.audit,
            words={"map_text": _map(owner, folder, {"type": type_}), "folder": str(folder), "keys": ["1", "2"]},
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
            hostile_places.things(str(folder / "copy.sqlite"), "text", ["0"] * len(told))
            owner = _of_api(bench, [record.format(at=at, text=text) for at, text in enumerate(told, 1)])
            whole = _map(owner, folder, {"type": "integer"})
            words = {"map_text": whole, "folder": str(folder), "keys": ["1"]}
            yield Attack(
                name=name, call=hostile_places.audit, words=words, within_s=AUDITED_S, calls=2, covers=len(told)
            )


@cell("texts", *ENGINES)
def _texts(bench: Bench, place: str) -> Iterator[Attack]:
    yield from _audits(bench, place, texts.TEXTS, ("string", "enum", "timestamp", "uuid"))
    if place == "rest":
        values = [value for _, value in bench.chosen(texts.TEXTS)]
        folder = bench.folder()
        hostile_places.things(str(folder / "copy.sqlite"), "text", ["0"])
        record = '{{"id": {text}, "n": "x", "j": {{}}, "updated_at": "2026-03-01T00:00:00Z"}}'
        owner = _of_api(bench, [record.format(text=json.dumps(value)) for value in values])
        whole = _map(owner, folder, {"type": "string"}, key="string")
        words = {"map_text": whole, "folder": str(folder), "keys": [values[0]]}
        yield Attack(
            name="as keys", call=hostile_places.audit, words=words, within_s=AUDITED_S, calls=2, covers=len(values)
        )


@cell("rows", "postgresql", "mariadb", "sqlite")
def _rows(bench: Bench, place: str) -> Iterator[Attack]:
    for at, (name, table) in enumerate(bench.chosen(rows.TABLES)):
        url = _large(bench, place, at, table)
        words = {"url": url, "table": f"rows{at}", "keys": len(table.sizes)}
        yield Attack(name=name, call=hostile_places.rows, words=words, within_s=20.0, calls=2)


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


# -- what messages hold


@cell("messages", "redis", "nats", "kafka", "rabbitmq", "sqs", "pubsub", "sql_queue", "anypoint_mq", "service_bus")
def _messages(bench: Bench, place: str) -> Iterator[Attack]:
    from benchmarks.hostile_brokers import letters_in

    for name, payload in bench.chosen(messages.PAYLOADS):
        settings = letters_in(bench, place, [payload, messages.GOOD])
        if settings is not None:
            yield Attack(
                name=name,
                call=hostile_places.letters,
                words={**settings, "good": messages.GOOD_KEY},
                within_s=10.0,
                calls=4,
            )


# -- files and addresses


@cell("maps", "map file")
def _maps(bench: Bench, _: str) -> Iterator[Attack]:
    for name, (text, _line) in bench.chosen(yaml_texts.REFUSED):
        words = {"text": text, "folder": str(bench.folder())}
        yield Attack(name=name, call=hostile_places.map_text, words=words, within_s=5.0)


@cell("addresses", "sqlite", "postgresql", "mariadb")
def _addresses(bench: Bench, place: str) -> Iterator[Attack]:
    if place == "sqlite":
        for name, template in bench.chosen(database_urls.SQLITE):
            folder = bench.folder()
            hostile_places.things(str(folder / "d.sqlite"), "text", ["1"])
            path = folder / "d.sqlite"
            url = template.format(path=path, relative=path.name, folder=folder)
            yield Attack(name=name, call=hostile_places.address, words={"url": url, "folder": str(folder)})
        return
    unlocking = {
        "postgresql": database_urls.UNLOCKING_POSTGRESQL,
        "mariadb": database_urls.UNLOCKING_MARIADB,
    }[place]
    base = f"{bench.postgresql}/postgres" if place == "postgresql" else f"{bench.mariadb}/mysql"
    for name, parameter in bench.chosen(unlocking):
        words = {"url": f"{base}?{parameter}", "folder": str(bench.folder())}
        yield Attack(name=name, call=hostile_places.address, words=words)


@cell("files", "archive", "ledger")
def _files(bench: Bench, place: str) -> Iterator[Attack]:
    call = hostile_written.archive if place == "archive" else hostile_written.ledger
    for name, _spoil in bench.chosen(files.PARQUET if place == "archive" else files.LEDGERS):
        yield Attack(name=name, call=call, words={"folder": str(bench.folder()), "name": name}, within_s=10.0)


# -- what is written for people, and under which names the dashboard answers


@cell("names", "discover", "repair")
def _names(bench: Bench, place: str) -> Iterator[Attack]:
    if place == "discover":
        told = {**names.NAMES, **{name: text for name, text in texts.TEXTS.items() if 0 < len(text) < 200}}
        chosen = [text for _, text in bench.chosen(told)]
        words: dict[str, Any] = {"names": chosen}
        yield Attack(name="all", call=hostile_written.proposals, words=words, within_s=30.0, covers=len(chosen))
        return
    folder, met = bench.folder(), [name for _, name in bench.chosen(names.NAMES)]
    whole = json.loads(_map({"kind": "sql", "url": f"sqlite:///{folder}/owner.sqlite"}, folder, {"type": "string"}))
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
    yield Attack(name="all", call=hostile_written.repairs, words=words, within_s=60.0, calls=2, covers=len(met))


@cell("formulas", "CSV")
def _formulas(bench: Bench, _: str) -> Iterator[Attack]:
    begun = {name: text for name, text in texts.TEXTS.items() if text[:1] in set("=+-@\t\r")}
    more = {f"{sign} before a text": f"{sign}cmd|' /c calc'!A1" for sign in ("=", "+", "-", "@", "\t=", "\r=")}
    folder, values = bench.folder(), [text for _, text in bench.chosen({**begun, **more})]
    owner, taken = _owner(bench, "sqlite", folder, values)
    hostile_places.things(str(folder / "copy.sqlite"), "text", ["0"] * len(taken))
    words = {"map_text": _map(owner, folder, {"type": "string"}), "folder": str(folder)}
    yield Attack(name="all", call=hostile_written.formulas, words=words, within_s=60.0, calls=2, covers=len(taken))


@cell("hosts", "dashboard")
def _hosts(bench: Bench, _: str) -> Iterator[Attack]:
    from tests import HOME
    from tests.auditor.dashboard import test_access
    from tests.auditor.screens import served

    address = bench.stack.enter_context(served([str(HOME / "app.py")], {"AUDITOR_MAP": "/nowhere"}))
    for host in test_access.EVIL:
        words = {"port": int(address.rpartition(":")[2]), "host": host}
        yield Attack(name=host or "none", call=hostile_written.dashboard, words=words, within_s=30.0)


# -- running and telling


def _run(bench: Bench, kind: str, place: str) -> list[tuple[Attack, Outcome]]:
    def one(attack: Attack) -> tuple[Attack, Outcome]:
        outcome = bench.processes.run(
            attack.name, attack.call, attack.words, within_s=attack.within_s, calls=attack.calls
        )
        for fault in outcome.faults:
            say(f"{kind} x {place}: {attack.name}: {fault}; told {list(outcome.told)[:3]!r:.400}")
        return attack, outcome

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, CELLS[kind, place](bench)))


def _tell(kind: str, place: str, found: Sequence[tuple[Attack, Outcome]], *, quick: bool) -> bool:
    count = sum(attack.covers for attack, _ in found)
    failed = sum(attack.covers for attack, outcome in found if not outcome.holds)
    late = max((outcome.took_s - attack.within_s for attack, outcome in found), default=0.0)
    grown = max((outcome.grown_mib for _, outcome in found), default=0.0)
    more: dict[str, Any] = {"kind": kind, "place": place, "late_s": round(late, 3), "grown_mib": round(grown, 1)}
    return emit(
        "hostile", f"{kind} x {place}", failed, "attacks that worked", goal="= 0", n=count, quick=quick, **more
    )


def table(lines: Sequence[str]) -> str:
    """The Markdown table of kind x place, from the lines that a run has printed."""
    told = [json.loads(line) for line in lines if line.startswith("{")]
    found = [each for each in told if each["benchmark"] == "hostile" and "kind" in each]
    by_kind: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for each in found:
        by_kind[each["kind"]].append(each)
    out = [
        "| kind | place | attacks | worked | longest beyond its deadline | memory grown |",
        "|---|---|---|---|---|---|",
    ]
    for kind, cells in by_kind.items():
        for each in cells:
            late = f"{each['late_s']:.1f} s" if each["late_s"] > 0 else "–"
            row = (kind, each["place"], str(each["n"]), f"{each['value']:g}", late, f"{each['grown_mib']:.0f} MiB")
            out.append(f"| {' | '.join(row)} |")
    return "\n".join(out) + "\n"


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few attacks of each cell")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="cells whose name (KIND x PLACE) begins with this")
    parser.add_argument("--table", type=Path, help="print the table of a run whose lines are in this file")
    asked = parser.parse_args()
    if asked.table:
        sys.stdout.write(table(asked.table.read_text().splitlines()))
        return 0
    good, every = True, list[tuple[Attack, Outcome]]()
    with ExitStack() as shared:
        bench = Bench(shared, quick=asked.quick)
        for kind, place in CELLS:
            if not f"{kind} x {place}".startswith(asked.only):
                continue
            begun = time.monotonic()
            try:
                with ExitStack() as bench.stack:
                    found = _run(bench, kind, place)
            except Exception as error:  # the cells behind it are to be told of all the same
                say(f"{kind} x {place}: not prepared: {type(error).__name__}: {error!s:.300}")
                good = False
                continue
            say(f"{kind} x {place}: {len(found)} in {time.monotonic() - begun:.0f} s")
            good &= _tell(kind, place, found, quick=asked.quick)
            every += found
    if "daemon".startswith(asked.only or "daemon"):
        good &= beside(quick=asked.quick)
    count = sum(attack.covers for attack, _ in every)
    late = max((outcome.took_s - attack.within_s for attack, outcome in every), default=0.0)
    grown = max((outcome.grown_mib for _, outcome in every), default=0.0)
    failed = sum(attack.covers for attack, outcome in every if not outcome.holds)
    emit("hostile", "longest_beyond_deadline", max(0.0, late), "s", goal=f"<= {LATE_S:g}", n=count, quick=asked.quick)
    emit("hostile", "memory_grown", grown, "MiB", goal=f"<= {GROWN_MIB:g}", n=count, quick=asked.quick)
    good &= emit("hostile", "attacks_that_worked", failed, "attacks", goal="= 0", n=count, quick=asked.quick)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
