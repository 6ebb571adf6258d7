"""What a SQL database says it holds: tables and views, columns with their types, what is unique."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, NoSuchTableError

from probes.contract import CollectionSchema, FieldSchema
from probes.records.sql.column_types import UNKNOWN, Native, native_types
from probes.records.sql.known_types import field_type
from probes.records.sql.names import join_name

OWN_SCHEMAS = frozenset({"information_schema", "pg_catalog", "pg_toast"})
"""Of PostgreSQL itself."""


def describe(connection: sa.Connection) -> list[CollectionSchema]:
    """Every table and view that can be seen; those of other schemas than the default carry its name."""
    inspector = sa.inspect(connection)
    default = inspector.default_schema_name
    if connection.dialect.name == "postgresql":  # a session's search_path may be another than at first
        default = connection.exec_driver_sql("SELECT current_schema()").scalar() or default
    schemas = [default]
    if connection.dialect.name == "postgresql":
        schemas += [each for each in inspector.get_schema_names() if each not in OWN_SCHEMAS and each != default]
    return [
        found
        for schema in schemas
        for found in _of_schema(connection, inspector, None if schema == default else schema)
    ]


def _of_schema(connection: sa.Connection, inspector: sa.Inspector, schema: str | None) -> list[CollectionSchema]:
    views = inspector.get_view_names(schema=schema)
    found = []
    dialect = inspector.dialect.name
    for name in sorted({*inspector.get_table_names(schema=schema), *views}):
        unique = _unique(inspector, name, schema) if name not in views else set()
        natives = native_types(connection, schema, name)
        fields = tuple(
            FieldSchema(
                name=column["name"],
                type=_canonical(dialect, column["type"], natives.get(column["name"], UNKNOWN)),
                described=_described(column["type"], natives.get(column["name"], UNKNOWN)),
                unique=column["name"] in unique,
            )
            for column in columns_of(connection, name, schema)
        )
        found.append(CollectionSchema(name=join_name(schema, name), fields=fields))
    return found


def denied(error: DBAPIError) -> bool:
    """Whether MariaDB or MySQL refuses to show how a table is made; reading it may be allowed all the same."""
    return error.orig is not None and error.orig.args[:1] in {(1142,), (1143,), (1370,)}


def columns_of(connection: sa.Connection, name: str, schema: str | None) -> Sequence[Any]:
    """The columns of a table or view as SQLAlchemy tells them, as far as the login may know of them.

    Raises:
        NoSuchTableError: there is none of this name.
    """
    told: Sequence[Any] = ()
    if connection.dialect.name in {"mariadb", "mysql"}:
        told = connection.execute(_COLUMNS, {"schema": schema, "name": name}).mappings().all()
    if not any(_UNREFLECTED.search(str(each["name"])) for each in told):
        try:
            return sa.inspect(connection).get_columns(name, schema=schema)
        except DBAPIError as error:
            if not denied(error):
                raise
    if not told:
        raise NoSuchTableError(name)
    return [{"name": str(each["name"]), "type": _type_of(connection, each)} for each in told]


_UNREFLECTED = re.compile(r"[`\r\n]")
"""SQLAlchemy reads SHOW CREATE TABLE line by line, and a backtick in a name not as the one that it stands for."""

# SHOW CREATE TABLE, which SQLAlchemy asks, wants rights that a login with SELECT on a view or on some columns lacks.
_COLUMNS = sa.text(
    "SELECT column_name AS name, data_type AS type, column_type AS whole, character_maximum_length AS length, "
    "numeric_precision AS digits, numeric_scale AS scale, datetime_precision AS fsp FROM information_schema.columns "
    "WHERE table_schema = coalesce(:schema, database()) AND table_name = :name ORDER BY ordinal_position"
)


def _type_of(connection: sa.Connection, told: Any) -> Any:
    """The type of a column of MariaDB or MySQL by what `information_schema` tells of it."""
    name = str(told["type"]).lower()
    known: Any = getattr(connection.dialect, "ischema_names", {}).get(name)
    if known is None or name in {"enum", "set"}:
        return sa.String() if known is not None else sa.types.NullType()
    whole = str(told["whole"]).lower()
    if name in {"char", "varchar", "binary", "varbinary"}:
        return known(length=told["length"])
    if name in {"decimal", "numeric"}:
        return known(precision=told["digits"], scale=told["scale"])
    if name in {"datetime", "timestamp", "time"}:
        return known(fsp=told["fsp"])
    if name.endswith("int"):
        width = re.search(r"\((\d+)\)", whole)
        return known(display_width=int(width[1]) if width else None, unsigned="unsigned" in whole)
    return known()


def leading_columns(connection: sa.Connection, name: str, schema: str | None) -> list[str] | None:
    """The columns that lead an index of a table; None where the login may not know."""
    inspector = sa.inspect(connection)
    try:
        led = [index["column_names"][0] for index in inspector.get_indexes(name, schema=schema)]
        led += inspector.get_pk_constraint(name, schema=schema)["constrained_columns"][:1]
        led += [unique["column_names"][0] for unique in inspector.get_unique_constraints(name, schema)]
    except DBAPIError as error:
        if not denied(error):
            raise
        return None
    return [each for each in led if each is not None]


def unreadable_columns(connection: sa.Connection, name: str, schema: str | None, wanted: Sequence[str]) -> list[str]:
    """Which of these columns the login may not read, by PostgreSQL's word; other databases name them themselves."""
    if connection.dialect.name != "postgresql":
        return []
    quoted = connection.dialect.identifier_preparer.format_table(sa.table(name, schema=schema))
    refused = set(connection.execute(_UNREADABLE, {"quoted": quoted, "wanted": list(wanted)}).scalars())
    return [each for each in wanted if each in refused]


_UNREADABLE = sa.text(
    "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(:quoted) AND attname = ANY(:wanted) "
    "AND NOT has_column_privilege(attrelid, attnum, 'SELECT')"
)


def _unique(inspector: sa.Inspector, table: str, schema: str | None) -> set[str]:
    """Columns that are unique each for itself."""
    try:
        return _unique_alone(inspector, table, schema)
    except DBAPIError as error:
        if not denied(error):
            raise
        return set()


def _unique_alone(inspector: sa.Inspector, table: str, schema: str | None) -> set[str]:
    sets: list[list[str]] = [inspector.get_pk_constraint(table, schema=schema)["constrained_columns"]]
    sets += [each["column_names"] for each in inspector.get_unique_constraints(table, schema=schema)]
    for index in inspector.get_indexes(table, schema=schema):
        sets += [[str(name) for name in index["column_names"]]] if index["unique"] else []
    return {columns[0] for columns in sets if len(columns) == 1}


_CANONICAL: tuple[tuple[type[Any] | tuple[type[Any], ...], str], ...] = (
    (sa.types.Boolean, "boolean"),
    (sa.types.Uuid, "uuid"),
    (sa.types.DateTime, "timestamp"),
    (sa.types.Date, "date"),
    (sa.types.JSON, "json"),
    (sa.types.Integer, "integer"),
    (sa.types.Float, "float"),
    (sa.types.Numeric, "decimal"),
    (sa.types.Enum, "enum"),
)


def _described(type_: Any, native: Native) -> str:
    """A column's type as people know it; SQLAlchemy calls what it does not know null."""
    return native.name if isinstance(type_, sa.types.NullType) and native.name else str(type_).lower()


def _canonical(dialect: str, type_: Any, native: Native) -> str:
    """The canonical type that a column's own type suggests; a guess that people look over."""
    if type(type_).__name__ == "TINYINT" and getattr(type_, "display_width", None) == 1:
        return "boolean"
    if native is not UNKNOWN and (known := field_type(dialect, native)) is not None:
        return known
    return next((name for kind, name in _CANONICAL if isinstance(type_, kind)), "string")
