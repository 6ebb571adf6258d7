"""Tables on the terminal: headings for people, and names that can be copied."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from rich.console import Console
from rich.text import Text

from auditor.cli import rows
from auditor.setup.steps import pair_row
from auditor.systems.matches import Match
from probes.contract import CollectionSchema


def headings(row: Mapping[str, object], capsys: pytest.CaptureFixture[str], *, verbatim: bool = False) -> str:
    rows.print_rows("", [row], verbatim=verbatim)
    return capsys.readouterr().out


def test_a_column_of_ours_is_headed_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert "cannot verify" in headings({"cannot_verify": 1}, capsys)


def test_a_column_of_a_query_keeps_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert "cannot_verify" in headings({"cannot_verify": 1}, capsys, verbatim=True)


def test_a_name_of_the_map_in_a_heading_stays_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    schema = CollectionSchema(name="customers", fields=())
    match = Match(left=schema, right=schema, keys=((), ()), common=1, asked=1, fields=())
    shown = headings(pair_row(0, match, ("crm_eu", "warehouse")), capsys)
    assert "crm_eu" in shown  # on a line of its own where the terminal is narrow


LONG = {
    "pair": 1,
    "collection in customer_relationship_management": "customers_with_their_addresses",
    "collection in data_warehouse": "analytics.dimension_customer_history",
    "records in both": "11 of 12",
    "key": "customer_identifier = dimension_customer_identifier",
    "remark": "this login may not read all of it; ask for SELECT on the table [bold]and[/] its view, 日本",
}


def shown_at(
    width: int,
    shown: list[Mapping[str, object]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> str:
    monkeypatch.setattr(rows, "out", Console(width=width, emoji=False))
    rows.print_rows("What was found", shown)
    return capsys.readouterr().out


@pytest.mark.parametrize("width", [1, 12, 40, 80, 130, 150, 200, 400])
def test_no_width_breaks_a_word_or_loses_one(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = shown_at(width, [LONG, {**LONG, "pair": 2, "remark": None}], monkeypatch, capsys)
    for text in ("What was found", *LONG.keys(), *(str(each) for each in LONG.values())):
        for word in text.split():
            assert word in shown.split() or f"{word}:" in shown.split()


def test_a_table_that_does_not_fit_is_a_block_of_lines_per_row(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few: list[Mapping[str, object]] = [{"flow": "customer_to_warehouse", "cannot_verify": n} for n in (None, 2)]
    assert "│ customer_to_warehouse │" in shown_at(40, few, monkeypatch, capsys)
    blocks = "\n\n".join(f"flow: customer_to_warehouse\ncannot verify: {n}" for n in ("–", "2"))
    assert shown_at(33, few, monkeypatch, capsys) == f"What was found\n{blocks}\n\n"


def test_columns_share_the_room_and_keep_their_words_whole() -> None:
    columns = [[Text(each)] for each in ("a long sentence of many words", "twenty_characters_ab", "12")]
    assert rows.widths_of(columns, 100) == [29, 20, 2]
    assert rows.widths_of(columns, 50) == [18, 20, 2]
    assert rows.widths_of(columns, 40) == [8, 20, 2]
    assert rows.widths_of(columns, 39) is None
