"""What the map says about values, between two SQL databases and between a database and an HTTP API."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from auditor.conflicts.held_values import written
from auditor.map.integration_map import IntegrationMap
from auditor.map.loader import load_map
from auditor.map.problems import MapError
from auditor.systems.live_record import read_record
from auditor.systems.reader import SystemReader, open_readers
from checks.comparison import Comparison
from checks.fields import FieldRule
from checks.values import UnreadableError


@contextmanager
def api(body: Callable[[], str]) -> Iterator[str]:
    """An HTTP API that gives one answer to every question."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = body().encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class Pair:
    """A SQLite owner `crm` and a target `copy`, a database or an API, that hold one record."""

    def __init__(self, place: Path, kind: str) -> None:
        self.place = place
        self.kind = kind
        self.answer = "[]"
        self.url = ""

    def map_of(self, fields: dict[str, Any], **words: Any) -> IntegrationMap:
        """The map of the two, with these fields."""
        copy: dict[str, Any] = {"kind": "sql", "url": f"sqlite:///{self.place}/copy.sqlite", "zone": "UTC"}
        held: dict[str, Any] = {"collection": "things", "key": "id"}
        if self.kind == "rest":
            copy = {"kind": "rest", "url": self.url, "zone": "UTC"}
            held = {**held, "many": "/things?ids={keys}"}
        described = {
            "systems": {
                "crm": {"kind": "sql", "url": f"sqlite:///{self.place}/crm.sqlite", "zone": "UTC"},
                "copy": copy,
                "other": {"kind": "sql", "url": f"sqlite:///{self.place}/other.sqlite", "zone": "UTC"},
            },
            "data_types": {
                "thing": {
                    "owner": "crm",
                    "window": "30s",
                    "key_type": "integer",
                    "fields": fields,
                    "in": {"crm": {"collection": "things", "key": "id"}, "copy": held},
                    **words,
                }
            },
            "flows": {"to_copy": {"data_type": "thing", "from": "crm", "to": "copy", "pattern": "batch"}},
        }
        file = self.place / "map.yaml"
        file.write_text(json.dumps(described))
        return load_map(file, {})

    def hold(self, system: str, record: dict[str, Any]) -> None:
        """Let a system hold just this record."""
        if system == "copy" and self.kind == "rest":
            self.answer = json.dumps([{"id": 1, **record}])
            return
        path = self.place / f"{system}.sqlite"
        path.unlink(missing_ok=True)
        database = sqlite3.connect(path)
        with database:
            database.execute(f"CREATE TABLE things (id integer, {', '.join(record)})")
            marks = ", ".join("?" * (len(record) + 1))
            database.execute(f"INSERT INTO things VALUES ({marks})", (1, *record.values()))
        database.close()

    def compare(self, fields: dict[str, Any], owner: dict[str, Any], copy: dict[str, Any]) -> Comparison:
        """What an audit says of the record, after a look that the live view says the same."""
        self.hold("crm", owner)
        self.hold("copy", copy)
        loaded = self.map_of(fields)
        readers = open_readers(loaded)
        try:
            found = compared(loaded, readers)
            live = read_record(loaded, readers, "thing", "1")
        finally:
            for reader in readers.values():
                reader.close()
        expected = "cannot verify" if found.unverifiable else "agrees" if found.agrees else "differs"
        assert live.verdict == expected
        if not found.unverifiable:
            assert set(live.differing) == {each.field for each in found.differences}
        return found


def compared(loaded: IntegrationMap, readers: dict[str, SystemReader]) -> Comparison:
    flow = loaded.flow("to_copy")
    made = flow.comparer(b"k" * 32)
    owner = made.group(made.owner, readers["crm"].fetch(flow.source_spec, [1]).rows)[0]
    copy = made.group(made.target, readers["copy"].fetch(flow.target_spec, [1]).rows)[0]
    return made.compare(1, owner.get(1, []), copy.get(1, []))


@pytest.fixture(params=["sql", "rest"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path, request.param)
    with api(lambda: made.answer) as url:
        made.url = url
        yield made


NFC, NFD = "Chlo\u00e9", "Chloe\u0301"
AMOUNT = {"amount": {"type": "money", "currency": {"from": "code"}, "minor_units": ["copy"]}, "code": {}}

# the field's words, the owner's value, the copy's, whether they agree
WORDS: list[tuple[dict[str, Any], Any, Any, bool]] = [
    ({"casefold": ["copy"]}, "Ada@X.org", "ada@x.org", True),
    ({"casefold": ["other"]}, "Ada@X.org", "ada@x.org", False),
    ({"casefold": True}, "Ada@X.org", "ada@x.org", True),
    ({"strip": {"copy": "trailing"}}, "DE", "DE   ", True),
    ({"strip": {"copy": "trailing"}}, "DE ", "DE   ", True),
    ({"strip": {"copy": "trailing"}}, "DE", " DE", False),
    ({"strip": {"other": "both"}}, "DE", "DE   ", False),
    ({"strip_accents": ["copy"]}, NFC, "Chloe", True),
    ({"newlines": ["copy"]}, "a\nb", "a\r\nb", True),
    ({"newlines": ["other"]}, "a\nb", "a\r\nb", False),
    ({"null_is": {"copy": ["empty"]}}, None, "", True),
    ({"null_is": {"copy": ["empty"]}}, "", "", True),
    ({"null_is": {"other": ["empty"]}}, None, "", False),
    ({}, NFC, NFD, True),
    ({"normalize": "none"}, NFC, NFD, False),
    ({"normalize": {"crm": "none", "copy": "none"}}, NFC, NFD, False),
    ({"normalize": {"crm": "none"}}, NFC, NFD, True),
    ({"type": "decimal", "factor": {"copy": "0.01"}}, "12.34", 1234, True),
    ({"type": "decimal", "factor": {"copy": "0.01"}}, "12.34", 1235, False),
    ({"type": "decimal", "factor": {"copy": "0.01", "crm": "1000"}}, "1.5", 150000, True),
    (
        {"type": "decimal", "factor": {"copy": "0.001"}},
        "12345678901234567890123456789012345.678",
        "12345678901234567890123456789012345678",
        True,
    ),
]


@pytest.mark.parametrize(("words", "owner", "copy", "agrees"), WORDS)
def test_a_word_of_a_field(pair: Pair, words: dict[str, Any], owner: Any, copy: Any, agrees: bool) -> None:
    found = pair.compare({"it": words}, {"it": owner}, {"it": copy})
    assert not found.unverifiable
    assert found.agrees is agrees


def test_a_pattern_names_what_differs_in_normalization_alone(pair: Pair) -> None:
    found = pair.compare({"it": {"normalize": "none"}}, {"it": NFC}, {"it": NFD})
    assert [(each.shape, each.pattern) for each in found.differences] == [("normalization", "NFC to NFD")]


@pytest.mark.parametrize(
    ("code", "major", "minor"),
    [
        ("JPY", "500", 500),
        ("EUR", "19.99", 1999),
        ("eur", "19.99", 1999),
        ("KWD", "1.234", 1234),
        ("CLF", "0.0001", 1),
    ],
)
def test_each_currency_has_minor_units_of_its_own(pair: Pair, code: str, major: str, minor: int) -> None:
    codes = {"code": {"casefold": True}}
    found = pair.compare(
        {**AMOUNT, **codes}, {"amount": major, "code": code}, {"amount": minor, "code": code.upper()}
    )
    assert found.agrees, found
    other = pair.compare(
        {**AMOUNT, **codes}, {"amount": major, "code": code}, {"amount": minor + 1, "code": code.upper()}
    )
    assert [each.field for each in other.differences] == ["amount"]


@pytest.mark.parametrize(
    ("code", "said"),
    [("XQQ", "ISO 4217 does not list"), (None, "without a currency"), ("", "without a currency")],
)
def test_a_currency_that_is_not_known_is_never_guessed(pair: Pair, code: str | None, said: str) -> None:
    found = pair.compare(AMOUNT, {"amount": "19.99", "code": "EUR"}, {"amount": 1999, "code": code})
    assert [each.field for each in found.differences] == ["code"]
    (unread,) = found.unread
    assert unread.field == "amount"
    assert said in unread.target_value


def test_an_amount_without_a_value_needs_no_currency(pair: Pair) -> None:
    assert pair.compare(AMOUNT, {"amount": None, "code": None}, {"amount": None, "code": None}).agrees


def test_a_currency_may_be_a_label_of_its_system(pair: Pair) -> None:
    fields = {
        "amount": {"type": "money", "currency": {"from": "code"}, "minor_units": ["copy"]},
        "code": {"type": "enum", "map": {"copy": {"1": "EUR", "2": "JPY"}}},
    }
    assert pair.compare(fields, {"amount": "5", "code": "JPY"}, {"amount": 5, "code": 2}).agrees


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"it": {"casefold": ["coppy"]}}, "it.casefold: unknown system 'coppy'; did you mean 'copy'?"),
    ({"it": {"strip": {"coppy": "both"}}}, "it.strip.coppy: unknown system 'coppy'; did you mean 'copy'?"),
    ({"it": {"strip": "left"}}, "it.strip: write none, trailing or both, or one of them per system"),
    ({"it": {"null_is": {"copy": ["blank"]}}}, "it.null_is: write a list of missing and empty"),
    ({"it": {"normalize": "nfd"}}, "it.normalize: write nfc or none"),
    ({"it": {"type": "money", "minor_units": ["coppy"]}}, "it.minor_units: unknown system 'coppy'"),
    ({"it": {"type": "decimal", "factor": {"coppy": "2"}}}, "it.factor.coppy: unknown system 'coppy'"),
    ({"it": {"type": "decimal", "factor": {"copy": "0"}}}, "it.factor.copy: write a number other than 0"),
    (
        {"it": {"type": "decimal", "minor_units": ["copy"]}},
        "it.minor_units: does nothing for type decimal; write type: money with a currency, or factor: ",
    ),
    ({"it": {"type": "integer", "casefold": True}}, "it.casefold: does nothing for type integer; it acts on string"),
    ({"it": {"type": "money", "factor": {"copy": "2"}}}, "it.factor: does nothing for type money; write minor_units"),
    (
        {"it": {"type": "money", "currency": {"from": "cod"}}, "code": {}},
        "it.currency.from: unknown field 'cod'; did you mean 'code'?",
    ),
    (
        {"it": {"type": "money", "currency": {"from": "code"}}, "code": {"type": "integer"}},
        "it.currency.from: code is of type integer",
    ),
    (
        {"it": {"type": "money", "currency": {"from": "code"}}, "code": {"compare": False}},
        "it takes its currency from code, which this flow does not compare",
    ),
    (
        {"it": {"type": "money", "currency": "EURO", "minor_units": ["copy"]}},
        "it.currency: 'EURO' is not an ISO 4217 currency",
    ),
    ({"it": {"type": "set", "items": "integer"}}, "it.items: does nothing for type set; it acts on array and range"),
    ({"it": {"type": "array", "items": "integer", "zone": {"copy": "UTC"}}}, "it.zone: does nothing for type array"),
    ({"it": {"type": "bytes", "encoding": {"coppy": "hex"}}}, "it.encoding.coppy: unknown system 'coppy'"),
    ({"it": {"type": "money", "currency": {"form": "code"}}}, "it.currency: write a code such as EUR"),
]


@pytest.mark.parametrize(("fields", "said"), MISTAKES)
def test_check_says_what_a_word_cannot_mean(tmp_path: Path, fields: dict[str, Any], said: str) -> None:
    with pytest.raises(MapError) as refused:
        Pair(tmp_path, "sql").map_of(fields)
    assert said in str(refused.value)


def test_a_repair_is_proposed_in_the_units_of_its_system() -> None:
    money = FieldRule.model_validate({"type": "money", "currency": {"from": "code"}, "minor_units": ["copy"]})
    assert written(money, "copy", (Decimal("1.234"), "KWD")) == 1234
    assert written(money, "copy", (Decimal(500), "JPY")) == 500
    assert written(money, "crm", (Decimal("1.234"), "KWD")) == Decimal("1.234")
    grams = FieldRule.model_validate({"type": "decimal", "factor": {"copy": "0.001", "odd": "3"}})
    assert written(grams, "copy", Decimal("1.5")) == 1500
    assert written(grams, "odd", Decimal("1.5")) == Decimal("0.5")
    assert written(grams, "crm", Decimal("1.5")) == Decimal("1.5")
    for rule, system, value in ((money, "copy", (Decimal("1.2345"), "KWD")), (grams, "odd", Decimal(1))):
        with pytest.raises(UnreadableError):
            written(rule, system, value)
