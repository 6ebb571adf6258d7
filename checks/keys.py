"""Keys of records: how they are read, and which cannot be stored."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from checks.fields import FieldRule, parser_for
from checks.values import Parser, UnreadableError
from probes.composite_keys import joined, parted
from probes.contract import KEY, MISSING, Key, Row
from probes.letter_case import CASELESS, folded, is_countable, is_in_one_form, mistakable
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


def composite_parser(key_types: Sequence[str], system: str, normalize: str = "nfc") -> Parser:
    """The parser of keys of several fields: from the values of the fields, or from the text that stands for them.

    Args:
        key_types: of each field.
    """
    parsers = [key_parser(each, system, normalize) for each in key_types]

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


def requested(key_type: str, keys: Iterable[Key], rows: Iterable[Row], region: str | None) -> list[Row]:
    """The rows that have one of the keys, which may be written in several ways."""
    forms = set(keys)
    return [row for row in rows if _form(key_type, row[KEY], region) in forms]


def without_record(key_type: str, keys: Iterable[Key], returned: Iterable[Any], region: str | None) -> list[Key]:
    """Those of the keys, which may be written in several ways, for which no record was returned.

    Args:
        returned: the raw keys of the records that were.
    """
    there = {_form(key_type, raw, region) for raw in returned}
    return [key for key in keys if key not in there]


def doubtful(
    key_type: str, keys: Sequence[Key], returned: Iterable[Any], region: str | None, system: str
) -> dict[Key, str]:
    """Of keys that may be written in several ways, those that a system may hold although it has no record of them.

    Args:
        keys: those that were requested.
        returned: the raw keys of the records that the system returned, also of others that it takes for the same.

    Returns:
        Why it is unknown.
    """
    forms = {_form(key_type, raw, region) or str(raw) for raw in returned}
    absent = {str(key): key for key in keys if key not in forms}
    if key_type == CASELESS:
        countless = f"not found in {system} in its usual writings, and it has too many others"
        why = {absent[each]: countless for each in absent if not is_countable(each)}
        like_it = (
            f"{system} holds a key that some software takes for the same (ß and ss, ı and i, accents), and the map "
            "does not"
        )
        return why | {absent[each]: like_it for each in mistakable(absent, forms)}
    odd = [digits_of(each) for each in forms if _form(key_type, each, region) is None]
    return {
        key: f"{system} holds a phone number with the same digits that cannot be read"
        for text, key in absent.items()
        if any(tail(text) in each for each in odd)
    }


def _form(key_type: str, raw: Any, region: str | None) -> str | None:
    """The one form of a key, None for a text that is no phone number."""
    if key_type == CASELESS:
        return folded(str(raw))
    try:
        return e164(str(raw), region)
    except NotPhoneNumberError:
        return None


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
