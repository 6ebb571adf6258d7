"""Messages by a bot: in the channel of their flow, and what is certain after each of Slack's errors."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from auditor.senders.contract import Receipt
from auditor.senders.slack_bot import SlackBotSettings
from tests.auditor.senders.receivers import NOTICE, opened, receiver
from tests.http_api import Response
from tests.servers import free_port
from tests.standins import faults
from tests.standins.clock import Clock
from tests.standins.slack import BOT_TOKEN, Slack


@pytest.fixture
def workspace() -> Iterator[Slack]:
    with Slack(clock=Clock(datetime(2026, 11, 20, 12, tzinfo=UTC))) as server:
        server.scopes.add("chat:write")
        yield server


def tried(workspace: Slack, **changed: Any) -> Receipt:
    sender = opened("slack_bot", f"{workspace.url}/api", token=BOT_TOKEN, channel="#ops")
    return sender.send({**NOTICE, **changed}, possible_repeat=False)


def test_a_flow_is_reported_in_its_own_channel(workspace: Slack) -> None:
    ops, billing = workspace.create_channel("ops"), workspace.create_channel("billing")
    assert tried(workspace, channel="#billing") == Receipt(outcome="sent")
    assert tried(workspace, channel=None) == Receipt(outcome="sent")
    assert [each["channel"] for each in workspace.messages] == [billing, ops]
    assert workspace.messages[0]["blocks"]


def test_a_refusal_says_what_to_do(workspace: Slack) -> None:
    missing = tried(workspace, channel="#else")
    assert missing.outcome == "rejected"
    assert "channel_not_found: check the channel's name" in missing.error
    workspace.create_channel("private", is_member=False)
    assert "invite the bot" in tried(workspace, channel="#private").error
    workspace.scopes.discard("chat:write")
    assert "scope chat:write" in tried(workspace).error
    workspace.revoke()
    revoked = tried(workspace)
    assert revoked.outcome == "rejected"
    assert "token_revoked" in revoked.error
    assert BOT_TOKEN not in revoked.error


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        ("invalid_blocks", "rejected"),
        ("ratelimited", "refused"),
        ("service_unavailable", "refused"),
        ("fatal_error", "ambiguous"),
        ("internal_error", "ambiguous"),
    ],
)
def test_an_error_with_status_200_is_what_slack_documents(workspace: Slack, error: str, outcome: str) -> None:
    workspace.create_channel("x")
    workspace.fail(faults.error_with_success({"ok": False, "error": error}))
    receipt = tried(workspace)
    assert (receipt.outcome, receipt.error) == (outcome, f"Slack: {error}")
    assert tried(workspace).outcome == "sent"


def test_a_limit_is_waited_for(workspace: Slack) -> None:
    workspace.fail(faults.refused(429, "60"))
    receipt = tried(workspace)
    assert (receipt.outcome, receipt.retry_after_s) == ("refused", 60.0)


def test_what_is_lost_after_it_was_accepted_is_ambiguous(workspace: Slack) -> None:
    workspace.create_channel("x")
    for fault in (faults.cut_off(), faults.truncated(), faults.page_of_a_proxy(), faults.refused(500)):
        workspace.fail(fault)
        assert tried(workspace).outcome == "ambiguous", fault.name
    assert len(workspace.messages) == 2


def test_a_response_without_end_is_ambiguous() -> None:
    with receiver(lambda _: Response(document=itertools.repeat(b"x" * 65536))) as api:
        assert opened("slack_bot", api.url).send(NOTICE, possible_repeat=False).outcome == "ambiguous"


def test_nobody_there_is_a_refusal() -> None:
    sender = opened("slack_bot", f"http://127.0.0.1:{free_port()}")
    assert sender.send(NOTICE, possible_repeat=False).outcome == "refused"


def test_a_channel_is_needed() -> None:
    with pytest.raises(ValidationError, match="channel"):
        SlackBotSettings.model_validate({"token": BOT_TOKEN})
    made = SlackBotSettings.model_validate({"token": BOT_TOKEN, "channel": "#ops"})
    assert BOT_TOKEN not in repr(made)
