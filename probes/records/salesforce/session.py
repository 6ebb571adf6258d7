"""Signing in to an org and asking its API: every request is on a list of those that only read.

The token goes to the org's own address and nowhere else: `instance_url` and `nextRecordsUrl` of an answer never say
where to. Source: Salesforce Help, "OAuth 2.0 Client Credentials Flow", "OAuth 2.0 JWT Bearer Flow"; REST API
Developer Guide, "Status Codes and Error Responses".
"""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import httpx

from probes.bounded_http import ANSWER_LIMIT_BYTES, BoundedClient, beginning, unpacked
from probes.call_deadline import becomes
from probes.contract import ProbeError, Reason
from probes.exact_json import TooDeepError, TooManyError, decode, weight
from probes.records.rest.answers import retry_after_s
from probes.records.salesforce.settings import SalesforceSettings
from probes.secrets import Scrubber

READS = (
    re.compile(r"GET /services/data/?"),
    re.compile(r"GET /services/data/v\d+\.0/(query|queryAll)\?q=[^&]*"),
    re.compile(r"GET /services/data/v\d+\.0/(query|queryAll)/[A-Za-z0-9]+-\d+"),
    re.compile(r"GET /services/data/v\d+\.0/sobjects(/\w+/describe)?"),
    re.compile(r"POST /services/data/v\d+\.0/composite/sobjects/[A-Za-z]\w*"),
)
"""Every request that is sent beside those for tokens. The POST reads records by their ids; without the name of an
object at its end it would create some. Source: REST API Developer Guide, "Get Records With a Request Body Using
sObject Collections"."""

JWT_LIVES_S = 120
"""A JWT is taken for up to three minutes."""

_CODES = {
    "INVALID_SESSION_ID": Reason.AUTH,
    "REQUEST_LIMIT_EXCEEDED": Reason.OVER_BUDGET,
    "INVALID_QUERY_LOCATOR": Reason.CURSOR_LOST,
    "QUERY_TIMEOUT": Reason.TIMEOUT,
    "SERVER_UNAVAILABLE": Reason.UNREACHABLE,
}
_STATUS = {401: Reason.AUTH, 403: Reason.PERMISSION, 414: Reason.TOO_LARGE, 429: Reason.OVER_BUDGET}
_HINTS = {
    "INVALID_FIELD": "the field is misspelt, deleted, or hidden from the user by field-level security",
    "REQUEST_LIMIT_EXCEEDED": "the org's API calls of 24 hours are used up, or too many long ones are under way",
}
_LEAVE_ALONE_S = 300.0


class Session:
    """A signed-in user of one org."""

    def __init__(self, settings: SalesforceSettings) -> None:
        self._settings = settings
        self._scrub = Scrubber.of(settings)
        self._token = ""
        self._signing_in = threading.Lock()
        self.data = f"/services/data/v{settings.api_version}"
        most = settings.budget.connections * 2
        self._client = BoundedClient(
            timeout_s=settings.budget.timeout_s,
            base_url=settings.url,
            headers={"Accept": "application/json", "User-Agent": "plumbline-auditor"},
            # A transport of its own, which no proxy of the environment comes between.
            transport=httpx.HTTPTransport(limits=httpx.Limits(max_connections=most, max_keepalive_connections=most)),
        )

    def query(self, text: str) -> Any:
        """The first answer to a query."""
        return self.ask("GET", f"{self.data}/query?q={quote(text, safe='')}")

    def ask(self, method: str, target: str, document: Any = None) -> Any:
        """Send one request and read its JSON; sign in first, and again where the session has ended.

        Raises:
            ProbeError: whatever keeps it from an answer.
        """
        self._check(method, target)
        token = self._token or self._sign_in("")
        try:
            return self._ask(method, target, document, token)
        except _EndedError:
            pass
        try:
            return self._ask(method, target, document, self._sign_in(token))
        except _EndedError as ended:
            raise ended.error from None

    def date(self) -> tuple[str | None, bool]:
        """The Date of an answer that needs no session, and whether it may be an old answer."""
        try:
            with self._client.stream("GET", "/services/data") as response:
                return response.headers.get("date"), "age" in response.headers
        except httpx.HTTPError as error:
            raise self._lost(error) from None

    def _check(self, method: str, target: str) -> None:
        if not any(allowed.fullmatch(f"{method} {target}") for allowed in READS):
            raise ProbeError(
                Reason.QUERY, self._scrub(f"{method} {target[:200]} is not on the list of reading requests")
            )

    # -- signing in

    def _sign_in(self, stale: str) -> str:
        """A token other than the stale one; threads that need one at the same time share it."""
        with self._signing_in:
            if self._token != stale:
                return self._token
            form = {"grant_type": "client_credentials", "client_id": self._settings.client_id.get_secret_value()}
            if self._settings.client_secret is not None:
                form["client_secret"] = self._settings.client_secret.get_secret_value()
            else:
                form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": self._assertion()}
            document = self._signed_in(form)
            token = document.get("access_token") if isinstance(document, dict) else None
            if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
                raise ProbeError(Reason.DECODE, "the token endpoint answered without an access_token")
            self._scrub = self._scrub.knowing([token])
            self._token = token
            return token

    def _signed_in(self, form: Mapping[str, str]) -> Any:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        body = urlencode(form).encode()
        try:
            with self._client.stream("POST", "/services/oauth2/token", content=body, headers=headers) as response:
                if response.is_success:
                    return self._decoded(response)
                said = beginning(response)
        except httpx.HTTPError as error:
            raise self._lost(error) from None
        status = response.status_code
        reason = Reason.UNREACHABLE if status >= 500 else Reason.OVER_BUDGET if status == 429 else Reason.AUTH
        try:
            told = json.loads(said)
            words = f"{told['error']}: {told['error_description']}"
        except (ValueError, KeyError, TypeError):
            words = said.decode(errors="replace")
        raise ProbeError(
            reason,
            self._clean(f"HTTP {status} from the token endpoint: {words}"),
            hint="" if reason is not Reason.AUTH else "check the connected app, its flow and the user it runs as",
            retry_after_s=retry_after_s(response.headers.get("retry-after"), response.headers.get("date")),
        )

    def _assertion(self) -> str:
        try:
            from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
            from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
            from cryptography.hazmat.primitives.hashes import SHA256
            from cryptography.hazmat.primitives.serialization import load_pem_private_key
        except ModuleNotFoundError as error:
            hint = "pip install 'plumbline-auditor[salesforce]'"
            raise ProbeError(Reason.QUERY, "the package cryptography is not installed", hint=hint) from error
        pem = self._settings.private_key.get_secret_value() if self._settings.private_key else ""
        try:
            key = load_pem_private_key(pem.encode(), None)
        except (ValueError, TypeError):
            raise ProbeError(Reason.AUTH, "private_key is no RSA key in PEM without a passphrase") from None
        if not isinstance(key, RSAPrivateKey):
            raise ProbeError(Reason.AUTH, "private_key is no RSA key: Salesforce takes RS256 alone")
        claims = {
            "iss": self._settings.client_id.get_secret_value(),
            "sub": self._settings.username,
            "aud": self._settings.audience,
            "exp": int(time.time()) + JWT_LIVES_S,
        }
        signed = f"{_part({'alg': 'RS256'})}.{_part(claims)}"
        return f"{signed}.{_encoded(key.sign(signed.encode(), PKCS1v15(), SHA256()))}"

    # -- asking

    def _ask(self, method: str, target: str, document: Any, token: str) -> Any:
        headers = {"Authorization": f"Bearer {token}"}
        content = None
        if document is not None:
            headers["Content-Type"], content = "application/json", json.dumps(document).encode()
        try:
            with self._client.stream(method, target, content=content, headers=headers) as response:
                if response.is_success:
                    return self._decoded(response)
                raise self._refusal(response, target)
        except httpx.HTTPError as error:
            raise self._lost(error) from None

    def _decoded(self, response: httpx.Response) -> Any:
        body = b"".join(unpacked(response, ANSWER_LIMIT_BYTES))
        try:
            becomes(weight(body))
            return decode(body)
        except TooManyError as error:
            raise ProbeError(Reason.TOO_LARGE, f"an answer of {error}") from None
        except TooDeepError as error:
            raise ProbeError(Reason.DECODE, f"an answer of {error}, which is not read") from None
        except ValueError:
            kind = " ".join(response.headers.get("content-type", "no content type").split())[:80]
            raise ProbeError(Reason.DECODE, self._clean(f"{len(body)} bytes that are not JSON ({kind})")) from None

    def _refusal(self, response: httpx.Response, target: str) -> Exception:
        status = response.status_code
        path = target.partition("?")[0]
        if 300 <= status < 400:
            hint = "redirects are not followed, so that no secret goes elsewhere; is url: the org's My Domain?"
            return ProbeError(Reason.QUERY, f"HTTP {status} from {path}", hint=hint)
        said = beginning(response)
        code, message = refused(said)
        reason = _CODES.get(code) or _STATUS.get(status) or (Reason.UNREACHABLE if status >= 500 else Reason.QUERY)
        wait_s = retry_after_s(response.headers.get("retry-after"), response.headers.get("date"))
        if wait_s is None and code == "REQUEST_LIMIT_EXCEEDED":
            wait_s = _LEAVE_ALONE_S
        words = f"{code}: {message}" if code else said.decode(errors="replace")
        error = ProbeError(
            reason,
            self._clean(f"HTTP {status} from {path}: {words}"),
            hint=_HINTS.get(code, ""),
            retry_after_s=wait_s,
        )
        return _EndedError(error) if status == 401 else error

    def _lost(self, error: httpx.HTTPError) -> ProbeError:
        if isinstance(error, httpx.TimeoutException):
            told = f"no whole answer within {self._settings.budget.timeout_s:g} s"
            return ProbeError(Reason.TIMEOUT, told, hint="raise budget.timeout if the org is only slow")
        return ProbeError(Reason.UNREACHABLE, self._clean(f"{type(error).__name__}: {error}"), hint="check url:")

    def _clean(self, text: str) -> str:
        return " ".join(self._scrub(text).split())[:400]

    def close(self) -> None:
        """End requests under way."""
        self._client.close()


class _EndedError(Exception):
    """The session is not good any more."""

    def __init__(self, error: ProbeError) -> None:
        super().__init__(str(error))
        self.error = error


def refused(said: bytes | list[Any]) -> tuple[str, str]:
    """The code and the message of an error as the API tells one; empty where it is none."""
    try:
        first = (json.loads(said) if isinstance(said, bytes) else said)[0]
        return str(first["errorCode"]), str(first["message"])
    except (ValueError, LookupError, TypeError):
        return "", ""


def reason_of(code: str) -> Reason:
    """What an error means that came with status 200."""
    return _CODES.get(code, Reason.DECODE)


def _part(document: Mapping[str, Any]) -> str:
    return _encoded(json.dumps(document).encode())


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
