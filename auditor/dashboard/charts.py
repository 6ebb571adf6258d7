"""What all charts share: no margin of their own, the background of the page, and a state that survives a redraw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.basedatatypes import BaseTraceType


def chart(traces: Sequence[BaseTraceType], height: int, **layout: Any) -> go.Figure:
    """A figure with these traces.

    Args:
        layout: of the figure, given at once: `update_layout` takes longer than all the rest.
    """
    return go.Figure(
        traces,
        {
            "height": height,
            "margin": {"l": 10, "r": 10, "t": 10, "b": 10},
            "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "uirevision": "keep",
            "hovermode": "closest",
            "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": "rgba(128,128,128,0.6)", "activecolor": "#808080"},
            **layout,
        },
    )
