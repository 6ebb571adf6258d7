"""Records behind an HTTP API that answers JSON.

The map says with URL templates how to ask: `one` (`/customers/{key}`), `many` (`/customers?ids={keys}`),
`list` (`/customers?after={after}&limit={limit}`) and `changed` (`/customers?since={since}&limit={limit}`);
`records` is the JSONPath of the records in an answer. Only GET is ever sent.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from urllib.parse import quote, urlsplit

import httpx
import jsonpath
from jsonpath.exceptions import JSONPathError
from pydantic import AnyHttpUrl, Field, SecretStr, field_validator, model_validator

from probes.addresses import check_address
from probes.contract import (
    MISSING,
    Binding,
    ClockSample,
    CollectionSchema,
    Key,
    Page,
    ProbeError,
    ReadSpec,
    Reason,
    Row,
    SystemSettings,
)
from probes.records.deadline import DeadlineTransport
from probes.secrets import Scrubber

ANSWER_LIMIT_BYTES = 16 * 1024 * 1024
"""The largest answer read: a server that never stops sending must not fill the memory."""

_STATUS = {
    401: Reason.AUTH,
    403: Reason.PERMISSION,
    407: Reason.AUTH,
    413: Reason.TOO_LARGE,
    414: Reason.TOO_LARGE,
    429: Reason.OVER_BUDGET,
}


class RestSettings(SystemSettings):
    """An HTTP API.

    Attributes:
        url: the address that the templates are appended to.
        headers: sent with every request, for example `Authorization`; values are secrets.
        verify: false to accept any TLS certificate (a test system's own).
    """

    kind: Literal["rest"]
    url: AnyHttpUrl
    headers: dict[str, SecretStr] = {}
    verify: bool = True

    @field_validator("url", mode="before")
    @classmethod
    def _certain(cls, url: object) -> object:
        return check_address(url, login=False) if isinstance(url, str) and "://" in url else url


class RestBinding(Binding):
    """Where a data type stands in an API; `collection` is its path.

    Attributes:
        records: JSONPath of the records in the answer to `many`, `list` and `changed`.
        record: JSONPath of the record in the answer to `one`.
        one, many, list_, changed: request templates with `{collection}`, `{key}`, `{keys}`, `{after}`,
            `{limit}` and `{since}` (ISO, UTC, or a version); at least one of `one` and `many` is needed.
        batch: keys asked for in one `many` request.
    """

    records: str = "$[*]"
    record: str = "$"
    one: str | None = None
    many: str | None = None
    list_: str | None = Field(default=None, alias="list")
    changed: str | None = None
    batch: int = Field(default=100, ge=1, le=5000)

    @field_validator("records", "record")
    @classmethod
    def _is_path(cls, path: str) -> str:
        try:
            jsonpath.compile(path)
        except JSONPathError as error:
            raise ValueError(f"not a JSONPath: {error}") from None
        return path

    @model_validator(mode="after")
    def _can_fetch(self) -> RestBinding:
        if self.one is None and self.many is None:
            raise ValueError("say how records are read: one: /path/{key} or many: /path?ids={keys}")
        for word, template, needed in (("one", self.one, "{key}"), ("many", self.many, "{keys}")):
            if template is not None and needed not in template:
                raise ValueError(f"{word} needs {needed}, got {template!r}")
        return self

    def options(self) -> dict[str, Any]:
        """The templates and paths."""
        return {
            "records": self.records,
            "record": self.record,
            "one": self.one,
            "many": self.many,
            "list": self.list_,
            "changed": self.changed,
            "batch": self.batch,
        }


class RestProbe:
    """Reads one HTTP API."""

    def __init__(self, settings: RestSettings) -> None:
        self.delay_floor_s = settings.delay_floor_s
        self._timeout_s = settings.budget.timeout_s
        self._connections = settings.budget.connections
        self._clean = Scrubber.of(settings)
        headers = {name: value.get_secret_value() for name, value in settings.headers.items()}
        self._transport = DeadlineTransport(verify=settings.verify, connections=settings.budget.connections * 2)
        self._client = httpx.Client(
            base_url=str(settings.url),
            headers={"Accept": "application/json", "User-Agent": "plumbline-auditor", **headers},
            timeout=self._timeout_s,
            transport=self._transport,
        )
        self._last_path = ""
        self._paths: dict[str, Any] = {}

    def inspect(self, spec: ReadSpec) -> tuple[str, ...]:
        remarks = []
        if not spec.options["list"]:
            remarks.append(f"{spec.collection} has no list: template: orphans there stay invisible")
            return tuple(remarks)
        for record in self._listed(spec, "list", after="", limit=1)[:1]:
            for name in (spec.key, spec.mark, *spec.fields):
                if name is not None and self._value(record, name) is MISSING:
                    remarks.append(f"{name} is missing in the first record of {spec.collection}")
        return tuple(remarks)

    def batch_limit(self, spec: ReadSpec) -> int:
        return 5000

    def fetch(self, spec: ReadSpec, keys: Sequence[Key]) -> list[Row]:
        deadline = time.monotonic() + self._timeout_s
        if spec.options["many"]:
            rows: list[Row] = []
            size = spec.options["batch"]
            for at in range(0, len(keys), size):
                joined = ",".join(quote(str(key), safe="") for key in keys[at : at + size])
                answer = self._get(self._fill(spec, "many", keys=joined), deadline)
                rows += [self._row(spec, record) for record in self._find(spec.options["records"], answer)]
            return rows
        if len(keys) == 1:
            return self._one(spec, keys[0], deadline)
        with ThreadPoolExecutor(max_workers=self._connections) as pool:
            found = list(pool.map(lambda key: self._one(spec, key, deadline), keys))
        return [row for rows in found for row in rows]

    def _one(self, spec: ReadSpec, key: Key, deadline: float) -> list[Row]:
        answer = self._get(self._fill(spec, "one", key=quote(str(key), safe="")), deadline, absent_is_none=True)
        if answer is None:
            return []
        return [self._row(spec, record) for record in self._find(spec.options["record"], answer)]

    def highest_version(self, spec: ReadSpec) -> int | None:
        """Not known to an API before its records are read."""
        return None

    def can_rank(self, spec: ReadSpec, seed: str) -> bool:
        """No API is known that could; the sample walks its keys instead."""
        return False

    def rank_index(self, spec: ReadSpec, seed: str) -> str | None:
        return None

    def ranked(self, spec: ReadSpec, seed: str, lower: int, upper: int, limit: int) -> list[tuple[Any, int]]:
        raise ProbeError(Reason.QUERY, "an HTTP API cannot list keys by rank")

    def collections(self) -> list[CollectionSchema]:
        raise ProbeError(
            Reason.QUERY,
            "an HTTP API does not tell what it holds",
            hint="write its data types by hand; docs/map.md shows how",
        )

    def changed(self, spec: ReadSpec, since: datetime | int | None, limit: int, after: str | None = None) -> Page:
        if not spec.options["changed"]:
            raise ProbeError(Reason.QUERY, f"{spec.collection} has no changed: template in the map")
        if isinstance(since, datetime):
            since_text = since.astimezone(UTC).isoformat().replace("+00:00", "Z")
        else:
            since_text = "" if since is None else str(since)
        rows: list[Row] = []
        seen: set[tuple[str, str]] = set()
        while len(rows) < limit:  # a server may cap its answers below what was asked for
            found = self._listed(spec, "changed", since=quote(since_text, safe=""), limit=limit - len(rows))
            fresh = [row for row in (self._row(spec, record) for record in found) if _told(row) not in seen]
            seen.update(map(_told, fresh))
            rows += fresh
            last = rows[-1][1] if fresh else None
            if not isinstance(last, str | int) or str(last) == since_text:
                break
            since_text = str(last)
        return Page(rows=rows, more=len(rows) >= limit)

    def page(self, spec: ReadSpec, after: str | None, limit: int) -> Page:
        rows = self._page(spec, None if after is None else json.loads(after), limit)
        last = rows[-1][0] if rows else None
        more = len(rows) >= limit and isinstance(last, str | int)
        return Page(rows=rows, next=json.dumps(last) if more else None, more=more)

    def _page(self, spec: ReadSpec, after: Key | None, limit: int) -> list[Row]:
        if not spec.options["list"]:
            raise ProbeError(Reason.QUERY, f"{spec.collection} has no list: template in the map")
        rows: list[Row] = []
        while len(rows) < limit:  # a server may cap its pages below what was asked for
            after_text = "" if after is None else quote(str(after), safe="")
            found = self._listed(spec, "list", after=after_text, limit=limit - len(rows))
            rows += [self._row(spec, record) for record in found]
            last = rows[-1][0] if found else None
            if last is None or last is MISSING or last == after:
                break
            after = last
        return rows

    def _listed(self, spec: ReadSpec, template: str, **values: object) -> list[Any]:
        deadline = time.monotonic() + self._timeout_s
        answer = self._get(self._fill(spec, template, **values), deadline)
        return self._find(spec.options["records"], answer)

    def _fill(self, spec: ReadSpec, template: str, **values: object) -> str:
        text = str(spec.options[template])
        for name, value in {"collection": spec.collection, **values}.items():
            text = text.replace("{" + name + "}", str(value))
        return text

    def _row(self, spec: ReadSpec, record: Any) -> Row:
        mark = self._value(record, spec.mark) if spec.mark else None
        return (
            self._value(record, spec.key),
            None if mark is MISSING else mark,
            *(self._value(record, name) for name in spec.fields),
        )

    def _value(self, record: Any, name: str) -> Any:
        if not name.startswith("$"):
            return record.get(name, MISSING) if isinstance(record, dict) else MISSING
        found = self._find(name, record)
        return found[0] if found else MISSING

    def _find(self, path: str, document: Any) -> list[Any]:
        compiled = self._paths.get(path)
        if compiled is None:
            compiled = self._paths[path] = jsonpath.compile(path)
        return list(compiled.findall(document))

    def _get(self, path: str, deadline: float, *, absent_is_none: bool = False) -> Any:
        self._last_path = path
        try:
            with self._transport.until(deadline), self._client.stream("GET", path) as response:
                if absent_is_none and response.status_code in {404, 410}:
                    return None
                body = self._body(response)
                self._refuse(response, body)
        except httpx.TimeoutException:
            raise self._timed_out() from None
        except httpx.HTTPError as error:
            raise ProbeError(
                Reason.UNREACHABLE,
                self._clean(f"{type(error).__name__}: {error}"),
                hint="check the system's url and whether the server runs",
            ) from None
        try:
            return json.loads(body, parse_float=Decimal)
        except (ValueError, RecursionError):
            kind = response.headers.get("content-type", "no content type")
            raise ProbeError(
                Reason.DECODE, f"{urlsplit(path).path} answered {len(body)} bytes that are not JSON ({kind})"
            ) from None

    def _body(self, response: httpx.Response) -> bytes:
        parts, size = [], 0
        for part in response.iter_bytes():
            size += len(part)
            if size > ANSWER_LIMIT_BYTES:
                raise ProbeError(
                    Reason.TOO_LARGE,
                    f"an answer of more than {ANSWER_LIMIT_BYTES} bytes",
                    hint="lower batch: of the collection",
                )
            parts.append(part)
        return b"".join(parts)

    def _timed_out(self) -> ProbeError:
        return ProbeError(
            Reason.TIMEOUT,
            f"no whole answer within {self._timeout_s:g} s",
            hint="raise budget.timeout if the API is only slow",
        )

    def _refuse(self, response: httpx.Response, body: bytes) -> None:
        if response.is_success:
            return
        status = response.status_code
        reason = _STATUS.get(status, Reason.UNREACHABLE if status >= 500 else Reason.QUERY)
        wait = response.headers.get("retry-after")
        told = " ".join(self._clean(body[:2000].decode(errors="replace")).split())[:200]
        raise ProbeError(
            reason,
            self._clean(f"HTTP {status} from {response.url.path}: {told}"),
            hint=f"the server asks to wait {wait} s" if wait else "",
        )

    def clock(self) -> ClockSample:
        """Read the `Date` header, which counts whole seconds; a cached answer (`Age`) tells no time."""
        sent_at = datetime.now(UTC)
        try:
            with self._transport.until(time.monotonic() + self._timeout_s):
                response = self._client.head(self._last_path or "/")
        except httpx.TimeoutException:
            raise self._timed_out() from None
        except httpx.HTTPError as error:
            raise ProbeError(Reason.UNREACHABLE, self._clean(f"{type(error).__name__}: {error}")) from None
        received_at = datetime.now(UTC)
        told = response.headers.get("date")
        if told is None or "age" in response.headers:
            raise ProbeError(Reason.DECODE, "the answer carries no Date of its own, so its clock is unknown")
        try:
            server_at = parsedate_to_datetime(told).astimezone(UTC)
        except ValueError:
            raise ProbeError(Reason.DECODE, "the answer's Date is not one") from None
        return ClockSample(sent_at=sent_at, received_at=received_at, server_at=server_at, resolution_s=1.0)

    def prove_read_only(self, spec: ReadSpec | None) -> str:
        """HTTP has no read-only session; the probe itself has no way to send anything but GET and HEAD."""
        return "only GET and HEAD are ever sent"

    def close(self) -> None:
        self._client.close()


def _told(row: Row) -> tuple[str, str]:
    """What tells one version of a record from another."""
    return str(row[0]), str(row[1])
