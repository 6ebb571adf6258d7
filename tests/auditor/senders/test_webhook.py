"""Notices to another program: all of one, as it is."""

from __future__ import annotations

import hmac
import json
import re

import pytest
from pydantic import ValidationError

from auditor.senders.webhook import SIGNATURE, WebhookSettings, signature
from tests.auditor.senders.receivers import NOTICE, opened, receiver


def test_a_program_gets_the_notice_as_it_is() -> None:
    notice = {**NOTICE, "summary": "half: \ud800"}
    with receiver(lambda _: "ok") as api:
        opened("webhook", api.url).send(notice, possible_repeat=True)
    assert json.loads(api.asked[0].body) == {**notice, "possible_repeat": True}


SHARED = "0123456789abcdef"


def test_a_signature_covers_the_time_and_the_body() -> None:
    with receiver(lambda _: "ok") as api:
        opened("webhook", api.url, secret=SHARED).send(NOTICE, possible_repeat=False)
        opened("webhook", api.url).send(NOTICE, possible_repeat=False)
    signed, unsigned = api.asked
    stamp, given = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", signed.headers[SIGNATURE]).groups()  # type: ignore[union-attr]
    assert given == hmac.new(SHARED.encode(), stamp.encode() + b"." + signed.body, "sha256").hexdigest()
    assert SIGNATURE not in unsigned.headers


def test_a_signature_is_what_openssl_computes() -> None:
    """`printf '1700000000.{}' | openssl dgst -sha256 -hmac 0123456789abcdef`"""
    digest = "e4f8e2ecae2295b2ddb2f0b5584c8275e226c0ebe9b3b819e70156bb67122e3e"
    assert signature(b"{}", SHARED, 1700000000) == f"t=1700000000,v1={digest}"


def test_a_short_secret_is_refused() -> None:
    for secret in ("", "too short"):
        with pytest.raises(ValidationError, match="at least 16 characters"):
            WebhookSettings.model_validate({"url": "https://x.example", "secret": secret})
