"""Tokens that the app signs itself, taken by a server that checks their signature."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from probes.contract import ProbeError, Reason
from probes.http.grants import JWT_LIVES_S, JwtBearer
from probes.http.learning_scrubber import LearningScrubber
from probes.http.signed_jwt import signed
from probes.http.token_endpoint import TokenEndpoint
from probes.secrets import Scrubber
from tests.probes.http.connected import DEADLINE_S, failure
from tests.standins.clock import Clock
from tests.standins.oauth import Issuer, OAuth

NOON = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)


@cache
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def pem(private: Any = None, form: PrivateFormat = PrivateFormat.PKCS8) -> str:
    found = private or key()
    return str(found.private_bytes(Encoding.PEM, form, NoEncryption()).decode())


@pytest.fixture
def server() -> Iterator[OAuth]:
    with OAuth(clock=Clock(NOON)) as found:
        found.issuers["auditor"] = Issuer(public_key=key().public_key(), subjects=frozenset({"reader@example.com"}))
        yield found


def asked(server: OAuth, *, ahead_s: float = 0, private_key: str = "", **claims: Any) -> str:
    stated = {"iss": "auditor", "sub": "reader@example.com", "aud": server.token_url, **claims}
    grant = JwtBearer(stated, private_key or pem(), {"scope": "read"}, now=lambda: NOON.timestamp() + ahead_s)
    endpoint = TokenEndpoint(server.token_url, LearningScrubber(Scrubber(())), timeout_s=DEADLINE_S)
    try:
        return endpoint.ask(grant)[0]
    finally:
        endpoint.close()


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_a_signed_statement_gets_a_token(server: OAuth, form: PrivateFormat) -> None:
    assert asked(server, private_key=pem(form=form)) == server.issued[-1]
    assert asked(server, private_key=pem(form=form).replace("\n", "\\n")) == server.issued[-1]  # as variables hold it
    assert server.calls[-1].request.form["scope"] == "read"


@pytest.mark.parametrize("claims", [{"iss": "nobody"}, {"sub": "another"}, {"aud": "https://elsewhere.example"}])
def test_a_statement_that_is_not_for_the_server_is_refused_with_advice(server: OAuth, claims: dict[str, Any]) -> None:
    error = failure(lambda: asked(server, **claims))
    assert (error.reason, "check the issuer" in error.hint) == (Reason.AUTH, True)


def test_another_key_is_refused(server: OAuth) -> None:
    other = pem(rsa.generate_private_key(65537, 2048))
    error = failure(lambda: asked(server, private_key=other))
    assert error.reason is Reason.AUTH


@pytest.mark.parametrize("ahead_s", [-JWT_LIVES_S - 1, 3600.0])
def test_a_clock_that_is_wrong_is_refused_and_named(server: OAuth, ahead_s: float) -> None:
    error = failure(lambda: asked(server, ahead_s=ahead_s))
    assert (error.reason, "clock" in error.hint) == (Reason.AUTH, True)


def test_the_statement_is_not_quoted_where_a_server_repeats_it(server: OAuth) -> None:
    error = failure(lambda: asked(server, sub="another"))
    assertion = server.calls[-1].request.form["assertion"]
    assert "not a good assertion" in error.message
    assert not any(part in str(error) for part in assertion.split("."))


def test_it_says_by_which_key_it_is_signed() -> None:
    head = signed({"iss": "a"}, pem(), key_id="k1").partition(".")[0]
    assert json.loads(base64.urlsafe_b64decode(head + "==")) == {"alg": "RS256", "typ": "JWT", "kid": "k1"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "cannot be read"),
        (pem()[:300], "cannot be read"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", "cannot be read"),
        (
            key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")).decode(),
            "without a passphrase",
        ),
        (pem(ec.generate_private_key(ec.SECP256R1())), "not an RSA key"),
    ],
    ids=["nothing", "cut", "no key", "passphrase", "elliptic"],
)
def test_a_key_that_cannot_sign_is_told(text: str, told: str) -> None:
    with pytest.raises(ProbeError) as failed:
        signed({}, text)
    assert (failed.value.reason, told in failed.value.message, "openssl" in failed.value.hint) == (
        Reason.AUTH,
        True,
        True,
    )
    assert text[30:60] not in str(failed.value) or not text
