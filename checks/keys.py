"""Keys of records: how they are read, and which cannot be stored."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from checks.fields import FieldRule, parser_for
from checks.values import Parser, UnreadableError
from probes.composite_keys import joined, parted
from probes.contract import KEY, MISSING, Key, Row
from probes.letter_case import CASELESS, folded, is_countable, is_in_one_form, loose
from probes.phone_numbers import PHONE, NotPhoneNumberError, digits_of, e164, tail

KEY_LIMIT_BYTES = 2_000
"""PostgreSQL's indexes take rows of up to 2,704 bytes, which also hold the flow's name."""

KeyType = Literal["integer", "string", "caseless", "phone", "uuid", "salesforce_id"]

WRITTEN = {CASELESS: "lower", PHONE: "e164"}
"""By type of key, the word of the map for its one form."""

_HALF = re.compile("[\ud800-\udfff]")
"""Halves of a surrogate pair, which no encoding has alone: they can neither be looked up nor ranked."""


def key_parser(
    key_type: str, system: str, normalize: str = "nfc", *, region: str | None = None, written: str | None = None
) -> Parser:
    """Make the parser of a data type's keys as `system` holds them; refuses keys that cannot be looked up or stored.

    Args:
        normalize: of text, `nfc` or `none`.
        region: of phone numbers without a country code.
        written: how the system writes every key, `lower` or `e164`; None if in any way.
    """
    if key_type == CASELESS:
        parse = _caseless_parser(system, normalize, written)
    elif key_type == PHONE:
        parse = _phone_parser(system, region, written)
    else:
        words = {"normalize": normalize} if key_type == "string" else {}
        parse = parser_for(FieldRule.model_validate({"type": key_type, **words}), system, None)

    def parse_kept(raw: Any) -> Any:
        key = parse(raw)
        if isinstance(key, int):
            too_long = key.bit_length() > 3 * KEY_LIMIT_BYTES and len(str(abs(key))) > KEY_LIMIT_BYTES
        elif isinstance(key, str):
            if _HALF.search(key):
                raise UnreadableError("a key with half of a surrogate pair")
            too_long = len(key) > KEY_LIMIT_BYTES // 4 and len(key.encode()) > KEY_LIMIT_BYTES
        else:
            return key
        if too_long:
            raise UnreadableError(f"a key of more than {KEY_LIMIT_BYTES:,} bytes")
        return key

    return parse_kept


def composite_parser(
    key_types: Sequence[str],
    system: str,
    normalize: str = "nfc",
    *,
    region: str | None = None,
    written: str | None = None,
) -> Parser:
    """The parser of keys of several fields: from the values of the fields, or from the text that stands for them.

    Args:
        key_types: of each field.
        region: as in `key_parser`.
        written: as in `key_parser`, of the parts whose type has this form.
    """
    parsers = [
        key_parser(each, system, normalize, region=region, written=written if WRITTEN.get(each) == written else None)
        for each in key_types
    ]

    def parse(raw: Any) -> str:
        try:
            parts = raw if isinstance(raw, tuple | list) else parted(raw, len(parsers))
        except ValueError as error:
            raise UnreadableError(str(error)) from None
        if len(parts) != len(parsers) or any(part is None or part is MISSING or part == "" for part in parts):
            raise UnreadableError("a key of which a part is not there")
        key = joined(parse_part(part) for parse_part, part in zip(parsers, parts, strict=True))
        if len(key.encode()) > KEY_LIMIT_BYTES:
            raise UnreadableError(f"a key of more than {KEY_LIMIT_BYTES:,} bytes")
        return key

    return parse


def requested(key_types: Sequence[str], keys: Iterable[Key], rows: Iterable[Row], region: str | None) -> list[Row]:
    """The rows that have one of the keys, which may be written in several ways.

    Args:
        key_types: of each field of the key.
    """
    form = _former(key_types, region)
    forms = set(map(form, keys))
    return [row for row in rows if (of_row := form(row[KEY])) is not None and of_row in forms]


def without_record(
    key_types: Sequence[str], keys: Iterable[Key], returned: Iterable[Any], region: str | None
) -> list[Key]:
    """Those of the keys, which may be written in several ways, for which no record was returned.

    Args:
        returned: the raw keys of the records that were.
    """
    form = _former(key_types, region)
    there = set(map(form, returned))
    return [key for key in keys if form(key) not in there]


def doubtful(
    key_types: Sequence[str], keys: Sequence[Key], returned: Iterable[Any], region: str | None, system: str
) -> dict[Key, str]:
    """Of keys that may be written in several ways, those that a system may hold although it has no record of them.

    Args:
        keys: those that were requested.
        returned: the raw keys of the records that the system returned, also of others that it takes for the same.

    Returns:
        Why it is unknown.
    """
    form = _former(key_types, region)
    there: set[tuple[Any, ...]] = set()
    odd: list[Sequence[Any]] = []
    for raw in returned:
        of_raw = form(raw)
        if of_raw is not None:
            there.add(of_raw)
        elif (parts := _parts(raw, len(key_types))) is not None:
            odd.append(parts)
    like_them = {_loose(key_types, each) for each in there}
    why: dict[Key, str] = {}
    for key in keys:
        parts = form(key)
        if parts is None or parts in there:
            continue
        if _loose(key_types, parts) in like_them:
            why[key] = (
                f"{system} holds a key that some software takes for the same (ß and ss, ı and i, accents), and the "
                "map does not"
            )
        elif not all(is_countable(part) for type_, part in zip(key_types, parts, strict=True) if type_ == CASELESS):
            why[key] = f"not found in {system} in its usual writings, and it has too many others"
        elif any(_may_be(key_types, parts, each, region) for each in odd):
            why[key] = f"{system} holds a phone number with the same digits that cannot be read"
    return why


def _former(key_types: Sequence[str], region: str | None) -> Callable[[Any], tuple[Any, ...] | None]:
    """What makes the one form of a key, part by part, from its text or what a system holds; None if it has none."""
    of_part = [_part_former(each, region) for each in key_types]

    def form(raw: Any) -> tuple[Any, ...] | None:
        parts = _parts(raw, len(of_part))
        forms = () if parts is None else tuple(of(part) for of, part in zip(of_part, parts, strict=True))
        return None if parts is None or None in forms else forms

    return form


def _parts(raw: Any, count: int) -> Sequence[Any] | None:
    """The parts of a key; None if it has others."""
    if isinstance(raw, tuple | list):
        return raw if len(raw) == count else None
    if count == 1:
        return (raw,)
    try:
        return parted(raw, count)
    except ValueError:
        return None


def _part_former(key_type: str, region: str | None) -> Callable[[Any], Any]:
    if key_type == CASELESS:
        return lambda raw: None if raw is None else folded(str(raw))
    parse = key_parser(key_type, "", region=region)

    def form(raw: Any) -> Any:
        try:
            return None if raw is None or raw is MISSING else parse(raw)
        except UnreadableError:
            return None

    return form


def _loose(key_types: Sequence[str], parts: Sequence[Any]) -> tuple[Any, ...]:
    """What a key shares with those that it may be mistaken for."""
    return tuple(loose(part) if type_ == CASELESS else part for type_, part in zip(key_types, parts, strict=True))


def _may_be(key_types: Sequence[str], key: Sequence[Any], held: Sequence[Any], region: str | None) -> bool:
    """Whether a system may hold a key, of which a phone number cannot be read, as these parts."""
    for type_, part, raw in zip(key_types, key, held, strict=True):
        form = _part_former(type_, region)(raw)
        if form is None and type_ == PHONE and raw is not None:
            if tail(part) not in digits_of(str(raw)):
                return False
        elif form is None or _loose((type_,), (form,)) != _loose((type_,), (part,)):
            return False
    return True


def _caseless_parser(system: str, normalize: str, written: str | None) -> Parser:
    parse_text = parser_for(FieldRule(type="string", normalize="none"), system, None)

    def parse(raw: Any) -> str:
        text: str = parse_text(raw)
        if normalize == "nfc" and not is_in_one_form(text):
            raise UnreadableError("a key with both composed and decomposed letters, by which no system finds it")
        return _as_written(text, folded(text, compose=normalize == "nfc"), written)

    return parse


def _phone_parser(system: str, region: str | None, written: str | None) -> Parser:
    parse_text = parser_for(FieldRule(type="string", normalize="none"), system, None)

    def parse(raw: Any) -> str:
        if not isinstance(raw, str | bytes):
            raise UnreadableError("a phone number stored as a number, whose leading zeros are lost")
        text: str = parse_text(raw)
        try:
            return _as_written(text, e164(text, region), written)
        except NotPhoneNumberError as error:
            raise UnreadableError(str(error)) from None

    return parse


def _as_written(text: str, key: str, written: str | None) -> str:
    if written in {"lower", "e164"} and text != key:
        raise UnreadableError(f"a key that is not written as the map says (key_written: {written})")
    return key
