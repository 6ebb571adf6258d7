"""Keys of records: how they are read, and which of them nobody could keep."""

from __future__ import annotations

import re
from typing import Any

from checks.fields import FieldRule, parser_for
from checks.values import Parser, UnreadableError

KEY_LIMIT_BYTES = 2_000
"""PostgreSQL's indexes take rows of up to 2,704 bytes, and a flow's name stands beside the key."""

_UNKEPT = re.compile("[\0\ud800-\udfff]")
"""NUL, which PostgreSQL does not take, and halves of a surrogate pair, which no encoding knows alone."""


def key_parser(key_type: str, system: str, normalize: str = "nfc") -> Parser:
    """Make the parser of a data type's keys as `system` holds them; refuses what the ledger cannot keep.

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
            if _UNKEPT.search(key):
                raise UnreadableError("a key with NUL or with half of a surrogate pair")
            too_long = len(key) > KEY_LIMIT_BYTES // 4 and len(key.encode()) > KEY_LIMIT_BYTES
        else:
            return key
        if too_long:
            raise UnreadableError(f"a key of more than {KEY_LIMIT_BYTES:,} bytes")
        return key

    return parse_kept
