"""What a map may say about data types, flows and alerts: one pydantic model for each part."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import time
from functools import cached_property
from typing import Annotated, Any, Literal, Self, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AnyHttpUrl,
    BeforeValidator,
    Field,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)

from auditor.senders.contract import SenderSettings
from auditor.senders.heartbeat import HeartbeatSettings
from auditor.senders.registry import SENDERS, sender_settings
from checks.backlog import Allowance
from checks.conflicts import Policy
from checks.fields import FieldRule
from checks.keys import WRITTEN, KeyType, composite_parser, key_parser
from checks.routes import SEVERITIES, WEEKDAYS, Hours, Route, Routing
from checks.silences import Window
from checks.values import Parser, UnreadableError
from probes.composite_keys import parted
from probes.contract import WRITTEN_FREELY, Key, Pairs, ReadSpec
from probes.durations import Duration
from probes.settings import Binding, PluginSettings
from probes.wording import did_you_mean

SHORTEST_WINDOW_S, LONGEST_WINDOW_S = 1.0, 7 * 86_400.0
"""Windows that can be judged; polling cannot resolve less than a second, and no window is `none`."""

Pattern = Literal["real-time", "near-real-time", "batch", "on-demand", "event-driven"]


class Consumer(PluginSettings):
    """Who reads a copy and acts on it."""

    name: str
    role: Literal["decision-system", "automation", "team", "report"]
    reads: str


class DataType(PluginSettings):
    """What a record is, who owns it and where it is stored.

    Attributes:
        owner: the system that is the source of truth.
        writers: every system that may update it; by default only the owner.
        window_s: how long a copy may differ after a change; `none` for not at all.
        key_type: how keys are compared.
        key_normalize: whether keys of text are compared in Unicode NFC or as they are stored.
        key_region: where keys that are phone numbers without a country code are, two letters (ISO 3166-1).
        business_key: fields whose values together identify one record, whatever its key.
        rules: by name, a condition that every record must meet in each system, in CEL (`checks.validity.RuleSet`).
        in_: per system, where the data type is stored.
    """

    owner: str
    writers: tuple[str, ...] = ()
    consumers: tuple[Consumer, ...] = ()
    window_s: Duration = Field(alias="window")
    key_type: KeyType | tuple[KeyType, ...] = "string"
    key_normalize: Literal["nfc", "none"] = "nfc"
    key_region: str | None = None
    fields: dict[str, FieldRule]
    business_key: tuple[str, ...] = ()
    rules: dict[str, str] = {}
    in_: dict[str, Any] = Field(alias="in")
    description: str = ""

    @field_validator("key_type", mode="before", json_schema_input_type=KeyType | list[KeyType])
    @classmethod
    def _is_known(cls, key_type: object) -> object:
        # Checked here, because an error of a union names each of its types.
        types = get_args(KeyType)
        for each in key_type if isinstance(key_type, list | tuple) else [key_type]:
            if each not in types:
                raise ValueError(f"unknown key type {str(each)[:40]!r}{did_you_mean(str(each)[:40], types)}")
        return tuple(key_type) if isinstance(key_type, list) else key_type

    def key_parser(self, system: str) -> Parser:
        """The parser for keys of this data type as `system` holds them."""
        return self._parser(system, self.key_written(system))

    @property
    def parse_any_writing(self) -> Parser:
        """The parser for keys that people, messages or the ledger name, however they are written."""
        return self._parser(self.owner, None)

    def typed_key(self, text: str) -> Key:
        """The key that a person typed.

        Raises:
            UnreadableError: it is not a key of this data type, or empty, as an unset variable is.
        """
        if not text:
            raise UnreadableError("it is empty")
        key: Key = self.parse_any_writing(text)
        return key

    def _parser(self, system: str, written: str | None) -> Parser:
        words: Any = {"normalize": self.key_normalize, "region": self.key_region, "written": written}
        if self._is_single:
            return key_parser(self.whole_key_type, system, **words)
        return composite_parser(self.key_types, system, **words)

    def key_written(self, system: str) -> str | None:
        """How a system writes every key, as far as the map says so."""
        binding = self.in_.get(system)
        written = binding.get("key_written") if isinstance(binding, Mapping) else None
        return None if written is None else str(written)

    @cached_property
    def key_count(self) -> int:
        """How many fields the key has in a system that does not hold it in one."""
        keys = (each.get("key") for each in self.in_.values() if isinstance(each, Mapping))
        return max((len(key) for key in keys if isinstance(key, list | tuple)), default=1)

    @cached_property
    def key_types(self) -> tuple[str, ...]:
        """The type of each part of the key."""
        return (self.key_type,) * self.key_count if isinstance(self.key_type, str) else self.key_type

    @cached_property
    def whole_key_type(self) -> str:
        """The type of the key as a whole: that of several parts is a text."""
        return self.key_types[0] if self._is_single else "string"

    @property
    def _is_single(self) -> bool:
        return self.key_count == len(self.key_types) == 1

    @property
    def types_written_freely(self) -> tuple[str, ...]:
        """Those types of its parts that a system may write in several ways, each once."""
        return tuple(dict.fromkeys(each for each in self.key_types if each in WRITTEN_FREELY))

    def spec(self, name: str, system: str, binding: Binding, carried: Sequence[str], *, zone: str | None) -> ReadSpec:
        """How to read fields of this data type in a system.

        Args:
            name: of the data type.
            carried: the canonical names of the fields.
        """
        spec = binding.spec(name, carried, zone=zone, key_type=_to_look_up(self.whole_key_type, binding.key_written))
        spec = replace(spec, key_region=self.key_region)
        if spec.key_parts:
            types = (_to_look_up(each, binding.key_written) for each in self.key_types)
            spec = replace(spec, part_types=tuple(types))
        crosswalk = binding.crosswalk
        if crosswalk is None:
            return spec
        place = ReadSpec(
            data_type=f"keys of {name}",
            collection=crosswalk.collection,
            key=crosswalk.own_key,
            key_type=crosswalk.own_key_type,
            changed_at=None,
            fields=crosswalk.key_fields,
        )
        pairs = Pairs(
            system=crosswalk.system,
            called=f"{crosswalk.collection} in {crosswalk.system}",
            by_key=replace(
                place,
                key=crosswalk.key_fields[0],
                key_parts=() if isinstance(crosswalk.key, str) else crosswalk.key,
                part_types=() if isinstance(crosswalk.key, str) else self.key_types,
                key_type=self.whole_key_type,
                key_region=self.key_region,
                fields=(crosswalk.own_key,),
            ),
            by_own_key=place,
            parse_key=self._parser(crosswalk.system, None),
            parse_own_key=key_parser(crosswalk.own_key_type, system),
        )
        return replace(spec, key_type=crosswalk.own_key_type, pairs=pairs)

    def key_values(self, key: Key) -> tuple[Key, ...]:
        """The values of the parts of a canonical key."""
        parts = parted(key, self.key_count)
        return tuple(
            key_parser(each, self.owner, self.key_normalize, region=self.key_region)(part)
            for each, part in zip(self.key_types, parts, strict=True)
        )


def _to_look_up(key_type: str, written: str | None) -> str:
    """The type of the keys of a system, or a part of them: if it writes all of them in one form, they are text."""
    return "string" if written is not None and WRITTEN.get(key_type) == written else key_type


class Objective(PluginSettings):
    """The SLA of a flow: the shares and ages that must be kept.

    Attributes:
        within_window: the least share of changes met within the window, over the period.
        within: by time, the least share of changes that arrive within it.
        agreement: the least share of records that agree, by the sample.
        coverage: the least share of due records with a verdict.
        verified_within_s: how long ago the time may be up to which every change has a verdict.
        period_s: the period of the shares.
        strict: a single change that misses its window is a breach, also when it arrived later.
        dead_letters: the most dead letters that may wait.
        oldest_letter_s: the greatest age a dead letter may reach.
        backlog_age_s: the greatest age a waiting message may reach.
        backlog_floor: up to this many waiting messages are never a breach; above it, significant growth is one.
        backlog_ceiling: more waiting messages than this are a breach whatever their age.
        drop_notice_s: how long before a queue drops an unread dead letter this becomes a breach.
    """

    within_window: float = Field(default=0.99, ge=0, le=1)
    within: dict[Duration, Annotated[float, Field(ge=0, le=1)]] = {}
    agreement: float | None = Field(default=None, ge=0, le=1)
    coverage: float | None = Field(default=None, ge=0, le=1)
    verified_within_s: Duration | None = Field(default=None, alias="verified_within", gt=0)
    period_s: Duration = Field(default=28 * 86_400, alias="period", ge=86_400, le=92 * 86_400)
    strict: bool = False
    dead_letters: int = Field(default=0, ge=0)
    oldest_letter_s: Duration | None = Field(default=None, alias="oldest_letter")
    backlog_age_s: Duration | None = Field(default=None, alias="backlog_age")
    backlog_floor: int = Field(default=0, ge=0)
    backlog_ceiling: int | None = Field(default=None, ge=0)
    drop_notice_s: Duration = Field(default=86_400, alias="drop_notice")

    @field_validator("within")
    @classmethod
    def _rises(cls, within: dict[float, float]) -> dict[float, float]:
        shares = [within[span_s] for span_s in sorted(within)]
        if shares != sorted(shares) or 0 in within:
            raise ValueError("write a time above 0 for each share, and for a longer time no smaller share")
        return dict(sorted(within.items()))

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
        divergences: the number of open divergences of one cause that opens an incident.
        clear_after_s: how long its count must stay at 0 before it closes; by default two intervals, at least a
            minute.
        clean_audits: the same in audits, the form of earlier versions.
        failures: consecutive audits that fail to read a system before that is an incident.
    """

    divergences: int = Field(default=1, ge=1)
    clear_after_s: Duration | None = Field(default=None, alias="clear_after", ge=0)
    clean_audits: int | None = Field(default=None, ge=1)
    failures: int = Field(default=3, ge=1)


class ValuePolicy(PluginSettings):
    """Records worth more are read more often.

    Attributes:
        field: a number of the owner's copy.
        above: the value above which it applies.
        share: the probability that one audit reads such a record.
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
        memory_s: how far back these two look.
    """

    panel: int = Field(default=50, ge=0, le=10_000)
    recent: float = Field(default=0.01, ge=0, le=1)
    past_error: float = Field(default=0.05, ge=0, le=1)
    memory_s: Duration = Field(default=30 * 86_400, alias="memory", gt=0)
    value: ValuePolicy | None = None


class FlowSettings(PluginSettings):
    """One flow as written in the map; settings that the auditor does not act on are shown to people.

    Attributes:
        every_s: how often to probe; by default a third of the window.
        sample: records per side and audit that are read without a known change.
        sampling: which of them are read more often.
        merge_function: `module:function` that merges two copies, if that is the conflict policy.
        idempotency_key: what makes a repeat harmless; if it is a field, its uniqueness is checked.
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


class Drill(PluginSettings):
    """The daily drill: a made-up divergence that goes the whole way to a receiver.

    Attributes:
        to: the sender under `alerts:` that gets its message.
        at: the time of day, UTC.
        within_s: by when its message must have been accepted.
    """

    to: str
    at: str = "06:00"
    within_s: Duration = Field(default=300, alias="within", ge=30, le=86_400)

    @field_validator("at")
    @classmethod
    def _is_time_of_day(cls, at: str) -> str:
        if not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", at):
            raise ValueError("not a time of day; write hours and minutes in UTC, for example 06:00 or 18:30")
        return at

    @field_validator("to")
    @classmethod
    def _is_known(cls, to: str) -> str:
        if to not in SENDERS:
            raise ValueError(f"unknown sender {to[:40]!r}{did_you_mean(to[:40], SENDERS)}")
        return to


def _listed(given: object) -> object:
    return [given] if isinstance(given, str) else given


OneOrMore = Annotated[tuple[str, ...], BeforeValidator(_listed, json_schema_input_type=str | list[str])]
"""A text or a list of texts."""

_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


class Destination(PluginSettings):
    """Who gets messages about incidents.

    Attributes:
        to: senders.
        channel: where senders post that post in channels; by default the flow's `slack_channel` or their own.
        escalate_after_s: how long nobody may acknowledge an incident before it is escalated.
        escalate_to: further senders, which get it then.
    """

    to: OneOrMore
    channel: str = ""
    escalate_after_s: Duration | None = Field(default=None, alias="escalate_after", gt=0)
    escalate_to: OneOrMore = ()

    @field_validator("to")
    @classmethod
    def _names_somebody(cls, to: tuple[str, ...]) -> tuple[str, ...]:
        if not to:
            raise ValueError("a route that names no sender reports to nobody; name at least one")
        return to

    @model_validator(mode="after")
    def _escalates_whole(self) -> Self:
        if (self.escalate_after_s is None) == bool(self.escalate_to):
            raise ValueError("escalate_after and escalate_to belong together; write both or none")
        return self


class Matching(PluginSettings):
    """Which incidents, and at which hours; each matcher takes a value or a list, with `*` for any text.

    Attributes:
        team, severity, flow, data_type: of the incident.
        system: the incident's, or one of the two that its flow connects.
        hours: such as 08:00-18:00; 22:00-06:00 ends on the next day.
        weekdays: on which these hours begin.
        zone: of the hours and weekdays.
    """

    team: OneOrMore = ()
    severity: OneOrMore = ()
    flow: OneOrMore = ()
    data_type: OneOrMore = ()
    system: OneOrMore = ()
    hours: str | None = None
    weekdays: OneOrMore = ()
    zone: str = "UTC"

    @field_validator("severity", "weekdays")
    @classmethod
    def _are_words(cls, given: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        words = SEVERITIES if info.field_name == "severity" else WEEKDAYS
        for each in given:
            if each not in words:
                raise ValueError(f"unknown word {each!r}" + did_you_mean(each, words))
        return given

    @field_validator("hours")
    @classmethod
    def _are_hours(cls, hours: str | None) -> str | None:
        found = _HOURS.fullmatch(hours) if hours is not None else None
        if hours is not None and (found is None or found[1] + found[2] == found[3] + found[4]):
            raise ValueError(f"{hours!r} are no hours; write for example 08:00-18:00")
        return hours

    @field_validator("zone")
    @classmethod
    def _is_zone(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"unknown time zone {zone!r}; write for example Europe/Berlin") from None
        return zone

    @property
    def matchers(self) -> dict[str, tuple[str, ...]]:
        """The accepted values by subject (`checks.routes.SUBJECTS`), none for any."""
        return {
            "team": self.team,
            "severity": self.severity,
            "flow": self.flow,
            "data_type": self.data_type,
            "system": self.system,
        }

    @property
    def times(self) -> Hours | None:
        """The hours and weekdays in their zone; None for any time."""
        if self.hours is None and not self.weekdays:
            return None
        begin, _, end = (self.hours or "00:00-00:00").partition("-")
        return Hours(
            begin=time.fromisoformat(begin),
            end=time.fromisoformat(end),
            zone=ZoneInfo(self.zone),
            weekdays=frozenset(WEEKDAYS.index(each) for each in self.weekdays or WEEKDAYS),
        )


class RouteSettings(Matching, Destination):
    """Who gets messages about the incidents that match.

    Attributes:
        name: for `auditor alert test`.
        continue_: later routes apply, too.
    """

    name: str = ""
    continue_: bool = Field(default=False, alias="continue")

    def route(self, position: int, senders: Collection[str]) -> Route:
        """The route, with the senders that are set.

        Args:
            position: among the routes; names one without a name.
        """
        return Route(
            name=self.name or str(position + 1),
            matchers={subject: values for subject, values in self.matchers.items() if values},
            hours=self.times,
            goes_on=self.continue_,
            **_destination(self, senders),
        )


class MaintenanceSettings(Matching):
    """A maintenance window: hours of the week in which no messages are sent about the incidents that match.

    Attributes:
        name: of the window, for the list of silences.
        reason: what happens then.
    """

    name: str = Field(min_length=1, max_length=100)
    reason: str = Field(default="maintenance", max_length=2_000)

    @model_validator(mode="after")
    def _is_limited(self) -> Self:
        if self.times is None:
            raise ValueError("a maintenance window needs hours or weekdays; without them nobody would ever be told")
        if not any(self.matchers.values()):
            raise ValueError("say which incidents: name a flow, system, team, severity or data_type, or system: '*'")
        return self

    @property
    def window(self) -> Window:
        """The window."""
        assert self.times is not None
        matchers = {subject: values for subject, values in self.matchers.items() if values}
        return Window(name=self.name, hours=self.times, matchers=matchers, reason=self.reason)


def _destination(settings: Destination, senders: Collection[str]) -> dict[str, Any]:
    return {
        "to": tuple(each for each in settings.to if each in senders),
        "channel": settings.channel,
        "escalate_after_s": settings.escalate_after_s,
        "escalate_to": tuple(each for each in settings.escalate_to if each in senders),
    }


class Alerts(PluginSettings):
    """Who is notified of incidents, the dashboard's address for links in messages, and who watches the auditor.

    An empty address or key counts as unset, so a variable that provides it may be left empty.

    Attributes:
        hold_s: how long the first message of an incident waits for what belongs to it; strict flows do not wait.
        routes: who gets messages about which incidents; the first that matches applies.
        default: who gets those that no route matches; by default all senders.
        maintenance: hours of the week in which no messages are sent about some incidents.
    """

    dashboard: AnyHttpUrl | None = None
    hold_s: Duration = Field(default=30, alias="hold", ge=0, le=3600)
    heartbeat: HeartbeatSettings | None = None
    drill: Drill | None = None
    routes: tuple[RouteSettings, ...] = ()
    default: Destination | None = None
    maintenance: tuple[MaintenanceSettings, ...] = ()

    @field_validator("*")
    @classmethod
    def _somewhere(cls, value: Any) -> Any:
        if isinstance(value, HeartbeatSettings) and not value.url.get_secret_value():
            return None
        return None if isinstance(value, SenderSettings) and not value.is_set else value

    @property
    def senders(self) -> dict[str, SenderSettings]:
        """The senders that are set, by name."""
        named = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: each for name, each in named.items() if isinstance(each, SenderSettings)}

    @property
    def held_drill(self) -> Drill | None:
        """The drill, if its sender is set."""
        return self.drill if self.drill is not None and self.drill.to in self.senders else None

    @property
    def windows(self) -> list[Window]:
        """The maintenance windows."""
        return [each.window for each in self.maintenance]

    @property
    def named_senders(self) -> list[str]:
        """The senders that the map names, also those whose address is empty."""
        return [name for name in SENDERS if name in self.model_fields_set]

    @property
    def routing(self) -> Routing:
        """Who gets which messages, of the senders that are set."""
        return self.routing_to(list(self.senders))

    def routing_to(self, senders: Sequence[str]) -> Routing:
        """Who gets which messages, of these senders.

        A route or default without any of them is left out, so that its incidents are reported to the others.
        """
        routing = Routing.to_all(senders)
        if self.default is not None and not {*senders}.isdisjoint(self.default.to):
            routing = Routing(default=Route(name="default", **_destination(self.default, senders)))
        routes = [each.route(position, senders) for position, each in enumerate(self.routes)]
        return replace(routing, routes=tuple(each for each in routes if each.to))


_SENDERS: dict[str, Any] = {name: (sender_settings(name) | None, None) for name in SENDERS}

AlertSettings: type[Alerts] = create_model("AlertSettings", __base__=Alerts, __doc__=Alerts.__doc__, **_SENDERS)
"""`Alerts` with a field for every sender of the registry."""
