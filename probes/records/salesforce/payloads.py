"""The payloads of an org's events, in Avro: without names and lengths, so that only its schema can read one."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from probes.records.salesforce.event_bus import SCHEMAS_KEPT, BusEvent, missing_driver


class UndecodableError(ValueError):
    """A payload or a schema that cannot be decoded; the text says why."""


class Payloads:
    """Decodes payloads.

    Args:
        schema: returns the Avro schema of an id, as JSON.
        wanted: returns what of a schema to decode. Whatever it raises, the schema is not the expected one.
    """

    def __init__(self, schema: Callable[[str], Any], wanted: Callable[[Any], Any]) -> None:
        try:
            import fastavro
        except ModuleNotFoundError as error:
            raise missing_driver("fastavro") from error
        self._avro: Any = fastavro
        self._schema = schema
        self._wanted = wanted
        self._parsed = lru_cache(SCHEMAS_KEPT)(self._parse)

    def read(self, event: BusEvent) -> dict[str, Any]:
        """The fields of an event by name.

        Raises:
            UndecodableError: it cannot be decoded.
            ProbeError: its schema cannot be read.
        """
        parsed = self._parsed(event.schema_id)
        try:
            return dict(self._avro.schemaless_reader(io.BytesIO(event.payload), parsed, None))
        except Exception:  # fastavro raises whatever its parsing comes across
            raise UndecodableError("its payload does not have the form of its schema") from None

    def _parse(self, schema_id: str) -> Any:
        schema = self._schema(schema_id)
        try:
            return self._avro.parse_schema(self._wanted(schema))
        except UndecodableError:
            raise
        except Exception:
            raise UndecodableError("its schema is not one of Avro") from None
