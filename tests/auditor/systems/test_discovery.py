"""A first map from two systems: keys and fields matched by what they hold, with the evidence."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from auditor.map.integration_map import IntegrationMap
from auditor.map.loader import load_map
from auditor.systems.alike_names import alike, words_of
from auditor.systems.discovery import discover
from auditor.systems.matches import Found
from auditor.systems.pairing import compared
from auditor.systems.proposed_map import as_yaml, new_system
from auditor.systems.reader import SystemReader
from probes import registry
from probes.contract import FieldSchema
from tests.auditor.cli.process import auditor

CRM = """
    CREATE TABLE customers (id integer PRIMARY KEY, name text, email text UNIQUE, plan text, balance numeric,
        updated_at timestamp);
    CREATE TABLE notes (id integer PRIMARY KEY, body text);"""
WAREHOUSE = """
    CREATE TABLE dim_customer (customer_id integer, full_name text, mail text, tier text, credit numeric,
        loaded_at timestamp);
    CREATE TABLE dates (day text PRIMARY KEY, week integer);"""


@pytest.fixture
def found(tmp_path: Path) -> Iterator[Found]:
    with sqlite3.connect(tmp_path / "crm.sqlite") as crm:
        crm.executescript(CRM)
        plans = ["pro" if number % 3 else "free" for number in range(61)]
        rows = [
            (n, f"Customer {n}", f"c{n}@example.com", plans[n], n / 4, f"2026-01-{n % 28 + 1:02}")
            for n in range(1, 61)
        ]
        crm.executemany("INSERT INTO customers VALUES (?, ?, ?, ?, ?, ?)", rows)
    with sqlite3.connect(tmp_path / "dwh.sqlite") as warehouse:
        warehouse.executescript(WAREHOUSE)
        copies = [(*row[:4], row[4] if row[0] != 7 else 99, "2026-03-01") for row in rows if row[0] != 9]
        warehouse.executemany("INSERT INTO dim_customer VALUES (?, ?, ?, ?, ?, ?)", copies)
    readers = []
    for name in ("crm", "dwh"):
        settings = registry.record_settings("sql").model_validate(
            {"kind": "sql", "url": f"sqlite:///{tmp_path}/{name}.sqlite", "zone": "UTC"}
        )
        readers.append(SystemReader(name, settings, registry.open_record_probe(settings)))  # type: ignore[arg-type]
    yield discover(*readers)
    for reader in readers:
        reader.close()


def test_collections_and_fields_are_matched_by_what_they_hold(found: Found) -> None:
    (match,) = found.matches
    assert (match.left.name, match.right.name) == ("customers", "dim_customer")
    assert [[each.name for each in key] for key in match.keys] == [["id"], ["customer_id"]]
    assert (match.common, match.asked) == (59, 60)
    pairs = {each.left.name: (each.right.name, each.equal, each.of) for each in match.fields}
    assert pairs["name"] == ("full_name", 59, 59)
    assert pairs["email"] == ("mail", 59, 59)
    assert pairs["plan"] == ("tier", 59, 59)
    assert pairs["balance"] == ("credit", 58, 59)
    assert found.alone == {"crm": ["notes"], "dwh": ["dates"]}


def test_the_proposal_is_a_valid_map_that_says_what_a_person_must_decide(found: Found, tmp_path: Path) -> None:
    text = as_yaml(found, (new_system("crm", "sql", "${CRM_URL}"), new_system("dwh", "sql", "${DWH_URL}")))
    file = tmp_path / "proposed.yaml"
    file.write_text(text)
    urls = {f"{name.upper()}_URL": f"sqlite:///{tmp_path}/{name}.sqlite" for name in ("crm", "dwh")}
    proposed = load_map(file, urls)
    flow = proposed.flow("customer_to_dwh")
    assert set(flow.field_names) == {"name", "email", "plan", "balance"}
    assert flow.target_spec.fields == ("full_name", "mail", "tier", "credit")
    assert "58 of 59 values equal" in text
    assert "TODO which of the two is the source of truth" in text
    assert "1 of the 60 records of crm looked at are not in dwh" in text
    assert "without a counterpart in crm: notes" in text


@pytest.mark.parametrize(
    ("left", "right", "least"),
    [("customers", "dim_customer", 1.0), ("firstName", "first_name", 1.0), ("name", "full_name", 0.7)],
)
def test_names_are_alike_without_case_plural_and_prefix(left: str, right: str, least: float) -> None:
    assert alike(left, right) >= least
    assert alike("plan", "updated_at") < 0.55
    assert words_of("sales.fact_Orders") == "order"


MAP = """
version: 1
systems:
  # the shop's own
  crm: {kind: sql, url: "${SHOP_URL}", budget: {timeout: 5s}}
  billing:
    kind: sql
    url: "${WAREHOUSE_URL}"  # read replica
    zone: UTC
"""
PEOPLE = "(id integer PRIMARY KEY, email text, status {type}, grade {type}, country text, born text)"


@pytest.fixture
def coded(tmp_path: Path) -> Path:
    """Two systems of which one writes e-mail in lower case and codes for states, and a map of the two."""
    states, grades = ("active", "lead", "churned"), [f"grade {each}" for each in range(60)]
    for name, type_ in (("crm", "text"), ("billing", "integer")):
        with sqlite3.connect(tmp_path / f"{name}.sqlite") as made:
            made.execute(f"CREATE TABLE people {PEOPLE.format(type=type_)}")
            made.execute("CREATE TABLE prices (code text PRIMARY KEY, amount numeric, label text)")
            for each in range(60):
                mine = (f"C{each}@Example.com", states[each % 3], grades[each])
                theirs = (f"c{each}@example.com", each % 3, each + 7)
                held = (each, *(mine if name == "crm" else theirs), "DE", None)
                made.execute("INSERT INTO people VALUES (?, ?, ?, ?, ?, ?)", held)
                if each < 34:
                    made.execute("INSERT INTO prices VALUES (?, 10.5, 'lbl')", (f"c{each}",))
        made.close()
    (tmp_path / "given.yaml").write_text(MAP)
    return tmp_path


def proposed(place: Path) -> tuple[str, dict[str, str]]:
    urls = {"SHOP_URL": f"sqlite:///{place}/crm.sqlite", "WAREHOUSE_URL": f"sqlite:///{place}/billing.sqlite"}
    done = auditor("discover", "crm", "billing", "-m", place / "given.yaml", cwd=None, **urls)
    assert done.returncode == 0, done.stderr
    return done.stdout, urls


def test_systems_of_a_given_map_are_kept_as_they_are_written_there(coded: Path) -> None:
    text, urls = proposed(coded)
    assert 'crm: {kind: sql, url: "${SHOP_URL}", budget: {timeout: 5s}}' in text
    assert '    url: "${WAREHOUSE_URL}"  # read replica\n    zone: UTC\n' in text
    assert "TODO zone" not in text
    (coded / "proposed.yaml").write_text(text)
    done = auditor("check", "--map", coded / "proposed.yaml", cwd=None, **urls)
    assert done.returncode == 0, done.stdout + done.stderr


def test_codes_and_case_are_proposed_with_what_was_seen(coded: Path) -> None:
    text, _ = proposed(coded)
    assert "email: {type: string, casefold: true}  # 0 of 60 values equal, 60 with casefold" in text
    labels = '{"billing": {"0": "active", "1": "lead", "2": "churned"}}'
    assert f"status: {{type: enum, map: {labels}}}  # 0 of 60 values equal, 60 by the map, text here" in text
    assert "# grade: TODO not compared: 0 of 60 values equal, text here, integer there" in text


def test_why_a_field_could_not_be_compared_is_told_as_it_is(coded: Path) -> None:
    text, _ = proposed(coded)
    assert "# 34 of 34 records are in both" in text
    assert "no common record" not in text
    told = "34 of 34 values equal, but all have one value here, which proves little"
    assert f"label: {{type: string}}  # {told}" in text
    assert f"amount: {{type: decimal}}  # {told}" in text
    assert "born: {type: string}  # no record holds a value in both" in text


def test_codes_without_a_certain_meaning_are_left_for_a_person() -> None:
    text = FieldSchema(name="status", type="string", described="text")
    code = FieldSchema(name="status", type="integer", described="integer")
    pairs = [(("active", "lead", "churned")[each % 3], each // 30) for each in range(90)]
    found = compared(pairs, text, code, coded=True)
    assert found.labels == {"0": None, "1": None, "2": None}
    assert found.equal == 0


def filled(file: Path, table: str, rows: list[tuple[object, ...]]) -> None:
    with sqlite3.connect(file) as made:
        made.execute(table)
        name = table.split()[2]
        made.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(rows[0]))})", rows)
    made.close()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Path, SystemReader, SystemReader]]:
    """Two systems that a test fills."""
    readers = []
    for name in ("crm", "dwh"):
        settings = registry.record_settings("sql").model_validate(
            {"kind": "sql", "url": f"sqlite:///{tmp_path}/{name}.sqlite", "zone": "UTC"}
        )
        readers.append(SystemReader(name, settings, registry.open_record_probe(settings)))  # type: ignore[arg-type]
    yield tmp_path, readers[0], readers[1]
    for reader in readers:
        reader.close()


def checked(place: Path, found: Found) -> tuple[str, IntegrationMap]:
    """The proposed map, as text and loaded."""
    text = as_yaml(found, (new_system("crm", "sql", "${CRM_URL}"), new_system("dwh", "sql", "${DWH_URL}")))
    (place / "proposed.yaml").write_text(text)
    urls = {f"{name.upper()}_URL": f"sqlite:///{place}/{name}.sqlite" for name in ("crm", "dwh")}
    return text, load_map(place / "proposed.yaml", urls)


def test_a_primary_key_of_several_columns_is_proposed_whole_and_in_one_order(
    pair: tuple[Path, SystemReader, SystemReader],
) -> None:
    place, crm, dwh = pair
    lines = [(tenant, f"c/{code}", f"Line {tenant}-{code}") for tenant in range(1, 5) for code in range(20)]
    filled(
        place / "crm.sqlite",
        "CREATE TABLE order_lines (tenant_id integer, code text, label text, PRIMARY KEY (tenant_id, code))",
        list(lines),
    )
    filled(
        place / "dwh.sqlite",
        "CREATE TABLE fact_order_line (line_code text, tenant integer, title text, UNIQUE (line_code, tenant))",
        [(code, tenant, label) for tenant, code, label in lines[3:]],
    )
    (match,) = discover(crm, dwh).matches
    assert [[each.name for each in key] for key in match.keys] == [["tenant_id", "code"], ["tenant", "line_code"]]
    assert (match.common, match.asked) == (77, 80)
    assert [(each.left.name, each.right.name) for each in match.fields] == [("label", "title")]
    text, proposed = checked(place, discover(crm, dwh))
    assert "key_type: [integer, string]" in text
    flow = proposed.flow("order_line_to_dwh")
    assert flow.source_spec.key_parts == ("tenant_id", "code")
    assert flow.target_spec.key_parts == ("tenant", "line_code")


def test_a_column_that_many_records_share_is_no_key(pair: tuple[Path, SystemReader, SystemReader]) -> None:
    place, crm, dwh = pair
    rows = [(number, number % 3, f"Name {number}") for number in range(60)]
    for name in ("crm", "dwh"):
        filled(place / f"{name}.sqlite", "CREATE TABLE people (no integer, team_id integer, name text)", list(rows))
    (match,) = discover(crm, dwh).matches
    assert [[each.name for each in key] for key in match.keys] == [["no"], ["no"]]


def test_a_key_under_another_name_is_found_by_its_values(pair: tuple[Path, SystemReader, SystemReader]) -> None:
    place, crm, dwh = pair
    rows = [(number, f"Name {number}", f"m{number}@example.com") for number in range(100, 160)]
    filled(place / "crm.sqlite", "CREATE TABLE people (id integer PRIMARY KEY, name text, mail text)", list(rows))
    filled(place / "dwh.sqlite", "CREATE TABLE contacts (alias text, who text, source_ref text)", [
        (mail, name, str(number)) for number, name, mail in rows
    ])  # fmt: skip
    (match,) = discover(crm, dwh).matches
    assert [[each.name for each in key] for key in match.keys] == [["id"], ["source_ref"]]
    assert {(each.left.name, each.right.name) for each in match.fields} == {("name", "who"), ("mail", "alias")}
    text, proposed = checked(place, discover(crm, dwh))
    assert proposed.data_types["person" if "person" in proposed.data_types else "people"].key_type in {
        "string",
        "integer",
    }
    assert "60 of 60 records are in both" in text


def test_a_key_whose_case_differs_is_proposed_without_it(pair: tuple[Path, SystemReader, SystemReader]) -> None:
    place, crm, dwh = pair
    rows: list[tuple[object, ...]] = [(f"Person{number}@Example.com", f"Name {number}") for number in range(100, 160)]
    filled(place / "crm.sqlite", "CREATE TABLE people (email text PRIMARY KEY, name text)", list(rows))
    lower: list[tuple[object, ...]] = [
        (mail if number < 6 else str(mail).lower(), name) for number, (mail, name) in enumerate(rows)
    ]
    filled(place / "dwh.sqlite", "CREATE TABLE contacts (mail text UNIQUE, who text)", lower)
    (match,) = discover(crm, dwh).matches
    assert (match.common, match.asked, match.as_written) == (60, 60, 6)
    assert [(each.left.name, each.right.name) for each in match.fields] == [("name", "who")]
    text, proposed = checked(place, discover(crm, dwh))
    assert "key_type: caseless  # 6 of 60 where case matters" in text
    assert proposed.flow(next(iter(proposed.flows))).parse_key("PERSON100@example.com") == "person100@example.com"


def test_keys_that_agree_as_written_keep_their_case(pair: tuple[Path, SystemReader, SystemReader]) -> None:
    place, crm, dwh = pair
    rows: list[tuple[object, ...]] = [(f"C{number}x", f"Name {number}") for number in range(100, 160)]
    filled(place / "crm.sqlite", "CREATE TABLE people (code text PRIMARY KEY, name text)", list(rows))
    filled(place / "dwh.sqlite", "CREATE TABLE people (code text PRIMARY KEY, name text)", rows[5:])
    (match,) = discover(crm, dwh).matches
    assert (match.common, match.as_written) == (55, None)


@pytest.mark.parametrize(("ours", "region"), [("030 {}", "DE"), ("+49 (30) {}", None)])
def test_keys_that_are_phone_numbers_in_two_formats_are_found(
    pair: tuple[Path, SystemReader, SystemReader], ours: str, region: str | None
) -> None:
    place, crm, dwh = pair
    rows: list[tuple[object, ...]] = [(ours.format(number), f"Name {number}") for number in range(123400, 123460)]
    filled(place / "crm.sqlite", "CREATE TABLE callers (mobile text PRIMARY KEY, name text)", list(rows))
    theirs: list[tuple[object, ...]] = [(f"+4930{number}", f"Name {number}") for number in range(123400, 123455)]
    filled(place / "dwh.sqlite", "CREATE TABLE callers (phone text PRIMARY KEY, who text)", theirs)
    (match,) = discover(crm, dwh).matches
    assert (match.common, match.asked, match.as_written) == (55, 60, 0)
    assert (match.key_types, match.key_region) == (("phone",), region)
    text, proposed = checked(place, discover(crm, dwh))
    assert "key_type: phone  # 0 of 60 as they are written" in text
    assert ('key_region: "DE"' in text) == (region is not None)
    assert proposed.flow(next(iter(proposed.flows))).parse_key("+49 30 123400") == "+4930123400"


def test_parts_of_a_key_in_another_case_are_found(pair: tuple[Path, SystemReader, SystemReader]) -> None:
    place, crm, dwh = pair
    table = "CREATE TABLE lines (tenant integer, code text, name text, PRIMARY KEY (tenant, code))"
    rows: list[tuple[object, ...]] = [
        (number % 3, f"c{number // 3}x", f"Name {number}") for number in range(100, 160)
    ]
    filled(place / "crm.sqlite", table, list(rows))
    filled(place / "dwh.sqlite", table, [(tenant, str(code).upper(), name) for tenant, code, name in rows])
    (match,) = discover(crm, dwh).matches
    assert (match.common, match.as_written, match.key_types) == (60, 0, ("integer", "caseless"))
    text, _ = checked(place, discover(crm, dwh))
    assert "key_type: [integer, caseless]  # 0 of 60 where case matters" in text


def test_codes_of_digits_that_agree_as_written_are_no_phone_numbers(
    pair: tuple[Path, SystemReader, SystemReader],
) -> None:
    place, crm, dwh = pair
    rows: list[tuple[object, ...]] = [(f"{number}", f"Name {number}") for number in range(49301000, 49301060)]
    filled(place / "crm.sqlite", "CREATE TABLE people (code text PRIMARY KEY, name text)", list(rows))
    filled(place / "dwh.sqlite", "CREATE TABLE people (code text PRIMARY KEY, name text)", rows[5:])
    (match,) = discover(crm, dwh).matches
    assert (match.common, match.as_written, match.key_types) == (55, None, ())
