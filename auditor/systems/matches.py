"""The results of comparing two systems' collections and fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from auditor.systems.alike_names import alike
from probes.contract import CollectionSchema, FieldSchema

NUMBERS = ("integer", "decimal", "float")

ENOUGH = 5
"""Fewer values than this prove nothing."""

_CREATED = re.compile(r"creat", re.IGNORECASE)

KeyFields = tuple[FieldSchema, ...]
"""The fields that hold a key, one for most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """How the values of two fields compare.

    Attributes:
        equal: of the records that both hold, how many show the same value, read as `words` and `labels` say.
        plain: how many without them.
        constant: the left has the same value in every record, so equality proves nothing.
        words: settings of a field that make more values equal.
        labels: what the codes of one side mean in the other's labels, None for an uncertain one.
        coded: the side that has the codes, 0 or 1.
    """

    equal: int = 0
    of: int = 0
    plain: int = 0
    constant: bool = False
    words: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, str | None] = field(default_factory=dict)
    coded: int = 1

    @property
    def share(self) -> float:
        """The evidence for the two being the same field, 0 to 1."""
        return self.equal / self.of if self.of and not self.constant else 0.0

    @property
    def evidence(self) -> str:
        """The evidence in words."""
        if not self.of:
            return "no record holds a value in both"
        text = f"{self.plain} of {self.of} values equal"
        if self.constant:
            return f"{text}, but all have one value here, which proves little"
        if self.words:
            return f"{text}, {self.equal} with {' and '.join(self.words)}"
        return f"{text}, {self.equal} by the map" if self.labels else text


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldMatch:
    """Two fields that are probably the same.

    Attributes:
        alike: the similarity of their names, 0 to 1.
        compared: how their values compare.
    """

    left: FieldSchema
    right: FieldSchema
    alike: float
    compared: Compared

    @property
    def equal(self) -> int:
        """How many records show the same value, of those with both values."""
        return self.compared.equal

    @property
    def of(self) -> int:
        """How many records hold both."""
        return self.compared.of

    @property
    def evidence(self) -> str:
        """The evidence in words."""
        parts = [self.compared.evidence]
        if self.left.name != self.right.name:
            parts.append(f"names {self.alike:.0%} alike")
        if self.left.type != self.right.type:
            parts.append(f"{self.left.described} here, {self.right.described} there")
        return ", ".join(parts)

    @property
    def incomparable(self) -> bool:
        """Whether no values are equal, and cannot be: text and numbers, or what each system has of its own."""
        types = {self.left.type, self.right.type}
        apart = bool("string" in types and types & set(NUMBERS))
        return bool(self.of and not self.equal and not self.compared.labels and (apart or self.own))

    @property
    def own(self) -> bool:
        """Whether each system seems to have its own: an id, or the instant at which it created its record."""
        sides = (self.left, self.right)
        unique = any(each.unique for each in sides) or all(_CREATED.search(each.name) for each in sides)
        return unique and self.of >= ENOUGH and not self.equal and not self.compared.labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Two collections that probably hold the same records.

    Attributes:
        keys: the fields that identify a record in each, part by part.
        common: how many of the `asked` records of the left are in the right, too.
        as_written: how many of them if keys are compared as they are written; None if they are.
        key_types, key_region: otherwise the type of each part of the key, and where its phone numbers are.
        unmatched: fields without a counterpart, by side.
    """

    left: CollectionSchema
    right: CollectionSchema
    keys: tuple[KeyFields, KeyFields]
    common: int
    asked: int
    fields: tuple[FieldMatch, ...]
    unmatched: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    as_written: int | None = None
    key_types: tuple[str, ...] = ()
    key_region: str | None = None

    @property
    def share(self) -> float:
        """The share of the records looked at that are in both, 0 to 1."""
        return self.common / self.asked if self.asked else 0.0

    @property
    def score(self) -> float:
        """How good a match it is: records first, then fields, then the name."""
        return (
            self.share * 2 + len(self.fields) / max(1, len(self.left.fields)) + alike(self.left.name, self.right.name)
        )


@dataclass(slots=True, kw_only=True)
class Found:
    """What two systems have in common.

    Attributes:
        alone: collections without a counterpart, by system.
        stale_s: how long a copy may legitimately differ, because one of the two may return stale data.
        empty: the systems without any record, if the two have none in common.
        bare: by system, the collections without a counterpart that hold no records, as far as they were looked into.
        unread: by system and collection, why records could not be read.
    """

    systems: tuple[str, str]
    matches: list[Match] = field(default_factory=list)
    alone: dict[str, list[str]] = field(default_factory=dict)
    stale_s: float = 0.0
    empty: tuple[str, ...] = ()
    bare: dict[str, list[str]] = field(default_factory=dict)
    unread: dict[str, dict[str, str]] = field(default_factory=dict)
