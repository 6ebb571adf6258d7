"""The ledger's database: connections, transactions, migrations."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

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
"""How long a server that says nothing is waited for.

Source: libpq, Parameter Key Words, https://www.postgresql.org/docs/current/libpq-connect.html
"""

_MIGRATING = threading.Lock()
"""Alembic keeps the migration under way in the module, so that two threads of a process would mix theirs up."""

CONNECTIONS = 20
"""The most that a process has open at once; half of them are kept open."""

PATIENCE_S = 30.0

MIGRATION_PATIENCE_S = 300.0
"""How long is waited for another process that brings the ledger up to date, or for readers of a table it alters."""

LOCK_PATIENCE_S = 20.0
"""How long one that writes without a lease waits for a lock."""


class Database:
    """The database behind a URL; safe to share between threads.

    Args:
        url: `sqlite:///FILE` or `postgresql://...`.
        patience_s: how long is waited for one of its connections.

    Attributes:
        is_sqlite: whether it is a file of SQLite, and not a database of PostgreSQL.
        statements: in its dialect.
        watch: told how transactions that write have ended.
        token: of the lease under which it writes; every transaction fails where that is not the ledger's present one.
            None for one that needs no lease: readers, people's decisions.
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
                # A pooler in transaction mode knows nothing of what was prepared on another connection.
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
        """Say which ledger failed and what to do, and nothing of the statement and its values."""
        if context.is_pre_ping:
            return  # the pool replaces a connection that has gone
        failed = context.sqlalchemy_exception
        if isinstance(failed, sa.exc.OperationalError | sa.exc.ProgrammingError | sa.exc.InternalError) or (
            type(failed) is sa.exc.DatabaseError
        ):
            told = failures.told(context.original_exception, self.engine.url, opening=context.connection is None)
            raise LedgerError(told) from None
        if isinstance(failed, sa.exc.DataError | sa.exc.IntegrityError):
            raise LedgerError(failures.refused(context.original_exception, self.engine.url)) from None

    def made(self) -> bool:
        """Whether an auditor has made the ledger; looks without making anything."""
        self._refuse_other_file()
        if self.is_sqlite and not Path(self.engine.url.database or "").is_file():
            return False
        self._refuse_second_name()
        with self.read() as connection:
            return MigrationContext.configure(connection).get_current_revision() is not None

    def _refuse_other_file(self) -> None:
        if self.is_sqlite and (told := why_none(Path(self.engine.url.database or ""))):
            raise LedgerError(told)

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
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        scripts = ScriptDirectory.from_config(config)
        with self.read() as connection:
            here = MigrationContext.configure(connection).get_current_revision()
        if here == scripts.get_current_head():
            return
        if here is not None and here not in {each.revision for each in scripts.walk_revisions()}:
            raise LedgerError("the ledger was written by a newer version of the auditor; upgrade it")
        with self.unnumbered() as connection:
            if not self.is_sqlite:
                _give_way(connection, patience_s)
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(7305128)"))
            config.attributes["connection"] = connection
            with _MIGRATING:
                command.upgrade(config, "head")

    def _refuse_second_name(self) -> None:
        """Refuse a SQLite file that has a second name.

        What SQLite has not yet written into a file lies beside it, under its name: by two names it is two ledgers in
        one file, which destroy each other. Symbolic links are followed to the one name.
        Source: How To Corrupt An SQLite Database File, 2.5, https://www.sqlite.org/howtocorrupt.html
        """
        if self.is_sqlite and Path(self.engine.url.database or "").stat().st_nlink > 1:
            raise LedgerError(
                f"the ledger {self.name} has another name (a hard link), and SQLite loses data where both are used: "
                "delete the other one, or copy the file instead of linking it"
            )

    def _make_private(self, file: Path) -> None:
        """Make the ledger's file for this user alone; those that SQLite puts beside it are then, too."""
        with self.engine.connect():  # whoever dies here leaves a file that SQLite takes for an empty database
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
        """A transaction that writes rows which readers follow by their revision; all of it is committed or none.

        Its number is drawn first, and writers queue up there: so no two of them lock the same rows crosswise.
        """
        with self._watched() as begun, self._begin() as connection:
            transaction = Transaction(connection, int(connection.execute(_NEXT_REVISION).scalar_one()))
            begun.append(transaction)
            yield transaction

    @contextlib.contextmanager
    def unnumbered(self) -> Iterator[sa.Connection]:
        """A transaction that writes only what no reader follows by revision, so that it waits for no other writer."""
        with self._watched(), self._begin() as connection:
            yield connection

    @contextlib.contextmanager
    def _watched(self) -> Iterator[list[Transaction]]:
        """Tell the watch how a transaction ends; one that has a number is put into the list."""
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
        """Fail where another has taken the lease, and keep it from being taken before this transaction has ended.

        In SQLite a transaction that writes is alone. In PostgreSQL the row is locked against whoever takes the lease,
        and not against the holder's own signs of life. A holder that is paused in the middle, or whose way to the
        server broke off, would hold up whoever takes over: the server rolls it back, or whoever takes over has it
        do so. The server alone does not always: it forgets its timeout where the last thing that a pipeline sent was
        to flush, as psycopg does (PostgreSQL 15.18, psycopg 3).
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
        """What the ledger is called to people: its file, or its address without a login."""
        return failures.ledger_name(self.engine.url)

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A transaction that only reads."""
        with self._failing(), self.engine.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        """Part what failed from the driver's own error, which a log would print with the row's values."""
        try:
            yield
        except LedgerError as error:
            raise error from None
        except sa.exc.TimeoutError:
            raise LedgerError(failures.busy(self.engine.url, CONNECTIONS, self._patience_s)) from None


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun below, not by the driver
    cursor = connection.cursor()
    # The default checkpoint of every 1,000 pages falls on one commit in twenty; this one on one in a hundred.
    for pragma in (
        "wal_autocheckpoint=4000",
        "cache_size=-8192",  # 8 MiB a connection: a sample's baselines lie all over the table
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
    """Have PostgreSQL end this transaction if its process falls silent, and no lock waited for without end.

    A process that is paused, or whose way to the server broke off, would otherwise keep its locks until the server
    misses it: two hours by default. Both settings are of this transaction alone.
    """
    limits = {"paused": f"{LEASE_S:.0f}s", "locked": f"{patience_s * 1000:.0f}ms"}
    connection.execute(_GIVES_WAY, limits)


_SQLITE_TOKEN = sa.text("SELECT token FROM lease")
_GIVES_WAY = sa.text(
    "SELECT set_config('idle_in_transaction_session_timeout', :paused, true), "
    "set_config('lock_timeout', :locked, true)"
)
_POSTGRESQL_TOKEN = sa.text(  # its settings are of this transaction alone
    "SELECT token, set_config('idle_in_transaction_session_timeout', :paused, true), "
    "set_config('application_name', :named, true) FROM lease WHERE id = 1 FOR KEY SHARE"
)

WRITES_AS = "plumbline writes under lease "
"""What a transaction under a lease is called among the server's sessions, before the lease's token."""

_NEXT_REVISION = sa.update(t.revision).values(value=t.revision.c.value + 1).returning(t.revision.c.value)
