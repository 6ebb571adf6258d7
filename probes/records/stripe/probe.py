"""Records in Stripe: one by one by id, by a few other members through filtered lists, changes through events.

Search is never used: it lags by a minute or more, and still finds what was deleted. Lists and reads by id show
everything written before them.
Source: docs.stripe.com/api (version 2026-08-26.dahlia), docs.stripe.com/search ("Data freshness").
"""

from __future__ import annotations

import threading
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from probes.call_deadline import begins, left, one_call, passed, some_calls
from probes.contract import (
    DESCRIBING_CALLS,
    INSPECT_CALLS,
    KEY,
    MISSING,
    WRITTEN_FREELY,
    ClockSample,
    CollectionSchema,
    FieldSchema,
    Key,
    Page,
    ProbeError,
    ReadSpec,
    Reason,
    Row,
)
from probes.http.date_clock import read_clock
from probes.http.line import DIRECT, Line
from probes.records.alike_keys import alike
from probes.records.stripe import listing
from probes.records.stripe.changes import EVENTS, KEPT, Changes, Plan
from probes.records.stripe.listing import LARGEST_PAGE, Part, Place
from probes.records.stripe.paths import DELETED, EPOCH, UnexpandedError, steps, value
from probes.records.stripe.session import Session
from probes.records.stripe.settings import LATEST_EVENT, StripeSettings, walking, walks
from probes.records.stripe.shapes import COLLECTIONS, Collection
from probes.records.unranked import Unranked
from probes.wording import did_you_mean, heading, listed

AT_ONCE = 5
"""Objects in one call per connection: each takes a request of its own, and all share one deadline."""

KEYS_OF_A_WALK = 500
"""The most keys to find in one walk through a whole list."""

EXPANSIONS = 8
"""The most times a request is repeated because a path led through another id."""

SETTLED_S = 10.0
"""Changes younger than this may have no event yet: Stripe does not document when an event can be listed."""

SAMPLE = 100
"""Objects of each collection in which `collections` looks for metadata keys."""

ResultT = TypeVar("ResultT")
ItemT = TypeVar("ItemT")


class StripeProbe(Unranked):
    """Reads one account."""

    def __init__(self, settings: StripeSettings, line: Line = DIRECT) -> None:
        self.delay_floor_s = settings.delay_floor_s
        self.timeout_s = settings.budget.timeout_s
        self._connections = settings.budget.connections
        self._restricted = settings.key.get_secret_value().startswith("rk_")
        self._session = Session(settings, line)
        self._changes = Changes(lambda query: self._session.ask(EVENTS, query))
        self._expanded: defaultdict[str, frozenset[str]] = defaultdict(frozenset)
        self._learning_lock = threading.Lock()

    # -- capabilities

    def batch_limit(self, spec: ReadSpec) -> int:
        if _walks(spec):
            return KEYS_OF_A_WALK
        return self._connections * AT_ONCE

    @some_calls(INSPECT_CALLS)
    def inspect(self, spec: ReadSpec) -> tuple[str, ...]:
        collection = _collection(spec)

        def look(expand: Sequence[str]) -> Sequence[Mapping[str, Any]]:
            sample = self._part(spec.collection, (), expand, None, SAMPLE).objects
            for each in sample:
                _row(spec, each, None, expand)
            return sample

        records = self._learning(spec, look)
        expanded = self._expand(spec)
        remarks = []
        for path in dict.fromkeys((spec.key, *spec.fields)):
            remarks += _field_remarks(collection, path, records, expanded)
        if _walks(spec):
            remarks.append(walking(spec.collection, spec.key, spec.key_type))
        if spec.changed_at is not None:
            self._session.ask(EVENTS, [("types[]", collection.events[0]), ("limit", "1")])
        if not self._restricted:
            remarks.append(
                "key: is not a restricted key (rk_), so it permits writes: create one with read permission only, for "
                f"{spec.collection} and events"
            )
        return tuple(remarks)

    def highest_version(self, spec: ReadSpec) -> int | None:
        """There is no increasing number."""
        return None

    @some_calls(DESCRIBING_CALLS)
    def collections(self) -> list[CollectionSchema]:
        """Describe what the key may read: members as Stripe documents them, metadata keys as found in a sample."""
        described: list[CollectionSchema] = []
        denied: list[str] = []
        for collection in COLLECTIONS.values():
            try:
                sample = self._part(collection.name, (), (), None, SAMPLE).objects
            except ProbeError as failure:
                if failure.reason is not Reason.PERMISSION:
                    raise
                denied.append(collection.name)
                continue
            fields = tuple(_described(collection, sample))
            described.append(CollectionSchema(name=collection.name, fields=fields, changed_at=LATEST_EVENT))
        events = self._may_read_events()
        if described and events:
            return described
        refused = [heading(each) for each in (*denied, *([] if events else [EVENTS]))]
        wanted = "events" if described else "what is to be audited of them, and for events"
        raise ProbeError(
            Reason.PERMISSION,
            f"the key may not read {listed(refused)}; changes are found by events",
            hint=f"grant the restricted key read permission for {wanted}",
        )

    def _may_read_events(self) -> bool:
        try:
            self._session.ask(EVENTS, [("limit", "1")])
        except ProbeError as failure:
            if failure.reason is not Reason.PERMISSION:
                raise
            return False
        return True

    # -- reading by key

    @one_call
    def fetch(self, spec: ReadSpec, keys: Sequence[Key]) -> list[Row]:
        _collection(spec)
        if not keys:
            return []
        if _walks(spec):
            return self._walked(spec, keys)
        read = self._by_id if spec.key == "id" else self._by_member
        return [row for rows in self._several(keys, lambda key: read(spec, str(key))) for row in rows]

    def _by_id(self, spec: ReadSpec, key: str) -> list[Row]:
        def read(expand: Sequence[str]) -> list[Row]:
            record = self._session.read(spec.collection, key, expand, deleted=spec.deleted == DELETED)
            return [] if record is None else [_row(spec, record, None, expand)]

        return self._learning(spec, read)

    def _by_member(self, spec: ReadSpec, key: str) -> list[Row]:
        """Records of a list that is filtered by a key; there may be several."""
        parameter = COLLECTIONS[spec.collection].by[spec.key]
        # Keys are compared in Unicode NFC; Stripe may hold the other form.
        spelt = dict.fromkeys((key, *(unicodedata.normalize(form, key) for form in ("NFC", "NFD"))))
        rows: dict[str, Row] = {}
        for each in spelt:
            if not each:
                raise ProbeError(Reason.QUERY, "an empty key cannot be requested", of_key=True)
            for object_id, row in self._all(spec, [(parameter, each)]):
                if alike(spec.key_type, row[KEY]) != alike(spec.key_type, key):
                    raise ProbeError(
                        Reason.DECODE,
                        f"{spec.collection} returned records with a different {spec.key} than requested",
                    )
                rows[object_id] = row
        return list(rows.values())

    def _walked(self, spec: ReadSpec, keys: Sequence[Key]) -> list[Row]:
        """Records with these keys from the whole list, since no list can be filtered by such a key."""
        wanted = {alike(spec.key_type, key, spec.key_region) for key in keys}
        return [
            row
            for _, row in self._all(spec, ())
            if row[KEY] is not MISSING and alike(spec.key_type, row[KEY], spec.key_region) in wanted
        ]

    def _all(self, spec: ReadSpec, query: listing.Query) -> list[tuple[str, Row]]:
        """All records of a list, by their ids.

        Raises:
            ProbeError: `query` if they are too many for one call.
        """
        found: list[tuple[str, Row]] = []
        place: Place | None = None
        while True:
            try:
                rows, place = self._listed(spec, query, place, LARGEST_PAGE)
            except ProbeError as failure:
                if failure.reason is Reason.TIMEOUT and found and passed():
                    raise ProbeError(
                        Reason.QUERY,
                        f"the list of {spec.collection} is too long to find records by {spec.key}: {len(found)} were "
                        f"read in {self.timeout_s:g} s, and more follow",
                        hint="make id the key, or raise budget.timeout",
                    ) from None
                raise
            found += rows
            if place is None:
                return found

    # -- lists

    @one_call
    def page(self, spec: ReadSpec, after: str | None, limit: int) -> Page:
        _collection(spec)
        place = None if after is None else listing.place_of(after)
        rows, behind = self._listed(spec, (), place, limit)
        return Page(
            rows=[row for _, row in rows], next=None if behind is None else behind.text(), more=behind is not None
        )

    def _listed(
        self, spec: ReadSpec, query: listing.Query, place: Place | None, limit: int
    ) -> tuple[list[tuple[str, Row]], Place | None]:
        """The rows of a page by the ids of their objects, and where the list continues."""

        def read(expand: Sequence[str]) -> tuple[list[tuple[str, Row]], Place | None]:
            part = self._part(spec.collection, query, expand, place, limit)
            rows = [(str(each["id"]), _row(spec, each, None, expand)) for each in part.objects]
            return rows, part.place

        return self._learning(spec, read)

    def _part(self, name: str, query: listing.Query, expand: Sequence[str], place: Place | None, limit: int) -> Part:
        parameters = [
            *COLLECTIONS[name].everything.items(),
            *query,
            *(("expand[]", f"data.{each}") for each in expand),
        ]
        part = listing.part(
            lambda each: self._session.ask(name, each),
            parameters,
            place,
            limit,
            lambda object_id: self._session.read(name, object_id) is None,
            name,
        )
        kind = COLLECTIONS[name].kind
        if any(each.get("object") != kind for each in part.objects):
            raise ProbeError(Reason.DECODE, f"{name}: a list holds something other than a {kind}")
        return Part([each for each in part.objects if each.get("deleted") is not True], part.place)

    @one_call
    def changed(self, spec: ReadSpec, since: datetime | int | None, limit: int, after: str | None = None) -> Page:
        collection = _collection(spec)
        if spec.changed_at != LATEST_EVENT or isinstance(since, int):
            raise ProbeError(Reason.QUERY, f"changes are found only by changed_at: {LATEST_EVENT}")
        name, _, position = (after or "").partition(":")
        if after is not None and not position.isdecimal():
            raise ProbeError(Reason.CURSOR_LOST, "a position that this probe did not write")
        at = int(position or 0)
        plan = self._changes.begin(collection, since) if after is None else self._changes.resume(name)
        told_from = datetime.now(UTC) - KEPT
        half_s = self.timeout_s / 2
        if not self._changes.gather(plan, half_s) or left() < half_s:
            return Page(next=f"{plan.name}:{at}", more=True, behind_s=SETTLED_S, told_from=told_from)
        chosen = plan.order[at : at + min(limit, self._connections * AT_ONCE)]
        rows = self._rows_of(spec, plan, chosen)
        at += len(chosen)
        further = f"{plan.name}:{at}" if at < len(plan.order) else None
        return Page(rows=rows, next=further, more=further is not None, behind_s=SETTLED_S, told_from=told_from)

    def _rows_of(self, spec: ReadSpec, plan: Plan, chosen: Sequence[str]) -> list[Row]:
        """Current objects, each with the time of its latest event; those with another one meanwhile are left out."""

        def read(object_id: str) -> list[Row]:
            stamp = EPOCH + timedelta(seconds=plan.stamps[object_id])

            def once(expand: Sequence[str]) -> list[Row]:
                record = self._session.read(spec.collection, object_id, expand, deleted=spec.deleted == DELETED)
                return [] if record is None else [_row(spec, record, stamp, expand)]

            return self._learning(spec, once)

        read_rows = dict(zip(chosen, self._several(chosen, read), strict=True))
        touched = self._changes.touched(plan) if chosen else set()
        return [row for object_id, rows in read_rows.items() if object_id not in touched for row in rows]

    # -- requests

    def _several(self, items: Sequence[ItemT], read: Callable[[ItemT], ResultT]) -> list[ResultT]:
        """The results of several requests, some of them concurrent."""
        if len(items) < 2:
            return [read(each) for each in items]

        def aside(item: ItemT) -> ResultT:
            try:
                return read(item)
            finally:
                begins()  # the thread reads nothing more: it must not hold room that others wait for

        with ThreadPoolExecutor(max_workers=self._connections) as pool:
            results = [pool.submit(copy_context().run, aside, each) for each in items]
            try:
                return [each.result() for each in results]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _expand(self, spec: ReadSpec) -> tuple[str, ...]:
        """What has to be expanded for a spec's fields, as far as is known."""
        included = COLLECTIONS[spec.collection].included
        paths = [".".join(steps(path)) for path in (spec.key, *spec.fields)]
        wanted = {path.partition(".")[0] for path in paths} & included
        with self._learning_lock:
            learned = self._expanded[spec.collection]
        wanted |= {each for each in learned for path in paths if path.startswith(f"{each}.") or _plain(path, each)}
        return tuple(sorted(wanted))

    def _learning(self, spec: ReadSpec, read: Callable[[Sequence[str]], ResultT]) -> ResultT:
        """Read with everything expanded that has to be, which is learned when a path meets an id."""
        for _ in range(EXPANSIONS):
            expand = self._expand(spec)
            try:
                return read(expand)
            except UnexpandedError as through:
                prefix = through.prefix
            if prefix in expand:
                raise ProbeError(Reason.DECODE, f"{spec.collection}: {prefix} was not expanded")
            with self._learning_lock:
                self._expanded[spec.collection] |= {prefix}
        raise ProbeError(Reason.QUERY, f"{spec.collection}: a field leads through more ids than are followed")

    # -- the system

    @one_call
    def clock(self) -> ClockSample:
        return read_clock(self._session.head)

    def prove_read_only(self, spec: ReadSpec | None) -> str:
        """The API has no read-only session; the probe has no way to send anything but GET."""
        key = "restricted: Stripe's dashboard shows its permissions" if self._restricted else "not restricted"
        return f"only GET is ever sent; the key is {key}"

    def close(self) -> None:
        self._session.close()


def _collection(spec: ReadSpec) -> Collection:
    """The collection of a spec. Raises ProbeError if none has that name."""
    collection = COLLECTIONS.get(spec.collection)
    if collection is None:
        nearest = did_you_mean(spec.collection, COLLECTIONS)
        raise ProbeError(Reason.QUERY, f"Stripe has no readable collection named {spec.collection!r}{nearest}")
    return collection


def _walks(spec: ReadSpec) -> bool:
    """Whether records are found by their key only by reading the whole list: Stripe compares case and signs."""
    return walks(spec.collection, spec.key) or spec.key_type in WRITTEN_FREELY


def _row(spec: ReadSpec, record: Mapping[str, Any], mark: datetime | None, expanded: Sequence[str]) -> Row:
    left()  # a response may hold any number of them
    return (value(record, spec.key, expanded), mark, *(value(record, path, expanded) for path in spec.fields))


def _plain(path: str, prefix: str) -> bool:
    """Whether a prefix stands in a path that also counts items of a list (`items.data.0.price.product`)."""
    counted = [each for each in path.split(".") if not each.isdecimal()]
    return ".".join(counted).startswith(f"{prefix}.")


def _field_remarks(
    collection: Collection, path: str, records: Sequence[Mapping[str, Any]], expanded: Sequence[str]
) -> list[str]:
    """Remarks on a path.

    Raises:
        ProbeError: `query` if it begins with something that no object has.
    """
    first = steps(path)[0]
    if first not in {*collection.fields, "metadata", DELETED} and not any(first in each for each in records):
        names = (*collection.fields, "metadata")
        raise ProbeError(Reason.QUERY, f"{collection.name} have no {first!r}{did_you_mean(first, names)}")
    if records and all(value(each, path, expanded) is MISSING for each in records):
        return [f"{path} is missing in all {len(records)} {collection.name} of a sample"]
    return []


def _described(collection: Collection, sample: Iterable[Mapping[str, Any]]) -> list[FieldSchema]:
    """The members of a collection, `id` and the keys of metadata first."""
    # A first map takes a field that looks like a stamp; by products' `updated` no changes are found.
    left_out = {"id", "object", "updated"} | collection.included | collection.secret
    tagged = {name for each in sample if isinstance(found := each.get("metadata"), dict) for name in found}
    return [
        FieldSchema(name="id", type="string", described="id", unique=True),
        *(
            FieldSchema(name=f"metadata.{name}", type="string", described="metadata")
            for name in sorted(tagged)
            if "[" not in name and "]" not in name
        ),
        *(
            FieldSchema(name=name, type=type_, described=type_, unique=name == "lookup_key")
            for name, type_ in sorted(collection.fields.items())
            if name not in left_out
        ),
    ]
