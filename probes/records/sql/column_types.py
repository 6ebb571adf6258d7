"""Columns by the type their database gives them: how each is read exactly, and how keys are compared with it.

Drivers convert types they know in their own way and lose information: digits of a FLOAT, months of an interval, the
numbers inside JSON. So columns that are not plain are selected in a lossless form, which `checks` reads. If a driver
cannot convert a value at all (a year beyond 9999, bytes that are not text), the same rows are read again *plainly*:
as text, which every value has.
"""

from __future__ import annotations

import struct
import unicodedata
import uuid
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, ClassVar, Literal

import sqlalchemy as sa

from probes.contract import Key

# Types without a SQLAlchemy class are read anyway.
warnings.filterwarnings("ignore", message="Did not recognize type", category=sa.exc.SAWarning)

Convert = Callable[[Any], Any]

WritingsOf = Callable[[str], Sequence[str]]
"""The texts by which a column holds a key, one for each of its writings."""

PLAIN_TEXT = frozenset({"text", "varchar", "bpchar", "name"})
"""PostgreSQL's types of text, which compare with each other."""

MYSQL_TEXT = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum"})
MYSQL_GEOMETRY = frozenset(
    {
        *("geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon"),
        *("geometrycollection", "geomcollection"),
    }
)
INT64 = range(-(2**63), 2**63)
UINT64 = range(2**64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Native:
    """A column's type as its database names it, domains resolved.

    Attributes:
        kind: PostgreSQL's sort of type: b(ase), a(rray), c(omposite), e(num), r(ange), m(ultirange).
        schema: where PostgreSQL has the type.
        width: bits of a BIT column.
        charset, collation: of a column of text in MariaDB or MySQL.
    """

    name: str
    kind: str = "b"
    schema: str = ""
    width: int = 0
    charset: str = ""
    collation: str = ""


UNKNOWN = Native(name="")

KEY_DIGITS = 200
"""Most digits before or after the point of a numeric key; MariaDB has 65, so longer keys cannot exist."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One column in a SELECT, and how its values are converted.

    Attributes:
        held: the type in PostgreSQL, if it holds values of any length.
    """

    column: sa.ColumnElement[Any]
    convert: Convert | None = None
    held: Literal["text", "bytea"] | None = None


def text_or_bytes(raw: bytes) -> str | bytes:
    """Text, or the bytes if they are not text, which affects only their own field."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


class NotText(bytes):
    """A SQLite text that is not UTF-8."""


def shortest_single(value: float) -> float:
    """A 32-bit float as the shortest decimal that means it, as PostgreSQL writes a `real`."""
    for digits in range(1 if abs(value) < 2**-126 else 6, 9):
        short = float(f"{value:.{digits}g}")
        try:
            if struct.unpack("f", struct.pack("f", short))[0] == value:
                return short
        except OverflowError:
            continue
    return float(f"{value:.9g}")


@dataclass(frozen=True, slots=True)
class KeyColumn:
    """How keys are looked up in a column; dialects have their own.

    Attributes:
        column: what keys are compared with; the column itself if an index should be used.
        whole: the column holds only whole numbers.
        native: its type in the database.
        declared: its type in SQLAlchemy.
        bounds: the range of a column of whole numbers.
    """

    column: sa.ColumnElement[Any]
    whole: bool
    native: Native
    declared: Any

    bounds: ClassVar[range] = INT64

    @property
    def substitutes(self) -> bool:
        """Whether a lookup puts a question mark in place of letters that the column cannot hold."""
        return False

    def among(self, at: str = "") -> sa.ColumnElement[bool]:
        """The condition that a row's key is one of the parameters.

        Args:
            at: ends the names of the parameters, if a statement has several such conditions.
        """
        # Whole numbers are written into the statement: a driver that inlines parameters takes longer. Everything else
        # is bound unchanged: SQLAlchemy's own conversion is done in `bind`.
        if not self.whole:
            return sa.type_coerce(self.column, sa.types.NullType()).in_(sa.bindparam(f"keys{at}", expanding=True))
        return self.column.in_(sa.bindparam(f"keys{at}", expanding=True, literal_execute=True, type_=sa.BigInteger()))

    def parameters(self, keys: Sequence[Key]) -> dict[str, Any]:
        """What to bind for `among`. Keys that the column cannot hold are left out: they cannot exist."""
        return {"keys": self.bind(keys)}

    def behind(self, at: str = "") -> sa.ColumnElement[bool]:
        """The condition that a row's key comes after the parameter `after`; `at` as in `among`."""
        return sa.type_coerce(self.column, sa.types.NullType()) > sa.bindparam(f"after{at}")

    def bind(self, keys: Sequence[Key]) -> list[Any]:
        """The keys in the column's form, without those that it cannot hold."""
        if self.whole:
            return [number for key in keys if is_whole(key) and (number := int(key)) in self.bounds]
        return self.held(keys)

    @property
    def binary(self) -> bool:
        """Whether the column is declared as binary."""
        return isinstance(self.declared, sa.BINARY | sa.VARBINARY | sa.LargeBinary)

    def binary_held(self, keys: Sequence[Key]) -> list[bytes]:
        """The keys in the form of a binary column: padded to the length of a BINARY."""
        length = self.declared.length if isinstance(self.declared, sa.BINARY) else None
        return [binary_key(key).ljust(length or 0, b"\0") for key in keys]

    def held(self, keys: Sequence[Key]) -> list[Any]:
        """As `bind`, for a column that does not only hold whole numbers."""
        return [spelled for key in keys for spelled in spellings(str(key))]


@dataclass(frozen=True, slots=True)
class WrittenColumn(KeyColumn):
    """A column that may hold one key in several writings.

    Attributes:
        writings: the texts by which `column` holds a key.
    """

    writings: WritingsOf = list

    def bind(self, keys: Sequence[Key]) -> list[Any]:
        return [text for key in keys for text in self.writings(str(key)) if _is_unicode(text)]


@dataclass(frozen=True, slots=True)
class MatchedColumn(KeyColumn):
    """A column that contains one of some parts of keys, by a regular expression.

    Attributes:
        part: that of a key, which consists of digits.
        matches: the database's operator.
    """

    part: Callable[[str], str] = str
    matches: str = "~"

    def among(self, at: str = "") -> sa.ColumnElement[bool]:
        return self.column.bool_op(self.matches)(sa.bindparam(f"keys{at}", type_=sa.Text()))

    def parameters(self, keys: Sequence[Key]) -> dict[str, Any]:
        return {"keys": "|".join(dict.fromkeys(self.part(str(key)) for key in keys))}


def is_whole(key: Key) -> bool:
    """Whether a key is a whole number in any type."""
    if isinstance(key, int):
        return True
    return isinstance(key, str) and len(key) < 40 and key.isascii() and key.removeprefix("-").isdecimal()


def uuid_key(key: Key) -> uuid.UUID | None:
    """A key as a UUID; None if it is not one."""
    try:
        return uuid.UUID(str(key))
    except ValueError:
        return None


def decimal_key(key: Key) -> Decimal | None:
    """A key as a number that a numeric column may hold; None if it is not one."""
    try:
        number = Decimal(key)
    except InvalidOperation:
        return None
    # A number that no column can hold fails the whole statement: PostgreSQL's overflow, MariaDB's double.
    fits = number.is_finite() and len(number.as_tuple().digits) <= KEY_DIGITS
    return number if fits and -KEY_DIGITS <= number.adjusted() <= KEY_DIGITS else None


def spellings(key: str) -> list[str]:
    """How a text column may spell a key: a UUID also in capitals and without dashes, accented letters also as two
    characters (keys are compared in Unicode NFC); invalid text not at all."""
    if not (key.isascii() or _is_unicode(key)):
        return []
    if len(key) == 36 and key.count("-") == 4:
        plain = key.replace("-", "")
        return [key, key.upper(), plain, plain.upper()]
    return [key] if key.isascii() else list({key, unicodedata.normalize("NFD", key)})


def _is_unicode(text: str) -> bool:
    """Whether it can be encoded at all: half characters, which JSON may hold, cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def binary_key(key: Key) -> bytes:
    """A key in the form of a binary column: the 16 bytes of a UUID, or text in UTF-8; bytes unchanged."""
    if isinstance(key, bytes):
        return key
    as_uuid = uuid_key(key)
    return as_uuid.bytes if as_uuid is not None else str(key).encode(errors="surrogatepass")
