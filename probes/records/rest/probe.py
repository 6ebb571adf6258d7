"""Records behind an HTTP API that returns JSON.

The map defines the requests with templates: `one` (`/customers/{key}`), `many` (`/customers?ids={keys}`),
`list` (`/customers?after={after}&limit={limit}`) and `changed` (`/customers?since={since}&limit={limit}`);
`records` is the JSONPath of the records in a response, `next` and `more` say how a list continues. Only GET and HEAD
are sent, and POST only if the map calls it read-only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from probes.call_deadline import begins, left, one_call, some_calls
from probes.composite_keys import joined
from probes.contract import (
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
from probes.http.walk import Place
from probes.metering import operation
from probes.records.rest import answers, record_keys, stamps
from probes.records.rest.client import Answer, RestClient
from probes.records.rest.request_template import (
    ReadOnlyPost,
    Template,
    filled,
    places,
    reads_by_post,
    takes_exactly,
)
from probes.records.rest.settings import RestSettings
from probes.records.unranked import Unranked
from probes.secrets import Scrubber

CURSOR_LIMIT = 8_000
"""Most characters of a cursor or an address that are stored."""


class RestProbe(Unranked):
    """Reads one HTTP API."""

    def __init__(self, settings: RestSettings, line: Line = DIRECT) -> None:
        self.delay_floor_s = settings.delay_floor_s
        self.timeout_s = settings.budget.timeout_s
        self._connections = settings.budget.connections
        self._client = RestClient(
            settings.url.get_secret_value(),
            Scrubber.of(settings),
            {name: value.get_secret_value() for name, value in settings.headers.items()},
            verify=settings.verify,
            timeout_s=settings.budget.timeout_s,
            connections=settings.budget.connections,
            auth=settings.auth,
            retries=settings.retries,
            line=line,
        )

    # -- capabilities

    def batch_limit(self, spec: ReadSpec) -> int:
        """One request of `many`, or as many concurrent ones of `one`: both fit into one request's deadline."""
        return int(spec.options["batch"]) if spec.options["many"] else self._connections

    @some_calls(INSPECT_CALLS)
    def inspect(self, spec: ReadSpec) -> tuple[str, ...]:
        return (*self._inspect(spec), *self._client.remarks)

    def _inspect(self, spec: ReadSpec) -> tuple[str, ...]:
        self._allow(spec)
        if spec.options["list"]:
            return self._inspect_list(spec)
        if spec.options["changed"] and spec.mark is not None:
            now = datetime.now(UTC) if spec.changed_at is not None else None
            self._listed(spec, "changed", None, 1, since=now)
            return ()
        return self._inspect_by_key(spec)

    def _inspect_by_key(self, spec: ReadSpec) -> tuple[str, ...]:
        """Read a key that hardly exists, to check that the API responds in the shape that the map describes."""
        try:
            self.fetch(spec.keys_only(), [record_keys.unlikely(spec)])
        except ProbeError as failure:
            if failure.reason is not Reason.QUERY or failure.message.startswith("HTTP 3"):
                raise
            return (f"{spec.collection} could not be tried without a key that exists: {failure.message}",)
        return ()

    def _inspect_list(self, spec: ReadSpec) -> tuple[str, ...]:
        """Read the first record, and check that its key finds it and that the list continues after it."""
        found, place, _ = self._listed(spec, "list", None, 1)
        remarks = []
        for record in found[:1]:
            for name in (*spec.key_fields, spec.mark, *spec.fields):
                if name is not None and self._value(record, name) is MISSING:
                    remarks.append(f"{name} is missing in the first record of {spec.collection}")
            key = self._key(spec, record)
            parts = key if isinstance(key, tuple) else (key,)
            whole = all(isinstance(part, str | int) and not isinstance(part, bool) and part != "" for part in parts)
            if whole and not self.fetch(spec.keys_only(), [joined(parts) if spec.key_parts else parts[0]]):
                word = "many" if spec.options["many"] else "one"
                raise ProbeError(
                    Reason.QUERY,
                    f"the first record that list: of {spec.collection} returns is not returned by {word}:",
                    hint=f"is {word}: in the map right, and is {record_keys.named(spec)} the key that it requests?",
                )
        if place is not None:
            self._listed(spec, "list", place, 1)
        return tuple(remarks)

    def highest_version(self, spec: ReadSpec) -> int | None:
        """It is unknown before the records are read."""
        return None

    def collections(self) -> list[CollectionSchema]:
        raise ProbeError(
            Reason.QUERY,
            "an HTTP API does not describe its records",
            hint="write its data types by hand; docs/map.md shows how",
        )

    def _allow(self, spec: ReadSpec) -> None:
        """Add the POSTs that the map calls read-only to the allowed requests, besides GET and HEAD."""
        self._client.allow(reads_by_post(spec.options.values(), spec.collection))

    # -- records by key

    @one_call
    def fetch(self, spec: ReadSpec, keys: Sequence[Key]) -> list[Row]:
        self._allow(spec)
        rows = self._fetched(spec, keys)
        apart = [other for key in keys if (other := record_keys.spelt_apart(spec, key)) is not None]
        if apart:
            # An API that treats both spellings as one returns the same record again; others have another one.
            met = {str(row[0]) for row in rows}
            rows += [row for row in self._fetched(spec, apart) if str(row[0]) not in met]
        return rows

    def _fetched(self, spec: ReadSpec, keys: Sequence[Key]) -> list[Row]:
        many, one = spec.options["many"], spec.options["one"]
        together = [key for key in keys if many and (not one or takes_exactly(many, key))]
        alone = [key for key in keys if not many or (one and not takes_exactly(many, key))]
        rows: list[Row] = []
        size = spec.options["batch"]
        groups = record_keys.groups(spec, together)
        rows += self._each(
            self._many, spec, [group[at : at + size] for group in groups for at in range(0, len(group), size)]
        )
        rows += self._each(self._one, spec, alone)
        if alone and not rows and spec.options["list"]:
            self._listed(spec, "list", None, 1)  # if the collection itself is gone, each record is a 404, too
        return rows

    def _each(self, read: Callable[[ReadSpec, Any], list[Row]], spec: ReadSpec, requests: Sequence[Any]) -> list[Row]:
        """The rows of several requests, as many at once as there are connections."""
        if len(requests) < 2:
            return [row for each in requests for row in read(spec, each)]

        def read_aside(each: Any) -> list[Row]:
            """In a thread that reads nothing afterwards, so it must release its room."""
            try:
                return read(spec, each)
            finally:
                begins()

        with ThreadPoolExecutor(max_workers=self._connections) as pool:
            sent = [pool.submit(copy_context().run, read_aside, each) for each in requests]
            return [row for each in sent for row in each.result()]

    def _many(self, spec: ReadSpec, keys: Sequence[Key]) -> list[Row]:
        with operation("many"):
            answer = self._client.ask(
                filled(spec.options["many"], spec.collection, record_keys.values_of_many(spec, keys))
            )
        found = answers.records(spec.options["records"], answer.document, f"many: of {spec.collection}")
        rows = self._asked_for(spec, found, keys)
        if len(rows) < len(keys) and self._is_part(spec, answer.document):
            raise ProbeError(
                Reason.TOO_LARGE,
                f"many: of {spec.collection} returned only the first {len(found)} of {len(keys)} requested records",
                hint="lower batch: to what the API returns at once",
            )
        return rows

    def _is_part(self, spec: ReadSpec, document: Any) -> bool:
        """Whether a response shows that more follows."""
        for path in (spec.options["more"], spec.options["next"]):
            if path not in {None, "link"} and any(answers.find(path, document)):
                return True
        return False

    def _one(self, spec: ReadSpec, key: Key) -> list[Row]:
        template = spec.options["one"]
        values = record_keys.values_of_one(spec, key)
        with operation("one"):
            answer = self._client.ask(filled(template, spec.collection, values), absent_is_none=True)
        if answer.status in {404, 410}:
            in_path = places(template.partition("?")[0]) if isinstance(template, str) else frozenset()
            if any({"/", "\\"} & set(str(value)) for name, value in values.items() if name in in_path):
                raise ProbeError(
                    Reason.DECODE,
                    f"HTTP {answer.status} for a key with a slash: is it missing, or is %2F refused in a path",
                    hint="put the key into a parameter after ?, or use many:",
                    of_key=True,
                )
            return []
        found = answers.records(spec.options["record"], answer.document, f"one: of {spec.collection}")
        return self._asked_for(spec, found, [key])

    def _asked_for(self, spec: ReadSpec, found: Sequence[Any], keys: Sequence[Key]) -> list[Row]:
        """The rows of the requested records.

        Raises:
            ProbeError: `decode` if a response holds other records instead: then absence proves nothing.
        """
        wanted = {record_keys.likeness(spec, key) for key in keys}
        rows, met, others = [], set(), False
        for record in found:
            row = self._row(spec, record)
            if not record_keys.is_whole(row[0]):
                raise ProbeError(
                    Reason.DECODE,
                    f"{spec.collection} returned something without {record_keys.named(spec)}, the key in the map",
                    hint="is it an error with status 200? otherwise correct records:, record: or key: in the map",
                )
            if (found_key := record_keys.likeness(spec, row[0])) in wanted:
                rows.append(row)
                met.add(found_key)
            else:
                others = True
        if others and len(met) < len(wanted):
            raise ProbeError(
                Reason.DECODE,
                f"{spec.collection} returned records that were not requested, and not those that were",
                hint="does the API support the parameter that one: or many: uses?",
            )
        return rows

    # -- lists

    @one_call
    def changed(self, spec: ReadSpec, since: datetime | int | None, limit: int, after: str | None = None) -> Page:
        if not spec.options["changed"]:
            raise ProbeError(Reason.QUERY, f"{spec.collection} has no changed: template in the map")
        self._allow(spec)
        place = None if after is None else walk.place_of(after)
        if place is not None and place.how != "since":
            found, following, _ = self._listed(spec, "changed", place, limit, since=since)
            return self._page(spec, found, following)
        return self._changed(spec, since, limit, place)

    def _changed(self, spec: ReadSpec, since: datetime | int | None, limit: int, place: Place | None) -> Page:
        """Read changes, and again from the last stamp on, because servers cap their responses silently."""
        most = spec.options["ways"]["changed"]["limit"]
        asked = limit if most is None else min(limit, most)
        found, following, more = self._listed(spec, "changed", place, limit, since=since)
        if following is not None or {"after", "offset", "page"} & places(spec.options["changed"]):
            return self._page(spec, found, following)
        rows = [self._row(spec, record) for record in found]
        seen = set(place.seen) if place is not None else set()
        fresh = [row for row in rows if _told(row) not in seen]
        full = bool(more) or (more is None and len(rows) >= asked)
        last = self._latest(spec, fresh, full=full)
        if last is None or (place is not None and str(last) == str(place.at)):
            return Page(rows=fresh, more=full and bool(rows))
        told = tuple(dict.fromkeys((*(place.seen if place else ()), *map(_told, fresh))))
        return Page(rows=fresh, next=Place(how="since", at=last, seen=told).text(), more=full)

    def _latest(self, spec: ReadSpec, rows: Sequence[Row], *, full: bool) -> str | int | None:
        """The mark from which to read again.

        Raises:
            ProbeError: `query` if a response that may be capped is not in the order of the marks.
        """
        marks = [row[1] for row in rows if isinstance(row[1], str | int | Decimal) and not isinstance(row[1], bool)]
        if not marks:
            return None
        placed = [(at, mark) for mark in marks if (at := stamps.order(spec, mark)) is not None]
        latest = max(placed, key=lambda pair: pair[0])[1] if placed else marks[-1]
        if full and len(placed) > 1 and placed[-1][0] < placed[0][0]:
            raise ProbeError(
                Reason.QUERY,
                f"changed: of {spec.collection} returns the newest first, and may leave out older changes",
                hint="add what makes the API sort by the time of change, oldest first",
            )
        return str(latest) if isinstance(latest, Decimal) else latest

    @one_call
    def page(self, spec: ReadSpec, after: str | None, limit: int) -> Page:
        if not spec.options["list"]:
            raise ProbeError(Reason.QUERY, f"{spec.collection} has no list: template in the map")
        self._allow(spec)
        found, following, _ = self._listed(spec, "list", None if after is None else walk.place_of(after), limit)
        return self._page(spec, found, following)

    def _page(self, spec: ReadSpec, found: Sequence[Any], following: Place | None) -> Page:
        rows = [self._row(spec, record) for record in found]
        return Page(rows=rows, next=None if following is None else following.text(), more=following is not None)

    def _listed(
        self, spec: ReadSpec, word: str, place: Place | None, limit: int, *, since: datetime | int | None = None
    ) -> tuple[list[Any], Place | None, bool | None]:
        """One page of a list, the place of the next one, and whether the response shows that more follows."""
        template, way = spec.options[word], spec.options["ways"][word]
        ceiling = way["limit"]
        limit = limit if ceiling is None else min(limit, ceiling)
        named = places(template) & {"after", "offset", "page"}
        if "page" in named:
            limit = ceiling or (place.size if place is not None and place.size else limit)
        what = f"{word}: of {spec.collection}"
        if place is not None and place.how == "url":
            with operation(word):
                answer = self._client.ask_next(str(place.at), template)
        else:
            values: dict[str, Any] = {
                "limit": limit,
                "after": place.at if place is not None and place.how in {"key", "cursor"} else None,
                "offset": place.at if place is not None and place.how == "offset" else 0,
                "page": place.at if place is not None and place.how == "page" else spec.options["first_page"],
                "since": self._since(spec, since, place),
            }
            with operation(word):
                answer = self._client.ask(filled(template, spec.collection, values), walking=place is not None)
        found = answers.records(way["records"], answer.document, what)
        more = self._more(spec, way, answer.document)
        after = (
            None
            if more is False
            else self._following(spec, way, template, answer, place, found, named, limit, more=bool(more))
        )
        if after is None:
            if more and word == "list":
                raise ProbeError(
                    Reason.QUERY,
                    f"{what} shows that more follows, but neither it nor the map shows how to request it",
                    hint="put {after}, {offset} or {page} into list:, or set next:",
                )
            return found, None, more
        return found, walk.went_on(place, after, [self._key(spec, record) for record in found]), more

    def _following(
        self,
        spec: ReadSpec,
        way: Mapping[str, Any],
        template: Template,
        answer: Answer,
        place: Place | None,
        found: Sequence[Any],
        named: frozenset[str],
        limit: int,
        *,
        more: bool,
    ) -> Place | None:
        """Where the list continues, from the response or by inference; None if unknown."""
        if way["next"] is not None:
            told = self._told_next(spec, way["next"], answer)
            if isinstance(told, str) and ("after" not in named or told.startswith(("http://", "https://"))):
                return Place(how="url", at=self._client.next_address(answer, told, template))
            return None if told is None else Place(how="cursor", at=told)
        if not found and not more:
            return None
        if "offset" in named:
            met = int(place.at) if place is not None and place.how == "offset" else 0
            return Place(how="offset", at=met + len(found))
        if "page" in named:
            number = int(place.at) if place is not None and place.how == "page" else spec.options["first_page"]
            return Place(how="page", at=number + 1, size=limit)
        return self._behind_last(spec, place, found) if "after" in named else None

    def _behind_last(self, spec: ReadSpec, place: Place | None, found: Sequence[Any]) -> Place | None:
        last = self._value(found[-1], spec.key) if found else None
        if not isinstance(last, str | int) or isinstance(last, bool) or last == "":
            raise ProbeError(
                Reason.DECODE,
                f"the last record of a page of {spec.collection} has no key, so where the list continues is unknown",
                hint="correct key: or records: in the map, or set next:",
            )
        if len(found) == 1 and place is not None and place.at == last:
            return None  # an API that starts at the key, not after it
        return Place(how="key", at=last)

    def _more(self, spec: ReadSpec, way: Mapping[str, Any], document: Any) -> bool | None:
        """Whether the response shows that more follows; None if the map does not set where."""
        word = "until" if way["more"] is None else "more"
        path = way[word]
        if path is None:
            return None
        found = answers.find(path, document)
        if len(found) != 1 or not isinstance(found[0], bool):
            raise ProbeError(
                Reason.DECODE,
                f"{spec.collection} is neither true nor false at {path}, the map's {word}:",
                hint=f"correct {word}: in the map",
            )
        return found[0] is (word == "more")

    def _told_next(self, spec: ReadSpec, path: str, answer: Answer) -> str | int | None:
        found = [walk.next_link(answer.link)] if path == "link" else answers.find(path, answer.document)
        told = found[0] if found else None
        if told is None or told is False or told == "":
            return None
        if isinstance(told, str | int) and not isinstance(told, bool) and len(found) == 1:
            if len(str(told)) <= CURSOR_LIMIT:
                return told
            raise ProbeError(
                Reason.DECODE, f"{spec.collection} returned a cursor of more than {CURSOR_LIMIT:,} characters"
            )
        raise ProbeError(
            Reason.DECODE,
            f"{spec.collection} has no cursor at {path}, but something else",
            hint="correct next: in the map",
        )

    def _since(self, spec: ReadSpec, since: datetime | int | None, place: Place | None) -> str | int | None:
        """An instant or a version in the API's format."""
        how = spec.options["since"]
        if place is not None and place.how == "since":
            as_told = how == "iso" if spec.changed_at_unit is None else how == spec.changed_at_unit
            if spec.changed_at is None or as_told:
                return place.at
            since = stamps.instant_of(place.at, spec.changed_at_unit, spec.zone) or since
        if not isinstance(since, datetime):
            return since
        return stamps.written(since, how, spec.zone)

    # -- records

    def _row(self, spec: ReadSpec, record: Any) -> Row:
        left()  # a response may hold any number of them
        mark = self._value(record, spec.mark) if spec.mark else None
        return (
            self._key(spec, record),
            None if mark is MISSING else mark,
            *(self._value(record, name) for name in spec.fields),
        )

    def _key(self, spec: ReadSpec, record: Any) -> Any:
        """The key of a record; of several fields, the values of all of them."""
        if not spec.key_parts:
            return self._value(record, spec.key)
        parts = (self._value(record, name) for name in spec.key_parts)
        return tuple(None if part is MISSING else part for part in parts)

    def _value(self, record: Any, name: str) -> Any:
        if not name.startswith("$"):
            return record.get(name, MISSING) if isinstance(record, dict) else MISSING
        found = answers.find(name, record)
        return found[0] if found else MISSING

    # -- the system

    @one_call
    def clock(self) -> ClockSample:
        return read_clock(self._client.head)

    def prove_read_only(self, spec: ReadSpec | None) -> str:
        """HTTP has no read-only session; the probe can only send GET, HEAD and such a POST."""
        options = spec.options.values() if spec else ()
        posts = dict.fromkeys(each.read_only_post for each in options if isinstance(each, ReadOnlyPost))
        to = [f"what the map calls read-only: {', '.join(posts)}"] if posts else []
        to += ["the token endpoint, to sign in"] if self._client.signs_in_by_post else []
        if not to:
            return "only GET and HEAD are ever sent"
        return f"only GET and HEAD are sent, and POST to {'; and to '.join(to)}"

    def close(self) -> None:
        self._client.close()


def _told(row: Row) -> tuple[str, str]:
    """Identifies a version of a record."""
    return str(row[0]), str(row[1])
