"""Errors in Stripe's words.

Source: docs.stripe.com/api/errors, docs.stripe.com/error-codes, docs.stripe.com/rate-limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.standins.faults import Answer
from tests.standins.service import RefusalError

MESSAGES = {
    400: "The request was unacceptable.",
    401: "Invalid API Key provided: sk_test_********************beef",
    403: "The provided key does not have the required permissions for this endpoint on this account.",
    404: "Unrecognized request URL. Please see https://stripe.com/docs or contact support.",
    409: "This object cannot be accessed right now because another API request is currently accessing it.",
    429: "Request rate limit exceeded. Learn more about rate limits at https://stripe.com/docs/rate-limits.",
}
CODES = {409: "lock_timeout", 429: "rate_limit"}


def refusal(
    status: int, message: str = "", code: str = "", param: str = "", headers: Mapping[str, str] | None = None
) -> Answer:
    """An error with its status."""
    error: dict[str, Any] = {
        "message": message or MESSAGES.get(status, "An unknown error occurred"),
        "type": "api_error" if status >= 500 else "invalid_request_error",
    }
    if code := code or CODES.get(status, ""):
        error |= {"code": code, "doc_url": f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"}
    if param:
        error["param"] = param
    return Answer(status=status, document={"error": error}, headers=headers or {})


def invalid(message: str, code: str = "", param: str = "") -> RefusalError:
    """400: the request is wrong."""
    return RefusalError(refusal(400, message, code, param))


def missing(what: str, object_id: str, param: str = "id", status: int = 404) -> RefusalError:
    """There is no such object."""
    return RefusalError(refusal(status, f"No such {what}: '{object_id}'", "resource_missing", param))
