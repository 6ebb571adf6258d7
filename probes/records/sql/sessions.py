"""Sessions of a SQL database: read-only, limited in time; and what their failures mean."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from probes.call_deadline import Watchdog, left, within
from probes.call_deadline import timed_out as call_timed_out
from probes.contract import ProbeError, Reason
from probes.metering import SpentError, spend
from probes.records.sql import bounded_drivers
from probes.records.sql.database_url import DIALECTS
from probes.records.sql.dialects.dialect import LOCK_TIMEOUT_S, Dialect
from probes.secrets import Scrubber
from probes.settings import SystemSettings
from probes.wording import WHERE_IT_RUNS

SERVER_FIRST_S = 0.2
"""How much longer than the deadline to wait for the server's own timeout error."""


class Sessions:
    """A small pool of read-only, autocommitting connections to one database."""

    def __init__(self, settings: SystemSettings, dialect: Dialect) -> None:
        self.dialect = dialect
        self._connections = settings.budget.connections
        self._timeout_s = settings.budget.timeout_s
        self._scrub = Scrubber.of(settings)
        self._free = threading.BoundedSemaphore(self._connections)
        reached = DIALECTS[dialect.address.dialect]
        try:
            self.engine = sa.create_engine(
                dialect.address.url,
                connect_args=dialect.connect_args(),
                isolation_level="AUTOCOMMIT",
                poolclass=QueuePool,
                pool_size=self._connections,
                max_overflow=0,
                pool_timeout=self._timeout_s,
                pool_reset_on_return=None,
                hide_parameters=True,
                **dialect.engine_options(),
            )
        except ModuleNotFoundError as error:
            raise ProbeError(
                Reason.QUERY,
                f"the driver {reached.module} is not installed",
                hint=f"pip install 'plumbline-auditor[{reached.extra}]'",
            ) from error
        sa.event.listen(self.engine, "connect", self._prepare)
        sa.event.listen(self.engine, "do_connect", dialect.connect)
        sa.event.listen(self.engine, "before_cursor_execute", _before_statement)

    def close(self) -> None:
        """Release every connection that is not in use."""
        self.engine.dispose()

    def _prepare(self, connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        self.dialect.prepare(cursor)
        cursor.close()

    @contextlib.contextmanager
    def session(self) -> Iterator[sa.Connection]:
        """A connection with statements that end at the call's deadline even if the server never responds."""
        with within(self._timeout_s):
            if not self._free.acquire(timeout=left()):
                raise ProbeError(Reason.TIMEOUT, f"all {self._connections} connections are busy")
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
                with (
                    watchdog,
                    self.engine.connect() as connection,
                    self.dialect.undisturbed(connection, self.explain),
                ):
                    opened.append(connection.connection.dbapi_connection)
                    try:
                        with self.dialect.transaction(connection):
                            yield connection
                    except SpentError:
                        raise  # nothing was sent, so nothing is left in it
                    except ProbeError as failure:
                        if failure.reason in {Reason.TOO_LARGE, Reason.OVER_BUDGET}:
                            connection.invalidate()  # the rest of the response is still in it
                        raise
            except ProbeError:
                raise
            except (UnicodeDecodeError, OverflowError) as error:
                raise ProbeError(Reason.DECODE, f"a value cannot be decoded: {type(error).__name__}") from None
            except Exception as error:
                raise self.explain(error, timed_out=watchdog.expired) from None

    def explain(self, error: Exception, *, timed_out: bool = False) -> ProbeError:
        """Explain a failure, without secrets and values."""
        original = error.orig if isinstance(error, DBAPIError) and error.orig else error
        text = " ".join(self._scrub(self.dialect.words(original)).split())[:300]
        if timed_out:
            return call_timed_out(self._timeout_s)
        if isinstance(error, sa.exc.TimeoutError):
            return ProbeError(Reason.TIMEOUT, f"all {self._connections} connections are busy")
        dialect = self.dialect
        reason = dialect.reason(original, text)
        if dialect.is_too_large(reason, text):
            return bounded_drivers.too_large()
        if (explained := dialect.told(reason, text)) is not None:
            return explained
        if dialect.noticed_pooler(original):
            self.engine.dispose()
        if reason is Reason.DECODE:  # drivers quote the value, which is private
            text = f"a value cannot be decoded ({type(original).__name__})"
        hints = {
            Reason.AUTH: "check user and password of the system's url",
            Reason.PERMISSION: "grant SELECT to the auditor's login",
            Reason.TIMEOUT: f"limit {self._timeout_s:g} s (budget.timeout), locks {LOCK_TIMEOUT_S} s",
            Reason.UNREACHABLE: WHERE_IT_RUNS,
        }
        return ProbeError(reason, text, hint=dialect.hint(reason, original, text, hints.get(reason, "")))


def _before_statement(*_: Any) -> None:
    """Each statement is a call, except those that open a connection and a transaction."""
    spend()
