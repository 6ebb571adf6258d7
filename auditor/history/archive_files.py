"""The archive's files from a reader's side: which are readable, and what is missing without the others."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from auditor.escaping import visible
from auditor.storage.archivable import SETTLED, ArchiveFile, ColumnType

WHY_LIMIT = 200
"""Most characters of a storage's message about an unreadable file."""

NEEDED = frozenset({"id", "flow"})
"""Columns that every archived row has; newer ones may be missing in an older file."""

_KINDS = {
    "instant": pa.types.is_timestamp,
    "boolean": pa.types.is_boolean,
    "float": pa.types.is_floating,
    "integer": pa.types.is_integer,
    "text": lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingFile:
    """An archive file that readers skip.

    Attributes:
        rows: the number of rows that the ledger moved to it.
        why: why it cannot be used.
    """

    source: str
    day: str
    rows: int
    path: str
    why: str

    def __str__(self) -> str:
        rows = f"{self.rows:,} row{'s' * (self.rows != 1)}"
        return (
            f"history is incomplete: {rows} of {self.source}, {self.day}: {visible(self.path)}: {self.why}; "
            "restore the file from a backup"
        )


def missing_since(
    missing: Iterable[MissingFile], since: datetime | None, until: datetime | None = None
) -> list[MissingFile]:
    """The files that a figure over a time range would need, in the order of their days.

    Args:
        since, until: its ends; None for none.
    """
    first, last = ("" if at is None else f"{at.astimezone(UTC):%Y-%m-%d}" for at in (since, until))
    needed = (each for each in missing if each.day >= first and (not last or each.day <= last))
    return sorted(needed, key=lambda each: (each.day, each.path))


def named_in(missing: Iterable[MissingFile], sql: str, sources: Mapping[str, Set[str]]) -> list[MissingFile]:
    """The files that a query over these views (each with its tables) would need."""
    words = {word.lower() for word in re.findall(r"\w+", sql)}
    used = {source for view, tables in sources.items() if view in words for source in tables}
    return missing_since((each for each in missing if each.source in used), None)


def fault(file: ArchiveFile, columns: Sequence[tuple[str, ColumnType]]) -> str:
    """Why a file cannot be used, from its footer; "" if it can.

    Args:
        columns: of the ledger's table that the file holds rows of.
    """
    filesystem, path = fsspec.core.url_to_fs(file.path)
    try:
        with filesystem.open(path, "rb") as opened:
            footer = pq.read_metadata(opened)
            schema = footer.schema.to_arrow_schema()
    except FileNotFoundError:
        return "the file is not there"
    except PermissionError:
        return "the auditor's user may not read it"
    except (pa.ArrowException, OSError) as error:
        # pyarrow also reports a bad file as an OSError without an errno.
        if isinstance(error, OSError) and error.errno is not None:
            return visible(error.strerror or type(error).__name__)[:WHY_LIMIT]
        return "it is damaged, or no Parquet file"
    except Exception as error:  # every storage has its own errors
        return visible(" ".join(f"{type(error).__name__}: {error}".split()))[:WHY_LIMIT]
    return _shape_fault(file, columns, schema) or _count_fault(file, footer.num_rows)


def _shape_fault(file: ArchiveFile, columns: Sequence[tuple[str, ColumnType]], schema: pa.Schema) -> str:
    needed = {*NEEDED, SETTLED[file.source]} if file.source in SETTLED else NEEDED
    absent = sorted(needed & dict(columns).keys() - set(schema.names))
    if absent:
        return f"it holds something else: the column {absent[0]} is not in it"
    for name, kind in columns:
        if name in schema.names and not _KINDS[kind](schema.field(name).type):
            return f"it holds something else: the column {name} is no {kind}"
    return ""


def _count_fault(file: ArchiveFile, rows: int) -> str:
    return "" if rows == file.rows else f"it holds {rows:,} rows, and {file.rows:,} were archived"
