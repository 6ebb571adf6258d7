"""The lag grid: the cells in which lags are counted, the same for every flow, so that counts add up.

Every settled change adds one to the pair of cells between which its lag lies: hours add up to days, machines
to a fleet.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right

FIRST_EDGE_S = 0.02
CELLS_PER_DECADE = 8
GRID_STEPS = 68
"""From 0.02 s to 80 days, eight windows of the longest kind and more."""

EDGES_S = (0.0, *(FIRST_EDGE_S * 10 ** (step / CELLS_PER_DECADE) for step in range(GRID_STEPS)), math.inf)
"""Cell j holds lags in `(EDGES_S[j], EDGES_S[j + 1]]`; the first one lags of 0 too."""

NEVER = len(EDGES_S) - 2
"""The cell of lags beyond the grid; also the upper end of a change that was not seen to arrive."""

CellPair = tuple[int, int]


def cells_of(lower_s: float, upper_s: float | None) -> CellPair | None:
    """The cells between which a lag of `(lower_s, upper_s]` lies, or None if an end is not a number.

    Args:
        upper_s: None if the change was not seen to arrive.
    """
    if math.isnan(lower_s) or (upper_s is not None and math.isnan(upper_s)):
        return None
    lower = min(bisect_right(EDGES_S, max(0.0, lower_s)) - 1, NEVER)
    upper = NEVER if upper_s is None else bisect_left(EDGES_S, max(0.0, upper_s)) - 1
    return lower, min(max(lower, upper), NEVER)
