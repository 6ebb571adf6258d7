"""What one SQL database does in its own way, and what is done where it has none.

A further database is one module beside this one, and one entry in `probes.records.sql.database_url.DIALECTS`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, ClassVar

import sqlalchemy as sa

from probes.contract import ProbeError, Reason, Row
from probes.records.sql.column_types import Asked, KeyColumn, Native
from probes.records.sql.database_url import DIALECTS, DatabaseUrl

Build = Callable[[Sequence[sa.ColumnElement[Any]]], sa.Select[Any]]
"""Makes a statement of the columns it is to answer."""

Explain = Callable[[Exception], ProbeError]

LOCK_TIMEOUT_S = 1
"""How long a read may wait for a lock: the auditor gives way to the system's own work."""

NO_DATABASE = "check the name of the database in the system's url"


class Dialect(ABC):
    """One database that is read; it may remember what it has learned of it.

    Args:
        address: what the system's URL says.
        timeout_s: the deadline of a call.

    Attributes:
        clock: the statement that answers the server's instant, in UTC where it has no offset, and how finely it is
            told, in seconds.
        read_only_words: what to ask whether a session is read-only, and what the server calls that; the later where
            it does not know the earlier.
        absent_columns: why a column that is there may not be seen, for a message.
        typed_instants: columns of a timestamp type hold instants and nothing else.
        utc_timestamps: TIMESTAMP is told in the session's zone, which is UTC.
        globs: texts are compared by GLOB where a pattern is wanted.
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
        """As SQLAlchemy calls it."""
        return self.address.dialect

    # -- connecting

    @property
    def pooled(self) -> bool:
        """Whether a pooler stands between, so that settings belong to a transaction."""
        return False

    def engine_options(self) -> Mapping[str, Any]:
        """More for SQLAlchemy's engine."""
        return {}

    def connect_args(self) -> dict[str, Any]:
        """Parameters of a connection."""
        return {}

    def connect(self, _dialect: Any, _record: Any, _arguments: Any, _parameters: Any) -> Any:
        """Open a connection of the driver; None to leave that to SQLAlchemy."""
        return None

    @abstractmethod
    def prepare(self, cursor: Any) -> None:
        """Have a new session read only, and give up in time."""

    @contextmanager
    def undisturbed(self, _connection: sa.Connection, _explain: Explain) -> Iterator[None]:
        """Let nothing count that was read while it changed under the reader; servers see to that themselves."""
        yield

    @contextmanager
    def transaction(self, _connection: sa.Connection) -> Iterator[None]:
        """What a read stands in; every statement stands alone."""
        yield

    # -- failing

    @abstractmethod
    def reason(self, original: BaseException, text: str) -> Reason:
        """What a driver's error means.

        Args:
            text: of the error, without secrets.
        """

    def is_too_large(self, _reason: Reason, _text: str) -> bool:
        """Whether it says that an answer comes to too many bytes."""
        return False

    def told(self, _reason: Reason, _text: str) -> ProbeError | None:
        """A failure in words of its own; None for those that all databases share."""
        return None

    def noticed_pooler(self, _original: BaseException) -> bool:
        """Whether an error shows that a pooler stands between; then connections are opened anew."""
        return False

    def hint(self, _reason: Reason, _original: BaseException, _text: str, usual: str) -> str:
        """What can be done about a failure."""
        return usual

    def is_unknown_word(self, _error: sa.exc.DBAPIError) -> bool:
        """Whether the server knows nothing of what it was asked about its session."""
        return False

    @abstractmethod
    def refusal(self, error: BaseException) -> str:
        """What a driver's error proves of a refused write; "" where it proves nothing."""

    # -- the catalogue

    def schemas(self, _connection: sa.Connection, inspector: sa.Inspector) -> list[str | None]:
        """The schemas whose tables are told, the session's own first."""
        return [inspector.default_schema_name]

    def columns(self, connection: sa.Connection, name: str, schema: str | None) -> Sequence[Any]:
        """The columns of a table or view as SQLAlchemy tells them. Raises `NoSuchTableError`."""
        return sa.inspect(connection).get_columns(name, schema=schema)

    def hides(self, _error: sa.exc.DBAPIError) -> bool:
        """Whether the catalogue is refused to this login; reading a table may be allowed all the same."""
        return False

    def unreadable_columns(
        self, _connection: sa.Connection, _name: str, _schema: str | None, _wanted: Sequence[str]
    ) -> list[str]:
        """Which of these columns the login may not read; nothing where the database names them in its error."""
        return []

    def native_types(self, _connection: sa.Connection, _schema: str | None, _name: str) -> dict[str, Native]:
        """The type of each column of a table or view; a column that is not told has none of its own."""
        return {}

    def written_types(self, _table: sa.TableClause, natives: dict[str, Native]) -> dict[str, Native]:
        """The type of each column, for whoever writes a statement for people to run."""
        return natives

    # -- reading

    def asked(self, column: sa.ColumnClause[Any], _native: Native, *, key: bool = False) -> Asked:
        """How a column is read.

        Args:
            key: its values are keys: the padding of a CHAR is no part of them.
        """
        return Asked(column)

    def asked_plainly(self, column: sa.ColumnClause[Any], native: Native, *, key: bool = False) -> Asked:
        """How a column is read after a value was met that the driver cannot convert."""
        return self.asked(column, native, key=key)

    @abstractmethod
    def key_column(self, column: sa.ColumnClause[Any], native: Native) -> KeyColumn:
        """How keys are looked up in this column."""

    @abstractmethod
    def cut(
        self, held: sa.ColumnElement[Any], native: Native, column: sa.ColumnElement[Any], length: int
    ) -> sa.ColumnElement[Any]:
        """A column whose texts the database cuts.

        Args:
            held: the column itself.
            column: how it is asked for.
            length: characters or bytes that are left.
        """

    @contextmanager
    def any_text(self, _connection: sa.Connection) -> Iterator[None]:
        """Have the driver answer texts that are none, too, where that takes it longer."""
        yield

    def statement(self, build: Build, columns: Sequence[Asked]) -> sa.Select[Any]:
        """The statement for these columns."""
        return build([each.column for each in columns])

    def fetched(self, cursor: Any) -> list[Row]:
        """All rows of a statement; drivers hold them already, within bounds."""
        return list(cursor.fetchall())

    # -- ranks

    def rank_text(self, column: str, _native: Native) -> str:
        """The key's column as its rank is computed of it, in SQL."""
        return column

    def ranks_by_index(self, _connection: sa.Connection, _ranked: sa.Select[Any], _engine: sa.Engine) -> bool:
        """Whether an index answers for the keys of a large table by rank."""
        return False

    def rank_index(self, _table: str, _rank: str) -> str | None:
        """The statement that makes such an index; None where there is none."""
        return None


def dialect_of(address: DatabaseUrl, timeout_s: float) -> Dialect:
    """The dialect of a database, for one reader of it."""
    module, _, name = DIALECTS[address.dialect].reader.partition(":")
    made: Dialect = getattr(import_module(module), name)(address, timeout_s)
    return made
