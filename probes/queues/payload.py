"""What a message says of itself: where its record's key and its error stand, in its fields or in its JSON payload."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jsonpath import JSONPathError
from jsonpath import compile as compile_path

PAYLOAD_LIMIT = 256 * 1024
"""Payloads beyond this are not read into: whatever they say stays unknown."""

TEXT_LIMIT = 500


def checked(where: str | None) -> str | None:
    """A place to look in a message: `field:NAME`, or a JSONPath `$.path` into its payload.

    Raises:
        ValueError: it is neither.
    """
    if where is None or where.startswith("field:"):
        return where
    if not where.startswith("$"):
        raise ValueError(f"say field:NAME or a JSONPath such as $.customer.id, got {where!r}")
    try:
        compile_path(where)
    except JSONPathError as error:
        raise ValueError(f"not a JSONPath: {error}") from None
    return where


@lru_cache(maxsize=256)
def _path(where: str) -> Any:
    return compile_path(where)


class Message:
    """One message: its fields (headers, properties) by name, and its payload, decoded only when it is asked for."""

    def __init__(self, fields: Mapping[str, Any], payload: bytes | str | None) -> None:
        self._fields = fields
        self._payload = payload
        self._document: Any = None
        self._decoded = False

    def find(self, where: str | None) -> str | None:
        """What stands there as text, at most `TEXT_LIMIT` characters; None where there is nothing to read."""
        if where is None:
            return None
        found = (
            self._fields.get(where.removeprefix("field:")) if where.startswith("field:") else self._in_payload(where)
        )
        if found is None or isinstance(found, Mapping | list):
            return None
        return _text(found)[:TEXT_LIMIT]

    def _in_payload(self, where: str) -> Any:
        if not self._decoded:
            self._decoded = True
            self._document = _decode(self._payload)
        if self._document is None:
            return None
        return next(iter(_path(where).findall(self._document)), None)


def _decode(payload: bytes | str | None) -> Any:
    """A JSON payload; None for one that is too large, not UTF-8, not JSON or nested too deeply."""
    if payload is None or len(payload) > PAYLOAD_LIMIT:
        return None
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return None


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return ("true" if value else "false") if isinstance(value, bool) else str(value)
