"""Sparklines with a description for screen readers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from auditor.dashboard import look


def draw(
    figures: Sequence[float], what: str, shown: Callable[[float], str] = "{:,}".format, *, bars: bool = False
) -> None:
    """Draw one; a single figure has none.

    Args:
        what: a description of the figures, in our own words.
        shown: formats a figure.
        bars: draw bars instead of a curve.
    """
    if len(figures) > 1:
        extent = f"lowest {shown(min(figures))}, highest {shown(max(figures))}, last {shown(figures[-1])}"
        st.image(look.sparkline(figures, bars=bars), alt=f"{what}: {extent}", width="stretch")
