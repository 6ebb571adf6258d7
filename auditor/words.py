"""How figures with their errors are written, on the command line and on the pages alike."""

from __future__ import annotations

from probes.durations import format_duration


def estimate_text(best: float | None, lower: float | None, upper: float | None) -> str:
    """A lag with its interval; an end that is not known is said to be open."""
    if lower is None:
        return "–"
    told = (
        f"{format_duration(lower)} … {format_duration(upper)}" if upper is not None else f"> {format_duration(lower)}"
    )
    return told if best is None else f"{format_duration(best)} ({told})"


def ratio_text(best: float | None, lower: float | None = None, upper: float | None = None) -> str:
    """A share in percent; where none was seen, what it is at most."""
    if best is None:
        return "–"
    if lower is None or upper is None:
        return f"{best:.2%}"
    return f"at most {upper:.2%}" if best <= 0 else f"{best:.2%} ({lower:.2%} … {upper:.2%})"


def differing_text(differing: tuple[int, int] | None, population: int | None) -> str:
    """How many records differ, as far as it is known."""
    if differing is None:
        return "–"
    least, most = differing
    return f"{least if least == most else f'{least} … {most}'} of {population}"
