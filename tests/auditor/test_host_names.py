"""Which host names count as this machine's own, and which are only made to look so."""

from __future__ import annotations

import pytest

from auditor.host_names import LOOPBACK_NAMES, authority, authority_of_origin


@pytest.mark.parametrize("text", ["localhost", "LOCALHOST:80", "localhost.:9464", "127.0.0.1:9464", "[::1]:9464"])
def test_names_of_this_machine(text: str) -> None:
    named = authority(text)
    assert named is not None
    assert named[0] in LOOPBACK_NAMES


@pytest.mark.parametrize(
    "text",
    ["", "evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "localhost:99999", "a@localhost", "[::x]"],
)
def test_other_names(text: str) -> None:
    named = authority(text)
    assert named is None or named[0] not in LOOPBACK_NAMES


def test_an_origin_names_its_host_and_port() -> None:
    assert authority_of_origin("http://localhost:9464") == ("localhost", "9464")
    assert authority_of_origin("null") is None
