"""JSON as the REST API writes it, where a double looks as Java prints one: 10.0, 1250.5, 3.5E8.

Source: REST API Developer Guide (v68.0), "Get a Record Using an External ID" (`"Price__c" : 10.0`). The documents
do not say how large doubles are written; 3.5E8 is how they appear in published answers of the API (JSON permits
both).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any


def double(value: Decimal) -> str:
    """A number as Java's Double.toString writes it (Java Platform SE API, java.lang.Double)."""
    number = float(value)
    if number == 0:
        return "0.0"
    digits, exponent = (parts := Decimal(repr(number)).normalize().as_tuple()).digits, parts.exponent
    sign = "-" if number < 0 else ""
    text = "".join(map(str, digits))
    point = len(text) + int(exponent)  # how many digits stand before the point
    if -3 < point <= 7:
        if point <= 0:
            return f"{sign}0.{'0' * -point}{text}"
        return f"{sign}{text[:point]:0<{point}}.{text[point:] or '0'}"
    return f"{sign}{text[0]}.{text[1:] or '0'}E{point - 1}"


def encoded(document: Any) -> bytes:
    """A document as JSON, in UTF-8."""
    return "".join(_parts(document)).encode()


def _parts(value: Any) -> list[str]:
    if isinstance(value, Decimal):
        return [double(value)]
    if isinstance(value, Mapping):
        parts = ["{"]
        for name, each in value.items():
            parts += ["," if len(parts) > 1 else "", json.dumps(name), ":", *_parts(each)]
        return [*parts, "}"]
    if isinstance(value, list | tuple):
        parts = ["["]
        for each in value:
            parts += ["," if len(parts) > 1 else "", *_parts(each)]
        return [*parts, "]"]
    return [json.dumps(value, ensure_ascii=False)]
