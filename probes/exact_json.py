"""JSON read exactly: numbers are decimals and never floats, and ambiguous values stay undecided.

A duplicate key in an object, NaN and Infinity (which are not JSON) and numbers beyond `MAX_DIGITS` do not spoil the
document around them: an `Undecodable` takes their place, with the reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

MAX_DIGITS = 4_000
"""The most digits a number may have before or after its point: that many are compared exactly, and a number such as
1e10000000 is never expanded."""

TOO_LONG = f"a number of more than {MAX_DIGITS:,} digits"


LEVELS = 200
"""How deep JSON may be nested to be compared; documents that cannot even be decoded are nested deeper."""

TOO_DEEP = f"JSON nested deeper than {LEVELS} levels"


VALUES_LIMIT = 500_000
"""The most values in one document: ten bytes of JSON may be 350 of memory, a name with its number."""


class TooManyError(ValueError):
    """It may be JSON, but holds too many values to be read."""


class TooDeepError(ValueError):
    """It may be JSON, but is nested too deeply to be read."""


class Undecodable(Mapping[str, Any]):
    """Stands for a part of a JSON document without a certain meaning.

    Everything looked up inside it is undecodable for the same reason, so that no path leads to a value, or to the
    certainty that there is none.
    """

    __slots__ = ("_inner", "reason")

    def __init__(self, reason: str, *, _inner: bool = False) -> None:
        self.reason = reason
        self._inner = _inner

    def __getitem__(self, name: str) -> Undecodable:
        return self

    def __iter__(self) -> Iterator[str]:
        return iter(()) if self._inner else iter(("",))

    def __len__(self) -> int:
        return 0 if self._inner else 1

    def values(self) -> Any:
        return [value for _, value in self.items()]

    def items(self) -> Any:
        """One nameless item, with nothing inside, so that a walk through the document ends."""
        return [] if self._inner else [("", Undecodable(self.reason, _inner=True))]

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return f"Undecodable({self.reason!r})"


VALUE_BYTES = 220
"""Memory of one value besides its text, in documents of names with numbers, which take the most."""


def weight(text: bytes | bytearray) -> int:
    """The approximate memory of decoding a JSON document, including its bytes and its text."""
    wide = 1 if text.isascii() else 4  # one emoji makes a whole text as wide
    return len(text) * (1 + wide) + VALUE_BYTES * min(1 + sum(map(text.count, _SIGNS)), VALUES_LIMIT)


def decode(text: bytes | bytearray | str) -> Any:
    """Read a JSON document: whole numbers are `int`, others `Decimal`, objects `dict`, arrays `list`.

    Raises:
        TooDeepError: it is nested too deeply.
        TooManyError: it holds more than `VALUES_LIMIT` values.
        ValueError: it is not JSON or not UTF-8; the text of the error quotes nothing of it.
    """
    check_values(text)
    try:
        return json.loads(
            text, parse_int=_whole, parse_float=_number, parse_constant=_no_json, object_pairs_hook=_object
        )
    except RecursionError:
        raise TooDeepError(TOO_DEEP) from None
    except ValueError:
        raise ValueError("not JSON") from None


# An unterminated text runs to the end at once: restarting at each of its quotes would take ages.
_TEXT = rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)'
_PARTS = re.compile(_TEXT + rb"|[,[{]", re.DOTALL)
_STRUCTURE = re.compile(_TEXT + rb"|[][{}]", re.DOTALL)
_SIGNS = (b",", b"[", b"{")
_QUOTE = ord('"')


def check_values(text: bytes | bytearray | str) -> None:
    """Refuse a document with too many values; each except the first follows one of these signs.

    Raises:
        TooManyError: it holds more than `VALUES_LIMIT` values.
    """
    if len(text) <= VALUES_LIMIT:
        return
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if sum(map(raw.count, _SIGNS)) <= VALUES_LIMIT:
        return
    outside = 0
    for part in _PARTS.finditer(raw):
        outside += raw[part.start()] != _QUOTE
        if outside > VALUES_LIMIT:
            raise TooManyError(f"JSON with more than {VALUES_LIMIT:,} values")


def decode_shallow(text: bytes) -> Any:
    """As `decode` for UTF-8, with an `Undecodable` for each part that is nested too deeply.

    For documents with values of many authors: one of them must not make the others unreadable.

    Raises:
        TooManyError: it holds more than `VALUES_LIMIT` values.
        ValueError: it is not JSON or not UTF-8.
    """
    check_values(text)
    kept, begin, level = [], 0, 0
    for match in _STRUCTURE.finditer(text):
        sign = match[0]
        if sign in (b"{", b"["):
            level += 1
            if level == LEVELS + 1:
                kept.append(text[begin : match.start()])
        elif sign in (b"}", b"]"):
            if level == LEVELS + 1:
                kept.append(b"NaN")
                begin = match.end()
            level -= 1
    if level > LEVELS:
        raise ValueError("not JSON")
    kept.append(text[begin:])

    def cut(_: str) -> Undecodable:
        return Undecodable(TOO_DEEP)

    try:
        return json.loads(
            b"".join(kept), parse_int=_whole, parse_float=_number, parse_constant=cut, object_pairs_hook=_object
        )
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None


def encode(value: Any, *, default: Callable[[Any], Any] = str, indent: int = 0, _level: int = 0) -> str:
    """Write a document as JSON, numbers with all of their digits.

    Args:
        default: converts values that JSON does not support.
        indent: spaces per level; 0 for one line.
    """
    if isinstance(value, bool | str | int | float | None):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Decimal) and value.is_finite() and abs(value.adjusted()) <= MAX_DIGITS:
        return f"{value:f}"
    further: dict[str, Any] = {"default": default, "indent": indent, "_level": _level + 1}
    if isinstance(value, Mapping):
        inner = [
            f"{json.dumps(str(name), ensure_ascii=False)}: {encode(each, **further)}" for name, each in value.items()
        ]
    elif isinstance(value, list | tuple):
        inner = [encode(each, **further) for each in value]
    else:
        return encode(default(value), indent=indent, _level=_level)
    left, right = "{}" if isinstance(value, Mapping) else "[]"
    if not indent or not inner:
        return left + ", ".join(inner) + right
    begin = "\n" + " " * indent * (_level + 1)
    return left + begin + f",{begin}".join(inner) + "\n" + " " * indent * _level + right


def _whole(text: str) -> int | Undecodable:
    return int(text) if len(text) <= MAX_DIGITS else Undecodable(TOO_LONG)


def _number(text: str) -> Decimal | Undecodable:
    if len(text) > 3 * MAX_DIGITS:
        return Undecodable(TOO_LONG)
    try:
        number = Decimal(text)
    except InvalidOperation:  # an exponent that is too large for `Decimal` itself
        return Undecodable(TOO_LONG)
    if not number:
        return Decimal(0)
    return number if abs(number.adjusted()) <= MAX_DIGITS else Undecodable(TOO_LONG)


def _no_json(token: str) -> Undecodable:
    return Undecodable(f"{token.lstrip('-')} where JSON has no such number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        met: set[str] = set()
        for name, _ in pairs:
            if name in met:
                members[name] = Undecodable("JSON with a key twice in one object")
            met.add(name)
    return members
