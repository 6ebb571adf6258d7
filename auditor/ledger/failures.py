"""Explains failures of the ledger's database: which ledger, what happened, what to do; no statement, no value."""

from __future__ import annotations

import sqlalchemy as sa

from probes.secrets import Scrubber

BEGIN_ANEW = "restore a backup, or move it away to start a new one"
ACCESS = "let the auditor's user read and write it and its folder"

# SQLite's messages: https://www.sqlite.org/rescode.html
_SQLITE = {
    "not a database": ("it is not a SQLite database", BEGIN_ANEW),
    "malformed": ("it is damaged", BEGIN_ANEW),
    "no such table": ("a table is missing in it", BEGIN_ANEW),
    "no such column": ("a column is missing in it", BEGIN_ANEW),
    "unable to open": ("the file cannot be opened", ACCESS),
    "readonly": ("it cannot be written", ACCESS),
    "disk i/o error": ("the disk does not read or write it", "check the disk and what its folder is"),
    "full": ("its disk is full", "make room on it"),
    "file too large": ("it may not grow any more", "raise the limit of its size"),
    "locked": ("another process holds it", "end what has it open, or try again"),
}
_WAIT = "it is retried automatically; if it lasts, look at the server's log"
_POSTGRESQL = {
    "no space left": "make room on the server's disk",
    "too many clients": "end connections, or raise max_connections of the server",
    "remaining connection slots": "end connections, or raise max_connections of the server",
    "too many connections": "end connections, or raise the limit of the database or the login",
    "read-only transaction": "name the primary in AUDITOR_LEDGER: this server is a standby or set to read only",
    "not currently accepting": _WAIT,
    "starting up": _WAIT,
    "shutting down": _WAIT,
    "administrator command": _WAIT,
    "server closed the connection": _WAIT,
    "connection refused": "check host and port in AUDITOR_LEDGER, and whether the server runs",
    "timeout expired": "check host and port in AUDITOR_LEDGER, and whether the server runs",
    "lock timeout": _WAIT,
    "idle-in-transaction": _WAIT,
    "deadlock": _WAIT,
    "could not connect": "check host and port in AUDITOR_LEDGER, and whether the server runs",
    "authentication failed": "check user and password in AUDITOR_LEDGER",
    "no password supplied": "check user and password in AUDITOR_LEDGER",
    "role ": "check user and password in AUDITOR_LEDGER",
    "database ": "check the name of the database in AUDITOR_LEDGER",
    "permission denied": "grant the login of AUDITOR_LEDGER the right to make and write tables",
    "does not exist": BEGIN_ANEW,
}


def ledger_name(url: sa.URL) -> str:
    """A ledger's address without its login."""
    if url.get_backend_name() == "sqlite":
        return url.database or ""
    return sa.URL.create("postgresql", host=url.host, port=url.port, database=url.database).render_as_string()


def told(error: BaseException, url: sa.URL, *, opening: bool) -> str:
    """Describe a failure in one sentence.

    Args:
        error: what the driver raised.
        opening: it failed while connecting, before any statement.
    """
    text = " ".join(str(error).split())
    folded = text.lower()
    verb = "open" if opening else "use"
    if url.get_backend_name() == "sqlite":
        what, remedy = next((entry for part, entry in _SQLITE.items() if part in folded), (text[:300], BEGIN_ANEW))
        return f"cannot {verb} the ledger {ledger_name(url)}: {what}; {remedy}"
    text = Scrubber.of_address(url.render_as_string(hide_password=False))(text)[:300]
    unreached = "check host and port in AUDITOR_LEDGER, and whether the server runs"
    remedy = next(
        (entry for part, entry in _POSTGRESQL.items() if part in folded), unreached if opening else "look at its log"
    )
    return f"cannot {verb} the ledger {ledger_name(url)}: {text}; {remedy}"


def unreadable(problem: str, url: str) -> str:
    """Describe what the driver of another process said of a ledger that opens and cannot be read all the same."""
    return told(RuntimeError(problem), sa.make_url(url), opening=False)


def busy(url: sa.URL, connections: int, waited_s: float) -> str:
    """Report that every connection is in use and none has become free."""
    return (
        f"cannot use the ledger {ledger_name(url)}: none of its {connections} connections became free within "
        f"{waited_s:g} s because it responds so slowly; {_WAIT}"
    )


def refused(error: BaseException, url: sa.URL) -> str:
    """Report that the ledger refused a row, without the driver's message, which quotes the values."""
    code = getattr(error, "sqlstate", None) or getattr(error, "sqlite_errorname", None) or type(error).__name__
    return f"the ledger {ledger_name(url)} refused a row ({code}); this is a mistake of the auditor's"
