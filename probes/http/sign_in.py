"""Builds the object that signs in from the map's settings."""

from __future__ import annotations

from urllib.parse import urlsplit

from probes.http.authentication import Authentication, basic, bearer, header, nobody
from probes.http.grants import Client, ClientCredentials, Grant, JwtBearer, RefreshToken
from probes.http.learning_scrubber import LearningScrubber
from probes.http.line import DIRECT, Line
from probes.http.settings import Auth, ClientCredentialsAuth, JwtBearerAuth, RefreshTokenAuth
from probes.http.token_endpoint import TokenEndpoint
from probes.http.tokens import TokenSource
from probes.secrets import secrets_in


def authentication_of(
    auth: Auth | None,
    scrub: LearningScrubber,
    *,
    api_host: str | None,
    verify: bool = True,
    timeout_s: float,
    line: Line = DIRECT,
) -> Authentication:
    """The object that signs requests in.

    Args:
        api_host: `verify` applies only to a token endpoint on this host: secrets go to no other host unverified.
    """
    if auth is None:
        return nobody()
    if auth.kind == "bearer":
        return bearer(auth.token.get_secret_value())
    if auth.kind == "basic":
        return basic(auth.user.get_secret_value(), auth.password.get_secret_value())
    if auth.kind == "header":
        return header(auth.name, auth.value.get_secret_value())
    scrub.learn(secrets_in(auth.parameters))
    endpoint = TokenEndpoint(
        auth.token_url,
        scrub,
        timeout_s=timeout_s,
        verify=verify or urlsplit(auth.token_url).hostname != api_host,
        line=line,
    )
    return TokenSource(grant_of(auth), endpoint)


def grant_of(auth: ClientCredentialsAuth | RefreshTokenAuth | JwtBearerAuth) -> Grant:
    """The grant for requesting tokens."""
    if auth.kind == "oauth2_jwt_bearer":
        stated = {"iss": auth.issuer, "sub": auth.subject, "aud": auth.audience or auth.token_url, **auth.claims}
        claims = {name: value for name, value in stated.items() if value is not None}
        return JwtBearer(claims, auth.private_key.get_secret_value(), auth.further, key_id=auth.key_id)
    secret = auth.client_secret.get_secret_value() if auth.client_secret is not None else ""
    client = Client(auth.client_id, secret, auth.client_auth)
    if auth.kind == "oauth2_client_credentials":
        return ClientCredentials(client, auth.further)
    return RefreshToken(client, auth.refresh_token.get_secret_value(), auth.further)
