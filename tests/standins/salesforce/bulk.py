"""Bulk API 2.0 query jobs: created, waited for, read in sets of lines.

Source: Bulk API 2.0 and Bulk API Developer Guide (v64.0, August 2025, and the current pages): "Create a Query Job",
"Get Information About a Query Job", "Get Results for a Query Job" (Sforce-Locator, the word `null` behind the last
set; Sforce-NumberOfRecords; always compressed; 204 without a body while the job is not complete; 409 for another
API version), "Abort a Query Job", "Delete a Query Job", "Job States", "Limits" (jobs go after 7 days).

Where the documents are silent: the state of data that a job reads is that of its first moment InProgress; instants
in CSV end in Z; what a statement outside the subset of Bulk (COUNT(), OFFSET) does: the job fails.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tests.standins.clock import Clock
from tests.standins.salesforce import ids
from tests.standins.salesforce.answers import csv_lines
from tests.standins.salesforce.errors import ApiError, not_found
from tests.standins.salesforce.evaluation import Query
from tests.standins.salesforce.faults import Answer
from tests.standins.salesforce.instants import rest_text
from tests.standins.salesforce.limits import Limits
from tests.standins.salesforce.soql import parse
from tests.standins.salesforce.store import Store, Values

DELIMITERS = {"COMMA": ",", "TAB": "\t", "PIPE": "|", "SEMICOLON": ";", "CARET": "^", "BACKQUOTE": "`"}
LINE_ENDINGS = {"LF": "\n", "CRLF": "\r\n"}
KEPT = timedelta(days=7)


@dataclass
class _Job:
    id: str
    version: str
    operation: str
    query: Query
    asked: dict[str, Any]
    created_at: datetime
    ended: str = ""
    failure: str = ""
    rows: list[Values] | None = None


class Jobs:
    """All query jobs of the org.

    Attributes:
        queued_s: how long a job waits in the queue.
        running_s: how long it then runs.
        most_records: how many lines a set of results has at most.
        failing: what the next job fails with.
    """

    def __init__(self, store: Store, clock: Clock, limits: Limits) -> None:
        self.queued_s = 0.0
        self.running_s = 0.0
        self.most_records = 50_000
        self.failing = ""
        self._store = store
        self._clock = clock
        self._limits = limits
        self._jobs: dict[str, _Job] = {}

    def create(self, body: bytes, version: str) -> dict[str, Any]:
        """Answer POST jobs/query."""
        try:
            asked = dict(json.loads(body))
        except (ValueError, TypeError):
            raise ApiError(400, "JSON_PARSER_ERROR", "Unexpected character") from None
        operation = asked.get("operation")
        if operation not in {"query", "queryAll"}:
            raise ApiError(400, "INVALIDJOB", "operation must be query or queryAll")
        for name, known in (("columnDelimiter", DELIMITERS), ("lineEnding", LINE_ENDINGS), ("contentType", {"CSV"})):
            if name in asked and asked[name] not in known:
                raise ApiError(400, "INVALIDJOB", f"{name}: unknown value")
        statement = parse(str(asked.get("query", "")))
        query = Query(self._store, statement, deleted=operation == "queryAll")
        self._limits.spend_job()
        number = len(self._jobs) + 1
        job = _Job(ids.new_id("750", number), version, operation, query, asked, self._clock.now())
        if statement.count or statement.offset:
            job.failure = "FUNCTIONALITY_NOT_ENABLED: Aggregate queries and OFFSET are not supported in Bulk Query"
        elif self.failing:
            job.failure, self.failing = self.failing, ""
        self._jobs[job.id] = job
        return self._document(job, short=True)

    def info(self, job_id: str) -> dict[str, Any]:
        """Answer GET jobs/query/id."""
        return self._document(self._find(job_id))

    def all(self) -> dict[str, Any]:
        """Answer GET jobs/query."""
        known = [self._document(job) for job in self._jobs.values() if not self._expired(job)]
        return {"done": True, "records": known, "nextRecordsUrl": None}

    def abort(self, job_id: str, body: bytes) -> dict[str, Any]:
        """Answer PATCH jobs/query/id."""
        job = self._find(job_id)
        if json.loads(body or b"{}") != {"state": "Aborted"}:
            raise ApiError(400, "INVALIDJOB", "the only state to set is Aborted")
        if self._state(job) in {"JobComplete", "Failed"}:
            raise ApiError(400, "INVALIDJOBSTATE", "the job has ended")
        job.ended = "Aborted"
        return self._document(job)

    def delete(self, job_id: str) -> Answer:
        """Answer DELETE jobs/query/id."""
        job = self._find(job_id)
        if self._state(job) in {"UploadComplete", "InProgress"}:
            raise ApiError(400, "INVALIDJOBSTATE", "a job that has not ended cannot be deleted")
        del self._jobs[job.id]
        return Answer(status=204)

    def results(self, job_id: str, version: str, values: dict[str, str]) -> Answer:
        """Answer GET jobs/query/id/results."""
        job = self._find(job_id)
        if job.version != version:
            message = f"the job was created with API version {job.version}"
            raise ApiError(409, "API_VERSION_MISMATCH", message)
        if self._state(job) != "JobComplete":
            return Answer(status=204)
        rows = self._rows(job)
        start = _start(values.get("locator", ""))
        wanted = values.get("maxRecords", str(self.most_records))
        if not wanted.isdigit() or int(wanted) < 1 or start is None or start > len(rows):
            raise ApiError(400, "INVALIDREQUEST", "invalid locator or maxRecords")
        part = rows[start : start + min(int(wanted), self.most_records)]
        end = start + len(part)
        delimiter = DELIMITERS[job.asked.get("columnDelimiter", "COMMA")]
        ending = LINE_ENDINGS[job.asked.get("lineEnding", "LF")]
        headers = {
            "Content-Type": "text/csv",
            "Sforce-NumberOfRecords": str(len(part)),
            "Sforce-Locator": _locator(end) if end < len(rows) else "null",
        }
        return Answer(body=csv_lines(job.query, part, delimiter, ending), headers=headers)

    def _find(self, job_id: str) -> _Job:
        job = self._jobs.get(ids.with_suffix(job_id) or "")
        if job is None or self._expired(job):
            raise not_found()
        return job

    def _expired(self, job: _Job) -> bool:
        return self._clock.now() - job.created_at > KEPT

    def _state(self, job: _Job) -> str:
        if job.ended:
            return job.ended
        age = (self._clock.now() - job.created_at).total_seconds()
        if age < self.queued_s:
            return "UploadComplete"
        if age < self.queued_s + self.running_s:
            return "InProgress"
        return "Failed" if job.failure else "JobComplete"

    def _rows(self, job: _Job) -> list[Values]:
        if job.rows is None:
            began = job.created_at + timedelta(seconds=self.queued_s)
            query = Query(self._store, parse(job.asked["query"]), deleted=job.operation == "queryAll", as_of=began)
            job.query, job.rows = query, query.rows()
        return job.rows

    def _document(self, job: _Job, *, short: bool = False) -> dict[str, Any]:
        state = "UploadComplete" if short else self._state(job)
        document = {
            "id": job.id,
            "operation": job.operation,
            "object": job.query.sobject.name,
            "createdById": ids.new_id("005", 1),
            "createdDate": rest_text(job.created_at),
            "systemModstamp": rest_text(job.created_at if short else self._clock.now()),
            "state": state,
            "concurrencyMode": "Parallel",
            "contentType": "CSV",
            "apiVersion": float(job.version),
            "lineEnding": job.asked.get("lineEnding", "LF"),
            "columnDelimiter": job.asked.get("columnDelimiter", "COMMA"),
        }
        if short:
            return document
        done = len(self._rows(job)) if state == "JobComplete" else 0
        document |= {"jobType": "V2Query", "numberRecordsProcessed": done, "retries": 0, "totalProcessingTime": 1}
        return document | ({"errorMessage": job.failure} if state == "Failed" else {})


def _locator(start: int) -> str:
    return base64.urlsafe_b64encode(str(start).encode()).decode().rstrip("=")


def _start(locator: str) -> int | None:
    if not locator:
        return 0
    try:
        return int(base64.urlsafe_b64decode(locator + "=" * (-len(locator) % 4)))
    except (ValueError, binascii.Error):
        return None
