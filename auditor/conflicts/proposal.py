"""A proposal to make one record right, as a row for people and programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from probes.contract import Key

_OF_STATEMENTS = frozenset({"natives", "held_key"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What should be written to one system for one record, or why nothing is proposed.

    Attributes:
        action: update, insert, delete, or none.
        system: the system to write to.
        changes: by the system's own field name, the present and the proposed value, raw.
        guard: the present values that a statement checks, so that it changes nothing that was written meanwhile.
        warnings: the possible side effects of carrying it out.
        natives: the types of the system's columns, if known, for the statement.
        held_key: the key as the system spells it, if it has the record.
    """

    flow: str
    data_type: str
    key: Key
    cause: str
    action: str
    system: str
    collection: str = ""
    key_field: str | tuple[str, ...] = ""
    changes: Mapping[str, Any]
    guard: Mapping[str, Any]
    why: str
    warnings: tuple[str, ...] = ()
    natives: Mapping[str, Any] = field(default_factory=dict, repr=False)
    held_key: Any = None

    def as_row(self) -> dict[str, Any]:
        """The proposal as one row of a table."""
        return {
            name: value for name, value in asdict(replace(self, natives={})).items() if name not in _OF_STATEMENTS
        }
