"""What has changed, from Stripe's events: the objects they are about, each with the time of its latest event.

Events come newest first; changes are returned oldest first, and each object once. So all events since an instant are
read before any object is, and the resulting plan stays fixed while it is served page by page. Whatever happens
meanwhile belongs to the next plan: an object with a later event is left out of this one.

Source: API reference, "Events" and "List all events": they are kept for 30 days, their order of arrival is not
guaranteed, `created` counts whole seconds.
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
"""The most objects in one plan: a few dozen megabytes."""

KEPT_PLANS = 16

EVENTS = "events"


@dataclass(slots=True, kw_only=True)
class Plan:
    """The objects that changed since an instant.

    Attributes:
        since: the instant, in seconds.
        stamps: by object, the time of its latest event.
        newest: the latest event of all, after which the next plan begins.
        place: where the walk through the events continues, None before it begins and after it ends.
        order: the objects, in order of change; empty until the walk ends.
        touched: objects with later events.
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
        ask: requests a page of events.
    """

    def __init__(self, ask: Callable[[Query], Mapping[str, Any]]) -> None:
        self._ask = ask
        self._plans: OrderedDict[str, Plan] = OrderedDict()
        self._changing = threading.Lock()

    def begin(self, collection: Collection, since: datetime | None) -> Plan:
        """A plan for what changed at or after an instant; an unfinished one is continued."""
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

    def resume(self, name: str) -> Plan:
        """A plan that was begun earlier.

        Raises:
            ProbeError: `cursor_lost` if the plan is no longer kept.
        """
        with self._changing:
            plan = self._plans.get(name)
            if plan is None:
                raise ProbeError(Reason.CURSOR_LOST, "the list of changes is no longer kept")
            self._plans.move_to_end(name)
        return plan

    def gather(self, plan: Plan, reserve_s: float) -> bool:
        """Read the plan's events until all are known or little time is left.

        Args:
            reserve_s: how much of the call's deadline to leave.

        Returns:
            Whether all are known.
        """
        with _alone(plan):
            while not plan.whole:
                page = part(self._ask, _query(plan), plan.place, LARGEST_PAGE, _never, EVENTS)
                for event in page.objects:
                    plan.newest = plan.newest or str(event["id"])
                    about, at = _about(plan.collection, event)
                    if about:
                        plan.stamps[about] = max(at, plan.stamps.get(about, at))
                if len(plan.stamps) > MOST_OBJECTS:
                    raise StampsError(
                        Reason.QUERY,
                        f"more than {MOST_OBJECTS:,} {plan.collection.name} have had events since the last reading",
                    )
                plan.place = page.place
                if plan.place is None:
                    plan.order = sorted(plan.stamps, key=lambda each: (plan.stamps[each], each))
                    plan.whole = True
                elif left() < reserve_s:
                    break
        return plan.whole

    def touched(self, plan: Plan) -> set[str]:
        """Objects with events that came after the plan was made."""
        with _alone(plan):
            while plan.newest:
                query = [*_query(plan), ("limit", str(LARGEST_PAGE)), ("ending_before", plan.newest)]
                document = self._ask(query)
                events, more = document.get("data"), document.get("has_more")
                if not isinstance(events, list) or not isinstance(more, bool) or (more and not events):
                    raise ProbeError(Reason.DECODE, "events: the response is not a list as the API documents it")
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
    """Hold a plan that no other thread may continue meanwhile; waits within the call's deadline."""
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
    """No event is deleted meanwhile except those that are 30 days old, at the end of the list."""
    return False


def _about(collection: Collection, event: Any) -> tuple[str, int]:
    """The object of the collection that an event is about, "" if none (a preview of an invoice), and its time.

    Raises:
        ProbeError: `decode` if it is not an event.
    """
    try:
        changed, at = event["data"]["object"], event["created"]
        if isinstance(at, bool) or not isinstance(at, int) or not isinstance(event["id"], str):
            raise TypeError
        about = changed.get("id") if changed["object"] == collection.kind else changed.get(collection.kind)
    except (LookupError, TypeError, AttributeError):
        raise ProbeError(Reason.DECODE, "events: an entry is not an event as the API documents it") from None
    if isinstance(about, dict):
        about = about.get("id")
    return (about, at) if isinstance(about, str) else ("", at)
