"""Names of tables as the map writes them: `orders`, `sales.orders`, `sales."order.items"` with a dot in a name."""

from __future__ import annotations

import re

_QUOTED = re.compile(r'(?:(?P<schema>"(?:[^"]|"")+"|[^"]+)\.)?(?P<name>"(?:[^"]|"")+"|[^".]+)')


def split_name(collection: str) -> tuple[str | None, str]:
    """The schema, None for the default one, and the table's own name."""
    match = _QUOTED.fullmatch(collection) if '"' in collection else None
    if match is None:
        schema, _, name = collection.rpartition(".")
        return schema or None, name
    return None if match["schema"] is None else _plain(match["schema"]), _plain(match["name"])


def join_name(schema: str | None, name: str) -> str:
    """A table as the map writes it."""
    return ".".join(_written(part) for part in (schema, name) if part is not None)


def _plain(part: str) -> str:
    return part[1:-1].replace('""', '"') if part.startswith('"') else part


def _written(part: str) -> str:
    quoted = '"' + part.replace('"', '""') + '"'
    return quoted if "." in part or '"' in part else part
