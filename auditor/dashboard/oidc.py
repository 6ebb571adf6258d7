"""Signing in with OpenID Connect: its settings, and what the claims of a sign-in say. Pure.

Streamlit runs the exchange with the issuer (`st.login`, Authlib) and keeps the claims of the ID token in a signed
cookie. https://openid.net/specs/openid-connect-core-1_0.html
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from auditor.escaping import visible
from auditor.host_names import LOOPBACK_NAMES
from probes.durations import parse_duration
from probes.wording import did_you_mean

Claims = Mapping[str, Any]

DISCOVERY = "/.well-known/openid-configuration"
CALLBACK = "/oauth2callback"
"""The path to which the issuer sends people back; Streamlit's own."""

COOKIE_SECRET_LENGTH = 32

LONGEST_SESSION_S = 30 * 86400
"""The longest that a sign-in may last; Streamlit's cookie lasts no longer."""

OPEN_TO_ALL = (
    "https://accounts.google.com/",
    "https://gitlab.com/",
    "https://login.microsoftonline.com/common/",
    "https://login.microsoftonline.com/organizations/",
    "https://login.microsoftonline.com/consumers/",
    "https://appleid.apple.com/",
)
"""Issuers with which anyone can open an account."""

_SETTINGS = frozenset(
    {
        "AUDITOR_OIDC_METADATA_URL",
        "AUDITOR_OIDC_CLIENT_ID",
        "AUDITOR_OIDC_CLIENT_SECRET",
        "AUDITOR_OIDC_REDIRECT_URI",
        "AUDITOR_OIDC_SCOPE",
        "AUDITOR_OIDC_NAME_CLAIM",
        "AUDITOR_OIDC_GROUPS_CLAIM",
        "AUDITOR_OIDC_SESSION",
    }
)
_FAMILY = "AUDITOR_OIDC_SESSION".removesuffix("SESSION")
"""How the names of all of them begin."""

_METADATA = "--oidc-metadata (AUDITOR_OIDC_METADATA_URL)"
_CLIENT = "--oidc-client (AUDITOR_OIDC_CLIENT_ID)"
_REDIRECT = "--oidc-redirect (AUDITOR_OIDC_REDIRECT_URI)"


class OidcError(ValueError):
    """An impossible setting; the text names it and says what to do, without any secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Oidc:
    """How people sign in with an issuer.

    Attributes:
        redirect_uri: where the issuer sends people back.
        scope: what the issuer is asked for, separated by blanks.
        name_claim: the claim that names a person.
        groups_claim: the claim with their groups.
        session_s: how long a sign-in lasts.
        client_secret: what the issuer knows the dashboard by.
        cookie_secret: signs the cookies; empty for one that is made at each start.
    """

    metadata_url: str
    client_id: str
    redirect_uri: str
    scope: str
    name_claim: str
    groups_claim: str
    session_s: float
    client_secret: str = field(default="", repr=False)
    cookie_secret: str = field(default="", repr=False)

    @property
    def open_to_all(self) -> bool:
        """Whether anyone at all can sign in with this issuer."""
        return self.metadata_url.lower().startswith(OPEN_TO_ALL)

    @property
    def issuer(self) -> str:
        """The address of the issuer, for people."""
        return self.metadata_url.removesuffix(DISCOVERY)

    @property
    def secure(self) -> bool:
        """Whether people use the dashboard over TLS alone."""
        return self.redirect_uri.startswith("https:")

    @property
    def origin(self) -> str:
        """The scheme, the host and the port under which people use the dashboard."""
        return "/".join(self.redirect_uri.split("/")[:3])


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """Someone who has signed in.

    Attributes:
        since, until: when the sign-in began and when it ends, in seconds since 1970.
        session: names this sign-in.
    """

    name: str
    groups: frozenset[str]
    issuer: str
    since: float
    until: float
    session: str


def oidc_of(environment: Mapping[str, str], hosts: Sequence[str], port: int) -> Oidc | None:
    """The settings from the environment; None if there are none.

    Args:
        hosts: the host names of the dashboard.
        port: where it listens.

    Raises:
        OidcError: one is missing or impossible.
    """

    def setting(name: str, usual: str = "") -> str:
        return environment.get(name, "").strip() or usual

    url, client = setting("AUDITOR_OIDC_METADATA_URL"), setting("AUDITOR_OIDC_CLIENT_ID")
    secret, redirect = setting("AUDITOR_OIDC_CLIENT_SECRET"), setting("AUDITOR_OIDC_REDIRECT_URI")
    given = {name for name, value in environment.items() if name.startswith(_FAMILY) and value.strip()}
    if unknown := sorted(given - _SETTINGS):
        raise OidcError(f"{visible(unknown[0])}: there is no such setting{did_you_mean(unknown[0], _SETTINGS)}")
    if not given:
        return None
    if not url:
        raise OidcError(f"{_METADATA}: give the address of the issuer that ends with {DISCOVERY}")
    if not client:
        raise OidcError(f"{_CLIENT}: give the id under which the issuer knows this dashboard")
    if not secret:
        raise OidcError(
            "AUDITOR_OIDC_CLIENT_SECRET: set it in the environment to the secret that the issuer gave out"
        )
    _check_metadata(url)
    cookie_secret = setting("AUDITOR_COOKIE_SECRET")
    if cookie_secret and len(cookie_secret) < COOKIE_SECRET_LENGTH:
        raise OidcError(
            f"AUDITOR_COOKIE_SECRET: shorter than {COOKIE_SECRET_LENGTH} characters; make one with "
            "`openssl rand -hex 32`"
        )
    scope = setting("AUDITOR_OIDC_SCOPE", "openid email profile")
    if "openid" not in scope.split():
        raise OidcError("AUDITOR_OIDC_SCOPE: must contain openid")
    return Oidc(
        metadata_url=url,
        client_id=client,
        redirect_uri=_redirect(redirect, hosts, port),
        scope=scope,
        name_claim=setting("AUDITOR_OIDC_NAME_CLAIM", "email"),
        groups_claim=setting("AUDITOR_OIDC_GROUPS_CLAIM", "groups"),
        session_s=_session(setting("AUDITOR_OIDC_SESSION", "12h")),
        client_secret=secret,
        cookie_secret=cookie_secret,
    )


def _check_metadata(url: str) -> None:
    if not _safe(url) or urlsplit(url).username is not None:
        raise OidcError(f"{_METADATA}: must be an https address without a user name; http is for this machine alone")
    if not url.endswith(DISCOVERY):
        raise OidcError(f"{_METADATA}: must end with {DISCOVERY}")


def _redirect(given: str, hosts: Sequence[str], port: int) -> str:
    if given:
        if not _safe(given) or not given.endswith(CALLBACK):
            raise OidcError(
                f"{_REDIRECT}: must be an https address that ends with {CALLBACK}; http is for this machine alone"
            )
        host = urlsplit(given).hostname or ""
        if host not in {*hosts, *LOOPBACK_NAMES}:
            raise OidcError(f"{_REDIRECT}: the dashboard does not answer to {visible(host)}; name it with --host")
        return given
    if len(hosts) > 1:
        raise OidcError(f"{_REDIRECT}: with several hosts, give the address to which the issuer sends people back")
    if hosts:
        host = f"[{hosts[0]}]" if ":" in hosts[0] else hosts[0]
        return f"https://{host}{CALLBACK}"
    return f"http://localhost:{port}{CALLBACK}"


def _safe(url: str) -> bool:
    """Whether nobody on the way can read what is sent there."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK_NAMES))


def _session(text: str) -> float:
    try:
        seconds = float(parse_duration(text))
    except ValueError as error:
        raise OidcError(f"AUDITOR_OIDC_SESSION: {error}") from None
    if not 60 <= seconds <= LONGEST_SESSION_S:
        raise OidcError("AUDITOR_OIDC_SESSION: must be from 1m to 30d, because the cookie lasts no longer")
    return seconds


def sign_in_of(oidc: Oidc, claims: Claims) -> SignIn | str:
    """What the claims of a sign-in say of a person, or why they name nobody.

    Args:
        claims: of the ID token, whose signature, issuer, audience and nonce were verified when it came, with the
            address under which people signed in as `origin`.
    """
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if oidc.client_id not in audiences or claims.get("origin") != oidc.origin:
        return "You have signed in to another dashboard. Sign in here."
    issued_at, issuer = claims.get("iat"), claims.get("iss")
    if isinstance(issued_at, bool) or not isinstance(issued_at, int | float) or not isinstance(issuer, str):
        return "The issuer did not say who it is, or when you signed in."
    name = claims.get(oidc.name_claim)
    claim = visible(oidc.name_claim)
    if not isinstance(name, str) or not name.strip():
        return f"The issuer sent no name in the claim {claim}; AUDITOR_OIDC_NAME_CLAIM names another one."
    if oidc.name_claim == "email" and str(claims.get("email_verified", True)).lower() != "true":
        return "The issuer has not verified your e-mail address."
    return SignIn(
        name=name.strip(),
        groups=_groups(claims.get(oidc.groups_claim)),
        issuer=issuer,
        since=issued_at,
        until=issued_at + oidc.session_s,
        session=hashlib.sha256(json.dumps(dict(claims), sort_keys=True).encode()).hexdigest(),
    )


def _groups(claim: object) -> frozenset[str]:
    listed = claim if isinstance(claim, list) else [claim]
    return frozenset(each for each in listed if isinstance(each, str))
