"""The objects of the org and their fields, as `describe` tells of them.

Source: Object Reference for the Salesforce Platform (v68.0), "Field Types", "System Fields", "Account", "Contact";
REST API Developer Guide, "sObject Describe". The org is small: Account, Contact and a custom object
Subscription__c.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

TEXT = frozenset({"string", "textarea", "email", "phone", "url", "picklist"})
NUMBERS = frozenset({"int", "double", "currency", "percent"})
SOAP = {"id": "tns:ID", "reference": "tns:ID", "boolean": "xsd:boolean", "int": "xsd:int", "date": "xsd:date"}


@dataclass(frozen=True, kw_only=True)
class Field:
    """A field of an object."""

    name: str
    type: str = "string"
    length: int = 0
    scale: int = 0
    nillable: bool = True
    external_id: bool = False
    unique: bool = False
    case_sensitive: bool = False
    values: tuple[str, ...] = ()
    refers_to: str | None = None
    relationship: str | None = None
    part_of: str | None = None  # the compound field it belongs to in change events
    filterable: bool = True
    updateable: bool = True

    @property
    def custom(self) -> bool:
        """Whether the org's people made it."""
        return self.name.endswith("__c")

    def describe(self) -> dict[str, Any]:
        """The field as `describe` shows it."""
        soap = SOAP.get(self.type, "xsd:double" if self.type in NUMBERS else "xsd:string")
        return {
            "name": self.name,
            "label": self.name.removesuffix("__c").replace("_", " "),
            "type": self.type,
            "soapType": "xsd:dateTime" if self.type == "datetime" else soap,
            "length": self.length,
            "precision": 18 if self.type in NUMBERS - {"int"} else 0,
            "scale": self.scale,
            "digits": 8 if self.type == "int" else 0,
            "nillable": self.nillable,
            "custom": self.custom,
            "externalId": self.external_id,
            "idLookup": self.external_id or self.type == "id",
            "unique": self.unique,
            "caseSensitive": self.case_sensitive,
            "filterable": self.filterable,
            "sortable": self.type not in {"multipicklist", "textarea"},
            "createable": self.updateable,
            "updateable": self.updateable,
            "calculated": False,
            "picklistValues": [
                {"value": v, "label": v, "active": True, "defaultValue": False, "validFor": None} for v in self.values
            ],
            "restrictedPicklist": False,
            "referenceTo": [self.refers_to] if self.refers_to else [],
            "relationshipName": self.relationship,
            "compoundFieldName": self.part_of,
        }


def _system(name: str, kind: str) -> Field:
    refers_to, relationship = ("User", name[:-2]) if kind == "reference" else (None, None)
    return Field(
        name=name,
        type=kind,
        length=18 if kind in {"id", "reference"} else 0,
        nillable=False,
        updateable=False,
        refers_to=refers_to,
        relationship=relationship,
    )


BEFORE = (_system("Id", "id"), _system("IsDeleted", "boolean"))
AFTER = (
    _system("CreatedDate", "datetime"),
    _system("CreatedById", "reference"),
    _system("LastModifiedDate", "datetime"),
    _system("LastModifiedById", "reference"),
    _system("SystemModstamp", "datetime"),
)
CURRENCY = Field(
    name="CurrencyIsoCode", type="picklist", length=3, nillable=False, values=("EUR", "USD", "GBP", "JPY")
)


@dataclass(frozen=True, kw_only=True)
class SObject:
    """An object: its name, the prefix of its records' ids, its fields in order."""

    name: str
    prefix: str
    fields: tuple[Field, ...]
    _by_name: dict[str, Field] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._by_name.update({each.name.lower(): each for each in self.fields})

    def __iter__(self) -> Iterator[Field]:
        return iter(self.fields)

    def find(self, name: str) -> Field | None:
        """The field of that name, in whatever case."""
        return self._by_name.get(name.lower())

    def parent(self, relationship: str) -> Field | None:
        """The reference field behind a relationship's name."""
        name = relationship.lower()
        return next((each for each in self.fields if (each.relationship or "").lower() == name), None)

    def without(self, name: str) -> SObject:
        """The object after somebody deleted or hid the field."""
        return replace(self, fields=tuple(each for each in self.fields if each.name.lower() != name.lower()))

    def having(self, new: Field) -> SObject:
        """The object with a field added, or one of its fields changed."""
        kept = [new if each.name.lower() == new.name.lower() else each for each in self.fields]
        return replace(self, fields=tuple(kept if new in kept else [*kept, new]))

    def describe(self, version: str) -> dict[str, Any]:
        """What `describe` answers."""
        return {
            **self.summary(version),
            "fields": [each.describe() for each in self.fields],
            "childRelationships": [],
        }

    def summary(self, version: str) -> dict[str, Any]:
        """The object in the list of all objects."""
        base = f"/services/data/v{version}/sobjects/{self.name}"
        return {
            "name": self.name,
            "label": self.name.removesuffix("__c"),
            "keyPrefix": self.prefix,
            "custom": self.name.endswith("__c"),
            "queryable": True,
            "replicateable": True,
            "retrieveable": True,
            "urls": {"sobject": base, "describe": f"{base}/describe", "rowTemplate": f"{base}/{{ID}}"},
        }


def _object(name: str, prefix: str, *fields: Field, multi_currency: bool) -> SObject:
    owner = Field(name="OwnerId", type="reference", length=18, nillable=False, refers_to="User", relationship="Owner")
    currency = (CURRENCY,) if multi_currency else ()
    return SObject(name=name, prefix=prefix, fields=(*BEFORE, *fields, owner, *currency, *AFTER))


def objects(*, multi_currency: bool) -> dict[str, SObject]:
    """The org's objects by their names in small letters."""
    account = _object(
        "Account",
        "001",
        Field(name="Name", length=255, nillable=False),
        Field(name="AccountNumber", length=40),
        Field(name="Industry", type="picklist", length=255, values=("Banking", "Energy", "Media", "Retail")),
        Field(name="AnnualRevenue", type="currency"),
        Field(name="NumberOfEmployees", type="int"),
        Field(name="Phone", type="phone", length=40),
        Field(name="Website", type="url", length=255),
        Field(name="Description", type="textarea", length=32000, filterable=False),
        Field(name="Regions__c", type="multipicklist", length=4099, values=("North", "East", "South", "West")),
        Field(name="Customer_Number__c", length=40, external_id=True, unique=True),
        Field(name="Legacy_Code__c", length=40, external_id=True),
        Field(name="Token__c", length=40, external_id=True, unique=True, case_sensitive=True),
        Field(name="Balance__c", type="currency", scale=2),
        Field(name="Active__c", type="boolean", nillable=False),
        Field(name="Renewal__c", type="date"),
        Field(name="Last_Order__c", type="datetime"),
        multi_currency=multi_currency,
    )
    contact = _object(
        "Contact",
        "003",
        Field(name="AccountId", type="reference", length=18, refers_to="Account", relationship="Account"),
        Field(name="Name", length=121, updateable=False),
        Field(name="FirstName", length=40, part_of="Name"),
        Field(name="LastName", length=80, nillable=False, part_of="Name"),
        Field(name="Email", type="email", length=80),
        multi_currency=multi_currency,
    )
    subscription = _object(
        "Subscription__c",
        "a00",
        Field(name="Name", length=80, nillable=False),
        Field(name="Account__c", type="reference", length=18, refers_to="Account", relationship="Account__r"),
        Field(name="Status__c", type="picklist", length=255, values=("trial", "active", "past_due", "cancelled")),
        Field(name="Amount__c", type="currency", scale=2),
        Field(name="Seats__c", type="double"),
        Field(name="Billing_Id__c", length=60, external_id=True, unique=True),
        multi_currency=multi_currency,
    )
    return {each.name.lower(): each for each in (account, contact, subscription)}
