"""Comparing records: two systems' rows for one key, made canonical, compared and fingerprinted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple

from checks.fields import Difference, FieldRule, Shape, agree, shape_of, show, text_of
from checks.validity import NO_VALIDITY, violation
from checks.values import Parser, UnreadableError
from probes.contract import MISSING, Key, Row

FINGERPRINT_BYTES = 16

UNREADABLE = (ValueError, ArithmeticError, RecursionError, TypeError)
"""Whatever an outlandish value makes a parser or a comparison raise: the record then cannot be verified."""


class Copy(NamedTuple):
    """One system's copy of a record in canonical form."""

    values: tuple[Any, ...]
    fingerprint: bytes
    raw_changed_at: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What two systems hold for one key. Exactly one of agreeing, differing or unverifiable.

    Attributes:
        owner, target: the copies; None where the record is absent (or unreadable, see `unverifiable`).
        differences: the fields that differ; empty when the copies agree or one is absent.
        duplicates: systems that hold several rows for the key.
        invalid: fields of the owner's copy that break their own validity rules.
        unverifiable: why nothing can be said, or "".
    """

    key: Key
    owner: Copy | None
    target: Copy | None
    differences: tuple[Difference, ...] = ()
    duplicates: tuple[str, ...] = ()
    invalid: tuple[Difference, ...] = ()
    unverifiable: str = ""

    @property
    def agrees(self) -> bool:
        """Both copies are there, readable, single, and mean the same; or the record is in neither."""
        return (
            not self.differences
            and not self.duplicates
            and not self.unverifiable
            and (self.owner is None) == (self.target is None)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """How one system's rows of a data type become keys and copies."""

    system: str
    parse_key: Parser
    parse_changed_at: Parser
    parsers: tuple[Parser, ...]


class RecordComparer:
    """Compares the rows of an owner and a target for one data type.

    Args:
        rules: the compared fields in the order in which both systems' rows carry them.
        owner, target: how each side is parsed.
        key_type: how keys are read; another one begins a new series.
        digest_key: secret that keys the fingerprints, so that a digest cannot be looked up.

    Attributes:
        series: names the rules and the key; fingerprints of two series say nothing about each other.
    """

    def __init__(
        self,
        *,
        rules: Sequence[tuple[str, FieldRule]],
        owner: Side,
        target: Side,
        digest_key: bytes,
        key_type: str = "",
    ) -> None:
        self.rules = tuple(rules)
        self.owner = owner
        self.target = target
        self._validated = tuple(
            (position, name, rule) for position, (name, rule) in enumerate(self.rules) if rule.valid != NO_VALIDITY
        )
        # The rules are part of the digest: changed rules begin a new series instead of rewriting history.
        series = repr([key_type] + [(name, rule.model_dump_json()) for name, rule in rules]).encode()
        self._digest = blake2b(key=digest_key[:64], digest_size=FINGERPRINT_BYTES)
        self._digest.update(blake2b(series, digest_size=16).digest())
        self.series = self._digest.copy().hexdigest()

    def group(self, side: Side, rows: Sequence[Row]) -> tuple[dict[Key, list[Row]], int]:
        """Sort rows by canonical key.

        Returns:
            The rows by key, and the number of rows whose key cannot be read.
        """
        grouped: dict[Key, list[Row]] = {}
        nameless = 0
        parse_key = side.parse_key
        for row in rows:
            raw = row[0]
            try:
                key = parse_key(raw) if raw is not None and raw is not MISSING and raw != "" else None
            except UNREADABLE:
                key = None
            if key is None:
                nameless += 1
            elif (there := grouped.get(key)) is None:
                grouped[key] = [row]
            else:
                there.append(row)
        return grouped, nameless

    def canonical(self, side: Side, row: Row) -> tuple[Any, ...]:
        """Make one row's values canonical.

        Raises:
            UnreadableError: with the field's name, when a value is not what its field declares.
        """
        try:
            return tuple(
                [None if raw is None else parse(raw) for parse, raw in zip(side.parsers, row[2:], strict=True)]
            )
        except UNREADABLE:
            return self._canonical_by_field(side, row)

    def _canonical_by_field(self, side: Side, row: Row) -> tuple[Any, ...]:
        """The same, one field after the other: for missing fields, and to name the one that cannot be read."""
        found: list[Any] = []
        try:
            for parse, raw in zip(side.parsers, row[2:], strict=True):
                if raw is None:
                    found.append(None)
                elif raw is MISSING:
                    rule = self.rules[len(found)][1]
                    found.append(None if "missing" in rule.null_is else MISSING)
                else:
                    found.append(parse(raw))
        except UNREADABLE as error:
            said = str(error) if isinstance(error, UnreadableError) else f"cannot be read ({type(error).__name__})"
            raise UnreadableError(f"{self.rules[len(found)][0]} in {side.system}: {said}") from None
        return tuple(found)

    def fingerprint(self, canonical: tuple[Any, ...]) -> bytes:
        """The keyed digest of canonical values under this comparer's rules."""
        digest = self._digest.copy()
        # ascii() of a tuple is typed, quoted and the same on every Python: no two tuples share it.
        digest.update(ascii(canonical).encode())
        return digest.digest()

    def agreement(self, owner_rows: Sequence[Row], target_rows: Sequence[Row]) -> bytes | None:
        """The fingerprint that both copies share, where there is one of each and nothing more to say.

        This is the quick way for the records that simply agree; `compare` says everything about all others.
        """
        if len(owner_rows) != 1 or len(target_rows) != 1 or self._validated:
            return None
        try:
            owner = self.canonical(self.owner, owner_rows[0])
            if owner != self.canonical(self.target, target_rows[0]):
                return None
        except UnreadableError:
            return None
        return self.fingerprint(owner)

    def changed_at_us(self, side: Side, copy: Copy) -> int | None:
        """The copy's own changed-at stamp, microseconds since 1970 in the system's clock."""
        try:
            stamp = side.parse_changed_at(copy.raw_changed_at) if copy.raw_changed_at is not None else None
        except UNREADABLE:
            return None
        return stamp if isinstance(stamp, int) else None

    def compare(self, key: Key, owner_rows: Sequence[Row], target_rows: Sequence[Row]) -> Comparison:
        """Compare what two systems answered for one key; an absent record is an empty sequence."""
        duplicates: tuple[str, ...] = ()
        if len(owner_rows) > 1 or len(target_rows) > 1:
            sides = ((self.owner, owner_rows), (self.target, target_rows))
            duplicates = tuple(side.system for side, rows in sides if len(rows) > 1)
        owner = target = None
        try:
            if owner_rows:
                row = owner_rows[0]
                found = self.canonical(self.owner, row)
                owner = Copy(found, self.fingerprint(found), row[1])
            if target_rows:
                row = target_rows[0]
                found = self.canonical(self.target, row)
                same = owner is not None and owner.values == found
                target = Copy(
                    found,
                    owner.fingerprint if owner is not None and same else self.fingerprint(found),
                    row[1],
                )
            differences: tuple[Difference, ...] = ()
            if owner is not None and target is not None and owner.fingerprint != target.fingerprint:
                differences = self._differences(owner.values, target.values)
            invalid = self._invalid(owner.values) if owner is not None and self._validated else ()
        except UNREADABLE as error:
            return Comparison(key=key, owner=None, target=None, duplicates=duplicates, unverifiable=str(error))
        return Comparison(
            key=key,
            owner=owner,
            target=target,
            differences=differences,
            duplicates=duplicates,
            invalid=invalid,
        )

    def _invalid(self, owner: tuple[Any, ...]) -> tuple[Difference, ...]:
        found = []
        for position, name, rule in self._validated:
            value = owner[position]
            broken = violation(rule.valid, value, text_of(rule, value))
            if broken:
                shape = Shape.NULL if value is None else Shape.VALUE
                shown = f"{show(rule, value)}: {broken}"
                found.append(Difference(field=name, shape=shape, owner_value=shown, target_value=""))
        return tuple(found)

    def _differences(self, owner: tuple[Any, ...], target: tuple[Any, ...]) -> tuple[Difference, ...]:
        return tuple(
            Difference(
                field=name,
                shape=shape_of(rule, left, right),
                owner_value=show(rule, left),
                target_value=show(rule, right),
            )
            for (name, rule), left, right in zip(self.rules, owner, target, strict=True)
            if not agree(rule, left, right)
        )
