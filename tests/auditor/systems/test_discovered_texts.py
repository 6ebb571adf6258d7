"""The map that discover proposes, of systems whose names and values are anything: loaded, it says what they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from auditor.map.loader import load_map
from auditor.systems.discovery import discover
from auditor.systems.matches import Compared, FieldMatch, Found, Match
from auditor.systems.proposed_map import as_yaml, new_system, system_name
from auditor.systems.reader import SystemReader
from probes import registry
from probes.contract import CollectionSchema, FieldSchema
from probes.records.sql.names import join_name, split_name
from tests.attacks.texts import TEXTS
from tests.probes.clients import Client

ENVIRONMENT = {"PATH": "taken from the environment", "HOME": "taken", "IFS": "taken", "NOT_SET": "taken"}


def field(name: str, described: str = "text") -> FieldSchema:
    return FieldSchema(name=name, type="string", described=described)


def found_with(text: str) -> Found:
    """Two systems that are called so everywhere."""
    labels = Compared(equal=9, of=9, plain=0, labels={text: "plain", "code": text, "open": None}, coded=1)
    fields = (
        FieldMatch(
            left=field(text, text), right=field("other"), alike=0.9, compared=Compared(equal=9, of=9, plain=9)
        ),
        FieldMatch(left=field("named"), right=field(text, text), alike=0.9, compared=labels),
        FieldMatch(
            left=field(f"{text} too"),
            right=FieldSchema(name="n", type="integer", described=text),
            alike=0.9,
            compared=Compared(equal=0, of=9, plain=0),
        ),
    )
    left, right = CollectionSchema(name=text, fields=()), CollectionSchema(name=f"{text}{text}", fields=())
    match = Match(
        left=left,
        right=right,
        keys=((field(f"k{text}"),), (field(f"{text}k"),)),
        common=8,
        asked=9,
        fields=fields,
        unmatched=((text,), (text, "x")),
    )
    # The second collection is called alike where signs do not count.
    again = Match(left=left, right=right, keys=match.keys, common=8, asked=9, fields=fields)
    return Found(systems=("crm", "dwh"), matches=[match, again], alone={"crm": [text], "dwh": [text, text]})


NAMES = {name: text for name, text in TEXTS.items() if 0 < len(text) < 200}


@pytest.mark.parametrize("text", NAMES.values(), ids=NAMES)
def test_what_is_proposed_is_read_back_as_it_was(text: str) -> None:
    written = as_yaml(found_with(text), (new_system("crm", "sql", "${CRM}"), new_system("dwh", "sql", "${DWH}")))
    document = YAML(typ="safe").load(written)
    assert document.keys() == {"version", "systems", "data_types", "flows"}
    assert document["systems"].keys() == {"crm", "dwh"}
    assert len(document["data_types"]) == len(document["flows"]) == 2

    def plain(told: str) -> str:
        """What the map makes of a value: `$$` is a dollar sign."""
        assert "$" not in told.replace("$$", "")
        return told.replace("$$", "$")

    for name, described in document["data_types"].items():
        assert document["flows"][f"{name}_to_dwh"]["data_type"] == name
        assert set(described["fields"]) == {text, "named"}
        labels = described["fields"]["named"]["map"]["dwh"]
        assert {code: plain(label) for code, label in labels.items()} == {text: "plain", "code": text, "open": "TODO"}
        bound = described["in"]
        assert plain(bound["crm"]["collection"]) == text
        assert plain(bound["dwh"]["collection"]) == text * 2
        assert (plain(bound["crm"]["key"]), plain(bound["dwh"]["key"])) == (f"k{text}", f"{text}k")
        renamed = {one: plain(other) for one, other in bound["dwh"]["fields"].items()}
        assert renamed == {text: "other", "named": text}


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://h/größe",
        "sqlite:////x/2026.sqlite",
        "sqlite:///---.db",
        "mysql://h/a-b?x=1",
        "sqlite:///" + "x" * 200,
    ],
)
def test_a_database_of_any_name_is_called_something_the_map_takes(address: str) -> None:
    names = {system_name(address, at) for at in (0, 1)}
    for name in names:
        assert new_system(name, "sql", "${X}").startswith(f"  {name}: {{")
        assert name.isascii()
        assert name[0].isalpha()
        assert len(name) <= 40


def test_a_real_database_of_such_names_is_proposed_and_audited(tmp_path: Path) -> None:
    """Every text SQLite takes as a name, as a table and a column, on both sides."""
    names = [each for each in NAMES.values() if each.isprintable() and "POSTCOMPILE" not in each]
    names = [each for each in names if len(each) < 60 and split_name(join_name(None, each)) == (None, each)]
    for system in ("crm", "dwh"):
        client = Client(kind="sqlite", url=f"sqlite:///{tmp_path}/{system}.sqlite", place=tmp_path)
        for at, name in enumerate(names):
            table = f"{name} {at}"
            client.run(
                f"CREATE TABLE {client.named(table)} (id integer PRIMARY KEY, {client.named('c' + name)} text)"
            )
            client.run(f"INSERT INTO {client.named(table)} VALUES (1, 'a{at}'), (2, 'b{at}')")
        client.close()
    readers = []
    for system in ("crm", "dwh"):
        settings = registry.record_settings("sql").model_validate(
            {"kind": "sql", "url": f"sqlite:///{tmp_path}/{system}.sqlite", "zone": "UTC"}
        )
        readers.append(SystemReader(system, settings, registry.open_record_probe(settings)))  # type: ignore[arg-type]
    try:
        found = discover(*readers)
        assert len(found.matches) == len(names)
        written = as_yaml(found, (new_system("crm", "sql", "${CRM}"), new_system("dwh", "sql", "${DWH}")))
        file = tmp_path / "proposed.yaml"
        file.write_text(written, encoding="utf-8")
        urls = {f"{each.upper()}": f"sqlite:///{tmp_path}/{each}.sqlite" for each in ("crm", "dwh")}
        loaded = load_map(file, {**ENVIRONMENT, **urls})
        assert len(loaded.flows) == len(names)
        seen = set()
        for name in loaded.flows:
            flow = loaded.flow(name)
            for reader, spec in zip(readers, (flow.source_spec, flow.target_spec), strict=True):
                reading = reader.page(spec, None, 10)
                assert reading.error is None, (spec, reading.error)
                assert [row[0] for row in reading.rows] == [1, 2]
                assert all(isinstance(row[2], str) for row in reading.rows)
            seen.add(flow.source_spec.fields[0])
        assert seen == {f"c{name}" for name in names}
    finally:
        for reader in readers:
            reader.close()


def test_a_name_too_long_for_a_key_is_left_to_a_person() -> None:
    written = as_yaml(
        found_with("x" * 5_000), (new_system("crm", "sql", "${CRM}"), new_system("dwh", "sql", "${DWH}"))
    )
    assert "its name is too long for a key: xxx" in written


def test_a_system_is_never_named_after_its_login() -> None:
    for address in ("postgresql://ada:hunter2@db.example.com", "postgresql://ada:hunter2@db.example.com/"):
        assert system_name(address, 0) == "db"
    assert system_name("postgresql://ada:hunter2@[::1]:5432/crm?sslmode=require", 0) == "crm"


def test_a_system_is_named_as_its_file_and_not_as_the_address_spells_it() -> None:
    assert system_name("sqlite:////data/source%20of%20truth.sqlite", 0) == "source_of_truth"
