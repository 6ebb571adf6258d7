"""Computed fields, from the map to verdicts, repairs and one record, in every kind of database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from pymongo import MongoClient

from auditor.conflicts.repair import propose
from auditor.map.loader import check_map, load_map
from auditor.map.problems import MapError
from auditor.systems.doctor import examine
from auditor.systems.live_record import read_record
from checks.judgement import Outcome
from tests.auditor.audit.test_flow_audit import open_causes
from tests.stand import Stand, swept

CUSTOMERS = "crm: {collection: customers, key: id, changed_at: updated_at}"
PEOPLE = """crm:
        collection: people
        key: id
        changed_at: updated_at
        computed:
          name: first + ' ' + last
          amount: {value: double(c) / 100.0, from: {c: cents}}"""


class People(Stand):
    """The owner holds first and last names and cents, the copy whole names and amounts."""

    def person(self, key: int, first: str | None = "Ada", last: str | None = "King", cents: Any = 100) -> None:
        with self.open("crm") as database:
            row = (key, first, last, cents, "2026-01-01 00:00:00")
            database.execute("INSERT OR REPLACE INTO people VALUES (?, ?, ?, ?, ?)", row)


@pytest.fixture
def people(tmp_path: Path) -> Iterator[People]:
    with closing(People(tmp_path)) as made:
        made.run("crm", "CREATE TABLE people (id integer PRIMARY KEY, first text, last text, cents, updated_at text)")
        made.remap(CUSTOMERS, PEOPLE)
        yield made


def test_computed_values_agree_with_values_that_are_held(people: People) -> None:
    people.person(1)
    people.put("billing", 1, "Ada King", "1")
    people.person(2, "Grace", None)
    people.put("billing", 2, None, "1.00")  # type: ignore[arg-type]
    result = people.sweep()
    assert result.read == result.counts[Outcome.AGREED] == 2


def test_a_difference_is_found_in_the_field_that_is_computed(people: People) -> None:
    people.person(1, cents=199)
    people.person(2)
    people.put("billing", 1, "Ada King", "1.99")
    people.put("billing", 2, "Ada Queen", "1.00")
    people.sweep()
    people.audit_until(lambda: open_causes(people))
    (found,) = people.rows("divergences")
    assert (found["key"], found["kind"]) == ("2", "value")
    assert '"field":"name"' in str(found["differences"]).replace(" ", "")


def test_a_record_that_cannot_be_computed_cannot_be_verified_and_no_value_is_kept(people: People) -> None:
    people.person(1, cents="hunter2")
    people.put("billing", 1, "Ada King", "1.00")
    people.person(2)
    people.put("billing", 2, "Ada King", "1.00")
    result = people.sweep()
    assert (result.counts[Outcome.AGREED], result.counts[Outcome.CANNOT_VERIFY]) == (1, 1)
    (row,) = people.ledger.unverified.rows("to_billing", 9)
    assert row["name"] == "1"
    assert "amount in crm: it is computed, and that failed" in row["reason"]
    assert b"hunter2" not in (people.place / "ledger.sqlite").read_bytes()
    assert open_causes(people) == {}


def test_a_repair_writes_what_the_owner_computes(people: People) -> None:
    people.person(1, last="Lovelace", cents=250)
    people.put("billing", 1, "Ada King", "2.00")
    people.person(2)
    people.sweep()
    people.audit_until(lambda: sum(open_causes(people).values()) == 2)
    proposals = {
        each.key: each for each in propose(people.map, people.ledger, people.readers, b"k" * 32, ["to_billing"])
    }
    assert proposals[1].changes == {"name": "Ada Lovelace", "amount": proposals[1].changes["amount"]}
    assert str(proposals[1].changes["amount"]) == "2.5"
    assert (proposals[2].action, proposals[2].changes["name"]) == ("insert", "Ada King")


def test_a_repair_names_the_fields_that_a_computed_one_comes_from(people: People) -> None:
    people.remap(PEOPLE, CUSTOMERS)
    people.remap(
        "billing: {collection: customers, key: id}", "billing: {collection: copies, key: id, computed: {name: a + b}}"
    )
    people.run("billing", "CREATE TABLE copies (id integer, a text, b text, amount text)")
    people.put("crm", 1, "Ada King")
    people.put("crm", 2, "Ada King")
    people.run("billing", "INSERT INTO copies VALUES (1, 'Ada ', 'Queen', '1.00'), (3, 'x', 'y', '1.00')")
    people.sweep()
    people.audit_until(lambda: sum(open_causes(people).values()) == 3)
    proposals = {
        each.key: each for each in propose(people.map, people.ledger, people.readers, b"k" * 32, ["to_billing"])
    }
    for key in (1, 2):
        assert (proposals[key].action, proposals[key].why) == (
            "none",
            "name is computed in billing from a, b: correct these there by hand",
        )
    assert proposals[3].action == "delete"
    assert proposals[3].guard == {"a": "x", "b": "y", "amount": "1.00"}


def test_one_record_shows_what_is_computed(people: People) -> None:
    people.person(1)
    people.put("billing", 1, "Ada Queen", "1.00")
    view = read_record(people.map, people.readers, "customer", "1")
    assert (view.verdict, view.differing) == ("differs", ("name",))
    assert view.copies[0].cells["name"].text == "Ada King"
    people.person(1, cents="x")
    cell = read_record(people.map, people.readers, "customer", "1").copies[0].cells["amount"]
    assert (cell.state, "that failed" in cell.text) == ("unreadable", True)


def test_a_further_system_that_computes_a_field_is_a_witness(people: People) -> None:
    text = people.map_file.read_text()
    text = text.replace(
        "data_types:", f'  dwh: {{kind: sql, url: "sqlite:///{people.place}/dwh.sqlite"}}\ndata_types:', 1
    )
    third = "      dwh: {collection: d, key: id, absent: [amount], computed: {name: upper(n) + m}}\nflows:"
    people.map_file.write_text(text.replace("flows:", third, 1))
    witness = load_map(people.map_file, {}).flow("to_billing").witnesses["dwh"]
    assert witness.spec.fields == ("n", "m")
    assert witness.spread((7, None, "ada", "!")) == (7, None, "ADA!", None)


def test_the_doctor_names_a_field_that_an_expression_reads_and_the_system_lacks(people: People) -> None:
    people.map_file.write_text(people.map_file.read_text().replace("first + ' ' + last", "first + ' ' + lst"))
    reports = {each.system: each for each in examine(load_map(people.map_file, {}), seed=None, steps={})}
    assert "no column in people named 'lst' (did you mean 'last'?)" in reports["crm"].problems[0]


@pytest.mark.parametrize(
    ("old", "new", "place", "said"),
    [
        ("first + ' ' + last", "lowr(first)", "name", "unknown function lowr(); did you mean 'lower'?"),
        ("first + ' ' + last", "first + + last", "name", "cannot stand here"),
        ("first + ' ' + last", "\"'EUR'\"", "name", "it reads no field of the record"),
        ("from: {c: cents}", "from: {d: cents}", "amount", "'d', which the expression does not use"),
        ("          name: first", "          nam: first", "nam", "unknown field 'nam'; did you mean 'name'?"),
        ("value: double", "valu: double", "amount.valu", "unknown word; did you mean 'value'?"),
        ("        computed:", "        absent: [name]\n        computed:", "absent", "name is also under computed:"),
    ],
)
def test_what_cannot_be_computed_is_refused_where_it_is_written(
    people: People, old: str, new: str, place: str, said: str
) -> None:
    text = people.map_file.read_text()
    assert old in text
    people.map_file.write_text(text.replace(old, new))
    with pytest.raises(MapError) as refused:
        load_map(people.map_file, {})
    problem = next(each for each in refused.value.problems if said in each.message)
    words = place if place == "absent" else f"computed.{place}"
    assert problem.path == f"data_types.customer.in.crm.{words}"
    written = people.map_file.read_text().splitlines()[problem.line - 1]
    assert place.rpartition(".")[2] in written


def test_an_expression_under_fields_is_told_its_place(people: People) -> None:
    text = people.map_file.read_text().replace(PEOPLE, CUSTOMERS.replace("}", ', fields: {name: "lower(mail)"}}'))
    people.map_file.write_text(text)
    _, remarks = check_map(people.map_file, {})
    assert any("write the expression under computed:" in each.message for each in remarks)


def sql(url: str) -> Callable[[list[dict[str, Any]]], str]:
    def fill(rows: list[dict[str, Any]]) -> str:
        engine = sa.create_engine(sa.make_url(url).set(drivername=DRIVERS[url.partition(":")[0]]))
        with engine.begin() as database:
            database.execute(
                sa.text("CREATE TABLE people (id integer, first varchar(40), last varchar(40), grams numeric(12, 3))")
            )
            for row in rows:
                database.execute(sa.text("INSERT INTO people VALUES (:id, :first, :last, :grams)"), row)
        engine.dispose()
        return f'{{kind: sql, url: "{url}"}}'

    return fill


DRIVERS = {"postgresql": "postgresql+psycopg", "mariadb": "mariadb+pymysql", "sqlite": "sqlite"}


def mongodb(url: str) -> Callable[[list[dict[str, Any]]], str]:
    def fill(rows: list[dict[str, Any]]) -> str:
        name = f"t{uuid4().hex[:12]}"
        with MongoClient[dict[str, Any]](url) as client:
            client[name]["people"].insert_many([{**row, "grams": float(row["grams"])} for row in rows])
        at = url.replace("/?", f"/{name}?authSource=admin&")
        return f'{{kind: mongodb, url: "{at}"}}'

    return fill


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mariadb", "mongodb"])
def test_every_database_computes_alike(kind: str, stand: Stand, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue({"mongodb": "ferretdb_url"}.get(kind, f"{kind}_url"))
    rows = [{"id": n, "first": f"Ad{n}", "last": "Kïng", "grams": f"{n * 1250}.5"} for n in range(1, 6)]
    system = (mongodb if kind == "mongodb" else sql)(url)(rows)
    for n in range(1, 6):
        stand.put("billing", n, f"ad{n} kïng" if n != 3 else "another", f"{(n * 1250 + 0.5) / 1000}")
    text = stand.map_file.read_text()
    owner = text[text.index("  crm: ") : text.index("  billing: {kind")]
    text = text.replace(owner, f"  crm: {system}\n").replace(
        CUSTOMERS,
        "crm: {collection: people, key: id, computed: {name: lower(first + ' ' + last), amount: grams / 1000.0}}",
    )
    stand.map_file.write_text(text)
    result = swept(load_map(stand.map_file, {}), "to_billing", stand.ledger)
    assert (result.read, result.counts[Outcome.AGREED]) == (5, 4)
