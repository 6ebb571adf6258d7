"""Values and keys, exactly, between real systems of every kind: what is equal agrees, what differs least is found."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from auditor.map.integration_map import IntegrationMap
from auditor.map.loader import load_map
from auditor.systems.live_record import RecordView, read_record
from auditor.systems.reader import open_readers
from checks.comparison import Comparison
from checks.difference_kinds import blurred
from checks.judgement import Outcome
from probes.queues.sql_queue import SqlQueueProbe, SqlQueueSettings
from probes.records.rest.probe import RestProbe
from probes.records.rest.settings import RestBinding, RestSettings
from probes.records.sql.settings import SqlSettings
from tests.auditor.audit.test_value_words import api
from tests.stand import Stand

DRIVERS = {"postgresql": "postgresql+psycopg", "mariadb": "mariadb+pymysql", "sqlite": "sqlite"}

Make = Callable[[str, str], "Holder"]


class Holder:
    """One system that holds the records of `things`, with one column or field `it`.

    Args:
        kind: postgresql, mariadb, sqlite or rest.
        column: SQL type of `it`.

    Attributes:
        path: JSONPath of `it` in an API's record, where it is not its name.
    """

    def __init__(self, kind: str, column: str, url: str) -> None:
        self.kind = kind
        self.column = column
        self.url = url
        self.answer = "[]"
        self.path = ""

    def hold(self, it: str, key: str = "1", key_type: str = "bigint") -> None:
        """Hold just this record.

        Args:
            it: as a SQL literal, or as JSON where the system is an API.
        """
        if self.kind == "rest":
            self.answer = f'[{{"id": {key}, "it": {it}}}]'
            return
        self.run("DROP TABLE IF EXISTS things")
        self.run(f"CREATE TABLE things (id {key_type}, it {self.column})")
        self.run(f"INSERT INTO things VALUES ({key}, {it})")

    def run(self, sql: str) -> None:
        engine = sa.create_engine(sa.make_url(self.url).set(drivername=DRIVERS[self.kind]))
        with engine.begin() as connection:
            connection.exec_driver_sql(sql.replace("%", "%%"))
        engine.dispose()

    @property
    def system(self) -> dict[str, Any]:
        """Its words under `systems`."""
        return {"kind": "rest" if self.kind == "rest" else "sql", "url": self.url}

    @property
    def binding(self) -> dict[str, Any]:
        """Its words under `in`."""
        asked = {"many": "/things?ids={keys}"} if self.kind == "rest" else {}
        named = {"fields": {"it": self.path}} if self.path else {}
        return {"collection": "things", "key": "id", **asked, **named}


@pytest.fixture
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Makes holders; each kind's server is started when it is first asked for."""
    begun: list[Any] = []

    def holder(kind: str, column: str) -> Holder:
        if kind == "rest":
            made = Holder(kind, column, "")
            opened = api(lambda: made.answer)
            made.url = opened.__enter__()
            begun.append(opened)
            return made
        if kind == "sqlite":
            return Holder(kind, column, f"sqlite:///{tmp_path}/copy.sqlite")
        return Holder(kind, column, request.getfixturevalue(f"{kind}_url"))

    yield holder
    for opened in begun:
        opened.__exit__(None, None, None)


def owner_at(place: Path) -> Holder:
    """An owner that keeps text as it is written: a SQLite column without a type."""
    return Holder("sqlite", "", f"sqlite:///{place}/owner.sqlite")


def text(literal: str) -> str:
    return "'" + literal.replace("'", "''") + "'"


def look(
    owner: Holder, copy: Holder, place: Path, words: dict[str, Any], *, key_type: str = "integer", zone: str = "UTC"
) -> tuple[Comparison, RecordView, IntegrationMap]:
    """What an audit says of the record the owner holds, and what the live view says."""
    described = {
        "systems": {
            "owner": {**owner.system, "zone": "UTC"},
            "copy": {**copy.system, "zone": zone},
        },
        "data_types": {
            "thing": {
                "owner": "owner",
                "window": "30s",
                "key_type": key_type,
                "fields": {"it": words},
                "in": {"owner": owner.binding, "copy": copy.binding},
            }
        },
        "flows": {"to_copy": {"data_type": "thing", "from": "owner", "to": "copy", "pattern": "batch"}},
    }
    file = place / "map.yaml"
    file.write_text(json.dumps(described))
    loaded = load_map(file, {})
    readers = open_readers(loaded)
    try:
        flow = loaded.flow("to_copy")
        made = flow.comparer(b"k" * 32)
        listed = readers["owner"].call(lambda: readers["owner"].probe.page(flow.source_spec, None, 10))
        held, nameless, *_ = made.group(made.owner, listed.rows)
        assert not nameless
        (key,) = held
        found = readers["copy"].fetch(flow.target_spec, [key])
        assert found.error is None
        assert not found.unreadable
        copies, *_ = made.group(made.target, found.rows)
        comparison = made.compare(key, held[key], copies.get(key, []))
        live = read_record(loaded, readers, "thing", str(key))
    finally:
        for reader in readers.values():
            reader.close()
    expected = "cannot verify" if comparison.unverifiable else "agrees" if comparison.agrees else "differs"
    assert live.verdict == expected
    return comparison, live, loaded


# -- JSON

JSON_HOLDERS = [
    ("postgresql", "json"),
    ("postgresql", "jsonb"),
    ("mariadb", "json"),
    ("sqlite", "text"),
    ("rest", ""),
]
LONG = '{"total": 90071992547409931.25}'

DOCUMENTS = [
    (LONG, LONG, True),
    (LONG, '{"total": 90071992547409931.250}', True),
    (LONG, '{"total": 9.007199254740993125e16}', True),
    (LONG, '{"total": 90071992547409931.26}', False),
    (LONG, '{"total": 90071992547409931.2500000000000001}', False),
    ("[9007199254740993]", "[9007199254740992]", False),
    ("[9007199254740993]", "[9007199254740993.0]", True),
    ("[1, 0, 1000]", "[1.0, -0.0, 1e3]", True),
    ("[0.1]", "[0.1000000000000000055511151231257827]", False),
    ('{"b": {"y": 1, "x": 2}, "a": null}', '{"a": null, "b": {"x": 2, "y": 1}}', True),
    ("[true]", "[1]", False),
]


@pytest.mark.parametrize(("kind", "column"), JSON_HOLDERS)
def test_numbers_inside_json_are_exact(make: Make, tmp_path: Path, kind: str, column: str) -> None:
    owner, copy = owner_at(tmp_path), make(kind, column)
    for left, right, agrees in DOCUMENTS:
        owner.hold(text(left))
        copy.hold(right if kind == "rest" else text(right))
        found, live, _ = look(owner, copy, tmp_path, {"type": "json", "evidence": "clear"})
        assert not found.unverifiable, (left, right)
        assert found.agrees is agrees, (left, right)
        if left == LONG and not agrees:
            assert found.differences[0].owner_value == LONG
            assert live.copies[0].cells["it"].text == LONG


UNCERTAIN = [
    ('{"a": 1, "a": 2}', "a key twice"),
    ('{"a": {"b": [{"c": 1, "c": 1}]}}', "a key twice"),
    ('{"a": 1e10000000}', "4,000 digits"),
    ('{"a": ' + "9" * 5_000 + "}", "4,000 digits"),
]


@pytest.mark.parametrize(("kind", "column"), [each for each in JSON_HOLDERS if each[1] != "jsonb"])
def test_json_without_one_meaning_cannot_be_verified(make: Make, tmp_path: Path, kind: str, column: str) -> None:
    """A jsonb column never holds such a thing: PostgreSQL itself decides when it is written."""
    owner, copy = owner_at(tmp_path), make(kind, column)
    for document, said in UNCERTAIN:
        owner.hold(text('{"a": 2}'))
        copy.hold(document if kind == "rest" else text(document))
        found, _, _ = look(owner, copy, tmp_path, {"type": "json"})
        assert said in found.unverifiable
        assert found.unverifiable.startswith("it in copy: ")


@pytest.mark.parametrize("kind", ["sqlite", "rest"])
def test_nan_is_no_json(make: Make, tmp_path: Path, kind: str) -> None:
    owner, copy = owner_at(tmp_path), make(kind, "text")
    owner.hold(text("[1]"))
    copy.hold("[NaN]" if kind == "rest" else text("[NaN]"))
    found, _, _ = look(owner, copy, tmp_path, {"type": "json"})
    assert "NaN" in found.unverifiable


def test_a_path_into_an_answer_keeps_every_digit(make: Make, tmp_path: Path) -> None:
    owner, copy = owner_at(tmp_path), make("rest", "")
    copy.path = "$.it.deep[0].total"
    for number, agrees in (("90071992547409931.25", True), ("90071992547409931.26", False)):
        owner.hold(text("90071992547409931.25"))
        copy.hold(f'{{"deep": [{{"total": {number}}}]}}')
        found, _, _ = look(owner, copy, tmp_path, {"type": "decimal"})
        assert found.agrees is agrees


@pytest.mark.parametrize(
    ("kind", "column"), [("postgresql", "json"), ("postgresql", "jsonb"), ("mariadb", "json"), ("sqlite", "text")]
)
def test_a_letter_names_its_record_with_every_digit(make: Make, kind: str, column: str) -> None:
    held = make(kind, column)
    for payload, key in (
        ('{"customer": {"id": 90071992547409931234567}}', "90071992547409931234567"),
        ('{"customer": {"id": 90071992547409931.25}}', "90071992547409931.25"),
        ('{"customer": {"id": 17.0}}', "17"),
    ):
        held.hold(text(payload))
        settings = SqlQueueSettings.model_validate(
            {"kind": "sql_queue", "system": "it", "table": "things", "payload": "it", "key": "$.customer.id"}
        )
        probe = SqlQueueProbe(settings, SqlSettings.model_validate({**held.system, "zone": "UTC"}))
        try:
            (letter,) = probe.read(10).letters
        finally:
            probe.close()
        assert letter.key == key
        assert letter.payload is not None
        assert (
            json.loads(letter.payload, parse_float=str, parse_int=str)["customer"]["id"].rstrip("0").rstrip(".")
            in key
        )


# -- numbers

HUGE = "9" * 5_000


@pytest.mark.parametrize(
    ("kind", "column"),
    [("postgresql", "numeric"), ("postgresql", "text"), ("mariadb", "text"), ("sqlite", "text"), ("rest", "")],
)
def test_a_number_of_5000_digits_is_refused_by_audit_and_live_view_alike(
    make: Make, tmp_path: Path, kind: str, column: str
) -> None:
    owner, copy = owner_at(tmp_path), make(kind, column)
    for type_ in ("integer", "decimal"):
        owner.hold(text("17"))
        copy.hold(HUGE if kind == "rest" else text(HUGE))
        found, live, _ = look(owner, copy, tmp_path, {"type": type_})
        assert "4,000 digits" in found.unverifiable
        assert live.copies[1].cells["it"].state == "unreadable"


@pytest.mark.parametrize(("kind", "column"), [("postgresql", "numeric"), ("mariadb", "decimal(65, 5)"), ("rest", "")])
def test_long_decimals_are_compared_to_their_last_digit(make: Make, tmp_path: Path, kind: str, column: str) -> None:
    owner, copy = owner_at(tmp_path), make(kind, column)
    number = "1" * 59 + ".12345"
    for other, agrees in ((number, True), (number[:-1] + "6", False)):
        owner.hold(text(number))
        copy.hold(other)
        found, _, _ = look(owner, copy, tmp_path, {"type": "decimal", "scale": 5})
        assert found.agrees is agrees


# -- instants and days

CALENDAR = [
    ("timestamp", "timestamptz", "infinity"),
    ("timestamp", "timestamptz", "-infinity"),
    ("timestamp", "timestamptz", "12026-03-01 12:00:00.5+00"),
    ("timestamp", "timestamptz", "294276-12-31 23:59:59+00"),
    ("timestamp", "timestamptz", "0044-03-15 00:00:00+00 BC"),
    ("timestamp", "timestamptz", "0001-01-01 00:00:00+00"),
    ("timestamp", "timestamptz", "9999-12-31 23:59:59.999999+00"),
    ("timestamp", "timestamp", "infinity"),
    ("timestamp", "timestamp", "12026-03-01 12:00:00"),
    ("timestamp", "timestamp", "0044-03-15 00:00:00 BC"),
    ("date", "date", "infinity"),
    ("date", "date", "-infinity"),
    ("date", "date", "12026-03-01"),
    ("date", "date", "0044-03-15 BC"),
]


@pytest.mark.parametrize("evidence", ["private", "masked", "clear"])
def test_what_postgresql_has_beyond_the_calendar(make: Make, tmp_path: Path, evidence: str) -> None:
    owner, copy = owner_at(tmp_path), make("postgresql", "text")
    for type_, column, value in CALENDAR:
        copy.column = column
        copy.hold(text(value))
        words = {"type": type_, "evidence": evidence}
        owner.hold(text(value))
        found, _, _ = look(owner, copy, tmp_path, words)
        assert found.agrees, (value, found)
        owner.hold(text("2026-03-01 00:00:00" if type_ == "timestamp" else "2026-03-01"))
        found, _, _ = look(owner, copy, tmp_path, words)
        assert [each.field for each in found.differences] == ["it"], (value, found)


@pytest.mark.parametrize(
    ("kind", "column"), [("postgresql", "timestamp"), ("mariadb", "datetime(6)"), ("sqlite", "text")]
)
def test_a_local_time_that_comes_twice_agrees_with_either_instant(
    make: Make, tmp_path: Path, kind: str, column: str
) -> None:
    owner, copy = owner_at(tmp_path), make(kind, column)
    copy.hold(text("2026-10-25 02:30:00"))
    for utc, agrees in (("00:30", True), ("01:30", True), ("02:30", False)):
        owner.hold(text(f"2026-10-25T{utc}:00Z"))
        found, _, _ = look(owner, copy, tmp_path, {"type": "timestamp"}, zone="Europe/Berlin")
        assert found.agrees is agrees
        assert not found.unverifiable


FAR = [("Pacific/Kiritimati", "0001-01-01 00:00:00"), ("America/New_York", "9999-12-31 23:59:59")]


@pytest.mark.parametrize(
    ("kind", "column"), [("postgresql", "timestamp"), ("mariadb", "datetime"), ("sqlite", "text"), ("rest", "")]
)
def test_a_zone_that_pushes_an_instant_over_the_end_of_the_calendar(
    make: Make, tmp_path: Path, kind: str, column: str
) -> None:
    owner, copy = owner_at(tmp_path), make(kind, column)
    for zone, value in FAR:
        owner.hold(text(value))
        copy.hold(f'"{value}"' if kind == "rest" else text(value))
        verdicts = set()
        for evidence in ("private", "masked", "clear"):
            found, live, _ = look(owner, copy, tmp_path, {"type": "timestamp", "evidence": evidence}, zone=zone)
            verdicts.add((live.verdict, *(blurred(each.pattern) for each in found.differences)))
        assert len(verdicts) == 1
        assert verdicts.pop()[0] == "differs"
        same, _, _ = look(owner, copy, tmp_path, {"type": "timestamp", "zone": {"owner": zone}}, zone=zone)
        assert same.agrees


def test_a_local_time_that_comes_twice_is_never_called_a_transformation(stand: Stand) -> None:
    stand.remap(
        "      name: {type: string, evidence: clear}\n", "      updated_at: {type: timestamp, evidence: clear}\n"
    )
    stand.remap('billing.sqlite", zone: UTC', 'billing.sqlite", zone: Europe/Berlin')
    for key, utc in ((1, "00:30:00"), (2, "01:30:00")):
        stand.run("crm", f"INSERT INTO customers VALUES ({key}, 'x', '1', '2025-10-26 {utc}')")
        stand.run("billing", f"INSERT INTO customers VALUES ({key}, 'x', '1', '2025-10-26 02:30:00')")
    for _ in range(3):
        swept = stand.sweep()
        assert not swept.error
        assert swept.counts[Outcome.AGREED] == 2
    assert stand.rows("divergences") == []


# -- keys

KEYS = [
    ("postgresql", "uuid", "string", "'legacy-17'", "'6ba7b810-9dad-11d1-80b4-00c04fd430c8'"),
    ("mariadb", "uuid", "string", "'legacy-17'", "'6ba7b810-9dad-11d1-80b4-00c04fd430c8'"),
    ("postgresql", "bigint", "string", "'legacy-17'", "17"),
    ("mariadb", "bigint", "string", "'legacy-17'", "17"),
    ("sqlite", "integer", "string", "'legacy-17'", "17"),
    ("postgresql", "bigint", "integer", "'100000000000000000000'", "1"),
    ("postgresql", "integer", "integer", "'100000000000000000000'", "1"),
    ("postgresql", "smallint", "integer", "'100000000000000000000'", "1"),
    ("mariadb", "bigint", "integer", "'100000000000000000000'", "9223372036854775807"),
    ("mariadb", "bigint unsigned", "integer", "'100000000000000000000'", "18446744073709551615"),
    ("sqlite", "integer", "integer", "'100000000000000000000'", "1"),
    ("postgresql", "uuid", "integer", "'17'", "'6ba7b810-9dad-11d1-80b4-00c04fd430c8'"),
]


@pytest.mark.parametrize(("kind", "column", "key_type", "key", "other"), KEYS)
def test_a_key_that_the_copys_column_cannot_hold_is_certainly_missing_there(
    make: Make, tmp_path: Path, kind: str, column: str, key_type: str, key: str, other: str
) -> None:
    owner, copy = owner_at(tmp_path), make(kind, "text")
    owner.hold("'x'", key, "")
    copy.hold("'x'", other, column)
    found, live, _ = look(owner, copy, tmp_path, {}, key_type=key_type)
    assert not found.unverifiable
    assert found.owner is not None
    assert found.target is None
    assert [each.found for each in live.copies] == [1, 0]


@pytest.mark.parametrize(
    ("kind", "column"), [("postgresql", "text"), ("mariadb", "varchar(100)"), ("sqlite", "text")]
)
def test_a_key_is_found_however_its_letters_are_composed(make: Make, tmp_path: Path, kind: str, column: str) -> None:
    owner, copy = owner_at(tmp_path), make(kind, "text")
    for here, there in (("Chlo\u00e9", "Chloe\u0301"), ("Chloe\u0301", "Chlo\u00e9")):
        owner.hold("'x'", text(here), "")
        copy.hold("'x'", text(there), column)
        found, _, _ = look(owner, copy, tmp_path, {}, key_type="string")
        assert found.agrees


@pytest.mark.parametrize("stamp", ['"1e900000"', '"-1e900000"', "1e10000000", "9" * 5_000, '"NaN"', "NaN"])
def test_a_stamp_is_never_expanded(stamp: str) -> None:
    with api(lambda: f'[{{"id": 1, "at": {stamp}}}, {{"id": 2, "at": 1772366400}}]') as url:
        probe = RestProbe(RestSettings.model_validate({"kind": "rest", "url": url}))
        binding = RestBinding.model_validate(
            {
                **{"collection": "things", "key": "id", "changed_at": "at", "changed_at_unit": "s"},
                **{"many": "/things?ids={keys}", "changed": "/things?since={since}"},
            }
        )
        try:
            rows = probe.changed(binding.spec("thing", [], zone=None), datetime(2026, 1, 1, tzinfo=UTC), 10).rows
        finally:
            probe.close()
    assert [row[0] for row in rows] == [1, 2]
