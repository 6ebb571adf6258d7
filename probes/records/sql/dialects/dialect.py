"""What is specific to one SQL database, with defaults.

A further database is one module next to this one, and one entry in `probes.records.sql.database_url.DIALECTS`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, ClassVar

import sqlalchemy as sa

from probes.contract import ProbeError, Reason, Row
from probes.records.sql.column_types import Asked, KeyColumn, Native, WritingsOf, WrittenColumn
from probes.records.sql.database_url import DIALECTS, DatabaseUrl

Build = Callable[[Sequence[sa.ColumnElement[Any]]], sa.Select[Any]]
"""Builds a statement from the columns to return."""

Explain = Callable[[Exception], ProbeError]

LOCK_TIMEOUT_S = 1
"""How long a read may wait for a lock: the auditor gives way to the system's own work."""

NO_DATABASE = "check the name of the database in the system's url"


class Dialect(ABC):
    """One connected database; may cache what it has learned about it.

    Args:
        address: the parsed URL of the system.
        timeout_s: the deadline of a call.

    Attributes:
        clock: the statement that returns the server's time, in UTC if it has no offset, and its resolution in
            seconds.
        read_only_words: queries for whether a session is read-only, with the server's word for it; later ones for
            servers that do not know the earlier.
        absent_columns: why an existing column may be invisible, for a message.
        typed_instants: columns of a timestamp type hold only instants.
        utc_timestamps: TIMESTAMP is returned in the session's zone, which is UTC.
        globs: texts are compared with GLOB where a pattern is needed.
    """

    clock: ClassVar[tuple[str, float]]
    read_only_words: ClassVar[Sequence[tuple[str, str]]]
    absent_columns: ClassVar[str] = ""
    typed_instants: ClassVar[bool] = True
    utc_timestamps: ClassVar[bool] = False
    globs: ClassVar[bool] = False

    def __init__(self, address: DatabaseUrl, timeout_s: float) -> None:
        self.address = address
        self.timeout_s = timeout_s

    @property
    def name(self) -> str:
        """SQLAlchemy's name of it."""
        return self.address.dialect

    # -- connecting

    @property
    def pooled(self) -> bool:
        """Whether connections go through a pooler, so that settings belong to a transaction."""
        return False

    def engine_options(self) -> Mapping[str, Any]:
        """Further options for SQLAlchemy's engine."""
        return {}

    def connect_args(self) -> dict[str, Any]:
        """Parameters of a connection."""
        return {}

    def connect(self, _dialect: Any, _record: Any, _arguments: Any, _parameters: Any) -> Any:
        """Open a connection of the driver; None to leave that to SQLAlchemy."""
        return None

    @abstractmethod
    def prepare(self, cursor: Any) -> None:
        """Make a new session read-only and limited in time."""

    @contextmanager
    def undisturbed(self, _connection: sa.Connection, _explain: Explain) -> Iterator[None]:
        """Discard reads during which the data changed; servers ensure that themselves."""
        yield

    @contextmanager
    def transaction(self, _connection: sa.Connection) -> Iterator[None]:
        """The transaction around a read; by default every statement stands alone."""
        yield

    # -- failing

    @abstractmethod
    def reason(self, original: BaseException, text: str) -> Reason:
        """The reason behind a driver's error.

        Args:
            text: the error text, without secrets.
        """

    def words(self, original: BaseException) -> str:
        """What a driver's error says."""
        return str(original)

    def is_too_large(self, _reason: Reason, _text: str) -> bool:
        """Whether it reports that a response is too large."""
        return False

    def told(self, _reason: Reason, _text: str) -> ProbeError | None:
        """A database-specific error; None for failures that all databases share."""
        return None

    def noticed_pooler(self, _original: BaseException) -> bool:
        """Whether an error reveals a pooler; then connections are reopened."""
        return False

    def hint(self, _reason: Reason, _original: BaseException, _text: str, usual: str) -> str:
        """What can be done about a failure."""
        return usual

    def is_unknown_word(self, _error: sa.exc.DBAPIError) -> bool:
        """Whether the server does not know the setting it was asked for."""
        return False

    @abstractmethod
    def refusal(self, error: BaseException) -> str:
        """What a driver's error proves about a refused write; "" if nothing."""

    # -- the catalogue

    def schemas(self, _connection: sa.Connection, inspector: sa.Inspector) -> list[str | None]:
        """The schemas to list, the session's own first."""
        return [inspector.default_schema_name]

    def columns(self, connection: sa.Connection, name: str, schema: str | None) -> Sequence[Any]:
        """The columns of a table or view as SQLAlchemy describes them. Raises `NoSuchTableError`."""
        return sa.inspect(connection).get_columns(name, schema=schema)

    def hides(self, _error: sa.exc.DBAPIError) -> bool:
        """Whether the catalogue is refused to this login; reading a table may still be allowed."""
        return False

    def unreadable_columns(
        self, _connection: sa.Connection, _name: str, _schema: str | None, _wanted: Sequence[str]
    ) -> list[str]:
        """Which of these columns the login may not read; empty if the database names them in its error."""
        return []

    def native_types(self, _connection: sa.Connection, _schema: str | None, _name: str) -> dict[str, Native]:
        """The type of each column of a table or view; a missing column has no type of its own."""
        return {}

    def written_types(self, _table: sa.TableClause, natives: dict[str, Native]) -> dict[str, Native]:
        """The type of each column, for statements that people run."""
        return natives

    # -- reading

    def asked(self, column: sa.ColumnClause[Any], _native: Native, *, key: bool = False) -> Asked:
        """How a column is read.

        Args:
            key: its values are keys, without the padding of a CHAR.
        """
        return Asked(column)

    def asked_plainly(self, column: sa.ColumnClause[Any], native: Native, *, key: bool = False) -> Asked:
        """How a column is read after the driver failed to convert a value."""
        return self.asked(column, native, key=key)

    @abstractmethod
    def key_column(self, column: sa.ColumnClause[Any], native: Native) -> KeyColumn:
        """How keys are looked up in this column."""

    @abstractmethod
    def caseless_column(
        self,
        connection: sa.Connection,
        table: sa.TableClause,
        column: sa.ColumnClause[Any],
        native: Native,
        written: WritingsOf,
    ) -> KeyColumn:
        """How keys are looked up in a column that may hold them in any case.

        Every record with one of the keys has to be found; further ones are left out by whoever reads the keys.
        """

    def written_column(
        self, column: sa.ColumnElement[Any], native: Native, declared: Any, writings: WritingsOf
    ) -> KeyColumn:
        """How keys are looked up in an expression that holds text."""
        return WrittenColumn(column, False, native, declared, writings)

    @abstractmethod
    def containing_column(
        self, column: sa.ColumnElement[Any], native: Native, declared: Any, part: Callable[[str], str]
    ) -> KeyColumn:
        """How keys are looked up in an expression that contains a part of them, which consists of digits."""

    def without(self, column: sa.ColumnClause[Any], signs: str) -> sa.ColumnElement[Any]:
        """A column as text without some signs, none of them a quote or backslash."""
        text: sa.ColumnElement[Any] = self.as_text(column)
        for sign in signs:
            text = sa.func.replace(text, sa.literal_column(f"'{sign}'"), sa.literal_column("''"))
        return text

    def last(self, text: sa.ColumnElement[Any], length: int) -> sa.ColumnElement[Any]:
        """The last characters of a text."""
        return sa.func.substr(text, sa.literal_column(str(-length)))

    def as_text(self, column: sa.ColumnClause[Any]) -> sa.ColumnElement[Any]:
        """A column of any type as text."""
        return sa.cast(column, sa.Text)

    @abstractmethod
    def unserved(
        self,
        connection: sa.Connection,
        finder: KeyColumn,
        key: str,
        table: sa.TableClause,
        led: Sequence[str],
        engine: sa.Engine,
    ) -> str | None:
        """What to do where no index serves a lookup of keys that are written in several ways; None if one does.

        Args:
            key: the name of the column.
            led: the columns that lead an index.
        """

    @abstractmethod
    def cut(
        self, held: sa.ColumnElement[Any], native: Native, column: sa.ColumnElement[Any], length: int
    ) -> sa.ColumnElement[Any]:
        """A column with its texts cut off by the database.

        Args:
            held: the column itself.
            column: the expression to select it with.
            length: characters or bytes to keep.
        """

    @contextmanager
    def any_text(self, _connection: sa.Connection) -> Iterator[None]:
        """Make the driver also return invalid texts, if that costs extra time."""
        yield

    def statement(self, build: Build, columns: Sequence[Asked]) -> sa.Select[Any]:
        """The statement for these columns."""
        return build([each.column for each in columns])

    def fetched(self, cursor: Any) -> list[Row]:
        """All rows of a statement; drivers already hold them, within bounds."""
        return list(cursor.fetchall())

    # -- ranks

    def rank_text(self, column: str, _native: Native) -> str:
        """The SQL of the key's column from which its rank is computed."""
        return column

    def ranks_by_index(self, _connection: sa.Connection, _ranked: sa.Select[Any], _engine: sa.Engine) -> bool:
        """Whether an index serves reads of a large table by rank."""
        return False

    def rank_index(self, _table: str, _rank: str) -> str | None:
        """The statement that creates such an index; None if there is none."""
        return None


def bytes_have_no_case(column: sa.ColumnClause[Any]) -> ProbeError:
    """The error for a column of bytes whose keys are looked up in any case."""
    return ProbeError(
        Reason.QUERY,
        f"{column.name} holds bytes, in which a key cannot be looked up in any case",
        hint="say key_written: lower if they are all written in lower case, or name a column of text",
    )


def dialect_of(address: DatabaseUrl, timeout_s: float) -> Dialect:
    """Create the dialect of a database, for one reader."""
    module, _, name = DIALECTS[address.dialect].reader.partition(":")
    made: Dialect = getattr(import_module(module), name)(address, timeout_s)
    return made
