"""Changes since an instant: how it is written, and how they are asked for page by page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from probes.contract import Reason, Row
from tests.http_api import Api, Request
from tests.probes.records.rest.apis import KEYS, Answer, failure, hubspot, probe_of, spec_of


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({}, "2026-03-01T10:00:00.250000Z"),
        ({"changed_at_unit": "s"}, "1772359200"),
        ({"changed_at_unit": "ms"}, "1772359200250"),
        ({"since": "s"}, "1772359200"),
        ({"since": "us"}, "1772359200250000"),
        ({"changed_at_unit": "ms", "since": "iso"}, "2026-03-01T10:00:00.250000Z"),
    ],
)
def test_since_is_written_as_the_map_says(serve: Callable[[Answer], Api], words: dict[str, Any], told: str) -> None:
    api = serve(lambda _: [])
    spec = spec_of(changed_at="at", changed="/c?since={since}&limit={limit}", **words)
    probe_of(api.url).changed(spec, datetime(2026, 3, 1, 10, 0, 0, 250_000, tzinfo=UTC), 10)
    assert api.asked[0].values["since"] == told


@pytest.mark.parametrize(
    ("at", "told"),
    [
        (datetime(2026, 6, 1, 10, tzinfo=UTC), "2026-06-01T12:00:00"),
        # 01:30Z is the second 02:30 of that night; what changed at 00:50Z carries the same hour as what follows.
        (datetime(2026, 10, 25, 0, 50, tzinfo=UTC), "2026-10-25T02:05:00"),
        (datetime(2026, 10, 25, 1, 30, tzinfo=UTC), "2026-10-25T02:30:00"),
    ],
)
def test_since_in_local_time_looks_back_over_the_hour_that_repeats(
    serve: Callable[[Answer], Api], at: datetime, told: str
) -> None:
    api = serve(lambda _: [])
    spec = replace(spec_of(changed_at="at", changed="/c?since={since}", since="local"), zone="Europe/Berlin")
    probe_of(api.url).changed(spec, at, 10)
    assert api.asked[0].values["since"] == told


def test_changes_are_asked_for_again_from_the_last_stamp_in_the_way_the_api_wants_it(
    serve: Callable[[Answer], Api],
) -> None:
    stamped = [{"id": f"c{n}", "at": f"2026-03-01T10:00:0{n}Z"} for n in range(6)]

    def answer(request: Request) -> Any:
        since = int(request.values["since"]) - 1772359200
        return stamped[max(0, since) :][:2]

    api = serve(answer)
    spec = spec_of(changed_at="at", changed="/c?since={since}&limit={limit}", since="s", limit=2)
    found: list[Row] = []
    after = None
    while True:
        page = probe_of(api.url).changed(spec, datetime(2026, 3, 1, 10, tzinfo=UTC), 50, after)
        found += page.rows
        after = page.next
        if after is None:
            break
    assert [row[0] for row in found] == [f"c{n}" for n in range(6)]
    assert {each.values["limit"] for each in api.asked} == {"2"}


def test_more_changes_of_one_stamp_than_an_answer_holds_are_told_as_more(serve: Callable[[Answer], Api]) -> None:
    api = serve(lambda _: [{"id": f"c{n}", "at": "2026-03-01T10:00:00Z"} for n in range(2)])
    spec = spec_of(changed_at="at", changed="/c?since={since}&limit={limit}", limit=2)
    first = probe_of(api.url).changed(spec, datetime(2026, 3, 1, tzinfo=UTC), 50)
    second = probe_of(api.url).changed(spec, datetime(2026, 3, 1, tzinfo=UTC), 50, first.next)
    assert (list(second.rows), second.next, second.more) == ([], None, True)


def test_changes_with_the_newest_first_are_refused_where_older_ones_may_be_cut_off(
    serve: Callable[[Answer], Api],
) -> None:
    api = serve(lambda _: [{"id": f"c{n}", "at": f"2026-03-01T10:00:0{9 - n}Z"} for n in range(2)])
    spec = spec_of(changed_at="at", changed="/c?since={since}&limit={limit}", limit=2)
    told = failure(lambda: probe_of(api.url).changed(spec, datetime(2026, 3, 1, tzinfo=UTC), 50))
    assert (told.reason, "newest first" in told.message) == (Reason.QUERY, True)


def test_changes_are_paged_where_the_api_pages_them(serve: Callable[[Answer], Api]) -> None:
    api = serve(hubspot)
    spec = spec_of(
        changed_at="at", changed="/c?since={since}&limit={limit}&after={after}", records="$.results[*]",
        next="$.paging.next.after", limit=3,
    )  # fmt: skip
    found: list[Row] = []
    after = None
    while True:
        page = probe_of(api.url).changed(spec, datetime(2026, 3, 1, tzinfo=UTC), 50, after)
        found += page.rows
        after = page.next
        if after is None:
            break
    assert [row[0] for row in found] == KEYS
    assert len(api.asked) == 3
