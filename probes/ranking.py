"""Ranks: a number of 56 bits for every key, the same in every system, process and restart.

The rank is the first 56 bits of SHA-256 over a seed, the key's type and the key. Everyone with the seed can compute
it: this module in Python, and each database with the SQL built here, so that a sample can be chosen where the records
are. SHA-256 rather than BLAKE2, because it is the one digest that PostgreSQL, MariaDB and DuckDB all have built in.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Literal

from probes.contract import Key

RANK_BITS = 56
RANKS = 1 << RANK_BITS
RANK_DIGITS = RANK_BITS // 4
SQLITE_FUNCTION = "plumbline_rank"

Dialect = Literal["postgresql", "mariadb", "mysql", "sqlite", "duckdb"]

_TAGS = {"integer": "i", "string": "s", "caseless": "s", "phone": "s", "uuid": "u", "salesforce_id": "f"}
_SEED = re.compile(r"[0-9a-f]{32}")


def seed_of(digest_key: bytes) -> str:
    """The seed that belongs to a digest key: 32 hexadecimal digits that do not reveal the key."""
    return sha256(b"plumbline sampling seed" + digest_key).hexdigest()[:32]


def rank_of(seed: str, key_type: str, key: Key) -> int:
    """The rank of a canonical key."""
    text = str(key).replace("-", "").lower() if key_type == "uuid" else str(key)
    return int.from_bytes(sha256(f"{seed}{_TAGS[key_type]}{text}".encode()).digest()[: RANK_BITS // 8], "big")


def rank_hex(rank: int) -> str:
    """A rank in the form of databases: 14 hexadecimal digits, in the same order as the ranks."""
    return f"{rank:0{RANK_DIGITS}x}"


def rank_sql(dialect: Dialect, column: str, *, seed: str, key_type: str, binary: bool = False) -> str:
    """SQL for the rank of a key column as 14 hexadecimal digits.

    Args:
        column: quoted SQL of the column.
        binary: the column holds a UUID as 16 bytes.

    Raises:
        ValueError: the seed is not 32 hexadecimal digits; it is embedded in the SQL literally, so that an index on
        the expression can be used.
    """
    if not _SEED.fullmatch(seed):
        raise ValueError("a sampling seed has 32 hexadecimal digits")
    prefix = f"'{seed}{_TAGS[key_type]}'"
    uuid = key_type == "uuid"
    if dialect == "postgresql":
        text = f"lower(replace(({column})::text, '-', ''))" if uuid else f"({column})::text"
        if key_type in {"string", "salesforce_id"}:
            text = f"replace({text}, '\\', '\\\\')"
        digest = f"encode(sha256(decode({prefix} || {text}, 'escape')), 'hex')"
        return f'(substr({digest}, 1, {RANK_DIGITS}) COLLATE "C")'
    if dialect == "duckdb":
        text = f"lower(replace(({column})::VARCHAR, '-', ''))" if uuid else f"({column})::VARCHAR"
        return f"left(sha256({prefix} || {text}), {RANK_DIGITS})"
    if dialect == "sqlite":
        # Python returns text that is not UTF-8 only as bytes; SQLite always converts UTF-16 to UTF-8.
        utf8 = "length(CAST('a' AS BLOB)) = 1"
        value = f"CASE WHEN typeof({column}) = 'text' AND {utf8} THEN CAST({column} AS BLOB) ELSE {column} END"
        return f"{SQLITE_FUNCTION}({prefix}, {value}, typeof({column}))"
    text = f"LOWER(HEX({column}))" if binary else f"LOWER(REPLACE({column}, '-', ''))" if uuid else column
    return f"LEFT(SHA2(CONCAT({prefix}, CONVERT({text} USING utf8mb4)), 256), {RANK_DIGITS})"


def sqlite_rank(prefix: str, value: object, type_: str) -> str | None:
    """The implementation of `SQLITE_FUNCTION` in a SQLite connection: SQLite has no digest of its own.

    Args:
        type_: SQLite's storage type of the value. A text may come as bytes, and need not be UTF-8.
    """
    if value is None:
        return None
    if isinstance(value, bytes):
        text = value.decode(errors="surrogateescape") if type_ == "text" else value.hex()
    else:
        text = str(value)
    if prefix.endswith(_TAGS["uuid"]):
        text = text.replace("-", "").lower()
    return sha256(f"{prefix}{text}".encode(errors="surrogateescape")).hexdigest()[:RANK_DIGITS]
