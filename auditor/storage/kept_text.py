"""Text as the ledger keeps it: exactly, also what no database takes. Pure.

PostgreSQL takes no NUL, and no encoding takes half of a surrogate pair, which JSON may hold. Each is kept as a mark
and its number, and so is the mark where a number follows it: texts that differ are kept as texts that differ, on
every kind of ledger alike, in the archive and in the views.
"""

from __future__ import annotations

import re

MARK = "\u2426"
"""`␦`, the sign for a substitute; nothing else that the auditor writes holds it."""

_UNKEPT = re.compile(f"[\0\ud800-\udfff]|{MARK}(?=0000|2426|d[89a-f][0-9a-f]{{2}})")
_KEPT = re.compile(f"{MARK}(0000|2426|d[89a-f][0-9a-f]{{2}})")


def kept(text: str) -> str:
    """The text as the ledger, the archive and the views hold it."""
    return _UNKEPT.sub(lambda found: f"{MARK}{ord(found[0]):04x}", text)


def restored(text: str) -> str:
    """The text that is kept so."""
    return _KEPT.sub(lambda found: chr(int(found[1], 16)), text) if MARK in text else text
