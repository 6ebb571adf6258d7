"""The records of an account: types of objects with their properties, records, and what stands between them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.standins.clock import Clock, milliseconds


@dataclass(frozen=True, kw_only=True)
class Property:
    """One property of a type of objects; values are always text."""

    name: str
    type: str = "string"
    unique: bool = False
    options: tuple[str, ...] = ()
    field_type: str = ""


@dataclass
class Record:
    """One record.

    Attributes:
        values: None where there never was a value, an empty text where it was cleared.
        history: what the record looked like from when on; for an index that lags.
    """

    id: str
    created_at: datetime
    updated_at: datetime
    values: dict[str, str | None]
    archived_at: datetime | None = None
    history: list[tuple[datetime, dict[str, str | None] | None]] = field(default_factory=list)


@dataclass
class ObjectType:
    """One type of objects.

    Attributes:
        names: what it is called in paths.
        shown: properties of an answer that names none.
        stamp: the property that says when a record was changed last.
        holders: by unique property and value in small letters, the ids of the records that ever held it.
    """

    names: tuple[str, ...]
    singular: str
    shown: tuple[str, ...]
    stamp: str
    scope: str
    properties: dict[str, Property]
    records: dict[str, Record] = field(default_factory=dict)
    holders: dict[tuple[str, str], list[str]] = field(default_factory=dict)


def _type(*names: str, singular: str, shown: str, properties: Iterable[Property], scope: str = "") -> ObjectType:
    stamp = "lastmodifieddate" if singular == "contact" else "hs_lastmodifieddate"
    own = [
        Property(name="hs_object_id", type="number", unique=True),
        Property(name="createdate", type="datetime"),
        Property(name=stamp, type="datetime"),
        *properties,
    ]
    return ObjectType(
        names=names,
        singular=singular,
        shown=tuple(shown.split()),
        stamp=stamp,
        scope=scope or f"crm.objects.{names[0]}.read",
        properties={each.name: each for each in own},
    )


def standard_types() -> list[ObjectType]:
    """Contacts, companies and deals with some of their properties."""
    texts = {
        "contacts": "firstname lastname phone city company lifecyclestage hs_lead_status",
        "companies": "name domain phone city country industry",
        "deals": "dealname pipeline dealstage deal_currency_code",
    }
    plain = {name: [Property(name=each) for each in told.split()] for name, told in texts.items()}
    contacts = [*plain["contacts"], Property(name="email", unique=True)]
    companies = [*plain["companies"], Property(name="numberofemployees", type="number")]
    deals = [*plain["deals"], Property(name="amount", type="number"), Property(name="closedate", type="datetime")]
    return [
        _type(
            *("contacts", "contact", "0-1"),
            singular="contact",
            shown="firstname lastname email",
            properties=contacts,
        ),
        _type(*("companies", "company", "0-2"), singular="company", shown="name domain", properties=companies),
        _type(
            *("deals", "deal", "0-3"),
            singular="deal",
            shown="dealname amount closedate pipeline dealstage",
            properties=deals,
        ),
    ]


def custom_type(name: str, number: int, account: int, properties: Iterable[Property]) -> ObjectType:
    """A type that the account made; it is known by its number, its name and its full name."""
    return _type(
        *(f"2-{number}", f"p_{name}", f"p{account}_{name}"),
        singular=name,
        shown="",
        properties=properties,
        scope="crm.objects.custom.read",
    )


class Store:
    """Everything that an account holds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.types = standard_types()
        self._next_id = 501
        self.associations: dict[tuple[str, str, str], dict[str, list[dict[str, Any]]]] = {}

    def type_named(self, name: str) -> ObjectType | None:
        """The type that a path calls by this name."""
        return next((each for each in self.types if name in each.names), None)

    def create(self, of: ObjectType, values: Mapping[str, str | None]) -> Record:
        """Keep a new record."""
        now = self._clock.now()
        record = Record(id=str(self._next_id), created_at=now, updated_at=now, values={})
        self._next_id += 37
        of.records[record.id] = record
        record.values |= {"hs_object_id": record.id, "createdate": milliseconds(now)}
        self._write(of, record, values)
        return record

    def update(self, of: ObjectType, record_id: str, values: Mapping[str, str | None]) -> None:
        """Change properties; None or an empty text clears one."""
        cleared = {name: "" if value is None else value for name, value in values.items()}
        self._write(of, of.records[record_id], cleared)

    def archive(self, of: ObjectType, record_id: str) -> None:
        """Move a record to the recycle bin."""
        record = of.records[record_id]
        record.archived_at = self._clock.now()
        record.history.append((record.archived_at, None))

    def _write(self, of: ObjectType, record: Record, values: Mapping[str, str | None]) -> None:
        unknown = set(values) - set(of.properties)
        assert not unknown, f"{of.singular} has no {sorted(unknown)}"
        record.updated_at = self._clock.now()
        record.values |= {**values, of.stamp: milliseconds(record.updated_at)}
        for name, value in values.items():
            if value and of.properties[name].unique:
                of.holders.setdefault((name, value.casefold()), []).append(record.id)
        record.history.append((record.updated_at, dict(record.values)))

    def as_of(self, record: Record, instant: datetime) -> dict[str, str | None] | None:
        """What a record held at an instant; None where it was not there."""
        seen = [values for at, values in record.history if at <= instant]
        return seen[-1] if seen else None

    def associate(self, of: ObjectType, record_id: str, to: ObjectType, to_id: str, **kind: Any) -> None:
        """Let a record stand in an association with another, in this direction."""
        found = self.associations.setdefault((of.singular, record_id, to.singular), {})
        found.setdefault(to_id, []).append({"category": "HUBSPOT_DEFINED", "typeId": 1, **kind})

    def associated(self, of: ObjectType, record_id: str, to: ObjectType) -> dict[str, list[dict[str, Any]]]:
        """The ids that a record is associated with, each with its kinds."""
        return self.associations.get((of.singular, record_id, to.singular), {})
