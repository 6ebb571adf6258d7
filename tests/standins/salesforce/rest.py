"""The REST API under /services/data: which resource answers what.

Source: REST API Developer Guide (v68.0): "Query", "QueryAll", "Query More Results", "Query Options Header",
"sObject Describe", "sObject Rows", "sObject Rows by External ID", "Get Records Using sObject Collections" (GET,
until the URI is too long), "Get Records With a Request Body Using sObject Collections" (POST, 2,000 records),
"Composite Batch" (25 subrequests, each counts), "sObject Get Updated", "sObject Get Deleted", "Limits", "Status
Codes and Error Responses"; SOAP API Developer Guide, "getUpdated()", "getDeleted()", "GetDeletedResult"; Salesforce
Help 000384958, INVALID_QUERY_LOCATOR (a locator lives two days).

Where the documents are silent: getUpdated and getDeleted take start as inside and end as outside of the span; a
query locator keeps its rows as they were; a record in the recycle bin is null for sObject Collections; over 2,000
ids are refused as EXCEEDED_ID_LIMIT. The documents of getDeleted say that a call fails if earliestDateAvailable is
before the end, which would make every call fail: here it fails if the start is before it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.standins.clock import Clock
from tests.standins.salesforce import ids
from tests.standins.salesforce.answers import record, selected
from tests.standins.salesforce.bulk import Jobs
from tests.standins.salesforce.errors import ApiError, not_found
from tests.standins.salesforce.evaluation import Query, no_such_column
from tests.standins.salesforce.faults import Answer
from tests.standins.salesforce.instants import rest_text
from tests.standins.salesforce.limits import Limits
from tests.standins.salesforce.schema import Field, SObject
from tests.standins.salesforce.soql import parse
from tests.standins.salesforce.store import Store

VERSIONS = tuple(f"{number}.0" for number in range(31, 69))
LARGEST_PAGE = 2_000
SMALLEST_PAGE = 200
MOST_IDS = 2_000
MOST_SUBREQUESTS = 25
LOCATOR_LIVES = timedelta(days=2)
UPDATED_REACHES = timedelta(days=30)
DELETED_REACHES = timedelta(days=15)


@dataclass(frozen=True, kw_only=True)
class Request:
    """What came in; `target` exactly as it was sent."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def path(self) -> str:
        """The path, still encoded."""
        return urlsplit(self.target).path

    @property
    def values(self) -> dict[str, str]:
        """The query's parameters."""
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))


@dataclass
class _Cursor:
    query: Query
    rows: list[Any]
    size: int
    made_at: datetime


_ROUTES: tuple[tuple[str, str, str], ...] = (
    ("GET", r"", "resources"),
    ("GET", r"/limits/?", "limits"),
    ("GET", r"/query/?", "query"),
    ("GET", r"/queryAll/?", "query_all"),
    ("GET", r"/query(?:All)?/(?P<locator>\w{15,18}-\d+)", "query_more"),
    ("GET", r"/sobjects/?", "describe_global"),
    ("GET", r"/sobjects/(?P<name>\w+)/describe/?", "describe"),
    ("GET", r"/sobjects/(?P<name>\w+)/updated/?", "updated"),
    ("GET", r"/sobjects/(?P<name>\w+)/deleted/?", "deleted"),
    ("GET", r"/sobjects/(?P<name>\w+)/(?P<field>\w+)/(?P<value>[^/]+)", "retrieve_external"),
    ("GET", r"/sobjects/(?P<name>\w+)/(?P<id>\w+)", "retrieve"),
    ("GET", r"/composite/sobjects/(?P<name>\w+)", "retrieve_many"),
    ("POST", r"/composite/sobjects/(?P<name>\w+)", "retrieve_many"),
    ("POST", r"/composite/batch/?", "batch"),
    ("POST", r"/jobs/query/?", "job_create"),
    ("GET", r"/jobs/query/?", "job_list"),
    ("GET", r"/jobs/query/(?P<id>\w+)/results/?", "job_results"),
    ("GET", r"/jobs/query/(?P<id>\w+)", "job_info"),
    ("PATCH", r"/jobs/query/(?P<id>\w+)", "job_abort"),
    ("DELETE", r"/jobs/query/(?P<id>\w+)", "job_delete"),
)
KINDS = ("versions", *dict.fromkeys(kind for _, _, kind in _ROUTES), "other")


class Rest:
    """The resources of one org.

    Attributes:
        lag_s: how far queries, collections and getUpdated are behind what was committed.
        page_size: the largest page of a query, below what was asked for ("can include fewer records").
        most_updated: the ids that getUpdated returns at most.
    """

    def __init__(self, store: Store, clock: Clock, limits: Limits) -> None:
        self.lag_s = 0.0
        self.page_size = LARGEST_PAGE
        self.most_updated = 600_000
        self.jobs = Jobs(store, clock, limits)
        self.schema_changed_at = clock.now()
        self._store = store
        self._clock = clock
        self._allowance = limits
        self._cursors: dict[str, _Cursor] = {}

    def kind(self, request: Request) -> str:
        """Which kind of call it is."""
        if request.path.rstrip("/") == "/services/data":
            return "versions"
        rest = re.fullmatch(r"/services/data/v\d+\.\d(/.*)?", request.path)
        return self._route(request.method, (rest.group(1) or "") if rest else "/?")[0]

    def answer(self, request: Request, page: int = 0) -> Answer:
        """Answer a call that was let in.

        Args:
            page: which page to give instead of the one asked for, by its distance.

        Raises:
            ApiError: what the caller is told.
        """
        kind = self.kind(request)
        if kind == "versions":
            known = [{"label": f"API {each}", "url": f"/services/data/v{each}", "version": each} for each in VERSIONS]
            return Answer(document=known)
        found = re.fullmatch(r"/services/data/v(\d+\.\d)(/.*)?", request.path)
        if found is None or found.group(1) not in VERSIONS:
            raise not_found()
        if kind != "batch":
            self._allowance.spend()
        version, rest = found.group(1), found.group(2) or ""
        _, groups = self._route(request.method, rest)
        if kind == "other":
            raise self._refused(request.method, rest)
        if kind == "query_more":
            return Answer(document=self._more(version, groups["locator"], page))
        made: Callable[..., Answer | Any] = getattr(self, f"_{kind}")
        answer = made(request, version, **groups)
        return answer if isinstance(answer, Answer) else Answer(document=answer)

    def _route(self, method: str, rest: str) -> tuple[str, dict[str, str]]:
        for allowed, form, kind in _ROUTES:
            found = re.fullmatch(form, rest)
            if found and allowed == method.replace("HEAD", "GET"):
                return kind, {name: unquote(value) for name, value in found.groupdict().items()}
        return "other", {}

    def _refused(self, method: str, rest: str) -> ApiError:
        allowed = [other for other, form, _ in _ROUTES if re.fullmatch(form, rest)]
        if not allowed:
            return not_found()
        message = f"HTTP Method '{method}' not allowed. Allowed are {','.join(dict.fromkeys(allowed))}"
        return ApiError(405, "METHOD_NOT_ALLOWED", message, {"Allow": ",".join(dict.fromkeys(allowed))})

    @property
    def _as_of(self) -> datetime | None:
        return self._clock.now() - timedelta(seconds=self.lag_s) if self.lag_s else None

    # what the org is

    def _resources(self, _: Request, version: str) -> Any:
        base = f"/services/data/v{version}"
        return {name: f"{base}/{name}" for name in ("composite", "jobs", "limits", "query", "queryAll", "sobjects")}

    def _limits(self, _: Request, __: str) -> Any:
        return self._allowance.document()

    def _describe_global(self, _: Request, version: str) -> Any:
        known = [each.summary(version) for each in self._store.objects.values()]
        return {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": known}

    def _describe(self, request: Request, version: str, name: str) -> Answer:
        of = self._sobject(name)
        changed = self.schema_changed_at.replace(microsecond=0)
        headers = {"Last-Modified": format_datetime(changed.astimezone(UTC), usegmt=True)}
        since = request.headers.get("If-Modified-Since")
        if since and changed <= parsedate_to_datetime(since):
            return Answer(status=304, headers=headers)
        return Answer(document=of.describe(version), headers=headers)

    # queries

    def _query(self, request: Request, version: str) -> Any:
        return self._run(request, version, deleted=False)

    def _query_all(self, request: Request, version: str) -> Any:
        return self._run(request, version, deleted=True)

    def _run(self, request: Request, version: str, *, deleted: bool) -> Any:
        text = request.values.get("q", "")
        statement = parse(text)
        query = Query(self._store, statement, deleted=deleted, as_of=self._as_of)
        rows = query.rows()
        if statement.count:
            return {"totalSize": len(rows), "done": True, "records": []}
        asked = re.search(r"batchSize\s*=\s*(\d+)", request.headers.get("Sforce-Query-Options", ""))
        wanted = int(asked.group(1)) if asked else LARGEST_PAGE
        size = min(max(wanted, SMALLEST_PAGE), LARGEST_PAGE, self.page_size)
        locator = ids.new_id("01g", len(self._cursors) + 1)
        self._cursors[locator] = _Cursor(query, rows, size, self._clock.now())
        return self._page(version, locator, 0)

    def _more(self, version: str, locator: str, page: int) -> Any:
        key, _, start = locator.partition("-")
        cursor = self._cursors.get(ids.with_suffix(key) or "")
        late = cursor is not None and self._clock.now() - cursor.made_at > LOCATOR_LIVES
        if cursor is None or late or not 0 < int(start) < len(cursor.rows):
            raise ApiError(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        return self._page(version, key, max(0, int(start) + page * cursor.size))

    def _page(self, version: str, locator: str, start: int) -> Any:
        cursor = self._cursors[locator]
        end = start + cursor.size
        document: dict[str, Any] = {"totalSize": len(cursor.rows), "done": end >= len(cursor.rows)}
        if not document["done"]:
            document["nextRecordsUrl"] = f"/services/data/v{version}/query/{locator}-{end}"
        document["records"] = [selected(version, cursor.query, row) for row in cursor.rows[start:end]]
        return document

    # records

    def _sobject(self, name: str) -> SObject:
        of = self._store.sobject(name)
        if of is None:
            raise not_found()
        return of

    def _fields(self, of: SObject, names: str | list[str] | None) -> list[Field]:
        if not names:
            return list(of)
        wanted = [name.strip() for name in (names.split(",") if isinstance(names, str) else names)]
        found = [of.find(name) for name in wanted]
        for name, each in zip(wanted, found, strict=True):
            if each is None:
                raise no_such_column(of, name)
        return [each for each in found if each is not None]

    def _retrieve(self, request: Request, version: str, name: str, id: str) -> Any:
        of = self._sobject(name)
        whole = ids.with_suffix(id)
        if whole is None or whole[:3] != of.prefix:
            message = f"{of.name} ID: id value of incorrect type: {id}"
            raise ApiError(400, "MALFORMED_ID", message, fields=["Id"])
        fields = self._fields(of, request.values.get("fields"))
        row = self._store.get(whole)
        if row is None:
            raise not_found()
        if row["IsDeleted"]:
            raise ApiError(404, "ENTITY_IS_DELETED", "entity is deleted", fields=[])
        return record(version, of, row, fields)

    def _retrieve_external(self, request: Request, version: str, name: str, field: str, value: str) -> Any:
        of = self._sobject(name)
        key = of.find(field)
        missing = ApiError(
            404, "NOT_FOUND", f"Provided external ID field does not exist or is not accessible: {field}"
        )
        if key is None or not (key.external_id or key.type == "id"):
            raise missing
        if key.type == "id":
            return self._retrieve(request, version, name, value)
        fields = self._fields(of, request.values.get("fields"))
        found = [
            row
            for record_id in sorted(self._store.with_value(of, key.name, value))
            if (row := self._store.get(record_id)) and not row["IsDeleted"] and _holds(key, row[key.name], value)
        ]
        if not found:
            raise not_found()
        if len(found) > 1:
            urls = [f"/services/data/v{version}/sobjects/{of.name}/{row['Id']}" for row in found]
            return Answer(status=300, document=urls)
        return record(version, of, found[0], fields)

    def _retrieve_many(self, request: Request, version: str, name: str) -> Any:
        of = self._sobject(name)
        if request.method == "POST":
            asked = _json(request.body)
            wanted, names = asked.get("ids", []), asked.get("fields", [])
        else:
            wanted, names = request.values.get("ids", "").split(","), request.values.get("fields", "").split(",")
        if not wanted or not [each for each in names if each]:
            raise ApiError(400, "MISSING_ARGUMENT", "ids and fields are required")
        if len(wanted) > MOST_IDS:
            message = f"record limit reached. cannot submit more than {MOST_IDS} records in this request"
            raise ApiError(400, "EXCEEDED_ID_LIMIT", message)
        fields = self._fields(of, [str(each) for each in names])
        rows = []
        for each in wanted:
            whole = ids.with_suffix(str(each)) or ""
            row = self._store.get(whole, self._as_of) if whole[:3] == of.prefix else None
            rows.append(None if row is None or row["IsDeleted"] else record(version, of, row, fields))
        return rows

    def _batch(self, request: Request, version: str) -> Any:
        asked = _json(request.body)
        subrequests = asked.get("batchRequests") or []
        if not 0 < len(subrequests) <= MOST_SUBREQUESTS:
            message = f"batchRequests wants 1 to {MOST_SUBREQUESTS} subrequests"
            raise ApiError(400, "INVALID_INPUT", message)
        results: list[dict[str, Any]] = []
        for each in subrequests:
            if asked.get("haltOnError") and results and results[-1]["statusCode"] >= 400:
                halted = [{"errorCode": "BATCH_PROCESSING_HALTED", "message": "Batch processing halted per request"}]
                results.append({"statusCode": 412, "result": halted})
                continue
            target = "/services/data/" + re.sub(r"^/?(services/data/)?", "", each["url"])
            inner = replace(request, method=each["method"], target=target, body=b"")
            try:
                if self.kind(inner) in {"batch", "versions"} or self.kind(inner).startswith("job"):
                    raise ApiError(400, "INVALID_BATCH_REQUEST", f"{each['url']} cannot be part of a batch")
                answer = self.answer(inner)
                results.append({"statusCode": answer.status, "result": answer.document})
            except ApiError as failed:
                results.append({"statusCode": failed.status, "result": failed.document})
        return {"hasErrors": any(each["statusCode"] >= 400 for each in results), "results": results}

    # replication

    def _span(self, request: Request, reach: timedelta) -> tuple[datetime, datetime]:
        found: list[datetime] = []
        for name in ("start", "end"):
            try:
                instant = datetime.fromisoformat(request.values[name])
            except KeyError:
                raise ApiError(400, "MISSING_ARGUMENT", f"Required parameter {name} is missing") from None
            except ValueError:
                message = f"{name}: not an ISO 8601 instant (is the + of the offset encoded as %2B?)"
                raise ApiError(400, "INVALID_REPLICATION_DATE", message) from None
            found.append(
                instant.replace(tzinfo=instant.tzinfo or UTC).astimezone(UTC).replace(second=0, microsecond=0)
            )
        start, end = found
        if start >= end:
            raise ApiError(400, "INVALID_REPLICATION_DATE", "startDate must be before endDate")
        if start < self._clock.now() - reach - timedelta(days=1):
            message = f"startDate cannot be more than {reach.days} days ago"
            raise ApiError(400, "INVALID_REPLICATION_DATE", message)
        return start, end

    def _covered(self, end: datetime) -> str:
        """Until when nothing can still be committed, as far as the org knows."""
        edges = [end, self._clock.now() - timedelta(seconds=self.lag_s)]
        oldest = self._store.oldest_open()
        return rest_text(min([*edges, oldest] if oldest else edges))

    def _updated(self, request: Request, _: str, name: str) -> Any:
        of = self._sobject(name)
        start, end = self._span(request, UPDATED_REACHES)
        covered = self._covered(end)
        found = sorted(
            (row["SystemModstamp"], row["Id"])
            for row in self._store.scan(of, self._as_of)
            if start <= row["SystemModstamp"] < end and not row["IsDeleted"]
        )
        if len(found) > self.most_updated:
            message = f"more than {self.most_updated} ids in the span"
            raise ApiError(400, "EXCEEDED_ID_LIMIT", message)
        return {"ids": [record_id for _, record_id in found], "latestDateCovered": covered}

    def _deleted(self, request: Request, _: str, name: str) -> Any:
        of = self._sobject(name)
        start, end = self._span(request, DELETED_REACHES)
        covered = self._covered(end)
        earliest = self._store.earliest_deletion.get(of.name)
        if earliest is not None and start < earliest:
            message = f"the delete log begins at {rest_text(earliest)}"
            raise ApiError(400, "INVALID_REPLICATION_DATE", message)
        known = [
            {"id": line.id, "deletedDate": rest_text(line.deleted_at)}
            for line in self._store.deletions[of.name]
            if start <= line.deleted_at < end
        ]
        first = earliest or self._clock.now() - DELETED_REACHES
        return {"deletedRecords": known, "earliestDateAvailable": rest_text(first), "latestDateCovered": covered}

    # Bulk API 2.0

    def _job_create(self, request: Request, version: str) -> Any:
        return self.jobs.create(request.body, version)

    def _job_list(self, _: Request, __: str) -> Any:
        return self.jobs.all()

    def _job_info(self, _: Request, __: str, id: str) -> Any:
        return self.jobs.info(id)

    def _job_results(self, request: Request, version: str, id: str) -> Answer:
        return self.jobs.results(id, version, request.values)

    def _job_abort(self, request: Request, _: str, id: str) -> Any:
        return self.jobs.abort(id, request.body)

    def _job_delete(self, _: Request, __: str, id: str) -> Answer:
        return self.jobs.delete(id)


def _json(body: bytes) -> dict[str, Any]:
    try:
        return dict(json.loads(body))
    except (ValueError, TypeError):
        raise ApiError(400, "JSON_PARSER_ERROR", "Unexpected character in the request's body") from None


def _holds(of: Field, held: Any, value: str) -> bool:
    if held is None:
        return False
    return bool(held == value if of.case_sensitive else str(held).lower() == value.lower())
