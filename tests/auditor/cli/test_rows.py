"""Tables on the terminal: headings for people, and names that can be copied."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

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
