"""One reading of an owner for all flows that start there: the same verdicts as apart, and every record read once."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auditor.audit.flow_audit import Auditor
from auditor.audit.once import audit_once
from auditor.audit.owner_reads import FRESH, Owner, OwnerReads, OwnerShare
from auditor.audit.result import AuditResult
from auditor.ledger import Ledger
from auditor.map.flow import Flow
from auditor.systems.caller import ReaderClosedError
from checks.judgement import Outcome
from checks.values import EPOCH, MICROSECOND
from probes.contract import KEY, Key, ProbeError, Reading, ReadSpec, Reason, Row
from probes.metering import SpentError
from tests import ledgers
from tests.stand import Stand
from tests.waiting import PATIENCE_S, wait_until

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Noting:
    """An owner, with a note of the records that it was asked for by key and of every other question."""

    owner: Owner
    fetched: Counter[Key] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)

    @property
    def name(self) -> str:
        return self.owner.name

    def changed(self, spec: ReadSpec, since: datetime | int | None, limit: int) -> Reading:
        self.asked["changed"] += 1
        return self.owner.changed(spec, since, limit)

    def page(self, spec: ReadSpec, after: str | None, limit: int) -> Reading:
        self.asked["page"] += bool(spec.fields)
        return self.owner.page(spec, after, limit)

    def fetch(self, spec: ReadSpec, keys: Sequence[Key]) -> Reading:
        self.fetched.update(keys if spec.fields else ())
        return self.owner.fetch(spec, keys)

    def ranked(self, spec: ReadSpec, seed: str, lower: int, upper: int, limit: int) -> Sequence[tuple[Any, int]]:
        self.asked["ranked"] += 1
        return self.owner.ranked(spec, seed, lower, upper, limit)

    def can_rank(self, spec: ReadSpec, seed: str) -> bool:
        return self.owner.can_rank(spec, seed)

    def highest_version(self, spec: ReadSpec) -> int | None:
        return self.owner.highest_version(spec)


@pytest.fixture
def shared(stand: Stand) -> Stand:
    """A second flow from the same owner, of one field alone and to another target, and records of every kind."""
    stand.remap("window: 4s", "window: 1h")  # so that nothing here depends on how long an audit takes
    stand.run("billing", "CREATE TABLE copies (id integer primary key, name text)")
    stand.remap(
        "data_types:\n",
        f'  shop: {{kind: sql, url: "sqlite:///{stand.place}/billing.sqlite", zone: UTC}}\ndata_types:\n',
    )
    stand.remap("flows:\n", "      shop: {collection: copies, key: id, absent: [amount]}\nflows:\n")
    stand.remap(
        "flows:\n", "flows:\n  to_shop: {data_type: customer, from: crm, to: shop, pattern: real-time, every: 1s}\n"
    )
    for key in range(1, 31):
        stand.put("crm", key)
        if key != 3:
            stand.put("billing", key, amount="2.00" if key % 10 == 5 else "1.00")
        if key != 7:
            stand.run("billing", f"INSERT INTO copies VALUES ({key}, '{'Bob' if key % 10 == 6 else 'Ada'}')")
    stand.put("billing", 77)
    stand.run("billing", "INSERT INTO copies VALUES (88, 'Ada')")
    stand.run("crm", "INSERT INTO customers SELECT * FROM customers WHERE id = 9")
    return stand


def auditors(stand: Stand, ledger: Ledger) -> list[Auditor]:
    return [
        Auditor(
            flow=stand.map.flow(name),
            source=stand.readers["crm"],
            target=stand.readers[stand.map.flows[name].to],
            ledger=ledger,
            digest_key=b"k" * 32,
            others=stand.readers,
        )
        for name in ("to_billing", "to_shop")
    ]


def merged(counts: Mapping[Outcome, int]) -> dict[Outcome, int]:
    """Records by outcome; whether a suspicion is confirmed yet is a question of how fast two audits follow."""
    differ = {Outcome.SUSPECTED, Outcome.DIVERGENT}
    return {
        **{outcome: count for outcome, count in counts.items() if outcome not in differ},
        Outcome.DIVERGENT: sum(counts[outcome] for outcome in differ),
    }


def told(ledger: Ledger) -> dict[str, list[tuple[Any, ...]]]:
    """What a ledger holds of the records, but for the instants of the audits themselves."""
    wanted = {
        "divergences": ("flow", "key", "kind", "cause", "fields", "winner"),
        "changes": ("flow", "key", "verdict"),
        "probe_runs": (
            "flow",
            "read",
            "agreed",
            "in_flight",
            "inconclusive",
            "cannot_verify",
            "changes",
        ),
    }
    found, _ = ledger.exports.snapshot(dict.fromkeys(wanted, 0), files_since=0)
    all_told = {}
    for table, columns in wanted.items():
        names = [name for name, _ in ledger.exports.columns(table)]
        at = [names.index(column) for column in columns]
        all_told[table] = sorted(tuple(str(row[position]) for position in at) for row in found[table])
    return all_told


@pytest.mark.parametrize("by", ["rank", "key"])
def test_flows_audited_together_conclude_what_they_conclude_apart(
    shared: Stand, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    if by == "key":
        monkeypatch.setattr("probes.records.sql.probe.RANK_SCAN_LIMIT", 0)
    kept: dict[str, Any] = {}
    notes: dict[str, Noting] = {}
    results: dict[str, list[Any]] = {}
    begun_at = datetime.now(UTC)
    for way in ("apart", "together", "at once"):
        with closing(ledgers.at(shared.place / f"{way}.sqlite")) as ledger:
            both = auditors(shared, ledger)
            noted = notes[way] = Noting(shared.readers["crm"])
            results[way] = []
            joint = OwnerReads(noted, [each.flow for each in both], fresh_s=math.inf)
            for turn in range(12):
                now = begun_at + timedelta(seconds=1000 * turn)  # whatever is to be looked at again is due

                def audit(
                    auditor: Auditor, way: str = way, now: datetime = now, joint: OwnerReads = joint
                ) -> AuditResult:
                    alone = OwnerReads(notes[way], [auditor.flow])
                    return auditor.audit(now, sample=10, owner=alone if way == "apart" else joint)

                with ThreadPoolExecutor(2 if way == "at once" else 1) as pool:
                    for result in pool.map(audit, both):
                        assert result.error is None
                        results[way].append((result.flow, merged(result.counts), result.swept, result.taken))
            kept[way] = told(ledger)
    assert results["together"] == results["at once"] == results["apart"]
    assert kept["together"] == kept["at once"] == kept["apart"]
    causes = {(row[0], row[3]) for row in kept["apart"]["divergences"]}
    assert {flow for flow, _ in causes} == {"to_billing", "to_shop"}
    assert len(causes) >= 4
    # Almost every record is read once instead of twice, and so is every list.
    for way in ("together", "at once"):
        assert notes[way].fetched.total() <= 0.6 * notes["apart"].fetched.total()
        assert notes[way].asked.total() <= 0.6 * notes["apart"].asked.total()


def test_a_turn_reads_no_record_of_the_owner_twice(shared: Stand) -> None:
    noted = Noting(shared.readers["crm"])
    flows = [shared.map.flow("to_billing"), shared.map.flow("to_shop")]
    owner = OwnerReads(noted, flows, fresh_s=math.inf)
    results = [each.audit(datetime.now(UTC), sample=100, owner=owner) for each in auditors(shared, shared.ledger)]
    assert {*range(1, 31)} <= noted.fetched.keys()
    assert [each.shared for each in results] == [0, 30]  # each target has one that the owner lacks
    assert [row["shared"] for row in shared.rows("probe_runs")] == [0, 30]
    assert {*noted.fetched.values()} == {1}


def together(
    stand: Stand, both: Sequence[Auditor], meanwhile: Callable[[], None] = lambda: None
) -> list[AuditResult]:
    """Audit flows together; something happens after the first of them."""
    now = datetime.now(UTC)
    owner = OwnerReads(stand.readers["crm"], [each.flow for each in both], fresh_s=math.inf)
    first = both[0].audit(now, sample=100, owner=owner)
    meanwhile()
    return [first, *(each.audit(now, sample=100, owner=owner) for each in both[1:])]


def test_what_is_written_after_the_owner_was_read_is_dated_by_that_reading(shared: Stand) -> None:
    both = auditors(shared, shared.ledger)
    together(shared, both)
    written_at: list[datetime] = []

    def write() -> None:
        written_at.append(datetime.now(UTC))
        for key in (1, 2):
            shared.put("crm", key, name="Eve", ago_s=0)
        shared.run("billing", "UPDATE copies SET name = 'Eve' WHERE id = 1")
        written_at.append(datetime.now(UTC))

    def of_shop(table: str) -> dict[object, dict[str, Any]]:
        rows = [row for row in shared.rows(table) if row["flow"] == "to_shop" and row["key"] in {"1", "2"}]
        return {row["key"]: row for row in rows}

    together(shared, both, write)
    assert of_shop("divergences") == {}  # the owner, read before, is behind the target in record 1
    polled_at = shared.ledger.flows.state("to_shop").watermark.polled_at
    assert polled_at is not None
    assert polled_at < written_at[0]  # nothing is known of what came later
    together(shared, both)
    assert of_shop("divergences") == {}
    changes = of_shop("changes")
    assert {key: row["verdict"] for key, row in changes.items()} == {"1": "met", "2": "pending"}
    begun_us, ended_us = ((at - EPOCH) // MICROSECOND for at in written_at)
    for row in changes.values():
        assert row["committed_from_at"] <= ended_us
        assert row["committed_to_at"] >= begun_us


def test_a_field_that_one_flow_cannot_read_takes_nothing_from_the_others(shared: Stand) -> None:
    shared.run("crm", "ALTER TABLE customers RENAME COLUMN amount TO total")
    both = auditors(shared, shared.ledger)
    failed, shop = together(shared, both)
    with closing(ledgers.at(shared.place / "apart.sqlite")) as ledger:
        apart = auditors(shared, ledger)[1].audit(datetime.now(UTC), sample=100)
    assert failed.error is not None
    assert (shop.error, shop.read) == (None, 31)
    assert shop.counts == apart.counts


def test_once_sweeps_the_flows_of_one_owner_side_by_side(shared: Stand) -> None:
    said: list[str] = []
    reports = audit_once(
        shared.map, shared.ledger, b"k" * 32, flows=["to_shop", "to_billing"], wait_s=0, tell=said.append
    )
    assert [(each.flow, each.records, each.error) for each in reports] == [
        ("to_shop", 31, ""),
        ("to_billing", 31, ""),
    ]
    assert said == ["to_shop: 31 records read", "to_billing: 31 records read"]


# -- reads of scripted owners


@dataclass
class Scripted:
    """An owner of three records with the fields `a` and `b`, which fails as it is told to.

    Attributes:
        broken: fields that nothing can be read with.
        spoiled: by field, the records that cannot be read with it.
        listed: records in the list of changes.
        cut: there are more of them.
        hold: what a read by key waits for; None for nothing.
        raised: what the next reads by key raise, or fail with.
    """

    broken: frozenset[str] = frozenset()
    spoiled: dict[str, Key] = field(default_factory=dict)
    asked: list[tuple[Any, ...]] = field(default_factory=list)
    listed: tuple[Key, ...] = (1,)
    cut: bool = False
    hold: threading.Event | None = None
    raised: list[Exception] = field(default_factory=list)
    name: str = "crm"

    def _read(self, spec: ReadSpec, keys: Sequence[Key], *question: object) -> Reading:
        self.asked.append((*question, "+".join(spec.fields)))
        at = NOW + timedelta(seconds=len(self.asked))
        if self.broken & {*spec.fields}:
            error = ProbeError(Reason.PERMISSION, f"no right to read {min(self.broken & {*spec.fields})}")
            return Reading(system="crm", sent_at=at, received_at=at, error=error)
        unreadable = {key: "spoiled" for name, key in self.spoiled.items() if name in spec.fields and key in keys}
        read = [key for key in keys if key not in unreadable]
        rows: list[Row] = [(key, None, *(f"{name}{key}" for name in spec.fields)) for key in read if key in (1, 2, 3)]
        instants = dict.fromkeys(read, (at, at))
        return Reading(system="crm", sent_at=at, received_at=at, rows=rows, unreadable=unreadable, instants=instants)

    def changed(self, spec: ReadSpec, since: datetime | int | None, limit: int) -> Reading:
        reading = self._read(spec, self.listed, "changed", since, limit)
        return replace(reading, instants={}, truncated=self.cut)

    def page(self, spec: ReadSpec, after: str | None, limit: int) -> Reading:
        return replace(self._read(spec, [1, 2, 3], "page", after, limit), instants={})

    def fetch(self, spec: ReadSpec, keys: Sequence[Key]) -> Reading:
        reading = self._read(spec, keys, *keys)
        if self.hold is not None:
            assert self.hold.wait(PATIENCE_S)
        if self.raised:
            error = self.raised.pop(0)
            if isinstance(error, ProbeError):
                return replace(reading, rows=[], instants={}, error=error)
            raise error
        return reading

    def ranked(self, spec: ReadSpec, seed: str, lower: int, upper: int, limit: int) -> Sequence[tuple[Any, int]]:
        self.asked.append(("ranked", lower, upper, limit))
        return [(1, 5)]

    def can_rank(self, spec: ReadSpec, seed: str) -> bool:
        self.asked.append(("can_rank",))
        raise ProbeError(Reason.TIMEOUT, "too slow") if len(self.asked) == 1 else ProbeError(Reason.DECODE, "again")

    def highest_version(self, spec: ReadSpec) -> int | None:
        self.asked.append(("highest_version",))
        return None


@pytest.fixture
def flow(stand: Stand) -> Flow:
    return stand.map.flow("to_billing")


def with_fields(flow: Flow, *names: str) -> ReadSpec:
    return replace(flow.source_spec, fields=names)


@dataclass
class Sharing:
    """Two flows of a scripted owner, with their specs; by default one has the field `a` and the other `b`."""

    flow: Flow
    owner: Owner
    fields: tuple[str, str] = ("a", "b")
    words: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        flows = [replace(self.flow, name=name) for name in "ab"]
        for each, names in zip(flows, self.fields, strict=True):
            each.__dict__["source_spec"] = with_fields(self.flow, names)
        self.spec_a, self.spec_b = (each.source_spec for each in flows)
        self.reads = OwnerReads(self.owner, flows, **{"fresh_s": math.inf, **self.words})

    def open(self, name: str, at: datetime = NOW, *, join: bool = True) -> OwnerShare:
        return self.reads.open(name, at, join=join)

    def both(self) -> tuple[OwnerShare, ReadSpec, OwnerShare, ReadSpec]:
        return self.open("a"), self.spec_a, self.open("b"), self.spec_b


def test_each_flow_gets_its_own_fields_of_one_reading_with_the_instants_of_that(flow: Flow) -> None:
    owner = Scripted()
    one, a, other, b = Sharing(flow, owner).both()
    first, second = one.fetch(a, [1, 9]), other.fetch(b, [9, 1, 2])
    assert owner.asked == [(1, 9, "a+b"), (2, "a+b")]
    assert (first.rows, second.rows) == ([(1, None, "a1")], [(1, None, "b1"), (2, None, "b2")])
    assert [second.when(key)[0] for key in (1, 9, 2)] == [NOW + timedelta(seconds=s) for s in (1, 1, 2)]
    assert (second.sent_at, second.received_at) == tuple(NOW + timedelta(seconds=s) for s in (1, 2))
    for share, spec, name in ((one, a, "a"), (other, b, "b")):
        assert share.page(spec, None, 5).rows[2] == (3, None, f"{name}3")
        assert share.changed(spec, NOW, 5).rows == [(1, None, f"{name}1")]
        assert share.ranked(spec, "seed", 0, 9, 5) == [(1, 5)]
        assert share.highest_version(spec) is None
    assert len(owner.asked) == 6
    other.changed(b, NOW - timedelta(days=1), 5)  # another part of the list
    assert len(owner.asked) == 7
    assert (one.shared, other.shared) == (0, 2 + 3 + 1)


def test_a_list_that_no_limit_cuts_off_serves_other_limits(flow: Flow) -> None:
    owner = Scripted(listed=(1, 2))
    one, a, other, b = Sharing(flow, owner).both()
    one.changed(a, NOW, 5)
    assert len(other.changed(b, NOW, 2).rows) == 2
    assert len(owner.asked) == 1
    other.changed(b, NOW, 1)
    assert owner.asked[1:] == [("changed", NOW, 1, "a+b")]
    owner.cut = True
    third, fourth = Sharing(flow, owner).both()[::2]
    third.changed(a, NOW, 3)
    fourth.changed(b, NOW, 3)
    fourth.changed(b, NOW, 4)
    fourth.changed(b, NOW, 4)
    assert [asked[2] for asked in owner.asked[2:]] == [3, 4]


def test_a_list_shows_nothing_of_records_that_are_read_by_key(flow: Flow) -> None:
    owner = Scripted()
    one, a, _, _ = Sharing(flow, owner).both()
    one.changed(a, NOW, 5)
    one.fetch(a, [1])
    assert owner.asked[-1] == (1, "a+b")


def test_keys_alone_are_read_without_any_field(flow: Flow) -> None:
    owner = Scripted()
    one, a, _, _ = Sharing(flow, owner).both()
    assert one.fetch(a.keys_only(), [1]).rows == [(1, None)]
    assert one.fetch(a, []).rows == []
    assert [asked[-1] for asked in owner.asked] == ["", "a"]


def test_what_another_flow_reads_spoils_nothing(flow: Flow) -> None:
    one, a, other, b = Sharing(flow, Scripted(broken=frozenset("b"))).both()
    for read in (one.fetch(a, [1]), one.page(a, None, 5), one.changed(a, NOW, 5)):
        assert read.error is None
        assert (1, None, "a1") in read.rows
    failure = other.fetch(b, [1]).error
    assert failure is not None
    assert failure.reason is Reason.PERMISSION
    assert other.page(b, None, 5).error is not None
    one, a, other, b = Sharing(flow, Scripted(spoiled={"b": 2})).both()
    first, second = one.fetch(a, [1, 2]), other.fetch(b, [1, 2])
    assert (first.rows, first.unreadable) == ([(1, None, "a1"), (2, None, "a2")], {})
    assert (second.rows, second.unreadable) == ([(1, None, "b1")], {2: "spoiled"})


def test_records_count_as_often_as_the_owner_returned_them(flow: Flow) -> None:
    sharing = Sharing(flow, Scripted())
    one, a, other, b = sharing.both()
    for share, spec in ((one, a), (other, b), (one, a.keys_only())):
        share.fetch(spec, [1, 9])
        share.page(spec, None, 5)
    assert sharing.reads.records == 5
    for share in (one, other):
        share.close()
    assert sharing.reads.shared == 5
    sharing = Sharing(flow, Scripted(spoiled={"b": 2}))
    one, a, other, b = sharing.both()
    one.fetch(a, [1, 2])
    other.fetch(b, [1, 2])
    assert sharing.reads.records == 2
    sharing = Sharing(flow, Scripted(broken=frozenset("b")))
    one, a, other, b = sharing.both()
    for _ in range(2):
        one.page(a, None, 5)
    assert sharing.reads.records == 6


def test_a_failure_is_not_kept_for_the_next_flow(flow: Flow) -> None:
    one, a, other, b = Sharing(flow, Scripted()).both()
    with pytest.raises(ProbeError, match="too slow"):
        one.can_rank(a, "seed")
    with pytest.raises(ProbeError, match="again"):
        other.can_rank(b, "seed")


# -- how fresh


def test_what_is_due_is_read_after_the_audit_has_begun(flow: Flow) -> None:
    owner = Scripted()
    sharing = Sharing(flow, owner)
    one = sharing.open("a")
    one.fetch(sharing.spec_a, [1, 2, 3])
    other = sharing.open("b", NOW + timedelta(milliseconds=1))
    other.read_afresh({2})
    assert other.at == NOW
    assert other.fetch(sharing.spec_b, [1, 2]).when(2)[0] == NOW + timedelta(seconds=2)
    assert owner.asked == [(1, 2, 3, "a+b"), (2, "a+b")]


def test_an_audit_for_the_same_instant_may_take_what_is_due_from_the_first_of_them(flow: Flow) -> None:
    owner = Scripted()
    one, a, other, b = Sharing(flow, owner).both()
    one.fetch(a, [2])
    other.read_afresh({2})
    other.fetch(b, [2])
    assert owner.asked == [(2, "a+b")]


def test_an_announced_record_is_read_after_its_announcement(flow: Flow) -> None:
    owner = Scripted(listed=(1, 2))
    one, a, other, b = Sharing(flow, owner).both()
    one.fetch(a, [1, 2])
    one.changed(a, NOW, 5)
    other.read_afresh((), {2})
    assert other.fetch(b, [1, 2]).when(2)[0] == NOW + timedelta(seconds=3)
    other.changed(b, NOW, 5)
    assert owner.asked[2:] == [(2, "a+b"), ("changed", NOW, 5, "a+b")]


def test_a_list_that_shows_a_record_that_is_due_is_read_afresh(flow: Flow) -> None:
    owner = Scripted(listed=(1, 2))
    sharing = Sharing(flow, owner)
    sharing.open("a").changed(sharing.spec_a, NOW, 5)
    late = sharing.open("b", NOW + timedelta(milliseconds=1))
    late.read_afresh({3})
    assert late.changed(sharing.spec_b, NOW, 5).sent_at == NOW + timedelta(seconds=1)
    late.read_afresh({2})
    assert late.changed(sharing.spec_b, NOW, 5).sent_at == NOW + timedelta(seconds=2)


def test_a_listed_record_is_not_taken_from_a_reading_before_the_list(flow: Flow) -> None:
    owner = Scripted(listed=(2,))
    one, a, other, b = Sharing(flow, owner).both()
    one.fetch(a, [1, 2])
    other.changed(b, NOW, 5)
    assert other.fetch(b, [1, 2]).when(2)[0] == NOW + timedelta(seconds=3)
    assert owner.asked[2:] == [(2, "a+b")]


def test_no_flow_uses_a_reading_twice(flow: Flow) -> None:
    owner = Scripted()
    sharing = Sharing(flow, owner)
    one, other = sharing.open("a"), sharing.open("b")
    one.fetch(sharing.spec_a, [1])
    one.close()
    again = sharing.open("a", NOW + timedelta(seconds=60))
    assert again.at > NOW
    again.fetch(sharing.spec_a, [1])
    other.fetch(sharing.spec_b, [1])  # for the first instant, the later reading will do
    assert len(owner.asked) == 2
    between = sharing.open("b", NOW + timedelta(seconds=61), join=False)
    between.fetch(sharing.spec_b, [1])
    assert len(owner.asked) == 3


def test_an_audit_that_comes_later_is_planned_for_its_own_instant(flow: Flow) -> None:
    steady = [0.0]
    owner = Scripted()
    sharing = Sharing(flow, owner, words={"fresh_s": None, "steady": lambda: steady[0]})
    fresh_s = FRESH * min(flow.every_s, flow.window_s)
    one = sharing.open("a")
    one.fetch(sharing.spec_a, [1])
    steady[0] = 1.01 * fresh_s
    late = NOW + timedelta(seconds=steady[0])
    other = sharing.open("b", late)
    assert other.at == late
    other.fetch(sharing.spec_b, [1])
    assert len(owner.asked) == 2


def test_a_clock_that_is_set_back_joins_nothing(flow: Flow) -> None:
    sharing = Sharing(flow, Scripted())
    sharing.open("a").fetch(sharing.spec_a, [1])
    earlier = NOW - timedelta(seconds=60)
    assert sharing.open("b", earlier).at == earlier


@dataclass
class Counted:
    """An owner whose records hold the number of the read that returned them."""

    reads: int = 0
    name: str = "crm"

    def fetch(self, spec: ReadSpec, keys: Sequence[Key]) -> Reading:
        self.reads += 1
        rows: list[Row] = [(key, None, *(self.reads for _ in spec.fields)) for key in keys]
        return Reading(
            system="crm", sent_at=NOW, received_at=NOW, rows=rows, instants=dict.fromkeys(keys, (NOW, NOW))
        )

    def changed(self, spec: ReadSpec, since: datetime | int | None, limit: int) -> Reading:
        return replace(self.fetch(spec, [1, 2]), instants={})

    def page(self, spec: ReadSpec, after: str | None, limit: int) -> Reading:
        return replace(self.fetch(spec, [1, 2, 3]), instants={})

    def ranked(self, spec: ReadSpec, seed: str, lower: int, upper: int, limit: int) -> Sequence[tuple[Any, int]]:
        return []

    def can_rank(self, spec: ReadSpec, seed: str) -> bool:
        return True

    def highest_version(self, spec: ReadSpec) -> int | None:
        return None


STEPS = st.lists(
    st.tuples(
        st.sampled_from("ab"),
        st.one_of(
            st.tuples(st.sampled_from(["open", "alone"]), st.sets(st.integers(1, 3))),
            st.tuples(st.sampled_from(["fetch", "wait"]), st.sets(st.integers(1, 3), min_size=1)),
            st.tuples(st.sampled_from(["close", "changed", "page"]), st.just(set())),
        ),
    ),
    max_size=50,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, fresh_s=st.sampled_from([0.0, 3.0, math.inf]), limit=st.sampled_from([0, 2, 50]))
def test_no_reading_is_older_than_the_audit_needs(
    flow: Flow, steps: list[tuple[str, tuple[str, set[int]]]], fresh_s: float, limit: int
) -> None:
    """By the number of the read in each record, whatever audits of two flows do one after the other."""
    owner, now_s = Counted(), [0.0]
    sharing = Sharing(flow, owner, words={"fresh_s": fresh_s, "steady": lambda: now_s[0], "records_limit": limit})
    specs = {"a": sharing.spec_a, "b": sharing.spec_b}
    reads_at: dict[datetime, int] = {}
    shares: dict[str, OwnerShare] = {}
    begun: dict[str, tuple[int, set[int]]] = {}
    used: dict[str, set[int]] = {"a": set(), "b": set()}
    earlier: dict[str, set[int]] = {"a": set(), "b": set()}
    listed: dict[str, int] = {}
    for name, (step, keys) in steps:
        now_s[0] += 1.0 if step == "wait" else 0.001
        now = NOW + timedelta(seconds=now_s[0])
        share = shares.get(name)
        if step in {"open", "alone"} and share is None:
            reads_at[now] = owner.reads
            share = shares[name] = sharing.open(name, now, join=step == "open")
            share.read_afresh({*keys})
            begun[name], listed[name] = (owner.reads, keys), 0
        elif step == "close" and share is not None:
            share.close()
            del shares[name]
            earlier[name] |= used[name]
            used[name] = set()
        elif share is not None and step in {"fetch", "changed", "page"}:
            if step == "fetch":
                reading = share.fetch(specs[name], [*keys])
                assert {row[0] for row in reading.rows} == keys
            else:
                reading = share.page(specs[name], None, 9) if step == "page" else share.changed(specs[name], NOW, 9)
            for row in reading.rows:
                assert row[2] > reads_at[share.at]
                if row[0] in begun[name][1]:
                    assert row[2] > begun[name][0]
                if step == "fetch" and row[0] in (1, 2):
                    assert row[2] >= listed[name]
                used[name].add(row[2])
            if step == "changed":
                listed[name] = reading.rows[0][2]
            assert not used[name] & earlier[name]
        assert sharing.reads.held[0] <= limit
    for share in shares.values():
        share.close()
    now_s[0] += 10.0
    if fresh_s < math.inf:
        sharing.reads.forget()
        assert sharing.reads.held == (0, 0)


# -- several at once


def side_by_side(sharing: Sharing, keys: tuple[list[Key], list[Key]], owner: Scripted) -> list[Future[Reading]]:
    """Fetch for both flows at once; the first read is held until the second audit waits for it."""
    owner.hold = threading.Event()
    one, a, other, b = sharing.both()
    pool = ThreadPoolExecutor(2)
    first = pool.submit(one.fetch, a, keys[0])
    wait_until(lambda: len(owner.asked) == 1)
    second = pool.submit(other.fetch, b, keys[1])
    lacking = {*keys[1]} - {*keys[0]}
    wait_until(lambda: len(owner.asked) == 1 + bool(lacking))
    owner.hold.set()
    pool.shutdown(wait=True)
    return [first, second]


def test_who_needs_what_is_being_read_waits_for_it(flow: Flow) -> None:
    owner = Scripted()
    first, second = side_by_side(Sharing(flow, owner), ([1, 2], [2, 3]), owner)
    assert owner.asked == [(1, 2, "a+b"), (3, "a+b")]
    assert first.result().rows == [(1, None, "a1"), (2, None, "a2")]
    assert {row[KEY]: row for row in second.result().rows} == {2: (2, None, "b2"), 3: (3, None, "b3")}
    assert second.result().when(2) == first.result().when(2)


def test_a_read_that_fails_fails_who_waited_for_it_and_nobody_else(flow: Flow) -> None:
    owner = Scripted(raised=[ProbeError(Reason.PERMISSION, "no right")])
    sharing = Sharing(flow, owner, fields=("a", "a"))
    both = [each.result() for each in side_by_side(sharing, ([1], [1]), owner)]
    assert [each.error and each.error.message for each in both] in (["no right"] * 2, ["no right", None])
    third = sharing.open("a", NOW + timedelta(seconds=1))
    assert third.fetch(sharing.spec_a, [1]).error is None


def test_a_spent_budget_of_one_flow_is_not_that_of_the_others(flow: Flow) -> None:
    owner = Scripted(raised=[SpentError(Reason.OVER_BUDGET, "spent")])
    first, second = side_by_side(Sharing(flow, owner, fields=("a", "a")), ([1], [1]), owner)
    assert isinstance(first.result().error, SpentError)
    assert second.result().error is None
    assert len(owner.asked) == 2


def test_a_reader_that_is_closed_ends_who_waits(flow: Flow) -> None:
    owner = Scripted(raised=[ReaderClosedError("crm"), ReaderClosedError("crm")])
    for each in side_by_side(Sharing(flow, owner, fields=("a", "a")), ([1], [1]), owner):
        with pytest.raises(ReaderClosedError):
            each.result()


def test_nobody_waits_longer_than_for_a_call(flow: Flow) -> None:
    owner = Scripted(hold=threading.Event())
    assert owner.hold is not None
    sharing = Sharing(flow, owner, words={"wait_s": 0.01})
    one, a, other, b = sharing.both()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(one.fetch, a, [1])
        wait_until(lambda: len(owner.asked) == 1)
        second = pool.submit(other.fetch, b, [1])
        wait_until(lambda: len(owner.asked) == 2)  # by itself, although the first read is not over
        owner.hold.set()
    assert (first.result().rows, second.result().rows) == ([(1, None, "a1")], [(1, None, "b1")])


# -- for how long


def test_records_are_forgotten_when_no_audit_can_use_them_any_more(flow: Flow) -> None:
    sharing = Sharing(flow, Scripted())
    one = sharing.open("a")
    one.fetch(sharing.spec_a, [1, 2])
    one.close()
    assert sharing.reads.held[0] == 2  # the other flow may come
    other = sharing.open("b")
    other.fetch(sharing.spec_b, [1])
    other.close()
    assert sharing.reads.held == (0, 0)


def test_records_are_forgotten_when_the_other_flow_does_not_come(flow: Flow) -> None:
    steady = [0.0]
    sharing = Sharing(flow, Scripted(), words={"fresh_s": 1.0, "steady": lambda: steady[0]})
    one = sharing.open("a")
    one.fetch(sharing.spec_a, [1, 2])
    one.close()
    sharing.reads.forget()
    assert sharing.reads.held[0] == 2
    steady[0] = 1.1
    sharing.reads.forget()
    assert sharing.reads.held == (0, 0)


def test_what_does_not_fit_is_read_again(flow: Flow) -> None:
    owner = Scripted()
    sharing = Sharing(flow, owner, words={"bytes_limit": 1_500})
    one, a, other, b = sharing.both()
    one.fetch(a, [1, 2, 3])
    assert 0 < sharing.reads.held[1] <= 1_500
    assert len(other.fetch(b, [1, 2, 3]).rows) == 3
    assert len(owner.asked) == 2
    assert 0 < len(owner.asked[1]) - 1 < 3
