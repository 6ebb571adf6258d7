"""Reading: an owner's reading is a value that is completed and passed on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from auditor.audit.gathered import OwnerReading, Wanted
from auditor.audit.reading import Gatherer, Search
from probes.contract import Key, ProbeError, Reading, ReadSpec, Reason
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


def test_a_search_ends_as_values(gatherer: Gatherer) -> None:
    search = Search(source=gatherer.source)
    page = gatherer.source.page(gatherer.flow.source_spec, None, 2)
    search.want([7])
    assert gatherer.take(search, page, whole=True) == [1, 2]
    assert [*search.wanted.keys] == [7, 1, 2]
    assert [*search.owner.rows] == [*search.owner.seen] == [1, 2]
    assert search.owner.sent_at is not None
    assert search.owner.sent_at <= datetime.now(UTC)
