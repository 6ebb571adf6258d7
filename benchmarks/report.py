"""One JSON line per measurement on standard output."""

from __future__ import annotations

import argparse
import json
import operator
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Sequence

_COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq}


def arguments(description: str | None) -> argparse.Namespace:
    """Parse `--quick` and `--seed`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="a short form, within 50 s")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def emit(
    benchmark: str,
    metric: str,
    value: float,
    unit: str,
    *,
    goal: str = "",
    n: int = 1,
    spread: Sequence[float] = (),
    quick: bool = False,
    **more: object,
) -> bool:
    """Print one measurement.

    Args:
        goal: such as `>= 20000`, or "" where there is none.
        n: how many samples the value stands for.
        spread: the least and the greatest of them.

    Returns:
        Whether the goal is met; true where there is none.
    """
    holds = True
    match = re.fullmatch(r"([<>]?=?)\s*([\d.]+)", goal)
    if match:
        holds = bool(_COMPARE[match[1]](value, float(match[2])))
    line = {
        "benchmark": benchmark,
        "metric": metric,
        "value": round(value, 6),
        "unit": unit,
        **({"goal": goal, "holds": holds} if goal else {}),
        "n": n,
        **({"spread": [round(each, 6) for each in spread]} if spread else {}),
        **({"quick": True} if quick else {}),
        **more,
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "arch": platform.machine()},
    }
    print(json.dumps(line), flush=True)
    return holds


def say(text: str) -> None:
    """Tell on standard error what is happening."""
    print(text, file=sys.stderr, flush=True)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which this share of the values lies (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]


def wait_until(done: Callable[[], bool], seconds: float) -> None:
    """Wait for something to become true; what never does is told, and shows in the figures."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            say("waited in vain")
            return
        time.sleep(0.1)
