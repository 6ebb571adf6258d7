"""A walk through what the search finds by the instant of its last change, window after window. Pure.

A search returns at most 10,000 results, and its pages shift when a record changes meanwhile, so no second page of a
search is ever requested. Each search begins where the previous one ended: at the stamp of the first record that did
not fit. If one stamp has more records than fit into one search, they are walked by id.

Source: developers.hubspot.com, "Search the CRM" (one sort; datetimes in filters are milliseconds since 1970).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from probes.contract import ProbeError, Reason
from probes.records.hubspot.catalogue import ID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_POSITION = re.compile(r"(from|at|behind)\|(-?\d{1,16})\|(\d{1,20})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a walk continues.

    Attributes:
        how: `from` an instant on, `at` one instant after an id, or `behind` it for everything later; in
            milliseconds since 1970.
    """

    how: str
    at_ms: int
    behind_id: int = 0

    def text(self) -> str:
        """The place as text."""
        return f"{self.how}|{self.at_ms}|{self.behind_id}"


def place_of(text: str) -> Place:
    """A place from its text. Raises ProbeError: `cursor_lost` for one that this probe did not write."""
    position = _POSITION.fullmatch(text)
    if position is None:
        raise ProbeError(Reason.CURSOR_LOST, "a position that this probe did not write")
    return Place(how=position[1], at_ms=int(position[2]), behind_id=int(position[3]))


def beginning(since: datetime | None) -> Place:
    """Where a walk begins; without an instant, at the first change ever."""
    return Place(how="from", at_ms=0 if since is None else (since - _EPOCH) // timedelta(milliseconds=1))


def request(place: Place, stamp: str, count: int) -> dict[str, Any]:
    """The search for up to `count` records from a place on."""
    operator = {"from": "GTE", "at": "EQ", "behind": "GT"}[place.how]
    filters = [{"propertyName": stamp, "operator": operator, "value": str(place.at_ms)}]
    if place.how == "at":
        filters.append({"propertyName": ID, "operator": "GT", "value": str(place.behind_id)})
    return {
        "filterGroups": [{"filters": filters}],
        "sorts": [{"propertyName": ID if place.how == "at" else stamp, "direction": "ASCENDING"}],
        "properties": [stamp],
        "limit": count,
    }


@dataclass(frozen=True, slots=True)
class Hit:
    """A record as the search returns it, which may be an older state."""

    record_id: str
    at_ms: int


def hits(document: Mapping[str, Any], place: Place, stamp: str, count: int) -> tuple[Sequence[Hit], bool]:
    """The records that a search found, and whether there are more.

    Raises:
        ProbeError: `decode` if the response is not the beginning of what the search was for.
    """
    results, total = document.get("results"), document.get("total")
    if not isinstance(results, list) or not isinstance(total, int):
        raise _odd("has no results, or no total")
    matches = [Hit(_text(each, "id"), milliseconds(_property(each, stamp))) for each in results]
    after = further(document)
    if len({each.record_id for each in matches}) < len(matches) or len(matches) > count:
        raise _odd("holds a record twice, or more records than requested")
    if total < len(matches) or (after is None and total > len(matches)) or after not in {None, str(len(matches))}:
        raise _odd("is not its first page: a page was repeated or skipped")
    order = [int(each.record_id) if place.how == "at" else each.at_ms for each in matches]
    first = {"from": place.at_ms, "behind": place.at_ms + 1, "at": place.behind_id + 1}[place.how]
    if order != sorted(order) or (order and order[0] < first):
        raise _odd("is not in the requested order")
    if after is not None and not matches:
        raise _odd("holds no record but claims that more follow")
    return matches, after is not None


def cut(place: Place, matches: Sequence[Hit], more: bool, limit: int) -> tuple[Sequence[Hit], Place | None]:
    """The records that are complete, up to `limit`, and where the walk continues; None at its end.

    No record and a place of the kind `at` mean that one instant has more records than fit.
    """
    if place.how == "at":
        if more or len(matches) > limit:
            last = matches[: limit or 1][-1]
            return matches[:limit], Place(how="at", at_ms=place.at_ms, behind_id=int(last.record_id))
        return matches, Place(how="behind", at_ms=place.at_ms)
    if not more and len(matches) <= limit:
        return matches, None
    end_ms = matches[limit].at_ms if len(matches) > limit else matches[-1].at_ms
    complete = [each for each in matches[:limit] if each.at_ms < end_ms]
    return complete, Place(how="from" if complete else "at", at_ms=end_ms)


def milliseconds(text: Any) -> int:
    """An instant of a response in milliseconds since 1970. Raises ProbeError if it is not one."""
    try:
        at = datetime.fromisoformat(str(text))
        return (at - _EPOCH) // timedelta(milliseconds=1)
    except (ValueError, TypeError, OverflowError):
        raise _odd("holds a record without the instant of its last change") from None


def further(document: Mapping[str, Any]) -> str | None:
    """Where a response continues, in HubSpot's own form; None at its end."""
    paging = document.get("paging")
    following = paging.get("next") if isinstance(paging, dict) else None
    after = following.get("after") if isinstance(following, dict) else None
    return None if after is None else str(after)


def _text(record: Any, name: str) -> str:
    text = record.get(name) if isinstance(record, dict) else None
    if not isinstance(text, str) or not text.isdigit():
        raise _odd("holds something that is not a record")
    return text


def _property(record: Mapping[str, Any], name: str) -> Any:
    properties = record.get("properties")
    return properties.get(name) if isinstance(properties, dict) else None


def _odd(what: str) -> ProbeError:
    return ProbeError(Reason.DECODE, f"the response to a search {what}")
