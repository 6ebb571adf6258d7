"""What all charts share."""

from __future__ import annotations

import plotly.graph_objects as go

from auditor.dashboard.charts import chart


def test_a_chart_keeps_its_zoom_when_it_is_drawn_again_and_has_no_background_of_its_own() -> None:
    drawn = chart([go.Bar(x=[1], y=[2])], 240)
    assert drawn.layout.uirevision == "keep"
    assert drawn.layout.paper_bgcolor == drawn.layout.plot_bgcolor == "rgba(0,0,0,0)"
    assert (drawn.layout.height, drawn.layout.hovermode) == (240, "closest")


def test_what_a_chart_asks_for_comes_before_what_all_have() -> None:
    drawn = chart([], 100, hovermode="x unified", xaxis={"title": "hours"})
    assert drawn.layout.hovermode == "x unified"
    assert drawn.layout.xaxis.title.text == "hours"
