"""One text for a key of several fields: its parts joined by slashes, `7/A-1`.

A slash within a part is written `%2F`, and a percent sign `%25`, so no two keys share a text. Every page and
table shows a key in this form; systems are queried by its parts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from probes.contract import Key

SEPARATOR = "/"
_NOT_WRITTEN = re.compile("%(?!25|2F)")


def joined(parts: Iterable[Key]) -> str:
    """The text of a key with these parts."""
    return SEPARATOR.join(str(part).replace("%", "%25").replace(SEPARATOR, "%2F") for part in parts)


def parted(key: Key, count: int) -> tuple[str, ...]:
    """The parts of a key of `count` fields.

    Raises:
        ValueError: if it is not the text of such a key.
    """
    parts = str(key).split(SEPARATOR)
    if len(parts) != count or _NOT_WRITTEN.search(str(key)):
        raise ValueError(f"not a key of {count} parts with a slash between them")
    return tuple(part.replace("%2F", SEPARATOR).replace("%25", "%") for part in parts)
