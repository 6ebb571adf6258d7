"""Messages by a bot: in the channel of their flow, and what is certain after each of Slack's errors."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from auditor.senders.contract import Place, PlacedSender, Posting, Receipt
from auditor.senders.slack_bot import SlackBotSender, SlackBotSettings
from tests.auditor.senders.receivers import NOTICE, opened, receiver
from tests.http_api import Response
from tests.servers import free_port
from tests.standins import faults
from tests.standins.clock import Clock
from tests.standins.slack import APP_TOKEN, BOT_TOKEN, Slack


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
    assert tried(workspace, channel="#billing").outcome == "sent"
    assert tried(workspace, channel=None).outcome == "sent"
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
        ("msg_too_long", "rejected"),
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


SINCE = datetime(2026, 11, 20, 11, 59, tzinfo=UTC)


def bot(workspace: Slack, channel: str = "#ops") -> PlacedSender:
    sender = opened("slack_bot", f"{workspace.url}/api", token=BOT_TOKEN, channel=channel)
    assert isinstance(sender, PlacedSender)
    return sender


def posting(number: str = "1", place: Place | None = None) -> Posting:
    return Posting(number=number, since_at=SINCE, place=place)


def shown(message: dict[str, Any]) -> str:
    return json.dumps([message["text"], message.get("blocks"), message.get("attachments")])


def test_an_incident_is_one_message_that_is_edited_with_its_transitions_in_the_thread(workspace: Slack) -> None:
    workspace.create_channel("x")
    first = bot(workspace).post(NOTICE, posting(), possible_repeat=False)
    assert first.place is not None
    resolved = {**NOTICE, "transition": "resolved"}
    again = bot(workspace).post(resolved, posting("2", first.place), possible_repeat=False)  # after a restart
    assert (again.outcome, again.place) == ("sent", first.place)
    root, reply = workspace.messages
    assert (root["edits"], reply["thread_ts"]) == (1, root["ts"])
    assert "RESOLVED" in shown(root)
    assert "resolved after 5 min" in shown(reply)


def test_an_acknowledgement_is_shown_at_the_top_and_said_in_the_thread(workspace: Slack) -> None:
    workspace.create_channel("x")
    first = bot(workspace).post(NOTICE, posting(), possible_repeat=False)
    acknowledged = {**NOTICE, "transition": "acknowledged", "act": "acknowledged by <!here>: on it"}
    bot(workspace).post(acknowledged, posting("2", first.place), possible_repeat=False)
    root, reply = workspace.messages
    assert "ACKNOWLEDGED" in shown(root)
    assert "acknowledged by &lt;" in shown(reply)
    assert "<!here>" not in shown(root) + shown(reply)


@pytest.mark.parametrize("error", ["message_not_found", "cant_update_message", "edit_window_closed"])
def test_a_message_that_cannot_be_edited_is_replaced_by_a_new_one(workspace: Slack, error: str) -> None:
    workspace.create_channel("x")
    old = bot(workspace).post(NOTICE, posting(), possible_repeat=False).place
    workspace.fail(faults.error_with_success({"ok": False, "error": error}), on="chat_update")
    new = bot(workspace).post({**NOTICE, "transition": "grown"}, posting("2", old), possible_repeat=False)
    assert new.outcome == "sent"
    assert new.place is not None
    assert old is not None
    assert new.place.ts != old.ts
    assert all("thread_ts" not in each for each in workspace.messages)


@pytest.mark.parametrize("fault", [faults.cut_off(), faults.truncated()], ids=["reset", "cut short"])
def test_what_arrived_although_its_response_was_lost_is_not_sent_again(workspace: Slack, fault: faults.Fault) -> None:
    channel = workspace.create_channel("x")
    workspace.fail(fault, on="chat_postMessage")
    assert bot(workspace).post(NOTICE, posting(), possible_repeat=False).outcome == "ambiguous"
    again = bot(workspace).post(NOTICE, posting(), possible_repeat=True)
    assert (again.outcome, again.place) == ("sent", Place(channel=channel, ts=workspace.messages[0]["ts"]))
    workspace.fail(fault, on="chat_postMessage")
    grown = {**NOTICE, "transition": "grown"}
    assert bot(workspace).post(grown, posting("2", again.place), possible_repeat=False).outcome == "ambiguous"
    assert bot(workspace).post(grown, posting("2", again.place), possible_repeat=True).place == again.place
    assert len(workspace.messages) == 2


def test_what_did_not_arrive_is_sent_again_without_a_label(workspace: Slack) -> None:
    workspace.create_channel("x")
    for number in range(60):  # more than one page of others
        bot(workspace).post(NOTICE, posting(f"other {number}"), possible_repeat=False)
    workspace.fail(faults.refused(500), on="chat_postMessage")
    assert bot(workspace).post(NOTICE, posting(), possible_repeat=False).outcome == "ambiguous"
    assert bot(workspace).post(NOTICE, posting(), possible_repeat=True).outcome == "sent"
    assert len(workspace.messages) == 61
    assert "possible duplicate" not in shown(workspace.messages[-1])
    assert workspace.count("conversations_history") == 2


def test_without_the_scope_to_read_it_is_sent_again_with_a_label(workspace: Slack) -> None:
    workspace.create_channel("x")
    workspace.scopes.discard("channels:history")
    assert bot(workspace).post(NOTICE, posting(), possible_repeat=True).outcome == "sent"
    assert "possible duplicate" in shown(workspace.messages[0])


def test_nothing_is_sent_again_while_slack_cannot_say_whether_it_arrived(workspace: Slack) -> None:
    workspace.create_channel("x")
    workspace.fail(faults.refused(429, "30"), on="conversations_history")
    receipt = bot(workspace).post(NOTICE, posting(), possible_repeat=True)
    assert (receipt.outcome, receipt.retry_after_s, workspace.messages) == ("refused", 30.0, [])


def test_a_channel_that_is_not_there_is_replaced_by_that_of_the_sender(workspace: Slack) -> None:
    ops = workspace.create_channel("ops")
    receipt = bot(workspace).post({**NOTICE, "channel": "#gone"}, posting(), possible_repeat=False)
    assert receipt.outcome == "sent"
    assert "#gone: Slack: channel_not_found" in receipt.error
    assert workspace.messages[0]["channel"] == ops


def test_blocks_that_slack_refuses_leave_the_text(workspace: Slack) -> None:
    workspace.create_channel("x")
    workspace.fail(faults.error_with_success({"ok": False, "error": "invalid_blocks"}))
    assert bot(workspace).post(NOTICE, posting(), possible_repeat=False).outcome == "sent"
    assert "blocks" not in workspace.messages[0]
    assert "to_billing" in workspace.messages[0]["text"]


def test_only_a_critical_incident_that_comes_back_is_shown_outside_its_thread(workspace: Slack) -> None:
    workspace.create_channel("x")
    place = bot(workspace).post(NOTICE, posting(), possible_repeat=False).place
    for severity in ("critical", "low"):
        back = {**NOTICE, "transition": "reopened", "severity": severity}
        bot(workspace).post(back, posting(severity, place), possible_repeat=False)
    assert [each.get("reply_broadcast") for each in workspace.messages[1:]] == [True, None]


@pytest.mark.parametrize("error", ["channel_not_found", "some_error"])
def test_a_channel_that_cannot_be_read_for_a_moment_is_read_again(workspace: Slack, error: str) -> None:
    workspace.create_channel("x")
    first = bot(workspace).post(NOTICE, posting(), possible_repeat=False)
    missing = faults.error_with_success({"ok": False, "error": error})
    workspace.fail(missing, on="conversations_history", times=3)
    assert bot(workspace).post(NOTICE, posting(), possible_repeat=True).place == first.place
    assert len(workspace.messages) == 1


def test_an_app_level_token_and_a_bots_token_are_told_apart() -> None:
    given = {"token": BOT_TOKEN, "channel": "#ops"}
    for app_token in ("xoxb-123-secretpart", "k3y", "XAPP-1"):
        with pytest.raises(ValidationError, match="an app-level token begins with xapp-") as refused:
            SlackBotSettings.model_validate({**given, "app_token": app_token})
        assert "secretpart" not in str(refused.value.errors(include_input=False))
    with pytest.raises(ValidationError, match="goes into app_token"):
        SlackBotSettings.model_validate({**given, "token": APP_TOKEN})
    made = SlackBotSettings.model_validate({**given, "app_token": APP_TOKEN})
    assert made.listens
    assert APP_TOKEN not in repr(made)
    assert not SlackBotSettings.model_validate({**given, "app_token": ""}).listens


@pytest.mark.parametrize("may_act", [[], ["ann"], ["@ann"], ["C012ABCD"], "U012ABCD"])
def test_those_who_may_act_are_member_ids(may_act: Any) -> None:
    with pytest.raises(ValidationError):
        SlackBotSettings.model_validate({"token": BOT_TOKEN, "channel": "#ops", "may_act": may_act})


def test_the_first_message_has_buttons_while_somebody_listens(workspace: Slack) -> None:
    workspace.create_channel("x")
    sender = opened("slack_bot", f"{workspace.url}/api", token=BOT_TOKEN, channel="#ops", app_token=APP_TOKEN)
    assert isinstance(sender, SlackBotSender)
    place = sender.post(NOTICE, posting(), possible_repeat=False).place
    assert "plumbline_acknowledge" not in shown(workspace.messages[0])
    sender.heard = lambda: True
    sender.post({**NOTICE, "transition": "grown"}, posting("2", place), possible_repeat=False)
    assert "plumbline_acknowledge" in shown(workspace.messages[0])
    assert "plumbline_" not in shown(workspace.messages[1])
    sender.post({**NOTICE, "transition": "resolved"}, posting("3", place), possible_repeat=False)
    assert "plumbline_" not in shown(workspace.messages[0])
