"""The map's settings of a system, of a data type in it and of a queue that every kind has.

Each kind of system or queue has its own models, derived from these; loading them loads no driver.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from probes.contract import ReadSpec
from probes.durations import Duration
from probes.expressions import Expression, expression
from probes.record_links import Link


class PluginSettings(BaseModel):
    """Base of every plug-in's settings model: unknown settings are refused, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


Role = Literal["main", "retry", "dead"]
"""The messages in a queue: waiting for their first delivery, for a retry, or dead-lettered."""

EvidencePolicy = Literal["private", "masked", "clear"]
"""What may be stored of a value: its existence, its ends, or the value itself."""


class QueueSettings(PluginSettings):
    """Settings of every kind of queue.

    Attributes:
        role: what the messages in it are.
        evidence: what may be stored of a dead letter's headers and payload.
    """

    role: Role = "dead"
    evidence: EvidencePolicy = "private"


class OperationLimits(PluginSettings):
    """How often one operation of a system may be used, besides the limits of all calls together.

    Attributes:
        calls_per_s, calls_per_minute: calls sent for it, None for any number.
    """

    calls_per_s: int | None = Field(default=None, ge=1)
    calls_per_minute: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _within_reach(self) -> Self:
        check_reach(self.call_limits)
        return self

    @property
    def call_limits(self) -> dict[str, tuple[int, float]]:
        """The limits that are set: how many calls, within how many seconds; the shortest time first."""
        limits = {"calls_per_s": (self.calls_per_s, 1.0), "calls_per_minute": (self.calls_per_minute, 60.0)}
        return {name: (limit, seconds) for name, (limit, seconds) in limits.items() if limit is not None}


def check_reach(limits: Mapping[str, tuple[int, float]]) -> None:
    """Check that no limit is out of reach because of one for a longer time. Raises ValueError."""
    for (name, (limit, _)), (longer, (limit_then, _)) in pairwise(limits.items()):
        if limit > limit_then:
            raise ValueError(
                f"{name}: {limit} can never be reached beside {longer}: {limit_then}; "
                f"raise {longer}, or leave {name} out"
            )


class Budget(PluginSettings):
    """How much of a system the auditor may use; all that read it share this.

    A call is a request or a statement, answered or not. Limits of calls are exact: at no instant were more of them
    sent within the second, the minute or the 24 hours before it.

    Attributes:
        records_per_s: records read per second, on average over an audit interval.
        calls_per_s, calls_per_minute, calls_per_day: calls sent, None for any number.
        connections: concurrent requests.
        timeout_s: the deadline of one call of the probe, with all that it sends.
        operations: by name, limits of operations that the system limits apart from others.
    """

    records_per_s: float = Field(default=5000, gt=0)
    calls_per_s: int | None = Field(default=None, ge=1)
    calls_per_minute: int | None = Field(default=None, ge=1)
    calls_per_day: int | None = Field(default=None, ge=1)
    connections: int = Field(default=2, ge=1, le=64)
    timeout_s: Duration = Field(default=5, alias="timeout", gt=0)
    operations: dict[str, OperationLimits] = {}

    @model_validator(mode="after")
    def _within_reach(self) -> Self:
        check_reach(self.call_limits)
        return self

    @property
    def call_limits(self) -> dict[str, tuple[int, float]]:
        """The limits of calls that are set: how many, within how many seconds; the shortest time first."""
        limits = {
            "calls_per_s": (self.calls_per_s, 1.0),
            "calls_per_minute": (self.calls_per_minute, 60.0),
            "calls_per_day": (self.calls_per_day, 86_400.0),
        }
        return {name: (limit, seconds) for name, (limit, seconds) in limits.items() if limit is not None}


class SystemSettings(PluginSettings):
    """Settings of every kind of system.

    Attributes:
        kind: as registered (`probes.registry`).
        zone: the time zone of instants that carry none, as an IANA name; without it they are refused.
        budget: how much of the system may be used.
        delay_floor_s: how long the system may legitimately return stale data (caches, search indexes).
        clock_slack_s: the longest time between a record's changed-at stamp and its commit.
        link: template of a record's page in the system itself (`probes.record_links`).
        operations: what systems of this kind limit apart from other calls, with the limits that they document.
    """

    operations: ClassVar[Mapping[str, OperationLimits]] = {}

    kind: str
    zone: str | None = None
    budget: Budget = Budget()
    delay_floor_s: Duration = Field(default=0, alias="delay_floor")
    clock_slack_s: Duration = Field(default=0.1, alias="clock_slack")
    link: Link | None = None
    description: str = ""

    @model_validator(mode="after")
    def _has_operations(self) -> Self:
        for name in self.budget.operations:
            if name not in self.operations:
                allowed = f"write one of {', '.join(self.operations)}" if self.operations else "leave operations out"
                raise ValueError(
                    f"budget.operations: {name!r} is not limited apart in a system of this kind; {allowed}"
                )
        return self

    @property
    def operation_limits(self) -> dict[str, OperationLimits]:
        """The limits of its operations: those of the map, otherwise those that the vendor documents."""
        return {**self.operations, **self.budget.operations}

    @property
    def stale_reads_s(self) -> float:
        """How long a read by key may return stale data, if that differs from what finds changes."""
        return self.delay_floor_s


Flagged = bool | int | str
"""A value of a flag that means deleted."""

NOT_NULL = "not null"
"""The value of `is` for a flag that any value sets, such as the instant of the deletion."""


_LIKE_NOT_NULL = frozenset({"notnull", "isnotnull", "nonnull", "isnonnull"})


class DeleteFlag(PluginSettings):
    """How a system marks a record as deleted that it still keeps.

    Attributes:
        field: the field that holds the flag.
        is_: the values that mean deleted: a boolean, texts or numbers, or `not null`.
        optional: a record without the field is not deleted; otherwise that is unknown.
    """

    field: str = Field(min_length=1)
    is_: tuple[JsonValue, ...] = Field(default=(True,), alias="is")
    optional: bool = False

    @field_validator("is_", mode="before", json_schema_input_type=Flagged | list[Flagged])
    @classmethod
    def _is_list(cls, told: object) -> object:
        return told if isinstance(told, list | tuple) else [told]

    @field_validator("is_")
    @classmethod
    def _means_something(cls, values: tuple[JsonValue, ...]) -> tuple[JsonValue, ...]:
        types = {type(each) for each in values}
        if not values or not types <= {bool, int, str} or "" in values:
            raise ValueError(f"write true, {NOT_NULL}, or the values that mean deleted: [deleted, archived]")
        for each in values:
            if isinstance(each, str) and each != NOT_NULL and re.sub(r"[\W_]", "", each).lower() in _LIKE_NOT_NULL:
                raise ValueError(
                    f"{each!r} would be a text of the field; write {NOT_NULL} if any value means deleted"
                )
        if bool in types and len(values) > 1:
            raise ValueError("write true or false alone: a boolean has one value that means deleted")
        if NOT_NULL in values and len(values) > 1:
            raise ValueError(f"write {NOT_NULL} alone: every value means deleted then")
        return values

    @property
    def written(self) -> JsonValue:
        """The value that marks a record as deleted; None if the map does not name exactly one."""
        return self.is_[0] if len(self.is_) == 1 and self.is_[0] != NOT_NULL else None


class Computed(PluginSettings):
    """A field that a system does not hold itself.

    Attributes:
        value: how it is computed, in CEL (`probes.expressions`), from the system's own fields.
        from_: by name in `value`, the field of the system, where that is no name itself, such as a JSONPath.
    """

    value: str
    from_: dict[str, str] = Field(default={}, alias="from")

    @model_validator(mode="after")
    def _compiles(self) -> Self:
        self.expression  # noqa: B018 -- raises what is wrong with it
        return self

    @property
    def expression(self) -> Expression:
        """The compiled expression."""
        return expression(self.value, tuple(self.from_.items()))


class Crosswalk(PluginSettings):
    """Where the keys of a data type are paired with those that its records have in one system.

    Attributes:
        system: the system that holds the pairs; each is one record of a collection.
        collection: that collection: a table of pairs, or the records of a system that store the other system's key.
        key: the field with the key of the data type, or several that hold it together.
        own_key: the field with the key in the system that the crosswalk is for.
        own_key_type: how that key is compared.
    """

    system: str
    collection: str
    key: str | tuple[str, ...]
    own_key: str
    own_key_type: Literal["string", "integer", "uuid", "salesforce_id"] = "string"

    @property
    def key_fields(self) -> tuple[str, ...]:
        """The fields with the key of the data type."""
        return (self.key,) if isinstance(self.key, str) else self.key

    @model_validator(mode="after")
    def _are_two(self) -> Self:
        if self.own_key in self.key_fields:
            raise ValueError(f"a pair has two keys, and both are read from {self.own_key}; name another field")
        return self


class Binding(PluginSettings):
    """How a data type is stored in one system; kinds of systems add their own settings.

    Attributes:
        collection: table, path or other container.
        key: the field that holds the key, or several that hold it together.
        changed_at: the field with the instant of the last change.
        changed_at_unit: s, ms or us if that field is a number since 1970.
        version: without such a field, one with a number that grows with every change.
        fields: canonical field name to its name here, where the two differ.
        absent: fields that this system does not carry.
        deleted: how it marks records as deleted that it still keeps; a text is the name of a boolean field.
        computed: by canonical name, fields that it does not hold itself; a text is the expression in CEL.
        crosswalk: where its own keys are paired with those of the data type, if they are others.
        key_written: how it writes every key, where keys may be written in several ways: `lower` or `e164`; `any` if
            its API finds a key however it is written.
        link: template of a record's page in the system itself, instead of the system's (`probes.record_links`).
    """

    composite_keys: ClassVar[bool] = False
    """Whether a key may have several fields."""

    collection: str
    key: str | tuple[str, ...]
    changed_at: str | None = None
    changed_at_unit: Literal["s", "ms", "us"] | None = None
    version: str | None = None
    fields: dict[str, str] = {}
    absent: tuple[str, ...] = ()
    deleted: DeleteFlag | None = None
    computed: dict[str, Computed] = {}
    crosswalk: Crosswalk | None = None
    key_written: Literal["lower", "e164", "any"] | None = None
    link: Link | None = None

    @field_validator("key")
    @classmethod
    def _has_parts(cls, key: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if isinstance(key, str):
            return key
        if not cls.composite_keys:
            raise ValueError(
                "a key of several fields cannot be read from a system of this kind; name one field that holds all of "
                "it, with a slash between the parts"
            )
        if len(key) < 2 or len(set(key)) < len(key) or "" in key:
            raise ValueError("write one field, or several different ones: [tenant_id, id]")
        return key

    @property
    def key_fields(self) -> tuple[str, ...]:
        """The fields that hold the key."""
        return (self.key,) if isinstance(self.key, str) else self.key

    @property
    def lists(self) -> bool:
        """Whether the system can list the collection's records."""
        return True

    @property
    def tells_changes(self) -> bool:
        """Whether it can list changes since an instant or a version."""
        return True

    @property
    def marks_records(self) -> bool:
        """Whether a record carries the mark of its last change itself."""
        return True

    def notes(self) -> Iterator[tuple[str, str]]:
        """What the author of a valid map has to know of these settings, each with the setting."""
        yield from ()

    @field_validator("deleted", mode="before", json_schema_input_type=DeleteFlag | str | None)
    @classmethod
    def _is_flag(cls, told: object) -> object:
        if isinstance(told, str):
            field, _, value = told.partition("=")
            if value or " " in told.strip():
                hint = f"{{field: {field.split()[0]}, is: {value.strip() or NOT_NULL}}}"
                raise ValueError(f"write the name of a boolean field alone, or {hint}")
            return {"field": told}
        if told is not None and not isinstance(told, dict | DeleteFlag):
            raise ValueError(
                "write the name of the field that marks deleted records, or {field: status, is: [deleted, archived]}"
            )
        return told

    @field_validator("computed", mode="before", json_schema_input_type=dict[str, Computed | str])
    @classmethod
    def _is_computed(cls, fields: object) -> object:
        if not isinstance(fields, Mapping):
            return fields
        return {name: {"value": each} if isinstance(each, str) else each for name, each in fields.items()}

    @model_validator(mode="after")
    def _one_mark(self) -> Self:
        if self.changed_at is not None and self.version is not None:
            raise ValueError("name changed_at or version, not both: changed_at also tells when, and is enough")
        return self

    @model_validator(mode="after")
    def _one_own_key(self) -> Self:
        if self.crosswalk is not None and not isinstance(self.key, str):
            raise ValueError("a crosswalk pairs keys of one field; name one field as key, or leave crosswalk out")
        return self

    def own_link(self, system: SystemSettings) -> str | None:
        """The template of a record's page that the vendor documents, if there is one for these settings."""
        del system
        return None

    def sources(self, name: str) -> tuple[str, ...]:
        """The fields of the system that are read for a canonical field."""
        computed = self.computed.get(name)
        return (self.fields.get(name, name),) if computed is None else computed.expression.fields

    def options(self) -> dict[str, Any]:
        """What a probe of this kind needs beyond the common settings."""
        return {}

    def spec(self, data_type: str, names: Sequence[str], *, zone: str | None, key_type: str = "string") -> ReadSpec:
        """How to read these canonical fields of a data type here."""
        flag = () if self.deleted is None else (self.deleted.field,)
        return ReadSpec(
            data_type=data_type,
            collection=self.collection,
            key=self.key_fields[0],
            key_parts=() if isinstance(self.key, str) else self.key,
            changed_at=self.changed_at,
            version=self.version,
            key_type=key_type,
            changed_at_unit=self.changed_at_unit,
            zone=zone,
            fields=(*(source for name in names for source in self.sources(name)), *flag),
            deleted=self.deleted.field if self.deleted is not None else None,
            lists=self.lists,
            tells_changes=self.tells_changes,
            marks_records=self.marks_records,
            options=self.options(),
        )
