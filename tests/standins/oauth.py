"""An authorization server of OAuth 2, and an API that takes its tokens. A stand-in of our own.

Source: RFC 6749 (October 2012), sections 2.3.1, 4.4, 5.1, 5.2 and 6; RFC 6750 (October 2012), sections 2.1 and 3.1;
RFC 7523 (May 2015), sections 2.1, 3 and 3.1; RFC 7515, section 5.2 (RS256). What those leave to the server: an
expired or revoked access token is 401 `invalid_token`; whether refresh tokens are replaced (`rotates`); an assertion
may end up to an hour ahead.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import unquote_plus

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from tests.standins.clock import Clock
from tests.standins.faults import Answer
from tests.standins.service import RefusalError, Request, Service, json_body

CLIENT_ID = "auditor-of-tests"
CLIENT_SECRET = "s3cret of/the client+"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LONGEST_ASSERTION_S = 3600
_HOLDS_S = 120.0


@dataclass(frozen=True, kw_only=True)
class Issuer:
    """Who may ask for tokens by a signed statement.

    Attributes:
        subjects: for whom.
    """

    public_key: RSAPublicKey
    subjects: frozenset[str | None]


class OAuth(Service):
    """Both servers on one port: `/oauth/token`, and customers below `/api`.

    Attributes:
        expires_in: what the answer says of a token's life, and how long it is; None for a life without end that is
            not told.
        told_expires_in: the same as it is told, where that is something else.
        rotates: a refresh token is replaced with each use, and the old one worth nothing.
        takes: how a client may say who it is.
        further: members that answers with a token have beside the standard's.
        revoked_after: so many calls of the API use a token up; None for any number.
        open: a request for a token is answered only while this is set.
        issued: every token that was given out.
    """

    routes: ClassVar[Sequence[tuple[str, str, str]]] = (
        ("POST", "/oauth/token", "token"),
        ("GET", "/api/customers", "many"),
        ("POST", "/api/customers/search", "search"),
        ("GET", "/api/customers/{key}", "one"),
    )

    def __init__(self, *, clock: Clock | None = None) -> None:
        self.expires_in: int | None = 1800
        self.told_expires_in: Any = None
        self.rotates = False
        self.takes = frozenset({"form", "basic"})
        self.further: dict[str, Any] = {}
        self.open = threading.Event()
        self.open.set()
        self.issued: list[str] = []
        self.issuers: dict[str, Issuer] = {}
        self.revoked_after: int | None = None
        self.customers = {f"c{number}": {"id": f"c{number}", "name": f"n{number}"} for number in range(5)}
        self._ends: dict[str, float] = {}
        self._refresh: set[str] = set()
        self._used: dict[str, int] = {}
        super().__init__(clock=clock)

    @property
    def token_url(self) -> str:
        """Where tokens are asked for."""
        return f"{self.url}/oauth/token"

    def refresh_token(self) -> str:
        """What a person's consent gives."""
        token = f"refresh-{secrets.token_urlsafe(24)}"
        self._refresh.add(token)
        return token

    def refusal(self, status: int, retry_after: str | None) -> Answer:
        """An error of the token endpoint; the API's own say less."""
        code = "temporarily_unavailable" if status >= 500 else "invalid_request"
        headers = {} if not retry_after else {"Retry-After": retry_after}
        return Answer(
            status=status, document={"error": code, "error_description": f"ordered {status}"}, headers=headers
        )

    def revoke(self) -> None:
        """Make every token that was given out worthless."""
        self._ends.clear()

    def revoke_refresh_tokens(self) -> None:
        """As a person does who takes the consent back."""
        self._refresh.clear()

    def admit(self, operation: str, request: Request) -> Mapping[str, str]:
        if operation == "token":
            return {"Cache-Control": "no-store"}
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or self.clock.now().timestamp() >= self._ends.get(token, 0.0):
            said = {"WWW-Authenticate": 'Bearer realm="api", error="invalid_token"'}
            raise RefusalError(Answer(status=401, document={"error": f"the token {token} is not good"}, headers=said))
        self._used[token] = self._used.get(token, 0) + 1
        if self._used[token] == self.revoked_after:
            del self._ends[token]
        return {}

    # -- the token endpoint

    def token(self, request: Request) -> Answer:
        """RFC 6749, section 5."""
        assert self.open.wait(_HOLDS_S), "nobody opened it"
        if request.headers.get("content-type") != "application/x-www-form-urlencoded":
            raise _refused("invalid_request", "the body is no form")
        form = request.form
        if form.get("grant_type") == "client_credentials":
            self._client(request)
            return self._issue({})
        if form.get("grant_type") == "refresh_token":
            self._client(request)
            given = form.get("refresh_token", "")
            if given not in self._refresh:
                raise _refused("invalid_grant", f"the refresh token {given} has ended")
            if not self.rotates:
                return self._issue({})
            self._refresh.discard(given)
            return self._issue({"refresh_token": self.refresh_token()})
        if form.get("grant_type") == JWT_BEARER:
            self._asserted(form.get("assertion", ""))
            return self._issue({})
        raise _refused("unsupported_grant_type", "no such grant")

    def _client(self, request: Request) -> None:
        form, authorization = request.form, request.headers.get("authorization", "")
        if authorization and "client_secret" in form:
            raise _refused("invalid_request", "more than one way to say who asks")
        if authorization:
            how, given = "basic", base64.b64decode(authorization.partition(" ")[2]).decode().split(":", 1)
            client_id, secret = map(unquote_plus, given)
        else:
            how, client_id, secret = "form", form.get("client_id", ""), form.get("client_secret", "")
        if how not in self.takes or (client_id, secret) != (CLIENT_ID, CLIENT_SECRET):
            raise _refused("invalid_client", f"{client_id} with {secret} is nobody", 401 if how == "basic" else 400)

    def _asserted(self, assertion: str) -> None:
        wrong = _refused("invalid_grant", f"not a good assertion: {assertion}")
        try:
            head, claims, signature = assertion.split(".")
            header, said, signed = json.loads(_bytes(head)), json.loads(_bytes(claims)), _bytes(signature)
        except (ValueError, binascii.Error):
            raise wrong from None
        issuer = self.issuers.get(said.get("iss"))
        if issuer is None or header.get("alg") != "RS256":
            raise wrong
        try:
            issuer.public_key.verify(signed, f"{head}.{claims}".encode(), PKCS1v15(), SHA256())
        except InvalidSignature:
            raise wrong from None
        left_s = said.get("exp", 0) - self.clock.now().timestamp()
        if said.get("aud") != self.token_url or said.get("sub") not in issuer.subjects:
            raise wrong
        if not 0 < left_s <= LONGEST_ASSERTION_S:
            raise _refused("invalid_grant", "expired assertion" if left_s <= 0 else "exp is too far ahead")

    def _issue(self, more: Mapping[str, Any]) -> Answer:
        token = f"access-{len(self.issued)}-{secrets.token_urlsafe(24)}"
        self.issued.append(token)
        now = self.clock.now().timestamp()
        self._ends[token] = float("inf") if self.expires_in is None else now + self.expires_in
        told = self.expires_in if self.told_expires_in is None else self.told_expires_in
        life = {} if told is None else {"expires_in": told}
        document = {"access_token": token, "token_type": "Bearer", **life, **more, **self.further}
        return Answer(document={name: value for name, value in document.items() if value is not None})

    # -- the API

    def one(self, request: Request, key: str) -> Any:
        """One customer."""
        if key not in self.customers:
            raise RefusalError(Answer(status=404, document={"error": "no such customer"}))
        return self.customers[key]

    def many(self, request: Request) -> Any:
        """Some customers, by `ids`; without it a page of all of them, behind the key `after`."""
        asked = request.value("ids")
        if asked is not None:
            return [self.customers[key] for key in asked.split(",") if key in self.customers]
        after, limit = request.value("after") or "", int(request.value("limit") or 100)
        return [self.customers[key] for key in sorted(self.customers) if key > after][:limit]

    def search(self, request: Request) -> Any:
        """Some customers, by the ids in the body."""
        asked = json_body(request) or {}
        return [self.customers[key] for key in asked.get("ids", ()) if key in self.customers]


def _refused(code: str, described: str, status: int = 400) -> RefusalError:
    headers = {"WWW-Authenticate": 'Basic realm="token"'} if status == 401 else {}
    return RefusalError(
        Answer(status=status, document={"error": code, "error_description": described}, headers=headers)
    )


def _bytes(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
