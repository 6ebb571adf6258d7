"""What has changed, out of Stripe's events: which objects they are about, each at the time of its latest one.

Events come newest first, and a change is answered oldest first and each object once. So the events since an instant
are read whole before any object is, and the plan that comes of them stands while it is served page by page. Whatever
happens meanwhile belongs to the next plan: an object that it is about is left out of this one.

Source: API reference, "Events" and "List all events": they are kept for 30 days, their order of arrival is not
promised, `created` counts whole seconds.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from probes.call_deadline import left
from probes.contract import ProbeError, Reason, StampsError
from probes.records.stripe.listing import LARGEST_PAGE, Place, Query, part
from probes.records.stripe.paths import EPOCH
from probes.records.stripe.shapes import Collection

KEPT = timedelta(days=30)
"""How long Stripe keeps events."""

MOST_OBJECTS = 200_000
"""Objects of one plan: a few dozen megabytes."""

KEPT_PLANS = 16

EVENTS = "events"


@dataclass(slots=True, kw_only=True)
class Plan:
    """The objects that changed since an instant.

    Attributes:
        since: the instant, in seconds.
        stamps: by object, the time of its latest event.
        newest: the latest event of all, behind which the next plan begins.
        place: where the walk through the events stands, None where it has not begun or is over.
        order: the objects, the one that changed first first; empty while the walk goes on.
        touched: objects of later events.
    """

    collection: Collection
    since: int
    name: str = field(default_factory=lambda: secrets.token_hex(6))
    stamps: dict[str, int] = field(default_factory=dict)
    newest: str = ""
    place: Place | None = None
    whole: bool = False
    order: Sequence[str] = ()
    touched: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Changes:
    """Plans of one account.

    Args:
        ask: asks for a page of events.
    """

    def __init__(self, ask: Callable[[Query], Mapping[str, Any]]) -> None:
        self._ask = ask
        self._plans: OrderedDict[str, Plan] = OrderedDict()
        self._changing = threading.Lock()

    def begin(self, collection: Collection, since: datetime | None) -> Plan:
        """A plan for what changed at or after an instant; one whose walk was not finished is gone on with."""
        earliest = datetime.now(UTC) - KEPT if since is None else since
        seconds = max(0, (earliest - EPOCH) // timedelta(seconds=1))
        with self._changing:
            for plan in self._plans.values():
                if plan.collection is collection and plan.since == seconds and not plan.whole:
                    return plan
            plan = Plan(collection=collection, since=seconds)
            self._plans[plan.name] = plan
            while len(self._plans) > KEPT_PLANS:
                self._plans.popitem(last=False)
        return plan

    def known(self, name: str) -> Plan:
        """A plan that was begun.

        Raises:
            ProbeError: `cursor_lost` where nothing is known of it any more.
        """
        with self._changing:
            plan = self._plans.get(name)
            if plan is None:
                raise ProbeError(Reason.CURSOR_LOST, "a list of changes of which nothing is known any more")
            self._plans.move_to_end(name)
        return plan

    def gather(self, plan: Plan, reserve_s: float) -> bool:
        """Read events until all of the plan are known, or little time is left.

        Args:
            reserve_s: how much of the call's deadline to leave.

        Returns:
            Whether all are known.
        """
        with _alone(plan):
            while not plan.whole:
                found = part(self._ask, _query(plan), plan.place, LARGEST_PAGE, _never, EVENTS)
                for event in found.objects:
                    plan.newest = plan.newest or str(event["id"])
                    about, at = _about(plan.collection, event)
                    if about:
                        plan.stamps[about] = max(at, plan.stamps.get(about, at))
                if len(plan.stamps) > MOST_OBJECTS:
                    raise StampsError(
                        Reason.QUERY,
                        f"more than {MOST_OBJECTS:,} {plan.collection.name} have events since the last look",
                    )
                plan.place = found.place
                if plan.place is None:
                    plan.order = sorted(plan.stamps, key=lambda each: (plan.stamps[each], each))
                    plan.whole = True
                elif left() < reserve_s:
                    break
        return plan.whole

    def touched(self, plan: Plan) -> set[str]:
        """Objects of events that came after the plan was made."""
        with _alone(plan):
            while plan.newest:
                query = [*_query(plan), ("limit", str(LARGEST_PAGE)), ("ending_before", plan.newest)]
                document = self._ask(query)
                events, more = document.get("data"), document.get("has_more")
                if not isinstance(events, list) or not isinstance(more, bool) or (more and not events):
                    raise ProbeError(Reason.DECODE, "events: an answer that is no list as the API describes it")
                for event in events:
                    plan.touched.add(_about(plan.collection, event)[0])
                if events:
                    plan.newest = str(events[0]["id"])
                if not more:
                    break
                left()
            return set(plan.touched)


@contextmanager
def _alone(plan: Plan) -> Iterator[None]:
    """A plan that no other thread goes on with meanwhile; waited for within the call's deadline."""
    if not plan.lock.acquire(timeout=min(left(), threading.TIMEOUT_MAX)):
        left()
        raise ProbeError(Reason.TIMEOUT, "another reading of the events took too long")
    try:
        yield
    finally:
        plan.lock.release()


def _query(plan: Plan) -> Query:
    types = [("types[]", each) for each in plan.collection.events]
    return [*types, ("created[gte]", str(plan.since))]


def _never(_: str) -> bool:
    """No event is deleted while it is read about, but for those that are thirty days old, at the end of the list."""
    return False


def _about(collection: Collection, event: Any) -> tuple[str, int]:
    """The object of the collection that an event is about, "" for none (a preview of an invoice), and its time.

    Raises:
        ProbeError: `decode` for something that is no event.
    """
    try:
        found, at = event["data"]["object"], event["created"]
        if isinstance(at, bool) or not isinstance(at, int) or not isinstance(event["id"], str):
            raise TypeError
        about = found.get("id") if found["object"] == collection.kind else found.get(collection.kind)
    except (LookupError, TypeError, AttributeError):
        raise ProbeError(Reason.DECODE, "events: something that is no event as the API describes it") from None
    if isinstance(about, dict):
        about = about.get("id")
    return (about, at) if isinstance(about, str) else ("", at)
