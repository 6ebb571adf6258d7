"""No test leaves a daemon running, not even one that fails: it would slow down all that follow in its process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from auditor.daemon.daemon import Daemon
from auditor.daemon.timetable import Timetable


@pytest.fixture(autouse=True)
def ended(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test has started ends with it."""
    daemons: list[Daemon] = []
    timetables: list[Timetable] = []
    start_daemon, start_timetable = Daemon.start, Timetable.start

    def started(daemon: Daemon) -> None:
        daemons.append(daemon)
        start_daemon(daemon)

    def begun(timetable: Timetable) -> None:
        timetables.append(timetable)
        start_timetable(timetable)

    monkeypatch.setattr(Daemon, "start", started)
    monkeypatch.setattr(Timetable, "start", begun)
    yield
    for each in daemons:
        each.stop()
    for one in timetables:
        one.stop(0.0)
