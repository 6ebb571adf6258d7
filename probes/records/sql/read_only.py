"""How it is known that a SQL session cannot write: by the server's own word about it, never by just any error.

Source: PostgreSQL, appendix A (25006 read_only_sql_transaction, 42501 insufficient_privilege); MariaDB error codes
(1792 a read-only transaction, 1142 and 1143 a denied command, 1290 a read-only server); SQLite, `PRAGMA query_only`.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from probes.contract import ProbeError, Reason, UnprovedError
from probes.records.sql.sessions import Sessions

ASKED = {
    "postgresql": (("SHOW transaction_read_only", "transaction_read_only"),),
    "mariadb": (
        ("SELECT @@tx_read_only", "tx_read_only"),
        ("SELECT @@transaction_read_only", "transaction_read_only"),
    ),
    "mysql": (("SELECT @@transaction_read_only", "transaction_read_only"), ("SELECT @@tx_read_only", "tx_read_only")),
    "sqlite": (("PRAGMA query_only", "query_only"),),
}
"""By dialect, what to ask the server, and what it calls that; the later where it does not know the earlier."""

UNKNOWN_VARIABLE = 1193

REFUSALS = {
    "25006": "the transaction is read-only",
    "42501": "the login has no such right",
    1142: "the login has no such right",
    1143: "the login has no such right",
    1290: "the server is read-only",
    1792: "the transaction is read-only",
}
"""Errors that mean that writing is refused, and nothing else."""


def prove_read_only(sessions: Sessions, dialect: str, attempt: sa.Update | None) -> str:
    """Say how it is known that this connection cannot write.

    Args:
        attempt: a write that would change no row even if it were let through; None where no table is known.

    Raises:
        ProbeError: `permission` where the write was accepted.
        UnprovedError: it was refused for another reason, and the server does not call the session read-only.
    """
    with sessions.session() as connection:
        word = _word(connection, dialect)
    refusal = _refusal(sessions, attempt, dialect) if attempt is not None else ""
    told = "; ".join(part for part in (word, refusal, "through a pooler" if sessions.pooled else "") if part)
    if not word and not refusal:
        raise UnprovedError(
            Reason.PERMISSION,
            "it is not proved that this session cannot write",
            hint="give the auditor a login with SELECT only",
        )
    return told


def _word(connection: sa.Connection, dialect: str) -> str:
    """What the server says of the session; nothing where it does not call it read-only."""
    for statement, called in ASKED[dialect]:
        try:
            told = connection.exec_driver_sql(statement).scalar()
        except DBAPIError as error:
            if error.orig is not None and error.orig.args[:1] == (UNKNOWN_VARIABLE,):
                continue
            raise
        return (
            f"the session is read-only: the server says {called} = {told}" if str(told).lower() in {"on", "1"} else ""
        )
    return ""


def _refusal(sessions: Sessions, attempt: sa.Update, dialect: str) -> str:
    """How a write was refused; nothing where the error does not say that it was one."""
    refused: Any = None
    try:
        with sessions.session() as connection:
            try:
                connection.execute(attempt)
            except DBAPIError as error:
                refused = error.orig
                raise
    except ProbeError as failure:
        if refused is None or failure.retryable:
            raise
        return refusal_of(dialect, refused)
    raise ProbeError(
        Reason.PERMISSION,
        "a write would have been accepted",
        hint="give the auditor a login with SELECT only",
    )


def refusal_of(dialect: str, error: BaseException) -> str:
    """What a driver's error proves of a refused write; "" where it proves nothing."""
    if dialect == "sqlite":
        return "a write is refused: the database is read-only" if "readonly database" in str(error) else ""
    code = getattr(error, "sqlstate", None) or (error.args[0] if error.args else None)
    return f"a write is refused: {REFUSALS[code]} ({code})" if code in REFUSALS else ""
