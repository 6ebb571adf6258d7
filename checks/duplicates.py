"""Several records for one: the same business key, or one idempotency key twice. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from probes.contract import Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Twin:
    """Another record of the same system that shares a unique key.

    Attributes:
        key: the other record's.
        at_owner: the owner knows that record.
        same: its compared values are the same.
    """

    key: Key
    at_owner: bool
    same: bool


def is_the_double(*, at_owner: bool, twins: Sequence[Twin]) -> bool:
    """Whether this record is one too many.

    Where the owner knows one of the two and not the other, it is the other; where it knows both, or none,
    either may be.
    """
    return any(not at_owner or twin.at_owner for twin in twins)


def tell(called: str, fields: Sequence[str], system: str, twins: Sequence[Twin]) -> str:
    """What is wrong, for people."""
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
        known: by identity, the records that had it when they were read last; those read now do not count.
    """
    holders: dict[bytes, list[Key]] = {}
    for key, identity in identities.items():
        holders.setdefault(identity, []).append(key)
    found: dict[Key, list[Key]] = {}
    for key, identity in identities.items():
        others = [each for each in holders[identity] if each != key]
        others += [each for each in known.get(identity, ()) if each not in identities]
        if others:
            found[key] = others
    return found
