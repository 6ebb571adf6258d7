"""The records in the response of an HTTP API."""

from __future__ import annotations

from typing import Any

from probes import json_paths
from probes.contract import ProbeError, Reason


def find(path: str, document: Any) -> list[Any]:
    """All values that a JSONPath finds.

    Raises:
        ProbeError: `decode` if it cannot be evaluated on the document.
    """
    try:
        return json_paths.every(path, document)
    except json_paths.PathError as error:
        raise ProbeError(Reason.DECODE, f"a response is {error}, at {path}") from None


def records(path: str, document: Any, what: str) -> list[Any]:
    """The records in a response; empty only if it holds an empty container.

    Args:
        path: to the records: `$.data[*]` for the items of an array, `$.data.*` for the values of an object.
        what: the request, for messages.

    Raises:
        ProbeError: `decode` if the container is missing: an error with status 200 is not an empty list.
    """
    container, _, rest = path.rpartition("[*]")
    if container and not rest:
        return [each for one in _containers(container, document, what) for each in _items(one, container, what)]
    if path.endswith(".*") and not path.endswith("..*"):
        holders = _containers(path[:-2], document, what)
        for one in holders:
            if not isinstance(one, dict | list):
                raise _not_there(path[:-2], "an object", what)
        return find(path, document)
    fixed = _fixed(path)
    if fixed == path:
        return _containers(path, document, what)
    _containers(fixed, document, what)
    return find(path, document)


def _containers(path: str, document: Any, what: str) -> list[Any]:
    """The values at a path: one, or one in each item of the arrays on the way."""
    outer, star, inner = path.rpartition("[*]")
    holders = records(outer + star, document, what) if star else [document]
    found = []
    for holder in holders:
        here = find(("$" + inner) if star else path, holder)
        if not here:
            raise _not_there(path, "anything", what)
        found += here
    return found


def _items(found: Any, path: str, what: str) -> list[Any]:
    if not isinstance(found, list):
        raise _not_there(path, "an array", what)
    return found


def _fixed(path: str) -> str:
    """The fixed part of a path, before its first filter, wildcard or descent."""
    at = min((path.find(each) for each in ("[?", "[*", "..", ".*", "[:") if each in path), default=len(path))
    return path[:at] or "$"


def _not_there(path: str, wanted: str, what: str) -> ProbeError:
    return ProbeError(
        Reason.DECODE,
        f"{what} did not return {wanted} at {path}",
        hint="is it an error with status 200? otherwise correct records: or record: in the map",
    )
