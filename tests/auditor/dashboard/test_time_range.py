"""The time range of the pages: the last so many hours, or from one instant to another."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from auditor.dashboard.beats import Beat
from auditor.dashboard.components import _open
from auditor.dashboard.time_range import FROM_TO, RANGES, between, last
from tests.auditor.dashboard.test_pages import run, text
from tests.stand import Stand

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("label", RANGES)
def test_a_range_up_to_now_has_about_sixty_bars_at_most(label: str) -> None:
    span = last(label, NOW)
    assert span.end == NOW
    assert span.words == ("the last hour" if label == "1 h" else f"the last {label}")
    assert (span.end - span.begin) / span.bucket <= 61
    assert span.slot_ms(40) * 40 == (span.end - span.begin) / timedelta(milliseconds=1)


def test_a_range_that_ends_before_it_begins_is_a_minute_long() -> None:
    span = between(NOW, NOW - timedelta(hours=1))
    assert (span.begin, span.end) == (NOW, NOW + timedelta(minutes=1))


@pytest.fixture
def watched(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    monkeypatch.setenv("AUDITOR_MAP", str(stand.map_file))
    monkeypatch.setenv("AUDITOR_DATA", str(stand.place / "var"))
    monkeypatch.setenv("AUDITOR_LEDGER", stand.ledger_url)
    stand.agree(3)
    stand.sweep()
    stand.audit()
    stand.put("billing", 2, "Eve")
    for _ in range(4):
        stand.audit()
        stand.clock.advance(2)
    stand.put("crm", 3, "Grace", ago_s=0)
    stand.audit()
    yield stand
    _open.clear()


def test_what_happened_after_a_range_is_not_in_it(watched: Stand) -> None:
    data = _open(str(watched.map_file), str(watched.place / "var"))
    around = between(watched.clock.now() - timedelta(hours=1), watched.clock.now())
    before = between(around.begin - timedelta(days=2), around.begin - timedelta(days=1))
    found = {
        span.begin: (
            data.count_divergences(span, flows=[], causes=[], states=["open"], search=""),
            int(data.facets(span, "")["records"].sum()),
            int(data.timeline(span)["opened"].sum()),
            any(beat for beat in data.beats(span)["to_billing"] if beat is not Beat.NO_DATA),
            sum(each.due for each in data.coverage(span)) > 0,
            data.lags(span)[0].audited,
            data.lags(span)[0].waiting,
        )
        for span in (around, before)
    }
    assert found[around.begin] == (1, 1, 1, True, True, True, 1)
    assert found[before.begin] == (0, 0, 0, False, False, False, 0)


def test_the_two_ends_are_taken_from_the_address_and_shown(watched: Stand) -> None:
    app = run("overview", **{"range": FROM_TO, "from": "2026-03-01T10:00", "to": "2026-03-01T11:30"})
    assert not app.exception
    assert "Shown: 01 Mar 10:00 to 01 Mar 11:30 UTC" in text(app)
    assert "in the chosen time" in text(app)


def test_a_range_whose_ends_are_swapped_is_told(watched: Stand) -> None:
    app = run("overview", **{"range": FROM_TO, "from": "2026-03-01T10:00", "to": "2026-03-01T09:00"})
    assert not app.exception
    assert "The range ends before it begins; one minute is shown." in [each.value for each in app.warning]


def test_an_end_that_is_no_instant_is_told(watched: Stand) -> None:
    app = run("overview", **{"range": FROM_TO, "from": "yesterday"})
    assert not app.exception
    (warning,) = [each.value for each in app.warning if each.icon == ":material/link_off:"]
    assert "yesterday is not an instant such as 2026-03-01T10:00" in warning
