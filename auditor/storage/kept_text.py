"""Text as the ledger stores it: exactly, including characters that no database accepts. Pure.

PostgreSQL rejects NUL, and no encoding accepts half of a surrogate pair, which JSON may hold. Each is stored as a
mark and its number, and so is the mark itself if a number follows it: different texts stay different on every kind of
ledger, in the archive and in the views.
"""

from __future__ import annotations

import re

MARK = "\u2426"
"""`␦`, the sign for a substitute; nothing else that the auditor writes contains it."""

_UNKEPT = re.compile(f"[\0\ud800-\udfff]|{MARK}(?=0000|2426|d[89a-f][0-9a-f]{{2}})")
_KEPT = re.compile(f"{MARK}(0000|2426|d[89a-f][0-9a-f]{{2}})")


def kept(text: str) -> str:
    """The text in the form that the ledger, the archive and the views store."""
    return _UNKEPT.sub(lambda match: f"{MARK}{ord(match[0]):04x}", text)


def restored(text: str) -> str:
    """The original of a stored text."""
    return _KEPT.sub(lambda match: chr(int(match[1], 16)), text) if MARK in text else text
