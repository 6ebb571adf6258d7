"""The map: every flow with its state and lag, and what is known of a flow, a system and a consumer."""

from __future__ import annotations

import numpy as np
import pytest

from auditor import escaping
from auditor.dashboard import look
from auditor.dashboard.pages.map import lag_text
from auditor.history.lag import FlowLag
from auditor.history.status import Standing
from auditor.map.review import Severity
from checks.lag import count_cells, fit
from tests.auditor.dashboard.page_runs import links, read_queue, run, signs, text
from tests.stand import Stand


def test_the_map_page_shows_every_flow_and_its_review(disputed: Stand) -> None:
    app = run("map")
    assert not app.exception
    flows = app.dataframe[0].value
    assert signs(flows["state"]) == ["≠ drift"]
    assert list(flows["from"]) == ["crm"]
    remarks = app.table[0].value.set_index("rule")
    assert remarks.loc["no-team", "severity"] == look.REMARK[Severity.LOW].badge
    assert "Click a flow, a system or a consumer" in text(app)


def test_the_map_page_tells_what_is_known_of_a_flow(disputed: Stand) -> None:
    read_queue(disputed)
    app = run("map", show="flow to_billing")
    assert not app.exception
    told = text(app)
    assert f"{escaping.markdown('to_billing')} {look.FLOW[Standing.DRIFT].badge}" in told
    assert "queue dead (dead)" in told
    assert "In the map" in told
    assert {"Drift", "Lag", "Dead letters", "Incidents"} <= set(links(app))
    assert any("1 duplicate" in each for each in links(app))


def test_the_map_page_tells_what_is_known_of_a_system_and_of_a_consumer(disputed: Stand) -> None:
    app = run("map", show="system billing")
    assert not app.exception
    assert "Filled by" in text(app)
    assert "dunning" in text(app)
    assert any("to" in each and "billing" in each for each in links(app))
    app = run("map", show="consumer dunning (automation)")
    assert not app.exception
    assert "Acts on 1 wrong record in billing" in text(app)


def test_the_map_page_shows_the_flows_of_a_data_type(disputed: Stand) -> None:
    disputed.remap("    every: 1s\n", "    every: 1s\n    team: sales\n")
    assert list(run("map", type="customer", team="sales").dataframe[0].value["flow"]) == ["to_billing"]


@pytest.mark.parametrize(("window_s", "shown"), [(0.0, "no window"), (30.0, "window 30 s"), (7200.0, "window 2 h")])
def test_without_traffic_the_map_shows_the_window(window_s: float, shown: str) -> None:
    assert lag_text(None, window_s) == shown


def test_the_map_shows_the_lag_of_most_changes_against_the_window() -> None:
    def of(*pairs: tuple[float, float]) -> str:
        lower, upper = np.array(pairs).T
        curve = fit(count_cells(lower, upper))
        measured = FlowLag(flow="a", window_s=10, curve=curve, waiting=0, superseded=0, clamped=0)
        return lag_text(measured, 10)

    assert of((0.1, 0.2), (0.1, 0.2)) == "< 1 s of 10 s"
    assert of((40.0, 41.0)).endswith(" s of 10 s")
    assert of(*[(60.0, np.inf)] * 50).startswith("> ")
    assert of((0.1, np.inf)) == "? of 10 s"
