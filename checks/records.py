"""Comparing records: two systems' rows for one key, made canonical, compared and fingerprinted."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any, NamedTuple
from unicodedata import normalize

from checks.comparison import Agreement, Comparison, Copy, Place, Tombstone, Unread
from checks.delete_flags import Flag, parted
from checks.difference_kinds import pattern_of
from checks.differences import DERIVED, Difference, Shape, shape_of
from checks.equality import agree
from checks.field_text import plain, show, text_of
from checks.fields import FieldRule, span_of
from checks.instants import DAY_US, day_number
from checks.sides import UNREADABLE, Side, held_values, read_field, read_key
from checks.unreadable import spelling
from checks.validity import NO_RULES, NO_VALIDITY, RuleSet, violation
from checks.values import UnreadableError
from probes.contract import KEY, MARK, MISSING, Key, Row

FINGERPRINT_BYTES = 16

FIELD_DIGEST_BYTES = 4
"""Bytes of a field's digest, kept next to the fingerprint: two values of a field collide once in 4 billion times."""


FIRST_STAMP_US, LAST_STAMP_US = (day_number(year, 1, 1) * DAY_US for year in (2, 9999))
"""Stamps to which clocks and slacks can be added without leaving the calendar."""


class Grouped(NamedTuple):
    """Rows of one system by canonical key.

    Attributes:
        rows: of the records that are there, without the value that says whether they are deleted.
        nameless: the raw keys that cannot be read, one for each row.
        deleted: records of which all rows are marked as deleted, with the stamp or version of one of them.
        unreadable: records of which cannot be read whether they are deleted, and why.
    """

    rows: dict[Key, list[Row]]
    nameless: Sequence[Any]
    deleted: Mapping[Key, Any] = {}
    unreadable: Mapping[Key, str] = {}

    @property
    def keys(self) -> list[Key]:
        """Every record that has a row."""
        return [*self.rows, *self.deleted, *self.unreadable]


def _spelt(rows: Sequence[Row]) -> str:
    """A note on rows with one key in several spellings."""
    spelt = {row[KEY] for row in rows if isinstance(row[KEY], str)}
    if len(spelt) < 2:
        return ""
    count = "two" if len(spelt) == 2 else len(spelt)
    if len({normalize("NFC", each) for each in spelt}) == len(spelt):
        return f": {count} writings of one key"
    return f": {count} spellings of one key (Unicode normalization)"


def _told(rule: FieldRule) -> str:
    """The settings of a rule in a form that never varies between runs, without those at their default."""
    words = rule.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude={"description", "window_s"})
    return json.dumps({**words, "null_is": sorted(words.get("null_is", ()))}, sort_keys=True)


class RecordComparer:
    """Compares the rows of an owner and a target for one data type.

    Args:
        rules: the compared fields in the order in which both systems' rows carry them.
        owner, target: how each side is parsed.
        key_type: how keys are read; a different type starts a new series.
        digest_key: secret that keys the fingerprints, so that a digest cannot be looked up.
        writers: systems that may write every field, whoever owns it.
        validity: the data type's own rules, for each system's own copy.
        tells_validity: false if another flow already reports what is invalid at this owner.
        unique_keys: by display name, fields whose values no two records of one system may share.

    Attributes:
        series: identifies the rules and the key; fingerprints of two series are not comparable.
    """

    def __init__(
        self,
        *,
        rules: Sequence[tuple[str, FieldRule]],
        owner: Side,
        target: Side,
        digest_key: bytes,
        key_type: str = "",
        writers: Sequence[str] = (),
        validity: RuleSet = NO_RULES,
        tells_validity: bool = True,
        unique_keys: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.rules = tuple((name, rule.between(owner.system, target.system)) for name, rule in rules)
        self.owner = owner
        self.target = target
        self._places = tuple(self._place(position, rule, writers) for position, (_, rule) in enumerate(self.rules))
        self._led = [place.position for place in self._places if not place.target_leads]
        self._all_led = len(self._led) == len(self.rules)
        self._validity = validity
        self._tells_validity = tells_validity
        at = {name: position for position, (name, _) in enumerate(self.rules)}
        self.unique_keys = {
            called: tuple(at[name] for name in names) for called, names in (unique_keys or {}).items()
        }
        self._validated = tuple(
            (position, name, rule, span_of(rule))
            for position, (name, rule) in enumerate(self.rules)
            if rule.valid != NO_VALIDITY
        )
        # The rules are part of the digest: changed rules start a new series instead of rewriting history.
        settings = [(name, _told(rule)) for name, rule in self.rules]
        series = repr([key_type, sorted(writers), validity.expressions, *settings]).encode()
        self._digest = blake2b(key=digest_key[:64], digest_size=FINGERPRINT_BYTES)
        self._digest.update(blake2b(series, digest_size=16).digest())
        self.series = self._digest.copy().hexdigest()
        self._field_digest = blake2b(key=digest_key[:64], digest_size=FIELD_DIGEST_BYTES)

    def _place(self, position: int, rule: FieldRule, writers: Sequence[str]) -> Place:
        target_leads = rule.owner is not None and rule.owner == self.target.system
        follower = self.owner.system if target_leads else self.target.system
        return Place(position, target_leads, follower in writers or follower in rule.writers)

    def group(self, side: Side, rows: Sequence[Row]) -> Grouped:
        """Sort rows by canonical key, those aside that are marked as deleted."""
        if side.flag is not None:
            return self._group_flagged(side, side.flag, rows)
        grouped: dict[Key, list[Row]] = {}
        nameless: list[Any] = []
        parse_key = side.parse_key
        for row in rows:
            key = read_key(parse_key, row[KEY])
            if key is None:
                nameless.append(row[KEY])
            elif (there := grouped.get(key)) is None:
                grouped[key] = [row]
            else:
                there.append(row)
        return Grouped(grouped, nameless)

    def _group_flagged(self, side: Side, flag: Flag, rows: Sequence[Row]) -> Grouped:
        """A record is deleted if all its rows are: its key may have been given to a new record since."""
        live, marked, doubtful = parted(flag, rows)
        grouped = self.group(replace(side, flag=None), live)
        unreadable: dict[Key, str] = {}
        nameless = list(grouped.nameless)
        for row, why in doubtful:
            key = read_key(side.parse_key, row[KEY])
            if key is None:
                nameless.append(row[KEY])
            else:
                unreadable[key] = f"whether it is deleted, {flag.field} in {side.system}: {why}"
        found = {key: there for key, there in grouped.rows.items() if key not in unreadable}
        named = ((read_key(side.parse_key, row[KEY]), row[MARK]) for row in marked)
        gone = {key: mark for key, mark in named if key is not None and key not in found and key not in unreadable}
        return Grouped(found, nameless, gone, unreadable)

    def canonical(self, side: Side, row: Row) -> tuple[Any, ...]:
        """Make one row's values canonical.

        Raises:
            UnreadableError: with the field's name, when a value is not what its field declares.
        """
        raw_values = held_values(side, row)
        try:
            return tuple(
                [None if raw is None else parse(raw) for parse, raw in zip(side.parsers, raw_values, strict=True)]
            )
        except UNREADABLE:
            values, unread = self._readable(side, raw_values)
            for position, why in unread.items():
                raise UnreadableError(f"{self.rules[position][0]} in {side.system}: {why}") from None
            return values

    def readable(self, side: Side, row: Row) -> tuple[tuple[Any, ...], dict[int, str]]:
        """One row's values, as far as readable.

        Returns:
            The canonical values, an `Unread` for each unreadable one, and the reasons by position, lowest first.
        """
        return self._readable(side, held_values(side, row))

    def _readable(self, side: Side, raw_values: Sequence[Any]) -> tuple[tuple[Any, ...], dict[int, str]]:
        values: list[Any] = []
        unread: dict[int, str] = {}
        for (_, rule), parse, raw in zip(self.rules, side.parsers, raw_values, strict=True):
            try:
                values.append(read_field(parse, rule, raw))
            except UnreadableError as error:
                unread[len(values)] = str(error)
                values.append(Unread(spelling(raw)))
        return tuple(values), unread

    def copy_of(self, canonical: tuple[Any, ...], raw_mark: Any) -> Copy:
        """A copy with its digests."""
        digests = []
        for position, value in enumerate(canonical):
            digest = self._field_digest.copy()
            digest.update(ascii((position, value)).encode())
            digests.append(digest.digest())
        return Copy(canonical, self.fingerprint(canonical), raw_mark, b"".join(digests))

    def identity(self, copy: Copy, called: str) -> bytes | None:
        """The keyed digest of one of the unique keys; None if a part of it is NULL, missing or empty."""
        parts = tuple([copy.values[position] for position in self.unique_keys[called]])
        if any(part is None or part is MISSING or part == "" or isinstance(part, Unread) for part in parts):
            return None
        digest = self._digest.copy()
        digest.update(ascii((called, parts)).encode())
        return digest.digest()

    def field_digest(self, copy: Copy, position: int) -> bytes:
        """One field's digest."""
        return copy.digests[position * FIELD_DIGEST_BYTES : (position + 1) * FIELD_DIGEST_BYTES]

    def fingerprint(self, canonical: tuple[Any, ...]) -> bytes:
        """The keyed digest of the canonical values that the flow's source leads, under this comparer's rules."""
        digest = self._digest.copy()
        if not self._all_led:
            canonical = tuple([canonical[position] for position in self._led])
        # ascii() of a tuple is typed, quoted and the same on every Python: no two tuples share it.
        digest.update(ascii(canonical).encode())
        return digest.digest()

    def meet(self, key: Key, owner_rows: Sequence[Row], target_rows: Sequence[Row]) -> Agreement | Comparison:
        """Compare what two systems returned for one key, the quick way if the copies simply agree.

        If the target leads a field, the shared fingerprint does not cover everything and there is no quick way.

        Returns:
            An agreement, which `compare_agreed` expands if needed; or the full result of `compare`.
        """
        owner = target = None
        if len(owner_rows) == 1 and len(target_rows) == 1 and self._all_led:
            try:
                owner = self.canonical(self.owner, owner_rows[0])
                target = self.canonical(self.target, target_rows[0])
            except UnreadableError as error:
                return self._compare_unreadable(key, owner_rows, target_rows, (), error)
            if owner == target:
                return Agreement(owner, self.fingerprint(owner))
        return self._compare(key, owner_rows, target_rows, owner, target)

    def compare_agreed(self, key: Key, agreed: Agreement, owner_row: Row, target_row: Row) -> Comparison:
        """The full result of `compare` for two copies that agree."""
        return self._compare(key, [owner_row], [target_row], agreed.values, agreed.values)

    def changed_at_us(self, side: Side, copy: Copy | Tombstone) -> int | None:
        """The copy's own changed-at stamp, microseconds since 1970 in the system's clock.

        None if it has none that can be used in calculations: unreadable, ambiguous (in an hour that its zone
        repeats), infinite, or within a year of the ends of the calendar.
        """
        try:
            stamp = side.parse_changed_at(copy.raw_mark) if copy.raw_mark is not None else None
        except UNREADABLE:
            return None
        return stamp if isinstance(stamp, int) and FIRST_STAMP_US < stamp < LAST_STAMP_US else None

    def compare(self, key: Key, owner_rows: Sequence[Row], target_rows: Sequence[Row]) -> Comparison:
        """Compare what two systems returned for one key; an absent record is an empty sequence."""
        return self._compare(key, owner_rows, target_rows, None, None)

    def _compare(
        self,
        key: Key,
        owner_rows: Sequence[Row],
        target_rows: Sequence[Row],
        owner_values: tuple[Any, ...] | None,
        target_values: tuple[Any, ...] | None,
    ) -> Comparison:
        """Compare rows; the first one of a side may already be canonical."""
        sides = ((self.owner, owner_rows), (self.target, target_rows))
        duplicates = tuple(f"several rows in {side.system}{_spelt(rows)}" for side, rows in sides if len(rows) > 1)
        owner = target = None
        try:
            if owner_rows:
                owner_canonical = self.canonical(self.owner, owner_rows[0]) if owner_values is None else owner_values
                owner = self.copy_of(owner_canonical, owner_rows[0][MARK])
            if target_rows:
                target_canonical = (
                    self.canonical(self.target, target_rows[0]) if target_values is None else target_values
                )
                if owner is not None and owner.values == target_canonical:
                    target = Copy(target_canonical, owner.fingerprint, target_rows[0][MARK], owner.digests)
                else:
                    target = self.copy_of(target_canonical, target_rows[0][MARK])
            differences: tuple[Difference, ...] = ()
            places: tuple[Place, ...] = ()
            if owner is not None and target is not None and owner.values != target.values:
                differences, places = self._differences(owner.values, target.values)
            invalid = self._invalid(owner, target, agreeing=not differences)
        except UNREADABLE as error:
            return self._compare_unreadable(key, owner_rows, target_rows, duplicates, error)
        return Comparison(
            key=key,
            owner=owner,
            target=target,
            differences=differences,
            places=places,
            duplicates=duplicates,
            invalid=invalid,
        )

    def _compare_unreadable(
        self,
        key: Key,
        owner_rows: Sequence[Row],
        target_rows: Sequence[Row],
        duplicates: tuple[str, ...],
        error: Exception,
    ) -> Comparison:
        """Compare copies that are not fully readable."""
        comparison = self._compare_readable(key, owner_rows, target_rows, duplicates)
        if comparison is not None:
            return comparison
        return Comparison(key=key, owner=None, target=None, duplicates=duplicates, unverifiable=str(error))

    def _compare_readable(
        self, key: Key, owner_rows: Sequence[Row], target_rows: Sequence[Row], duplicates: tuple[str, ...]
    ) -> Comparison | None:
        """Compare the readable fields of copies that are not fully readable; None if nothing is known to differ."""
        copies: list[Copy | None] = []
        unread: dict[int, dict[int, str]] = {}
        for side, rows in ((self.owner, owner_rows), (self.target, target_rows)):
            values, why = self.readable(side, rows[0]) if rows else ((), {})
            for position, reason in why.items():
                unread.setdefault(position, {})[len(copies)] = reason
            copies.append(self.copy_of(values, rows[0][MARK]) if rows else None)
        owner, target = copies
        differences: tuple[Difference, ...] = ()
        places: tuple[Place, ...] = ()
        if owner is not None and target is not None:
            try:
                differences, places = self._differences(owner.values, target.values, leaving_out=unread)
            except UNREADABLE:
                return None
            if not differences and not duplicates:
                return None
        if not unread:
            return None  # every value is readable, but a rule cannot be applied to them
        unread_fields = []
        for position, why in sorted(unread.items()):
            name, rule = self.rules[position]
            shown = [
                "" if copy is None
                else f"cannot be read: {why[index]}" if index in why
                else show(rule, copy.values[position])
                for index, copy in enumerate(copies)
            ]  # fmt: skip
            unread_fields.append(
                Difference(field=name, shape=Shape.UNREADABLE, owner_value=shown[0], target_value=shown[1])
            )
        return Comparison(
            key=key,
            owner=owner,
            target=target,
            differences=differences,
            places=places,
            duplicates=duplicates,
            unread=tuple(unread_fields),
        )

    def _invalid(self, owner: Copy | None, target: Copy | None, *, agreeing: bool) -> tuple[Difference, ...]:
        """What is invalid in each system's own copy; the same copy is not reported twice.

        Raises:
            UnreadableError: a rule cannot be applied to copies that agree. Copies that differ are reported anyway.
        """
        if not self._validated and not self._validity:
            return ()
        same = owner is not None and target is not None and owner.values == target.values
        broken: dict[str, tuple[str, str]] = {}
        try:
            if owner is not None and self._tells_validity:
                broken = {name: (what, "") for name, what in self._violations(owner.values)}
            if target is not None and not same:
                for name, what in self._violations(target.values):
                    broken[name] = broken.get(name, ("", ""))[0], what
        except UnreadableError:
            if agreeing:
                raise
        return tuple(
            Difference(field=name, shape=Shape.VALUE, owner_value=left, target_value=right)
            for name, (left, right) in broken.items()
        )

    def _violations(self, values: tuple[Any, ...]) -> list[tuple[str, str]]:
        """The fields and rules that one copy breaks, each with a description."""
        violations = []
        for position, name, rule, span in self._validated:
            value = values[position]
            wrong = violation(rule.valid, value, text_of(rule, value), span)
            if wrong:
                violations.append((name, f"{show(rule, value)}: {wrong}"))
        if self._validity:
            plain_values = {name: plain(rule, value) for (name, rule), value in zip(self.rules, values, strict=True)}
            violations += self._validity.broken(plain_values)
        return violations

    def _differences(
        self, owner: tuple[Any, ...], target: tuple[Any, ...], *, leaving_out: Container[int] = ()
    ) -> tuple[tuple[Difference, ...], tuple[Place, ...]]:
        differences, places = [], []
        for (name, rule), place, left, right in zip(self.rules, self._places, owner, target, strict=True):
            if place.position in leaving_out or agree(rule, left, right):
                continue
            shape = shape_of(rule, left, right)
            differences.append(
                Difference(
                    field=name,
                    shape=shape,
                    owner_value=show(rule, left),
                    target_value=show(rule, right),
                    pattern=pattern_of(rule, shape, left, right),
                )
            )
            places.append(place._replace(derived=shape in DERIVED))
        return tuple(differences), tuple(places)
