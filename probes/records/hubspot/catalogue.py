"""The types of objects of an account and their properties, as it describes them. Each is requested once.

Sources: developers.hubspot.com, "Object APIs" (names and type ids), "Properties", "Custom objects".
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from typing import Any

from probes.contract import CollectionSchema, FieldSchema, ProbeError, Reason
from probes.records.hubspot.session import GRANT, Session
from probes.wording import did_you_mean, listed

CRM_TYPES = ("contacts", "companies", "deals", "tickets", "products", "line_items", "quotes")
"""The types that `auditor discover` describes besides the account's own."""

STANDARD_TYPES = frozenset(CRM_TYPES) | {
    *("calls", "emails", "meetings", "notes", "tasks", "communications", "postal_mail"),
    *("leads", "carts", "orders", "invoices", "discounts", "fees", "taxes", "subscriptions", "commerce_payments"),
    *("goal_targets", "feedback_submissions", "appointments", "courses", "listings", "services"),
}

ID = "hs_object_id"
"""The property with a record's id."""

DESCRIBED = 40
"""The most types that `described` describes, with a call each."""

_TYPE_ID = re.compile(r"\d{1,9}-\d{1,18}")
_TYPES = {"number": "decimal", "date": "date", "datetime": "timestamp", "bool": "boolean", "json": "json"}

Properties = Mapping[str, Mapping[str, Any]]
"""The described properties of a type, by name."""


def stamp_of(collection: str) -> str:
    """The property with the instant of a record's last change."""
    return "lastmodifieddate" if collection in {"contacts", "0-1"} else "hs_lastmodifieddate"


def is_unique(collection: str, name: str, described: Mapping[str, Any]) -> bool:
    """Whether records can be read by this property: `email` can, although it is not described as unique."""
    return bool(described.get("hasUniqueValue")) or (collection in {"contacts", "0-1"} and name == "email")


class Catalogue:
    """What an account describes of itself."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._properties: dict[str, Properties] = {}
        self._custom: Mapping[str, str] | None = None
        self._knowing = threading.Lock()

    def path_of(self, collection: str) -> str:
        """A type as paths name it: HubSpot's own by name, the account's own by id.

        Raises:
            ProbeError: `query` with a did-you-mean if there is no such type.
        """
        if collection in STANDARD_TYPES or _TYPE_ID.fullmatch(collection):
            return collection
        custom = self._custom_types()
        if collection not in custom:
            names = [*CRM_TYPES, *(name for name, _ in self._named())]
            raise ProbeError(
                Reason.QUERY,
                f"no type of objects is named {collection!r}{did_you_mean(collection, names)}",
                hint="custom types need the scope crm.schemas.custom.read",
            )
        return custom[collection]

    def properties(self, path: str) -> Properties:
        """The properties of a type, by the name that paths use. Raises ProbeError."""
        with self._knowing:
            properties = self._properties.get(path)
        if properties is None:
            document = self._session.ask("GET", f"/crm/v3/properties/{path}")
            properties = {str(each["name"]): each for each in _results(document, "name")}
            with self._knowing:
                self._properties[path] = properties
        return properties

    def described(self) -> list[CollectionSchema]:
        """Describe the usual types and the account's own; what the token may not read is left out."""
        paths = {name: name for name in CRM_TYPES}
        refused: ProbeError | None = None
        try:
            paths |= dict(self._named())
        except ProbeError as failure:
            if failure.reason is not Reason.PERMISSION:
                raise
            refused = failure
        schemas: list[CollectionSchema] = []
        scopes: dict[str, str] = {}
        for name, path in list(paths.items())[:DESCRIBED]:
            try:
                schemas.append(_schema(name, path, self.properties(path)))
            except ProbeError as failure:
                if failure.reason not in {Reason.PERMISSION, Reason.QUERY}:
                    raise
                if failure.reason is Reason.PERMISSION:
                    scopes[name] = _scope(name, failure)
                if refused is None or failure.reason is Reason.PERMISSION:
                    refused = failure
        if not schemas and scopes:
            raise ProbeError(
                Reason.PERMISSION,
                f"the token may not read {listed([*scopes])}",
                hint=f"grant the app a scope for each type to audit: {', '.join(dict.fromkeys(scopes.values()))}",
            )
        if not schemas and refused is not None:
            raise refused
        return schemas

    def _named(self) -> list[tuple[str, str]]:
        """The account's own types: the name of each, and its id."""
        custom = self._custom_types()
        shortest: dict[str, str] = {}
        for name, path in custom.items():
            if path not in shortest or len(name) < len(shortest[path]):
                shortest[path] = name
        return [(name, path) for path, name in shortest.items()]

    def _custom_types(self) -> Mapping[str, str]:
        """The ids of the account's own types, by each of their names."""
        with self._knowing:
            custom = self._custom
        if custom is None:
            document = self._session.ask("GET", "/crm/v3/schemas")
            names: dict[str, str] = {}
            for each in _results(document, "objectTypeId"):
                path, name = str(each["objectTypeId"]), str(each.get("name", ""))
                if not _TYPE_ID.fullmatch(path):
                    raise ProbeError(Reason.DECODE, "the account describes a type without an id")
                for one in (name, f"p_{name}", str(each.get("fullyQualifiedName", ""))):
                    names.setdefault(one, path)
            custom = names
            with self._knowing:
                self._custom = custom
        return custom


def _results(document: Mapping[str, Any], needed: str) -> list[Mapping[str, Any]]:
    results = document.get("results")
    if not isinstance(results, list) or not all(isinstance(each, dict) and needed in each for each in results):
        raise ProbeError(Reason.DECODE, "the account's description is not in the documented form")
    return results


def _scope(name: str, refusal: ProbeError) -> str:
    """The scope that lets the token read the objects of a type."""
    named = refusal.hint.removeprefix(GRANT).split(", ") if refusal.hint.startswith(GRANT) else []
    return next(
        (each for each in named if re.fullmatch(r"crm\.objects\.\w+\.read", each)), f"crm.objects.{name}.read"
    )


def _schema(name: str, path: str, properties: Properties) -> CollectionSchema:
    first = (ID, stamp_of(path))
    names = sorted(properties, key=lambda each: (each not in first, each))
    fields = [
        FieldSchema(
            name=each,
            type=_type(properties[each]),
            described=str(properties[each].get("type", "")),
            unique=each == ID or is_unique(path, each, properties[each]),
        )
        for each in names
    ]
    return CollectionSchema(name=name, fields=tuple(fields), changed_at=stamp_of(path))


def _type(described: Mapping[str, Any]) -> str:
    kind, shown = described.get("type"), described.get("fieldType")
    if kind == "enumeration":
        return {"checkbox": "set", "booleancheckbox": "boolean"}.get(str(shown), "enum")
    return _TYPES.get(str(kind), "string")
