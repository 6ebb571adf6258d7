"""What is kept of readings: never older than needed, never more than its limits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from auditor.audit.read_store import Entry, ReadStore

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from("abcd"), st.integers(1, 40)),
        st.tuples(st.just("forget"), st.just(""), st.integers(1, 40)),
    ),
    max_size=60,
)


@given(steps=STEPS, since=st.integers(0, 45), limit=st.integers(0, 9))
def test_nothing_older_than_needed_is_returned_and_nothing_beyond_the_limits_is_kept(
    steps: list[tuple[str, str, int]], since: int, limit: int
) -> None:
    store = ReadStore(records_limit=limit, bytes_limit=50 * limit)
    latest: dict[str, int] = {}
    for step, request, ticket in steps:
        if step == "put":
            store.put(request, Entry(began=ticket, value=ticket, records=1 + ticket % 3, size_bytes=ticket))
            latest[request] = max(ticket, latest.get(request, 0))
            if store.get(request, 0) is None:  # it did not fit
                del latest[request]
        else:
            store.forget_before(ticket)
            latest = {each: began for each, began in latest.items() if began >= ticket}
        assert store.records <= limit
        assert store.size_bytes <= 50 * limit
    for request in "abcd":
        entry = store.get(request, since)
        began = latest.get(request)
        assert (None if entry is None else entry.value) == (began if began is not None and began >= since else None)
    store.forget_before(None)
    assert (len(store), store.records, store.size_bytes) == (0, 0, 0)


def test_a_later_reading_replaces_an_earlier_one_and_not_the_other_way_round() -> None:
    store = ReadStore(records_limit=9, bytes_limit=9)
    store.put("a", Entry(began=2, value="second", records=1))
    store.put("a", Entry(began=1, value="first", records=1))
    assert store.records == 1
    entry = store.get("a", 2)
    assert entry is not None
    assert entry.value == "second"
    assert store.get("a", 3) is None
