"""The map's settings for signing in to an API: `auth: {kind: ...}`. Loads no driver."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from probes.addresses import check_address
from probes.settings import PluginSettings

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_BARE_HOST = re.compile(r"(?=[^:]*[A-Za-z])[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+(:\d{1,5})?")
_OF_THE_TRANSPORT = frozenset(
    {"host", "content-length", "content-type", "transfer-encoding", "connection", "accept-encoding", "accept", "te"}
)


def check_header_value(value: SecretStr) -> SecretStr:
    """A value that a header can carry. Raises ValueError."""
    text = value.get_secret_value()
    if not text.strip():
        raise ValueError("is empty; is the environment variable or the file that it comes from empty?")
    if not text.isascii() or not text.isprintable():
        raise ValueError("contains a line break or another character that no header can carry")
    return value


def check_token_url(text: str) -> str:
    """The address of a token endpoint: secrets go there. Raises ValueError."""
    address = urlsplit(check_address(text.strip(), login=False))
    spaced = any(map(str.isspace, text.strip()))
    if not address.hostname or address.username is not None or address.fragment or spaced:
        raise ValueError("not the address of a token endpoint; write for example https://login.example.com/token")
    if address.scheme != "https" and not (address.scheme == "http" and on_this_machine(address.hostname)):
        raise ValueError("secrets are sent to it, so it must begin with https://")
    return text.strip()


def check_api_address(text: str, refusal: str) -> str:
    """The address of an API whose paths are fixed: scheme, host and port; secrets go there.

    A bare host, such as `example.my.salesforce.com`, gets `https://`.

    Args:
        refusal: the message for anything else.

    Raises:
        ValueError: for anything else.
    """
    text = text.strip().rstrip("/")
    if _BARE_HOST.fullmatch(text):
        text = f"https://{text}"
    if "://" not in text:
        raise ValueError("not a URL; it begins with https://")
    address = urlsplit(check_address(text, login=False))
    host = address.hostname or ""
    if address.scheme == "http" and not on_this_machine(host):
        raise ValueError(f"{refusal}; http:// is accepted for this machine alone")
    safe = address.scheme == "https" or (address.scheme == "http" and on_this_machine(host))
    if not safe or not host or address.path or address.query or address.fragment or "@" in address.netloc:
        raise ValueError(refusal)
    return text


def on_this_machine(host: str) -> bool:
    """Whether a host is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class BearerAuth(PluginSettings):
    """A fixed token.

    Attributes:
        token: sent as `Authorization: Bearer TOKEN`.
    """

    kind: Literal["bearer"]
    token: SecretStr

    @field_validator("token")
    @classmethod
    def _can_be_sent(cls, token: SecretStr) -> SecretStr:
        if token.get_secret_value().lower().startswith("bearer "):
            raise ValueError("write the token alone, without Bearer before it")
        return check_header_value(token)


class BasicAuth(PluginSettings):
    """A name and a password; APIs often use only one of them, for a key.

    Attributes:
        user, password: sent as `Authorization: Basic ...`; either may be empty.
    """

    kind: Literal["basic"]
    user: SecretStr = SecretStr("")
    password: SecretStr = SecretStr("")

    @model_validator(mode="after")
    def _says_who(self) -> BasicAuth:
        if not self.user.get_secret_value() and not self.password.get_secret_value():
            raise ValueError("user and password are both empty; set one of them")
        if ":" in self.user.get_secret_value():
            raise ValueError("user holds a colon, which ends it: set what follows it as password")
        return self


class HeaderAuth(PluginSettings):
    """A key in an API-specific header.

    Attributes:
        name: the header's name, such as `X-Api-Key`.
        value: the key.
    """

    kind: Literal["header"]
    name: str
    value: SecretStr

    @field_validator("name")
    @classmethod
    def _is_name(cls, name: str) -> str:
        if not _HEADER.fullmatch(name):
            raise ValueError("not the name of a header; write for example X-Api-Key")
        if name.lower() in _OF_THE_TRANSPORT:
            raise ValueError(f"{name} is set for every request anyway, and signs nobody in")
        return name

    @field_validator("value")
    @classmethod
    def _can_be_sent(cls, value: SecretStr) -> SecretStr:
        return check_header_value(value)


_STANDARD = frozenset(
    {"grant_type", "client_id", "client_secret", "refresh_token", "assertion", "scope", "username", "password"}
)


class TokenAuth(PluginSettings):
    """Settings of every OAuth 2 grant.

    Attributes:
        token_url: where tokens are requested; it may be on another host than the API.
        scope: what the token should allow, in the server's terms; several as a list or separated by spaces.
        parameters: further fields of the form, such as `audience` or `resource`.
    """

    token_url: str
    scope: str | None = None
    parameters: dict[str, str] = {}

    @field_validator("token_url")
    @classmethod
    def _is_safe(cls, text: str) -> str:
        return check_token_url(text)

    @field_validator("parameters")
    @classmethod
    def _are_further_ones(cls, parameters: dict[str, str]) -> dict[str, str]:
        if taken := sorted(set(parameters) & _STANDARD):
            raise ValueError(f"{taken[0]} is not one of the further fields: the grant sets it itself")
        return parameters

    @field_validator("scope", mode="before", json_schema_input_type=str | list[str] | None)
    @classmethod
    def _is_one_text(cls, scope: object) -> object:
        if isinstance(scope, list) and all(isinstance(each, str) for each in scope):
            return " ".join(scope)  # RFC 6749, section 3.3
        return scope

    @property
    def further(self) -> dict[str, str]:
        """The form fields besides those of the grant itself."""
        return {**({"scope": self.scope} if self.scope else {}), **self.parameters}


class ClientCredentialsAuth(TokenAuth):
    """The app signs in as itself.

    Attributes:
        client_id, client_secret: of the app.
        client_auth: how it identifies itself: in the `form`, or as HTTP `basic`.
    """

    kind: Literal["oauth2_client_credentials"]
    client_id: str = Field(min_length=1)
    client_secret: SecretStr = Field(min_length=1)
    client_auth: Literal["form", "basic"] = "form"


class RefreshTokenAuth(TokenAuth):
    """A person has authorized the app once.

    Attributes:
        refresh_token: the token from that person's consent.
        client_id, client_secret: of the app; public apps may have no secret.
        client_auth: how it identifies itself: in the `form`, or as HTTP `basic`.
    """

    kind: Literal["oauth2_refresh_token"]
    refresh_token: SecretStr = Field(min_length=1)
    client_id: str = Field(min_length=1)
    client_secret: SecretStr | None = None
    client_auth: Literal["form", "basic"] = "form"

    @model_validator(mode="after")
    def _can_say_who_it_is(self) -> RefreshTokenAuth:
        if self.client_auth == "basic" and self.client_secret is None:
            raise ValueError("client_auth: basic sends a secret; set client_secret")
        return self


class JwtBearerAuth(TokenAuth):
    """The app signs a statement about itself with its key (RFC 7523, RS256).

    Attributes:
        issuer: who issues it: often the app's own id, or the address of a service account.
        subject: whom the token is for; omitted if not set.
        audience: whom the statement is addressed to; by default the token endpoint.
        private_key: an RSA key in PEM, without a passphrase.
        key_id: the server's id of the key, if it holds several.
        claims: further claims of the statement; some servers expect `scope` there.
    """

    kind: Literal["oauth2_jwt_bearer"]
    issuer: str = Field(min_length=1)
    subject: str | None = None
    audience: str | None = None
    private_key: SecretStr
    key_id: str | None = None
    claims: dict[str, str] = {}

    @field_validator("private_key")
    @classmethod
    def _is_key(cls, key: SecretStr) -> SecretStr:
        return check_private_key(key)

    @field_validator("claims")
    @classmethod
    def _are_further_ones(cls, claims: dict[str, str]) -> dict[str, str]:
        own = {"iss": "issuer", "sub": "subject", "aud": "audience", "iat": "", "exp": ""}
        for name in claims:
            if name in own:
                word = f"set {own[name]}:" if own[name] else "it is set for every statement"
                raise ValueError(f"{name} is not one of the further claims: {word}")
        return claims


def check_private_key(key: SecretStr) -> SecretStr:
    """Check that a key looks like PEM, without a library. Raises ValueError."""
    text = key.get_secret_value()
    if "ENCRYPTED" in text.partition("\n")[0] or "Proc-Type: 4,ENCRYPTED" in text:
        raise ValueError("has a passphrase; openssl pkey -in KEY -out PLAIN.pem takes it away")
    if "-----BEGIN" not in text or "PRIVATE KEY-----" not in text:
        raise ValueError("not a private key in PEM, which begins with -----BEGIN PRIVATE KEY-----")
    return key


Auth = Annotated[
    BearerAuth | BasicAuth | HeaderAuth | ClientCredentialsAuth | RefreshTokenAuth | JwtBearerAuth,
    Field(discriminator="kind"),
]
"""One way to sign in to an API."""

KINDS: tuple[type[PluginSettings], ...] = (
    *(BearerAuth, BasicAuth, HeaderAuth),
    *(ClientCredentialsAuth, RefreshTokenAuth, JwtBearerAuth),
)
"""All of them."""

Retries = Annotated[int, Field(ge=0, le=10)]
"""The most retries of a request; 0 for none."""
