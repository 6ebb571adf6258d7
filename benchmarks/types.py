"""Every built-in type of PostgreSQL, MariaDB, SQLite and JSON over HTTP: equal if it is, else not.

For each kind of value every column that can hold it is filled twice, with a value and with its nearest neighbour,
read by the probes from real servers, and compared with every other column that can hold it, in every other engine.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psycopg
import sqlalchemy as sa

from benchmarks.report import arguments, emit, say
from checks.equality import agree
from checks.fields import FieldRule, parser_for
from checks.unreadable import UnreadableError
from probes.contract import ReadSpec, RecordProbe, Row
from probes.records.rest.settings import RestBinding
from probes.records.sql.known_types import KNOWN
from probes.registry import open_record_probe, record_settings
from tests import engine_types, servers

PG, MY, LITE, HTTP = "PostgreSQL", "MariaDB, MySQL", "SQLite", "HTTP JSON"
NOT_HERE = {(MY, "json"), (MY, "vector"), (MY, "xmltype"), (MY, "geomcollection")}
"""Types of MySQL, or of later MariaDB releases than the one measured; `geomcollection` is MySQL's other name."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column that holds the value: its type in the table of types, its declaration, both values as literals."""

    engine: str
    known: str
    declared: str
    value: str
    other: str
    words: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kind:
    """Values of one kind, and the columns that can hold them."""

    words: dict[str, Any]
    columns: tuple[Column, ...]


def quoted(text: str) -> str:
    """A text as a SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def texts(value: str, other: str, *, lite: str = "TEXT", words: dict[str, str] | None = None) -> tuple[Column, ...]:
    """The same text in SQLite and in JSON."""
    return (
        Column(LITE, lite, lite.lower(), quoted(value), quoted(other), words or {}),
        Column(HTTP, "string", "", json.dumps(value), json.dumps(other), words or {}),
    )


def pg(types: Sequence[str], value: str, other: str, declared: str = "") -> tuple[Column, ...]:
    """The same literal in several types of PostgreSQL."""
    names = {"char": '"char"', "bpchar": "char(6)", "bit": "bit(8)"}
    return tuple(Column(PG, each, declared or names.get(each, each), quoted(value), quoted(other)) for each in types)


def my(types: Sequence[str], value: str, other: str, declared: str = "") -> tuple[Column, ...]:
    """The same literal in several types of MariaDB."""
    return tuple(Column(MY, each, declared or each, value, other) for each in types)


def numbers(value: str, other: str) -> tuple[Column, ...]:
    """The same number in JSON, as one and as text."""
    return (
        Column(HTTP, "number", "", value, other),
        Column(HTTP, "string", "", json.dumps(value), json.dumps(other)),
    )


UUIDS = ("0189c1a0-0000-7000-8000-000000000001", "0189c1a0-0000-7000-8000-000000000002")
INSTANTS = ("2026-03-01 10:00:00.123456", "2026-03-01 10:00:00.123457")
JSONS = ('{"a": [1, null], "total": 90071992547409931.25}', '{"a": [1, null], "total": 90071992547409931.26}')
RANGES = {
    "integer": ("int4range", "int8range", "int4multirange", "int8multirange"),
    "decimal": ("numrange", "nummultirange"),
    "date": ("daterange", "datemultirange"),
    "timestamp": ("tsrange", "tstzrange", "tsmultirange", "tstzmultirange"),
}
BOUNDS = {
    "integer": ("[1,5)", "[1,6)"),
    "decimal": ("[1.5,2.5)", "[1.5,2.51)"),
    "date": ("[2026-01-01,2026-01-05)", "[2026-01-01,2026-01-06)"),
    "timestamp": (
        '["2026-01-01 00:00:00+00","2026-01-02 00:00:00+00")',
        '["2026-01-01 00:00:00+00","2026-01-02 00:00:00.000001+00")',
    ),
}
OWN_TEXT = {
    "point": ("(1,2)", "(1,2.0000000000000004)"),
    "line": ("{1,2,3}", "{1,2,4}"),
    "lseg": ("[(0,0),(1,1)]", "[(0,0),(1,2)]"),
    "box": ("(1,1),(0,0)", "(1,2),(0,0)"),
    "path": ("((0,0),(1,1))", "[(0,0),(1,1)]"),
    "polygon": ("((0,0),(1,1),(1,0))", "((0,0),(1,1),(2,0))"),
    "circle": ("<(0,0),1>", "<(0,0),2>"),
    "tsvector": ("'a' 'b'", "'a' 'c'"),
    "tsquery": ("'a' & 'b'", "'a' | 'b'"),
    "jsonpath": ('$."a"', '$."b"'),
    "regclass": ("pg_class", "pg_type"),
    "regcollation": ('"C"', '"POSIX"'),
    "regconfig": ("english", "german"),
    "regdictionary": ("simple", "english_stem"),
    "regnamespace": ("pg_catalog", "public"),
    "regoper": ("|/", "||/"),
    "regoperator": ("+(integer,integer)", "-(integer,integer)"),
    "regproc": ("now", "version"),
    "regprocedure": ("now()", "version()"),
    "regrole": ("postgres", "pg_monitor"),
    "regtype": ("integer", "bigint"),
    "aclitem": ("postgres=r/postgres", "postgres=w/postgres"),
    "refcursor": ("one", "two"),
    "pg_lsn": ("16/B374D848", "16/B374D849"),
    "pg_snapshot": ("10:20:10,14", "10:20:10,15"),
    "txid_snapshot": ("10:20:10,14", "10:20:10,15"),
    "tid": ("(0,1)", "(0,2)"),
    "xml": ("<a/>", "<b/>"),
}
SHAPES = {
    "geometry": ("POINT(1 2)", "POINT(1 3)"),
    "point": ("POINT(1 2)", "POINT(1 3)"),
    "linestring": ("LINESTRING(0 0,1 1)", "LINESTRING(0 0,1 2)"),
    "polygon": ("POLYGON((0 0,1 1,1 0,0 0))", "POLYGON((0 0,1 2,1 0,0 0))"),
    "multipoint": ("MULTIPOINT(0 0,1 1)", "MULTIPOINT(0 0,1 2)"),
    "multilinestring": ("MULTILINESTRING((0 0,1 1))", "MULTILINESTRING((0 0,1 2))"),
    "multipolygon": ("MULTIPOLYGON(((0 0,1 1,1 0,0 0)))", "MULTIPOLYGON(((0 0,1 2,1 0,0 0)))"),
    "geometrycollection": ("GEOMETRYCOLLECTION(POINT(1 2))", "GEOMETRYCOLLECTION(POINT(1 3))"),
}

KINDS: tuple[Kind, ...] = (
    Kind(
        {"type": "integer"},
        (
            *pg(("int2", "int4", "int8", "oid", "xid", "xid8", "cid", "numeric"), "100", "101"),
            *pg(("bit", "varbit"), "01100100", "01100101"),
            *my(("tinyint", "smallint", "mediumint", "int", "bigint", "decimal"), "100", "101"),
            *my(("bit",), "100", "101", "bit(8)"),
            *texts("100", "101"),
            Column(LITE, "INTEGER", "integer", "100", "101"),
            *numbers("100", "101"),
        ),
    ),
    Kind(
        {"type": "integer"},
        (
            *pg(("int8", "numeric"), "9223372036854775807", "9223372036854775806"),
            *my(("bigint",), "9223372036854775807", "9223372036854775806", "bigint unsigned"),
            Column(LITE, "INTEGER", "integer", "9223372036854775807", "9223372036854775806"),
            *numbers("9223372036854775807", "9223372036854775806"),
        ),
    ),
    Kind(
        {"type": "integer"},
        (
            *my(("year",), "2026", "2027"),
            *pg(("int2",), "2026", "2027"),
            Column(LITE, "INTEGER", "integer", "2026", "2027"),
            *numbers("2026", "2027"),
        ),
    ),
    *(
        Kind(
            words,
            (
                *pg(("numeric", "money"), "90071992547409931.25", "90071992547409931.26"),
                *my(("decimal",), "90071992547409931.25", "90071992547409931.26", "decimal(38,2)"),
                *texts("90071992547409931.25", "90071992547409931.26"),
                *numbers("90071992547409931.25", "90071992547409931.26"),
            ),
        )
        for words in ({"type": "decimal"}, {"type": "money", "currency": "EUR"})
    ),
    Kind(
        {"type": "money"},
        (
            Column(HTTP, "object", "", '{"amount": 1.25, "currency": "EUR"}', '{"amount": 1.26, "currency": "EUR"}'),
            *texts("1.25 EUR", "1.26 EUR"),
        ),
    ),
    Kind(
        {"type": "float"},
        (
            *pg(("float4",), "16777216", "16777215"),
            *my(("float",), "16777216", "16777215"),
            Column(LITE, "REAL", "real", "16777216.0", "16777215.0"),
            *numbers("16777216", "16777215"),
        ),
    ),
    Kind(
        {"type": "float"},
        (
            *pg(("float4",), "0.1", "0.10000001"),
            *my(("float",), "0.1", "0.10000001"),
            *numbers("0.1", "0.10000001"),
        ),
    ),
    Kind(
        {"type": "float"},
        (
            *pg(("float8",), "0.1", "0.10000000000000002"),
            *my(("double",), "0.1", "0.10000000000000002"),
            Column(LITE, "REAL", "real", "0.1", "0.10000000000000002"),
            *numbers("0.1", "0.10000000000000002"),
        ),
    ),
    Kind(
        {"type": "boolean"},
        (
            *pg(("bool",), "true", "false"),
            *pg(("bit",), "1", "0", "bit(1)"),
            *my(("tinyint",), "1", "0", "tinyint(1)"),
            *my(("bit",), "1", "0", "bit(1)"),
            Column(LITE, "INTEGER", "integer", "1", "0"),
            Column(HTTP, "true", "", "true", "false"),
            Column(HTTP, "false", "", "true", "false"),
        ),
    ),
    Kind(
        {"type": "string"},
        (
            *pg(("text", "varchar", "bpchar", "name", "citext"), "résumé", "résumè"),
            *my(("tinytext", "text", "mediumtext", "longtext"), "'résumé'", "'résumè'"),
            *my(("char",), "'résumé'", "'résumè'", "char(9)"),
            *my(("varchar",), "'résumé'", "'résumè'", "varchar(9) CHARACTER SET latin1"),
            *texts("résumé", "résumè"),
            Column(LITE, "BLOB", "blob", "CAST('résumé' AS blob)", "CAST('résumè' AS blob)"),
        ),
    ),
    Kind({"type": "string"}, (*pg(("char",), "a", "b"), *my(("char",), "'a'", "'b'", "char(1)"), *texts("a", "b"))),
    Kind(
        {"type": "string"},
        (
            Column(PG, "text", "text", "NULL", "''"),
            Column(MY, "text", "text", "NULL", "''"),
            Column(LITE, "NULL", "text", "NULL", "''"),
            Column(HTTP, "null", "", "null", '""'),
        ),
    ),
    Kind(
        {"type": "enum"},
        (
            *pg(("enum types",), "happy", "sad", "mood"),
            *my(("enum",), "'happy'", "'sad'", "enum('happy', 'sad')"),
            *texts("happy", "sad"),
        ),
    ),
    Kind(
        {"type": "uuid"},
        (
            *pg(("uuid", "text"), *UUIDS),
            *my(("uuid",), quoted(UUIDS[0]), quoted(UUIDS[1])),
            *my(("char",), quoted(UUIDS[0].upper()), quoted(UUIDS[1].upper()), "char(36)"),
            *my(("binary",), f"x'{UUIDS[0].replace('-', '')}'", f"x'{UUIDS[1].replace('-', '')}'", "binary(16)"),
            *texts(*UUIDS),
            Column(LITE, "BLOB", "blob", f"x'{UUIDS[0].replace('-', '')}'", f"x'{UUIDS[1].replace('-', '')}'"),
        ),
    ),
    Kind(
        {"type": "bytes"},
        (
            *pg(("bytea",), "\\x00ff", "\\x00fe"),
            *my(("tinyblob", "blob", "mediumblob", "longblob"), "x'00ff'", "x'00fe'"),
            *my(("binary",), "x'00ff'", "x'00fe'", "binary(2)"),
            *my(("varbinary",), "x'00ff'", "x'00fe'", "varbinary(9)"),
            Column(LITE, "BLOB", "blob", "x'00ff'", "x'00fe'"),
            Column(HTTP, "string", "", '"AP8="', '"AP4="', {"encoding": "base64"}),
            Column(HTTP, "string", "", '"00ff"', '"00fe"', {"encoding": "hex"}),
        ),
    ),
    Kind(
        {"type": "date"},
        (
            *pg(("date",), "2026-03-01", "2026-03-02"),
            *my(("date",), "'2026-03-01'", "'2026-03-02'"),
            *texts("2026-03-01", "2026-03-02"),
        ),
    ),
    *(
        Kind({"type": type_}, (*pg((type_ + "tz" * tz,), *both), *texts(*both)))
        for type_, tz, both in (
            ("date", 0, ("infinity", "-infinity")),
            ("date", 0, ("12026-01-01", "12026-01-02")),
            ("date", 0, ("0044-03-15 BC", "0044-03-16 BC")),
            ("timestamp", 1, ("infinity", "-infinity")),
            ("timestamp", 1, ("12026-01-01 00:00:00+00", "12026-01-01 00:00:00.000001+00")),
            ("timestamp", 0, ("0044-03-15 00:00:00 BC", "0044-03-15 00:00:00.000001 BC")),
        )
    ),
    Kind(
        {"type": "timestamp"},
        (
            *pg(("timestamp",), *INSTANTS),
            *pg(("timestamptz",), INSTANTS[0] + "+00", INSTANTS[1] + "+00"),
            *my(("datetime",), quoted(INSTANTS[0]), quoted(INSTANTS[1]), "datetime(6)"),
            *my(("timestamp",), quoted(INSTANTS[0]), quoted(INSTANTS[1]), "timestamp(6) NULL"),
            *texts(INSTANTS[0], INSTANTS[1]),
            Column(LITE, "INTEGER", "integer", "1772359200123456", "1772359200123457", {"unit": "us"}),
            Column(HTTP, "number", "", "1772359200.123456", "1772359200.123457", {"unit": "s"}),
        ),
    ),
    Kind(
        {"type": "time"},
        (
            *pg(("time",), "10:00:00.000001", "10:00:00.000002"),
            *my(("time",), "'10:00:00.000001'", "'10:00:00.000002'", "time(6)"),
            *texts("10:00:00.000001", "10:00:00.000002"),
        ),
    ),
    Kind(
        {"type": "time"}, (*pg(("timetz",), "10:00:00+02", "10:00:00+01"), *texts("10:00:00+02:00", "10:00:00+01:00"))
    ),
    Kind(
        {"type": "duration"},
        (
            *pg(("interval",), "1 day 02:00:00.000001", "1 day 02:00:00.000002"),
            *my(("time",), "'26:00:00.000001'", "'26:00:00.000002'", "time(6)"),
            *texts("P1DT2H0.000001S", "P1DT2H0.000002S"),
            Column(HTTP, "number", "", "93600000.001", "93600000.002", {"unit": "ms"}),
        ),
    ),
    Kind({"type": "duration"}, (*pg(("interval",), "1 mon", "30 days"), *texts("P1M", "P30D"))),
    Kind(
        {"type": "json"},
        (
            *pg(("json", "jsonb"), *JSONS),
            *my(("longtext",), quoted(JSONS[0]), quoted(JSONS[1]), "json"),
            *texts(*JSONS),
            Column(HTTP, "object", "", *JSONS),
        ),
    ),
    Kind(
        {"type": "json"},
        (
            *pg(("composite types",), "(1,x)", "(1,y)", "pair"),
            *pg(("jsonb",), '{"a": "1", "b": "x"}', '{"a": "1", "b": "y"}'),
            *pg(("hstore",), "a=>1,b=>x", "a=>1,b=>y"),
            *texts('{"b": "x", "a": "1"}', '{"b": "y", "a": "1"}'),
            Column(HTTP, "object", "", '{"a": "1", "b": "x"}', '{"a": "1", "b": "y"}'),
        ),
    ),
    Kind(
        {"type": "array", "items": "integer"},
        (
            *pg(("arrays",), "{1,2}", "{2,1}", "int[]"),
            *pg(("int2vector", "oidvector"), "1 2", "2 1"),
            *my(("longtext",), "'[1, 2]'", "'[2, 1]'", "json"),
            *texts("[1,2]", "[2,1]"),
            Column(HTTP, "array", "", "[1, 2]", "[2, 1]"),
        ),
    ),
    *(
        Kind(
            {"type": "set"},
            (
                *pg(("arrays",), "{happy,sad}", "{happy}", declared),
                *my(("set",), "'happy,sad'", "'happy'", "set('happy', 'sad')"),
                *texts("sad;happy", "happy"),
                Column(HTTP, "array", "", '["sad", "happy"]', '["happy"]'),
            ),
        )
        for declared in ("text[]", "citext[]", "mood[]")
    ),
    Kind(
        {"type": "bits"},
        (
            *pg(("bit", "varbit"), "00000101", "00000100"),
            *my(("bit",), "5", "4", "bit(8)"),
            Column(HTTP, "string", "", '"00000101"', '"00000100"'),
        ),
    ),
    Kind(
        {"type": "network"},
        (
            *pg(("inet", "cidr"), "10.0.0.1", "10.0.0.2"),
            *my(("inet4",), "'10.0.0.1'", "'10.0.0.2'"),
            *texts("10.0.0.1", "10.0.0.2"),
        ),
    ),
    Kind({"type": "network"}, (*pg(("inet",), "10.0.0.1/24", "10.0.0.1/25"), *texts("10.0.0.1/24", "10.0.0.1/25"))),
    Kind(
        {"type": "network"},
        (
            *pg(("inet", "cidr"), "2001:db8::1", "2001:db8::2"),
            *my(("inet6",), "'2001:db8::1'", "'2001:db8::2'"),
            *texts("2001:0DB8::1", "2001:0DB8::2"),
        ),
    ),
    Kind(
        {"type": "mac"},
        (
            *pg(("macaddr",), "08:00:2b:01:02:03", "08:00:2b:01:02:04"),
            *texts("08-00-2B-01-02-03", "08-00-2B-01-02-04"),
        ),
    ),
    Kind(
        {"type": "mac"},
        (
            *pg(("macaddr8",), "08:00:2b:01:02:03:04:05", "08:00:2b:01:02:03:04:06"),
            *texts("08002b0102030405", "08002b0102030406"),
        ),
    ),
    *(
        Kind(
            {"type": "range", "items": items},
            (
                *(
                    column
                    for name in names
                    for column in pg((name,), *(f"{{{each}}}" if "multi" in name else each for each in BOUNDS[items]))
                ),
                *texts(*BOUNDS[items]),
            ),
        )
        for items, names in RANGES.items()
    ),
    *(Kind({"type": "string"}, (*pg((name,), *both), *texts(*both))) for name, both in OWN_TEXT.items()),
    *(
        Kind(
            {"type": "string"},
            (*my((name,), *(f"ST_GeomFromText('{each}')" for each in both)), *texts(*both)),
        )
        for name, both in SHAPES.items()
    ),
)


@dataclass(slots=True)
class Tally:
    """Pairs compared, and what came of them, by engine."""

    failures: list[str] = field(default_factory=list)
    pairs: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    agreed: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    told_apart: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    exercised: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def fail(self, what: str) -> None:
        """Note what should not be."""
        say(what)
        self.failures.append(what)


def main() -> int:
    """Run the benchmark."""
    asked = arguments(__doc__)
    columns = sum(len(kind.columns) for kind in KINDS)
    say(f"{columns} columns of {len(KINDS)} kinds of values in {len(KNOWN)} engines")
    with servers.postgresql() as postgresql, servers.mariadb() as mariadb, tempfile.TemporaryDirectory() as place:
        with psycopg.connect(f"{postgresql}/postgres", autocommit=True) as admin:
            admin.execute("CREATE DATABASE types")
        urls = {PG: f"{postgresql}/types", MY: f"{mariadb}/types", LITE: f"sqlite:///{place}/types.sqlite"}
        engine = sa.create_engine(sa.make_url(f"{mariadb}/mysql").set(drivername="mariadb+pymysql"))
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE DATABASE types CHARACTER SET utf8mb4")
        engine.dispose()
        tally = measure(urls)
        catalogues = {
            PG: engine_types.of_postgresql(urls[PG]),
            MY: set(engine_types.of_mariadb(urls[MY]).values()),
            LITE: engine_types.of_sqlite(),
        }
    good = True
    for name, known in KNOWN.items():
        common = {"quick": asked.quick, "engine": name}
        comparable = comparable_types(name)
        documented = {each for row in known for each in row.names}
        if name in catalogues:
            lacking, every = catalogues[name] - documented, len(catalogues[name])
            good &= emit("types", "undocumented", len(lacking), "types", goal="= 0", n=every, **common)
        share = len(comparable & tally.exercised[name]) / len(comparable)
        good &= emit("types", "comparable_compared", share, "ratio", goal=">= 1", n=len(comparable), **common)
        pairs = tally.pairs[name]
        good &= emit("types", "equal_agree", tally.agreed[name] / pairs, "ratio", goal=">= 1", n=pairs, **common)
        found = tally.told_apart[name] / (2 * pairs)
        good &= emit("types", "smallest_difference_found", found, "ratio", goal=">= 1", n=2 * pairs, **common)
    return 0 if good else 1


def comparable_types(engine: str) -> set[str]:
    """The types of an engine that the table of types says can be compared, as far as the servers here have them."""
    return {name for row in KNOWN[engine] if row.fields for name in row.names if (engine, name) not in NOT_HERE}


def measure(urls: dict[str, str]) -> Tally:
    """Fill empty databases, read them and an API with the same values, and compare every column with every other.

    Args:
        urls: by engine.
    """
    columns = [(at, to, each) for at, kind in enumerate(KINDS) for to, each in enumerate(kind.columns)]
    held: dict[str, tuple[Row, Row]] = {}
    for name, url in urls.items():
        mine = {f"c{at}_{to}": each for at, to, each in columns if each.engine == name}
        fill(url, mine)
        held[name] = read({"kind": "sql", "url": url}, mine, {})
    with Answers({f"c{at}_{to}": each for at, to, each in columns if each.engine == HTTP}) as api:
        held[HTTP] = read({"kind": "rest", "url": api.url}, dict(api.columns), api.options)
    return compare(held)


def fill(url: str, columns: dict[str, Column]) -> None:
    """Make a table of two rows: the values and their neighbours."""
    drivers = {"postgresql": "postgresql+psycopg", "mariadb": "mariadb+pymysql", "sqlite": "sqlite"}
    at = sa.make_url(url)
    engine = sa.create_engine(at.set(drivername=drivers[at.get_backend_name()]))
    declared = ", ".join(f"{name} {each.declared}" for name, each in columns.items())
    statements = [
        f"CREATE TABLE t (id integer PRIMARY KEY, {declared})",
        f"INSERT INTO t VALUES (1, {', '.join(each.value for each in columns.values())})",
        f"INSERT INTO t VALUES (2, {', '.join(each.other for each in columns.values())})",
    ]
    if at.get_backend_name() == "postgresql":
        statements[:0] = [
            "CREATE EXTENSION hstore",
            "CREATE EXTENSION citext",
            "CREATE TYPE mood AS ENUM ('happy', 'sad')",
            "CREATE TYPE pair AS (a text, b text)",
        ]
    elif at.get_backend_name() == "mariadb":
        statements.insert(0, "SET time_zone = '+00:00'")
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement.replace("%", "%%") if "sqlite" not in url else statement)
    engine.dispose()


def read(settings: dict[str, Any], columns: dict[str, Column], options: dict[str, Any]) -> tuple[Row, Row]:
    """Both rows as the probe gives them."""
    made = record_settings(settings["kind"]).model_validate({**settings, "zone": "UTC"})
    probe: RecordProbe = open_record_probe(made)
    spec = ReadSpec(
        data_type="t",
        collection="t",
        key="id",
        changed_at=None,
        fields=tuple(columns),
        key_type="integer",
        options=options,
    )
    rows = sorted(probe.fetch(spec, [1, 2]), key=lambda row: int(row[0]))
    probe.close()
    values, others = (dict(zip(columns, row[2:], strict=True)) for row in rows)
    return values, others  # type: ignore[return-value]


class Answers:
    """An HTTP API that answers the two records, every literal as it stands."""

    def __init__(self, columns: dict[str, Column]) -> None:
        self.columns = columns
        records = []
        for number, which in ((1, "value"), (2, "other")):
            members = [f'"{name}": {getattr(each, which)}' for name, each in columns.items()]
            records.append(f'{{"id": {number}, {", ".join(members)}}}')
        body = f"[{', '.join(records)}]".encode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        binding = RestBinding.model_validate({"collection": "t", "key": "id", "many": "/t?ids={keys}"})
        self.options = binding.options()

    def __enter__(self) -> Answers:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def compare(held: dict[str, Any]) -> Tally:
    """Compare each column with every other one of its kind."""
    tally = Tally()
    for at, kind in enumerate(KINDS):
        system = [f"s{to}" for to in range(len(kind.columns))]
        words: dict[str, Any] = dict(kind.words)
        for to, column in enumerate(kind.columns):
            for word, said in column.words.items():
                words.setdefault(word, {})[system[to]] = said
        rule = FieldRule.model_validate(words)
        read_values = []
        for to, column in enumerate(kind.columns):
            parse = parser_for(rule, system[to], "UTC")
            both = []
            for row in held[column.engine]:
                raw = row[f"c{at}_{to}"]
                try:
                    both.append(None if raw is None else parse(raw))
                except UnreadableError as error:
                    tally.fail(f"{column.engine} {column.declared or column.known}: {error}")
                    both.append(error)
            read_values.append(both)
        for to, column in enumerate(kind.columns):
            for beside in range(to + 1, len(kind.columns)):
                _count(tally, rule, (column, kind.columns[beside]), (read_values[to], read_values[beside]))
    return tally


def _count(tally: Tally, rule: FieldRule, columns: tuple[Column, Column], held: tuple[list[Any], list[Any]]) -> None:
    """Compare two columns: their values agree, and neither agrees with the other's neighbour."""
    (mine, my_other), (theirs, their_other) = held
    agreed = agree(rule, mine, theirs)
    apart = int(not agree(rule, mine, their_other)) + int(not agree(rule, my_other, theirs))
    if not agreed or apart < 2:
        told = " and ".join(f"{each.engine} {each.declared or each.known}" for each in columns)
        tally.fail(f"{told} as {rule.type}: {'agree' if agreed else 'differ'}, {apart} of 2 differences found")
    for name in {each.engine for each in columns}:
        tally.pairs[name] += 1
        tally.agreed[name] += agreed
        tally.told_apart[name] += apart
    for each in columns:
        tally.exercised[each.engine].add(each.known)


if __name__ == "__main__":
    sys.exit(main())
