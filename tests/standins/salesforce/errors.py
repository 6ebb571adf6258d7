"""An answer that is an error, in the form of the REST API: a list of messages with their codes.

Source: REST API Developer Guide (v68.0), "Status Codes and Error Responses".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """What the caller is told instead of an answer."""

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})
        self.more = more

    @property
    def document(self) -> list[dict[str, Any]]:
        """The body."""
        return [{"message": self.message, "errorCode": self.code, **self.more}]


def not_found() -> ApiError:
    """There is no such resource."""
    return ApiError(404, "NOT_FOUND", "The requested resource does not exist")


def unsupported(what: str) -> ApiError:
    """The vendor can, the stand-in cannot: never a word that the vendor might say."""
    return ApiError(501, "STAND_IN_UNSUPPORTED", f"the stand-in does not know {what}")
