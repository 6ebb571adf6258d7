"""Data frames for pages; Arrow, which carries them to the page, rejects half characters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from auditor.escaping import visible

_PLAIN = {int, float, bool, type(None)}

_HALF = re.compile("[\ud800-\udfff]")


def frame(rows: Any, **more: Any) -> pd.DataFrame:
    """A `pandas.DataFrame` of the rows, with a sign for each half character in their texts."""
    return pd.DataFrame(_whole(rows), **more)


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return _HALF.sub(lambda match: visible(match[0]), value) if not value.isascii() else value
    if isinstance(value, Mapping):
        return {_whole(name): each if type(each) in _PLAIN else _whole(each) for name, each in value.items()}
    if type(value) in {list, tuple}:
        return [_whole(each) for each in value]
    return value
