"""Documents as MongoDB stores them: their keys and values. Pure except for the codec.

Every value becomes one that other systems have: an ObjectId its 24 hexadecimal digits, a Decimal128 a `Decimal`, a
date an instant in UTC, 16 bytes of subtype 4 a UUID. Values without a counterpart, or without a unique meaning,
become `Undecodable`.
Source: bsonspec.org, BSON 1.1; MongoDB manual, "BSON Types".
"""

from __future__ import annotations

import re
import unicodedata
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import bson
from bson.binary import Binary, UuidRepresentation
from bson.code import Code
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS
from bson.dbref import DBRef
from bson.decimal128 import Decimal128
from bson.errors import BSONError
from bson.int64 import Int64
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.objectid import ObjectId
from bson.regex import Regex
from bson.timestamp import Timestamp

from probes.call_deadline import left
from probes.contract import MISSING, Key, ProbeError, Reason
from probes.exact_json import Undecodable
from probes.letter_case import writings
from probes.phone_numbers import PHONE, tail

ELEMENTS_LIMIT = 500_000
"""Most values in one response: three bytes of BSON may take a hundred in memory."""

ELEMENT_BYTES = 120
"""Memory of a value besides its bytes."""

_OBJECT_ID = re.compile(r"[0-9a-f]{24}")
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,33})")
_BROKEN = re.compile(r"-?(?:0|[1-9][0-9]*)\.[0-9]+")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_HALF = re.compile("[\ud800-\udfff]")

_INT64 = range(-(2**63), 2**63)

LEGACY = {
    "java_legacy": UuidRepresentation.JAVA_LEGACY,
    "csharp_legacy": UuidRepresentation.CSHARP_LEGACY,
    "python_legacy": UuidRepresentation.PYTHON_LEGACY,
}
"""Byte orders in which drivers once wrote UUIDs, all under subtype 3."""

_PLAIN = frozenset({int, float, bool, type(None)})

_STRICT: CodecOptions[dict[str, Any]] = CodecOptions(
    tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_AUTO, uuid_representation=0
)
LENIENT = _STRICT.with_options(unicode_decode_error_handler="surrogateescape")


# -- documents


def documents(batch: bytes) -> list[Any]:
    """The documents of a batch, as bytes.

    Raises:
        ProbeError: `decode` if it is invalid, `too_large` if it holds too many values.
    """
    parts, at = [], 0
    while at < len(batch):
        length = int.from_bytes(batch[at : at + 4], "little", signed=True)
        if length < 5 or at + length > len(batch):
            raise ProbeError(Reason.DECODE, "the response is not valid BSON: a document extends beyond its end")
        parts.append(batch[at : at + length])
        at += length
    if batch.count(0) > ELEMENTS_LIMIT:  # each value has one after its name; most have more
        _check_elements(parts)
    return parts


def memory_of(batch: bytes) -> int:
    """The memory that a decoded batch may take."""
    return len(batch) + min(batch.count(0), ELEMENTS_LIMIT) * ELEMENT_BYTES


_FIXED = {1: 8, 6: 0, 7: 12, 8: 1, 9: 8, 10: 0, 16: 4, 17: 8, 18: 8, 19: 16, 255: 0, 127: 0}
_LENGTH_FIRST = {2: 4, 13: 4, 14: 4, 5: 5, 12: 16, 15: 0}


def _check_elements(batch: Sequence[bytes]) -> None:
    met = 0
    for document in batch:
        inside = [(4, len(document) - 1)]
        while inside:
            at, end = inside.pop()
            while at < end:
                met += 1
                if met > ELEMENTS_LIMIT:
                    raise ProbeError(
                        Reason.TOO_LARGE,
                        f"a response with more than {ELEMENTS_LIMIT:,} values",
                        hint="leave such fields out of the map",
                        of_key=True,
                    )
                if not met % 10_000:
                    left()
                kind, name_end = document[at], document.find(b"\0", at + 1, end)
                if name_end < 0:
                    return  # decoding it reports the error
                at = name_end + 1
                if kind in {3, 4}:
                    length = int.from_bytes(document[at : at + 4], "little", signed=True)
                    if length < 5 or at + length > end:
                        return
                    inside.append((at + length, end))
                    at, end = at + 4, at + length - 1
                elif kind in _FIXED:
                    at += _FIXED[kind]
                elif kind in _LENGTH_FIRST:
                    at += int.from_bytes(document[at : at + 4], "little") + _LENGTH_FIRST[kind]
                elif kind == 11:
                    at = document.find(b"\0", document.find(b"\0", at, end) + 1, end) + 1 or end
                else:
                    return


def decoded(document: bytes) -> Mapping[str, Any]:
    """A document; a text in it that is not UTF-8 becomes undecodable by itself.

    Raises:
        ProbeError: `decode` if it is not valid BSON.
    """
    try:
        return bson.decode(document, _STRICT)
    except RecursionError:
        raise ProbeError(Reason.DECODE, "a document is nested too deeply to be read", of_key=True) from None
    except (BSONError, ValueError, OverflowError):
        pass
    try:
        return bson.decode(document, LENIENT)
    except RecursionError:
        raise ProbeError(Reason.DECODE, "a document is nested too deeply to be read", of_key=True) from None
    except (BSONError, ValueError, OverflowError) as error:
        reason = " ".join(str(error).split())[:100]
        raise ProbeError(Reason.DECODE, f"a document is not valid BSON: {reason}", of_key=True) from None


def find(document: Any, path: str) -> Any:
    """The value at a dotted path, followed through array items as MongoDB does; `MISSING` if there is none."""
    if "." not in path and type(document) is dict:
        return document.get(path, MISSING)
    return _found(document, path.split("."))


def _found(value: Any, parts: Sequence[str]) -> Any:
    for at, part in enumerate(parts):
        if isinstance(value, list):
            if part.isdecimal():
                number = int(part[:9])
                value = value[number] if number < len(value) else MISSING
                continue
            inside = (_found(each, parts[at:]) for each in value if isinstance(each, Mapping))
            values = [each for each in inside if each is not MISSING]
            return values or MISSING
        if isinstance(value, DBRef):
            value = dict(value.as_doc())
        if type(value) is not dict:
            return MISSING
        value = value.get(part, MISSING)
    return value


def projection(paths: Iterable[str]) -> dict[str, int]:
    """The projection for these paths; never a path within another, which MongoDB refuses."""
    tops = []
    for path in paths:
        parts = path.split(".")
        number = next((at for at, part in enumerate(parts) if part.isdecimal()), len(parts))
        tops.append(tuple(parts[:number] or parts))
    kept = {top for top in tops if not any(top[:length] in tops for length in range(1, len(top)))}
    return {"_id": 1, **{".".join(top): 1 for top in sorted(kept) if top[0] != "_id"}}


# -- values


def converter(legacy: str | None) -> Callable[[Any], Any]:
    """A function that converts a value to one that other systems have.

    Args:
        legacy: the byte order of UUIDs of subtype 3, None if the map does not set it.
    """
    order = None if legacy is None else LEGACY[legacy]

    def convert(value: Any, inside: bool = False) -> Any:
        kind = type(value)
        if kind in _PLAIN:
            return value
        if kind is str:
            unread = not value.isascii() and _HALF.search(value)
            return Undecodable("text that is not UTF-8") if unread else value
        if kind is datetime:
            return value.isoformat(timespec="milliseconds").replace("+00:00", "Z") if inside else value
        if kind is Int64:
            return int(value)
        if isinstance(value, ObjectId):
            return str(value)
        if isinstance(value, Decimal128):
            return value.to_decimal()
        if isinstance(value, list):
            return [convert(each, True) for each in value]
        if isinstance(value, Mapping):
            return {name: convert(each, True) for name, each in value.items()}
        return _special(value, inside, order)

    return convert


def _special(value: Any, inside: bool, order: int | None) -> Any:
    if isinstance(value, bytes):
        return _binary(value, inside, order)
    if isinstance(value, Timestamp):
        at = datetime.fromtimestamp(value.time, UTC)
        return at.isoformat(timespec="seconds").replace("+00:00", "Z") if inside else at
    if isinstance(value, DatetimeMS):
        return Undecodable("a date beyond the years 1 to 9999")
    if isinstance(value, Regex):
        return Undecodable("a regular expression, which no other system has")
    if isinstance(value, Code):
        return Undecodable("JavaScript code, which no other system has")
    if isinstance(value, DBRef):
        return Undecodable("a reference (DBRef); name its field in the map, for example customer.$id")
    if isinstance(value, MinKey | MaxKey):
        return Undecodable(f"{type(value).__name__}, which no other system has")
    return Undecodable(f"a value of type {type(value).__name__}, which no other system has")


def _binary(value: bytes, inside: bool, order: int | None) -> Any:
    subtype = value.subtype if isinstance(value, Binary) else 0
    if subtype in {3, 4}:
        if len(value) != 16:
            return Undecodable("a UUID of another length than 16 bytes")
        if subtype == 3 and order is None:
            return Undecodable("a UUID of an old driver (subtype 3): set its byte order, uuid: in the map")
        identity = Binary(bytes(value), subtype).as_uuid(4 if subtype == 4 else order)  # type: ignore[arg-type]
        return str(identity) if inside else identity
    if subtype == 6:
        return Undecodable("a value that the client has encrypted")
    return Undecodable("bytes within a document, which JSON does not have") if inside else bytes(value)


def key_of(value: Any, convert: Callable[[Any], Any]) -> Any:
    """A key in the form of other systems; old shells stored whole numbers as doubles."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if value is None or value is MISSING:
        return None
    if isinstance(value, Mapping | list):
        what = "an array" if isinstance(value, list) else "a document"
        return Undecodable(
            f"a key that is {what}; name the field of it that identifies a record, for example _id.number"
        )
    return convert(value)


def alternatives(key_type: str, key: Key, legacy: str | None) -> list[Any]:
    """All values as which MongoDB may store a key; a number finds equal ones of every numeric type."""
    text = str(key)
    forms: list[Any] = [text]
    if key_type == "salesforce_id":
        return [text, text[:15]]
    if key_type == "uuid" or _UUID.fullmatch(text):
        forms += _uuids(text, legacy)
    if key_type == "uuid":
        plain = text.replace("-", "")
        return [*forms, text.upper(), plain, plain.upper()]
    if _WHOLE.fullmatch(text) and text != "-0":
        forms.append(int(text) if int(text) in _INT64 else Decimal128(text))
    elif key_type == "string" and len(text) <= 34 and _BROKEN.fullmatch(text):
        forms.append(Decimal128(text))
    elif key_type == "string" and _OBJECT_ID.fullmatch(text):
        forms.append(ObjectId(text))
    if not text.isascii() and (apart := unicodedata.normalize("NFD", text)) != text:
        forms.append(apart)
    return forms


def however_written(key_type: str, keys: Sequence[Key], *, mistaken: bool) -> list[Any]:
    """Conditions on the values as which MongoDB may store keys, or parts of them, that are written in several ways.

    A regular expression compares like everywhere, whichever server it is; a collation is not had by all of them.
    """
    if key_type == PHONE:
        ends = dict.fromkeys(r"\D*".join(tail(str(key))) for key in keys)
        return [Regex(rf"(?:{'|'.join(ends)})" + ("" if mistaken else r"\D*$"))]
    texts = [text for key in keys for text in writings(str(key), mistaken=mistaken) if "\0" not in text]
    others = [form for key in keys for form in alternatives("string", key, None)]
    return [*others, Regex(f"^(?:{'|'.join(map(re.escape, texts))})$", "i")] if texts else others


def part_alternatives(text: str, legacy: str | None) -> list[Any]:
    """As `alternatives`, for a part of a key of any type: additional matches belong to other keys."""
    forms = alternatives("uuid" if _UUID.fullmatch(text) else "string", text, legacy)
    return [*forms, text[:15]] if len(text) == 18 else forms


def _uuids(text: str, legacy: str | None) -> list[Any]:
    value = uuid.UUID(text)
    binaries = [Binary.from_uuid(value, UuidRepresentation.STANDARD)]
    return binaries if legacy is None else [*binaries, Binary.from_uuid(value, LEGACY[legacy])]


def is_requested(row_key: Any, texts: frozenset[str]) -> bool:
    """Whether a key is one of the requested ones: 12.5 and 12.50 are one number to MongoDB, but two keys."""
    return not isinstance(row_key, Decimal) or str(row_key) in texts


# -- a collection's probable schema


_NAMES: tuple[tuple[Any, str, str], ...] = (
    (bool, "boolean", "bool"),
    (int, "integer", "int"),
    (float, "float", "double"),
    (str, "string", "string"),
    (Decimal128, "decimal", "decimal"),
    (datetime, "timestamp", "date"),
    (DatetimeMS, "timestamp", "date"),
    (Timestamp, "timestamp", "timestamp"),
    (ObjectId, "string", "objectId"),
    (list, "array", "array"),
    (Mapping, "json", "object"),
)


def described(values: Sequence[Any]) -> tuple[str, str]:
    """The canonical type that fits some values, a guess, and the names of the types that they have."""
    named = [_named(value) for value in values if value is not None]
    types, names = {type_ for type_, _ in named}, sorted({name for _, name in named})
    if not types:
        return "string", "null"
    if types <= {"integer", "float", "decimal"}:
        type_ = "decimal" if "decimal" in types else "float" if "float" in types else "integer"
    else:
        type_ = types.pop() if len(types) == 1 else "string"
    return type_, " or ".join(names)


def _named(value: Any) -> tuple[str, str]:
    for kind, type_, name in _NAMES:
        if isinstance(value, kind):
            return type_, name
    if isinstance(value, bytes):
        subtype = value.subtype if isinstance(value, Binary) else 0
        return ("uuid", "UUID") if subtype in {3, 4} else ("bytes", "binData")
    return "string", type(value).__name__


def paths_of(document: Mapping[str, Any], levels: int = 3) -> list[str]:
    """The dotted paths of a document's fields; including those of nested documents."""
    paths = []
    for name, value in document.items():
        if not name or "." in name or name.startswith("$"):
            continue  # no path leads to it
        if isinstance(value, Mapping) and value and levels > 1 and not isinstance(value, DBRef):
            paths += [f"{name}.{each}" for each in paths_of(value, levels - 1)] or [name]
        else:
            paths.append(name)
    return paths
