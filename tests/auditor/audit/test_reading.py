"""Reading: an owner's reading is a value that is completed and passed on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from auditor.audit.budget import Plan
from auditor.audit.gathered import OwnerReading, Wanted
from auditor.audit.reading import Gatherer, Search
from auditor.ledger import Watermark
from probes.contract import Key, Page, ProbeError, Reading, ReadSpec, Reason
from tests.stand import Stand


@pytest.fixture
def gatherer(stand: Stand) -> Gatherer:
    for key in (1, 2, 3):
        stand.put("crm", key)
        stand.put("billing", key)
    flow = stand.map.flow("to_billing")
    return Gatherer(flow, stand.readers["crm"], stand.readers["billing"], flow.comparer(b"k" * 32))


def test_one_reading_of_an_owner_serves_whoever_starts_there(
    stand: Stand, gatherer: Gatherer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[Key]] = []
    fetch = gatherer.source.fetch

    def noted(spec: ReadSpec, keys: Sequence[Key]) -> Reading:
        asked.append(list(keys))
        return fetch(spec, keys)

    monkeypatch.setattr(gatherer.source, "fetch", noted)
    owner = gatherer.read_owner(Wanted(keys=dict.fromkeys([1, 2, 9])), OwnerReading(), gatherer.source)
    assert [*owner.rows] == [1, 2]
    # Also what is absent was read: it is not asked for again.
    assert gatherer.read_owner(Wanted(keys=dict.fromkeys([2, 9])), owner, gatherer.source) is owner
    more = gatherer.read_owner(Wanted(keys=dict.fromkeys([2, 3])), owner, gatherer.source)
    assert asked == [[1, 2, 9], [3]]
    assert ([*more.rows], [*owner.rows]) == ([1, 2, 3], [1, 2])
    another = stand.map.flow("to_billing")
    other = Gatherer(another, stand.readers["crm"], stand.readers["billing"], another.comparer(b"k" * 32))
    read = other.read_target(Wanted(keys=dict.fromkeys([1, 3])), more)
    assert [len(rows) for rows in read.rows_of(3)] == [1, 1]
    assert len(asked) == 2


def test_a_failure_ends_the_reading_where_it_happens(gatherer: Gatherer) -> None:
    failure = ("crm", ProbeError(Reason.TIMEOUT, "too slow"))
    wanted = Wanted(keys=dict.fromkeys([1]))
    read = gatherer.read_target(wanted, OwnerReading(error=failure))
    assert (read.target, read.look, read.error) == (None, None, failure)
    read = gatherer.read_target(Wanted(keys=wanted.keys, error=failure), OwnerReading())
    assert (read.target, read.error) == (None, failure)
    assert gatherer.read_target(Wanted(keys={}), OwnerReading()).look is None


def test_a_change_that_the_owner_has_forgotten_counts_as_skipped(
    gatherer: Gatherer, stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = stand.clock.now()
    planned = Plan(changes_since=now, changes=9, rechecks=0, panel=0, sample=0, extra=0, shed=0)
    monkeypatch.setattr(gatherer.source.probe, "changed", lambda *_: Page(told_from=now - timedelta(days=30)))
    for days, skipped in ((29, False), (31, True)):
        search = Search(source=gatherer.source)
        before = Watermark(at=now - timedelta(days=90), polled_at=now - timedelta(days=days))
        after = gatherer.discover(search, before, planned, now, now)
        assert search.skipped is skipped
        assert after.polled_at is not None
        assert before.polled_at is not None
        assert after.polled_at > before.polled_at


@pytest.mark.parametrize("more", [False, True])
def test_the_instant_that_a_list_of_changes_reaches_moves_the_watermark(
    gatherer: Gatherer, stand: Stand, monkeypatch: pytest.MonkeyPatch, more: bool
) -> None:
    now = stand.clock.now()
    planned = Plan(changes_since=now, changes=9, rechecks=0, panel=0, sample=0, extra=0, shed=0)
    reached_at = now - timedelta(seconds=2)
    row = (1, "2030-01-01 00:00:00", "Ada", "1.00")  # an application's clock that is ahead
    monkeypatch.setattr(
        gatherer.source.probe,
        "changed",
        lambda *_: Page(rows=[row] * 9, more=more, reached_at=reached_at, absent=[2, "odd", None]),
    )
    search = Search(source=gatherer.source)
    after = gatherer.discover(search, Watermark(at=now - timedelta(hours=1)), planned, now, now)
    assert after.at == reached_at
    assert [*search.wanted.keys] == [1, 2]
    assert search.wanted.listed == {1, 2}
    assert [*search.owner.rows] == [1]


@pytest.mark.parametrize(
    ("marks", "more", "clocked"),
    [(False, False, True), (True, False, True), (False, True, True), (False, False, False)],
)
def test_events_that_were_listed_once_are_not_listed_for_ever(
    gatherer: Gatherer, stand: Stand, monkeypatch: pytest.MonkeyPatch, marks: bool, more: bool, clocked: bool
) -> None:
    spec = replace(gatherer.flow.source_spec, marks_records=marks)
    monkeypatch.setattr(type(gatherer.flow), "source_spec", property(lambda _: spec))
    monkeypatch.setattr(gatherer.source.probe, "changed", lambda *_: Page(behind_s=10, more=more))
    now = stand.clock.now()
    long_ago = now - timedelta(hours=1)
    planned = Plan(changes_since=long_ago, changes=9, rechecks=0, panel=0, sample=0, extra=0, shed=0)
    search = Search(source=gatherer.source)
    after = gatherer.discover(search, Watermark(at=long_ago), planned, now, now, clocked=clocked)
    moves = not marks and not more and clocked
    assert (after.at == now - timedelta(seconds=10)) is moves
    assert search.behind_s == 10


def test_changes_that_cannot_be_listed_are_asked_for_once(
    gatherer: Gatherer, stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = stand.clock.now()
    asked: list[int] = []

    def refused(spec: ReadSpec, since: object, limit: int, after: str | None) -> Page:
        asked.append(limit)
        raise ProbeError(Reason.UNREACHABLE, "HTTP 500")

    monkeypatch.setattr(gatherer.source.probe, "changed", refused)
    planned = Plan(changes_since=now, changes=9, rechecks=0, panel=0, sample=0, extra=0, shed=0)
    search = Search(source=gatherer.source)
    gatherer.discover(search, Watermark(), planned, now, now)
    assert search.wanted.error is not None
    assert asked == [9]


def test_a_stamp_of_the_list_of_changes_outlives_the_page_of_a_sweep(
    gatherer: Gatherer, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = replace(gatherer.flow.source_spec, marks_records=False)
    monkeypatch.setattr(type(gatherer.flow), "source_spec", property(lambda _: spec))
    search = Search(source=gatherer.source)
    for mark in ("2026-03-01 00:00:00", None):
        now = datetime.now(UTC)
        row = (1, mark, "Ada", "1.00")
        gatherer.take(search, Reading(system="crm", sent_at=now, received_at=now, rows=[row]), whole=True)
    assert [row[1] for row in search.owner_rows[1]] == ["2026-03-01 00:00:00"]


def test_a_search_ends_as_values(gatherer: Gatherer) -> None:
    search = Search(source=gatherer.source)
    page = gatherer.source.page(gatherer.flow.source_spec, None, 2)
    search.want([7])
    assert gatherer.take(search, page, whole=True) == [1, 2]
    assert [*search.wanted.keys] == [7, 1, 2]
    assert [*search.owner.rows] == [*search.owner.seen] == [1, 2]
    assert search.owner.sent_at is not None
    assert search.owner.sent_at <= datetime.now(UTC)


def test_rows_without_a_readable_key_that_two_lists_contain_count_once(gatherer: Gatherer, stand: Stand) -> None:
    now = stand.clock.now()
    search = Search(source=gatherer.source)
    listed = [(None, None, "Ada", "1.00"), (None, None, "Bo", "1.00"), ("q", None, "Cy", "1.00")]
    paged = [
        *((None, "2026-01-01", *row[2:]) for row in listed),
        ("q", None, "Cy", "1.00"),
        ("r", None, "Di", "1.00"),
    ]
    for rows in (listed, paged):
        gatherer.take(search, Reading(system="crm", rows=rows, sent_at=now, received_at=now), whole=True)
    search.count_nameless([None], at_owner=False)
    assert search.wanted.nameless == 2 + 2 + 1 + 1  # without a key, q, r, and one of the target
