"""The dashboard's log: Streamlit's and the web server's handlers write it, so its records are made harmless here."""

from __future__ import annotations

import logging
from typing import Any

from auditor.escaping import block, visible


class VisibleRecord(logging.LogRecord):
    """A record whose text stays on one line, and whose traceback acts on no terminal."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        if self.exc_info:
            told = block(logging.Formatter().formatException(self.exc_info))
            self.exc_text = told.replace("\n", "\n  ")  # a line of a message from outside is no record of its own

    def getMessage(self) -> str:  # noqa: N802  logging's own name
        """The message, in which what cannot be seen is a sign."""
        return visible(super().getMessage())


def harden() -> None:
    """Let every record of this process be such a one."""
    logging.setLogRecordFactory(VisibleRecord)
