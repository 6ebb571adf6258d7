"""The time range of the pages: the last so many hours, or from one instant to another."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import duckdb
import pandas as pd
import pytest

from auditor import escaping
from auditor.alerts.notices import incident_path
from auditor.dashboard import queries, view
from auditor.dashboard.beats import Beat
from auditor.dashboard.data import BEATS, Data
from auditor.dashboard.installations import forget, installation
from auditor.dashboard.pages import overview
from auditor.dashboard.time_range import FROM_TO, RANGES, TimeRange, bar_width, between, last
from tests.auditor.dashboard.page_runs import read_queue, run, text
from tests.stand import Stand

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("label", RANGES)
def test_a_range_up_to_now_has_about_sixty_bars_at_most(label: str) -> None:
    span = last(label, NOW)
    assert span.end == NOW
    assert span.words == ("the last hour" if label == "1 h" else f"the last {label}")
    assert (span.end - span.begin) / span.bucket <= 61
    assert span.slots(40)[1] * 40 == (span.end - span.begin) / timedelta(milliseconds=1)


@pytest.mark.parametrize("label", RANGES)
def test_what_was_in_one_slot_stays_together_as_time_goes_on(label: str) -> None:
    begin, slot_ms = last(label, NOW).slots(BEATS)
    slot = timedelta(milliseconds=slot_ms)
    for passed in (timedelta(seconds=1), slot * 0.5, slot * 3.7):
        now = NOW + passed
        later, _ = last(label, now).slots(BEATS)
        assert (later - begin) % slot == timedelta()
        assert later + slot * (BEATS - 1) < now <= later + slot * BEATS


def test_a_chosen_range_is_cut_from_its_begin() -> None:
    span = between(NOW + timedelta(seconds=7), NOW + timedelta(seconds=87))
    assert span.slots(BEATS) == (span.begin, 2_000)


def test_a_curve_of_conflicts_has_the_most_that_were_open_at_one_time() -> None:
    spans = [(-9, 12), (1, 3), (4, 6), (21, 29), (25, None), (29, 30), (35, 36), (41, None)]
    with duckdb.connect() as engine:
        engine.execute(
            "SET TimeZone = 'UTC'; CREATE TABLE conflicts (flow TEXT, opened_at TIMESTAMPTZ, closed_at TIMESTAMPTZ)"
        )
        for opened, closed in spans:
            ends = [None if each is None else NOW + timedelta(seconds=each) for each in (opened, closed)]
            engine.execute("INSERT INTO conflicts VALUES ('to_billing', ?, ?), ('gone', ?, ?)", [*ends, *ends])
        asked = [["to_billing"], NOW, 10_000, 4, NOW, 10_000, 4]
        assert engine.execute(queries.CONFLICTS_OPEN, asked).fetchall() == [(2,), (1,), (2,), (2,)]


def test_a_curve_of_dead_letters_has_the_most_that_waited_in_a_slot(watched: Stand) -> None:
    watched.run("billing", "INSERT INTO letters VALUES (1, '3', '2026-03-01 00:00:00', 'no')")
    begun = watched.clock.now()
    read_queue(watched)
    watched.clock.advance(1)
    watched.run("billing", "DELETE FROM letters")
    read_queue(watched)
    data = installation(str(watched.map_file), str(watched.place / "var"))
    span = between(begun - timedelta(seconds=1), begun + timedelta(minutes=3, seconds=19))
    read, again = slots_of_reads(data, span)
    assert read == again
    assert data.letters_waiting(span)[read : read + 3] == [1, 0, 0]


def test_bars_keep_what_they_hold_while_the_range_moves_on() -> None:
    width = timedelta(minutes=1)
    timeline = pd.DataFrame({"bucket_at": [NOW + width * each for each in range(5)], "opened": [1, 2, 3, 4, 5]})
    for second in range(1, 60):
        begin = NOW + timedelta(seconds=second)
        assert view.bars(timeline, begin, begin + 5 * width, width) == [1, 2, 3, 4, 5, 0]
    assert view.bars(timeline, NOW, NOW + 5 * width, width) == [1, 2, 3, 4, 5, 0]


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
    stand.put("billing", 2, "Ada")
    stand.audit()
    stand.put("billing", 1, "Eve")
    for _ in range(4):
        stand.audit()
        stand.clock.advance(2)
    stand.put("crm", 3, "Grace", ago_s=0)
    stand.audit()
    yield stand
    forget()


def test_what_happened_after_a_range_is_not_in_it(watched: Stand) -> None:
    data = installation(str(watched.map_file), str(watched.place / "var"))
    around = between(watched.clock.now() - timedelta(hours=1), watched.clock.now())
    before = between(around.begin - timedelta(days=2), around.begin - timedelta(days=1))
    found = {
        span.begin: (
            data.count_divergences(span, flows=[], causes=[], states=["closed"], search=""),
            data.count_divergences(span, flows=[], causes=[], states=["open"], search=""),
            int(data.timeline(span)["opened"].sum()),
            any(beat for beat in data.beats(span)["to_billing"] if beat is not Beat.NO_DATA),
            sum(each.due for each in data.coverage(span)) > 0,
            data.lags(span)[0].audited,
            data.lags(span)[0].waiting,
        )
        for span in (around, before)
    }
    assert found[around.begin] == (1, 1, 2, True, True, True, 1)
    assert found[before.begin] == (0, 1, 0, False, False, False, 0)


def test_what_holds_now_is_shown_whatever_the_range(watched: Stand) -> None:
    chosen = {"range": FROM_TO, "from": "2026-02-01T10:00", "to": "2026-02-01T11:00"}
    assert "1 record matches" in text(run("drift", **chosen))
    assert "1 open incident" in text(run("incidents", **chosen))
    assert "No incident is open" not in text(run("incidents", **chosen))
    assert ":material/check_circle:" not in [each.icon for each in run("drift", flow="to_billing", **chosen).info]
    lag = text(run("lag", **chosen))
    assert "Nothing was audited in the chosen time" in lag
    assert "auditor run" not in lag


@pytest.mark.parametrize("days", [1, 29, 59, 60.5, 61, 90, 120, 365, 3650])
def test_a_range_of_any_length_has_bars_that_the_engine_takes(days: float, watched: Stand) -> None:
    span = between(NOW - timedelta(days=days), NOW)
    assert 30 <= (span.end - span.begin) / span.bucket <= 122
    data = installation(str(watched.map_file), str(watched.place / "var"))
    data.timeline(span)
    assert bar_width(span.end - span.begin, 60) / timedelta(days=1) <= max(1, round(days / 60))


def test_the_two_ends_are_taken_from_the_address_and_shown(watched: Stand) -> None:
    app = run("overview", **{"range": FROM_TO, "from": "2026-03-01T10:00", "to": "2026-03-01T11:30"})
    assert not app.exception
    assert "Shown: 01 Mar 10:00 to 01 Mar 11:30 UTC" in text(app)
    assert "in the chosen time" in text(app)


def test_a_chosen_range_is_in_the_address_with_both_its_ends(watched: Stand) -> None:
    app = run("overview", range=FROM_TO)
    begin, end = (datetime.fromisoformat(str(app.query_params[name])) for name in ("from", "to"))
    assert end - begin == timedelta(hours=1)
    app.selectbox(key="range").select("6 h").run()
    assert not {"from", "to"} & set(app.query_params)


def test_a_link_of_an_alert_shows_the_time_of_its_incident(watched: Stand) -> None:
    begun = datetime(2026, 3, 1, 10, 0, 30, tzinfo=UTC)
    path = urlsplit(incident_path(1, begun, begun + timedelta(minutes=90, seconds=15)))
    app = run(path.path, **dict(parse_qsl(path.query)))
    assert not app.exception
    assert "Shown: 01 Mar 10:00 to 01 Mar 11:31 UTC" in text(app)
    app.selectbox(key="range").select("1 h").run()
    assert "Shown: 01 Mar 10:00" not in text(app)
    assert not {"from", "to"} & set(app.query_params)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("2026-02-28", "28 Feb 00:00"),
        ("2026-02-28T17:30:15", "28 Feb 17:30"),
        ("2026-02-28T17:30+02:00", "28 Feb 15:30"),
        ("2010-01-01T00:00", "01 Jan 2010 00:00"),
    ],
)
def test_an_instant_may_be_written_in_any_way_of_iso_8601(given: str, shown: str, watched: Stand) -> None:
    app = run("overview", **{"range": FROM_TO, "from": given, "to": "2026-03-01T11:30"})
    assert f"Shown: {shown} to 01 Mar 11:30 UTC" in text(app)
    assert not [each for each in app.warning if each.icon == ":material/link_off:"]


@pytest.mark.parametrize(
    ("begin", "end", "said"),
    [
        ("2026-03-01T10:00", "2026-03-01T09:00", "The range ends before it begins; one minute is shown."),
        ("2099-01-01T10:00", "2099-01-01T11:00", "The range has not begun yet; there is nothing to show."),
    ],
)
def test_a_range_that_can_show_nothing_is_told(begin: str, end: str, said: str, watched: Stand) -> None:
    app = run("overview", **{"range": FROM_TO, "from": begin, "to": end})
    assert not app.exception
    assert said in [each.value for each in app.main.warning]
    assert not app.sidebar.warning


@pytest.mark.parametrize("given", ["yesterday", "0001-01-01T00:00", "2026-13-01"])
def test_an_end_that_is_no_instant_is_told(given: str, watched: Stand) -> None:
    app = run("overview", **{"range": FROM_TO, "from": given})
    assert not app.exception
    assert not app.sidebar.warning
    (warning,) = [each.value for each in app.main.warning if each.icon == ":material/link_off:"]
    assert f"{escaping.markdown(given)} is not an instant such as 2026-03-01T10:00" in warning


def slots_of_reads(data: Data, span: TimeRange) -> list[int]:
    """In which slots of the time range the one queue was read, or could not be."""
    reads = data.query("SELECT read_at FROM backlogs WHERE read_at >= ? ORDER BY read_at", [span.begin])["read_at"]
    return [(at - span.begin) // timedelta(milliseconds=span.slots(BEATS)[1]) for at in reads]


def test_a_curve_of_dead_letters_takes_a_queue_as_last_read_and_has_gaps_where_that_is_unknown(
    watched: Stand,
) -> None:
    begun = watched.clock.now()
    watched.run("billing", "INSERT INTO letters VALUES (1, '3', '2026-03-01 00:00:00', 'no')")
    read_queue(watched)
    for name in (None, "gone"):
        watched.clock.advance(60)
        if name:
            watched.run("billing", f"ALTER TABLE letters RENAME TO {name}")
        read_queue(watched)
    data = installation(str(watched.map_file), str(watched.place / "var"))
    whole = between(begun - timedelta(minutes=1), watched.clock.now() + timedelta(minutes=1))
    first, _, failed = slots_of_reads(data, whole)
    assert 0 < first < failed < BEATS - 1
    assert data.letters_waiting(whole) == [None] * first + [1] * (failed - first) + [None] * (BEATS - failed)
    assert data.conflicts_open(whole) == [0] * BEATS
    (depths,) = data.depths(whole).values()
    assert depths == [1] * len(depths), "where it was read, whatever the range is"
    assert data.depths(between(NOW - timedelta(days=900), NOW - timedelta(days=899))) == {}
    assert data.letters_waiting(between(NOW - timedelta(days=900), NOW - timedelta(days=899))) == [None] * BEATS
    watched.run("billing", "ALTER TABLE gone RENAME TO letters")
    watched.clock.advance(60)
    read_queue(watched)
    data.changed()
    after = between(watched.clock.now() - timedelta(seconds=50), watched.clock.now() + timedelta(minutes=9))
    (read,) = slots_of_reads(data, after)
    current = math.ceil(60_000 / after.slots(BEATS)[1])  # for a minute
    assert data.letters_waiting(after) == [None] * read + [1] * (1 + current) + [None] * (BEATS - 1 - read - current)
    data.map = replace(data.map, queues={})
    data.changed()
    assert data.letters_waiting(after) == [None] * BEATS


def test_a_curve_of_shares_spans_its_whole_time_range(watched: Stand) -> None:
    data = installation(str(watched.map_file), str(watched.place / "var"))
    settled = data.query("SELECT settled_at FROM changes WHERE settled_at IS NOT NULL")["settled_at"]
    span = between(settled.max() - timedelta(minutes=30), settled.max() + timedelta(minutes=10))
    found = data.shares(span)
    assert len(found) == BEATS
    assert {at for at, share in enumerate(found) if share is not None} == {
        (at - span.begin) // timedelta(minutes=1) for at in settled
    }


def test_a_slot_without_audits_is_a_gap_and_not_a_flow_that_disagrees() -> None:
    silent, well, bad = Beat.NO_DATA, Beat.AGREES, Beat.DIFFERS
    beats = {"one": [silent, silent, well, bad], "two": [silent, well, well, bad]}
    assert overview._agreeing(beats) == [None, 1, 2, 0]
    assert overview._agreeing({}) == []
    for unwell in (Beat.DIFFERS, Beat.LATE, Beat.CANNOT_VERIFY):
        assert overview._agreeing({"one": [well, unwell, well], "two": [well] * 3}) == [2, 1, 2]


def test_what_the_map_no_longer_names_is_in_no_curve(watched: Stand) -> None:
    data = installation(str(watched.map_file), str(watched.place / "var"))
    around = between(watched.clock.now() - timedelta(hours=1), watched.clock.now() + timedelta(minutes=1))
    assert int(data.timeline(around)["opened"].sum()) > 0
    data.map = replace(data.map, flows={})
    data.changed()
    assert data.timeline(around).empty
    assert data.shares(around) == [None] * BEATS
