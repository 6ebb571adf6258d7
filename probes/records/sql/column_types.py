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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, ClassVar, Literal

import sqlalchemy as sa

from probes.contract import Key

# Types that SQLAlchemy has no class for are read all the same.
warnings.filterwarnings("ignore", message="Did not recognize type", category=sa.exc.SAWarning)

Convert = Callable[[Any], Any]

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


def text_or_bytes(raw: bytes) -> str | bytes:
    """Text, or the bytes that are none, which concern only the field they stand in."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


class NotText(bytes):
    """What SQLite holds as text, and is not UTF-8."""


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


@dataclass(frozen=True, slots=True)
class KeyColumn:
    """How keys are looked up in a column; dialects have their own.

    Attributes:
        column: what they are compared with; the column itself where an index should answer.
        whole: the column holds whole numbers only.
        native: its type in the database.
        declared: its type by SQLAlchemy.
        bounds: the whole numbers that a column may hold.
    """

    column: sa.ColumnElement[Any]
    whole: bool
    native: Native
    declared: Any

    bounds: ClassVar[range] = INT64

    def among(self) -> sa.ColumnElement[bool]:
        """The condition that a row's key is one of the parameters."""
        # Whole numbers stand in the text itself: a driver that writes parameters into it takes longer.
        # All else is bound as it is: what SQLAlchemy would make of it is made in `bind`.
        if not self.whole:
            return sa.type_coerce(self.column, sa.types.NullType()).in_(sa.bindparam("keys", expanding=True))
        return self.column.in_(sa.bindparam("keys", expanding=True, literal_execute=True, type_=sa.BigInteger()))

    def parameters(self, keys: Sequence[Key]) -> dict[str, list[Any]]:
        """What to bind for `among`. Keys that cannot stand in the column are left out: they are not there."""
        return {"keys": self.bind(keys)}

    def behind(self) -> sa.ColumnElement[bool]:
        """The condition that a row's key comes after the parameter `after`."""
        return sa.type_coerce(self.column, sa.types.NullType()) > sa.bindparam("after")

    def bind(self, keys: Sequence[Key]) -> list[Any]:
        """The keys as the column holds them, those left out that it cannot hold."""
        if self.whole:
            return [number for key in keys if is_whole(key) and (number := int(key)) in self.bounds]
        return self.held(keys)

    @property
    def binary(self) -> bool:
        """Whether the column is declared as one of bytes."""
        return isinstance(self.declared, sa.BINARY | sa.VARBINARY | sa.LargeBinary)

    def binary_held(self, keys: Sequence[Key]) -> list[bytes]:
        """The keys as a column of bytes holds them: padded to the length of a BINARY."""
        length = self.declared.length if isinstance(self.declared, sa.BINARY) else None
        return [binary_key(key).ljust(length or 0, b"\0") for key in keys]

    def held(self, keys: Sequence[Key]) -> list[Any]:
        """The same as `bind`, of a column that does not hold whole numbers only."""
        return [spelled for key in keys for spelled in spellings(str(key))]


def is_whole(key: Key) -> bool:
    """Whether a key is a whole number, however it came."""
    if isinstance(key, int):
        return True
    return isinstance(key, str) and len(key) < 40 and key.isascii() and key.removeprefix("-").isdecimal()


def uuid_key(key: Key) -> uuid.UUID | None:
    """A key as a UUID; None for what is none."""
    try:
        return uuid.UUID(str(key))
    except ValueError:
        return None


def decimal_key(key: Key) -> Decimal | None:
    """A key as a number that a column of numbers may hold; None for what is none."""
    try:
        number = Decimal(key)
    except InvalidOperation:
        return None
    # What no column of numbers holds fails the whole statement: PostgreSQL's overflow, MariaDB's double.
    held = number.is_finite() and len(number.as_tuple().digits) <= KEY_DIGITS
    return number if held and -KEY_DIGITS <= number.adjusted() <= KEY_DIGITS else None


def spellings(key: str) -> list[str]:
    """How a text column may spell a key: a UUID also in capitals and without dashes, letters with accents also in two
    characters (keys are compared in Unicode NFC); what is no text, not at all."""
    if not (key.isascii() or _is_unicode(key)):
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
    found = uuid_key(key)
    return found.bytes if found is not None else str(key).encode(errors="surrogatepass")
