"""A target with keys of its own: its pairs are a column of the owner, or a table in a third system."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from pymongo import MongoClient

from auditor.audit.once import audit_once
from auditor.conflicts.repair import propose
from auditor.map.document import markdown
from auditor.map.loader import load_map
from auditor.map.problems import MapError
from auditor.systems.allowance import Worth
from auditor.systems.doctor import examine
from auditor.systems.live_record import read_record
from checks.judgement import Outcome
from tests.auditor.audit.test_flow_audit import open_causes
from tests.stand import Stand, swept

COLUMN = "{system: crm, collection: contacts, key: id, own_key: billing_no}"
TABLE = "{system: links, collection: pairs, key: crm_id, own_key: billing_no}"


class Crossed(Stand):
    """Contacts with numbers, and accounts with numbers of their own."""

    def cross(self, by: str) -> None:
        """Let the pairs be a column of the owner or a table."""
        self.by = by
        with self.open("crm") as database:
            database.execute(
                "CREATE TABLE contacts (id integer PRIMARY KEY, name, amount, updated_at, billing_no text)"
            )
        with self.open("links") as database:
            database.execute("CREATE TABLE pairs (crm_id integer, billing_no text)")
        with self.open("billing") as database:
            database.execute("CREATE TABLE accounts (number text, name text, amount text)")
        links = f'  links: {{kind: sql, url: "sqlite:///{self.place}/links.sqlite"}}\ndata_types:'
        text = self.map_file.read_text().replace("data_types:", links, 1)
        text = text.replace("crm: {collection: customers", "crm: {collection: contacts")
        old, own = "billing: {collection: customers, key: id}", COLUMN if by == "column" else TABLE
        assert old in text
        text = text.replace(old, f"billing: {{collection: accounts, key: number, crosswalk: {own}}}")
        self.map_file.write_text(text)
        self.remap("every: 1s", "every: 1s")

    def contact(self, key: int, no: str | None = None, name: str = "Ada") -> None:
        """Write a record of the owner, and its pair."""
        at = self.clock.now().strftime("%Y-%m-%d %H:%M:%S.%f")
        with self.open("crm") as database:
            database.execute("INSERT OR REPLACE INTO contacts VALUES (?, ?, '1.00', ?, ?)", (key, name, at, no))
        if self.by == "table" and no is not None:
            self.pair(key, no)

    def pair(self, key: int, no: str) -> None:
        with self.open("links") as database:
            database.execute("INSERT INTO pairs VALUES (?, ?)", (key, no))

    def account(self, no: str, name: str = "Ada") -> None:
        with self.open("billing") as database:
            database.execute("DELETE FROM accounts WHERE number = ?", (no,))
            database.execute("INSERT INTO accounts VALUES (?, ?, '1.00')", (no, name))

    def both(self, count: int) -> None:
        """Write records that agree, each with a pair, as of an hour ago."""
        for key in range(1, count + 1):
            self.contact(key, f"B{key}")
            self.account(f"B{key}")
        self.clock.advance(3600)

    def found(self) -> dict[str, tuple[str, str]]:
        """By key, kind and cause of what differs now."""
        return {
            str(each["key"]): (str(each["kind"]), str(each["cause"]))
            for each in self.rows("divergences")
            if each["state"] == "open"
        }

    def unverified(self) -> dict[str, str]:
        return {row["name"]: row["reason"] for row in self.ledger.unverified.rows("to_billing", 99)}


@pytest.fixture(params=["column", "table"])
def crossed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Crossed]:
    with closing(Crossed(tmp_path)) as made:
        made.cross(request.param)
        yield made


@pytest.fixture
def paired(tmp_path: Path) -> Iterator[Crossed]:
    """With pairs in a table."""
    with closing(Crossed(tmp_path)) as made:
        made.cross("table")
        yield made


def test_records_with_different_keys_agree(crossed: Crossed) -> None:
    crossed.both(10)
    result = crossed.sweep()
    assert (result.read, result.counts[Outcome.AGREED]) == (10, 10)
    assert crossed.unverified() == {}


def test_what_differs_and_what_is_missing_is_found_by_the_key_of_the_data_type(crossed: Crossed) -> None:
    crossed.both(6)
    crossed.account("B2", "Eve")
    crossed.contact(7)  # no pair
    crossed.contact(8, "B8")  # a pair that leads to no record
    crossed.clock.advance(3600)
    crossed.sweep()
    crossed.audit_until(lambda: len(crossed.found()) == 3)
    found = crossed.found()
    assert {key: kind for key, (kind, _) in found.items()} == {"2": "value", "7": "missing", "8": "missing"}
    (unpaired,) = [each for each in crossed.rows("divergences") if each["key"] == "7"]
    called = "contacts in crm" if crossed.by == "column" else "pairs in links"
    assert unpaired["detail"] == f"{called} pairs it with no record of billing"


def test_a_change_is_followed_until_it_has_arrived(crossed: Crossed) -> None:
    crossed.both(5)
    crossed.sweep()
    crossed.audit()
    crossed.contact(3, "B3", "Grace")
    crossed.clock.advance(0.5)
    crossed.audit()
    crossed.account("B3", "Grace")
    crossed.audit_until(lambda: [e["verdict"] for e in crossed.rows("changes") if e["key"] == "3"] == ["met"])


def test_a_new_record_whose_pair_comes_later_is_in_flight_and_then_met(crossed: Crossed) -> None:
    crossed.both(5)
    crossed.sweep()
    crossed.audit()
    crossed.contact(6)
    crossed.clock.advance(0.5)
    crossed.audit()
    assert open_causes(crossed) == {}
    crossed.contact(6, "B6")
    crossed.account("B6")
    crossed.audit_until(lambda: "met" in [e["verdict"] for e in crossed.rows("changes") if e["key"] == "6"])
    assert open_causes(crossed) == {}


def test_a_pair_without_an_owner_leads_to_an_orphan(paired: Crossed) -> None:
    paired.both(5)
    paired.pair(99, "B99")
    paired.account("B99")
    paired.sweep()
    paired.audit_until(lambda: paired.found() == {"99": ("orphan", "orphan")})


def test_a_record_that_no_pair_leads_to_is_counted_and_named(crossed: Crossed) -> None:
    crossed.both(5)
    crossed.account("B77")
    result = crossed.sweep()
    assert result.counts[Outcome.CANNOT_VERIFY] == 1
    called = "contacts in crm" if crossed.by == "column" else "pairs in links"
    assert crossed.unverified()[""].endswith(f"or that {called} pairs with no record")
    assert open_causes(crossed) == {}


def test_two_records_of_one_key_are_a_duplicate(paired: Crossed) -> None:
    paired.both(5)
    paired.pair(3, "B3b")
    paired.account("B3b")
    paired.sweep()
    paired.audit_until(lambda: paired.found() == {"3": ("duplicate", "duplicate")})


def test_one_record_of_two_keys_is_a_duplicate_of_both(crossed: Crossed) -> None:
    crossed.both(5)
    crossed.contact(6, "B2")
    crossed.clock.advance(3600)
    crossed.sweep()
    crossed.audit_until(lambda: len(crossed.found()) == 2)
    assert crossed.found() == dict.fromkeys(("2", "6"), ("duplicate", "duplicate"))
    details = {str(each["detail"]) for each in crossed.rows("divergences")}
    called = "contacts in crm" if crossed.by == "column" else "pairs in links"
    assert details == {f"{called} pairs its record of billing with another key as well"}


def test_a_record_deleted_with_its_pair_is_followed_by_the_pair_that_was_read(crossed: Crossed) -> None:
    crossed.both(5)
    crossed.sweep()
    crossed.run("crm", "DELETE FROM contacts WHERE id = 3")
    crossed.run("links", "DELETE FROM pairs WHERE crm_id = 3")
    crossed.sweep()
    crossed.audit_until(lambda: "3" in crossed.found())
    assert crossed.found()["3"][0] == "orphan"
    crossed.run("billing", "DELETE FROM accounts WHERE number = 'B3'")
    crossed.audit_until(lambda: not crossed.found())


def test_a_record_deleted_with_its_pair_cannot_be_verified_after_a_restart(paired: Crossed) -> None:
    paired.both(5)
    paired.account("B3", "Eve")
    paired.sweep()
    paired.audit_until(lambda: "3" in paired.found())
    paired.run("crm", "DELETE FROM contacts WHERE id = 3")
    paired.run("links", "DELETE FROM pairs WHERE crm_id = 3")
    paired.remap("every: 1s", "every: 1s")
    paired.clock.advance(60)
    paired.audit()
    reason = "pairs in links pairs it with no record of billing, so it is unknown whether one is left"
    assert paired.unverified()["3"] == reason


def test_pairs_that_cannot_be_read_judge_nothing_and_are_named(paired: Crossed) -> None:
    paired.both(5)
    paired.run("links", "ALTER TABLE pairs RENAME TO gone")
    result = paired.audit()
    assert result.error is not None
    assert result.error[0] == "links"
    assert "no table named 'pairs'" in str(result.error[1])
    assert open_causes(paired) == {}
    paired.run("links", "ALTER TABLE gone RENAME TO pairs")
    result = paired.sweep()
    assert result.counts[Outcome.AGREED] == result.read == 5


def test_the_owner_may_be_the_system_with_keys_of_its_own(paired: Crossed) -> None:
    text = paired.map_file.read_text()
    text = text.replace("owner: crm", "owner: billing").replace(
        "from: crm\n    to: billing", "from: billing\n    to: crm"
    )
    paired.map_file.write_text(text)
    paired.remap("every: 1s", "every: 1s")
    paired.both(5)
    paired.contact(2, "B2", "Eve")
    paired.run("links", "DELETE FROM pairs WHERE crm_id IN (2, 4)")
    paired.pair(2, "B2")
    paired.contact(9)
    paired.clock.advance(3600)
    paired.sweep()
    paired.audit_until(lambda: len(paired.found()) == 3)
    assert {key: kind for key, (kind, _) in paired.found().items()} == {"2": "value", "4": "orphan", "9": "orphan"}
    assert "" in paired.unverified()  # B4 has no key any more


def test_flows_that_share_an_owner_with_keys_of_its_own_share_its_pairs(paired: Crossed) -> None:
    text = paired.map_file.read_text()
    text = text.replace("owner: crm", "owner: billing").replace(
        "from: crm\n    to: billing", "from: billing\n    to: crm"
    )
    more = "  names: {data_type: customer, from: billing, to: crm, pattern: real-time, every: 1s, fields: [name]}\n"
    paired.map_file.write_text(text + more)
    paired.remap("every: 1s\n", "every: 1s\n")
    paired.both(5)
    paired.contact(6, "B2")
    paired.contact(9)
    reports = audit_once(
        paired.map, paired.ledger, b"k" * 32, flows=["to_billing", "names"], wait_s=0, tell=lambda _: None
    )
    for report in reports:
        assert report.error == ""
        assert {each["key"] for each in report.findings.pending} == {"2", "6", "9"}
    kinds = {(each["flow"], each["key"], each["kind"]) for each in paired.rows("divergences")}
    named = {"2": "duplicate", "6": "duplicate", "9": "orphan"}
    assert kinds == {(flow, key, kind) for flow in ("to_billing", "names") for key, kind in named.items()}


def test_pairs_are_read_in_batches_within_the_budget_of_their_system(paired: Crossed) -> None:
    paired.both(120)
    paired.remap("links: {kind: sql,", "links: {kind: sql, budget: {calls_per_day: 1000},")
    allowance = paired.readers["links"].allowance
    before = allowance.free(Worth.SWEEP)
    result = paired.sweep()
    assert (result.error, result.counts[Outcome.AGREED]) == (None, 120)
    assert 2 <= before - allowance.free(Worth.SWEEP) <= 20


def test_a_sweep_ends_when_the_calls_of_the_system_with_the_pairs_are_spent(paired: Crossed) -> None:
    paired.both(20)
    paired.remap("links: {kind: sql,", "links: {kind: sql, budget: {calls_per_day: 2},")
    (report,) = audit_once(paired.map, paired.ledger, b"k" * 32, flows=["to_billing"], wait_s=0, tell=lambda _: None)
    assert report.error.startswith("links: over_budget")
    assert report.open_by_cause == {}


def test_one_record_is_shown_by_the_key_of_the_data_type(crossed: Crossed) -> None:
    crossed.both(3)
    crossed.account("B2", "Eve")
    view = read_record(crossed.map, crossed.readers, "customer", "2")
    assert (view.verdict, view.differing) == ("differs", ("name",))
    crossed.remap("billing: {collection: ", 'billing: {link: "https://billing.example/{own_key}", collection: ')
    view = read_record(crossed.map, crossed.readers, "customer", "2")
    assert [copy.link for copy in view.copies] == [None, "https://billing.example/B2"]
    crossed.contact(5, "B2")
    assert read_record(crossed.map, crossed.readers, "customer", "2").verdict == "cannot verify"


def test_no_statement_is_proposed_where_a_key_would_be_needed(crossed: Crossed) -> None:
    crossed.both(3)
    crossed.account("B2", "Eve")
    crossed.contact(7)
    crossed.clock.advance(3600)
    crossed.sweep()
    crossed.audit_until(lambda: len(crossed.found()) == 2)
    proposals = propose(crossed.map, crossed.ledger, crossed.readers, b"k" * 32, ["to_billing"])
    assert {each.action for each in proposals} == {"none"}
    called = "contacts in crm" if crossed.by == "column" else "pairs in links"
    whys = {each.key: each.why for each in proposals}
    assert whys[2] == f"update it in billing by hand, under the key that {called} pairs it with"


def test_the_doctor_looks_at_the_pairs(paired: Crossed) -> None:
    reports = {each.system: each for each in examine(paired.map, seed=None, steps={})}
    assert reports["billing"].ok
    assert "pairs.crm_id has no index: every read scans the table" in reports["links"].remarks
    assert "pairs.billing_no has no index: every read scans the table" in reports["links"].remarks
    paired.remap("own_key: billing_no", "own_key: biling_no")
    reports = {each.system: each for each in examine(paired.map, seed=None, steps={})}
    assert "no column in pairs named 'biling_no' (did you mean 'billing_no'?)" in reports["links"].problems[0]


def test_the_document_of_the_map_names_the_pairs(paired: Crossed) -> None:
    assert "The keys of billing are billing_no of pairs in links (crm_id)." in markdown(paired.map).replace("\\", "")


@pytest.mark.parametrize(
    ("old", "new", "place", "said"),
    [
        ("{system: links", "{system: link", "crosswalk.system", "unknown system 'link'; did you mean 'links'?"),
        ("key: crm_id,", "key: [crm_id, tenant],", "crosswalk.key", "2 fields, and the key of the data type has 1"),
        ("own_key: billing_no", "own_key: crm_id", "crosswalk", "both are read from crm_id"),
        ("own_key: billing_no", "own_ky: billing_no", "crosswalk.own_ky", "did you mean 'own_key'?"),
        ("key: number,", "key: [number, part],", "", "a crosswalk pairs keys of one field"),
        (
            'links: {kind: sql, url: "sqlite:///',
            'links: {kind: rest, url: "http://127.0.0.1:1/',
            "crosswalk.system",
            "kind rest is not read by any field; copy them to a system of kind sql, mongodb or salesforce",
        ),
    ],
)
def test_pairs_that_cannot_be_meant_are_refused(paired: Crossed, old: str, new: str, place: str, said: str) -> None:
    text = paired.map_file.read_text()
    assert old in text
    paired.map_file.write_text(text.replace(old, new))
    with pytest.raises(MapError) as refused:
        load_map(paired.map_file, {})
    problem = next(each for each in refused.value.problems if said in each.message)
    assert problem.path == f"data_types.customer.in.billing.{place}".rstrip(".")


def in_sql(url: str) -> str:
    engine = sa.create_engine(sa.make_url(url).set(drivername=DRIVERS[url.partition(":")[0]]))
    with engine.begin() as database:
        database.execute(sa.text("CREATE TABLE accounts (number integer, name varchar(20), amount numeric(9, 2))"))
        database.execute(sa.text("CREATE TABLE pairs (crm_id integer, billing_no integer)"))
        for key, no, name in ACCOUNTS:
            database.execute(sa.text("INSERT INTO accounts VALUES (:no, :name, 1)"), {"no": no, "name": name})
            database.execute(sa.text("INSERT INTO pairs VALUES (:key, :no)"), {"key": key, "no": no})
    engine.dispose()
    return f'{{kind: sql, url: "{url}"}}'


def in_mongodb(url: str) -> str:
    name = f"t{uuid4().hex[:12]}"
    with MongoClient[dict[str, Any]](url) as client:
        client[name]["accounts"].insert_many(
            [{"number": no, "name": name_, "amount": 1} for _, no, name_ in ACCOUNTS]
        )
        client[name]["pairs"].insert_many([{"crm_id": key, "billing_no": no} for key, no, _ in ACCOUNTS])
    at = url.replace("/?", f"/{name}?authSource=admin&")
    return f'{{kind: mongodb, url: "{at}"}}'


DRIVERS = {"postgresql": "postgresql+psycopg", "mariadb": "mariadb+pymysql", "sqlite": "sqlite"}
ACCOUNTS = [(key, 1000 + key, "Eve" if key == 4 else "Ada") for key in range(1, 8)]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mariadb", "mongodb"])
def test_every_database_may_hold_the_pairs(kind: str, stand: Stand, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue({"mongodb": "ferretdb_url"}.get(kind, f"{kind}_url"))
    make: Callable[[str], str] = in_mongodb if kind == "mongodb" else in_sql
    for key, _, _ in ACCOUNTS:
        stand.put("crm", key)
    text = stand.map_file.read_text()
    system = text[text.index("  billing: {kind") : text.index("data_types:")]
    own = "{system: billing, collection: pairs, key: crm_id, own_key: billing_no, own_key_type: integer}"
    text = text.replace(system, f"  billing: {make(url)}\n").replace(
        "billing: {collection: customers, key: id}",
        f"billing: {{collection: accounts, key: number, crosswalk: {own}}}",
    )
    stand.map_file.write_text(text[: text.index("    queues:")])
    result = swept(load_map(stand.map_file, {}), "to_billing", stand.ledger)
    assert (result.read, result.counts[Outcome.AGREED]) == (7, 6)
