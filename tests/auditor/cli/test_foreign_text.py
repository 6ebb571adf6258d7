"""Text from outside: no command lets it act on a terminal, and JSON and CSV hold it as it is."""

from __future__ import annotations

import csv
import io
import json

import pytest

from tests.auditor.cli.process import auditor
from tests.stand import Stand

EVIL = "a\x1b[31mb\u202ec\x9bd\ne"
"""Text that colours, turns and breaks lines on a terminal."""


@pytest.fixture
def evil(stand: Stand, places: list[object]) -> list[object]:
    """A record whose key and value a terminal would act on, differing."""
    stand.remap("key_type: integer", "key_type: string")
    for system, name in (("crm", EVIL), ("billing", "Ada")):
        with stand.open(system) as database:
            database.execute("INSERT INTO customers VALUES (?, ?, '1', '2026-01-01 00:00:00')", (EVIL, name))
    assert auditor("once", "--wait", "20s", *places).returncode == 1
    return places


def unseen(text: str) -> set[str]:
    """The characters that a terminal would act on, lines apart."""
    return set(text) & {"\x1b", "\u202e", "\x9b", "\0"}


def test_no_text_from_outside_acts_on_the_terminal(evil: list[object]) -> None:
    select = ["query", "SELECT key FROM divergences"]
    for words, places in (
        (["drift"], evil),
        (["once", "--wait", "0s"], evil),
        (["record", "customer", EVIL], evil[:2]),
        (["repair"], evil),
        (select, evil[2:]),
        ([*select, "--json"], evil[2:]),
        (["drift", "--json"], evil),
        (["record", "nothing" + EVIL, "1"], evil[:2]),
    ):
        done = auditor(*words, *places)
        told = done.stdout + done.stderr
        assert "[31m" in told, words
        assert not unseen(told), words
        assert "\ne" not in told, words  # the text's own line break


def texts_of(document: object) -> set[str]:
    if isinstance(document, dict):
        return {text for each in document.values() for text in texts_of(each)}
    if isinstance(document, list):
        return {text for each in document for text in texts_of(each)}
    return {str(document)}


def test_json_and_csv_hold_texts_as_they_are(evil: list[object]) -> None:
    for words, places in (
        (["drift", "--json"], evil),
        (["record", "customer", EVIL, "--json"], evil[:2]),
        (["repair", "--format", "json"], evil),
    ):
        assert EVIL in texts_of(json.loads(auditor(*words, *places).stdout)), words
    rows = list(csv.DictReader(io.StringIO(auditor("repair", "--format", "csv", *evil).stdout, newline="")))
    assert [(row["key"], row["proposed"]) for row in rows] == [(EVIL, EVIL)]
