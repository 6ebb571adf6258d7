"""Requests to a token endpoint: three grants of OAuth 2.

Sources: RFC 6749, sections 2.3.1 (how a client identifies itself), 4.4 (client credentials), 6 (refresh token);
RFC 7521 and RFC 7523, section 2.1 (JWT as an authorization grant).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol
from urllib.parse import quote_plus

from probes.http.authentication import pair
from probes.http.signed_jwt import signed

JWT_LIVES_S = 120
"""Salesforce accepts a JWT that expires in up to three minutes, others up to an hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A request to a token endpoint.

    Attributes:
        form: the fields, unencoded.
        headers: the headers sent with them.
        secrets: the secrets in both.
        tokens: those of them that another token will replace.
    """

    form: Mapping[str, str]
    headers: Mapping[str, str] = field(default_factory=dict)
    secrets: Sequence[str] = ()
    tokens: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Client:
    """An app that requests tokens.

    Attributes:
        sends: how it identifies itself: in the form, or as HTTP basic.
    """

    client_id: str
    secret: str = field(repr=False)
    sends: Literal["form", "basic"] = "form"

    def question(self, form: Mapping[str, str]) -> Question:
        """The request with a form and the client's identification."""
        if self.sends == "form":
            known = {"client_id": self.client_id} | ({"client_secret": self.secret} if self.secret else {})
            return Question(form={**form, **known}, secrets=[self.secret])
        login = pair(quote_plus(self.client_id), quote_plus(self.secret))
        return Question(
            form=form, headers={login.name: login.value}, secrets=[self.secret, login.value.partition(" ")[2]]
        )


class Grant(Protocol):
    """One way to get a token."""

    def question(self) -> Question:
        """The token request. Raises ProbeError if it cannot be built."""

    def answered(self, document: Mapping[str, Any]) -> Sequence[str]:
        """Take note of the other fields of a token response.

        Returns:
            The secrets among them.
        """

    @property
    def remarks(self) -> tuple[str, ...]:
        """Remarks for people, as far as known by now."""

    def advice(self, error: str) -> str:
        """What to do about one of OAuth's errors; empty if it is not about this grant."""


class ClientCredentials:
    """The app signs in as itself.

    Args:
        further: fields besides those of the standard, such as `scope` and `audience`.
    """

    def __init__(self, client: Client, further: Mapping[str, str]) -> None:
        self._client = client
        self._further = further

    def question(self) -> Question:
        return self._client.question({"grant_type": "client_credentials", **self._further})

    @property
    def remarks(self) -> tuple[str, ...]:
        return ()

    def answered(self, document: Mapping[str, Any]) -> Sequence[str]:
        return []

    def advice(self, error: str) -> str:
        if error == "invalid_grant":
            return "the server issues no token to this app alone; is the user that it runs as set up there?"
        return ""


class RefreshToken:
    """A person has authorized the app once.

    A server may replace the refresh token with each use: the new one is kept only in this process, since nothing is
    ever written to the map.
    """

    def __init__(self, client: Client, refresh_token: str, further: Mapping[str, str]) -> None:
        self._client = client
        self._first = self._latest = refresh_token
        self._further = further
        self._changing = threading.Lock()

    def question(self) -> Question:
        with self._changing:
            token = self._latest
        question = self._client.question({"grant_type": "refresh_token", "refresh_token": token, **self._further})
        return replace(question, tokens=[token])

    def answered(self, document: Mapping[str, Any]) -> Sequence[str]:
        token = document.get("refresh_token")
        if not isinstance(token, str) or not token:
            return []
        with self._changing:
            self._latest = token
        return [token]

    @property
    def remarks(self) -> tuple[str, ...]:
        if self._latest == self._first:
            return ()
        return (
            "the server replaces the refresh token with each use: the one in the map is used up, and after a restart "
            "the app has to be authorized again; prefer client credentials, or a refresh token that stays the same",
        )

    def advice(self, error: str) -> str:
        if error == "invalid_grant":
            return (
                "the refresh token has expired, was revoked, or was replaced when it was used: authorize the "
                "app again, and put the new one into the map"
            )
        return ""


class JwtBearer:
    """The app signs a statement about itself with its key.

    Args:
        claims: of the statement, without its times.
        further: additional form fields.
        extra: the extra of this product that installs the library, for messages.
    """

    def __init__(
        self,
        claims: Mapping[str, Any],
        private_key: str,
        further: Mapping[str, str],
        *,
        key_id: str | None = None,
        extra: str = "jwt",
        now: Callable[[], float] = time.time,
    ) -> None:
        self._claims = claims
        self._key = private_key
        self._further = further
        self._key_id = key_id
        self._extra = extra
        self._now = now

    def question(self) -> Question:
        now = int(self._now())
        claims = {**self._claims, "iat": now, "exp": now + JWT_LIVES_S}
        assertion = signed(claims, self._key, key_id=self._key_id, extra=self._extra)
        form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
        return Question(form={**form, **self._further}, tokens=[assertion])

    @property
    def remarks(self) -> tuple[str, ...]:
        return ()

    def answered(self, document: Mapping[str, Any]) -> Sequence[str]:
        return []

    def advice(self, error: str) -> str:
        if error == "invalid_grant":
            return (
                "the server does not accept the signed statement: check the issuer, the subject, the audience and "
                "the key, and whether both clocks are right"
            )
        return ""
