"""The lens that all who look at the dashboard share, and that is opened anew from time to time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import duckdb
import pytest

from auditor.dashboard import data as pages
from auditor.dashboard.data import Data
from auditor.dashboard.time_range import last
from auditor.history.archive_files import MissingFile
from auditor.history.lens import Lens
from auditor.workspace import Workspace
from tests.stand import Stand

RUNS = "SELECT count(*) AS n FROM probe_runs"


@pytest.fixture
def data(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> Iterator[Data]:
    monkeypatch.setattr(pages, "REFRESH_AT_MOST_EVERY_S", 0.0)
    monkeypatch.setattr(pages, "RENEW_AFTER", 3)
    stand.agree(3)
    opened = Data(stand.map, Workspace.at(stand.place / "var", ledger_url=stand.ledger_url))
    yield opened
    opened.close()


def test_after_many_queries_the_lens_is_opened_anew_with_all_that_is_on_file(data: Data, stand: Stand) -> None:
    used, counted = [data.lens], []
    for _ in range(10):
        stand.audit()
        counted.append(int(data.query(RUNS)["n"].iloc[0]))
        if data.lens is not used[-1]:
            used.append(data.lens)
    assert counted == [*range(counted[0], counted[0] + 10)]
    assert [each.answered for each in used[:-1]] == [3] * (len(used) - 1)
    assert len(used) > 2


def test_whoever_still_asks_the_old_lens_gets_an_answer(data: Data) -> None:
    before = data.lens
    while data.lens is before:
        data.windows(last("1 h", datetime.now(UTC)))
    assert before.query(RUNS).num_rows == 1


def test_a_lens_that_lacks_a_file_stays_because_it_may_hold_the_only_copy_of_its_rows(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = MissingFile(source="changes", day="2026-01-01", rows=1, path="x", why="it is damaged")
    monkeypatch.setattr(Lens, "missing", [gone])
    before = data.lens
    for _ in range(10):
        data.query(RUNS)
    assert data.lens is before


def counted(data: Data, marker: int) -> int:
    """Audits on file, asked in words that nobody has asked before."""
    return int(data.query(f"{RUNS} -- {marker}")["n"].iloc[0])


def test_a_draw_shows_one_state_and_the_next_one_what_was_written_meanwhile(data: Data, stand: Stand) -> None:
    with data.held():
        first = counted(data, 1)
        stand.audit()
        assert counted(data, 2) == first
    with data.held():
        assert counted(data, 3) == first + 1


def test_a_draw_sees_what_it_has_changed_itself(data: Data, stand: Stand) -> None:
    with data.held():
        first = counted(data, 1)
        stand.audit()
        data.changed()
        assert counted(data, 2) == first + 1


def test_long_draws_keep_nobody_from_what_is_new(data: Data, stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    with data.held():
        first = counted(data, 1)
        monkeypatch.setattr(pages, "HELD_S", 0.0)
        stand.audit()
        assert counted(data, 2) == first + 1


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A draw lasts as long as it takes on a busy machine."""
    monkeypatch.setattr(pages, "HELD_S", 600.0)


@pytest.mark.usefixtures("unhurried")
def test_draws_of_one_state_say_when_it_was_read_and_the_next_one_later(data: Data) -> None:
    with data.held() as first:
        with data.held() as beside:
            assert beside == first
        data.changed()
        with data.held() as after:
            assert after > first


@pytest.mark.usefixtures("unhurried")
def test_a_figure_that_a_page_shows_further_down_is_computed_beside_and_once(data: Data) -> None:
    asked: list[str] = []
    begun, may_end = threading.Event(), threading.Event()

    def slow() -> str:
        asked.append(threading.current_thread().name)
        begun.set()
        assert may_end.wait(60)
        return "figure"

    with data.held():
        data.ahead(lambda: data.share("slow", slow))
        assert begun.wait(60)
        may_end.set()
        assert data.share("slow", slow) == "figure"
    assert asked == ["figures_0"]


@pytest.mark.usefixtures("unhurried")
def test_what_cannot_be_computed_ahead_is_told_to_whoever_asks(data: Data) -> None:
    with data.held():
        data.ahead(lambda: data.query("SELECT no_such_column FROM probe_runs"), lambda: data.share("next", lambda: 1))
        with pytest.raises(duckdb.Error, match="no_such_column"):
            data.query("SELECT no_such_column FROM probe_runs")


@pytest.mark.usefixtures("unhurried")
def test_nothing_is_computed_ahead_for_a_state_that_is_over(data: Data) -> None:
    waits, computed = threading.Event(), threading.Event()
    with data.held():
        data.ahead(lambda: waits.wait(60), computed.set)
        data.changed()
        waits.set()
        done = threading.Event()
        data.ahead(done.set)
        assert done.wait(60)
    assert not computed.is_set()
