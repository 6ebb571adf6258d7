"""MariaDB and MySQL, which are read alike: where they differ, a session asks which of the two it is.

Source: mariadb.com/kb/en/mariadb-error-code-reference, dev.mysql.com/doc/mysql-errors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, NoSuchTableError

from probes.contract import Bits, Key, Labels, Reason
from probes.letter_case import ASCII_LETTERS
from probes.records.sql import bounded_drivers
from probes.records.sql.column_types import (
    INT64,
    MYSQL_GEOMETRY,
    MYSQL_TEXT,
    UINT64,
    Asked,
    KeyColumn,
    MatchedColumn,
    Native,
    WritingsOf,
    WrittenColumn,
    decimal_key,
    shortest_single,
    text_or_bytes,
    uuid_key,
)
from probes.records.sql.dialects.dialect import LOCK_TIMEOUT_S, NO_DATABASE, Dialect, bytes_have_no_case

AS_TEXT = frozenset({"time", "uuid", "inet4", "inet6"})

TEXTS = MYSQL_TEXT | {"json", "tinyblob", "blob", "mediumblob", "longblob"}
"""Types of columns that hold texts or bytes of any length."""

EVERY_CHARACTER = "utf8mb4"
"""The character set that holds each text."""

_ERRORS = {
    1040: Reason.UNREACHABLE,
    1044: Reason.PERMISSION,
    1045: Reason.AUTH,
    1142: Reason.PERMISSION,
    1143: Reason.PERMISSION,
    1153: Reason.TOO_LARGE,
    1205: Reason.TIMEOUT,
    1698: Reason.AUTH,
    1969: Reason.TIMEOUT,
    2003: Reason.UNREACHABLE,
    2006: Reason.UNREACHABLE,
    2013: Reason.UNREACHABLE,
    2055: Reason.UNREACHABLE,
    3024: Reason.TIMEOUT,
}
_UNKNOWN_VARIABLE = 1193
_DENIED = frozenset({(1142,), (1143,), (1370,)})
_REFUSALS = {
    1142: "the login has no such right",
    1143: "the login has no such right",
    1290: "the server is read-only",
    1792: "the transaction is read-only",
}
"""Errors that mean that writing is refused, and nothing else."""

_UNREFLECTED = re.compile(r"[`\r\n]")
"""SQLAlchemy parses SHOW CREATE TABLE line by line, and misreads an escaped backtick in a name."""

# SQLAlchemy's SHOW CREATE TABLE needs rights that a login with SELECT on a view or on some columns lacks.
_COLUMNS = sa.text(
    "SELECT column_name AS name, data_type AS type, column_type AS whole, character_maximum_length AS length, "
    "numeric_precision AS digits, numeric_scale AS scale, datetime_precision AS fsp FROM information_schema.columns "
    "WHERE table_schema = coalesce(:schema, database()) AND table_name = :name ORDER BY ordinal_position"
)
_NAME = re.compile(r"\w+", re.ASCII)
_TYPES = sa.text("""
    SELECT column_name, lower(data_type), numeric_precision, character_set_name, collation_name
    FROM information_schema.columns
    WHERE table_schema = coalesce(:schema, database()) AND table_name = :name""")


class MySql(Dialect):
    """One database of a MySQL or MariaDB server."""

    clock = ("SELECT utc_timestamp(6)", 0.0)
    read_only_words: ClassVar[Sequence[tuple[str, str]]] = (
        ("SELECT @@transaction_read_only", "transaction_read_only"),
        ("SELECT @@tx_read_only", "tx_read_only"),
    )
    absent_columns = "; or the login may not read it"
    utc_timestamps = True

    # -- connecting

    def connect_args(self) -> dict[str, Any]:
        import pymysql.converters
        from pymysql.constants import FIELD_TYPE

        # PyMySQL's own conversion of instants is a regular expression and a third of the time of a read.
        quick = dict.fromkeys((FIELD_TYPE.DATETIME, FIELD_TYPE.TIMESTAMP), _instant)
        return {
            **self.address.parameters,
            **dict.fromkeys(("connect_timeout", "read_timeout", "write_timeout"), self.timeout_s),
            "conv": {**pymysql.converters.conversions, **quick},
        }

    def connect(self, _dialect: Any, _record: Any, arguments: Any, parameters: Any) -> Any:
        return bounded_drivers.mysql_connection()(*arguments, **parameters)

    def prepare(self, cursor: Any) -> None:
        """MariaDB and MySQL name the same two limits differently."""
        common = f"SET SESSION time_zone='+00:00', innodb_lock_wait_timeout={LOCK_TIMEOUT_S}, "
        limit = f"lock_wait_timeout={LOCK_TIMEOUT_S}, "
        try:
            cursor.execute(f"{common}{limit}tx_read_only=1, max_statement_time={self.timeout_s:.3f}")
        except Exception as error:
            if not (error.args and error.args[0] == _UNKNOWN_VARIABLE):
                raise
            timeout_ms = int(self.timeout_s * 1000)
            cursor.execute(f"{common}{limit}transaction_read_only=1, max_execution_time={timeout_ms}")

    # -- failing

    def reason(self, original: BaseException, text: str) -> Reason:
        code = original.args[0] if original.args else None
        if code in {2003, 2013} and "timed out" in text.lower():
            return Reason.TIMEOUT
        if isinstance(code, int) and code in _ERRORS:
            return _ERRORS[code]
        return Reason.QUERY if code else Reason.UNREACHABLE

    def words(self, original: BaseException) -> str:
        """PyMySQL's errors hold the number and the sentence, and print as a tuple."""
        number, *said = original.args or ("",)
        return f"{said[0]} (error {number})" if len(said) == 1 and isinstance(said[0], str) else str(original)

    def hint(self, _reason: Reason, _original: BaseException, text: str, usual: str) -> str:
        return NO_DATABASE if "Unknown database" in text else usual

    def is_unknown_word(self, error: DBAPIError) -> bool:
        return error.orig is not None and error.orig.args[:1] == (_UNKNOWN_VARIABLE,)

    def refusal(self, error: BaseException) -> str:
        code = error.args[0] if error.args else None
        return f"a write is refused: {_REFUSALS[code]} ({code})" if code in _REFUSALS else ""

    # -- the catalogue

    def columns(self, connection: sa.Connection, name: str, schema: str | None) -> Sequence[Any]:
        rows = connection.execute(_COLUMNS, {"schema": schema, "name": name}).mappings().all()
        if not any(_UNREFLECTED.search(str(each["name"])) for each in rows):
            try:
                return super().columns(connection, name, schema)
            except DBAPIError as error:
                if not self.hides(error):
                    raise
        if not rows:
            raise NoSuchTableError(name)
        return [{"name": str(each["name"]), "type": _type_of(connection, each)} for each in rows]

    def hides(self, error: DBAPIError) -> bool:
        """Whether it refuses to show a table's definition."""
        return error.orig is not None and error.orig.args[:1] in _DENIED

    def native_types(self, connection: sa.Connection, schema: str | None, name: str) -> dict[str, Native]:
        rows = connection.execute(_TYPES, {"schema": schema, "name": name})
        return {
            each: Native(name=_text(type_), width=int(width or 0), **_characters(*named))
            for each, type_, width, *named in rows
        }

    # -- reading

    def asked(self, column: sa.ColumnClause[Any], native: Native, *, key: bool = False) -> Asked:
        if native.name == "float":  # unconverted it is written with six digits
            return Asked(sa.type_coerce(column, sa.Float()) + sa.literal_column("0e0"), shortest_single)
        if native.name == "bit":
            digits = sa.func.bin(sa.type_coerce(column, sa.BigInteger()) + sa.literal_column("0"))
            return Asked(sa.func.lpad(digits, sa.literal_column(str(native.width)), sa.literal_column("'0'")), Bits)
        if native.name == "set":
            return Asked(column, Labels)
        if native.name in AS_TEXT:
            return Asked(sa.cast(column, sa.CHAR))
        if native.name in MYSQL_GEOMETRY:
            return Asked(sa.func.st_astext(column))
        if key and native.name == "char":
            return Asked(column, _unpadded)
        return Asked(column)

    def asked_plainly(self, column: sa.ColumnClause[Any], native: Native, *, key: bool = False) -> Asked:
        if native.name in MYSQL_TEXT:
            using = column.op("USING")(sa.literal_column("utf8mb4"))
            utf8 = sa.cast(sa.func.convert(using), sa.LargeBinary)
            return Asked(utf8, _padded_text if key and native.name == "char" else text_or_bytes)
        return self.asked(column, native, key=key)

    def key_column(self, column: sa.ColumnClause[Any], native: Native) -> KeyColumn:
        return _MySqlKey(column, isinstance(column.type, sa.Integer), native, column.type)

    def caseless_column(
        self,
        connection: sa.Connection,
        table: sa.TableClause,
        column: sa.ColumnClause[Any],
        native: Native,
        written: WritingsOf,
    ) -> KeyColumn:
        """By the column's own collation, if it takes ASCII letters of either case for the same (a Turkish one does
        not: `i` is `İ` there), or by one that does."""
        if isinstance(column.type, sa.BINARY | sa.VARBINARY | sa.LargeBinary):
            raise bytes_have_no_case(column)
        if native.name not in MYSQL_TEXT:
            return self.key_column(column, native)
        if native.charset and self._ignores_case(connection, native):
            plain = sa.type_coerce(column, sa.String())
            return _WrittenText(plain, False, native, column.type, written)
        using = column.op("USING")(sa.literal_column("utf8mb4"))
        held = sa.collate(sa.func.convert(using), "utf8mb4_general_ci")
        return self.written_column(held, native, column.type, written)

    def _ignores_case(self, connection: sa.Connection, native: Native) -> bool:
        upper, lower = (
            f"CONVERT('{each}' USING {native.charset})" for each in (ASCII_LETTERS, ASCII_LETTERS.lower())
        )
        return bool(connection.exec_driver_sql(f"SELECT {upper} = {lower} COLLATE {native.collation}").scalar())

    def containing_column(
        self, column: sa.ColumnElement[Any], native: Native, declared: Any, part: Callable[[str], str]
    ) -> KeyColumn:
        return MatchedColumn(column, False, native, declared, part, "REGEXP")

    def as_text(self, column: sa.ColumnClause[Any]) -> sa.ColumnElement[Any]:
        return sa.func.convert(column.op("USING")(sa.literal_column("utf8mb4")))

    def unserved(
        self,
        connection: sa.Connection,
        finder: KeyColumn,
        key: str,
        table: sa.TableClause,
        led: Sequence[str],
        engine: sa.Engine,
    ) -> str | None:
        own = isinstance(finder, _WrittenText)
        if own and key in led:
            return None
        if own:
            return "every read scans the table; create an index on the column"
        return (
            "every read scans the table; give the column an indexed counterpart in the one form (a generated "
            "column), or, for letters, a collation that ignores case (ending in _ci)"
        )

    def cut(
        self, _held: sa.ColumnElement[Any], native: Native, column: sa.ColumnElement[Any], length: int
    ) -> sa.ColumnElement[Any]:
        return sa.func.substr(column, 1, length) if native.name in TEXTS else column


class MariaDb(MySql):
    """One database of a MariaDB server; settings are queried in the order in which it knows them."""

    read_only_words = tuple(reversed(MySql.read_only_words))


class _AsColumn(sa.types.UserDefinedType[Any]):
    """A text in the characters of a column. Without that, the server refuses the whole comparison if the column
    cannot hold one of them. What it cannot hold becomes a question mark, see `KeyColumn.substitutes`.
    """

    cache_ok = True

    def __init__(self, charset: str, collation: str) -> None:
        self.charset = charset
        self.collation = collation

    def bind_expression(self, bindvalue: sa.BindParameter[Any]) -> sa.ColumnElement[Any]:
        using = bindvalue.op("USING")(sa.literal_column(self.charset))
        return sa.collate(sa.func.convert(using), self.collation)


def _among(column: sa.ColumnElement[Any], native: Native, at: str) -> sa.ColumnElement[bool]:
    """The condition that a column holds one of the texts in `keys`."""
    type_ = _AsColumn(native.charset, native.collation)
    return sa.type_coerce(column, sa.types.NullType()).in_(sa.bindparam(f"keys{at}", expanding=True, type_=type_))


class _MySqlKey(KeyColumn):
    """Keys in a column of MariaDB or MySQL."""

    bounds = range(INT64.start, UINT64.stop)

    @property
    def substitutes(self) -> bool:
        return self.native.charset not in {"", EVERY_CHARACTER}

    def among(self, at: str = "") -> sa.ColumnElement[bool]:
        return _among(self.column, self.native, at) if self.substitutes else super().among(at)

    def held(self, keys: Sequence[Key]) -> list[Any]:
        if self.binary:
            return self.binary_held(keys)
        if self.native.name == "uuid":
            return [str(identity) for key in keys if (identity := uuid_key(key)) is not None]
        if isinstance(self.declared, sa.Numeric):
            return [number for key in keys if (number := decimal_key(key)) is not None]
        return super().held(keys)


class _WrittenText(WrittenColumn):
    """Keys in a column whose own collation ignores case."""

    def among(self, at: str = "") -> sa.ColumnElement[bool]:
        narrow = self.native.charset != EVERY_CHARACTER
        return _among(self.column, self.native, at) if narrow else super().among(at)


def _characters(charset: Any, collation: Any) -> dict[str, str]:
    """The words of a `Native` for the characters of a column, as far as it has any."""
    named = [_text(each or "") for each in (charset, collation)]
    return dict(zip(("charset", "collation"), named, strict=True)) if all(map(_NAME.fullmatch, named)) else {}


def _type_of(connection: sa.Connection, row: Any) -> Any:
    """The type of a column from its row in `information_schema`."""
    name = str(row["type"]).lower()
    type_class: Any = getattr(connection.dialect, "ischema_names", {}).get(name)
    if type_class is None or name in {"enum", "set"}:
        return sa.String() if type_class is not None else sa.types.NullType()
    whole = str(row["whole"]).lower()
    if name in {"char", "varchar", "binary", "varbinary"}:
        return type_class(length=row["length"])
    if name in {"decimal", "numeric"}:
        return type_class(precision=row["digits"], scale=row["scale"])
    if name in {"datetime", "timestamp", "time"}:
        return type_class(fsp=row["fsp"])
    if name.endswith("int"):
        width = re.search(r"\((\d+)\)", whole)
        return type_class(display_width=int(width[1]) if width else None, unsigned="unsigned" in whole)
    return type_class()


def _text(raw: Any) -> str:
    return raw.decode() if isinstance(raw, bytes) else str(raw)


def _unpadded(key: Any) -> Any:
    return key.rstrip(" ") if isinstance(key, str) else key


def _padded_text(raw: Any) -> Any:
    return _unpadded(text_or_bytes(raw))


def _instant(text: str) -> datetime | str:
    """An instant, or the unchanged text if it is not one (a zero date)."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return text
