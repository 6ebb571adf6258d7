"""Errors in HubSpot's words.

Source: developers.hubspot.com, "Handling errors" and "API usage guidelines and limits".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from tests.standins.faults import Answer
from tests.standins.service import RefusalError

CATEGORIES = {
    400: ("VALIDATION_ERROR", "Invalid input JSON"),
    401: (
        "INVALID_AUTHENTICATION",
        "Authentication credentials not found. This API supports OAuth 2.0 authentication",
    ),
    403: ("MISSING_SCOPES", "This app hasn't been granted all required scopes to make this call."),
    404: ("OBJECT_NOT_FOUND", "Object not found.  objectId are usually numeric."),
    409: ("CONFLICT", "The object was changed by another request."),
    423: ("LOCKED", "The resource is locked."),
    500: ("INTERNAL_ERROR", "internal error"),
}


def refusal(
    status: int, message: str = "", category: str = "", headers: Mapping[str, str] | None = None, **more: Any
) -> Answer:
    """An error with its status."""
    usual = CATEGORIES.get(status, ("INTERNAL_ERROR" if status >= 500 else "VALIDATION_ERROR", "request failed"))
    document = {
        "status": "error",
        "message": message or usual[1],
        "correlationId": str(uuid4()),
        "category": category or usual[0],
        **more,
    }
    return Answer(status=status, document=document, headers=headers or {})


def over(policy: str, message: str, headers: Mapping[str, str]) -> Answer:
    """429 with the limit that was reached."""
    more = {"errorType": "RATE_LIMIT", "policyName": policy}
    return refusal(429, message, "RATE_LIMITS", headers, **more)


def invalid(message: str) -> RefusalError:
    """400: the request is wrong."""
    return RefusalError(refusal(400, message))


def not_there(singular: str, ids: Sequence[str]) -> dict[str, Any]:
    """What a batch says of ids that it did not find."""
    return {
        "status": "error",
        "category": "OBJECT_NOT_FOUND",
        "message": f"Could not get some {singular.upper()} objects, they may be deleted or not exist. "
        "Check that ids are valid.",
        "context": {"ids": list(ids)},
        "links": {},
        "errors": [],
    }
