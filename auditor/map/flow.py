"""One flow with everything the map says about it in one place, and the further systems that hold its data type."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from auditor.map.settings import DataType, FlowSettings
from checks.computed import Columns, columns_of
from checks.delete_flags import flag_of
from checks.fields import FieldRule, parser_for
from checks.records import RecordComparer
from checks.sides import Side, read_key
from checks.validity import RuleSet
from checks.values import Parser
from probes.contract import VALUES, VALUES_FROM, Key, ReadSpec, Row
from probes.settings import Binding, SystemSettings

SHORTEST_EVERY_S, LONGEST_EVERY_S = 1.0, 300.0
"""How often a flow is audited by default."""

SHORTEST_CLEAR_S = 60.0
LONGEST_CONFIRM_S = 5.0


def currencies_of(rules: Sequence[tuple[str, FieldRule]]) -> dict[int, int]:
    """By the position of an amount of money, the position of the field that holds its currency."""
    at = {name: position for position, (name, _) in enumerate(rules)}
    return {
        at[name]: at[rule.currency_field]
        for name, rule in rules
        if rule.currency_field is not None and rule.currency_field in at
    }


@dataclass(frozen=True, kw_only=True)
class Witness:
    """A further system that holds a flow's data type.

    Attributes:
        spec: where to read those of the flow's fields that it carries.
        side: how all of the flow's fields are parsed.
        positions: the positions of its fields among the flow's.
        columns: how its fields follow from a row, where some of them are computed.
    """

    spec: ReadSpec
    side: Side
    positions: tuple[int, ...]
    columns: Columns | None = None

    def carries(self, position: int) -> bool:
        """Whether it has the field at this position of the flow."""
        return position in self.positions

    def spread(self, row: Row) -> Row:
        """Its row with all of the flow's fields, NULL for those it does not carry."""
        values = row[VALUES] if self.columns is None else self.columns.values(row[VALUES])
        value_at = dict(zip(self.positions, values, strict=True))
        return (*row[:VALUES_FROM], *(value_at.get(position) for position in range(len(self.side.parsers))))


@dataclass(frozen=True, kw_only=True)
class Flow:
    """Owner to target for one data type and a set of fields, resolved from the map."""

    name: str
    settings: FlowSettings
    data_type: DataType
    source: SystemSettings
    target: SystemSettings
    source_binding: Binding
    target_binding: Binding
    tells_validity: bool = True
    held_by: dict[str, tuple[SystemSettings, Binding]] = field(default_factory=dict)

    @property
    def source_name(self) -> str:
        """The system that is read as the owner."""
        return self.settings.from_

    @property
    def target_name(self) -> str:
        """The system that holds the copy."""
        return self.settings.to

    @property
    def window_s(self) -> float:
        """The consistency window: the flow's own, or the data type's."""
        own = self.settings.window_s
        return self.data_type.window_s if own is None else own

    @property
    def every_s(self) -> float:
        """Seconds between two audits."""
        if self.settings.every_s is not None:
            return self.settings.every_s
        return min(max(self.window_s / 3, SHORTEST_EVERY_S), LONGEST_EVERY_S) if self.window_s else 5.0

    @property
    def overlap_s(self) -> float:
        """How far back each audit looks again for changes: at least as long as the owner may not know of one."""
        return max(self.settings.overlap_s, self.source.delay_floor_s)

    @property
    def confirm_s(self) -> float:
        """The minimum time before a second reading may confirm a first one."""
        return min(max(self.every_s, SHORTEST_EVERY_S), LONGEST_CONFIRM_S)

    @property
    def clear_after_s(self) -> float:
        """How long an incident's count must stay at 0 before it is over."""
        rule = self.settings.alert
        if rule.clear_after_s is not None:
            return rule.clear_after_s
        if rule.clean_audits is not None:
            return rule.clean_audits * self.every_s
        return max(2 * self.every_s, SHORTEST_CLEAR_S)

    @property
    def target_may_write(self) -> bool:
        """Whether the target is a declared writer of the data type or of one of the flow's fields."""
        fields = self.data_type.fields
        return self.target_name in self.data_type.writers or any(
            self.target_name in {fields[name].owner, *fields[name].writers} for name in self.field_names
        )

    @property
    def two_writers(self) -> tuple[str, ...]:
        """The fields that both systems may write."""
        both = {self.source_name, self.target_name}
        fields, everywhere = self.data_type.fields, {*self.data_type.writers}
        return tuple(
            name
            for name in self.field_names
            if both <= {fields[name].owner or self.source_name, *fields[name].writers, *everywhere}
        )

    @property
    def replay_warnings(self) -> tuple[str, ...]:
        """The side effects that a repair, or a replay of the flow's messages, may have."""
        settings = self.settings
        unless = f", unless the receiver checks {settings.idempotency_key}" if settings.idempotency_key else ""
        warnings = [f"replaying this flow's messages does it again: {each}{unless}" for each in settings.side_effects]
        if settings.pattern in {"event-driven", "real-time"} and not settings.idempotency_key:
            warnings.append("no idempotency key: a replayed message is processed a second time")
        return tuple(warnings)

    @cached_property
    def field_names(self) -> tuple[str, ...]:
        """The compared fields: the flow's own, or all that both systems carry."""
        absent = {*self.source_binding.absent, *self.target_binding.absent}
        return tuple(
            name
            for name, rule in self.data_type.fields.items()
            if rule.compare and name not in absent and (not self.settings.fields or name in self.settings.fields)
        )

    @cached_property
    def field_windows_s(self) -> dict[int, float]:
        """By position among the compared fields, the windows of those that may arrive later than the others."""
        return {
            position: rule.window_s
            for position, (_, rule) in enumerate(self.rules)
            if rule.window_s is not None and rule.window_s > self.window_s
        }

    def _spec(self, name: str, binding: Binding, carried: Sequence[str], system: SystemSettings) -> ReadSpec:
        return self.data_type.spec(self.settings.data_type, name, binding, carried, zone=system.zone)

    @property
    def systems(self) -> tuple[str, ...]:
        """The systems that each of its audits reads: owner, target, and those that pair their keys."""
        pairs = [spec.pairs.system for spec in (self.source_spec, self.target_spec) if spec.pairs is not None]
        return tuple(dict.fromkeys((self.source_name, self.target_name, *pairs)))

    @cached_property
    def source_spec(self) -> ReadSpec:
        """Where to read the owner's copies."""
        return self._spec(self.source_name, self.source_binding, self.field_names, self.source)

    @cached_property
    def target_spec(self) -> ReadSpec:
        """Where to read the target's copies; their change times are read only if both sides may write."""
        spec = self._spec(self.target_name, self.target_binding, self.field_names, self.target)
        return spec if self.target_may_write else replace(spec, changed_at=None, version=None)

    @cached_property
    def unique_keys(self) -> dict[str, tuple[str, ...]]:
        """By display name, the fields whose values no two records of one system may share."""
        keys = {}
        if self.data_type.business_key and set(self.data_type.business_key) <= {*self.field_names}:
            keys["business key"] = self.data_type.business_key
        if self.settings.idempotency_key in self.field_names:
            keys["idempotency key"] = (str(self.settings.idempotency_key),)
        return keys

    @cached_property
    def witnesses(self) -> dict[str, Witness]:
        """By name, the further systems that hold some of the flow's fields."""
        witnesses = {}
        for name, (system, binding) in self.held_by.items():
            positions = self._witnessed(name, binding)
            if name in {self.source_name, self.target_name} or not positions:
                continue
            carried = [self.field_names[at] for at in positions]
            spec = self._spec(name, binding, carried, system)
            witnesses[name] = Witness(
                spec=replace(spec, changed_at=None, version=None),
                side=replace(self._side(name, system, binding), columns=None),
                positions=positions,
                columns=columns_of(binding, [self.rules[at] for at in positions]),
            )
        return witnesses

    @cached_property
    def rules(self) -> tuple[tuple[str, FieldRule], ...]:
        """The compared fields, each with its rule as resolved for the flow's two systems."""
        return tuple(
            (name, self.data_type.fields[name].between(self.source_name, self.target_name))
            for name in self.field_names
        )

    def parse_key(self, told: Key) -> Key | None:
        """Parse a key from the ledger or a message into its canonical form.

        Returns:
            None if it is not a key of this data type, or no longer one because the map has changed.
        """
        return read_key(self._parse_any_writing, told)

    def parse_keys(self, texts: Iterable[str]) -> list[Key]:
        """Parse keys from their texts, in the same order; invalid ones are left out."""
        return [key for text in texts if (key := self.parse_key(text)) is not None]

    @cached_property
    def _parse_any_writing(self) -> Parser:
        return self.data_type.parse_any_writing

    def _witnessed(self, name: str, binding: Binding) -> tuple[int, ...]:
        """The positions of the fields that a further system carries and that can be compared there.

        Excludes fields that it stores in less detail than the flow compares (without case, say), and amounts without
        their currency.
        """
        positions = []
        for index, (each, rule) in enumerate(self.rules):
            declared = self.data_type.fields[each]
            alike = declared.between(self.source_name, self.target_name, name) == rule
            if each not in binding.absent and alike and rule.currency_field not in binding.absent:
                positions.append(index)
        return tuple(positions)

    def comparer(self, digest_key: bytes) -> RecordComparer:
        """The comparer of this flow's records."""
        return RecordComparer(
            rules=self.rules,
            owner=self._side(self.source_name, self.source, self.source_binding),
            target=self._side(self.target_name, self.target, self.target_binding),
            digest_key=digest_key,
            key_type="/".join(self.data_type.key_types)
            + {"nfc": "", "none": " as stored"}[self.data_type.key_normalize]
            + (f" {self.data_type.key_region}" if self.data_type.key_region else ""),
            writers=self.data_type.writers,
            validity=self.validity,
            tells_validity=self.tells_validity,
            unique_keys=self.unique_keys,
        )

    @cached_property
    def validity(self) -> RuleSet:
        """The data type's rules that name only fields this flow compares. Raises RuleError."""
        types = {name: rule.type for name, rule in self.data_type.fields.items()}
        whole = RuleSet(self.data_type.rules, types)
        return RuleSet(
            {name: whole.expressions[name] for name, named in whole.fields.items() if named <= {*self.field_names}},
            {name: types[name] for name in self.field_names},
        )

    def _side(self, name: str, system: SystemSettings, binding: Binding) -> Side:
        units = {name: binding.changed_at_unit} if binding.changed_at_unit else {}
        stamp_rule = FieldRule(type="timestamp", unit=units)
        return Side(
            system=name,
            parse_key=self.data_type.key_parser(name),
            parse_changed_at=parser_for(stamp_rule, name, system.zone),
            parsers=tuple(parser_for(rule, name, system.zone) for _, rule in self.rules),
            currencies=currencies_of(self.rules),
            flag=flag_of(binding.deleted, name),
            columns=columns_of(binding, self.rules),
        )
