"""The token endpoint: client credentials, JWT bearer, refresh token; sessions that expire and are revoked.

Source: Salesforce Help, "OAuth 2.0 Client Credentials Flow for Server-to-Server Integration", "OAuth 2.0 JWT Bearer
Flow for Server-to-Server Integration" (RS256; iss the consumer key, sub the user name, aud the login host or the
org's own; exp a few minutes ahead), "OAuth 2.0 Refresh Token Flow", "Revoke OAuth Tokens", "OAuth 2.0 Authorization
Errors"; RFC 6749 section 5.2, RFC 7523. There is no `expires_in` in the answer: a session ends after the org's
session timeout (2 hours unless set) without a call.

Where the documents are silent: the wording of error_description, and how far ahead exp may be (3 minutes here, the
number in the vendor's samples). All errors are 400, as RFC 6749 has it; 401 for a client in an Authorization
header.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from tests.standins.clock import Clock
from tests.standins.salesforce import ids
from tests.standins.salesforce.errors import ApiError

ORGANISATION = ids.new_id("00D", 7)
LOGIN = "https://login.salesforce.com"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LONGEST_JWT = timedelta(minutes=3)


class OAuthError(Exception):
    """What the token endpoint answers instead of a token."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(f"{error}: {description}")
        self.status = status
        self.document = {"error": error, "error_description": description}


@dataclass(frozen=True, kw_only=True)
class App:
    """A connected app: who may ask for tokens, and how.

    Attributes:
        run_as: the user that client credentials run as; empty where the flow is off.
        public_key: of the certificate that signs JWTs.
        users: who approved the app for JWT.
    """

    client_id: str
    client_secret: str
    run_as: str = "auditor@example.com"
    public_key: RSAPublicKey | None = None
    users: frozenset[str] = frozenset({"auditor@example.com"})


@dataclass
class _Session:
    user: str
    used_at: datetime


class Authority:
    """Who is let in.

    Attributes:
        timeout: how long a session lives without a call.
    """

    def __init__(self, clock: Clock, apps: list[App]) -> None:
        self.apps = {app.client_id: app for app in apps}
        self.timeout = timedelta(hours=2)
        self._clock = clock
        self._sessions: dict[str, _Session] = {}
        self._refresh: dict[str, tuple[str, str]] = {}

    def refresh_token(self, client_id: str, user: str = "auditor@example.com") -> str:
        """A refresh token, as a person's consent in the browser gives one."""
        token = "5Aep861" + secrets.token_urlsafe(48)
        self._refresh[token] = (client_id, user)
        return token

    def revoke_all(self, *, refresh_tokens: bool = False) -> None:
        """End all sessions, as an administrator can."""
        self._sessions.clear()
        if refresh_tokens:
            self._refresh.clear()

    def check(self, token: str) -> None:
        """Let a call in and prolong its session.

        Raises:
            ApiError: 401 INVALID_SESSION_ID.
        """
        session = self._sessions.get(token)
        now = self._clock.now()
        if session is None or now - session.used_at > self.timeout:
            self._sessions.pop(token, None)
            raise ApiError(
                401, "INVALID_SESSION_ID", "Session expired or invalid", {"WWW-Authenticate": 'Bearer realm="Token"'}
            )
        session.used_at = max(now, session.used_at)

    def valid(self, token: str) -> bool:
        """Whether a session still lives, without prolonging it."""
        session = self._sessions.get(token)
        return session is not None and self._clock.now() - session.used_at <= self.timeout

    def revoke(self, token: str) -> None:
        """Answer a call of the revocation endpoint."""
        if self._sessions.pop(token, None) is None and self._refresh.pop(token, None) is None:
            raise OAuthError("invalid_token", f"the token is unknown: {len(token)} characters")

    def token(self, body: bytes, headers: Mapping[str, str], url: str) -> dict[str, Any]:
        """Answer a call of the token endpoint of the org at `url`."""
        form = dict(parse_qsl(body.decode(), keep_blank_values=True))
        grant = form.get("grant_type", "")
        if not grant:
            raise OAuthError("invalid_request", "grant type is missing")
        if grant == "client_credentials":
            app = self._client(form, headers)
            if not app.run_as:
                raise OAuthError("invalid_grant", "no client credentials user enabled")
            return self._issue(app, app.run_as, url)
        if grant == JWT_BEARER:
            return self._issue(*self._asserted(form.get("assertion", ""), url), url)
        if grant == "refresh_token":
            app = self._client(form, headers)
            client_id, user = self._refresh.get(form.get("refresh_token", ""), ("", ""))
            if client_id != app.client_id:
                raise OAuthError("invalid_grant", "expired access/refresh token")
            return self._issue(app, user, url)
        raise OAuthError("unsupported_grant_type", "grant type not supported")

    def _client(self, form: Mapping[str, str], headers: Mapping[str, str]) -> App:
        client_id, secret, status = form.get("client_id", ""), form.get("client_secret", ""), 400
        scheme, _, value = headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "basic":
            status = 401
            try:
                given = base64.b64decode(value, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                raise OAuthError("invalid_client", "invalid client credentials", 401) from None
            client_id, secret = unquote_plus(given[0]), unquote_plus(given[2])
        app = self.apps.get(client_id)
        if app is None:
            raise OAuthError("invalid_client_id", "client identifier invalid", status)
        if not hmac.compare_digest(secret.encode(), app.client_secret.encode()):
            raise OAuthError("invalid_client", "invalid client credentials", status)
        return app

    def _asserted(self, assertion: str, url: str) -> tuple[App, str]:
        wrong = OAuthError("invalid_grant", "invalid assertion")
        try:
            head, claims, signature = assertion.split(".")
            header, said = json.loads(_decoded(head)), json.loads(_decoded(claims))
            signed = _decoded(signature)
        except (ValueError, binascii.Error):
            raise wrong from None
        app = self.apps.get(said.get("iss", ""))
        if app is None:
            raise OAuthError("invalid_client_id", "client identifier invalid")
        if header.get("alg") != "RS256" or app.public_key is None:
            raise wrong
        try:
            app.public_key.verify(signed, f"{head}.{claims}".encode(), PKCS1v15(), SHA256())
        except InvalidSignature:
            raise wrong from None
        if said.get("aud") not in {LOGIN, "https://test.salesforce.com", url}:
            raise OAuthError("invalid_grant", "audience is invalid")
        left = said.get("exp", 0) - self._clock.now().timestamp()
        if not 0 < left <= LONGEST_JWT.total_seconds():
            raise OAuthError("invalid_grant", "expired assertion" if left <= 0 else "expiry is too far ahead")
        if said.get("sub") not in app.users:
            raise OAuthError("invalid_grant", "user hasn't approved this consumer")
        return app, said["sub"]

    def _issue(self, app: App, user: str, url: str) -> dict[str, Any]:
        token = f"{ORGANISATION[:15]}!{secrets.token_urlsafe(72)}"
        now = self._clock.now()
        self._sessions[token] = _Session(user=user, used_at=now)
        issued_at = str(int(now.timestamp() * 1000))
        identity = f"{LOGIN}/id/{ORGANISATION}/{ids.new_id('005', 1)}"
        signature = hmac.new(app.client_secret.encode(), (identity + issued_at).encode(), hashlib.sha256).digest()
        return {
            "access_token": token,
            "signature": base64.b64encode(signature).decode(),
            "scope": "api",
            "instance_url": url,
            "id": identity,
            "token_type": "Bearer",
            "issued_at": issued_at,
        }


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
