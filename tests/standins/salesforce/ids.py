"""Record ids: 15 characters that differ by case, or 18 with a suffix that says which of them are capitals.

Source: Salesforce Object Reference, "ID Field Type": 15-character ids are case-sensitive, 18-character ids are safe
where case is lost; both are accepted, 18 are returned. The suffix has one character for each five: the position in
A-Z0-5 of the number whose bit n is set where the nth character is a capital.
"""

from __future__ import annotations

import re

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_FORM = re.compile(r"[0-9A-Za-z]{15}([0-9A-Za-z]{3})?")


def suffix(id_15: str) -> str:
    """The three characters that follow an id of 15."""
    parts = (id_15[at : at + 5] for at in (0, 5, 10))
    return "".join(ALPHABET[sum(1 << bit for bit, c in enumerate(part) if c.isupper())] for part in parts)


def with_suffix(text: str) -> str | None:
    """The 18 characters of an id in either form; the case of an 18-character id is repaired.

    Returns: None where the text is no id.
    """
    if not _FORM.fullmatch(text):
        return None
    if len(text) == 15:
        return text + suffix(text)
    capitals = [ALPHABET.find(c) for c in text[15:].upper()]
    if min(capitals) < 0:
        return None
    repaired = "".join(c.upper() if capitals[at // 5] >> at % 5 & 1 else c.lower() for at, c in enumerate(text[:15]))
    return repaired + suffix(repaired) if suffix(repaired) == text[15:].upper() else None


def new_id(prefix: str, number: int, pod: str = "Hu") -> str:
    """The 18-character id of an object's record by its number."""
    digits = ""
    while number:
        number, digit = divmod(number, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    whole = f"{prefix}{pod}{digits:0>{15 - len(prefix) - len(pod)}}"
    return whole + suffix(whole)
