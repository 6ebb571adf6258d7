"""One reading of an owner for all flows that start there: the same verdicts as apart, and every record read once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from auditor.audit.flow_audit import Auditor
from auditor.audit.once import audit_once
from auditor.audit.owner_reads import Owner, OwnerReads
from auditor.audit.result import AuditResult
from auditor.ledger import Ledger
from auditor.map.flow import Flow
from checks.judgement import Outcome
from checks.values import EPOCH, MICROSECOND
from probes.contract import Key, ProbeError, Reading, ReadSpec, Reason, Row
from tests.stand import Stand

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
    ledgers: dict[str, Any] = {}
    notes: dict[str, Noting] = {}
    results: dict[str, list[Any]] = {}
    begun_at = datetime.now(UTC)
    for way in ("apart", "together"):
        with closing(Ledger(f"sqlite:///{shared.place}/{way}.sqlite")) as ledger:
            ledger.migrate()
            both = auditors(shared, ledger)
            noted = notes[way] = Noting(shared.readers["crm"])
            results[way] = []
            for turn in range(12):
                now = begun_at + timedelta(seconds=1000 * turn)  # whatever is to be looked at again is due
                owner = noted if way == "apart" else OwnerReads(noted, [each.flow for each in both])
                for auditor in both:
                    result = auditor.audit(now, sample=10, owner=owner)
                    assert result.error is None
                    results[way].append((result.flow, merged(result.counts), result.swept, result.taken))
            ledgers[way] = told(ledger)
    assert results["together"] == results["apart"]
    assert ledgers["together"] == ledgers["apart"]
    causes = {(row[0], row[3]) for row in ledgers["apart"]["divergences"]}
    assert {flow for flow, _ in causes} == {"to_billing", "to_shop"}
    assert len(causes) >= 4
    # Almost every record is read once instead of twice, and so is every list.
    assert notes["together"].fetched.total() <= 0.6 * notes["apart"].fetched.total()
    assert notes["together"].asked.total() <= 0.6 * notes["apart"].asked.total()


def test_a_turn_reads_no_record_of_the_owner_twice(shared: Stand) -> None:
    noted = Noting(shared.readers["crm"])
    owner = OwnerReads(noted, [shared.map.flow("to_billing"), shared.map.flow("to_shop")])
    for auditor in auditors(shared, shared.ledger):
        auditor.audit(datetime.now(UTC), sample=100, owner=owner)
    assert {*range(1, 31)} <= noted.fetched.keys()
    assert {*noted.fetched.values()} == {1}


def together(
    stand: Stand, both: Sequence[Auditor], meanwhile: Callable[[], None] = lambda: None
) -> list[AuditResult]:
    """Audit flows together; something happens after the first of them."""
    now, owner = datetime.now(UTC), OwnerReads(stand.readers["crm"], [each.flow for each in both])
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
    with closing(Ledger(f"sqlite:///{shared.place}/apart.sqlite")) as ledger:
        ledger.migrate()
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


# -- one turn's readings


@dataclass
class Scripted:
    """An owner of three records with the fields `a` and `b`, which fails as it is told to.

    Attributes:
        broken: fields that nothing can be read with.
        spoiled: by field, the records that cannot be read with it.
    """

    broken: frozenset[str] = frozenset()
    spoiled: dict[str, Key] = field(default_factory=dict)
    asked: list[tuple[Any, ...]] = field(default_factory=list)
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
        return self._read(spec, [1], "changed", since, limit)

    def page(self, spec: ReadSpec, after: str | None, limit: int) -> Reading:
        return self._read(spec, [1, 2, 3], "page", after, limit)

    def fetch(self, spec: ReadSpec, keys: Sequence[Key]) -> Reading:
        return self._read(spec, keys, *keys)

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


def reads(flow: Flow, owner: Scripted) -> tuple[OwnerReads, ReadSpec, ReadSpec]:
    """What one turn reads for two flows, of which one has the field `a` and the other `b`."""
    one, other = (replace(flow, name=name) for name in "ab")
    one.__dict__["source_spec"], other.__dict__["source_spec"] = with_fields(flow, "a"), with_fields(flow, "b")
    return OwnerReads(owner, [one, other]), one.source_spec, other.source_spec


def test_each_flow_gets_its_own_fields_of_one_reading_with_the_instants_of_that(flow: Flow) -> None:
    owner = Scripted()
    turn, a, b = reads(flow, owner)
    first, second = turn.fetch(a, [1, 9]), turn.fetch(b, [9, 1, 2])
    assert owner.asked == [(1, 9, "a+b"), (2, "a+b")]
    assert (first.rows, second.rows) == ([(1, None, "a1")], [(1, None, "b1"), (2, None, "b2")])
    assert [second.when(key)[0] for key in (1, 9, 2)] == [NOW + timedelta(seconds=s) for s in (1, 1, 2)]
    assert (second.sent_at, second.received_at) == tuple(NOW + timedelta(seconds=s) for s in (1, 2))
    for _ in range(2):
        assert turn.page(b, None, 5).rows[2] == (3, None, "b3")
        assert turn.changed(a, NOW, 5).rows == [(1, None, "a1")]
        assert turn.ranked(a, "seed", 0, 9, 5) == [(1, 5)]
        assert turn.highest_version(a) is None
    assert len(owner.asked) == 6
    turn.changed(b, NOW, 6)  # another question
    assert len(owner.asked) == 7


def test_a_list_shows_nothing_of_records_that_are_asked_for_by_key(flow: Flow) -> None:
    owner = Scripted()
    turn, a, _ = reads(flow, owner)
    turn.changed(a, NOW, 5)
    turn.fetch(a, [1])
    assert owner.asked[-1] == (1, "a+b")


def test_keys_alone_are_asked_for_without_any_field(flow: Flow) -> None:
    owner = Scripted()
    turn, a, _ = reads(flow, owner)
    assert turn.fetch(a.keys_only(), [1]).rows == [(1, None)]
    assert turn.fetch(a, []).rows == []
    assert [asked[-1] for asked in owner.asked] == ["", "a"]


def test_what_another_flow_reads_spoils_nothing(flow: Flow) -> None:
    owner = Scripted(broken=frozenset("b"))
    turn, a, b = reads(flow, owner)
    for read in (turn.fetch(a, [1]), turn.page(a, None, 5), turn.changed(a, NOW, 5)):
        assert read.error is None
        assert (1, None, "a1") in read.rows
    failure = turn.fetch(b, [1]).error
    assert failure is not None
    assert failure.reason is Reason.PERMISSION
    assert turn.page(b, None, 5).error is not None
    owner = Scripted(spoiled={"b": 2})
    turn, a, b = reads(flow, owner)
    first, second = turn.fetch(a, [1, 2]), turn.fetch(b, [1, 2])
    assert (first.rows, first.unreadable) == ([(1, None, "a1"), (2, None, "a2")], {})
    assert (second.rows, second.unreadable) == ([(1, None, "b1")], {2: "spoiled"})


def test_records_count_as_often_as_the_owner_gave_them(flow: Flow) -> None:
    turn, a, b = reads(flow, Scripted())
    for spec in (a, b, a.keys_only()):
        turn.fetch(spec, [1, 9])
        turn.page(spec, None, 5)
    assert turn.records == 5
    turn, a, b = reads(flow, Scripted(spoiled={"b": 2}))
    turn.fetch(a, [1, 2])
    turn.fetch(b, [1, 2])
    assert turn.records == 2
    turn, a, b = reads(flow, Scripted(broken=frozenset("b")))
    for _ in range(2):
        turn.page(a, None, 5)
    assert turn.records == 6


def test_a_failure_is_no_answer_for_the_next_flow(flow: Flow) -> None:
    owner = Scripted()
    turn, a, b = reads(flow, owner)
    with pytest.raises(ProbeError, match="too slow"):
        turn.can_rank(a, "seed")
    with pytest.raises(ProbeError, match="again"):
        turn.can_rank(b, "seed")
