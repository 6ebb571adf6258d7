"""Keys of several fields, from the map to verdicts, repairs and one record: the owner has two columns, the target
holds two as well, or one with the text of both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from auditor.conflicts.repair import propose
from auditor.conflicts.repair_formats import write_sql
from auditor.map.loader import load_map
from auditor.map.problems import MapError
from auditor.systems.live_record import read_record
from checks.values import UnreadableError
from tests.auditor.audit.test_flow_audit import open_causes
from tests.stand import Stand

MAP_KEYS = """    key_type: [integer, string]
    fields:"""


class Lines(Stand):
    """Lines of orders: a tenant's number and a code."""

    def lines(self, one_column: bool) -> None:
        with self.open("crm") as database:
            database.execute("CREATE TABLE lines (tenant integer, code text, name text, amount text, updated_at)")
        with self.open("billing") as database:
            key = "ref text" if one_column else "tenant integer, code text"
            database.execute(f"CREATE TABLE lines ({key}, name text, amount text)")
        key = "ref" if one_column else "[tenant, code]"
        text = self.map_file.read_text().replace("    key_type: integer\n    fields:", MAP_KEYS)
        text = text.replace("crm: {collection: customers, key: id", "crm: {collection: lines, key: [tenant, code]")
        text = text.replace("billing: {collection: customers, key: id", f"billing: {{collection: lines, key: {key}")
        self.map_file.write_text(text)
        self.remap("every: 1s", "every: 1s")

    def line(self, system: str, tenant: int, code: str, name: str = "Ada", *, one_column: bool = False) -> None:
        with self.open(system) as database:
            if system == "crm":
                row: tuple[Any, ...] = (tenant, code, name, "1.00", "2026-01-01 00:00:00")
            else:
                text = f"{tenant}/{code.replace('%', '%25').replace('/', '%2F')}"
                row = (text, name, "1.00") if one_column else (tenant, code, name, "1.00")
            database.execute(f"INSERT INTO lines VALUES ({', '.join('?' * len(row))})", row)


@pytest.fixture
def lines(tmp_path: Path) -> Iterator[Lines]:
    with closing(Lines(tmp_path)) as made:
        yield made


CODES = ["a", "b/c", "100%", "it's"]


@pytest.mark.parametrize("one_column", [False, True])
def test_every_kind_of_difference_is_found_by_the_whole_key(lines: Lines, one_column: bool) -> None:
    lines.lines(one_column)
    for tenant in (1, 2):
        for code in CODES:
            lines.line("crm", tenant, code)
            if (tenant, code) != (2, "b/c"):
                name = "Eve" if (tenant, code) == (1, "100%") else "Ada"
                lines.line("billing", tenant, code, name, one_column=one_column)
    lines.line("billing", 3, "a", one_column=one_column)
    lines.line("billing", 1, "a", one_column=one_column)
    lines.sweep()
    lines.audit_until(lambda: sum(open_causes(lines).values()) == 4)
    found = {each["key"]: each["kind"] for each in lines.rows("divergences") if each["state"] == "open"}
    assert found == {"1/100%25": "value", "2/b%2Fc": "missing", "3/a": "orphan", "1/a": "duplicate"}


def test_the_statements_of_a_repair_name_every_part(lines: Lines) -> None:
    lines.lines(one_column=False)
    for tenant in (1, 2):
        for code in CODES:
            lines.line("crm", tenant, code)
    for tenant, code, name in [
        (1, "a", "Ada"),
        (1, "b/c", "Eve"),
        (2, "a", "Ada"),
        (2, "b/c", "Ada"),
        (9, "a", "Ada"),
    ]:
        lines.line("billing", tenant, code, name)
    lines.sweep()
    lines.audit_until(lambda: sum(open_causes(lines).values()) == 6)
    proposals = propose(lines.map, lines.ledger, lines.readers, b"k" * 32, ["to_billing"])
    assert sorted(each.action for each in proposals) == ["delete", *["insert"] * 4, "update"]
    for line in write_sql(lines.map, proposals).splitlines():
        if line and not line.startswith("--"):
            lines.run("billing", line)
    with lines.open("billing") as database:
        held = sorted(database.execute("SELECT tenant, code, name FROM lines").fetchall())
    assert held == sorted((tenant, code, "Ada") for tenant in (1, 2) for code in CODES)
    lines.audit_until(lambda: not open_causes(lines))


def test_a_record_is_read_by_the_text_of_its_key(lines: Lines) -> None:
    lines.lines(one_column=False)
    lines.line("crm", 1, "b/c")
    lines.line("billing", 1, "b/c", "Eve")
    view = read_record(lines.map, lines.readers, "customer", "1/b%2Fc")
    assert (view.key, view.verdict, view.differing) == ("1/b%2Fc", "differs", ("name",))


def test_a_row_without_a_part_of_its_key_is_counted_and_stands_for_no_record(lines: Lines) -> None:
    lines.lines(one_column=False)
    lines.line("crm", 1, "a")
    lines.line("billing", 1, "a")
    lines.run("crm", "INSERT INTO lines (tenant, name) VALUES (1, 'nobody')")
    lines.sweep()
    (told,) = lines.ledger.unverified.rows("to_billing", 9)
    assert told["records"] == 1
    assert open_causes(lines) == {}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda text: text.replace("key: [tenant, code]", "key: [tenant]", 1),
            "write one field, or several different",
        ),
        (lambda text: text.replace("key: [tenant, code]", "key: [tenant, tenant]", 1), "several different ones"),
        (lambda text: text.replace("key: [tenant, code]", "key: [tenant, code, line]", 1), "the key has 3"),
        (
            lambda text: text.replace("[integer, string]", "[integer, string, uuid]"),
            "3 types, and the key has 2 fields",
        ),
        (lambda text: text.replace("key: [tenant, code]", "key: tenant"), "no system has a key of several fields"),
    ],
)
def test_a_key_that_cannot_be_meant_is_refused(lines: Lines, change: Callable[[str], str], said: str) -> None:
    lines.lines(one_column=False)
    lines.map_file.write_text(change(lines.map_file.read_text()))
    with pytest.raises(MapError, match=said):
        load_map(lines.map_file, {})


def test_one_type_holds_for_every_part(lines: Lines) -> None:
    lines.lines(one_column=False)
    lines.remap("key_type: [integer, string]", "key_type: string")
    assert lines.map.data_types["customer"].key_types == ("string", "string")


def test_a_kind_of_system_that_has_keys_of_one_field_says_so(lines: Lines) -> None:
    lines.lines(one_column=False)
    salesforce = "kind: salesforce, url: 'https://a.my.salesforce.com', client_id: a, client_secret: b"
    text = lines.map_file.read_text()
    at = text.index("  billing: {kind: sql")
    text = text[:at] + f"  billing: {{{salesforce}}}\n" + text[text.index("data_types:") :]
    lines.map_file.write_text(text[: text.index("    queues:")])
    with pytest.raises(MapError, match="name one field that holds all of it"):
        load_map(lines.map_file, {})


FREE = [
    ("[integer, caseless]", "a", "A"),
    ("[integer, phone]\n    key_region: DE", "030 123456", "+49 (30) 12-34-56"),
]


@pytest.mark.parametrize(("types", "ours", "theirs"), FREE)
def test_parts_that_each_system_writes_in_its_own_way_are_one_key(
    lines: Lines, types: str, ours: str, theirs: str
) -> None:
    lines.lines(one_column=False)
    lines.remap("key_type: [integer, string]", f"key_type: {types}")
    for tenant in range(1, 5):
        lines.line("crm", tenant, ours)
        if tenant != 2:
            lines.line("billing", tenant, theirs, "Eve" if tenant == 3 else "Ada")
    lines.line("billing", 4, ours)
    lines.line("billing", 5, theirs)
    lines.sweep()
    lines.audit_until(lambda: sum(open_causes(lines).values()) == 4)
    form = "a" if "caseless" in types else "+4930123456"
    found = {each["key"]: each["kind"] for each in lines.rows("divergences") if each["state"] == "open"}
    assert found == {f"2/{form}": "missing", f"3/{form}": "value", f"4/{form}": "duplicate", f"5/{form}": "orphan"}
    proposals = propose(lines.map, lines.ledger, lines.readers, b"k" * 32, ["to_billing"])
    for line in write_sql(lines.map, proposals).splitlines():
        if line and not line.startswith("--"):
            lines.run("billing", line)
    with lines.open("billing") as database:
        rows = database.execute("SELECT tenant, code, name FROM lines WHERE tenant < 4").fetchall()
    assert sorted(rows) == [(1, theirs, "Ada"), (2, ours, "Ada"), (3, theirs, "Ada")]


def test_a_key_is_not_missing_where_a_part_may_be_mistaken_or_cannot_be_read(lines: Lines) -> None:
    lines.lines(one_column=False)
    lines.remap("key_type: [integer, string]", "key_type: [phone, caseless]\n    key_region: DE")
    keys = ["030 123456/straße", "030 123456/ann", "040 654321/ann"]
    for system in ("crm", "billing"):
        lines.run(system, "DROP TABLE lines")
        stamp = ", updated_at text" if system == "crm" else ""
        lines.run(system, f"CREATE TABLE lines (tenant text, code text, name text, amount text{stamp})")
    lines.run(
        "billing", "INSERT INTO lines VALUES ('030/123456', 'strasse', 'Ada', 1), ('040654321x', 'ANN', 'Ada', 1)"
    )
    flow = lines.map.flow("to_billing")
    reading = lines.readers["billing"].fetch(flow.target_spec, flow.parse_keys(keys))
    assert reading.rows == []
    assert {key: "cannot be read" in why for key, why in reading.unreadable.items()} == {
        "+4930123456/straße": False,
        "+4940654321/ann": True,
    }
    assert reading.instants.keys() == {"+4930123456/ann"}


@pytest.mark.parametrize(
    ("types", "written", "said"),
    [
        ("[integer, caseless]", "", "holds the whole key in one field, by which it is not found"),
        ("[integer, caseless]", "lower", ""),
        ("[phone, caseless]", "lower", "name a field for each part"),
        ("[integer, caseless]", "e164", "keys of type caseless in their one form are lower"),
        ("[integer, string]", "lower", "does nothing for key_type integer and string"),
    ],
)
def test_a_key_in_one_field_has_its_parts_in_their_one_form(
    lines: Lines, types: str, written: str, said: str
) -> None:
    lines.lines(one_column=True)
    text = lines.map_file.read_text().replace("key_type: [integer, string]", f"key_type: {types}")
    words = f"key_written: {written}, key: ref" if written else "key: ref"
    lines.map_file.write_text(text.replace("key: ref", words))
    if not said:
        assert load_map(lines.map_file, {}).flow("to_billing").target_spec.key_type == "string"
        return
    with pytest.raises(MapError) as refused:
        load_map(lines.map_file, {})
    assert said in str(refused.value)


def test_parts_that_a_system_writes_in_their_one_form_are_looked_up_as_they_are(lines: Lines) -> None:
    lines.lines(one_column=False)
    text = lines.map_file.read_text().replace("key_type: [integer, string]", "key_type: [phone, caseless]")
    place = "billing: {collection: lines, "
    lines.map_file.write_text(text.replace(place, f"{place}key_written: lower, "))
    flow = load_map(lines.map_file, {}).flow("to_billing")
    assert (flow.source_spec.key_types, flow.target_spec.key_types) == (("phone", "caseless"), ("phone", "string"))
    parse = flow.data_type.key_parser("billing")
    assert parse(("+49 30 123456", "ann")) == "+4930123456/ann"
    with pytest.raises(UnreadableError, match="key_written: lower"):
        parse(("+49 30 123456", "Ann"))


def test_pairs_hold_each_part_that_is_written_in_several_ways_in_a_field(lines: Lines) -> None:
    lines.lines(one_column=False)
    text = lines.map_file.read_text().replace("key_type: [integer, string]", "key_type: [integer, caseless]")
    place = "billing: {collection: lines, key: [tenant, code]"
    pairs = "{system: crm, collection: pairs, key: KEY, own_key: own}"
    assert place in text
    text = text.replace(place, f"billing: {{collection: lines, key: ref, crosswalk: {pairs}")
    lines.map_file.write_text(text.replace("KEY", "[tenant, code]"))
    found = load_map(lines.map_file, {}).flow("to_billing").target_spec.pairs
    assert found is not None
    assert found.by_key.key_types == ("integer", "caseless")
    lines.map_file.write_text(text.replace("KEY", "whole"))
    with pytest.raises(MapError, match="name a field for each part"):
        load_map(lines.map_file, {})
