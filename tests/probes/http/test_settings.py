"""What the map may say of signing in, what it is told where that is wrong, and what comes of it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from probes.http.authentication import Credentials
from probes.http.grants import ClientCredentials, JwtBearer, RefreshToken
from probes.http.learning_scrubber import LearningScrubber
from probes.http.line import Line, connected
from probes.http.settings import KINDS, Auth, on_this_machine
from probes.http.sign_in import authentication_of, grant_of
from probes.http.tokens import TokenSource
from probes.secrets import Scrubber

PARSED: TypeAdapter[Any] = TypeAdapter(Auth)
KEY = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
URL = "https://login.example.com/oauth/token"
APP = {"token_url": URL, "client_id": "a", "client_secret": "s3cret-of-app"}
CLIENT = {"kind": "oauth2_client_credentials", **APP}
REFRESH = {"kind": "oauth2_refresh_token", **APP, "refresh_token": "r3fresh"}
JWT = {"kind": "oauth2_jwt_bearer", "token_url": URL, "issuer": "a", "private_key": KEY}


def opened(words: dict[str, Any], **more: Any) -> Any:
    scrub = LearningScrubber(Scrubber(()))
    found = authentication_of(PARSED.validate_python(words), scrub, api_host="api.example.com", timeout_s=5, **more)
    found.close()
    return found


@pytest.mark.parametrize(
    ("words", "credentials"),
    [
        ({"kind": "bearer", "token": "abc"}, Credentials("Authorization", "Bearer abc")),
        ({"kind": "basic", "user": "u", "password": "p"}, Credentials("Authorization", "Basic dTpw")),
        ({"kind": "basic", "user": "u"}, Credentials("Authorization", "Basic dTo=")),
        ({"kind": "basic", "password": "p"}, Credentials("Authorization", "Basic OnA=")),
        ({"kind": "header", "name": "X-Api-Key", "value": "k"}, Credentials("X-Api-Key", "k")),
    ],
)
def test_what_stays_the_same_is_one_header(words: dict[str, Any], credentials: Credentials) -> None:
    assert opened(words).credentials() == credentials


@pytest.mark.parametrize(("words", "grant"), [(CLIENT, ClientCredentials), (REFRESH, RefreshToken), (JWT, JwtBearer)])
def test_what_is_renewed_comes_from_a_token_endpoint(words: dict[str, Any], grant: type) -> None:
    assert isinstance(opened(words), TokenSource)
    assert isinstance(grant_of(PARSED.validate_python(words)), grant)


def test_who_says_nothing_signs_in_nowhere() -> None:
    found = authentication_of(None, LearningScrubber(Scrubber(())), api_host=None, timeout_s=5)
    assert found.credentials() is None


@pytest.mark.parametrize("scope", ["read write", ["read", "write"]])
def test_several_scopes_are_a_list_or_one_text(scope: object) -> None:
    assert PARSED.validate_python({**CLIENT, "scope": scope}).further == {"scope": "read write"}


def test_every_kind_can_be_opened() -> None:
    named = {model.model_fields["kind"].annotation.__args__[0] for model in KINDS}  # type: ignore[union-attr]
    assert {each["kind"] for each in (CLIENT, REFRESH, JWT)} | {"bearer", "basic", "header"} == named


def test_the_form_has_what_the_map_adds() -> None:
    words = {**CLIENT, "scope": "read write", "parameters": {"audience": "crm"}}
    form = grant_of(PARSED.validate_python(words)).question().form
    assert form == {
        "grant_type": "client_credentials",
        "client_id": "a",
        "client_secret": "s3cret-of-app",
        "scope": "read write",
        "audience": "crm",
    }


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"kind": "bearer"}, "Field required"),
        ({"kind": "bearer", "token": ""}, "is empty"),
        ({"kind": "bearer", "token": "a\nb"}, "line break"),
        ({"kind": "bearer", "token": "Bearer abc"}, "without Bearer"),
        ({"kind": "basic"}, "both empty"),
        ({"kind": "basic", "user": "a:b", "password": "c"}, "colon"),
        ({"kind": "header", "name": "X Key", "value": "k"}, "not the name of a header"),
        ({"kind": "header", "name": "Host", "value": "k"}, "signs nobody in"),
        ({**CLIENT, "token_url": "http://login.example.com/token"}, "must begin with https://"),
        ({**CLIENT, "token_url": "login.example.com/token"}, "a scheme, such as"),
        ({**CLIENT, "token_url": "ftp://login.example.com/token"}, "must begin with https://"),
        ({**CLIENT, "token_url": "https://me:pw@login.example.com/"}, "not the address of a token endpoint"),
        ({**CLIENT, "token_url": "https:///token"}, "not the address of a token endpoint"),
        ({**CLIENT, "client_secret": ""}, "at least 1"),
        ({**CLIENT, "client_auth": "header"}, "'form' or 'basic'"),
        ({**CLIENT, "parameters": {"grant_type": "password"}}, "the grant sets it itself"),
        ({**REFRESH, "client_secret": None, "client_auth": "basic"}, "set client_secret"),
        ({**JWT, "private_key": "AAAA"}, "not a private key in PEM"),
        ({**JWT, "private_key": KEY.replace("PRIVATE", "ENCRYPTED PRIVATE")}, "passphrase"),
        ({**JWT, "private_key": "-----BEGIN CERTIFICATE-----"}, "not a private key in PEM"),
        ({**JWT, "claims": {"sub": "x"}}, "set subject:"),
        ({**JWT, "claims": {"exp": "1"}}, "set for every statement"),
        ({"kind": "oauth"}, "oauth2_client_credentials"),
    ],
)
def test_what_cannot_work_is_told_before_anything_is_sent(words: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as failed:
        PARSED.validate_python(words)
    assert told in str(failed.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "::1"])
def test_on_this_machine_a_token_endpoint_needs_no_tls(host: str) -> None:
    assert on_this_machine(host)
    url = f"http://[{host}]:8080/token" if ":" in host else f"http://{host}:8080/token"
    assert PARSED.validate_python({**CLIENT, "token_url": url}).token_url == url
    assert not on_this_machine(f"{host}.example.com".replace(":", "-"))


@pytest.mark.parametrize(
    ("host", "verify", "wanted"),
    [
        ("login.example.com", True, True),
        ("login.example.com", False, True),
        ("api.example.com", False, False),
        ("api.example.com", True, True),
    ],
)
def test_certificates_are_accepted_unseen_on_the_apis_own_host_alone(host: str, verify: bool, wanted: bool) -> None:
    asked: list[bool] = []

    def connect(verified: bool, connections: int) -> Any:
        asked.append(verified)
        return connected(True, connections)

    opened({**CLIENT, "token_url": f"https://{host}/token"}, verify=verify, line=Line(connect=connect))
    assert asked == [wanted]
