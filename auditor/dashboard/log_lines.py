"""The dashboard's log: Streamlit's and the web server's handlers write it, so its records are sanitized here."""

from __future__ import annotations

import logging
from typing import Any

from auditor.escaping import block, visible

SIGNING_IN = "streamlit.web.server.starlette.starlette_auth_routes"
"""Logs with a traceback that an issuer did not answer, or did not accept the dashboard: a matter of settings."""


class VisibleRecord(logging.LogRecord):
    """A log record with its text on one line and no terminal control characters in its traceback."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        if self.name == SIGNING_IN and self.exc_info and self.exc_info[1] is not None:
            error = self.exc_info[1]
            self.msg, self.args = f"{super().getMessage()} {type(error).__name__}: {error}", ()
            self.exc_info = None
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
