"""Values as exact SQL literals of one engine for one column, or the reason why there is no literal. Pure.

A literal keeps its meaning whatever the session's settings (`standard_conforming_strings`, `NO_BACKSLASH_ESCAPES`)
and whatever encoding the client assumes for the file, and is on one line without characters that a terminal or a
client interprets.
"""

from __future__ import annotations

import ipaddress
import math
import re
import unicodedata
import uuid
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from probes.contract import MISSING, Labels
from probes.exact_json import MAX_DIGITS, Undecodable, decode, encode
from probes.records.sql.column_types import INT64, MYSQL_GEOMETRY, MYSQL_TEXT, UNKNOWN, Native

MYSQL_NUMBERS = frozenset(
    {"tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "float", "double", "year", "bool"}
)
MYSQL_BYTES = frozenset({"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"})
POSTGRESQL_FLOATS = frozenset({"float4", "float8", "numeric"})
POSTGRESQL_NUMBERS = POSTGRESQL_FLOATS | {"int2", "int4", "int8", "oid"}


class NoLiteralError(ValueError):
    """A value has no exact literal there; the text says why, without the value."""


def literal(dialect: str, value: Any, native: Native = UNKNOWN) -> str:
    """The literal of a value that is written to a column of this type or compared with it.

    Raises:
        NoLiteralError: there is none.
    """
    if value is None or value is MISSING:
        return "NULL"
    _refuse_uncertain(value)
    if isinstance(value, bytearray | memoryview):
        value = bytes(value)
    if dialect == "postgresql":
        return _postgresql(value, native)
    if dialect in {"mariadb", "mysql"}:
        return _mysql(value, native)
    if dialect == "sqlite":
        return _sqlite(value, native)
    raise NoLiteralError(f"a value for {dialect}, whose literals are not known")


def compared_as_text(dialect: str, native: Native) -> bool:
    """Whether a column has no equality of its own or overlooks case, so that a statement compares its text."""
    return (
        dialect == "postgresql"
        and native.kind == "b"
        and native.name
        in {
            *("json", "xml", "point", "polygon", "citext"),
        }
    )


def quoted(dialect: str, text: str) -> str:
    """Text as a literal on one line.

    Raises:
        NoLiteralError: it holds NUL, which cuts lines short in psql and mysql, or half characters.
    """
    if "\0" in text:
        raise NoLiteralError("text with a NUL character, which cannot stand in a statement")
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        raise NoLiteralError("text with half a character, which no database holds as text") from None
    plain = "'" + text.replace("'", "''") + "'"
    unseen = any(is_unseen(each) for each in text)
    if not unseen and dialect == "sqlite":  # whose client reads UTF-8 alone
        return plain
    if not unseen and text.isascii() and "\\" not in text and (dialect == "postgresql" or "`" not in text):
        return plain
    if dialect == "postgresql":
        return "E'" + "".join(_escaped(each) for each in text) + "'"
    if dialect in {"mariadb", "mysql"}:
        return f"_utf8mb4 X'{encoded.hex().upper()}'"
    parts = re.findall(r"[\0-\U0010FFFF]", text)
    pieces: list[str] = []
    for unseen_now, run in _runs(parts):
        numbers = ", ".join(str(ord(each)) for each in run)
        pieces.append(f"char({numbers})" if unseen_now else "'" + "".join(run).replace("'", "''") + "'")
    return "(" + " || ".join(pieces) + ")"


def _runs(characters: list[str]) -> list[tuple[bool, list[str]]]:
    runs: list[tuple[bool, list[str]]] = []
    for each in characters:
        unseen = is_unseen(each)
        if runs and runs[-1][0] == unseen:
            runs[-1][1].append(each)
        else:
            runs.append((unseen, [each]))
    return runs


def is_unseen(character: str) -> bool:
    """Whether a character is invisible: a control, a surrogate, a direction mark, a line end."""
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def _escaped(character: str) -> str:
    """A character inside PostgreSQL's E'...'."""
    if character in "'\\":
        return character * 2
    if character.isascii() and not is_unseen(character):
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _refuse_uncertain(value: Any) -> None:
    if isinstance(value, Undecodable):
        raise NoLiteralError(value.reason)
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple | set | frozenset):
        for each in value:
            _refuse_uncertain(each)


def _number(value: Any) -> str | None:
    """A finite number with all of its digits; None if it is not one."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else None
    return f"{value:f}" if value.is_finite() and abs(value.adjusted()) <= MAX_DIGITS else None


def _special(value: Any) -> str | None:
    """`NaN`, `Infinity` or `-Infinity`, if the number is one of them."""
    if isinstance(value, float | Decimal) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return None


def _number_text(text: str) -> str | None:
    try:
        return _number(Decimal(text.strip()))
    except InvalidOperation:
        return None


def _text(value: Any) -> str:
    """The text to write: JSON for nested values, `str` for everything else."""
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        if _has_special(value):
            raise NoLiteralError("NaN or an infinity inside JSON, which has no such number")
        return encode(sorted(value) if isinstance(value, set | frozenset) else value)
    if isinstance(value, datetime | date | time):
        return value.isoformat(sep=" ") if isinstance(value, datetime) else value.isoformat()
    if isinstance(value, timedelta):
        seconds, us = divmod(value // timedelta(microseconds=1), 1_000_000)
        return f"PT{seconds}.{us:06}S" if us else f"PT{seconds}S"
    return str(value)


def _has_special(value: Any) -> bool:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return any(map(_has_special, value))
    return _special(value) is not None


def _as_text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise NoLiteralError("bytes that are no text, for a column that holds none") from None


# -- PostgreSQL


def _postgresql(value: Any, native: Native) -> str:  # noqa: PLR0912  one branch a sort of column
    if native.kind == "c" or native.name == "hstore":
        raise NoLiteralError(f"a column of the type {native.name} is read as JSON and has no literal made of it")
    if native.kind == "a":
        return _array(value, native)
    if isinstance(value, bytes):
        if native.name in {"bytea", ""}:
            return f"'\\x{value.hex()}'::bytea" if native.name else _unsure("bytes")
        value = _as_text(value)
    if native.name == "bytea":
        if isinstance(value, str) and re.fullmatch(r"\\x([0-9a-fA-F]{2})*", value):
            return f"'{value}'::bytea"
        raise NoLiteralError("text for a column of bytes; say its encoding in the map: hex or base64")
    special = _special(value)
    if special is not None:
        if native.name not in POSTGRESQL_FLOATS:
            raise NoLiteralError(
                f"{special} for a column of the type {native.name or 'unknown'}, which has no such value"
            )
        return f"'{special}'::{native.name}"
    if isinstance(value, bool):
        return _boolean(value, native, POSTGRESQL_NUMBERS)
    number = _number(value)
    if number is not None and native.name in POSTGRESQL_NUMBERS | {"", "money"}:
        return f"'{number}'::real" if native.name == "float4" else number
    if number is not None and native.name in {"bit", "varbit"}:
        raise NoLiteralError("a number for a column of bits, whose length it does not tell")
    if native.name in POSTGRESQL_NUMBERS and isinstance(value, str):
        return _number_for_text(value, native.name, POSTGRESQL_FLOATS)
    if native.kind in {"r", "m"} and not isinstance(value, str):
        raise NoLiteralError("a range that is not written as PostgreSQL writes one")
    if native.name in {"bit", "varbit"} and not re.fullmatch("[01]*", str(value)):
        raise NoLiteralError("no string of bits, for a column of bits")
    return quoted("postgresql", _text(value) if number is None else number)


def _unsure(what: str) -> str:
    raise NoLiteralError(f"{what} for a column whose type is not known")


def _boolean(value: bool, native: Native, numbers: frozenset[str]) -> str:
    if native.name in numbers:
        return str(int(value))
    return "true" if value else "false"


def _number_for_text(text: str, name: str, floats: frozenset[str]) -> str:
    number = _number_text(text)
    if number is not None:
        return f"'{number}'::real" if name == "float4" else number
    try:
        special = _special(Decimal(text.strip()))
    except InvalidOperation:
        special = None
    if special is not None and name in floats:
        return f"'{special}'::{name}"
    raise NoLiteralError(f"no finite number, for a column of the type {name}")


def _array(value: Any, native: Native) -> str:
    if isinstance(value, str) and not isinstance(value, Labels):
        try:
            value = decode(value)
        except ValueError:
            raise NoLiteralError("text that is no JSON array, for a column of arrays") from None
    elif isinstance(value, Labels):
        value = value.split(",") if value else []
    if not isinstance(value, list | tuple):
        raise NoLiteralError("no array, for a column of arrays")
    _refuse_uncertain(value)
    if native.schema not in {"pg_catalog", ""} or not native.name.startswith("_"):
        raise NoLiteralError(f"arrays of the type {native.name} have no literal that is sure to be right")
    return f"{_items(value)}::{native.name[1:]}[]" if value else "'{}'"


def _items(value: Any) -> str:
    items = []
    nested = [isinstance(each, list | tuple) for each in value]
    if any(nested) and (not all(nested) or len({len(each) for each in value}) > 1 or not all(value)):
        raise NoLiteralError("arrays within an array that are not of one length")
    for each in value:
        if isinstance(each, list | tuple):
            items.append(_items(each))
        elif each is None:
            items.append("NULL")
        elif isinstance(each, Mapping):
            raise NoLiteralError(
                "an array of composite values or JSON objects has no literal that is sure to be right"
            )
        elif isinstance(each, bool):
            items.append("true" if each else "false")
        else:
            number = _number(each)
            items.append(number if number is not None else quoted("postgresql", _special(each) or str(each)))
    return f"ARRAY[{', '.join(items)}]"


# -- MariaDB and MySQL


def _mysql(value: Any, native: Native) -> str:  # noqa: PLR0912  one branch a sort of column
    name = native.name
    if name in MYSQL_GEOMETRY:
        raise NoLiteralError("a column of geometry is read as text and has no literal made of it")
    special = _special(value)
    if special is not None:
        raise NoLiteralError(f"{special}, which no column there holds as a number")
    if name == "bit":
        digits = value if isinstance(value, str) else ""
        if isinstance(value, bool | int) and value >= 0:
            return str(int(value))
        if not digits or not re.fullmatch("[01]+", digits) or (native.width and len(digits) > native.width):
            raise NoLiteralError("no string of bits that fits, for a column of bits")
        return f"b'{digits}'"
    if name in MYSQL_BYTES:
        return _mysql_bytes(value)
    if isinstance(value, bytes):
        if not name:
            _unsure("bytes")
        value = _as_text(value)
    if name in MYSQL_NUMBERS:
        if isinstance(value, str):
            return _number_for_text(value, name, frozenset())
        if not isinstance(value, bool | int | float | Decimal):
            raise NoLiteralError(f"no number, for a column of the type {name}")
    if isinstance(value, bool):
        return _boolean(value, native, MYSQL_NUMBERS)
    number = _number(value)
    if number is not None and name not in MYSQL_TEXT | {"set"}:
        return number
    text = _text(value) if number is None else number
    _check_mysql_text(text, name)
    return quoted("mariadb", text)


def _mysql_bytes(value: Any) -> str:
    if isinstance(value, uuid.UUID):
        value = value.bytes
    if isinstance(value, str) and re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", value):
        raise NoLiteralError("a UUID in text for a column of bytes, which may hold its 16 bytes or its 36 letters")
    if isinstance(value, str) and not value.startswith("\\x"):
        value = quoted("mariadb", value) and value.encode()
    elif isinstance(value, str):
        try:
            value = bytes.fromhex(value[2:])
        except ValueError:
            raise NoLiteralError("text that is no hex, for a column of bytes") from None
    if not isinstance(value, bytes):
        raise NoLiteralError("a value that is not bytes, for a column of bytes")
    return f"X'{value.hex().upper()}'"


def _check_mysql_text(text: str, name: str) -> None:
    """Refuse values that a non-strict server would cut off or turn to zero in a column of this type.

    Raises:
        NoLiteralError: the value does not fit the type.
    """
    fits = True
    if name == "date":
        fits = _is_date(text)
    elif name in {"datetime", "timestamp"}:
        fits = _is_local_instant(text)
    elif name == "time":
        match = re.fullmatch(r"-?(\d{1,3}):[0-5]\d:[0-5]\d(\.\d{1,6})?", text)
        fits = match is not None and int(match[1]) <= 838
    elif name == "uuid":
        fits = re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32}", text) is not None
    elif name in {"inet4", "inet6"}:
        try:
            fits = ipaddress.ip_address(text).version == 4 or name == "inet6"
        except ValueError:
            fits = False
    if not fits:
        raise NoLiteralError(
            f"no value of the type {name}, which its column has (an infinity or an offset, for example)"
        )


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return re.fullmatch(r"\d{4}-\d\d-\d\d", text) is not None


def _is_local_instant(text: str) -> bool:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return False
    return at.tzinfo is None and re.match(r"\d{4}-\d\d-\d\d", text) is not None


# -- SQLite


def _sqlite(value: Any, native: Native) -> str:
    if isinstance(value, bytes):
        return f"X'{value.hex().upper()}'"
    special = _special(value)
    if special is not None:
        raise NoLiteralError(f"{special}, which SQLite has no literal for")
    if isinstance(value, bool):
        return str(int(value))
    number = _number(value)
    if number is not None and (not isinstance(value, int) or value in INT64):
        return number
    if native.name == "number" and isinstance(value, str) and _number_text(value) is None:
        try:
            special = _special(Decimal(value.strip()))
        except InvalidOperation:
            special = None
        if special is not None:
            raise NoLiteralError(f"{special}, which no column of numbers holds")
    return quoted("sqlite", _text(value))
