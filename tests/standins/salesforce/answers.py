"""Records as answers write them: JSON of the REST API, CSV of Bulk API 2.0."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from tests.standins.salesforce.evaluation import Path, Query
from tests.standins.salesforce.instants import csv_text, rest_text
from tests.standins.salesforce.numbers_json import double
from tests.standins.salesforce.schema import Field, SObject
from tests.standins.salesforce.store import Values


def plain(value: Any) -> Any:
    """A field's value in JSON."""
    if isinstance(value, datetime):
        return rest_text(value)
    return value.isoformat() if isinstance(value, date) else value


def attributes(version: str, of: str, record_id: str) -> dict[str, str]:
    """What says which record it is."""
    return {"type": of, "url": f"/services/data/v{version}/sobjects/{of}/{record_id}"}


def record(version: str, of: SObject, row: Values, fields: Iterable[Field]) -> dict[str, Any]:
    """A record with some of its fields."""
    whole = {each.name: plain(row.get(each.name)) for each in fields}
    return {"attributes": attributes(version, of.name, row["Id"]), **whole}


def selected(version: str, query: Query, row: Values) -> dict[str, Any]:
    """A row of a query, with the records that it refers to inside it."""
    whole: dict[str, Any] = {"attributes": attributes(version, query.sobject.name, row["Id"])}
    for path in query.paths:
        reference, each = path
        if reference is None:
            whole[each.name] = plain(row.get(each.name))
            continue
        name = str(reference.relationship)
        parent = query.parent(reference, row)
        if parent is None:
            whole[name] = None
            continue
        inner = whole.setdefault(name, {"attributes": attributes(version, str(reference.refers_to), parent["Id"])})
        inner[each.name] = plain(parent.get(each.name))
    return whole


def heading(path: Path) -> str:
    """The name of a column."""
    reference, each = path
    return each.name if reference is None else f"{reference.relationship}.{each.name}"


def csv_lines(query: Query, rows: Iterable[Values], delimiter: str, line_ending: str) -> bytes:
    """Rows as CSV, every value in quotes."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=line_ending, quoting=csv.QUOTE_ALL)
    writer.writerow([heading(path) for path in query.paths])
    for row in rows:
        writer.writerow([_cell(query.value(path, row)) for path in query.paths])
    return text.getvalue().encode()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        return double(value)
    if isinstance(value, datetime):
        return csv_text(value)
    return str(value)
