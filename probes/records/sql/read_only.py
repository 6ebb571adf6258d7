"""How it is known that a SQL session cannot write: from the server's own statement, never from an arbitrary error.

Source: PostgreSQL, appendix A (25006 read_only_sql_transaction, 42501 insufficient_privilege); MariaDB error codes
(1792 a read-only transaction, 1142 and 1143 a denied command, 1290 a read-only server); SQLite, `PRAGMA query_only`.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from probes.contract import ProbeError, Reason, UnprovedError
from probes.records.sql.dialects.dialect import Dialect
from probes.records.sql.sessions import Sessions


def prove_read_only(sessions: Sessions, attempt: sa.Update | None) -> str:
    """Say how it is known that this connection cannot write.

    Args:
        attempt: a write that would change no row even if it were let through; None if no table is known.

    Raises:
        ProbeError: `permission` if the write was accepted.
        UnprovedError: it was refused for another reason, and the server does not call the session read-only.
    """
    dialect = sessions.dialect
    with sessions.session() as connection:
        word = _word(connection, dialect)
    refusal = _refusal(sessions, attempt) if attempt is not None else ""
    proof = "; ".join(part for part in (word, refusal, "through a pooler" if dialect.pooled else "") if part)
    if not word and not refusal:
        raise UnprovedError(
            Reason.PERMISSION,
            "it is not proved that this session cannot write",
            hint="give the auditor a login with SELECT only",
        )
    return proof


def _word(connection: sa.Connection, dialect: Dialect) -> str:
    """The server's statement about the session; "" if it does not call it read-only."""
    for statement, called in dialect.read_only_words:
        try:
            value = connection.exec_driver_sql(statement).scalar()
        except DBAPIError as error:
            if dialect.is_unknown_word(error):
                continue
            raise
        return (
            f"the session is read-only: the server says {called} = {value}"
            if str(value).lower() in {"on", "1"}
            else ""
        )
    return ""


def _refusal(sessions: Sessions, attempt: sa.Update) -> str:
    """How a write was refused; "" if the error does not prove that it was refused."""
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
        return sessions.dialect.refusal(refused)
    raise ProbeError(
        Reason.PERMISSION,
        "a write would have been accepted",
        hint="give the auditor a login with SELECT only",
    )
