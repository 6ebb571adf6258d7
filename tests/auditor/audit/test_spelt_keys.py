"""Keys that look alike and are spelt in several ways: one key, or with `key_normalize: none` several."""

from __future__ import annotations

import unicodedata

import pytest

from auditor.map.problems import MapError
from tests.stand import Stand

NFC = "\u00e9"
NFD = unicodedata.normalize("NFD", NFC)


@pytest.fixture
def spelt(stand: Stand) -> Stand:
    for system in ("crm", "billing"):
        with stand.open(system) as database:
            database.executemany(
                "INSERT INTO customers VALUES (?, 'Ada', '1.00', '2026-01-01 00:00:00')", [(NFC,), (NFD,), ("e",)]
            )
    stand.remap("key_type: integer", "key_type: string")
    return stand


def test_two_spellings_of_one_key_are_told_as_such(spelt: Stand) -> None:
    spelt.sweep()
    (row,) = spelt.rows("divergences")
    assert (row["key"], row["kind"]) == (NFC, "duplicate")
    assert "two spellings of one key (Unicode normalization)" in str(row["detail"])


def test_keys_may_be_compared_as_they_are_stored(spelt: Stand) -> None:
    spelt.remap("key_type: string", "key_type: string\n    key_normalize: none")
    spelt.sweep()
    assert spelt.rows("divergences") == []
    assert spelt.ledger.records.known_keys("to_billing", "", 10) == ["e", NFD, NFC]


def test_check_says_that_keys_which_are_no_text_have_one_spelling(stand: Stand) -> None:
    with pytest.raises(MapError, match="key_normalize: does nothing for key_type integer; it acts on string"):
        stand.remap("key_type: integer", "key_type: integer\n    key_normalize: none")
