"""Keys that each system writes in its own way, in any case or as phone numbers: from the map to verdicts, repairs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from auditor.conflicts.repair import propose
from auditor.conflicts.repair_formats import write_sql
from auditor.map.loader import load_map
from auditor.map.problems import MapError
from auditor.systems.live_record import read_record
from probes.letter_case import folded
from tests.auditor.audit.test_flow_audit import open_causes
from tests.stand import MAP, Stand

Written = tuple[str, str]
"""A key as a system writes it, and the name of the record."""


class People(Stand):
    """People whom each system has under a text of its own."""

    def __init__(self, place: Path, key_type: str) -> None:
        super().__init__(place)
        for system in ("crm", "billing"):
            self.run(system, "DROP TABLE customers")
            self.run(system, "CREATE TABLE customers (id text, name text, amount text, updated_at text)")
            self.run(system, "CREATE INDEX k ON customers (id COLLATE NOCASE)")
        self.remap("key_type: integer", key_type)

    def hold(self, system: str, *people: Written) -> None:
        """Write people, who changed an hour ago."""
        with self.open(system) as database:
            database.executemany(
                "INSERT INTO customers VALUES (?, ?, '1.00', '2026-01-01 00:00:00')",
                [(key, name) for key, name in people],
            )

    def judged(self, count: int) -> dict[str, str]:
        """Audit until so many differences are open; by key, which."""
        self.sweep()
        self.audit_until(lambda: sum(open_causes(self).values()) >= count)
        self.sweep()
        self.sweep()
        return {str(row["key"]): str(row["kind"]) for row in self.rows("divergences") if row["state"] == "open"}

    @property
    def unverified(self) -> dict[str, str]:
        """By key, why a record cannot be verified; rows without a key under ""."""
        return {row["name"]: row["reason"] for row in self.ledger.unverified.rows("to_billing", 99)}


@pytest.fixture
def people(tmp_path: Path) -> Iterator[People]:
    with closing(People(tmp_path, "key_type: caseless")) as made:
        yield made


@pytest.fixture
def callers(tmp_path: Path) -> Iterator[People]:
    (tmp_path / "callers").mkdir()
    with closing(People(tmp_path / "callers", "key_type: phone\n    key_region: DE")) as made:
        yield made


def test_a_customer_is_found_in_each_system_by_its_own_writing(people: People) -> None:
    people.hold("crm", ("Ann@X.de", "Ada"), ("bob@x.de", "Ada"), ("MÜLLER@x.de", "Ada"), ("cy@x.de", "Ada"))
    people.hold("billing", ("ANN@x.DE", "Ada"), ("müller@X.de", "Ada"), ("Cy@x.de", "Eve"), ("DAN@x.de", "Ada"))
    people.hold("billing", *((f"Same{number}@x.de", "Ada") for number in range(300)))
    people.hold("crm", *((f"sAME{number}@X.de", "Ada") for number in range(300)))
    assert people.judged(3) == {"bob@x.de": "missing", "cy@x.de": "value", "dan@x.de": "orphan"}
    assert people.unverified == {}


@pytest.mark.parametrize("system", ["crm", "billing"])
def test_two_rows_whose_keys_differ_by_case_alone_are_a_duplicate(people: People, system: str) -> None:
    for each in ("crm", "billing"):
        people.hold(each, ("ann@x.de", "Ada"), ("zed@x.de", "Ada"))
        people.hold(each, *((f"Same{number}@x.de", "Ada") for number in range(300)))
    people.hold(system, ("ANN@X.DE", "Ada"))  # on another page of a list
    assert people.judged(1) == {"ann@x.de": "duplicate"}
    (row,) = [row for row in people.rows("divergences") if row["state"] == "open"]
    assert f"several rows in {system}: two writings of one key" in str(row["detail"])


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("straße", "strasse"),
        ("STRASSE", "straße"),
        ("İstanbul", "ISTANBUL"),
        ("istanbul", "ıstanbul"),
    ],
)
def test_a_record_is_not_missing_where_its_key_may_be_mistaken_for_another(
    people: People, ours: str, theirs: str
) -> None:
    people.hold("crm", (ours, "Ada"), ("ann", "Ada"))
    people.hold("billing", (theirs, "Ada"), ("Ann", "Ada"))
    people.sweep()
    people.clock.advance(60)
    assert people.judged(0) == {}
    assert {folded(ours), folded(theirs)} <= people.unverified.keys()
    assert all("some software takes for the same" in why for why in people.unverified.values())


def test_a_key_in_doubt_counts_as_not_read_for_every_flow(people: People) -> None:
    people.hold("billing", ("strasse", "Ada"), ("ann", "Ada"))
    reading = people.readers["billing"].fetch(people.map.flow("to_billing").target_spec, ["ann", "bob", "straße"])
    assert reading.unreadable.keys() == {"straße"}
    assert reading.instants.keys() == {"ann", "bob"}


@pytest.mark.parametrize("batch", [1, 2, 500])
def test_a_record_that_only_looks_like_another_is_no_second_copy_of_its_own(
    people: People, callers: People, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr("auditor.systems.reader.READ_BATCH", batch)
    people.hold("billing", ("istanbul", "Ada"), ("İstanbul", "Ada"))
    callers.hold("billing", ("030 123456", "Ada"), ("040/123456", "Ada"))
    for stand, keys in ((people, ["istanbul", "İstanbul"]), (callers, ["+4930123456", "+4940123456"])):
        reading = stand.readers["billing"].fetch(stand.map.flow("to_billing").target_spec, keys)
        assert len(reading.rows) == 2
        assert reading.unreadable == {}


def test_many_keys_with_many_writings_are_read_at_once(people: People) -> None:
    mails = [f"Жукова{number}@пример.рф" for number in range(300)]
    people.hold("billing", *((each.upper(), "Ada") for each in mails))
    flow = people.map.flow("to_billing")
    reading = people.readers["billing"].fetch(flow.target_spec, flow.parse_keys(mails))
    assert (reading.error, len(reading.rows)) == (None, 300)


def test_keys_that_differ_by_an_accent_are_two_records(people: People) -> None:
    people.hold("crm", ("rene", "Ada"), ("rené", "Ada"), ("anna", "Ada"))
    people.hold("billing", ("RENÉ", "Ada"), ("ANNÀ", "Ada"))
    people.sweep()
    people.clock.advance(60)
    assert people.judged(2) == {"rene": "missing", "anna": "missing"}


def test_a_key_with_too_many_writings_is_never_missing(people: People) -> None:
    people.hold("crm", ("иван.петров@пример.рф", "Ada"), ("ольга.иванова@пример.рф", "Ada"))
    people.hold("billing", ("ИВАН.ПЕТРОВ@ПРИМЕР.РФ", "Ada"), ("оЛьГа.иВаНоВа@пример.рф", "Ada"))
    people.sweep()
    people.clock.advance(60)
    assert people.judged(0) == {}
    assert "ольга.иванова@пример.рф" in people.unverified
    assert "too many others" in people.unverified["ольга.иванова@пример.рф"]


def test_a_repair_names_the_key_as_the_system_writes_it(people: People) -> None:
    people.hold("crm", ("ann@x.de", "Ada"), ("Bob@x.de", "Ada"))
    people.hold("billing", ("ANN@x.de", "Eve"), ("Dan@x.de", "Ada"))
    people.judged(3)
    proposals = propose(people.map, people.ledger, people.readers, b"k" * 32, ["to_billing"])
    for line in write_sql(people.map, proposals).splitlines():
        if line and not line.startswith("--"):
            people.run("billing", line)
    with people.open("billing") as database:
        assert sorted(database.execute("SELECT id, name FROM customers").fetchall()) == [
            ("ANN@x.de", "Ada"),
            ("Bob@x.de", "Ada"),
        ]


def test_a_record_is_read_by_any_writing_of_its_key(people: People) -> None:
    people.hold("crm", ("Ann@x.de", "Ada"))
    people.hold("billing", ("ann@X.de", "Eve"))
    view = read_record(people.map, people.readers, "customer", "ANN@X.DE")
    assert (view.key, view.verdict, view.differing) == ("ann@x.de", "differs", ("name",))


def test_a_dead_letter_explains_its_record_however_it_names_it(people: People) -> None:
    people.hold("crm", ("ann@x.de", "Ada"))
    people.run("billing", "INSERT INTO letters VALUES (1, 'ANN@X.DE', '2026-01-01 00:00:00', 'no such customer')")
    assert people.map.flow("to_billing").parse_key("ANN@X.DE") == "ann@x.de"


def test_a_system_that_writes_all_keys_alike_is_read_by_its_index(people: People) -> None:
    people.remap(
        "billing: {collection: customers, key: id", "billing: {collection: customers, key_written: lower, key: id"
    )
    people.hold("crm", ("Ann@x.de", "Ada"), ("Bob@x.de", "Ada"))
    people.hold("billing", ("ann@x.de", "Ada"))
    assert people.map.flow("to_billing").target_spec.key_type == "string"
    assert people.judged(1) == {"bob@x.de": "missing"}


def test_a_row_that_is_not_written_as_the_map_says_cannot_be_verified(people: People) -> None:
    people.remap(
        "billing: {collection: customers, key: id", "billing: {collection: customers, key_written: lower, key: id"
    )
    people.hold("crm", ("ann@x.de", "Ada"))
    people.hold("billing", ("ann@x.de", "Ada"), ("BOB@x.de", "Ada"))
    assert people.judged(0) == {}
    assert "" in people.unverified


def test_a_caller_is_found_however_the_number_is_written(callers: People) -> None:
    callers.hold("crm", ("+49 30 123456", "Ada"), ("030/222222", "Ada"), ("0049 30 333333", "Ada"))
    callers.hold("billing", ("030 12 34 56", "Ada"), ("(030) 333-333", "Eve"), ("+4930444444", "Ada"))
    assert callers.judged(3) == {"+4930222222": "missing", "+4930333333": "value", "+4930444444": "orphan"}
    assert callers.unverified == {}


def test_a_caller_whose_number_cannot_be_read_is_not_missing(callers: People) -> None:
    callers.remap("key_region: DE", "description: without a region")
    callers.hold("crm", ("+49 30 123456", "Ada"), ("+49 30 222222", "Ada"))
    callers.hold("billing", ("030 12 34 56", "Ada"), ("+49 30 22 22 22 ext. 5", "Ada"))
    callers.sweep()
    callers.clock.advance(60)
    assert callers.judged(0) == {}
    assert {"+4930123456", "+4930222222", ""} <= callers.unverified.keys()
    assert "with the same digits that cannot be read" in callers.unverified["+4930123456"]


def test_two_writings_of_one_number_are_a_duplicate(callers: People) -> None:
    callers.hold("crm", ("+49 30 123456", "Ada"))
    callers.hold("billing", ("030 12 34 56", "Ada"), ("+4930123456", "Ada"))
    assert callers.judged(1) == {"+4930123456": "duplicate"}


CRM, BILLING = "crm: {collection: customers, ", "billing: {collection: customers, "
REST = "crm: {kind: rest, url: 'https://crm.example.com'}"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"integer": "caseles"}, "unknown key type 'caseles'; did you mean 'caseless'?"),
        ({"integer": "phone\n    key_region: XX"}, "unknown region 'XX'; write two capital letters, for example DE"),
        (
            {"integer": "caseless\n    key_region: DE"},
            "key_region: does nothing for key_type caseless; it acts on phone",
        ),
        ({"integer": "phone\n    key_normalize: none"}, "key_normalize: does nothing for key_type phone"),
        (
            {"integer": "integer", BILLING: f"{BILLING}key_written: lower, "},
            "key_written: does nothing for key_type integer",
        ),
        (
            {"integer": "phone", BILLING: f"{BILLING}key_written: lower, "},
            "keys of type phone in their one form are e164",
        ),
        (
            {"integer": "caseless", BILLING: f"{BILLING}key_written: e164, "},
            "of type caseless in their one form are lower",
        ),
        (
            {"integer": "caseless", 'crm: {kind: sql, url: "sqlite:///PLACE/crm.sqlite", zone: UTC}': REST}
            | {"key: id, changed_at: updated_at": "key: id, list: /c, one: '/c/{key}'"},
            "only you know how the API compares keys of type caseless: say key_written: any",
        ),
        (
            {
                "integer": "phone",
                'crm: {kind: sql, url: "sqlite:///PLACE/crm.sqlite", zone: UTC}': "crm: {kind: hubspot, token: t}",
            }
            | {"key: id, changed_at: updated_at": "key: mobile"},
            "a system of kind hubspot does not find a phone key however it is written; say key_written: e164",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    text = MAP.replace("${PLACE}", "PLACE")
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "map.yaml").write_text(text)
    with pytest.raises(MapError) as refused:
        load_map(tmp_path / "map.yaml", {})
    assert said in str(refused.value)


def test_pairs_of_keys_are_found_however_they_are_written(people: People) -> None:
    people.run("billing", "CREATE TABLE pairs (mail text, no text)")
    people.run("billing", "INSERT INTO pairs VALUES ('ANN@x.de', 'B1'), ('bob@X.de', 'B2'), ('cy@x.de', 'B3')")
    own = "{system: billing, collection: pairs, key: mail, own_key: no}"
    people.remap(f"{BILLING}key: id", f"{BILLING}key: id, crosswalk: {own}")
    people.hold("crm", ("Ann@x.de", "Ada"), ("Bob@x.de", "Ada"), ("Cy@X.de", "Ada"))
    people.hold("billing", ("B1", "Ada"), ("B2", "Eve"))
    assert people.judged(2) == {"bob@x.de": "value", "cy@x.de": "missing"}
