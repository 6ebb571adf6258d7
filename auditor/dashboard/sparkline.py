"""Sparklines with a description for screen readers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from auditor.dashboard import look


def draw(
    figures: Sequence[float | None],
    what: str,
    shown: Callable[[float], str] = "{:,}".format,
    *,
    bars: bool = False,
    least: float | None = None,
) -> None:
    """Draw one; a single known figure has none.

    Args:
        figures: over time, None where nothing is known.
        what: a description of the figures, in our own words.
        shown: formats a figure.
        bars: draw bars instead of a curve.
        least: see `look.sparkline`.
    """
    known = [each for each in figures if each is not None]
    if len(known) > 1:
        extent = f"lowest {shown(min(known))}, highest {shown(max(known))}, last {shown(known[-1])}"
        st.image(look.sparkline(figures, bars=bars, least=least), alt=f"{what}: {extent}", width="stretch")
