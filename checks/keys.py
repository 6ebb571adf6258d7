"""Keys of records: how they are read, and which cannot be stored."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

from checks.fields import FieldRule, parser_for
from checks.values import Parser, UnreadableError
from probes.composite_keys import joined, parted
from probes.contract import MISSING

KEY_LIMIT_BYTES = 2_000
"""PostgreSQL's indexes take rows of up to 2,704 bytes, which also hold the flow's name."""

KeyType = Literal["integer", "string", "uuid", "salesforce_id"]

_HALF = re.compile("[\ud800-\udfff]")
"""Halves of a surrogate pair, which no encoding has alone: they can neither be looked up nor ranked."""


def key_parser(key_type: str, system: str, normalize: str = "nfc") -> Parser:
    """Make the parser of a data type's keys as `system` holds them; refuses keys that cannot be looked up or stored.

    Args:
        normalize: of text, `nfc` or `none`.
    """
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
