"""Billing's HTTP API: JSON lists of customers and invoices, by ids, by page and by change."""

from __future__ import annotations

import json
import sqlite3
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from demo.company import Company

PAGE = 200
COLUMNS = {
    "customers": ("id", "name", "email", "plan", "status", "updated_at"),
    "invoices": ("id", "customer_id", "amount_cents", "currency", "state", "updated_at"),
}


def serve(company: Company, port: int) -> ThreadingHTTPServer:
    """Make the server on 127.0.0.1; the caller runs and closes it."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def _answer(self, *, with_body: bool) -> None:
            asked = urlsplit(self.path)
            collection = asked.path.strip("/")
            if collection not in COLUMNS:
                self._send(404, {"error": f"no such path: {asked.path}"}, with_body=with_body)
                return
            query = {name: values[0] for name, values in parse_qs(asked.query).items()}
            self._send(200, {"data": _find(company, collection, query)}, with_body=with_body)

        def _send(self, status: int, document: object, *, with_body: bool) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


def _find(company: Company, collection: str, query: dict[str, str]) -> list[dict[str, Any]]:
    columns = COLUMNS[collection]
    select = f"SELECT {', '.join(columns)} FROM {collection}"
    limit = min(int(query.get("limit", PAGE)), PAGE)
    connection = sqlite3.connect(f"file:{company.path('billing')}?mode=ro", uri=True, timeout=10)
    try:
        if "ids" in query:
            ids = query["ids"].split(",")
            rows = connection.execute(f"{select} WHERE id IN ({', '.join('?' * len(ids))})", ids)
        elif "changed_since" in query:
            since = query["changed_since"].replace("T", " ").rstrip("Z")
            rows = connection.execute(f"{select} WHERE updated_at >= ? ORDER BY updated_at LIMIT ?", (since, limit))
        else:
            after = query.get("after", "")
            rows = connection.execute(f"{select} WHERE id > ? ORDER BY id LIMIT ?", (after, limit))
        found = [dict(zip(columns, row, strict=True)) for row in rows]
    finally:
        connection.close()
    for record in found:
        record["updated_at"] = record["updated_at"].replace(" ", "T") + "Z"
    return found
