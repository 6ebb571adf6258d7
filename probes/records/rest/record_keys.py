"""The keys of an API's records: how templates request them, and which returned key is a requested one."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from probes.composite_keys import joined, parted
from probes.contract import Key, ReadSpec
from probes.letter_case import CASELESS
from probes.records.alike_keys import alike
from probes.records.rest.request_template import places


def named(spec: ReadSpec) -> str:
    """The fields of the key, for messages."""
    return ", ".join(spec.key_fields)


def unlikely(spec: ReadSpec) -> Key:
    """A key that hardly exists."""
    keys: dict[str, Key] = {"integer": 0, "uuid": str(UUID(int=0))}
    if spec.key_parts:
        return joined(keys.get(each, "0") for each in spec.key_types)
    return keys.get(spec.key_type, "0")


def is_whole(key: Any) -> bool:
    """Whether a record has its key: of several fields, all of them."""
    return all(map(_is_value, key if isinstance(key, tuple) else (key,)))


def _is_value(part: object) -> bool:
    return isinstance(part, str | int | Decimal) and not isinstance(part, bool) and part != ""


def likeness(spec: ReadSpec, key: Any) -> Any:
    """A key in a form that it shares with every other spelling of the same key."""
    if not spec.key_parts:
        return alike(spec.key_type, key, spec.key_region)
    parts = key if isinstance(key, tuple) else parted(key, len(spec.key_parts))
    return tuple(alike(type_, part, spec.key_region) for type_, part in zip(spec.key_types, parts, strict=True))


def spelt_apart(spec: ReadSpec, key: Key) -> str | None:
    """A key with decomposed accents, which an API may hold instead; None if it has none.

    Keys are compared in Unicode NFC, and requested in that form.
    """
    if spec.key_type not in {"string", CASELESS} or not isinstance(key, str) or key.isascii():
        return None
    apart = unicodedata.normalize("NFD", key)
    return None if apart == key else apart


def groups(spec: ReadSpec, keys: Sequence[Key]) -> list[list[Key]]:
    """Keys that one `many` can request: they share every part that it takes only once."""
    shared = [at for at in range(len(spec.key_parts)) if f"key{at + 1}" in places(spec.options["many"] or "")]
    if not shared or not _list_of(spec):
        return [list(keys)] if keys else []
    found: dict[tuple[str, ...], list[Key]] = {}
    for key in keys:
        parts = parted(key, len(spec.key_parts))
        found.setdefault(tuple(parts[at] for at in shared), []).append(key)
    return list(found.values())


def values_of_many(spec: ReadSpec, keys: Sequence[Key]) -> dict[str, Any]:
    """The values of a `many` for one of the `groups`."""
    each = [values_of_one(spec, key) for key in keys]
    listed = _list_of(spec)
    if not listed:
        return {"keys": list(keys), "each": each}
    one = listed.replace("keys", "key")
    return {**{name: part for name, part in each[0].items() if name != one}, listed: [parts[one] for parts in each]}


def values_of_one(spec: ReadSpec, key: Key) -> dict[str, Key]:
    """The values of a `one`: the key, and the parts of a key of several fields; whole numbers as such."""
    if not spec.key_parts:
        return {"key": key}
    parts = zip(spec.key_types, parted(key, len(spec.key_parts)), strict=True)
    numbered = {
        f"key{number}": int(part) if type_ == "integer" else part
        for number, (type_, part) in enumerate(parts, start=1)
    }
    return {"key": key, **numbered}


def _list_of(spec: ReadSpec) -> str:
    """The part of a key of which `many` takes a list, by its name there; "" if it takes whole keys."""
    taken = places(spec.options["many"] or "")
    return next((name for at in range(len(spec.key_parts)) if (name := f"keys{at + 1}") in taken), "")
