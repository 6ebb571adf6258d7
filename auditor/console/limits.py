"""The limits of a query, for the process that runs it and the one that waits for it."""

from __future__ import annotations

REFUSED = 4
"""Exit code: the statement was refused, or failed; standard error says why."""

NOT_READY = 5
"""Exit code: the ledger cannot be read in its present state; standard error has the driver's message."""

MEMORY_BYTES = 1024**3
"""Memory that the process may use in total."""

ROW_LIMIT = 10_000

ANSWER_BYTES = 16 * 1024**2
"""Most bytes of a result as JSON, its longest form: a browser or an editor can still open it."""

MESSAGE_BYTES = 4096
"""Most bytes of a message: the engine's messages quote the statement and the data."""


STOPPED = "stopped after"
"""How the message about a query begins that took too long."""


class QueryError(Exception):
    """A query was refused or failed; the text says why and what to do."""
