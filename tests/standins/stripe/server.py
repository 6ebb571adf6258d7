"""Stripe over HTTP: keys, versions and limits, objects by id and in lists, events, search."""

from __future__ import annotations

import base64
import copy
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

from tests.standins.allowance import Allowance
from tests.standins.clock import Clock
from tests.standins.faults import Answer
from tests.standins.service import RefusalError, Request, Service
from tests.standins.stripe.errors import invalid, missing, refusal
from tests.standins.stripe.shapes import (
    BY_NAME,
    BY_PATH,
    BY_PREFIX,
    SHAPES,
    Shape,
    created_event,
    members,
    updated_event,
)

SECRET_KEY = "sk_test_standin0000000000000000beef"
VERSION = "2026-08-26.dahlia"
KEPT = timedelta(days=30)
"""How long events can be read (docs.stripe.com/api/events)."""
_RANGE = re.compile(r"created\[(gt|gte|lt|lte)\]")
_CLAUSE = re.compile(r"""(?:(\w+)|metadata\["?'?(\w+)"?'?\])\s*(:|~|>=|<=|>|<)\s*(?:["']([^"']*)["']|(\d+))""")


@dataclass
class _Kept:
    """One object with what it looked like from when on."""

    now: dict[str, Any]
    history: list[tuple[int, dict[str, Any] | None]]
    deleted: bool = False


class Stripe(Service):
    """One account.

    Attributes:
        index_lag_s: how long a change takes until the search knows of it.
        everything: calls in a second; each operation has 25 in a second of its own besides.
        version: the account's version, for requests that name none.
        known_versions: versions that a request may name.
        refused_paths: collections that the key must not read.
        kept: how long events can be read.
    """

    routes: ClassVar[Sequence[tuple[str, str, str]]] = [
        ("GET", "/v1/events", "events"),
        ("GET", "/v1/events/{event_id}", "event"),
        *(("GET", f"/v1/{each.path}/search", f"search_{each.path}") for each in SHAPES if each.name != "refund"),
        *(("GET", f"/v1/{each.path}", f"list_{each.path}") for each in SHAPES),
        *(("GET", f"/v1/{each.path}/{{object_id}}", f"read_{each.path}") for each in SHAPES),
    ]

    def __init__(self, *, clock: Clock | None = None, index_lag_s: float = 0) -> None:
        super().__init__(clock=clock)
        self.index_lag_s = index_lag_s
        self.everything = Allowance("global-rate", 100, timedelta(seconds=1), self.clock)
        self.each_operation = 25
        self.version = VERSION
        self.known_versions = {VERSION}
        self.refused_paths: set[str] = set()
        self.kept = KEPT
        self._by_operation: dict[str, Allowance] = {}
        self._keys = {SECRET_KEY}
        self._objects: dict[str, dict[str, _Kept]] = {each.path: {} for each in SHAPES}
        self._events: list[dict[str, Any]] = []

    # -- what a test keeps in it

    def create(self, name: str, /, **given: Any) -> str:
        """A new object of a kind, for example `customer`; answers its id. Makes an event."""
        with self.changing():
            shape = BY_NAME[name]
            made_id = given.pop("id", None) or f"{shape.prefix}_{secrets.token_hex(7)}"
            made = members(shape, made_id, self._now(), given)
            self._objects[shape.path][made_id] = _Kept(now=made, history=[(self._now(), copy.deepcopy(made))])
            self._happened(created_event(shape, made), made)
            return str(made_id)

    def update(self, name: str, object_id: str, /, **changed: Any) -> None:
        """Change members of an object. Makes an event with what they were, where Stripe has one."""
        with self.changing():
            shape = BY_NAME[name]
            kept = self._objects[shape.path][object_id]
            before = {each: copy.deepcopy(kept.now.get(each)) for each in changed}
            kept.now |= changed
            if name == "product":
                kept.now["updated"] = self._now()
            kept.history.append((self._now(), copy.deepcopy(kept.now)))
            if type_ := updated_event(shape, kept.now, changed):
                self._happened(type_, kept.now, before)

    def delete(self, name: str, object_id: str) -> None:
        """Delete a customer or a product, cancel a subscription. Makes an event."""
        with self.changing():
            shape = BY_NAME[name]
            kept = self._objects[shape.path][object_id]
            if name == "subscription":
                kept.now |= {"status": "canceled", "canceled_at": self._now(), "ended_at": self._now()}
                kept.history.append((self._now(), copy.deepcopy(kept.now)))
            else:
                assert shape.deletable, f"a {name} cannot be deleted"
                kept.deleted = True
                kept.history.append((self._now(), None))
            self._happened(f"{shape.event}.deleted", kept.now)

    def happen(self, type_: str, about: Mapping[str, Any]) -> None:
        """Make an event about something that is not kept."""
        with self.changing():
            self._happened(type_, about)

    def add_key(self, key: str) -> None:
        """Let another key in."""
        self._keys.add(key)

    def forget(self) -> None:
        """Remove everything without a trace."""
        with self.changing():
            self._objects = {each.path: {} for each in SHAPES}
            self._events.clear()

    def revoke(self) -> None:
        """Make the key worthless."""
        self._keys.clear()

    def _now(self) -> int:
        return int(self.clock.now().timestamp())

    def _happened(self, type_: str, about: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> None:
        data: dict[str, Any] = {"object": copy.deepcopy(dict(about))}
        if before is not None:
            data["previous_attributes"] = dict(before)
        self._events.append(
            {
                "id": f"evt_{secrets.token_hex(12)}",
                "object": "event",
                "api_version": self.version,
                "created": self._now(),
                "data": data,
                "livemode": True,
                "pending_webhooks": 0,
                "request": {"id": f"req_{secrets.token_hex(7)}", "idempotency_key": None},
                "type": type_,
            }
        )

    # -- letting in

    def refusal(self, status: int, retry_after: str | None) -> Answer:
        """An error in Stripe's words."""
        headers = {"Retry-After": retry_after} if retry_after else {}
        if status == 429:
            headers["Stripe-Rate-Limited-Reason"] = "global-rate"
        return refusal(status, headers=headers)

    def admit(self, operation: str, request: Request) -> Mapping[str, str]:
        """Look at the key, the version and the limits."""
        headers = {"Request-Id": f"req_{secrets.token_hex(7)}", "Stripe-Version": self._asked_version(request)}
        if _key(request) not in self._keys:
            raise RefusalError(refusal(401, headers=headers))
        if headers["Stripe-Version"] not in self.known_versions:
            raise invalid(f"Invalid Stripe API version: {headers['Stripe-Version']}")
        if request.path.split("/")[2] in self.refused_paths:
            raise RefusalError(refusal(403, headers=headers))
        own = self._by_operation.setdefault(
            operation, Allowance("endpoint-rate", self.each_operation, timedelta(seconds=1), self.clock)
        )
        own.most = self.each_operation
        for each in (self.everything, own):
            if not each.take():
                raise RefusalError(refusal(429, headers={**headers, "Stripe-Rate-Limited-Reason": each.name}))
        return headers

    def _asked_version(self, request: Request) -> str:
        return request.headers.get("stripe-version", self.version)

    # -- reading

    def __getattr__(self, name: str) -> Any:
        """The three operations of every collection: `list_customers`, `read_customers`, `search_customers`."""
        verb, _, path = name.partition("_")
        if verb not in {"list", "read", "search"} or path not in BY_PATH:
            raise AttributeError(name)
        shape = BY_PATH[path]
        operations: Mapping[str, Callable[..., Any]]
        operations = {"list": self._list, "read": self._read, "search": self._search}
        return lambda request, **parts: operations[verb](shape, request, **parts)

    def _read(self, shape: Shape, request: Request, object_id: str) -> Any:
        kept = self._objects[shape.path].get(object_id)
        if kept is None:
            raise missing(shape.name.replace("_", ""), object_id)
        if kept.deleted:
            return {"id": object_id, "object": shape.name, "deleted": True}
        return self._expanded(kept.now, request.values("expand[]"))

    def _list(self, shape: Shape, request: Request) -> Any:
        known = {*shape.filters, "limit", "starting_after", "ending_before", "created", "expand[]", "ids[]"}
        _only(request, known)
        ids = request.values("ids[]")
        found = [
            kept.now
            for kept in reversed(self._objects[shape.path].values())
            if not kept.deleted and _chosen(shape, kept.now, request) and (not ids or kept.now["id"] in ids)
        ]
        return self._page(request, f"/v1/{shape.path}", found, [*self._objects[shape.path]], shape.name)

    def events(self, request: Request) -> Any:
        """List what happened, the last first, as far back as it is kept."""
        _only(request, {"limit", "starting_after", "ending_before", "created", "type", "types[]", "expand[]"})
        types = {*request.values("types[]"), *request.values("type")}
        found = [each for each in reversed(self._readable_events()) if not types or _named(each["type"], types)]
        return self._page(request, "/v1/events", found, [each["id"] for each in self._events], "event")

    def event(self, request: Request, event_id: str) -> Any:
        """Read one event."""
        found = [each for each in self._readable_events() if each["id"] == event_id]
        if not found:
            raise missing("event", event_id)
        return found[0]

    def _readable_events(self) -> Sequence[dict[str, Any]]:
        since = self._now() - self.kept.total_seconds()
        return [each for each in self._events if each["created"] >= since]

    def _page(
        self, request: Request, url: str, found: Sequence[dict[str, Any]], made: Sequence[str], name: str
    ) -> dict[str, Any]:
        """One page of a list; `made` are all ids in the order in which they were made."""
        size = _size(request)
        found = [each for each in found if _created_within(each, request)]
        order = {each: at for at, each in enumerate(made)}
        after, before = request.value("starting_after"), request.value("ending_before")
        if after is not None and before is not None:
            raise invalid("You can only specify one of these parameters: starting_after, ending_before.")
        for param, cursor in (("starting_after", after), ("ending_before", before)):
            if cursor == "":
                said = f"You passed an empty string for '{param}'. We assume empty values are an attempt to unset a"
                raise invalid(f"{said} field; however '{param}' cannot be unset.", "parameter_invalid_empty", param)
            if cursor is not None and cursor not in order:
                raise missing(name.replace("_", ""), cursor, param, 400)
        if before is not None:
            newer = [each for each in found if order[each["id"]] > order[before]]
            page, more = newer[max(0, len(newer) - size) :], len(newer) > size
        else:
            older = [each for each in found if after is None or order[each["id"]] < order[after]]
            skipped = found.index(older[0]) if older else len(found)
            start = max(0, skipped + request.page * size)
            page, more = found[start : start + size], start + size < len(found)
        paths = [path.partition(".")[2] for path in request.values("expand[]")]
        if any(not path.startswith("data.") for path in request.values("expand[]")):
            raise invalid("This property cannot be expanded; in a list, expand data.PROPERTY.", param="expand")
        data = [self._expanded(each, paths) for each in page]
        return {"object": "list", "url": url, "has_more": more, "data": data}

    def _expanded(self, one: Mapping[str, Any], paths: Sequence[str]) -> dict[str, Any]:
        """An object with ids exchanged for what they name, at most four levels deep."""
        found = copy.deepcopy(dict(one))
        for path in paths:
            if path.count(".") > 3:
                raise invalid("You cannot expand more than 4 levels of a property.", param="expand")
            member, _, rest = path.partition(".")
            value = found.get(member)
            if isinstance(value, str) and (named := self._by_id(value)):
                found[member] = self._expanded(named, [rest] if rest else [])
            elif isinstance(value, dict) and rest and not value.get("deleted"):
                found[member] = self._expanded(value, [rest])
            elif value is None and member in found:
                continue
            else:
                raise invalid(f"This property cannot be expanded ({member}).", param="expand")
        return found

    def _by_id(self, object_id: str) -> dict[str, Any] | None:
        shape = BY_PREFIX.get(object_id.partition("_")[0])
        kept = self._objects[shape.path].get(object_id) if shape else None
        if kept is None or shape is None:
            return None
        return {"id": object_id, "object": shape.name, "deleted": True} if kept.deleted else kept.now

    def _search(self, shape: Shape, request: Request) -> Any:
        """Search in the index, which is behind; clauses joined by AND, or all by OR."""
        _only(request, {"query", "limit", "page", "expand[]"})
        query = request.value("query") or ""
        clauses = _CLAUSE.findall(query)
        left = re.sub(r"\b(AND|OR)\b", "", _CLAUSE.sub("", query), flags=re.IGNORECASE).strip()
        if not clauses or left:
            raise invalid("We were unable to parse your search query.", param="query")
        as_of = self.clock.now().timestamp() - self.index_lag_s
        joined = any if re.search(r"\bOR\b", _CLAUSE.sub("", query), re.IGNORECASE) else all
        indexed = [
            [seen for at, seen in kept.history if at <= as_of][-1:]
            for kept in reversed(self._objects[shape.path].values())
        ]
        found = [
            each[0]
            for each in indexed
            if each and each[0] is not None and joined(_holds(each[0], *clause) for clause in clauses)
        ]
        size, start = _size(request), int(request.value("page") or 0)
        more = start + size < len(found)
        return {
            "object": "search_result",
            "url": f"/v1/{shape.path}/search",
            "has_more": more,
            "next_page": str(start + size) if more else None,
            "data": found[start : start + size],
        }


def _key(request: Request) -> str:
    word, _, told = request.headers.get("authorization", "").partition(" ")
    if word.lower() == "bearer":
        return told
    try:
        return base64.b64decode(told).decode().partition(":")[0] if word.lower() == "basic" else ""
    except ValueError:
        return ""


def _only(request: Request, known: set[str]) -> None:
    for name, value in request.query:
        plain = "created" if _RANGE.fullmatch(name) else re.sub(r"\[\d+\]$", "[]", name)
        if plain not in known and name not in known:
            raise invalid(f"Received unknown parameter: {name}", "parameter_unknown", name)
        if plain == "created" and not value.isdigit():
            raise invalid(f"Invalid integer: {value}", "parameter_invalid_integer", name)


def _size(request: Request) -> int:
    told = request.value("limit") or "10"
    if not told.isdigit():
        raise invalid(f"Invalid integer: {told}", "parameter_invalid_integer", "limit")
    if not 1 <= int(told) <= 100:
        raise invalid("This value must be between 1 and 100.", param="limit")
    return int(told)


def _chosen(shape: Shape, one: Mapping[str, Any], request: Request) -> bool:
    wanted = {name: request.value(name) for name in shape.filters}
    if shape.name == "subscription":
        if wanted["status"] == "all":
            wanted["status"] = None
        elif wanted["status"] is None and one["status"] == "canceled":
            return False
    return all(
        value is None or str(one.get(shape.filters[name])).lower() == value.lower() for name, value in wanted.items()
    )


def _created_within(one: Mapping[str, Any], request: Request) -> bool:
    bounds = {"gt": "__gt__", "gte": "__ge__", "lt": "__lt__", "lte": "__le__"}
    for name, value in request.query:
        if name == "created" and one["created"] != int(value):
            return False
        if (found := _RANGE.fullmatch(name)) and not getattr(one["created"], bounds[found[1]])(int(value)):
            return False
    return True


def _named(type_: str, wanted: set[str]) -> bool:
    return any(type_ == each or (each.endswith("*") and type_.startswith(each[:-1])) for each in wanted)


def _holds(one: Mapping[str, Any], member: str, key: str, how: str, text: str, number: str) -> bool:
    value = one.get("metadata", {}).get(key) if key else one.get(member)
    if value is None:
        return False
    if how == "~":
        return text.lower() in str(value).lower()
    if how == ":":
        return str(value).lower() == (text or number).lower()
    mine, other = int(value), int(number or text)
    return {">": mine > other, "<": mine < other, ">=": mine >= other, "<=": mine <= other}[how]
