"""The integration map: which systems hold which data types, who owns them, and what flows between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from pydantic import AnyHttpUrl, Field, SecretStr, field_validator

from checks.backlog import Allowance
from checks.conflicts import Policy
from checks.fields import FieldRule, parser_for
from checks.keys import key_parser
from checks.records import RecordComparer, Side
from checks.validity import RuleSet
from probes.addresses import check_address
from probes.contract import Binding, PluginSettings, ReadSpec, Row, SystemSettings
from probes.durations import Duration

SHORTEST_EVERY_S = 1.0
SHORTEST_CLEAR_S = 60.0
LONGEST_EVERY_S = 300.0
LONGEST_CONFIRM_S = 5.0
SHORTEST_WINDOW_S, LONGEST_WINDOW_S = 1.0, 7 * 86_400.0
"""Windows that are judged; below a second polling cannot tell, and no window at all is `none`."""

Pattern = Literal["real-time", "near-real-time", "batch", "on-demand", "event-driven"]


class Consumer(PluginSettings):
    """Who reads a copy and acts on it."""

    name: str
    role: Literal["decision-system", "automation", "team", "report"]
    reads: str


class DataType(PluginSettings):
    """What a record is, who owns it and where it stands.

    Attributes:
        owner: the system that is the source of truth.
        writers: every system that may update it; the owner alone where nothing is said.
        window_s: how long a copy may differ after a change; `none` for not at all.
        key_type: how keys are compared.
        key_normalize: whether keys of text are compared in Unicode NFC or as they are stored.
        business_key: fields that together are the same for one record only, whatever its key.
        rules: by name, what every record must keep to in each system, in CEL (`checks.validity.RuleSet`).
        in_: per system, where the data type stands there.
    """

    owner: str
    writers: tuple[str, ...] = ()
    consumers: tuple[Consumer, ...] = ()
    window_s: Duration = Field(alias="window")
    key_type: Literal["integer", "string", "uuid", "salesforce_id"] = "string"
    key_normalize: Literal["nfc", "none"] = "nfc"
    fields: dict[str, FieldRule]
    business_key: tuple[str, ...] = ()
    rules: dict[str, str] = {}
    in_: dict[str, Any] = Field(alias="in")
    description: str = ""


class Objective(PluginSettings):
    """The SLA of a flow: the shares and ages that must be kept.

    Attributes:
        within_window: least share of changes met within the window, over the last day.
        dead_letters: most dead letters that may wait.
        oldest_letter_s: oldest age a dead letter may reach.
        backlog_age_s: oldest age a waiting message may reach.
        backlog_floor: up to so many waiting messages nothing is a breach; above it growth beyond chance is one.
        backlog_ceiling: more waiting messages are a breach whatever their age.
        drop_notice_s: how long before a queue drops a dead letter unread that is a breach.
    """

    within_window: float = Field(default=0.99, ge=0, le=1)
    dead_letters: int = Field(default=0, ge=0)
    oldest_letter_s: Duration | None = Field(default=None, alias="oldest_letter")
    backlog_age_s: Duration | None = Field(default=None, alias="backlog_age")
    backlog_floor: int = Field(default=0, ge=0)
    backlog_ceiling: int | None = Field(default=None, ge=0)
    drop_notice_s: Duration = Field(default=86_400, alias="drop_notice")

    @property
    def allowance(self) -> Allowance:
        """What a queue may hold."""
        return Allowance(
            dead_letters=self.dead_letters,
            oldest_letter_s=self.oldest_letter_s,
            backlog_age_s=self.backlog_age_s,
            floor=self.backlog_floor,
            ceiling=self.backlog_ceiling,
        )


class AlertRule(PluginSettings):
    """When a flow's divergences open an incident, and when it closes.

    Attributes:
        divergences: open divergences of one cause that open an incident.
        clear_after_s: how long nothing of it must be left before it closes; two intervals, at least a minute, where
            nothing is said.
        clean_audits: the same in audits, as maps said it before.
        failures: audits in a row that cannot read a system before that is an incident.
    """

    divergences: int = Field(default=1, ge=1)
    clear_after_s: Duration | None = Field(default=None, alias="clear_after", ge=0)
    clean_audits: int | None = Field(default=None, ge=1)
    failures: int = Field(default=3, ge=1)


class ValuePolicy(PluginSettings):
    """Records worth more are read more often.

    Attributes:
        field: a number of the owner's copy.
        above: from which value on.
        share: how probably one audit reads such a record.
    """

    field: str
    above: float
    share: float = Field(gt=0, le=1)


class SamplingPolicies(PluginSettings):
    """Which records are read more often than others, as the probability that one audit reads them.

    Attributes:
        panel: records that every audit reads, always the same.
        recent: those that changed within `memory`.
        past_error: those that differed within `memory`.
        memory_s: how far back the two look.
    """

    panel: int = Field(default=50, ge=0, le=10_000)
    recent: float = Field(default=0.01, ge=0, le=1)
    past_error: float = Field(default=0.05, ge=0, le=1)
    memory_s: Duration = Field(default=30 * 86_400, alias="memory", gt=0)
    value: ValuePolicy | None = None


class FlowSettings(PluginSettings):
    """One flow as written in the map; everything the auditor does not act on is shown to people.

    Attributes:
        every_s: how often to probe; a third of the window where nothing is said.
        sample: records per side and audit that are read without being known to have changed.
        sampling: which of them are read more often.
        merge_function: `module:function` that merges two copies, where that is the conflict policy.
        idempotency_key: what makes a repeat harmless; where it is a field, that no two records share it is checked.
        require_every_version: the target must show every version, as an event stream does.
        overlap_s: how far back each audit looks again for changes that were committed late.
    """

    data_type: str
    from_: str = Field(alias="from")
    to: str
    pattern: Pattern
    direction: Literal["one-way", "two-way"] = "one-way"
    frequency: str = ""
    trigger: str = ""
    transformation: str = ""
    fields: tuple[str, ...] = ()
    window_s: Duration | None = Field(default=None, alias="window")
    sla: Objective = Objective()
    alert: AlertRule = AlertRule()
    conflict_policy: Policy = Policy.SOURCE_OF_TRUTH
    merge_function: str | None = None
    idempotency_key: str | None = None
    side_effects: tuple[str, ...] = ()
    retry: str = ""
    queues: dict[str, Any] = {}
    team: str = ""
    slack_channel: str = ""
    runbook: str = ""
    every_s: Duration | None = Field(default=None, alias="every", gt=0)
    sample: int = Field(default=200, ge=0, le=100_000)
    sampling: SamplingPolicies = SamplingPolicies()
    require_every_version: bool = False
    overlap_s: Duration = Field(default=10, alias="overlap")
    description: str = ""


class SlackSettings(PluginSettings):
    """Where Slack hears of incidents: an incoming webhook, whose address is a secret."""

    webhook: SecretStr

    @field_validator("webhook")
    @classmethod
    def _certain(cls, webhook: SecretStr) -> SecretStr:
        if webhook.get_secret_value():
            check_address(webhook.get_secret_value(), login=False)
        return webhook


class WebhookSettings(PluginSettings):
    """Another program that hears of incidents as JSON."""

    url: SecretStr

    @field_validator("url")
    @classmethod
    def _certain(cls, url: SecretStr) -> SecretStr:
        if url.get_secret_value():
            check_address(url.get_secret_value(), login=False)
        return url


class AlertSettings(PluginSettings):
    """Who hears of incidents, and the address of the dashboard for the links in a message.

    An empty address is none, so that one that comes from the environment need not be set.
    """

    slack: SlackSettings | None = None
    webhook: WebhookSettings | None = None
    dashboard: AnyHttpUrl | None = None

    @field_validator("slack")
    @classmethod
    def _slack_somewhere(cls, slack: SlackSettings | None) -> SlackSettings | None:
        return slack if slack is not None and slack.webhook.get_secret_value() else None

    @field_validator("webhook")
    @classmethod
    def _webhook_somewhere(cls, webhook: WebhookSettings | None) -> WebhookSettings | None:
        return webhook if webhook is not None and webhook.url.get_secret_value() else None


@dataclass(frozen=True, kw_only=True)
class IntegrationMap:
    """A valid map.

    Attributes:
        systems: by name, the settings of the plug-in that serves each.
        bindings: by (data type, system), where the one stands in the other.
        queues: by (flow, queue name), the settings of each queue's plug-in.
    """

    systems: dict[str, SystemSettings]
    data_types: dict[str, DataType]
    flows: dict[str, FlowSettings]
    alerts: AlertSettings = field(default_factory=AlertSettings)
    bindings: dict[tuple[str, str], Binding] = field(default_factory=dict)
    queues: dict[tuple[str, str], Any] = field(default_factory=dict)

    def system_of(self, queue: Any) -> SystemSettings | None:
        """The system that a queue lives in; None for one that has an address of its own."""
        name = getattr(queue, "system", None)
        return self.systems[name] if name is not None else None

    def flow(self, name: str) -> Flow:
        """A flow with everything the map says about it in one place. Raises KeyError."""
        settings = self.flows[name]
        return Flow(
            name=name,
            settings=settings,
            data_type=self.data_types[settings.data_type],
            source=self.systems[settings.from_],
            target=self.systems[settings.to],
            source_binding=self.bindings[settings.data_type, settings.from_],
            target_binding=self.bindings[settings.data_type, settings.to],
            tells_validity=name == self._first_flow_from(settings),
            held_by={
                system: (self.systems[system], binding)
                for (data_type, system), binding in self.bindings.items()
                if data_type == settings.data_type
            },
        )

    def _first_flow_from(self, settings: FlowSettings) -> str:
        """The flow that tells what is invalid at an owner; the others of the same would only repeat it."""
        return next(
            name
            for name, each in self.flows.items()
            if each.data_type == settings.data_type and each.from_ == settings.from_
        )


def currencies_of(rules: Sequence[tuple[str, FieldRule]]) -> dict[int, int]:
    """By position of an amount of money among these fields, the position of the one that holds its currency."""
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
        positions: of those it carries among the flow's.
    """

    spec: ReadSpec
    side: Side
    positions: tuple[int, ...]

    def carries(self, position: int) -> bool:
        """Whether it has the field at this position of the flow."""
        return position in self.positions

    def spread(self, row: Row) -> Row:
        """Its row with all of the flow's fields, NULL where it carries none."""
        held = dict(zip(self.positions, row[2:], strict=True))
        return (*row[:2], *(held.get(position) for position in range(len(self.side.parsers))))


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
        """The consistency window: the flow's own, else the data type's."""
        own = self.settings.window_s
        return self.data_type.window_s if own is None else own

    @property
    def every_s(self) -> float:
        """Seconds between two audits."""
        if self.settings.every_s is not None:
            return self.settings.every_s
        return min(max(self.window_s / 3, SHORTEST_EVERY_S), LONGEST_EVERY_S) if self.window_s else 5.0

    @property
    def confirm_s(self) -> float:
        """The least time before a second reading may confirm a first."""
        return min(max(self.every_s, SHORTEST_EVERY_S), LONGEST_CONFIRM_S)

    @property
    def clear_after_s(self) -> float:
        """How long nothing of an incident must be left before it is over."""
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
        """What a repair, or a replay of the flow's messages, may set off beside what is meant."""
        settings = self.settings
        known = f", unless the receiver checks {settings.idempotency_key}" if settings.idempotency_key else ""
        found = [f"replaying this flow's messages does it again: {each}{known}" for each in settings.side_effects]
        if settings.pattern in {"event-driven", "real-time"} and not settings.idempotency_key:
            found.append("no idempotency key: a replayed message is processed a second time")
        return tuple(found)

    @cached_property
    def field_names(self) -> tuple[str, ...]:
        """The compared fields: those of the flow, else all that both systems carry."""
        absent = {*self.source_binding.absent, *self.target_binding.absent}
        return tuple(
            name
            for name, rule in self.data_type.fields.items()
            if rule.compare and name not in absent and (not self.settings.fields or name in self.settings.fields)
        )

    @cached_property
    def source_spec(self) -> ReadSpec:
        """Where to read the owner's copies."""
        return self.source_binding.spec(
            self.settings.data_type, self.field_names, zone=self.source.zone, key_type=self.data_type.key_type
        )

    @cached_property
    def target_spec(self) -> ReadSpec:
        """Where to read the target's copies; when they changed there is asked only where both sides may write."""
        spec = self.target_binding.spec(
            self.settings.data_type, self.field_names, zone=self.target.zone, key_type=self.data_type.key_type
        )
        return spec if self.target_may_write else replace(spec, changed_at=None, version=None)

    @cached_property
    def unique_keys(self) -> dict[str, tuple[str, ...]]:
        """By what people call it, the fields that no two records of one system may share."""
        found = {}
        if self.data_type.business_key and set(self.data_type.business_key) <= {*self.field_names}:
            found["business key"] = self.data_type.business_key
        if self.settings.idempotency_key in self.field_names:
            found["idempotency key"] = (str(self.settings.idempotency_key),)
        return found

    @cached_property
    def witnesses(self) -> dict[str, Witness]:
        """By name, the further systems that hold some of the flow's fields."""
        found = {}
        for name, (system, binding) in self.held_by.items():
            positions = self._witnessed(name, binding)
            if name in {self.source_name, self.target_name} or not positions:
                continue
            carried = [self.field_names[at] for at in positions]
            data_type, key_type = self.settings.data_type, self.data_type.key_type
            spec = binding.spec(data_type, carried, zone=system.zone, key_type=key_type)
            found[name] = Witness(
                spec=replace(spec, changed_at=None, version=None),
                side=self._side(name, system, binding),
                positions=positions,
            )
        return found

    @cached_property
    def rules(self) -> tuple[tuple[str, FieldRule], ...]:
        """The compared fields, each with its rule as it holds between the flow's two systems."""
        return tuple(
            (name, self.data_type.fields[name].between(self.source_name, self.target_name))
            for name in self.field_names
        )

    def _witnessed(self, name: str, binding: Binding) -> tuple[int, ...]:
        """Where the fields stand that a further system carries and can be asked about.

        Not one that it keeps in less than the flow compares (without case, say), and no amount without its currency.
        """
        found = []
        for at, (each, rule) in enumerate(self.rules):
            declared = self.data_type.fields[each]
            alike = declared.between(self.source_name, self.target_name, name) == rule
            if each not in binding.absent and alike and rule.currency_field not in binding.absent:
                found.append(at)
        return tuple(found)

    def comparer(self, digest_key: bytes) -> RecordComparer:
        """The comparer of this flow's records."""
        return RecordComparer(
            rules=self.rules,
            owner=self._side(self.source_name, self.source, self.source_binding),
            target=self._side(self.target_name, self.target, self.target_binding),
            digest_key=digest_key,
            key_type=self.data_type.key_type + {"nfc": "", "none": " as stored"}[self.data_type.key_normalize],
            writers=self.data_type.writers,
            validity=self.validity,
            tells_validity=self.tells_validity,
            unique_keys=self.unique_keys,
        )

    @cached_property
    def validity(self) -> RuleSet:
        """The data type's rules that speak only of fields this flow compares. Raises RuleError."""
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
            parse_key=key_parser(self.data_type.key_type, name, self.data_type.key_normalize),
            parse_changed_at=parser_for(stamp_rule, name, system.zone),
            parsers=tuple(parser_for(rule, name, system.zone) for _, rule in self.rules),
            currencies=currencies_of(self.rules),
        )
