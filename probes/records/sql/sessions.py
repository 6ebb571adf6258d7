"""Sessions of a SQL database: read-only, limited in time, also through a pooler; and what their failures mean.

A PostgreSQL session is told its settings when it connects. A pooler such as pgbouncer refuses or ignores that, and in
transaction pooling hands every transaction to another session of the server: through one, each read is a transaction
that is opened READ ONLY and told its settings itself, and nothing is prepared on the server.
Source: pgbouncer.org/features.html (pooling modes), /config.html (ignore_startup_parameters).
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from probes.call_deadline import Watchdog, left, within
from probes.call_deadline import timed_out as call_timed_out
from probes.contract import ProbeError, Reason, SystemSettings
from probes.records.sql import bounded_drivers
from probes.records.sql.column_types import POSTGRESQL_OUTPUT
from probes.records.sql.database_url import DRIVERS, DatabaseUrl
from probes.records.sql.sqlite_file import ReadOnlyConnection, WrittenMeanwhileError, open_sqlite, sqlite_file
from probes.secrets import Scrubber

SERVER_FIRST_S = 0.2
"""How much longer than the deadline is waited for the server's own word about it."""

LOCK_TIMEOUT_S = 1
"""How long a read may wait for a lock: the auditor gives way to the system's own work."""

OPTIONS_REFUSED = ("startup parameter", "command-line options", "startup options")
"""What a pooler says that takes no session settings: pgbouncer, Amazon RDS Proxy, others."""

POOLER_SAYS = {
    "unsupported startup parameter": "pgbouncer refuses a parameter of the URL; see its ignore_startup_parameters",
    "transaction blocks not allowed": "pgbouncer pools by statement; set pool_mode = transaction or session",
    "query_wait_timeout": "pgbouncer has no free connection to the server; see its default_pool_size",
    "no more connections allowed": "pgbouncer is full; see its max_client_conn",
    "client_login_timeout": "pgbouncer could not log in to the server in time",
    "server_login_retry": "pgbouncer cannot log in to the server",
    "pgbouncer cannot connect": "pgbouncer runs, and the server behind it does not answer",
    "server login failed": "pgbouncer's own login to the server is refused",
    "no such database": "pgbouncer does not know the database; see its [databases]",
    "no such user": "pgbouncer does not know the user; see its auth_file or auth_query",
    "bouncer config error": "pgbouncer is set up wrongly",
    "pgbouncer": "the message is pgbouncer's",
}

PREPARED = frozenset({"26000", "42P05"})
"""What was prepared is not there, or is there already: only behind a pooler that passes for the server itself."""

OF_A_SESSION = frozenset({"default_transaction_read_only"})
"""Settings that a transaction opened READ ONLY does not need."""

# SQLSTATE classes: https://www.postgresql.org/docs/15/errcodes-appendix.html
_SQLSTATES = {
    "42501": Reason.PERMISSION,
    "57014": Reason.TIMEOUT,
    "55P03": Reason.TIMEOUT,
    "28": Reason.AUTH,
    "08": Reason.UNREACHABLE,
    "57P": Reason.UNREACHABLE,
    "53": Reason.UNREACHABLE,
    "22": Reason.DECODE,
    "54": Reason.TOO_LARGE,
}
# https://mariadb.com/kb/en/mariadb-error-code-reference/
_MYSQL_ERRORS = {
    1040: Reason.UNREACHABLE,
    1044: Reason.PERMISSION,
    1045: Reason.AUTH,
    1142: Reason.PERMISSION,
    1143: Reason.PERMISSION,
    1153: Reason.TOO_LARGE,
    1205: Reason.TIMEOUT,
    1698: Reason.AUTH,
    1969: Reason.TIMEOUT,
    2003: Reason.UNREACHABLE,
    2006: Reason.UNREACHABLE,
    2013: Reason.UNREACHABLE,
    2055: Reason.UNREACHABLE,
    3024: Reason.TIMEOUT,
}
_NO_ROLE = re.compile(r'FATAL:\s+role ".*" does not exist')
_NO_DATABASE = re.compile(r'FATAL:\s+database ".*" does not exist|Unknown database')
_SQLITE_TEXTS = {
    "interrupted": Reason.TIMEOUT,
    "locked": Reason.TIMEOUT,
    "unable to open": Reason.UNREACHABLE,
    "decode to utf-8": Reason.DECODE,
    "not a database": Reason.DECODE,
    "malformed": Reason.DECODE,
    "too big": Reason.TOO_LARGE,
}


PATH_SHOWN = 200
"""Characters told of the path of a SQLite file, which may be longer than any file's."""


class Sessions:
    """A small pool of read-only, autocommitting connections to one database.

    Attributes:
        pooled: a pooler stands between, so that settings belong to a transaction.
    """

    def __init__(self, settings: SystemSettings, address: DatabaseUrl) -> None:
        self._settings = settings
        self._timeout_s = settings.budget.timeout_s
        self._dialect = address.dialect
        self._database = address.url.database or ""
        self._scrub = Scrubber.of(settings)
        self._session_settings = {**self._own_settings(), **address.settings}
        self.pooled = False
        self._free = threading.BoundedSemaphore(settings.budget.connections)
        _, module, extra = DRIVERS[self._dialect]
        sqlite = {}
        if self._dialect == "sqlite":
            sqlite = {"creator": lambda: open_sqlite(self._database, address.parameters, LOCK_TIMEOUT_S)}
        try:
            self.engine = sa.create_engine(
                address.url,
                connect_args=self._connect_args(address),
                isolation_level="AUTOCOMMIT",
                poolclass=QueuePool,
                pool_size=settings.budget.connections,
                max_overflow=0,
                pool_timeout=self._timeout_s,
                pool_reset_on_return=None,
                hide_parameters=True,
                **sqlite,
            )
        except ModuleNotFoundError as error:
            raise ProbeError(
                Reason.QUERY,
                f"the driver {module} is not installed",
                hint=f"pip install 'plumbline-auditor[{extra}]'",
            ) from error
        sa.event.listen(self.engine, "connect", self._prepare_session)
        if self._dialect != "sqlite":
            postgresql = self._dialect == "postgresql"
            sa.event.listen(
                self.engine, "do_connect", self._connect_postgresql if postgresql else self._connect_mysql
            )

    def close(self) -> None:
        """Release every connection that is not in use."""
        self.engine.dispose()

    # -- opening

    def _own_settings(self) -> dict[str, str]:
        """What a PostgreSQL session is told."""
        return {
            "default_transaction_read_only": "on",
            "statement_timeout": str(int(self._timeout_s * 1000)),
            "lock_timeout": str(LOCK_TIMEOUT_S * 1000),
            "timezone": "UTC",
            **POSTGRESQL_OUTPUT,
        }

    def _connect_args(self, address: DatabaseUrl) -> dict[str, Any]:
        if self._dialect == "sqlite":
            return {}
        if self._dialect == "postgresql":
            escaped = {name: value.replace("\\", r"\\") for name, value in self._session_settings.items()}
            spaced = {name: re.sub(r"(\s)", r"\\\1", value) for name, value in escaped.items()}
            return {
                "application_name": "plumbline-auditor",
                **address.parameters,
                "autocommit": True,
                "connect_timeout": max(2, int(self._timeout_s)),
                "options": " ".join(f"-c {name}={value}" for name, value in spaced.items()),
            }
        import pymysql.converters
        from pymysql.constants import FIELD_TYPE

        # PyMySQL's own conversion of instants is a regular expression and a third of the time of a read.
        quick = dict.fromkeys((FIELD_TYPE.DATETIME, FIELD_TYPE.TIMESTAMP), _mysql_instant)
        return {
            **address.parameters,
            **dict.fromkeys(("connect_timeout", "read_timeout", "write_timeout"), self._timeout_s),
            "conv": {**pymysql.converters.conversions, **quick},
        }

    def _connect_postgresql(self, dialect: Any, _record: Any, arguments: Any, parameters: Any) -> Any:
        """Connect, without settings where a pooler stands between."""
        connect = bounded_drivers.postgresql_connection().connect
        if not self.pooled:
            try:
                connection = connect(*arguments, **parameters)
            except dialect.loaded_dbapi.OperationalError as error:
                if not any(part in str(error).lower() for part in OPTIONS_REFUSED):
                    raise
            else:
                if self._is_direct(connection):
                    return connection
                connection.close()
            self.pooled = True
        without = {name: value for name, value in parameters.items() if name != "options"}
        return connect(*arguments, **without, prepare_threshold=None)

    @staticmethod
    def _connect_mysql(_dialect: Any, _record: Any, arguments: Any, parameters: Any) -> Any:
        return bounded_drivers.mysql_connection()(*arguments, **parameters)

    def _is_direct(self, connection: Any) -> bool:
        """Whether the server that answers is the one that was connected to, and has taken the settings.

        A pooler makes up the process's number that it gives its clients.
        """
        answer = connection.execute("SELECT pg_backend_pid(), current_setting('default_transaction_read_only')")
        return bool(answer.fetchone() == (connection.info.backend_pid, "on"))

    def _prepare_session(self, connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        if self._dialect == "sqlite":
            cursor.execute("PRAGMA query_only=on")
        elif self._dialect in {"mariadb", "mysql"}:
            # MariaDB and MySQL name the same two limits differently.
            common = f"SET SESSION time_zone='+00:00', innodb_lock_wait_timeout={LOCK_TIMEOUT_S}, "
            limit = f"lock_wait_timeout={LOCK_TIMEOUT_S}, "
            try:
                cursor.execute(f"{common}{limit}tx_read_only=1, max_statement_time={self._timeout_s:.3f}")
            except Exception as error:
                if not (error.args and error.args[0] == 1193):  # unknown system variable
                    raise
                timeout_ms = int(self._timeout_s * 1000)
                cursor.execute(f"{common}{limit}transaction_read_only=1, max_execution_time={timeout_ms}")
        cursor.close()

    def _take_for_pooled(self) -> None:
        """Go on as through a pooler, with new connections."""
        self.pooled = True
        self.engine.dispose()

    # -- using

    @contextlib.contextmanager
    def session(self) -> Iterator[sa.Connection]:
        """A connection whose statements end at the call's deadline even when the server never answers."""
        with within(self._timeout_s):
            if not self._free.acquire(timeout=left()):
                raise ProbeError(Reason.TIMEOUT, f"all {self._settings.budget.connections} connections are busy")
            try:
                with self._session() as connection:
                    yield connection
            finally:
                self._free.release()

    @contextlib.contextmanager
    def _session(self) -> Iterator[sa.Connection]:
        with bounded_drivers.opening() as opened:

            def cut() -> None:
                for raw in list(opened):
                    bounded_drivers.cut(raw)

            watchdog = Watchdog(cut, slack_s=SERVER_FIRST_S)
            try:
                with watchdog, self.engine.connect() as connection, self._unwritten(connection):
                    opened.append(connection.connection.dbapi_connection)
                    try:
                        with self._transaction(connection):
                            yield connection
                    except ProbeError as failure:
                        if failure.reason in {Reason.TOO_LARGE, Reason.OVER_BUDGET}:
                            connection.invalidate()  # the rest of the answer still waits in it
                        raise
            except ProbeError:
                raise
            except (UnicodeDecodeError, OverflowError) as error:
                raise ProbeError(Reason.DECODE, f"a value cannot be decoded: {type(error).__name__}") from None
            except Exception as error:
                raise self.explain(error, timed_out=watchdog.expired) from None

    @contextlib.contextmanager
    def _unwritten(self, connection: sa.Connection) -> Iterator[None]:
        """Read a SQLite file as it is now, and let nothing count that was read while it changed."""
        if self._dialect != "sqlite":
            yield
            return
        if _raw(connection).outdated:
            connection.invalidate()  # and opened anew by its next use
        opened = _raw(connection)
        disturbed = WrittenMeanwhileError(
            Reason.UNREACHABLE, "the SQLite file was written while it was read", hint="it is read again"
        )
        try:
            yield
        except Exception as error:
            # The files beside it went, or came, between the look at them and the read: they may be there again.
            lost = isinstance(error, DBAPIError) and "unable to open" in str(error.orig)
            if not opened.outdated and not lost:
                raise
            connection.invalidate()
            told = self.explain(error) if lost else disturbed
            raise WrittenMeanwhileError(Reason.UNREACHABLE, told.message, hint=told.hint) from None
        if opened.written:
            raise disturbed

    @contextlib.contextmanager
    def _transaction(self, connection: sa.Connection) -> Iterator[None]:
        """Through a pooler, one transaction with its settings; otherwise nothing of the kind."""
        if not self.pooled:
            yield
            return
        told = ", ".join(f"set_config({_text(name)}, {_text(value)}, true)" for name, value in self._told().items())
        raw: Any = connection.connection.dbapi_connection
        # Both in one message: the second statement already runs in the transaction.
        raw.execute(f"BEGIN READ ONLY; SELECT {told}")
        try:
            yield
        except BaseException:
            try:
                raw.execute("ROLLBACK")
            except Exception:
                connection.invalidate()
            raise
        raw.execute("COMMIT")

    def _told(self) -> Mapping[str, str]:
        return {name: value for name, value in self._session_settings.items() if name not in OF_A_SESSION}

    # -- failing

    def explain(self, error: Exception, *, timed_out: bool = False) -> ProbeError:
        """What a failure means, in words without secrets and values."""
        original = error.orig if isinstance(error, DBAPIError) and error.orig else error
        text = " ".join(self._scrub(str(original)).split())[:300]
        if timed_out:
            return call_timed_out(self._timeout_s)
        if isinstance(error, sa.exc.TimeoutError):
            return ProbeError(Reason.TIMEOUT, f"all {self._settings.budget.connections} connections are busy")
        reason = self._reason(original, text)
        large = self._dialect == "sqlite" and reason is Reason.TOO_LARGE
        if large or (self._dialect == "postgresql" and bounded_drivers.TOO_LARGE_SETTING in text):
            return bounded_drivers.too_large()
        if self._dialect == "sqlite" and (of_file := self._of_file(reason, text.lower())) is not None:
            return of_file
        if getattr(original, "sqlstate", None) in PREPARED:
            self._take_for_pooled()
        if reason is Reason.DECODE:  # drivers quote the value, which is nobody's business
            text = f"a value cannot be decoded ({type(original).__name__})"
        hints = {
            Reason.AUTH: "check user and password of the system's url",
            Reason.PERMISSION: "grant SELECT to the auditor's login",
            Reason.TIMEOUT: f"limit {self._timeout_s:g} s (budget.timeout), locks {LOCK_TIMEOUT_S} s",
            Reason.UNREACHABLE: "check host, port and whether the server runs",
        }
        hint = hints.get(reason, "")
        if getattr(original, "sqlstate", None) == "3D000" or _NO_DATABASE.search(text):
            hint = "check the name of the database in the system's url"
        if self._dialect == "postgresql" and reason not in {Reason.PERMISSION, Reason.DECODE, Reason.TOO_LARGE}:
            said = next((said for part, said in POOLER_SAYS.items() if part in text.lower()), "")
            hint = said or (f"{hint}; a pooler stands between".removeprefix("; ") if self.pooled else hint)
        return ProbeError(reason, text, hint=hint)

    def _of_file(self, reason: Reason, folded: str) -> ProbeError | None:
        """What is wrong with a SQLite file itself."""
        path = sqlite_file(self._database)
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            return ProbeError(
                Reason.UNREACHABLE,
                f"the file {str(path)[:PATH_SHOWN]} cannot be looked at: {error.strerror}",
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
            return ProbeError(reason, f"{path} is no SQLite database", hint="check the path in the system's url")
        if "disk image is malformed" in folded:
            return ProbeError(
                reason, f"the SQLite database {path} is damaged", hint="see PRAGMA integrity_check; restore a backup"
            )
        return None

    def _reason(self, original: BaseException, text: str) -> Reason:
        folded = text.lower()
        if self._dialect == "postgresql":
            state = getattr(original, "sqlstate", None)
            if state:
                return next(
                    (reason for prefix, reason in _SQLSTATES.items() if state.startswith(prefix)), Reason.QUERY
                )
            if "DataError" in type(original).__name__:
                return Reason.DECODE
            if "authentication failed" in folded or "no password supplied" in folded:
                return Reason.AUTH
            if _NO_ROLE.search(text):
                return Reason.AUTH
            if "does not exist" in folded:
                return Reason.QUERY
            if "timeout" in folded:
                return Reason.TIMEOUT
            return Reason.UNREACHABLE if "OperationalError" in type(original).__name__ else Reason.QUERY
        if self._dialect == "sqlite":
            return next((reason for part, reason in _SQLITE_TEXTS.items() if part in folded), Reason.QUERY)
        code = original.args[0] if original.args else None
        if code in {2003, 2013} and "timed out" in folded:
            return Reason.TIMEOUT
        if isinstance(code, int) and code in _MYSQL_ERRORS:
            return _MYSQL_ERRORS[code]
        return Reason.QUERY if code else Reason.UNREACHABLE


def _raw(connection: sa.Connection) -> ReadOnlyConnection:
    raw: Any = connection.connection.dbapi_connection
    return cast(ReadOnlyConnection, raw)


def _mysql_instant(text: str) -> datetime | str:
    """An instant, or the text as it stands where it is none (a zero date)."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return text


def _text(value: str) -> str:
    """A text literal, under standard_conforming_strings."""
    return "'" + value.replace("'", "''") + "'"
