"""A figure's course over the time range as a small picture that screen readers can tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from auditor.dashboard import look


def draw(
    figures: Sequence[float], what: str, shown: Callable[[float], str] = "{:,}".format, *, bars: bool = False
) -> None:
    """Draw it; nothing of a single figure.

    Args:
        what: the figures are, in words of ours.
        shown: a figure in words.
        bars: draw bars instead of a curve.
    """
    if len(figures) > 1:
        told = f"lowest {shown(min(figures))}, highest {shown(max(figures))}, last {shown(figures[-1])}"
        st.image(look.course(figures, bars=bars), alt=f"{what}: {told}", width="stretch")
