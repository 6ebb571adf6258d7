"""The dashboard's log: Streamlit's and the web server's handlers write it, so its records are sanitized here."""

from __future__ import annotations

import logging
from typing import Any

from auditor.escaping import block, visible


class VisibleRecord(logging.LogRecord):
    """A log record with its text on one line and no terminal control characters in its traceback."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        if self.exc_info:
            traceback = block(logging.Formatter().formatException(self.exc_info))
            self.exc_text = traceback.replace(
                "\n", "\n  "
            )  # a line of a message from outside must not look like a record

    def getMessage(self) -> str:  # noqa: N802  logging's own name
        """The message with visible signs for invisible characters."""
        return visible(super().getMessage())


def harden() -> None:
    """Make every log record of this process a `VisibleRecord`."""
    logging.setLogRecordFactory(VisibleRecord)
