"""Links to the Record page: whatever a key is made of, the page shows the record of exactly that key."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import parse_qs

import pytest

from auditor.dashboard import side_by_side
from auditor.dashboard.data import Data
from auditor.dashboard.installations import forget
from auditor.storage import kept_text
from auditor.systems.live_record import Cell, CopyView, RecordView
from tests.auditor.dashboard.page_runs import app_of, run, text
from tests.stand import Stand

KEYS = {
    "a dot": ".",
    "two dots": "..",
    "a slash": "a/b",
    "up a level": "../../admin",
    "a question mark": "?key=other&type=none",
    "a number sign": "#top",
    "a blank": "a b",
    "blanks at both ends": " a ",
    "a blank alone": " ",
    "encoded": "%2e%2e",
    "encoded twice": "%252e",
    "a percent sign alone": "100%",
    "quotes": "'\"`",
    "ampersands": "a&key=b&type=c",
    "equals signs": "=a=b",
    "plus signs": "a+b",
    "semicolons": "a;b",
    "backslashes": "\\..\\",
    "an address": "https://example.com/?a=b#c",
    "Markdown": "[a](https://example.com) **b** :red[c]",
    "Unicode": "Größe-ναι-日本-🎉",
    "from right to left": "\u202eabc",
    "a line break": "a\nb",
    "NUL": "a\0b",
    "a mark of the ledger": "a\u24260000",
    "2,000 characters": "k?" * 1_000,
}


@pytest.fixture
def watched(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    stand.remap("key_type: integer", "key_type: string")
    monkeypatch.setenv("AUDITOR_MAP", str(stand.map_file))
    monkeypatch.setenv("AUDITOR_DATA", str(stand.place / "var"))
    monkeypatch.setenv("AUDITOR_LEDGER", stand.ledger_url)
    yield stand
    forget()


def query_of(key: str) -> dict[str, list[str]]:
    """What Streamlit reads in the address of a link to a record."""
    app = app_of(
        "from auditor.dashboard import navigation\n"
        f"navigation.link('there', navigation.record('customer', {key!r}))\n"
    ).run()
    assert not app.exception
    (link,) = app.get("page_link")
    return parse_qs(link.proto.query_string, keep_blank_values=True)


@pytest.mark.parametrize("name", KEYS)
def test_a_link_leads_to_exactly_that_key(name: str, watched: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    key = KEYS[name]
    shown: list[RecordView] = []
    read = side_by_side.read_live

    def reading(data: Data, data_type: str, asked: str) -> RecordView:
        shown.append(read(data, data_type, asked))
        return shown[-1]

    monkeypatch.setattr(side_by_side, "read_live", reading)
    for system in ("crm", "billing"):
        with watched.open(system) as database:
            others = [(other, "another", "1", "2026-01-01 00:00:00") for other in KEYS.values() if other != key]
            database.executemany("INSERT INTO customers VALUES (?, ?, ?, ?)", others)
            database.execute("INSERT INTO customers VALUES (?, 'the one', '1', '2026-01-01 00:00:00')", (key,))
    query = query_of(kept_text.kept(key))
    assert set(query) == {"type", "key"}
    ((data_type,), (told,)) = query["type"], query["key"]
    app = run("record", type=data_type, key=told)
    assert not app.exception
    assert "The copies agree in this reading." in text(app)
    (found,) = shown
    assert found.key == key
    assert [copy.cells["name"].text for copy in found.copies] == ["the one", "the one"]


def test_a_page_without_a_key_asks_for_one(watched: Stand) -> None:
    assert "Enter a record's key" in text(run("record", type="customer", key=""))


def test_a_system_that_does_not_carry_a_field_takes_no_side() -> None:
    states = {"crm": ("free", "owner"), "billing": ("paid", "differs"), "mail": ("", "absent")}
    states |= {"stock": ("FREE", "agrees"), "shop": ("no number", "unreadable"), "docs": ("free", "agrees")}
    read_at = datetime(2026, 3, 1, tzinfo=UTC)
    copies = tuple(
        CopyView(
            system=system,
            role="copy",
            found=1,
            error="",
            changed_at="",
            read_at=read_at,
            cells={"plan": Cell(text=text, state=state)},
        )
        for system, (text, state) in states.items()
    )
    record = RecordView(data_type="customer", key="1", copies=copies)
    assert side_by_side.sides(record, "plan") == "plan: billing against crm and stock and docs"
