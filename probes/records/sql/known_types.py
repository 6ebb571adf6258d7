"""Every built-in type of the supported databases: the field types it can be compared as, and how.

`docs/map.md` shows the same as a table, and a test walks each engine's own catalogue of types to see that none is
missing here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from probes.records.sql.column_types import Native


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownType:
    """Some types of one engine that are read alike.

    Attributes:
        names: as in the engine's catalogue.
        fields: the field types they can be compared as, the likeliest first; empty if they cannot be compared.
        form: what is compared, or what to do if that is not possible.
    """

    names: tuple[str, ...]
    fields: tuple[str, ...]
    form: str


POSTGRESQL = (
    KnownType(names=("int2", "int4", "int8", "oid", "xid", "xid8", "cid"), fields=("integer",), form="the number"),
    KnownType(names=("numeric",), fields=("decimal", "integer", "money"), form="every digit; NaN and infinities too"),
    KnownType(names=("money",), fields=("decimal", "money"), form="cast to numeric; its currency stands in the map"),
    KnownType(
        names=("float4", "float8"), fields=("float", "decimal"), form="the shortest decimal that means the number"
    ),
    KnownType(names=("bool",), fields=("boolean",), form="true or false"),
    KnownType(
        names=("text", "varchar", "bpchar", "name", "char"),
        fields=("string", "enum", "uuid", "set"),
        form="as stored; `char(n)` with its padding (`strip: trailing`), except in keys",
    ),
    KnownType(names=("citext",), fields=("string",), form="as stored; say `casefold`"),
    KnownType(names=("bytea",), fields=("bytes",), form="the bytes"),
    KnownType(names=("date",), fields=("date",), form="the day; infinities, years beyond 9999 and BC too"),
    KnownType(
        names=("timestamp", "timestamptz"), fields=("timestamp",), form="the instant, as far as PostgreSQL goes"
    ),
    KnownType(names=("time", "timetz"), fields=("time",), form="the time of day, 24:00 too; an offset is part of it"),
    KnownType(names=("interval",), fields=("duration",), form="months, and apart from them days of 24 hours"),
    KnownType(names=("uuid",), fields=("uuid",), form="the UUID"),
    KnownType(names=("json", "jsonb"), fields=("json",), form="keys in any order, numbers with every digit"),
    KnownType(names=("enum types",), fields=("enum", "string"), form="the label"),
    KnownType(
        names=("arrays", "int2vector", "oidvector"),
        fields=("array", "set", "json"),
        form="the items, nesting and NULLs kept; where their numbering begins does not matter",
    ),
    KnownType(names=("composite types", "hstore"), fields=("json",), form="an object with a name for each part"),
    KnownType(
        names=(
            *("int4range", "int8range", "numrange", "tsrange", "tstzrange", "daterange"),
            *(
                "int4multirange",
                "int8multirange",
                "nummultirange",
                "tsmultirange",
                "tstzmultirange",
                "datemultirange",
            ),
        ),
        fields=("range",),
        form="the bounds, read as `items` says; of whole numbers and days however they are written",
    ),
    KnownType(names=("bit", "varbit"), fields=("bits", "integer", "boolean"), form="each bit; or what they count"),
    KnownType(names=("inet", "cidr"), fields=("network",), form="the address, with a mask that leaves more than one"),
    KnownType(names=("macaddr", "macaddr8"), fields=("mac",), form="its bytes"),
    KnownType(names=("xml",), fields=("string",), form="as stored: white space and the order of attributes count"),
    KnownType(
        names=("point", "line", "lseg", "box", "path", "polygon", "circle"),
        fields=("string",),
        form="PostgreSQL's own text; for another system give the coordinates in a view: `place[0]`, a float",
    ),
    KnownType(
        names=("tsvector", "tsquery", "jsonpath"),
        fields=("string",),
        form="PostgreSQL's own text; it is derived data",
    ),
    KnownType(
        names=(
            *("regclass", "regcollation", "regconfig", "regdictionary", "regnamespace", "regoper", "regoperator"),
            *("regproc", "regprocedure", "regrole", "regtype", "aclitem", "refcursor"),
            *("pg_lsn", "pg_snapshot", "txid_snapshot", "tid"),
        ),
        fields=("string",),
        form="PostgreSQL's own text, which means something on that server only",
    ),
    KnownType(
        names=(
            *("pg_node_tree", "pg_ndistinct", "pg_dependencies", "pg_mcv_list", "gtsvector"),
            *("pg_brin_bloom_summary", "pg_brin_minmax_multi_summary"),
        ),
        fields=(),
        form="PostgreSQL's own bookkeeping: leave the column out",
    ),
)

MARIADB = (
    KnownType(
        names=("tinyint", "smallint", "mediumint", "int", "bigint", "year"),
        fields=("integer", "boolean"),
        form="the number, `unsigned` too; `tinyint(1)` is proposed as boolean",
    ),
    KnownType(names=("decimal",), fields=("decimal", "integer", "money"), form="every digit"),
    KnownType(
        names=("float", "double"), fields=("float", "decimal"), form="the shortest decimal that means the number"
    ),
    KnownType(names=("bit",), fields=("bits", "integer", "boolean"), form="each bit; or what they count"),
    KnownType(
        names=("date",), fields=("date",), form="the day; a zero date cannot be verified: `NULLIF(day, 0)` in a view"
    ),
    KnownType(
        names=("datetime", "timestamp"),
        fields=("timestamp",),
        form="the instant; a zero date cannot be verified: `NULLIF(at, 0)` in a view",
    ),
    KnownType(
        names=("time",), fields=("time", "duration"), form="a time of day from 00:00 to 24:00; as duration all of it"
    ),
    KnownType(
        names=("char", "varchar", "tinytext", "text", "mediumtext", "longtext"),
        fields=("string", "enum", "uuid", "json", "set"),
        form="as stored, whatever its character set; `json` is a longtext here",
    ),
    KnownType(
        names=("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "vector"),
        fields=("bytes", "uuid"),
        form="the bytes; `binary(n)` with its padding",
    ),
    KnownType(
        names=("json",), fields=("json",), form="MySQL's own type: keys in any order, numbers with every digit"
    ),
    KnownType(names=("enum",), fields=("enum", "string"), form="the label"),
    KnownType(names=("set",), fields=("set", "string"), form="the labels in any order; no `separator` is needed"),
    KnownType(names=("uuid",), fields=("uuid",), form="the UUID"),
    KnownType(names=("inet4", "inet6"), fields=("network",), form="the address"),
    KnownType(
        names=("xmltype",), fields=("string",), form="as stored: white space and the order of attributes count"
    ),
    KnownType(
        names=(
            *("geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon"),
            *("geometrycollection", "geomcollection"),
        ),
        fields=("string",),
        form="Well-Known Text; for another system give the coordinates in a view: `ST_X(place)`, a float",
    ),
)

SQLITE = (
    KnownType(
        names=("INTEGER",), fields=("integer", "boolean", "timestamp"), form="the number; instants with their `unit`"
    ),
    KnownType(
        names=("REAL",),
        fields=("float", "decimal"),
        form="the shortest decimal that means the number; a column with NUMERIC affinity keeps 15 digits, not more",
    ),
    KnownType(
        names=("TEXT",),
        fields=("string", "enum", "uuid", "decimal", "timestamp", "date", "time", "duration", "json", "set", "array"),
        form="as stored; read as the type that the map declares, whatever the column does",
    ),
    KnownType(names=("BLOB",), fields=("bytes", "uuid", "string"), form="the bytes, or the text they are in UTF-8"),
    KnownType(names=("NULL",), fields=("string",), form="NULL, which equals only NULL"),
)

HTTP_JSON = (
    KnownType(
        names=("string",),
        fields=(
            *("string", "enum", "uuid", "decimal", "timestamp", "date", "time", "duration", "bytes", "bits"),
            *("network", "mac", "range", "set", "money"),
        ),
        form="the text; bytes with their `encoding`",
    ),
    KnownType(
        names=("number",),
        fields=("decimal", "integer", "float", "timestamp", "duration", "money"),
        form="every digit; instants and durations with their `unit`",
    ),
    KnownType(names=("true", "false"), fields=("boolean",), form="true or false"),
    KnownType(names=("array",), fields=("array", "set", "json"), form="the items"),
    KnownType(names=("object",), fields=("json", "money"), form="keys in any order; a key twice cannot be verified"),
    KnownType(names=("null",), fields=("string",), form="NULL, which equals only NULL"),
)

KNOWN: Mapping[str, tuple[KnownType, ...]] = {
    "PostgreSQL": POSTGRESQL,
    "MariaDB, MySQL": MARIADB,
    "SQLite": SQLITE,
    "HTTP JSON": HTTP_JSON,
}

_SORTS = {"a": "array", "c": "json", "e": "enum", "r": "range", "m": "range"}
_BY_NAME = {
    dialect: {name: each for each in known for name in each.names}
    for dialect, known in (("postgresql", POSTGRESQL), ("mariadb", MARIADB), ("mysql", MARIADB))
}


def field_type(dialect: str, native: Native) -> str | None:
    """The type of field that a column's own type suggests; None for an unknown type."""
    if native.kind in _SORTS:
        return _SORTS[native.kind]
    if native.name == "hstore":
        return "json"
    known_type = _BY_NAME.get(dialect, {}).get(native.name)
    return known_type.fields[0] if known_type is not None and known_type.fields else None


def as_table() -> str:
    """The table of `docs/map.md`."""
    lines = ["| system | column | `type` | what is compared, or what to do |", "|---|---|---|---|"]
    for engine, types in KNOWN.items():
        for each in types:
            names = ", ".join(f"`{name}`" if " " not in name and name != "arrays" else name for name in each.names)
            fields = ", ".join(f"`{name}`" for name in each.fields) or "–"
            lines.append(f"| {engine} | {names} | {fields} | {each.form} |")
    return "\n".join(lines)
