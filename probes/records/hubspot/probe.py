"""Records in HubSpot's CRM: by id or by a unique property, by lists, and by the changes that the search finds.

The search is used only to find which records changed: it lags behind, so what it finds is read by id before it is
returned. No read here returns archived records.
Sources: developers.hubspot.com, "Object APIs", "Search the CRM", "Associations v4"; the models of @hubspot/api-client
14.0.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

from probes.call_deadline import left, one_call, some_calls
from probes.contract import (
    DESCRIBING_CALLS,
    INSPECT_CALLS,
    MISSING,
    ClockSample,
    CollectionSchema,
    Key,
    Page,
    ProbeError,
    ReadSpec,
    Reason,
    Row,
)
from probes.http import walk
from probes.http.date_clock import read_clock
from probes.http.line import DIRECT, Line
from probes.letter_case import CASELESS, writings
from probes.records.alike_keys import alike
from probes.records.hubspot import changes
from probes.records.hubspot.catalogue import ID, Catalogue, is_unique, stamp_of
from probes.records.hubspot.session import Session, reason_of
from probes.records.hubspot.settings import ASSOCIATIONS, HubSpotSettings
from probes.records.unranked import Unranked
from probes.wording import did_you_mean

AT_ONCE = 100
"""Records of a batch, and of a page of a list. Source: "Object APIs"."""

LONGEST_ADDRESS = 6_000
"""Characters of a list's address; a longer one, with many properties, lists ids, which are then read as a batch."""

Record = Mapping[str, Any]


class HubSpotProbe(Unranked):
    """Reads one account."""

    def __init__(self, settings: HubSpotSettings, line: Line = DIRECT) -> None:
        self.delay_floor_s = settings.delay_floor_s
        self.timeout_s = settings.budget.timeout_s
        self._session = Session(settings, line)
        self._catalogue = Catalogue(self._session)

    # -- capabilities

    def batch_limit(self, spec: ReadSpec) -> int:
        return AT_ONCE

    @some_calls(INSPECT_CALLS)
    def inspect(self, spec: ReadSpec) -> tuple[str, ...]:
        path = self._catalogue.path_of(spec.collection)
        properties = self._catalogue.properties(path)
        names = [each for each in (spec.key, spec.mark, *spec.fields) if each is not None]
        for name in dict.fromkeys(names):
            if name.startswith(ASSOCIATIONS):
                self._catalogue.path_of(name.removeprefix(ASSOCIATIONS))
            elif name not in properties and not (name == spec.key and _by_id(spec)):
                raise ProbeError(
                    Reason.QUERY,
                    f"{spec.collection} has no property named {name!r}{did_you_mean(name, properties)}",
                    hint="use its internal name; a property that the app may not read is missing as well",
                )
        if not _by_id(spec) and not is_unique(path, spec.key, properties[spec.key]):
            raise ProbeError(
                Reason.QUERY,
                f"{spec.collection}.{spec.key} is not unique, so it cannot be used to read records",
                hint=f"use {ID}, a property that requires unique values, or email for contacts",
            )
        remarks = []
        stamp = stamp_of(path)
        if spec.mark is not None and spec.mark != stamp:
            remarks.append(f"{spec.mark} does not change with every change of a record; {stamp} does")
        # Check that the app may read the objects, not only their description.
        page = self._page(spec, path, None, 1)
        self._rows(spec, path, page[0])
        remarks.append(
            f"archived records of {spec.collection} count as deleted; empty and unset properties are both NULL"
        )
        return (*remarks, *self._session.remarks)

    def highest_version(self, spec: ReadSpec) -> int | None:
        """There is no increasing number."""
        return None

    @some_calls(DESCRIBING_CALLS)
    def collections(self) -> list[CollectionSchema]:
        """Describe the usual types of objects and the account's own, up to 40."""
        return self._catalogue.described()

    # -- reading

    @one_call
    def fetch(self, spec: ReadSpec, keys: Sequence[Key]) -> list[Row]:
        texts = [str(key) for key in keys]
        if _by_id(spec):
            texts = [each for each in texts if _is_id(each)]
        if spec.key_type == CASELESS:
            texts = [each for text in texts for each in writings(text, mistaken=spec.mistaken)]
        requested = [each for each in dict.fromkeys(texts) if each.strip()]
        if not requested:
            return []
        path = self._catalogue.path_of(spec.collection)
        found: dict[str, Record] = {}
        for at in range(0, len(requested), AT_ONCE):
            some = self._by_keys(spec, path, requested[at : at + AT_ONCE])
            found |= {str(each["id"]): each for each in some}
        records = list(found.values())
        keys_alike = {alike(spec.key_type, each) for each in keys}
        # A property matches regardless of case, and contacts by further addresses: those have another key.
        selected = records
        if spec.key_type != CASELESS:
            selected = [each for each in records if alike(spec.key_type, _key(spec, each)) in keys_alike]
        return self._rows(spec, path, selected)

    def _by_keys(self, spec: ReadSpec, path: str, keys: Sequence[str]) -> list[Record]:
        """Read up to 100 records; every key without a record is known to be absent."""
        found, absent = self._batch(path, keys, _properties(spec), None if _by_id(spec) else spec.key)
        known = {_folded(_key(spec, each)) for each in found} | {_folded(each) for each in absent}
        for key in keys:
            # A key that a response does not mention may still exist.
            if _folded(key) not in known and (alone := self._alone(spec, path, key)) is not None:
                found.append(alone)
        return list({str(each["id"]): each for each in found}.values())

    def _batch(
        self, path: str, keys: Sequence[str], properties: Sequence[str], by: str | None = None
    ) -> tuple[list[Record], list[str]]:
        """Read a batch.

        Returns:
            The records, and the keys that the response reports as absent.
        """
        document: dict[str, Any] = {"inputs": [{"id": each} for each in keys], "properties": list(properties)}
        if by is not None:
            document["idProperty"] = by
        response = self._session.ask("POST", f"/crm/v3/objects/{path}/batch/read", document)
        if response.get("status") != "COMPLETE":
            raise ProbeError(Reason.DECODE, f"a batch of {path} is not complete")
        records = _records(response)
        if by is None and not {str(each["id"]) for each in records} <= {str(int(key)) for key in keys}:
            raise ProbeError(Reason.DECODE, f"a batch of {path} holds another record than requested")
        return records, _absent(response, path, len(keys))

    def _alone(self, spec: ReadSpec, path: str, key: str) -> Record | None:
        """Read one record; None if there is none."""
        by = "" if _by_id(spec) else f"&idProperty={spec.key}"
        names = ",".join(_properties(spec))
        target = f"/crm/v3/objects/{path}/{quote(key, safe='')}?archived=false&properties={names}{by}"
        try:
            return _record(self._session.ask("GET", target))
        except ProbeError as failure:
            if failure.message.startswith("HTTP 404 ") and "OBJECT_NOT_FOUND" in failure.message:
                return None
            raise

    @one_call
    def changed(self, spec: ReadSpec, since: datetime | int | None, limit: int, after: str | None = None) -> Page:
        if spec.changed_at is None or not (since is None or isinstance(since, datetime)):
            raise ProbeError(Reason.QUERY, "changes are found only by changed_at")
        path = self._catalogue.path_of(spec.collection)
        place = changes.beginning(since) if after is None else changes.place_of(after)
        count = min(limit, AT_ONCE)
        matches, following = self._searched(path, spec.changed_at, place, count)
        if not matches and following is not None and following.how == "at":
            matches, following = self._searched(path, spec.changed_at, following, count)
        ids = [each.record_id for each in matches]
        records = self._batch(path, ids, _properties(spec))[0] if ids else []
        if following is not None:
            # What changed again meanwhile returns later with its new stamp; here it would hide the changes between.
            reach_ms = following.at_ms
            records = [each for each in records if changes.milliseconds(_stamp(spec, each)) <= reach_ms]
        rows = self._rows(spec, path, sorted(records, key=lambda each: str(_stamp(spec, each))))
        return Page(rows=rows, next=None if following is None else following.text(), more=following is not None)

    def _searched(
        self, path: str, stamp: str, place: changes.Place, count: int
    ) -> tuple[Sequence[changes.Hit], changes.Place | None]:
        response = self._session.search(path, changes.request(place, stamp, count + 1))
        matches, more = changes.hits(response, place, stamp, count + 1)
        return changes.cut(place, matches, more, count)

    @one_call
    def page(self, spec: ReadSpec, after: str | None, limit: int) -> Page:
        path = self._catalogue.path_of(spec.collection)
        before = None if after is None else walk.place_of(after)
        records, further = self._page(spec, path, before, limit)
        rows = self._rows(spec, path, records)
        if further is None:
            return Page(rows=rows)
        ids = [str(each["id"]) for each in records]
        following = walk.went_on(before, walk.Place(how="cursor", at=further), ids)
        return Page(rows=rows, next=replace(following, seen=tuple((each, "") for each in ids[-1:])).text(), more=True)

    def _page(
        self, spec: ReadSpec, path: str, before: walk.Place | None, limit: int
    ) -> tuple[list[Record], str | None]:
        """The records of one page of a list, and the cursor of the next."""
        names = _properties(spec)
        start = "" if before is None else f"&after={quote(str(before.at), safe='')}"
        target = f"/crm/v3/objects/{path}?archived=false&limit={min(limit, AT_ONCE)}{start}"
        whole = f"{target}&properties={','.join(names)}" if names else target
        apart = len(whole) > LONGEST_ADDRESS
        try:
            response = self._session.ask("GET", target if apart else whole)
        except ProbeError as failure:
            if before is not None and "paging token" in failure.message.lower():
                raise ProbeError(Reason.CURSOR_LOST, "the account no longer knows the position") from None
            raise
        records = _records(response)
        ids = [str(each["id"]) for each in records]
        met = {each for each, _ in before.seen} if before is not None else set()
        if len(set(ids)) < len(ids) or met & set(ids) or len(ids) > AT_ONCE:
            raise ProbeError(Reason.DECODE, f"the list of {path} holds a record twice: a page was repeated")
        further = changes.further(response)
        if apart and ids:
            records, _ = self._batch(path, ids, names)
        return records, further

    # -- records

    def _rows(self, spec: ReadSpec, path: str, records: Sequence[Record]) -> list[Row]:
        others = {name for name in spec.fields if name.startswith(ASSOCIATIONS)}
        ends = {name: self._ends(path, name, [str(each["id"]) for each in records]) for name in others}
        return [
            (
                _key(spec, each),
                None if spec.mark is None else _stamp(spec, each),
                *(ends[name][str(each["id"])] if name in ends else _value(each, name) for name in spec.fields),
            )
            for each in records
        ]

    def _ends(self, path: str, name: str, ids: Sequence[str]) -> Mapping[str, list[str]]:
        """The ids of the records that each record is associated with, in order."""
        to = self._catalogue.path_of(name.removeprefix(ASSOCIATIONS))
        target = f"/crm/v4/associations/{path}/{to}/batch/read"
        found: dict[str, set[str]] = {each: set() for each in ids}
        inputs: list[dict[str, str]] = [{"id": each} for each in ids]
        followed: set[tuple[str, str]] = set()
        while inputs:
            left()
            response = self._session.ask("POST", target, {"inputs": inputs})
            results = response.get("results")
            if not isinstance(results, list) or response.get("status") != "COMPLETE":
                raise ProbeError(Reason.DECODE, f"{target} did not return a complete list as documented")
            none = {str(int(each)) for each in _absent(response, path, len(inputs)) if _is_id(each)}
            origins = {_from(each) for each in results}
            if not origins <= found.keys() or not {each["id"] for each in inputs} <= origins | none:
                raise ProbeError(Reason.DECODE, f"{target} returned associations of other records than requested")
            inputs = []
            for each in results:
                found[_from(each)] |= _to(each)
                further = changes.further(each)
                if further is not None:
                    if (_from(each), further) in followed:
                        raise ProbeError(Reason.DECODE, f"{target} leads to itself: a page was repeated")
                    followed.add((_from(each), further))
                    inputs.append({"id": _from(each), "after": further})
        return {each: sorted(ends, key=lambda end: (len(end), end)) for each, ends in found.items()}

    # -- the system

    @one_call
    def clock(self) -> ClockSample:
        return read_clock(self._session.head)

    def prove_read_only(self, spec: ReadSpec | None) -> str:
        """The API has no read-only session; the probe can only send what is on its list."""
        return "only GET is ever sent, and POST to batch/read and search, which read; grant the app only read scopes"

    def close(self) -> None:
        self._session.close()


def _by_id(spec: ReadSpec) -> bool:
    return spec.key in {"id", ID}


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 20


def _properties(spec: ReadSpec) -> list[str]:
    """The properties to request, each once."""
    names = (None if _by_id(spec) else spec.key, spec.mark, *spec.fields)
    return list(dict.fromkeys(each for each in names if each is not None and not each.startswith(ASSOCIATIONS)))


def _record(record: Any) -> Record:
    shape = isinstance(record, dict) and isinstance(record.get("properties"), dict)
    if not shape or not isinstance(record.get("id"), str) or not _is_id(record["id"]):
        raise ProbeError(Reason.DECODE, "a response holds something that is not a record")
    if record.get("archived") is True:
        raise ProbeError(Reason.DECODE, "a response holds an archived record, which was not requested")
    checked: Record = record
    return checked


def _records(document: Mapping[str, Any]) -> list[Record]:
    results = document.get("results")
    if not isinstance(results, list):
        raise ProbeError(Reason.DECODE, "a response holds no list of records")
    return [_record(each) for each in results]


def _absent(document: Mapping[str, Any], path: str, requested: int) -> list[str]:
    """The keys that a batch reports as having no record, or no association.

    Raises:
        ProbeError: for every other error in it.
    """
    errors = document.get("errors", [])
    if not isinstance(errors, list):
        raise ProbeError(Reason.DECODE, f"a batch of {path} has errors that are not in the documented form")
    absent: list[str] = []
    for each in errors:
        category = str(each.get("category", "")) if isinstance(each, dict) else ""
        context = each.get("context") if isinstance(each, dict) else None
        ids = context.get("ids") or context.get("fromObjectId") if isinstance(context, dict) else None
        if category != "OBJECT_NOT_FOUND" or not isinstance(ids, list):
            raise ProbeError(
                reason_of(category),
                f"a batch of {path} returned {category[:60] or 'an error without a category'}",
                of_key=requested == 1,
            )
        absent += map(str, ids)
    return absent


def _value(record: Record, name: str) -> Any:
    """A property's value. HubSpot stores no empty text: a cleared property returns one, an unset one null."""
    value = record["properties"].get(name, MISSING)
    return None if value == "" else value


def _key(spec: ReadSpec, record: Record) -> Any:
    return record["id"] if _by_id(spec) else _value(record, spec.key)


def _stamp(spec: ReadSpec, record: Record) -> Any:
    return _value(record, str(spec.mark))


def _folded(key: Any) -> str:
    return str(key).strip().casefold()


def _from(result: Any) -> str:
    origin = result.get("from") if isinstance(result, dict) else None
    record_id = origin.get("id") if isinstance(origin, dict) else None
    if record_id is None:
        raise ProbeError(Reason.DECODE, "an association has no origin")
    return str(record_id)


def _to(result: Mapping[str, Any]) -> set[str]:
    ends = result.get("to")
    entries = ends if isinstance(ends, list) else [None]
    ids = {str(each["toObjectId"]) for each in entries if isinstance(each, dict) and "toObjectId" in each}
    if len(ids) < len(entries) or not ids:
        raise ProbeError(Reason.DECODE, "an association has no target")
    return ids
