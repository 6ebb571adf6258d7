"""Columns by the type their database gives them: how each is read exactly, and how keys are compared with it.

Drivers convert what they know in their own way and lose something on it: digits of a FLOAT, months of an
interval, the numbers inside JSON. So whatever is not plain is asked for in a form that says all, which
`checks` reads. Where a driver cannot convert a value at all (a year beyond 9999, bytes that are no text), the
same rows are read once more *plainly*: as text that every value has.
"""

from __future__ import annotations

import struct
import unicodedata
import uuid
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import UserDefinedType

from probes.contract import Bits, Key, Labels

# Types that SQLAlchemy has no class for are read all the same.
warnings.filterwarnings("ignore", message="Did not recognize type", category=sa.exc.SAWarning)

POSTGRESQL_OUTPUT: Mapping[str, str] = {
    "datestyle": "ISO",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
}
"""How a PostgreSQL session has to write values; a role or database may have set something else."""

Convert = Callable[[Any], Any]

PLAIN_TEXT = frozenset({"text", "varchar", "bpchar", "name"})
"""PostgreSQL's types of text, which compare with each other."""

DRIVEN = PLAIN_TEXT | {
    *("bool", "int2", "int4", "int8", "oid", "float4", "float8", "numeric", "bytea"),
    *("date", "timestamp", "timestamptz", "uuid"),
}
"""Types of PostgreSQL that the driver converts without losing anything."""

CALENDAR = frozenset({"date", "timestamp", "timestamptz"})

MYSQL_TEXT = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum"})
MYSQL_GEOMETRY = frozenset(
    {
        *("geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon"),
        *("geometrycollection", "geomcollection"),
    }
)
MYSQL_AS_TEXT = frozenset({"time", "uuid", "inet4", "inet6"})

INT64 = range(-(2**63), 2**63)
UINT64 = range(2**64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Native:
    """A column's type as its database names it, domains resolved.

    Attributes:
        kind: PostgreSQL's sort of type: b(ase), a(rray), c(omposite), e(num), r(ange), m(ultirange).
        schema: where PostgreSQL has the type.
        width: bits of a BIT column.
    """

    name: str
    kind: str = "b"
    schema: str = ""
    width: int = 0


UNKNOWN = Native(name="")

KEY_DIGITS = 200
"""Before or behind the point of a key in a column of numbers, of which MariaDB has 65: others are not there."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One column as it stands in a SELECT, and what becomes of its values.

    Attributes:
        held: where PostgreSQL holds values of any length in it, the type that it has there.
    """

    column: sa.ColumnElement[Any]
    convert: Convert | None = None
    held: Literal["text", "bytea"] | None = None


_POSTGRESQL_TYPES = sa.text("""
    WITH RECURSIVE told (name, type) AS (
        SELECT a.attname::text, a.atttypid FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = pg_catalog.to_regclass(:quoted) AND a.attnum > 0 AND NOT a.attisdropped
        UNION ALL
        SELECT told.name, t.typbasetype FROM told JOIN pg_catalog.pg_type t ON t.oid = told.type
        WHERE t.typtype = 'd')
    SELECT told.name, t.typname::text, CASE t.typcategory WHEN 'A' THEN 'a' ELSE t.typtype::text END,
        n.nspname::text
    FROM told JOIN pg_catalog.pg_type t ON t.oid = told.type
    JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
    WHERE t.typtype <> 'd'""")

_MYSQL_TYPES = sa.text("""
    SELECT column_name, lower(data_type), numeric_precision FROM information_schema.columns
    WHERE table_schema = coalesce(:schema, database()) AND table_name = :name""")


def native_types(connection: sa.Connection, schema: str | None, name: str) -> dict[str, Native]:
    """The type of each column of a table or view; a column that is not told has none of its own."""
    dialect = connection.dialect
    if dialect.name == "postgresql":
        quoted = dialect.identifier_preparer.format_table(sa.table(name, schema=schema))
        rows = connection.execute(_POSTGRESQL_TYPES, {"quoted": quoted})
        return {each: Native(name=type_, kind=kind, schema=at) for each, type_, kind, at in rows}
    if dialect.name in {"mariadb", "mysql"}:
        rows = connection.execute(_MYSQL_TYPES, {"schema": schema, "name": name})
        return {each: Native(name=_text(type_), width=int(width or 0)) for each, type_, width in rows}
    return {}


def sqlite_native(declared: Any) -> Native:
    """What SQLite makes of values for a column declared so: `number` where it takes what looks like one for it."""
    return Native(name="number" if isinstance(declared, sa.Numeric | sa.Float | sa.Integer) else "")


def _text(raw: Any) -> str:
    return raw.decode() if isinstance(raw, bytes) else str(raw)


def asked(dialect: str, column: sa.ColumnClause[Any], native: Native, *, key: bool = False) -> Asked:
    """How a column is read.

    Args:
        key: its values are keys: the padding of a CHAR is no part of them.
    """
    if dialect == "postgresql":
        return _of_postgresql(column, native, key=key)
    if dialect in {"mariadb", "mysql"}:
        return _of_mysql(column, native, key=key)
    return Asked(column)


def asked_plainly(dialect: str, column: sa.ColumnClause[Any], native: Native, *, key: bool = False) -> Asked:
    """How a column is read after a value was met that the driver cannot convert."""
    if dialect == "postgresql" and native.kind == "b" and native.name in CALENDAR:
        return Asked(sa.cast(column, sa.Text), held="text")
    if dialect in {"mariadb", "mysql"} and native.name in MYSQL_TEXT:
        utf8 = sa.cast(sa.func.convert(_using(column)), sa.LargeBinary)
        return Asked(utf8, _padded_text if key and native.name == "char" else text_or_bytes)
    return asked(dialect, column, native, key=key)


def _using(column: sa.ColumnClause[Any]) -> sa.ColumnElement[Any]:
    return column.op("USING")(sa.literal_column("utf8mb4"))


def _of_postgresql(column: sa.ColumnClause[Any], native: Native, *, key: bool) -> Asked:
    if native is UNKNOWN:
        return Asked(column)
    if native.kind == "b" and native.name in DRIVEN and not (key and native.name == "bpchar"):
        if native.name == "bytea":
            return Asked(column, held="bytea")
        return Asked(column, held="text" if native.name in PLAIN_TEXT else None)
    if native.kind in {"a", "c"} or native.name == "hstore":
        # JSON keeps nesting, NULLs and every digit, whatever the elements are.
        return Asked(sa.cast(sa.func.pg_catalog.to_json(column), sa.Text), held="text")
    if native.name == "money":
        return Asked(sa.cast(column, sa.Numeric))
    if native.name == "inet":  # its cast to text adds the length of every mask
        return Asked(sa.func.pg_catalog.to_json(column).op("#>>")(sa.literal_column("'{}'")), held="text")
    return Asked(sa.cast(column, sa.Text), Bits if native.name in {"bit", "varbit"} else None, held="text")


def _of_mysql(column: sa.ColumnClause[Any], native: Native, *, key: bool) -> Asked:
    if native.name == "float":  # as it stands it is written with six digits
        return Asked(sa.type_coerce(column, sa.Float()) + sa.literal_column("0e0"), shortest_single)
    if native.name == "bit":
        digits = sa.func.bin(sa.type_coerce(column, sa.BigInteger()) + sa.literal_column("0"))
        return Asked(sa.func.lpad(digits, sa.literal_column(str(native.width)), sa.literal_column("'0'")), Bits)
    if native.name == "set":
        return Asked(column, Labels)
    if native.name in MYSQL_AS_TEXT:
        return Asked(sa.cast(column, sa.CHAR))
    if native.name in MYSQL_GEOMETRY:
        return Asked(sa.func.st_astext(column))
    if key and native.name == "char":
        return Asked(column, _unpadded)
    return Asked(column)


def _unpadded(key: Any) -> Any:
    return key.rstrip(" ") if isinstance(key, str) else key


def _padded_text(raw: Any) -> Any:
    return _unpadded(text_or_bytes(raw))


def text_or_bytes(raw: bytes) -> str | bytes:
    """Text, or the bytes that are none, which concern only the field they stand in."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


class NotText(bytes):
    """What SQLite holds as text, and is not UTF-8."""


def sqlite_text(raw: bytes) -> str | bytes:
    """Text of a SQLite database, or the bytes that are none, which are not to be taken for a blob."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return NotText(raw)


def shortest_single(value: float) -> float:
    """A float of 32 bits as the shortest decimal that means it, which is how PostgreSQL tells a `real`."""
    for digits in range(1 if abs(value) < 2**-126 else 6, 9):
        short = float(f"{value:.{digits}g}")
        try:
            if struct.unpack("f", struct.pack("f", short))[0] == value:
                return short
        except OverflowError:
            continue
    return float(f"{value:.9g}")


class _Named(UserDefinedType[Any]):
    """A type by its SQL name, without a length that would cut what is cast to it."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_: Any) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class KeyColumn:
    """How keys are looked up in a column.

    Attributes:
        column: what they are compared with; the column itself where an index should answer.
        whole: the column holds whole numbers only.
        native: its type in the database.
    """

    column: sa.ColumnElement[Any]
    whole: bool
    native: Native
    declared: Any
    dialect: str

    def among(self) -> sa.ColumnElement[bool]:
        """The condition that a row's key is one of the parameters `keys` (and `texts`, in SQLite)."""
        if self.dialect == "postgresql":
            array = postgresql.ARRAY(self._cast)
            return self.column == sa.any_(sa.cast(sa.bindparam("keys", type_=sa.types.NullType()), array))
        # Whole numbers stand in the text itself: a driver that writes parameters into it takes longer.
        # All else is bound as it is: what SQLAlchemy would make of it is made in `bind`.
        raw = sa.type_coerce(self.column, sa.types.NullType())
        if not self.whole:
            return raw.in_(sa.bindparam("keys", expanding=True))
        found = self.column.in_(sa.bindparam("keys", expanding=True, literal_execute=True, type_=sa.BigInteger()))
        if self.dialect == "sqlite":  # where a column of numbers may hold text all the same
            return sa.or_(found, raw.in_(sa.bindparam("texts", expanding=True)))
        return found

    def parameters(self, keys: Sequence[Key]) -> dict[str, list[Any]]:
        """What to bind for `among`. Keys that cannot stand in the column are left out: they are not there."""
        if self.dialect == "sqlite" and self.whole:
            numbers = self.bind(keys)
            texts = [key for key in keys if not isinstance(key, int) and not _is_whole(key)]
            return {"keys": numbers, "texts": [each for key in texts for each in _either(key, sa.String())]}
        return {"keys": self.bind(keys)}

    def behind(self) -> sa.ColumnElement[bool]:
        """The condition that a row's key comes after the parameter `after`."""
        if self.dialect == "postgresql":
            return self.column > sa.cast(sa.bindparam("after", type_=sa.types.NullType()), self._cast)
        return sa.type_coerce(self.column, sa.types.NullType()) > sa.bindparam("after")

    @property
    def _cast(self) -> sa.types.TypeEngine[Any]:
        if self.whole:
            return sa.BigInteger()
        if self.native.name in {"numeric", "uuid", "bytea", "citext", "bpchar"}:
            return _Named(f'"{self.native.schema}"."{self.native.name}"')
        return sa.Text()

    def bind(self, keys: Sequence[Key]) -> list[Any]:
        """The keys as the column holds them, those left out that it cannot hold."""
        if self.whole:
            bounds = INT64 if self.dialect in {"postgresql", "sqlite"} else range(INT64.start, UINT64.stop)
            return [number for key in keys if _is_whole(key) and (number := int(key)) in bounds]
        if self.dialect == "postgresql":
            as_held = {"uuid": _uuid, "numeric": _decimal, "bytea": binary_key}.get(self.native.name)
            if as_held is not None:
                return [found for key in keys if (found := as_held(key)) is not None]
        elif isinstance(self.declared, sa.BINARY | sa.VARBINARY | sa.LargeBinary):
            length = self.declared.length if isinstance(self.declared, sa.BINARY) else None
            return [binary_key(key).ljust(length or 0, b"\0") for key in keys]
        elif self.dialect == "sqlite":
            return [form for key in keys for form in _either(key, self.declared)]
        elif self.native.name == "uuid":
            return [str(found) for key in keys if (found := _uuid(key)) is not None]
        elif isinstance(self.declared, sa.Numeric):
            return [found for key in keys if (found := _decimal(key)) is not None]
        return [spelled for key in keys for spelled in _spellings(str(key), self.dialect)]


def key_column(dialect: str, column: sa.ColumnClause[Any], native: Native) -> KeyColumn:
    """How keys are looked up in this column."""
    if dialect != "postgresql" or native is UNKNOWN:
        return KeyColumn(column, isinstance(column.type, sa.Integer), native, column.type, dialect)
    matched: sa.ColumnElement[Any] = column
    whole = native.name in {"int2", "int4", "int8"}
    if not whole and native.name not in {"uuid", "numeric", "bytea", "citext", *PLAIN_TEXT}:
        matched = asked(dialect, column, native, key=True).column
        if native.name in DRIVEN:
            matched = sa.cast(column, sa.Text)
    return KeyColumn(matched, whole, native, column.type, dialect)


def _is_whole(key: Key) -> bool:
    if isinstance(key, int):
        return True
    return isinstance(key, str) and len(key) < 40 and key.isascii() and key.removeprefix("-").isdecimal()


def _uuid(key: Key) -> uuid.UUID | None:
    try:
        return uuid.UUID(str(key))
    except ValueError:
        return None


def _decimal(key: Key) -> Decimal | None:
    try:
        number = Decimal(key)
    except InvalidOperation:
        return None
    # What no column of numbers holds fails the whole statement: PostgreSQL's overflow, MariaDB's double.
    held = number.is_finite() and len(number.as_tuple().digits) <= KEY_DIGITS
    return number if held and -KEY_DIGITS <= number.adjusted() <= KEY_DIGITS else None


def _either(key: Key, declared: Any) -> list[Any]:
    """A key as text, and as a number where the column is not one of text and may hold either; bytes as they are."""
    if isinstance(key, bytes):
        return [key]
    spelled: list[Any] = _spellings(str(key), "sqlite")
    if _is_whole(key) and int(key) in INT64 and not isinstance(declared, sa.String):
        spelled.append(int(key))
    return spelled


def _spellings(key: str, dialect: str) -> list[str]:
    """How a text column may spell a key: a UUID also in capitals and without dashes, letters with accents also in two
    characters (keys are compared in Unicode NFC); what is no text, not at all."""
    if (dialect == "postgresql" and "\0" in key) or not (key.isascii() or _is_unicode(key)):
        return []
    if len(key) == 36 and key.count("-") == 4:
        plain = key.replace("-", "")
        return [key, key.upper(), plain, plain.upper()]
    return [key] if key.isascii() else list({key, unicodedata.normalize("NFD", key)})


def _is_unicode(text: str) -> bool:
    """Whether it can be written at all: half characters, which JSON may hold, cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def binary_key(key: Key) -> bytes:
    """A key as a binary column holds it: the 16 bytes of a UUID, or text in UTF-8; bytes as they are."""
    if isinstance(key, bytes):
        return key
    found = _uuid(key)
    return found.bytes if found is not None else str(key).encode(errors="surrogatepass")
