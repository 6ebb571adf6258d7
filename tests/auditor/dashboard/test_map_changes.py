"""The line above the picture of the map: what is no longer as it was drawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from auditor import escaping
from auditor.dashboard import look
from auditor.dashboard.data import Data
from auditor.dashboard.installations import forget
from auditor.dashboard.map_panel import Known
from auditor.dashboard.pages import map as map_page
from auditor.dashboard.time_range import TimeRange
from auditor.history.status import Standing
from tests.auditor.dashboard.page_runs import run, text
from tests.stand import Stand

DRAW_AGAIN = "Draw again"
UNCHANGED = "No flow has changed its state since"


@pytest.fixture
def watched(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    monkeypatch.setenv("AUDITOR_MAP", str(stand.map_file))
    monkeypatch.setenv("AUDITOR_DATA", str(stand.place / "var"))
    monkeypatch.setenv("AUDITOR_LEDGER", stand.ledger_url)
    stand.audit()
    yield stand
    forget()


def test_a_picture_just_drawn_is_as_things_stand(watched: Stand) -> None:
    app = run("map")
    assert not app.exception
    assert UNCHANGED in text(app)


def test_a_flow_in_another_state_is_named_and_the_page_can_be_drawn_again(
    watched: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    known_now = map_page._known

    def known_before(data: Data, span: TimeRange) -> Known:
        known = known_now(data, span)
        return replace(known, statuses={name: replace(each, stale=True) for name, each in known.statuses.items()})

    with monkeypatch.context() as earlier:
        earlier.setattr(map_page, "_known", known_before)
        app = run("map")
    assert not app.exception
    assert "Changed since" in text(app)
    assert f"**{escaping.markdown('to_billing')}** {look.FLOW[Standing.CONSISTENT].badge}" in text(app)
    next(each for each in app.button if each.label == DRAW_AGAIN).click().run()
    assert not app.exception
    assert UNCHANGED in text(app)
