"""Pages of Stripe's lists, which continue after a given object and come newest first.

Every page but the first is requested from the last object but one of the previous page, so that its first object is
known: a repeated or skipped page is noticed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from probes.contract import ProbeError, Reason

LARGEST_PAGE = 100
"""Source: API reference, "Pagination"."""

Query = Sequence[tuple[str, str]]

Ask = Callable[[Query], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a walk through a list continues.

    Attributes:
        anchor: the last object but one.
        last: the last object.
    """

    anchor: str
    last: str

    def text(self) -> str:
        """The place as text."""
        return json.dumps(asdict(self))


def place_of(text: str) -> Place:
    """A place from its text.

    Raises:
        ProbeError: `cursor_lost` for a text that this probe did not write.
    """
    try:
        stored = json.loads(text)
        place = Place(anchor=stored["anchor"], last=stored["last"])
    except (ValueError, TypeError, KeyError, RecursionError):
        place = Place(anchor="", last="")
    if not (isinstance(place.anchor, str) and isinstance(place.last, str) and place.anchor and place.last):
        raise ProbeError(Reason.CURSOR_LOST, "a position that this probe did not write")
    return place


@dataclass(frozen=True, slots=True)
class Part:
    """What one page adds to the pages before it.

    Attributes:
        place: where the list continues; None at its end.
    """

    objects: Sequence[Mapping[str, Any]]
    place: Place | None


def part(ask: Ask, query: Query, place: Place | None, limit: int, gone: Callable[[str], bool], what: str) -> Part:
    """Read the next page of a list.

    Args:
        query: the list's filters.
        limit: objects wanted, approximately.
        gone: whether an object has been deleted meanwhile.
        what: the list, for messages.

    Raises:
        ProbeError: `decode` if the response is not such a page.
    """
    size = max(2, min(limit + (place is not None), LARGEST_PAGE))
    parameters = [*query, ("limit", str(size))]
    if place is not None:
        parameters.append(("starting_after", place.anchor))
    objects, more = _page(ask(parameters), size, what)
    ids = [str(each["id"]) for each in objects]
    if place is not None:
        if ids[:1] == [place.last]:
            objects, fresh = objects[1:], ids[1:]
        elif place.anchor not in ids and place.last not in ids and gone(place.last):
            fresh = ids
        else:
            raise ProbeError(
                Reason.DECODE, f"{what} do not continue where the previous page ended: one is repeated or missing"
            )
        ids = [place.anchor, place.last, *fresh]
    return Part(objects, Place(anchor=ids[-2], last=ids[-1]) if more else None)


def _page(document: Mapping[str, Any], size: int, what: str) -> tuple[Sequence[Mapping[str, Any]], bool]:
    objects, more = document.get("data"), document.get("has_more")
    if document.get("object") != "list" or not isinstance(objects, list) or not isinstance(more, bool):
        raise ProbeError(Reason.DECODE, f"{what}: the response is not a list as the API documents it")
    if not all(isinstance(each, dict) and isinstance(each.get("id"), str) and each["id"] for each in objects):
        raise ProbeError(Reason.DECODE, f"{what}: a list holds something that is not an object with an id")
    if len({each["id"] for each in objects}) < len(objects) or len(objects) > size:
        raise ProbeError(Reason.DECODE, f"{what}: a page holds an object twice, or more objects than requested")
    if more and len(objects) < 2:
        raise ProbeError(Reason.DECODE, f"{what}: an almost empty page claims that more follow")
    return objects, more
