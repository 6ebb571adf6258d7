"""What a query may take and answer, for the process that runs it and the one that waits for it."""

from __future__ import annotations

REFUSED = 4
"""Exit code: the statement was refused, or failed; standard error says why."""

NOT_READY = 5
"""Exit code: the ledger cannot be read as it is; standard error says what the driver said."""

MEMORY_BYTES = 1024**3
"""What the process may take in all."""

ROW_LIMIT = 10_000

ANSWER_BYTES = 16 * 1024**2
"""How long the answer may be as JSON, its longest form: what a browser or an editor still opens."""

MESSAGE_BYTES = 4096
"""How long a message may be: the engine's echo what the statement and the data hold."""


class QueryError(Exception):
    """A query was refused or failed; the text says why and what to do."""
