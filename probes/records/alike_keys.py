"""Keys in the form in which what a system returns is recognised as what was asked for."""

from __future__ import annotations

import unicodedata
from typing import Any

from probes.letter_case import CASELESS, folded
from probes.phone_numbers import PHONE, NotPhoneNumberError, e164


def alike(key_type: str, key: Any, region: str | None = None) -> str:
    """A key in a form that it shares with every other spelling of the same key.

    Args:
        key_type, region: as in `ReadSpec`.
    """
    if key_type == PHONE:
        try:
            return e164(str(key), region)
        except NotPhoneNumberError:
            return str(key)
    text = unicodedata.normalize("NFC", str(key)).strip()
    if key_type == CASELESS:
        return folded(text)
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
