"""The integration between the six systems of `benchmarks.customer_systems`, with its faults and what they amount to.

What was injected is written down as it happens, for every flow that it shows in. That list is the only truth that the
benchmark compares with; nothing in it comes from the auditor.
"""

from __future__ import annotations

import heapq
import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks.customer_systems import DIGITS, FLOWS, FlowOf, Record, Systems, amount

ON_TIME_S = (0.05, 2.0)
LATE_WINDOWS = (2.6, 3.2)
STATUSES = ("trial", "active", "past_due", "closed")
PLANS = ("free", "team", "pro", "scale")
KEPT = ("hubspot", "mongodb", "mariadb", "postgresql")
"""Systems whose records may be lost, left over or made up: Salesforce and Stripe decide what exists elsewhere."""

FLAGGED = ("mongodb", "mariadb", "postgresql")
"""Systems that keep deleted records and mark them."""

MISSED = frozenset({"late", "lost"})

FAULTS = {
    "late_update": frozenset({"late"}),
    "partial_batch": MISSED,
    "dropped_insert": MISSED,
    "deletion_not_propagated": MISSED,
    "lost_record": frozenset({"lost"}),
    "marked_as_deleted": frozenset({"lost"}),
    "orphan": frozenset({"orphan"}),
    "duplicate": frozenset({"duplicate"}),
    "second_writer": frozenset({"foreign_write"}),
    "write_conflict": frozenset({"write_conflict"}),
    "stale_replica": frozenset({"regression"}),
    "truncated": frozenset({"transformation"}),
    "zone_shifted": frozenset({"transformation"}),
    "times_100": frozenset({"transformation"}),
    "case_changed": frozenset({"transformation"}),
    "null_to_missing": frozenset({"foreign_write"}),
}
"""Kinds of fault, and the causes that name them rightly in the flow that they were injected into."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What one flow has to say about one record.

    Attributes:
        kind: of the fault.
        causes: those that name it rightly.
        field: the one field that differs, "" if the whole record does.
    """

    kind: str
    causes: frozenset[str]
    field: str = ""


@dataclass(order=True, slots=True)
class _Delivery:
    due_s: float
    number: int
    system: str = field(compare=False)
    key: str = field(compare=False)
    deed: Callable[[], None] = field(compare=False)


class Integration:
    """Carries changes from the owners of fields to the copies, and spoils some on the way.

    Attributes:
        truth: by flow and key, what there is to be found.
        injected: faults by kind; one may show in several flows.
        changed: owners' changes that were delivered as they should be.
        overtaken: by flow and key, deliveries that the machine made too late to be sure that they were in time: what
            they are called does not count.

    Args:
        window_s: the shortest window of a flow.
    """

    def __init__(self, systems: Systems, chance: random.Random, records: int, window_s: float) -> None:
        self.truth: dict[tuple[str, str], Expected] = {}
        self.injected: Counter[str] = Counter()
        self.changed = 0
        self.overtaken: set[tuple[str, str]] = set()
        self._window_s = window_s
        self._systems = systems.by_name
        self._chance = chance
        self._numbers = itertools.count(1)
        self._records = {key: self._new_record(key) for key in [self._new_key() for _ in range(records)]}
        self.keys = list(self._records)
        self._unused = list(self._records)
        chance.shuffle(self._unused)
        self._normal_keys = [self._unused.pop() for _ in range(records // 5)]
        self._older: list[tuple[str, str]] = []
        self._waiting: list[_Delivery] = []
        self._number = itertools.count()
        self._delivered: dict[tuple[str, str, str], int] = {}
        self._gone: set[str] = set()
        for system in self._systems.values():
            system.fill(self._records)

    def _new_key(self) -> str:
        return f"cus_{next(self._numbers):08d}"

    def _new_record(self, key: str) -> Record:
        chance, currency = self._chance, self._chance.choice(list(DIGITS))
        return {
            "name": f"Customer {key[4:]} of the company",
            "email": f"{key}@example.com",
            "phone": None if chance.random() < 0.25 else f"+49 30 {chance.randrange(10**7):07d}",
            "status": chance.choice(STATUSES),
            "signed_at": datetime(2025, 1, 1, tzinfo=UTC) + timedelta(seconds=chance.randrange(10_000_000)),
            "plan": chance.choice(PLANS),
            "currency": currency,
            "balance": amount(chance.randrange(1, 100_000), currency),
            "consent": chance.random() < 0.5,
        }

    # -- what happens

    def prepare(self, count: int) -> list[str]:
        """Change records once everywhere in time, so that older versions of them exist; returns their keys."""
        keys = [self._take() for _ in range(count)]
        for key in keys:
            before = self._records[key]["status"]
            self._older.append((key, before))
            self._change("salesforce", key, {"status": self._other(STATUSES, before)})
        self._deliver_all()
        return keys

    def run(self, faults: int, normal: int, seconds: float) -> None:
        """Inject all faults among normal changes within this time, then deliver what is on its way."""
        kinds = [kind for _, kind in zip(range(faults), itertools.cycle(FAULTS), strict=False)]
        deeds = [*kinds, *["normal"] * normal]
        self._chance.shuffle(deeds)
        begun = time.monotonic()
        for number, deed in enumerate(deeds):
            while time.monotonic() < begun + seconds * number / len(deeds):
                self._deliver()
                time.sleep(0.002)
            if deed == "normal":
                self._normal()
            else:
                getattr(self, f"_{deed}")(deed)
                self.injected[deed] += 1
            self._deliver()
        self._deliver_all()

    # -- carrying

    def _change(self, owner: str, key: str, values: Record, *, without: Collection[str] = ()) -> None:
        """Change fields at their owner, and deliver them in time to all systems but some."""
        self._records[key].update(values)
        self._systems[owner].update(key, values)
        for flow in FLOWS.values():
            if flow.owner == owner and flow.target not in without and set(values) <= set(flow.fields):
                self._send(flow.target, key, values)

    def _send(self, system: str, key: str, values: Record, lag_s: float | None = None) -> None:
        """Deliver values in order: what comes after a newer one is thrown away."""
        number = next(self._number)

        def put() -> None:
            fresh = {name for name in values if self._delivered.get((system, key, name), -1) < number}
            if fresh and key not in self._gone:
                self._delivered |= {(system, key, name): number for name in fresh}
                self._systems[system].update(key, {name: values[name] for name in values if name in fresh})

        self._later(system, key, put, lag_s)

    def _later(self, system: str, key: str, deed: Callable[[], None], lag_s: float | None = None) -> None:
        due_s = time.monotonic() + (self._chance.uniform(*ON_TIME_S) if lag_s is None else lag_s)
        heapq.heappush(self._waiting, _Delivery(due_s, next(self._number), system, key, deed))

    def _deliver(self) -> None:
        while self._waiting and self._waiting[0].due_s <= time.monotonic():
            each = heapq.heappop(self._waiting)
            each.deed()
            for name, flow in FLOWS.items():
                if flow.target == each.system and time.monotonic() - each.due_s > flow.windows * self._window_s / 4:
                    self.overtaken.add((name, each.key))

    def _deliver_all(self) -> None:
        while self._waiting:
            self._deliver()
            time.sleep(0.01)

    def _create(self, *, without: str = "") -> str:
        """A new customer: at the owners at once, in the copies in time."""
        key = self._new_key()
        record = self._records[key] = self._new_record(key)
        for name, system in self._systems.items():
            if name == without:
                continue
            if name in {flow.owner for flow in FLOWS.values()}:
                system.create(key, record)
            else:
                self._later(name, key, lambda system=system: system.create(key, record))  # type: ignore[misc]
        return key

    def _delete(self, key: str, *, without: str = "") -> None:
        self._gone.add(key)
        for name, system in self._systems.items():
            if name != without:
                system.remove(key)

    def _normal(self) -> None:
        self.changed += 1
        drawn, key = self._chance.random(), self._chance.choice(self._normal_keys)
        record = self._records[key]
        if drawn < 0.05:
            self._create()
        elif drawn < 0.07:
            self._delete(self._take())
        elif drawn < 0.6:
            self._change("salesforce", key, {"status": self._other(STATUSES, record["status"])})
        elif drawn < 0.75:
            self._change("stripe", key, {"plan": self._other(PLANS, record["plan"])})
        elif drawn < 0.9:
            self._change("stripe", key, self._new_balance(key))
        else:
            self._change("hubspot", key, {"consent": not record["consent"]})

    # -- choosing

    def _take(self, *, without_phone: bool = False) -> str:
        """A record that nothing has happened to and nothing else will happen to."""
        if not without_phone:
            return self._unused.pop()
        at = next(at for at in reversed(range(len(self._unused))) if self._records[self._unused[at]]["phone"] is None)
        return self._unused.pop(at)

    def _other(self, labels: Sequence[str], label: str) -> str:
        return self._chance.choice([each for each in labels if each != label])

    def _new_balance(self, key: str) -> Record:
        """Another balance; its currency goes with it, since amounts are carried in minor units."""
        before = self._records[key]
        while (balance := amount(self._chance.randrange(1, 100_000), before["currency"])) == before["balance"]:
            pass
        return {"balance": balance, "currency": before["currency"]}

    def _flow(self, *owners: str) -> tuple[str, FlowOf]:
        return self._chance.choice([(name, flow) for name, flow in FLOWS.items() if flow.owner in owners])

    def _new_value(self, flow: FlowOf, key: str) -> tuple[str, Any]:
        """A field that a flow's owner may change, and a new value of it."""
        record = self._records[key]
        if flow.owner == "salesforce":
            return "status", self._other(STATUSES, record["status"])
        if flow.owner == "stripe":
            return "plan", self._other(PLANS, record["plan"])
        return "consent", not record["consent"]

    def _late_s(self, flow: FlowOf) -> float:
        """A lag that is beyond a flow's window, and long enough for a second look."""
        return flow.windows * self._window_s * self._chance.uniform(*LATE_WINDOWS)

    # -- what is expected

    def _expect(self, flow: str, key: str, kind: str, field_: str = "") -> None:
        self.truth[flow, key] = Expected(kind=kind, causes=FAULTS[kind], field=field_)

    def _expect_absent(self, system: str, key: str, kind: str, *, created: bool = False) -> None:
        """A system lacks a record that all others hold: so say flows to it; flows from it have it left over."""
        for name, flow in FLOWS.items():
            if flow.target == system:
                self._expect(name, key, kind)
            elif flow.owner == system:
                # A flow that never saw the record there has met a record of the copy alone.
                causes = frozenset({"orphan"}) if created else MISSED
                self.truth[name, key] = Expected(kind=kind, causes=causes)

    def _expect_left_over(self, system: str, key: str, kind: str, *, created: bool = False) -> None:
        """A system holds a record that no other does: so say flows to it; flows from it miss it in their targets."""
        for name, flow in FLOWS.items():
            if flow.target == system and kind == "duplicate" and "email" not in flow.fields:
                self.truth[name, key] = Expected(kind=kind, causes=frozenset({"orphan"}))
            elif flow.target == system:
                self._expect(name, key, kind)
            elif flow.owner == system:
                self.truth[name, key] = Expected(kind=kind, causes=MISSED if created else frozenset({"lost"}))

    # -- changes that do not arrive

    def _late_update(self, kind: str) -> None:
        name, flow = self._flow("salesforce", "stripe", "hubspot")
        key = self._take()
        field_, value = self._new_value(flow, key)
        self._change(flow.owner, key, {field_: value}, without={flow.target})
        self._send(flow.target, key, {field_: value}, self._late_s(flow))
        self._expect(name, key, kind, field_)

    def _partial_batch(self, kind: str) -> None:
        """Two changes in one batch, of which the second is not written."""
        name, flow = self._flow("salesforce", "stripe", "hubspot")
        first, second = self._take(), self._take()
        field_, value = self._new_value(flow, first)
        self._change(flow.owner, first, {field_: value})
        field_, value = self._new_value(flow, second)
        self._change(flow.owner, second, {field_: value}, without={flow.target})
        self._expect(name, second, kind, field_)

    def _dropped_insert(self, kind: str) -> None:
        system = self._chance.choice(KEPT)
        self._expect_absent(system, self._create(without=system), kind, created=True)

    def _deletion_not_propagated(self, kind: str) -> None:
        system, key = self._chance.choice(KEPT), self._take()
        self._delete(key, without=system)
        self._expect_left_over(system, key, kind)

    # -- copies that somebody touched

    def _lost_record(self, kind: str) -> None:
        system, key = self._chance.choice(KEPT), self._take()
        self._systems[system].remove(key)
        self._expect_absent(system, key, kind)

    def _marked_as_deleted(self, kind: str) -> None:
        system, key = self._chance.choice(FLAGGED), self._take()
        self._systems[system].mark_deleted(key)  # type: ignore[attr-defined]
        self._expect_absent(system, key, kind)

    def _orphan(self, kind: str) -> None:
        system, key = self._chance.choice(KEPT), self._new_key()
        self._systems[system].create(key, self._new_record(key))
        self._expect_left_over(system, key, kind, created=True)

    def _duplicate(self, kind: str) -> None:
        system, original, key = self._chance.choice(FLAGGED), self._take(), self._new_key()
        record = {**self._new_record(key), "email": self._records[original]["email"]}
        self._systems[system].create(key, record)
        self._expect_left_over(system, key, kind, created=True)

    def _second_writer(self, kind: str) -> None:
        name, flow = self._flow("salesforce", "stripe", "hubspot")
        key = self._take()
        field_, value = self._new_value(flow, key)
        if flow.owner == "salesforce":
            field_, value = "name", f"Changed in {flow.target}"
        self._systems[flow.target].update(key, {field_: value})
        self._expect(name, key, kind, field_)

    def _write_conflict(self, kind: str) -> None:
        name, flow = self._flow("salesforce", "stripe")
        key = self._take()
        field_, value = self._new_value(flow, key)
        labels = [each for each in (*STATUSES, *PLANS) if each not in {value, self._records[key][field_]}]
        labels = [each for each in labels if each in (STATUSES if field_ == "status" else PLANS)]
        self._change(flow.owner, key, {field_: value}, without={flow.target})
        self._systems[flow.target].update(key, {field_: self._chance.choice(labels)})
        self._expect(name, key, kind, field_)

    def _stale_replica(self, kind: str) -> None:
        name, flow = self._flow("salesforce")
        key, before = self._older.pop()
        self._systems[flow.target].update(key, {"status": before})
        self._expect(name, key, kind, "status")

    def _null_to_missing(self, kind: str) -> None:
        key = self._take(without_phone=True)
        self._systems["mongodb"].unset(key, "phone")  # type: ignore[attr-defined]
        self._expect("to_mongodb", key, kind, "phone")

    # -- values that arrive changed

    def _spoiled(self, kind: str, name: str, key: str, values: Record, spoiled: Record) -> None:
        """A change that arrives everywhere, and in one system with another value."""
        flow = FLOWS[name]
        self._change(flow.owner, key, values, without={flow.target})
        self._send(flow.target, key, {**values, **spoiled})
        self._expect(name, key, kind, next(iter(spoiled)))

    def _truncated(self, kind: str) -> None:
        key = self._take()
        new = f"A customer with quite a long name {key[4:]}"
        self._spoiled(kind, self._flow("salesforce")[0], key, {"name": new}, {"name": new[:20]})

    def _case_changed(self, kind: str) -> None:
        key = self._take()
        new = f"Renamed Customer {key[4:]}"
        self._spoiled(kind, self._flow("salesforce")[0], key, {"name": new}, {"name": new.upper()})

    def _zone_shifted(self, kind: str) -> None:
        key = self._take()
        new = self._records[key]["signed_at"] + timedelta(days=1)
        flow = f"to_{self._chance.choice(KEPT)}"
        self._spoiled(kind, flow, key, {"signed_at": new}, {"signed_at": new + timedelta(hours=2)})

    def _times_100(self, kind: str) -> None:
        key = self._take()
        new = self._new_balance(key)
        self._spoiled(kind, self._flow("stripe")[0], key, new, {"balance": new["balance"] * 100})
