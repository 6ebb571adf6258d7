"""Keys in the form in which what a system returns is recognised as what was asked for."""

from __future__ import annotations

import unicodedata
from typing import Any


def alike(key_type: str, key: Any) -> str:
    """A key in a form that it shares with every other spelling of the same key.

    Args:
        key_type: as in `ReadSpec.key_type`.
    """
    text = unicodedata.normalize("NFC", str(key)).strip()
    if key_type == "salesforce_id":
        return text[:15]
    if key_type == "uuid":
        return text.casefold().replace("-", "").strip("{}")
    if key_type == "integer":
        try:
            return str(int(text))
        except ValueError:
            return text
    return text
