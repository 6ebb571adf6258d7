"""Keys whose case does not matter (`key_type: caseless`): their one form, and the writings by which they are found.

Case alone is ignored, letter by letter: `ß` and `ss`, or `ı` and `i`, are different letters, and keys with them are
different keys. That is Unicode's simple case folding without the letters whose case differs by language, or that
would become an ASCII letter. Databases fold ASCII letters alike and others as they please, so nothing here depends on
how they fold these: a key is looked up in each way in which its other letters can be written.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import cache
from itertools import product

CASELESS = "caseless"
"""The key type."""

WRITINGS_LIMIT = 64
"""Most ways to write the letters of one key beyond ASCII: six of them in either case."""

MISTAKEN_LIMIT = 8
"""Most letters of a key that are exchanged one by one for those that they may be mistaken for."""

CASED_BELOW = 0x20000
"""No letter with a case is beyond this code point."""

ASCII_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

_LOWER = {ord(letter): letter.lower() for letter in ASCII_LETTERS}


def folded(text: str, *, compose: bool = True) -> str:
    """A text without its case.

    Args:
        compose: in Unicode NFC as well.
    """
    if text.isascii():
        return text.lower()
    if not compose:
        return "".join(map(_folded, text))
    return unicodedata.normalize("NFC", "".join(map(_folded, unicodedata.normalize("NFC", text))))


def is_in_one_form(text: str) -> bool:
    """Whether a text is composed (Unicode NFC) or decomposed (NFD) as a whole, so that its writings are known."""
    return text.isascii() or any(unicodedata.is_normalized(form, text) for form in ("NFC", "NFD"))


def writings(key: str, *, mistaken: bool = False) -> list[str]:
    """How a system may write a key, in lower case as far as the letters are ASCII.

    Lower-casing the ASCII letters of any text whose form is this key gives one of these, whether or not its other
    letters are lower-cased as well, by whichever program. Of a key with too many writings, the usual ones
    (`is_countable`).

    Args:
        mistaken: also other keys that software takes for the same (`ß` and `ss`, `ı` and `i`), for `loose`.
    """
    texts: dict[str, None] = {}
    for base in dict.fromkeys((key, unicodedata.normalize("NFD", key))):
        for text in _cased(base):
            for form in (text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)):
                for lower in dict.fromkeys((form, form.lower(), form.replace("İ", "i"))):
                    texts[lower.translate(_LOWER)] = None
    if mistaken:
        texts.update(dict.fromkeys(_mistaken(key)))
    return [text for text in texts if text]


def _mistaken(key: str) -> Iterable[str]:
    """Keys that some software takes for the same as this one: a letter is another, or each such letter is."""
    for plain in dict.fromkeys((key, loose(key))):
        yield plain.casefold().translate(_LOWER)
        yield plain.replace("ss", "ß")
        for letter, others in (("ss", "ß"), ("i", "ıİ")):
            places = [at for at in range(len(plain)) if plain.startswith(letter, at)][:MISTAKEN_LIMIT]
            for other in others:
                yield plain.replace(letter, other)
                yield from (plain[:at] + other + plain[at + len(letter) :] for at in places)


def is_countable(key: str) -> bool:
    """Whether `writings` holds every writing of a key, so that a key which is not found does not exist."""
    return all(_count(base) <= WRITINGS_LIMIT for base in (key, unicodedata.normalize("NFD", key)))


def loose(text: str) -> str:
    """A text without anything by which software is known to take different letters for the same: keys that share it
    may be mistaken for each other, by accents, `ß` or `ı`."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return "".join("i" if sign == "ı" else sign for sign in plain if not unicodedata.combining(sign))


def _cased(text: str) -> Iterable[str]:
    """A text with each letter beyond ASCII in each case; the usual ones if they are too many."""
    if text.isascii():
        return (text,)
    if _count(text) > WRITINGS_LIMIT:
        return dict.fromkeys((text, text.upper(), text.lower(), text.title(), _each(text, -1)))
    choices = [(sign,) if sign.isascii() else (sign, *_others().get(sign, ())) for sign in text]
    return map("".join, product(*choices))


def _each(text: str, at: int) -> str:
    return "".join((sign, *_others().get(sign, ()))[at] for sign in text)


def _count(text: str) -> int:
    count = 1
    for sign in text if not text.isascii() else "":
        count *= 1 + len(_others().get(sign, ()))
        if count > WRITINGS_LIMIT:
            break
    return count


def _folded(sign: str) -> str:
    if sign.isascii():
        return sign.lower()
    if unicodedata.combining(sign):
        return sign
    for form in (sign.casefold(), sign.lower()):
        if len(form) == 1:
            return sign if form.isascii() else form
    return sign


@cache
def _others() -> dict[str, tuple[str, ...]]:
    """By folded letter beyond ASCII, the letters that fold to it."""
    found: dict[str, list[str]] = {}
    for code in range(128, CASED_BELOW):
        sign = chr(code)
        form = _folded(sign)
        if form != sign:
            found.setdefault(form, []).append(sign)
    return {form: tuple(signs) for form, signs in found.items()}
