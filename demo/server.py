"""The company's HTTP APIs: CRM, billing, marketing, documents and messaging, and the requests that play scenarios."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from demo.company import CUSTOMER, INVOICE, PAYMENT, Company
from demo.stage import Stage

PAGE = 200
LARGEST_BODY = 100_000

COLUMNS = {
    ("crm", "customers"): CUSTOMER,
    ("crm", "welcomes"): ("id", "template", "updated_at"),
    ("billing", "customers"): CUSTOMER[:5] + CUSTOMER[6:],
    ("billing", "invoices"): INVOICE,
    ("billing", "payments"): PAYMENT,
    ("marketing", "contacts"): ("id", "email", "plan", "updated_at"),
    ("documents", "accounts"): CUSTOMER[:5] + CUSTOMER[6:],
    ("messaging", "subscribers"): ("id", "email", "status", "updated_at"),
    ("messaging", "mails"): ("customer_id", "template", "updated_at"),
}
"""By system and collection, its columns, the key first."""

TABLES = {"contacts": "customers", "accounts": "customers", "subscribers": "customers"}
"""Collections that are not called as their table is."""


def _document(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "_id": row["id"],
        "profile": {"name": row["name"], "email": row["email"]},
        "account": {"plan": row["plan"], "status": row["status"]},
        "meta": {"updated_at": row["updated_at"]},
    }


def _contact(row: Mapping[str, Any]) -> dict[str, Any]:
    properties = {"email": row["email"], "plan": row["plan"]}
    return {"id": row["id"], "properties": properties, "updated_at": row["updated_at"]}


SHAPES: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {"accounts": _document, "contacts": _contact}
"""Collections whose records are nested."""


def serve(company: Company, stage: Stage, port: int) -> ThreadingHTTPServer:
    """Make the server on 127.0.0.1; the caller runs and closes it."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        clock_s = 0.0

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            if length > LARGEST_BODY or not self.headers.get("Content-Type", "").startswith("application/json"):
                self._send(400, {"error": f"send JSON of at most {LARGEST_BODY} bytes"}, with_body=True)
                return
            try:
                self._send(200, stage.told(self.path.strip("/"), json.loads(self.rfile.read(length))), with_body=True)
            except (ValueError, KeyError, TypeError) as error:
                self._send(400, {"error": str(error)}, with_body=True)

        def _answer(self, *, with_body: bool) -> None:
            asked = urlsplit(self.path)
            system, _, collection = asked.path.strip("/").partition("/")
            if not collection and system in {"scenarios", "chat"}:
                self._send(200, stage.scenarios() if system == "scenarios" else stage.chat(), with_body=with_body)
                return
            if (system, collection) not in COLUMNS or not company.path(system).exists():
                self._send(404, {"error": f"no such path: {asked.path}"}, with_body=with_body)
                return
            conditions = stage.conditions
            self.clock_s = conditions.clock_s.get(system, 0.0)
            if system in conditions.down:
                self._send(503, {"error": f"{system} is not available"}, with_body=with_body)
            elif (next_day_s := conditions.next_day_s.get(system)) is not None:
                wait = {"Retry-After": f"{max(1, next_day_s - time.monotonic()):.0f}"}
                self._send(429, {"error": "the requests of the day are used up"}, wait, with_body=with_body)
            else:
                query = {name: values[0] for name, values in parse_qs(asked.query).items()}
                found = _find(company, system, collection, query)
                self._send(200, {"data": found}, with_body=with_body)

        def date_time_string(self, timestamp: float | None = None) -> str:
            """The time by the clock of the system that answers."""
            return format_datetime(datetime.now(UTC) + timedelta(seconds=self.clock_s), usegmt=True)

        def _send(
            self, status: int, document: object, headers: Mapping[str, str] | None = None, *, with_body: bool
        ) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


def _find(company: Company, system: str, collection: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
    columns = COLUMNS[system, collection]
    key = columns[0]
    select = f"SELECT {', '.join(columns)} FROM {TABLES.get(collection, collection)}"
    limit = min(int(query.get("limit", PAGE)), PAGE)
    connection = sqlite3.connect(f"file:{company.path(system)}?mode=ro", uri=True, timeout=10)
    try:
        if "ids" in query:
            ids = query["ids"].split(",")
            rows = connection.execute(f"{select} WHERE {key} IN ({', '.join('?' * len(ids))})", ids)
        elif "changed_since" in query:
            since = query["changed_since"].replace("T", " ").rstrip("Z")
            rows = connection.execute(f"{select} WHERE updated_at >= ? ORDER BY updated_at LIMIT ?", (since, limit))
        else:
            after = query.get("after", "")
            rows = connection.execute(f"{select} WHERE {key} > ? ORDER BY {key} LIMIT ?", (after, limit))
        return [_shaped(collection, columns, row) for row in rows]
    finally:
        connection.close()


def _shaped(collection: str, columns: Sequence[str], row: Sequence[Any]) -> dict[str, Any]:
    record = dict(zip(columns, row, strict=True))
    for name in ("updated_at", "signed_at"):
        if name in record:
            record[name] = record[name].replace(" ", "T") + "Z"
    return SHAPES[collection](record) if collection in SHAPES else record
