"""SQLite: one file, opened so that nothing is written, in which a column of any type may hold any value."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from sys import getsizeof
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from probes.call_deadline import begins, came
from probes.contract import Key, ProbeError, Reason, Row
from probes.records.sql.bounded_drivers import ROWS_LIMIT_BYTES, VALUE_BYTES, too_large
from probes.records.sql.column_types import (
    INT64,
    KeyColumn,
    MatchedColumn,
    Native,
    NotText,
    WritingsOf,
    WrittenColumn,
    is_whole,
    spellings,
)
from probes.records.sql.database_url import sqlite_file
from probes.records.sql.dialects.dialect import LOCK_TIMEOUT_S, Dialect, Explain, bytes_have_no_case
from probes.records.sql.sqlite_file import NotReadyError, ReadOnlyConnection, WrittenMeanwhileError, open_sqlite

COUNTED_AT_ONCE = 64 * 1024
"""Rows count towards the memory of all responses in steps of this many bytes."""

INDEX_NOT_READY = frozenset({"SQLITE_READONLY_RECOVERY", "SQLITE_READONLY_CANTINIT", "SQLITE_READONLY_CANTLOCK"})
"""Errors of a reader that would have to write the index of a log that a program has just started or left.

Source: sqlite.org/rescode.html.
"""

PATH_SHOWN = 200
"""Most characters shown of a path, which may be longer than any file's."""

_TEXTS = {
    "interrupted": Reason.TIMEOUT,
    "locked": Reason.TIMEOUT,
    "unable to open": Reason.UNREACHABLE,
    "decode to utf-8": Reason.DECODE,
    "not a database": Reason.DECODE,
    "malformed": Reason.DECODE,
    "too big": Reason.TOO_LARGE,
}


class Sqlite(Dialect):
    """One file."""

    clock = ("SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')", 0.001)
    read_only_words = (("PRAGMA query_only", "query_only"),)
    typed_instants = False
    globs = True

    @property
    def _database(self) -> str:
        return self.address.database or ""

    # -- connecting

    def engine_options(self) -> Mapping[str, Any]:
        return {"creator": lambda: open_sqlite(self._database, self.address.parameters, LOCK_TIMEOUT_S)}

    def prepare(self, cursor: Any) -> None:
        cursor.execute("PRAGMA query_only=on")

    @contextmanager
    def undisturbed(self, connection: sa.Connection, explain: Explain) -> Iterator[None]:
        """Read the file as it is now, and discard reads during which it changed or was replaced."""
        if _raw(connection).outdated:
            connection.invalidate()  # reopened on its next use
        opened = _raw(connection)
        disturbed = WrittenMeanwhileError(
            Reason.UNREACHABLE, "the SQLite file was written or replaced while it was read", hint="it is read again"
        )
        try:
            yield
        except Exception as error:
            # The files next to it appeared or vanished between the check and the read: they may be back.
            lost = isinstance(error, DBAPIError) and (
                "unable to open" in str(error.orig) or getattr(error.orig, "sqlite_errorname", "") in INDEX_NOT_READY
            )
            if not opened.outdated and not lost:
                raise
            connection.invalidate()
            if not lost:
                raise disturbed from None
            failure = explain(error)
            raise NotReadyError(Reason.UNREACHABLE, failure.message, hint=failure.hint) from None
        spoilt = opened.spoilt
        if spoilt or opened.holds_log:
            connection.invalidate()
        if spoilt:
            raise disturbed

    # -- failing

    def reason(self, original: BaseException, text: str) -> Reason:
        folded = text.lower()
        return next((reason for part, reason in _TEXTS.items() if part in folded), Reason.QUERY)

    def is_too_large(self, reason: Reason, _text: str) -> bool:
        return reason is Reason.TOO_LARGE

    def told(self, reason: Reason, text: str) -> ProbeError | None:
        """What is wrong with the file itself."""
        folded = text.lower()
        path = sqlite_file(self._database)
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            return ProbeError(
                Reason.UNREACHABLE,
                f"the file {str(path)[:PATH_SHOWN]} cannot be examined: {error.strerror}",
                hint="check the path in the system's url, and let the auditor's user read its folder",
            )
        if path.is_dir():
            return ProbeError(
                Reason.UNREACHABLE, f"{path} is a folder", hint="name the file in it in the system's url"
            )
        if "unable to open" in folded and not path.exists():
            return ProbeError(
                reason,
                f"there is no file {path}",
                hint="check the path in the system's url; sqlite:///FILE is relative to the folder in which the "
                "auditor is started, sqlite:////FOLDER/FILE is not",
            )
        if "unable to open" in folded:
            return ProbeError(
                reason, f"{path} cannot be opened", hint="let the auditor's user read it and its folder"
            )
        if "not a database" in folded:
            return ProbeError(reason, f"{path} is not a SQLite database", hint="check the path in the system's url")
        if "disk image is malformed" in folded:
            return ProbeError(
                reason, f"the SQLite database {path} is damaged", hint="see PRAGMA integrity_check; restore a backup"
            )
        return None

    def refusal(self, error: BaseException) -> str:
        return "a write is refused: the database is read-only" if "readonly database" in str(error) else ""

    # -- the catalogue

    def written_types(self, table: sa.TableClause, _natives: dict[str, Native]) -> dict[str, Native]:
        """The conversion for a column's declared type: `number` if it turns numeric-looking text into numbers."""
        return {
            each.name: Native(name="number" if isinstance(each.type, sa.Numeric | sa.Float | sa.Integer) else "")
            for each in table.columns
        }

    # -- reading

    def key_column(self, column: sa.ColumnClause[Any], native: Native) -> KeyColumn:
        return _SqliteKey(column, isinstance(column.type, sa.Integer), native, column.type)

    def caseless_column(
        self,
        connection: sa.Connection,
        table: sa.TableClause,
        column: sa.ColumnClause[Any],
        native: Native,
        written: WritingsOf,
    ) -> KeyColumn:
        """By NOCASE, which ignores the case of ASCII letters."""
        if isinstance(column.type, sa.LargeBinary):
            raise bytes_have_no_case(column)
        plain = sa.collate(sa.type_coerce(column, sa.String()), "NOCASE")
        return _WrittenText(plain, False, native, column.type, written)

    def containing_column(
        self, column: sa.ColumnElement[Any], native: Native, declared: Any, part: Callable[[str], str]
    ) -> KeyColumn:
        return _Containing(column, False, native, declared, part)

    def unserved(
        self,
        connection: sa.Connection,
        finder: KeyColumn,
        key: str,
        table: sa.TableClause,
        led: Sequence[str],
        engine: sa.Engine,
    ) -> str | None:
        looked_up = sa.select(sa.literal(1)).select_from(table).where(finder.column == "a")
        text = str(looked_up.compile(engine, compile_kwargs={"literal_binds": True}))
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}").all()
        if any("SEARCH" in str(row[-1]) for row in plan):
            return None
        how = finder.column.compile(engine, compile_kwargs={"literal_binds": True, "include_table": False})
        place = engine.dialect.identifier_preparer.format_table(table)
        return f"every read scans the table; CREATE INDEX ... ON {place} ({how})"

    def cut(
        self, held: sa.ColumnElement[Any], _native: Native, column: sa.ColumnElement[Any], length: int
    ) -> sa.ColumnElement[Any]:
        """Leaves numbers alone: substr would turn them into texts."""
        return sa.case(
            (sa.func.typeof(held).in_(("text", "blob")), sa.func.substr(column, 1, length)),
            else_=column,
        )

    @contextmanager
    def any_text(self, connection: sa.Connection) -> Iterator[None]:
        raw: Any = connection.connection.dbapi_connection
        raw.text_factory = text_or_not
        try:
            yield
        finally:
            raw.text_factory = str

    def fetched(self, cursor: Any) -> list[Row]:
        """All rows of a statement, counted one by one."""
        begins()
        rows: list[Row] = []
        size = fresh = 0
        for row in cursor:
            texts = [value for value in row if isinstance(value, str | bytes)]
            # One wide character makes a text four times as large in memory; read alone, such a record fits.
            size += sum(map(getsizeof if rows else len, texts))
            if size > ROWS_LIMIT_BYTES:
                raise too_large()
            fresh += sum(map(getsizeof, texts)) + len(row) * VALUE_BYTES
            if fresh > COUNTED_AT_ONCE:
                came(fresh)
                fresh = 0
            rows.append(row)
        return rows


class _SqliteKey(KeyColumn):
    """Keys in a column that may hold text and numbers, whatever it is declared as."""

    def among(self, at: str = "") -> sa.ColumnElement[bool]:
        condition = super().among(at)
        if not self.whole:
            return condition
        raw = sa.type_coerce(self.column, sa.types.NullType())
        return sa.or_(condition, raw.in_(sa.bindparam(f"texts{at}", expanding=True)))

    def parameters(self, keys: Sequence[Key]) -> dict[str, list[Any]]:
        if not self.whole:
            return super().parameters(keys)
        texts = [key for key in keys if not isinstance(key, int) and not is_whole(key)]
        return {"keys": self.bind(keys), "texts": [each for key in texts for each in _either(key, sa.String())]}

    def held(self, keys: Sequence[Key]) -> list[Any]:
        if self.binary:
            return self.binary_held(keys)
        return [form for key in keys for form in _either(key, self.declared)]


class _Containing(MatchedColumn):
    """Parts of keys, in a database without regular expressions."""

    def among(self, at: str = "") -> sa.ColumnElement[bool]:
        parts = sa.func.json_each(sa.bindparam(f"keys{at}", type_=sa.Text())).table_valued("value")
        return sa.exists(
            sa.select(sa.literal(1)).select_from(parts).where(sa.func.instr(self.column, parts.c.value) > 0)
        )

    def parameters(self, keys: Sequence[Key]) -> dict[str, Any]:
        return {"keys": json.dumps(list(dict.fromkeys(self.part(str(key)) for key in keys)))}


class _WrittenText(WrittenColumn):
    """Keys in any case; a column that is not one of text may hold numbers as well.

    They are bound as one array: a key with many writings has more of them than a statement may have variables.
    """

    def among(self, at: str = "") -> sa.ColumnElement[bool]:
        array = sa.func.json_each(sa.bindparam(f"keys{at}", type_=sa.Text())).table_valued("value")
        return self.column.in_(sa.select(array.c.value))

    def parameters(self, keys: Sequence[Key]) -> dict[str, Any]:
        texts = self.bind(keys)
        return {"keys": json.dumps(texts) if texts else ""}

    def bind(self, keys: Sequence[Key]) -> list[Any]:
        texts = WrittenColumn.bind(self, keys)
        return texts + [each for text in texts for each in _either(text, self.declared) if isinstance(each, int)]


def _either(key: Key, declared: Any) -> list[Any]:
    """A key as text, and also as a number unless it is a text column; bytes unchanged."""
    if isinstance(key, bytes):
        return [key]
    spelled: list[Any] = spellings(str(key))
    if is_whole(key) and int(key) in INT64 and not isinstance(declared, sa.String):
        spelled.append(int(key))
    return spelled


def text_or_not(raw: bytes) -> str | bytes:
    """Text of a database, or invalid text as bytes that are distinct from a blob."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return NotText(raw)


def _raw(connection: sa.Connection) -> ReadOnlyConnection:
    raw: Any = connection.connection.dbapi_connection
    return cast(ReadOnlyConnection, raw)
