"""Every client of HTTP against every answer that attacks it: one named error, in time, within bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from probes.contract import Reason
from tests import HOME
from tests.attacks.answers import FAST, MIB, SLOW, Attack
from tests.auditor.senders.receivers import OVER_HTTP
from tests.probes.asks import CLIENTS
from tests.raw_server import RawServer

GROWN_LIMIT_BYTES = 300 * MIB
PATIENT_S = 120.0
"""No deadline is meant to pass here, and a machine may be slow."""

FOREVER_S = 60.0
"""What drips goes on for longer."""

NAMED = {each.value for each in (Reason.TOO_LARGE, Reason.DECODE, Reason.UNREACHABLE, Reason.TIMEOUT, Reason.QUERY)}


def outcomes(client: str, attacks: Mapping[str, Attack], timeout_s: float) -> dict[str, dict[str, Any]]:
    """How each exchange of a process of its own ended."""
    servers = {name: RawServer(attack) for name, attack in attacks.items()}
    urls = {name: server.url for name, server in servers.items()}
    words = json.dumps({"client": client, "urls": urls, "timeout": timeout_s})
    try:
        asking = [sys.executable, "-m", "tests.probes.asks", words]
        ended = subprocess.run(asking, cwd=HOME, capture_output=True, text=True, check=False)
    finally:
        for server in servers.values():
            server.close()
    assert ended.returncode == 0, ended.stderr
    found: dict[str, dict[str, Any]] = json.loads(ended.stdout)
    return found


def check(client: str, attacks: Mapping[str, Attack], found: dict[str, dict[str, Any]]) -> None:
    wrong = []
    for name, each in found.items():
        if client == "slack_bot":  # it believes no status without Slack's own document
            right = not each["told"].startswith(("sent", "TRACEBACK"))
        elif client in OVER_HTTP:
            sent = each["told"].startswith("sent")
            right = sent if attacks[name].reads_none else not sent and not each["told"].startswith("TRACEBACK")
        elif client == "google token":
            right = each["told"] != "an answer" and not each["told"].startswith("TRACEBACK")
            # What a whole answer says google-auth reads itself.
            right = right or name.startswith(("millions", "lists", "no text", "a text"))
        else:
            # Its first answer is that of its token endpoint, where whatever is no token is a matter of signing in.
            right = each["reason"] in NAMED or (client == "anypoint_mq" and each["reason"] == Reason.AUTH)
        if not right:
            wrong.append((name, each["told"]))
    assert not wrong
    grown = sum(each["grown_bytes"] for each in found.values())
    assert grown < GROWN_LIMIT_BYTES, {name: each["grown_bytes"] // MIB for name, each in found.items()}
    assert not any("secret" in each["told"] for each in found.values())


@pytest.mark.parametrize("client", CLIENTS)
def test_an_answer_that_is_too_much_or_none_is_a_named_error_in_bounded_memory(client: str) -> None:
    storms = {name: attack for name, attack in FAST.items() if "storm" in name}
    fast = {name: attack for name, attack in FAST.items() if name not in storms}
    check(client, fast, outcomes(client, fast, PATIENT_S))
    check(client, storms, outcomes(client, storms, 1.0))  # only their deadline ends them


@pytest.mark.parametrize("client", CLIENTS)
def test_an_answer_that_drips_ends_at_the_deadline(client: str) -> None:
    found = outcomes(client, SLOW, 1.0)
    check(client, SLOW, found)
    assert max(each["took_s"] for each in found.values()) < FOREVER_S, found
    if client not in {*OVER_HTTP, "slack_bot", "google token"}:
        found.pop("gzip that drips")  # it may be known for none before
        assert {each["reason"] for each in found.values()} == {Reason.TIMEOUT.value}
