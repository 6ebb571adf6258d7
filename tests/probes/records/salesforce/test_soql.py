"""SOQL as the probe sends it, read by the parser of the stand-in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from probes.records.salesforce import soql
from tests.standins.salesforce.soql import Comparison, parse


def value(literal: str) -> object:
    found = parse(f"SELECT Id FROM Account WHERE Name = {literal}").where
    assert isinstance(found, Comparison)
    return found.values[0]


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_a_text_arrives_as_it_is(text: str) -> None:
    assert value(soql.text(text)) == text


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30, places=6))
def test_a_number_arrives_as_it_is(number: Decimal) -> None:
    assert value(soql.number(number)) == number


def test_an_instant_is_written_in_utc_and_whole_seconds() -> None:
    local = datetime(2026, 3, 1, 1, 2, 3, 999_999, tzinfo=timezone(timedelta(hours=1)))
    assert soql.instant(local) == "2026-03-01T00:02:03Z"
    assert value(soql.instant(local)) == datetime(2026, 3, 1, 0, 2, 3, tzinfo=UTC)


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300), min_size=1, max_size=120)
)
def test_lists_of_keys_fit_into_an_address_and_hold_every_key_once(keys: list[str]) -> None:
    head = soql.select(["Id"], "Account", "WHERE Name IN")
    found: list[object] = []
    for text in soql.parts(head, [soql.text(key) for key in keys]):
        where = parse(text).where
        assert isinstance(where, Comparison)
        found += where.values
        assert len(quote(text, safe="")) <= soql.LONGEST_ADDRESS + 500 or len(where.values) == 1
    assert found == keys
