"""What a SQL database says it holds: tables and views, columns with their types, what is unique."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from probes.contract import CollectionSchema, FieldSchema

OWN_SCHEMAS = frozenset({"information_schema", "pg_catalog", "pg_toast"})
"""Of PostgreSQL itself."""


def describe(connection: sa.Connection) -> list[CollectionSchema]:
    """Every table and view that can be seen; those of other schemas than the default carry its name."""
    inspector = sa.inspect(connection)
    default = inspector.default_schema_name
    schemas = [default]
    if connection.dialect.name == "postgresql":
        schemas += [each for each in inspector.get_schema_names() if each not in OWN_SCHEMAS and each != default]
    return [found for schema in schemas for found in _of_schema(inspector, None if schema == default else schema)]


def _of_schema(inspector: sa.Inspector, schema: str | None) -> list[CollectionSchema]:
    views = inspector.get_view_names(schema=schema)
    found = []
    for name in sorted({*inspector.get_table_names(schema=schema), *views}):
        unique = _unique(inspector, name, schema) if name not in views else set()
        fields = tuple(
            FieldSchema(
                name=column["name"],
                type=_canonical(column["type"]),
                described=str(column["type"]).lower(),
                unique=column["name"] in unique,
            )
            for column in inspector.get_columns(name, schema=schema)
        )
        found.append(CollectionSchema(name=f"{schema}.{name}" if schema else name, fields=fields))
    return found


def _unique(inspector: sa.Inspector, table: str, schema: str | None) -> set[str]:
    """Columns that are unique each for itself."""
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


def _canonical(type_: Any) -> str:
    """The canonical type that a column's own type suggests; a guess that people look over."""
    if type(type_).__name__ == "TINYINT" and getattr(type_, "display_width", None) == 1:
        return "boolean"
    return next((name for kind, name in _CANONICAL if isinstance(type_, kind)), "string")
