"""Keys of a data type and a system's own keys, paired by another place: reading by one what has the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from auditor.systems.crosswalk import Crosswalk
from checks.keys import key_parser
from probes.contract import KEY, Key, Pairs, ProbeError, Reading, ReadSpec, Reason

AT = datetime(2026, 1, 1, tzinfo=UTC)
SPEC = ReadSpec(data_type="customer", collection="accounts", key="number", changed_at=None, fields=("name",))
BY_KEY = ReadSpec(
    data_type="p", collection="pairs", key="crm_id", changed_at=None, fields=("no",), key_type="integer"
)
PAIRS = Pairs(
    system="links",
    called="pairs in links",
    by_key=BY_KEY,
    by_own_key=replace(BY_KEY, key="no", fields=("crm_id",), key_type="string"),
    parse_key=key_parser("integer", "links"),
    parse_own_key=key_parser("string", "billing"),
)
CROSSED = replace(SPEC, pairs=PAIRS)


@dataclass
class Table:
    """Pairs, and the records of the system by their own keys."""

    pairs: list[tuple[Any, Any]]
    records: list[str] = field(default_factory=list)
    error: ProbeError | None = None
    unreadable: dict[Key, str] = field(default_factory=dict)
    asked: list[tuple[str, list[Key]]] = field(default_factory=list)

    def fetch(self, spec: ReadSpec, keys: Sequence[Key]) -> Reading:
        """Read pairs by either key, or records."""
        self.asked.append((spec.collection, list(keys)))
        at = AT + timedelta(seconds=len(self.asked))
        if spec.collection == "accounts":
            assert spec.pairs is None
            rows: list[Any] = [(own, None, f"name of {own}") for own in self.records if own in keys]
            return self._reading("billing", at, keys, rows)
        if self.error is not None:
            return Reading(system="links", sent_at=at, received_at=at, error=self.error)
        by_key = spec.key == "crm_id"
        rows = [(key, None, own) if by_key else (own, None, key) for key, own in self.pairs]
        mine = {key: why for key, why in self.unreadable.items() if key in keys}
        return replace(self._reading("links", at, keys, [row for row in rows if row[KEY] in keys]), unreadable=mine)

    def _reading(self, system: str, at: datetime, keys: Sequence[Key], rows: list[Any]) -> Reading:
        until = at + timedelta(seconds=0.5)
        return Reading(
            system=system, sent_at=at, received_at=until, rows=rows, instants=dict.fromkeys(keys, (at, until))
        )


def read(table: Table, *keys: Key, crosswalk: Crosswalk | None = None) -> Reading:
    return (crosswalk or Crosswalk("billing", PAIRS, table)).fetch(CROSSED, keys, table.fetch)


def named(reading: Reading) -> list[tuple[Any, Any]]:
    """Keys and names of the rows."""
    return sorted((row[KEY], row[2]) for row in reading.rows)


def test_records_are_read_by_the_keys_that_pairs_lead_to() -> None:
    table = Table([(1, "A"), (2, "B"), (3, None), (4, "")], ["A", "B", "X"])
    reading = read(table, 1, 2, 3, 4, 5)
    assert named(reading) == [(1, "name of A"), (2, "name of B")]
    assert set(reading.unpaired) == {3, 4, 5}
    assert reading.unpaired[5] == "pairs in links pairs it with no record of billing"
    assert (reading.doubled, reading.unreadable, reading.traced) == ({}, {}, frozenset())
    assert [len(keys) for _, keys in table.asked] == [5, 2, 2]


def test_the_instants_of_a_record_span_its_pair_and_its_row() -> None:
    reading = read(Table([(1, "A")], ["A"]), 1, 2)
    assert reading.when(1) == (AT + timedelta(seconds=1), AT + timedelta(seconds=3.5))
    assert reading.when(2) == (AT + timedelta(seconds=1), AT + timedelta(seconds=1.5))
    assert reading.sent_at == AT + timedelta(seconds=1)


def test_a_key_with_two_records_has_two_rows() -> None:
    assert named(read(Table([(1, "A"), (1, "B"), (1, "A")], ["A", "B"]), 1)) == [(1, "name of A"), (1, "name of B")]


def test_a_record_that_two_keys_share_belongs_to_both_and_is_named() -> None:
    for keys in ((1,), (1, 2)):
        reading = read(Table([(1, "A"), (2, "A")], ["A"]), *keys)
        assert named(reading) == [(key, "name of A") for key in keys]
        assert reading.doubled == dict.fromkeys(
            keys, "pairs in links pairs its record of billing with another key as well"
        )


def test_pairs_that_cannot_be_read_fail_the_reading_in_the_name_of_their_system() -> None:
    failure = ProbeError(Reason.UNREACHABLE, "no route")
    table = Table([(1, "A")], ["A"], error=failure)
    reading = read(table, 1)
    assert (reading.system, reading.error, reading.unpaired) == ("links", failure, {})
    listed = Crosswalk("billing", PAIRS, table).listed(
        Reading(system="billing", sent_at=AT, received_at=AT, rows=[("A", None)], next="7")
    )
    assert (listed.system, listed.error, listed.rows, listed.next) == ("links", failure, (), "7")


def test_one_pair_that_cannot_be_read_spoils_no_other() -> None:
    table = Table([(1, "A"), (2, b"\xff"), (3, "C"), ("x", "D")], ["A", "C"], unreadable={3: "too large", "A": "no"})
    reading = read(table, 1, 2, 3)
    assert reading.unreadable == {
        1: "no",
        2: "pairs in links pairs it with a key that cannot be read",
        3: "too large",
    }
    assert reading.unpaired == {}


def test_a_lost_pair_still_leads_to_its_record_in_the_same_process() -> None:
    table = Table([(1, "A"), (2, "B")], ["A"])
    crosswalk = Crosswalk("billing", PAIRS, table)
    read(table, 1, 2, crosswalk=crosswalk)
    table.pairs = []
    reading = read(table, 1, 2, 3, crosswalk=crosswalk)
    assert named(reading) == [(1, "name of A")]
    assert (set(reading.unpaired), reading.traced) == ({1, 2, 3}, {1, 2})
    table.pairs = [(9, "A")]  # the record is another key's now
    assert named(read(table, 1, crosswalk=crosswalk)) == []


def test_what_is_listed_has_the_keys_of_its_pairs() -> None:
    table = Table([(1, "A"), (2, "B"), (3, "B"), ("x", "D")])
    crosswalk = Crosswalk("billing", PAIRS, table)
    rows = [(own, None, own.lower()) for own in "ABCD"]
    listed = crosswalk.listed(Reading(system="billing", sent_at=AT, received_at=AT, rows=rows, next="n"))
    assert listed.rows == [(1, None, "a"), (2, None, "b"), (3, None, "b"), (None, None, "c"), (None, None, "d")]
    assert listed.next == "n"
    table.pairs = []
    again = crosswalk.listed(Reading(system="billing", sent_at=AT, received_at=AT, rows=rows[:1]))
    assert again.rows == [(1, None, "a")]


def test_records_listed_as_deleted_are_named_by_their_last_pair() -> None:
    table = Table([(1, "A")], ["A"])
    crosswalk = Crosswalk("billing", PAIRS, table)
    read(table, 1, crosswalk=crosswalk)
    table.pairs = [(2, "B")]
    listed = crosswalk.listed(Reading(system="billing", sent_at=AT, received_at=AT, absent=["A", "B", "C", None]))
    assert listed.absent == [1, 2]


KEYS, OWNS = st.integers(1, 5), st.sampled_from("ABCDE")


@given(
    pairs=st.lists(st.tuples(KEYS, OWNS), max_size=10),
    records=st.lists(OWNS, max_size=8),
    keys=st.lists(KEYS, unique=True, max_size=5),
)
def test_no_record_is_given_to_a_key_that_is_not_paired_with_it_and_none_is_lost(
    pairs: list[tuple[int, str]], records: list[str], keys: list[int]
) -> None:
    reading = read(Table(list(pairs), records), *keys)
    expected = sorted((key, f"name of {own}") for key in keys for own in records if (key, own) in pairs)
    assert named(reading) == expected
    assert set(reading.unpaired) == {key for key in keys if key not in dict(pairs)}
    shared = {key for key, own in pairs for other, same in pairs if own == same and key != other}
    assert set(reading.doubled) == shared & set(keys)
    assert set(reading.instants) == set(keys)
    assert all(sent_at <= received_at for sent_at, received_at in reading.instants.values())


@given(pairs=st.lists(st.tuples(KEYS, OWNS), max_size=10), records=st.lists(OWNS, max_size=8))
def test_every_listed_row_is_listed_once_for_each_of_its_keys(
    pairs: list[tuple[int, str]], records: list[str]
) -> None:
    rows = [(own, None) for own in records]
    table = Table(list(pairs))
    listed = Crosswalk("billing", PAIRS, table).listed(
        Reading(system="billing", sent_at=AT, received_at=AT, rows=rows)
    )
    keys_of = {own: list(dict.fromkeys(str(key) for key, other in pairs if other == own)) for own in records}
    expected = [key for own in records for key in keys_of[own] or ["None"]]
    assert sorted(map(str, (row[KEY] for row in listed.rows))) == sorted(expected)
