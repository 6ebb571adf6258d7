"""Access to an org's API: the allowed requests, and the meaning of its errors.

The token goes to the org's own address and nowhere else: `instance_url` and `nextRecordsUrl` of a response never say
where to. Source: Salesforce Help, "OAuth 2.0 Client Credentials Flow", "OAuth 2.0 JWT Bearer Flow", "OAuth 2.0
Refresh Token Flow"; REST API Developer Guide, "Status Codes and Error Responses".
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from probes.call_deadline import within
from probes.contract import ProbeError, Reason
from probes.http.allowed_reads import AllowedReads
from probes.http.grants import Client, ClientCredentials, Grant, JwtBearer, RefreshToken
from probes.http.learning_scrubber import LearningScrubber
from probes.http.line import DIRECT, Line
from probes.http.token_endpoint import TokenEndpoint
from probes.http.tokens import TokenSource
from probes.http.transport import STATUS, Meaning, Refusal, Transport
from probes.records.salesforce.settings import SalesforceSettings
from probes.secrets import Scrubber

READS = (
    re.compile(r"GET /services/data/?"),
    re.compile(r"GET /services/data/v\d+\.0/(query|queryAll)\?q=[^&]*"),
    re.compile(r"GET /services/data/v\d+\.0/(query|queryAll)/[A-Za-z0-9]+-\d+"),
    re.compile(r"GET /services/data/v\d+\.0/sobjects(/\w+/describe)?"),
    re.compile(r"POST /services/data/v\d+\.0/composite/sobjects/[A-Za-z]\w*"),
    re.compile(r"POST /services/data/v\d+\.0/jobs/query"),
    re.compile(r"GET /services/data/v\d+\.0/jobs/query/[0-9A-Za-z]{15,18}"),
    re.compile(r"GET /services/data/v\d+\.0/jobs/query/[0-9A-Za-z]{15,18}/results\?maxRecords=\d+(&locator=[^&]*)?"),
)
"""Every request that is sent besides those for tokens. The first POST reads records by their ids; without the name of
the object at its end it would create some. The second one creates a job that reads. Source: REST API Developer Guide,
"Get Records With a Request Body Using sObject Collections"; Bulk API 2.0 Developer Guide, "Create a Query Job"."""

_CODES = {
    "INVALID_SESSION_ID": Reason.AUTH,
    "REQUEST_LIMIT_EXCEEDED": Reason.OVER_BUDGET,
    "INVALID_QUERY_LOCATOR": Reason.CURSOR_LOST,
    "QUERY_TIMEOUT": Reason.TIMEOUT,
    "SERVER_UNAVAILABLE": Reason.UNREACHABLE,
}
_HINTS = {
    "INVALID_FIELD": "the field is misspelt, deleted, or hidden from the user by field-level security",
    "REQUEST_LIMIT_EXCEEDED": "the org's API calls of 24 hours are used up, or too many long ones are under way",
}
_LEAVE_ALONE_S = 300.0

_ORGANISATION = re.compile(r"/id/(00D[0-9A-Za-z]{12}(?:[0-9A-Za-z]{3})?)/")

ResultT = TypeVar("ResultT")


class Session:
    """A signed-in user of one org."""

    def __init__(self, settings: SalesforceSettings, line: Line = DIRECT) -> None:
        self.data = f"/services/data/v{settings.api_version}"
        self.scrub = scrub = LearningScrubber(Scrubber.of(settings))
        self._timeout_s = timeout_s = settings.budget.timeout_s
        self._organisation = ""
        endpoint = TokenEndpoint(
            f"{settings.url}/services/oauth2/token",
            scrub,
            timeout_s=timeout_s,
            line=line,
            advice="check the connected app, its flow and the user it runs as",
            learned=self._learn,
        )
        self._tokens = TokenSource(_grant(settings), endpoint)
        self._transport = Transport(
            urlsplit(settings.url),
            authentication=self._tokens,
            scrub=scrub,
            allowed=AllowedReads(READS),
            timeout_s=timeout_s,
            connections=settings.budget.connections,
            retries=settings.retries,
            line=line,
            named="org",
        )

    def query(self, text: str, *, deleted: bool = False) -> Any:
        """The first response to a query.

        Args:
            deleted: also find what is in the recycle bin. Source: REST API Developer Guide, "QueryAll".
        """
        return self.ask("GET", f"{self.data}/{'queryAll' if deleted else 'query'}?q={quote(text, safe='')}")

    def ask(self, method: str, target: str, document: Any = None) -> Any:
        """Send one request and read its JSON.

        Raises:
            ProbeError: for every failure.
        """
        body = None if document is None else json.dumps(document).encode()
        return self._transport.ask(method, target, body=body, explained=_explained).document

    def csv(self, target: str) -> tuple[bytes, Mapping[str, str]]:
        """A CSV and the headers of its response.

        Raises:
            ProbeError: for every failure.
        """
        return self._transport.text(target, accept="text/csv", explained=_explained)

    def signed_in(self, use: Callable[[str, str], ResultT]) -> ResultT:
        """Call a function with a token and the org's id; once more with a new token if it raises `auth`."""
        with within(self._timeout_s):
            credentials = self._tokens.credentials()
        try:
            return use(self._tokens.token, self._organisation_id())
        except ProbeError as refused:
            if refused.reason is not Reason.AUTH:
                raise
            with within(self._timeout_s):
                fresh = self._tokens.renewed(credentials)
            if fresh is None:
                raise
        try:
            return use(self._tokens.token, self._organisation_id())
        except ProbeError as refused:
            if refused.reason is Reason.AUTH:
                self._tokens.in_vain()
            raise

    def _learn(self, document: Mapping[str, Any]) -> None:
        found = _ORGANISATION.search(str(document.get("id", "")))
        self._organisation = found[1] if found else ""

    def _organisation_id(self) -> str:
        if not self._organisation:
            raise ProbeError(Reason.DECODE, "the response with the token does not name the org")
        return self._organisation

    @property
    def remarks(self) -> tuple[str, ...]:
        """Remarks on signing in."""
        return self._transport.remarks

    def head(self) -> Mapping[str, str]:
        """The headers of a response that needs no session and does not count as a call."""
        return self._transport.head("/services/data", method="GET", signed_in=False)

    def close(self) -> None:
        """End running requests."""
        self._transport.close()


def _grant(settings: SalesforceSettings) -> Grant:
    """The org's token grant: its endpoint takes the app's secret in the form."""
    client_id = settings.client_id.get_secret_value()
    if settings.private_key is not None:
        claims = {"iss": client_id, "sub": settings.username, "aud": settings.audience}
        return JwtBearer(claims, settings.private_key.get_secret_value(), {}, extra="salesforce")
    secret = settings.client_secret.get_secret_value() if settings.client_secret is not None else ""
    client = Client(client_id, secret)
    if settings.refresh_token is not None:
        return RefreshToken(client, settings.refresh_token.get_secret_value(), {})
    return ClientCredentials(client, {})


def _explained(refusal: Refusal) -> Meaning | None:
    """The meaning of a refusal by its error code."""
    code, message = refused(refusal.said)
    if not code:
        return None
    status = refusal.status
    reason = _CODES.get(code) or STATUS.get(status) or (Reason.UNREACHABLE if status >= 500 else Reason.QUERY)
    rest_s = _LEAVE_ALONE_S if code == "REQUEST_LIMIT_EXCEEDED" else None
    return Meaning(reason=reason, words=f"{code}: {message}", hint=_HINTS.get(code, ""), retry_after_s=rest_s)


def refused(said: bytes | list[Any]) -> tuple[str, str]:
    """The code and the message of an API error; empty if it is not one."""
    try:
        first = (json.loads(said) if isinstance(said, bytes) else said)[0]
        return str(first["errorCode"]), str(first["message"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return "", ""


def reason_of(code: str) -> Reason:
    """The reason for an error that came with status 200."""
    return _CODES.get(code, Reason.DECODE)
