"""The JSON Schema of a map, for editors."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from auditor.map.settings import AlertSettings, DataType, FlowSettings
from probes import registry


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the map, for editors."""
    definitions: dict[str, Any] = {}

    def schema_of(model: type[BaseModel]) -> dict[str, Any]:
        schema = model.model_json_schema(by_alias=True, ref_template="#/$defs/{model}")
        definitions.update(schema.pop("$defs", {}))
        definitions[model.__name__] = schema
        return {"$ref": f"#/$defs/{model.__name__}"}

    systems = [schema_of(registry.record_settings(kind)) for kind in registry.RECORD_KINDS]
    bindings = [schema_of(registry.record_binding(kind)) for kind in registry.RECORD_KINDS]
    queues = [schema_of(registry.queue_settings(kind)) for kind in registry.QUEUE_KINDS]
    data_type, flow, alerts = schema_of(DataType), schema_of(FlowSettings), schema_of(AlertSettings)
    definitions["DataType"]["properties"]["in"]["additionalProperties"] = {"anyOf": bindings}
    definitions["FlowSettings"]["properties"]["queues"]["additionalProperties"] = {"anyOf": queues}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Plumbline integration map",
        "type": "object",
        "additionalProperties": False,
        "required": ["systems", "data_types", "flows"],
        "properties": {
            "version": {"const": 1},
            "systems": {"type": "object", "additionalProperties": {"anyOf": systems}},
            "data_types": {"type": "object", "additionalProperties": data_type},
            "flows": {"type": "object", "additionalProperties": flow},
            "alerts": alerts,
        },
        "$defs": definitions,
    }
