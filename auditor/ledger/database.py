"""The ledger's database: connections, transactions, migrations."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from auditor.ledger import failures
from auditor.ledger import tables as t
from auditor.ledger.own_file import why_none
from auditor.ledger.statements import Statements
from auditor.ledger.transaction import LEASE_S, LeaseLostError, Transaction, Watch
from auditor.storage.ledger_error import LedgerError, LedgerSettingError
from auditor.storage.private_files import PRIVATE, make_folder
from probes.addresses import check_address

_GIVES_UP = {
    "connect_timeout": 10,
    "tcp_user_timeout": 20_000,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
"""How long to wait for a silent server.

Source: libpq, Parameter Key Words, https://www.postgresql.org/docs/current/libpq-connect.html
"""

_MIGRATIONS = Path(__file__).parent / "migrations"

_MIGRATING = threading.Lock()
"""Alembic keeps the migration in progress in a module global, which two threads of a process would share."""

CONNECTIONS = 20
"""The most connections that a process opens at once; half of them stay open."""

PATIENCE_S = 30.0

MIGRATION_PATIENCE_S = 300.0
"""How long is waited for another process that brings the ledger up to date, or for readers of a table it alters."""

LOCK_PATIENCE_S = 20.0
"""How long one that writes without a lease waits for a lock."""


MOST_NUMBER = 2**63 - 1
"""The largest row number that a database can have; asked for a larger one, it fails."""


def can_exist(number: int) -> bool:
    """Whether a row may have this number."""
    return 0 < number <= MOST_NUMBER


class Database:
    """The database behind a URL; safe to share between threads.

    Args:
        url: `sqlite:///FILE` or `postgresql://...`.
        patience_s: how long to wait for one of its connections.

    Attributes:
        is_sqlite: true for a SQLite file, false for a PostgreSQL database.
        statements: in its dialect.
        watch: notified of how transactions that write have ended.
        token: of the lease under which it writes; every transaction fails if the ledger's current token differs. None
            for processes that need no lease: readers, people's decisions.
    """

    token: int | None = None
    watch: Watch | None = None

    def __init__(self, url: str, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        pool: dict[str, Any] = {
            "pool_size": CONNECTIONS // 2,
            "max_overflow": CONNECTIONS - CONNECTIONS // 2,
            "pool_timeout": patience_s,
        }
        if not url.startswith("sqlite:"):
            try:
                check_address(url)
            except ValueError as error:
                raise LedgerSettingError(f"the ledger's URL: {error}") from None
            url = url.replace("postgres://", "postgresql://", 1) if url.startswith("postgres://") else url
        parsed = sa.make_url(url)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        if self.is_sqlite:
            if not parsed.database or parsed.database == ":memory:":
                raise LedgerSettingError("the ledger needs a file, so that several processes can share it")
            self.engine = sa.create_engine(parsed, connect_args={"timeout": 30}, hide_parameters=True, **pool)
            sa.event.listen(self.engine, "connect", _prepare_sqlite)
            sa.event.listen(self.engine, "begin", _begin_sqlite)
        elif parsed.get_backend_name() == "postgresql":
            try:
                # A pooler in transaction mode does not have statements that were prepared on another connection.
                unprepared = {"prepare_threshold": None, **_GIVES_UP}
                self.engine = sa.create_engine(
                    parsed.set(drivername="postgresql+psycopg"),
                    pool_pre_ping=True,
                    connect_args=unprepared,
                    hide_parameters=True,
                    **pool,
                )
            except ModuleNotFoundError as error:
                raise LedgerError(
                    "the driver psycopg is not installed; pip install 'plumbline-auditor[postgresql]'"
                ) from error
        else:
            raise LedgerSettingError("the ledger is a sqlite:/// or a postgresql:// URL")
        self.statements = Statements(is_sqlite=self.is_sqlite)
        sa.event.listen(self.engine, "handle_error", self._explain)
        self._writer = self.engine.execution_options(plumbline_write=True)

    def _explain(self, context: sa.ExceptionContext) -> None:
        """Say which ledger failed and what to do, without the statement and its values."""
        if context.is_pre_ping:
            return  # the pool replaces a lost connection
        failed = context.sqlalchemy_exception
        if isinstance(failed, sa.exc.OperationalError | sa.exc.ProgrammingError | sa.exc.InternalError) or (
            type(failed) is sa.exc.DatabaseError
        ):
            message = failures.told(context.original_exception, self.engine.url, opening=context.connection is None)
            raise LedgerError(message) from None
        if isinstance(failed, sa.exc.DataError | sa.exc.IntegrityError):
            raise LedgerError(failures.refused(context.original_exception, self.engine.url)) from None

    def made(self) -> bool:
        """Whether an auditor has created the ledger; checks without creating anything."""
        self._refuse_other_file()
        if self.is_sqlite and not Path(self.engine.url.database or "").is_file():
            return False
        self._refuse_second_name()
        with self.read() as connection:
            return _revision(connection) is not None

    def _refuse_other_file(self) -> None:
        if self.is_sqlite and (reason := why_none(Path(self.engine.url.database or ""))):
            raise LedgerError(reason)

    def migrate(self, patience_s: float = MIGRATION_PATIENCE_S) -> None:
        """Bring the schema to this version's; safe to run again and from several processes.

        Args:
            patience_s: how long to wait for another process that does so; a ledger of this version waits for none.
        """
        self._refuse_other_file()
        if self.is_sqlite:
            file = Path(self.engine.url.database or "")
            make_folder(file.parent)
            if not file.exists():
                self._make_private(file)
            self._refuse_second_name()
        head, revisions = _revisions()
        with self.read() as connection:
            here = _revision(connection)
        if here == head:
            return
        if here is not None and here not in revisions:
            raise LedgerError("the ledger was written by a newer version of the auditor; upgrade it")
        with self.unnumbered() as connection:
            if not self.is_sqlite:
                _give_way(connection, patience_s)
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(7305128)"))
            from alembic import command
            from alembic.config import Config

            config = Config()
            config.set_main_option("script_location", str(_MIGRATIONS))
            config.attributes["connection"] = connection
            with _MIGRATING:
                command.upgrade(config, "head")

    def _refuse_second_name(self) -> None:
        """Refuse a SQLite file that has a second name.

        SQLite keeps uncommitted data in files next to the ledger, under its name: opened by two names it is two
        ledgers in one file, which destroy each other. Symbolic links are resolved to one name.
        Source: How To Corrupt An SQLite Database File, 2.5, https://www.sqlite.org/howtocorrupt.html
        """
        if self.is_sqlite and Path(self.engine.url.database or "").stat().st_nlink > 1:
            raise LedgerError(
                f"the ledger {self.name} has another name (a hard link), and SQLite loses data where both are used: "
                "delete the other one, or copy the file instead of linking it"
            )

    def _make_private(self, file: Path) -> None:
        """Create the ledger's file for this user alone; files that SQLite creates next to it inherit that."""
        with self.engine.connect():  # a crash here leaves a file that SQLite takes for an empty database
            pass
        file.chmod(PRIVATE)
        for beside in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                file.with_name(file.name + beside).chmod(PRIVATE)

    def close(self) -> None:
        """Release every connection."""
        self.engine.dispose()

    @contextlib.contextmanager
    def write(self) -> Iterator[Transaction]:
        """A transaction that writes rows which readers follow by revision; it is committed completely or not at all.

        Its number is drawn first, and writers queue there, so no two of them can deadlock over the same rows.
        """
        with self._watched() as begun, self._begin() as connection:
            transaction = Transaction(connection, int(connection.execute(_NEXT_REVISION).scalar_one()))
            begun.append(transaction)
            yield transaction

    @contextlib.contextmanager
    def unnumbered(self) -> Iterator[sa.Connection]:
        """A transaction that writes only rows that no reader follows by revision, so it waits for no other writer."""
        with self._watched(), self._begin() as connection:
            yield connection

    @contextlib.contextmanager
    def _watched(self) -> Iterator[list[Transaction]]:
        """Notify the watch of how a transaction ends; a numbered transaction is put into the list."""
        begun: list[Transaction] = []
        try:
            yield begun
        except LeaseLostError:
            raise
        except LedgerError as error:
            if self.watch is not None:
                self.watch.failed(begun[0] if begun else None, error)
            raise
        if self.watch is not None:
            self.watch.written(begun[0] if begun else None)

    @contextlib.contextmanager
    def _begin(self) -> Iterator[sa.Connection]:
        with self._failing(), self._writer.connect() as connection, connection.begin():
            if self.token is not None:
                self._check_lease(connection, self.token)
            elif not self.is_sqlite:
                _give_way(connection, LOCK_PATIENCE_S)
            yield connection

    def _check_lease(self, connection: sa.Connection, token: int) -> None:
        """Fail if another process has taken the lease, and keep it from being taken before this transaction ends.

        In SQLite a transaction that writes is alone. In PostgreSQL the row is locked against a process that takes the
        lease, but not against the holder's own signs of life. A holder that is paused in mid-transaction, or has lost
        its connection to the server, would block its successor: the server rolls it back, or the successor makes the
        server do so. The server's own timeout is not enough: it is dropped if the last message of a pipeline was a
        flush, as with psycopg (PostgreSQL 15.18, psycopg 3).
        """
        if self.is_sqlite:
            present = connection.execute(_SQLITE_TOKEN).first()
        else:
            own = {"paused": f"{LEASE_S:.0f}s", "named": f"{WRITES_AS}{token}"}
            present = connection.execute(_POSTGRESQL_TOKEN, own).first()
        if present is None or present.token != token:
            raise LeaseLostError(f"another auditor has taken over the ledger {self.name}; nothing was written")

    @property
    def name(self) -> str:
        """The ledger's display name: its file, or its address without a login."""
        return failures.ledger_name(self.engine.url)

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A transaction that only reads."""
        with self._failing(), self.engine.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        """Detach the failure from the driver's own error, which a log would print with the row's values."""
        try:
            yield
        except LedgerError as error:
            raise error from None
        except sa.exc.TimeoutError:
            raise LedgerError(failures.busy(self.engine.url, CONNECTIONS, self._patience_s)) from None


@cache
def _revisions() -> tuple[str, frozenset[str]]:
    """The revision of this version's schema, and all revisions that lead to it: the names of their files begin so.

    Alembic, which takes longer to load than most commands to answer, is needed only where the schema changes.
    """
    known = frozenset(file.name.partition("_")[0] for file in (_MIGRATIONS / "versions").glob("[0-9]*_*.py"))
    return max(known), known


def _revision(connection: sa.Connection) -> str | None:
    """The revision of a ledger's schema; None if it has none yet."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return found


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun below, not by the driver
    cursor = connection.cursor()
    # The default checkpoint of every 1,000 pages hits one commit in twenty; this one hits one in a hundred.
    for pragma in (
        "wal_autocheckpoint=4000",
        "cache_size=-8192",  # 8 MiB per connection: a sample's baselines are scattered over the table
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "busy_timeout=30000",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("plumbline_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _give_way(connection: sa.Connection, patience_s: float) -> None:
    """Make PostgreSQL end this transaction if its process falls silent, and limit every wait for a lock.

    A process that is paused, or has lost its connection to the server, would otherwise keep its locks until the
    server misses it: two hours by default. Both settings apply to this transaction only.
    """
    limits = {"paused": f"{LEASE_S:.0f}s", "locked": f"{patience_s * 1000:.0f}ms"}
    connection.execute(_GIVES_WAY, limits)


_SQLITE_TOKEN = sa.text("SELECT token FROM lease")
_GIVES_WAY = sa.text(
    "SELECT set_config('idle_in_transaction_session_timeout', :paused, true), "
    "set_config('lock_timeout', :locked, true)"
)
_POSTGRESQL_TOKEN = sa.text(  # its settings apply to this transaction only
    "SELECT token, set_config('idle_in_transaction_session_timeout', :paused, true), "
    "set_config('application_name', :named, true) FROM lease WHERE id = 1 FOR KEY SHARE"
)

WRITES_AS = "plumbline writes under lease "
"""Prefix, before the lease's token, of the server-side session name of a transaction under a lease."""

_NEXT_REVISION = sa.update(t.revision).values(value=t.revision.c.value + 1).returning(t.revision.c.value)
