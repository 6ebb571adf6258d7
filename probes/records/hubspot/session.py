"""Access to an account's API: the allowed requests, and the meaning of its errors.

Sources: developers.hubspot.com, "Private apps", "Working with OAuth", "Handling errors", "API usage guidelines and
limits", "Search the CRM"; the models of @hubspot/api-client 14.0.1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from probes.contract import ProbeError, Reason
from probes.http.allowed_reads import AllowedReads
from probes.http.authentication import Authentication, bearer
from probes.http.grants import Client, RefreshToken
from probes.http.learning_scrubber import LearningScrubber
from probes.http.line import DIRECT, Line
from probes.http.token_endpoint import TokenEndpoint
from probes.http.tokens import TokenSource
from probes.http.transport import STATUS, Meaning, Refusal, Transport
from probes.metering import operation
from probes.records.hubspot.settings import SEARCH, HubSpotSettings
from probes.secrets import Scrubber

_TYPE = r"[A-Za-z0-9_-]+"

READS = (
    re.compile(rf"GET /crm/v3/objects/{_TYPE}(/[^/?]+)?\?[^\s]*"),
    re.compile(rf"GET /crm/v3/properties/{_TYPE}"),
    re.compile(r"GET /crm/v3/schemas"),
    re.compile(r"GET /account-info/v3/details"),
    re.compile(rf"POST /crm/v3/objects/{_TYPE}/(batch/read|search)"),
    re.compile(rf"POST /crm/v4/associations/{_TYPE}/{_TYPE}/batch/read"),
)
"""Every request that is sent besides those for tokens. HubSpot reads batches, and searches, by POST."""

CLOCK_PATH = "/account-info/v3/details"
"""Any token may read it."""

_CATEGORIES = {
    "EXPIRED_AUTHENTICATION": Reason.AUTH,
    "INVALID_AUTHENTICATION": Reason.AUTH,
    "MISSING_SCOPES": Reason.PERMISSION,
    "RATE_LIMITS": Reason.OVER_BUDGET,
}
_PASSING = frozenset({409, 423, 477})
"""A conflict, a lock and a migration are transient. Source: "Handling errors"."""

_REST_S = {"SECONDLY": 1.0, "TEN_SECONDLY_ROLLING": 10.0, "DAILY": 900.0}
"""How long to pause after a refusal without Retry-After, by the limit's name: the header is not guaranteed."""

_HINTS = {
    "DAILY": "all the account's apps together have used up the daily calls; the count restarts at its midnight",
    "SECONDLY": "all the account's apps share five searches per second",
}


class Session:
    """An app's access to one account."""

    def __init__(self, settings: HubSpotSettings, line: Line = DIRECT) -> None:
        scrub = LearningScrubber(Scrubber.of(settings))
        self._transport = Transport(
            urlsplit(settings.url),
            authentication=_authentication(settings, scrub, line),
            scrub=scrub,
            allowed=AllowedReads(READS),
            timeout_s=settings.budget.timeout_s,
            connections=settings.budget.connections,
            retries=settings.retries,
            line=line,
            too_large="name fewer or smaller properties in the map",
            named="account's API",
        )

    def ask(self, method: str, target: str, document: Any = None) -> Mapping[str, Any]:
        """Send one request and read its JSON, which is an object in every response of this API.

        Raises:
            ProbeError: for every failure.
        """
        body = None if document is None else json.dumps(document).encode()
        response = self._transport.ask(method, target, body=body, explained=_explained).document
        if not isinstance(response, dict):
            raise ProbeError(Reason.DECODE, f"{target.partition('?')[0]} returned something other than an object")
        if response.get("status") == "error":  # an error with status 200
            category, words, _ = _error(response)
            raise ProbeError(_CATEGORIES.get(category, Reason.DECODE), words[:300])
        return response

    def search(self, collection: str, document: Any) -> Mapping[str, Any]:
        """Search objects. Raises ProbeError."""
        with operation(SEARCH):
            return self.ask("POST", f"/crm/v3/objects/{collection}/search", document)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Remarks on signing in."""
        return self._transport.remarks

    def head(self) -> Mapping[str, str]:
        """The headers of a small response."""
        return self._transport.head(CLOCK_PATH, method="GET")

    def close(self) -> None:
        """End running requests."""
        self._transport.close()


def _authentication(settings: HubSpotSettings, scrub: LearningScrubber, line: Line) -> Authentication:
    if settings.token is not None:
        return bearer(settings.token.get_secret_value())
    assert settings.client_id is not None
    assert settings.client_secret is not None
    assert settings.refresh_token is not None
    endpoint = TokenEndpoint(
        f"{settings.url}/oauth/v1/token",
        scrub,
        timeout_s=settings.budget.timeout_s,
        line=line,
        advice="check the app's client id and secret, and whether it is still installed in the account",
    )
    client = Client(settings.client_id, settings.client_secret.get_secret_value())
    return TokenSource(RefreshToken(client, settings.refresh_token.get_secret_value(), {}), endpoint)


GRANT = "grant the app one of these scopes: "
"""Begins the hint of a refusal that names scopes."""


def _explained(refusal: Refusal) -> Meaning | None:
    """The meaning of a refusal by its category, and by the name of the limit that was reached."""
    try:
        document = json.loads(refusal.said)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or not isinstance(document.get("category"), str):
        return None
    category, words, scopes = _error(document)
    status, policy = refusal.status, str(document.get("policyName", ""))
    usual = Reason.UNREACHABLE if status >= 500 or status in _PASSING else Reason.QUERY
    reason = _CATEGORIES.get(category) or STATUS.get(status) or usual
    hint = _HINTS.get(policy, "")
    if scopes:
        hint = f"{GRANT}{', '.join(scopes)}"
    elif reason is Reason.PERMISSION:
        hint = "grant the app the read scope of this type of objects (crm.objects.TYPE.read)"
    elif reason is Reason.AUTH:
        hint = "check token: it may have been rotated, or not copied whole"
    rest_s = _REST_S.get(policy, 10.0) if reason is Reason.OVER_BUDGET else None
    return Meaning(reason=reason, words=words, hint=hint, retry_after_s=rest_s)


def _error(document: Mapping[str, Any]) -> tuple[str, str, Sequence[str]]:
    """An error's category, its words with the id that HubSpot's support needs, and the missing scopes."""
    category = str(document.get("category", ""))[:60]
    limit = f", {str(document['policyName'])[:40]}" if "policyName" in document else ""
    correlation = str(document.get("correlationId", "none"))[:60]
    words = f"{category}{limit} (correlationId {correlation}): {document.get('message', '')}"
    return category, words, _scopes(document.get("errors"))


def _scopes(errors: Any) -> list[str]:
    scopes: list[str] = []
    for each in errors if isinstance(errors, list) else []:
        context = each.get("context") if isinstance(each, dict) else None
        for name, values in context.items() if isinstance(context, dict) else ():
            if name in {"requiredScopes", "requiredGranularScopes"} and isinstance(values, list):
                scopes += [str(value)[:80] for value in values[:10]]
    return list(dict.fromkeys(scopes))


def reason_of(category: str) -> Reason:
    """The reason for an error in a response that also has records."""
    return _CATEGORIES.get(category, Reason.DECODE)
