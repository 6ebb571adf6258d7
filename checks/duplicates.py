"""Duplicates: records with the same business key or idempotency key. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from probes.contract import Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Twin:
    """Another record of the same system that shares a unique key.

    Attributes:
        key: the other record's.
        at_owner: the owner has that record.
        same: its compared values are the same.
    """

    key: Key
    at_owner: bool
    same: bool


def is_the_double(*, at_owner: bool, twins: Sequence[Twin]) -> bool:
    """Whether this record is the duplicate.

    If the owner has one of the two and not the other, it is the other; if it has both or neither, it may be either.
    """
    return any(not at_owner or twin.at_owner for twin in twins)


def tell(called: str, fields: Sequence[str], system: str, twins: Sequence[Twin]) -> str:
    """Describe the duplication."""
    others = ", ".join(str(twin.key) for twin in twins[:3]) + (
        f" and {len(twins) - 3} more" if len(twins) > 3 else ""
    )
    if called == "idempotency key":
        if all(twin.same for twin in twins):
            return f"processed again in {system} under the idempotency key of {others}"
        return f"idempotency key of {others} used again with another payload in {system}"
    return f"same {', '.join(fields)} as {others} in {system}"


def shared(identities: Mapping[Key, bytes], known: Mapping[bytes, Sequence[Key]]) -> dict[Key, list[Key]]:
    """By record, the other records with its identity.

    Args:
        identities: of the records read now.
        known: by identity, the records that had it at their last reading; records read now do not count.
    """
    holders: dict[bytes, list[Key]] = {}
    for key, identity in identities.items():
        holders.setdefault(identity, []).append(key)
    sharing: dict[Key, list[Key]] = {}
    for key, identity in identities.items():
        others = [each for each in holders[identity] if each != key]
        others += [each for each in known.get(identity, ()) if each not in identities]
        if others:
            sharing[key] = others
    return sharing
