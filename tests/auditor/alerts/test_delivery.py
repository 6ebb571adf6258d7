"""From the outbox to Slack: once, in time, never falsely, and never with its secret in the open."""

from __future__ import annotations

import itertools
import json
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditor.alerts.contract import Receipt
from auditor.alerts.delivery import deliver_next, open_senders
from auditor.alerts.delivery_rule import MOST_TRIES, after_try
from auditor.alerts.incidents import after_audit
from auditor.alerts.slack import SlackSender, message
from auditor.alerts.webhook import WebhookSender
from auditor.escaping import mrkdwn
from auditor.map.settings import AlertSettings
from tests.http_api import Api, Response
from tests.servers import free_port
from tests.stand import Stand

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOTICE: dict[str, Any] = {
    "incident": 7,
    "transition": "opened",
    "breach": "orphan",
    "summary": "to_billing: 3 customer: records exist that the owner does not have",
    "flow": "to_billing",
    "system": None,
    "source": "crm",
    "target": "billing",
    "count": 3,
    "peak": 3,
    "window_s": 4.0,
    "team": "billing",
    "channel": "#x",
    "runbook": "https://wiki.example/orphans",
    "opened_at": NOW.isoformat(),
    "at": (NOW + timedelta(minutes=5)).isoformat(),
    "detail": "",
}


class FakeSlack:
    """A stand-in for Slack's incoming webhooks: it checks the documented limits and keeps what it got."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.answers: list[tuple[int, str, dict[str, str]]] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, text, headers = fake.answers.pop(0) if fake.answers else (200, "ok", {})
                if status == -1:  # accepted, but the answer is lost
                    fake.got.append(json.loads(body))
                    self.connection.close()
                    return
                if status == 200:
                    fake.got.append(json.loads(body))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/services/T0/B0/secret-part"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    made = FakeSlack()
    yield made
    made.close()


def check_limits(payload: dict[str, Any]) -> None:
    """https://docs.slack.dev/reference/block-kit/blocks"""
    assert 0 < len(payload["text"]) <= 4000
    blocks = payload["attachments"][0]["blocks"]
    assert 0 < len(blocks) <= 50
    for block in blocks:
        if block["type"] == "section":
            texts = [block["text"]] if "text" in block else []
            assert all(0 < len(text["text"]) <= 3000 for text in texts)
            assert len(block.get("fields", [])) <= 10
            assert all(0 < len(text["text"]) <= 2000 for text in block.get("fields", []))
        elif block["type"] == "context":
            assert 0 < len(block["elements"]) <= 10
        elif block["type"] == "actions":
            assert 0 < len(block["elements"]) <= 25
            assert all(len(each["url"]) <= 3000 and len(each["text"]["text"]) <= 75 for each in block["elements"])
    assert sum(len(json.dumps(block, ensure_ascii=False)) for block in blocks) < 13_000


def test_a_message_says_what_where_and_how_many() -> None:
    payload = message(NOTICE, dashboard="http://127.0.0.1:8501/", possible_repeat=False)
    check_limits(payload)
    text = json.dumps(payload)
    for word in ("OPEN", "crm", "billing", "http://127.0.0.1:8501/drift?flow=to_billing", "wiki.example", "<!date^"):
        assert word in text
    resolved = message({**NOTICE, "transition": "resolved"}, dashboard=None, possible_repeat=False)
    assert "resolved after 5 min" in json.dumps(resolved)
    assert resolved["attachments"][0]["color"] != payload["attachments"][0]["color"]


@given(st.text(max_size=5000), st.text(max_size=5000))
def test_any_text_from_a_system_stays_within_limits_and_harmless(summary: str, team: str) -> None:
    hostile = f"<!channel> <@U1> <https://evil|x> & {summary}"
    payload = message(
        {**NOTICE, "summary": hostile, "team": team, "detail": summary}, dashboard=None, possible_repeat=True
    )
    check_limits(payload)
    shown = payload["text"] + json.dumps(payload["attachments"], ensure_ascii=False)
    assert re.findall(r"<(?!!date\^\d+\^)[^>]", shown) == []
    assert all(block["text"]["verbatim"] for block in payload["attachments"][0]["blocks"] if "text" in block)


@given(st.text(max_size=100), st.integers(10, 40))
def test_escaping_never_cuts_an_entity_in_two(text: str, limit: int) -> None:
    cut = mrkdwn(text + "&" * 20, limit)
    assert len(cut) <= limit
    assert cut.endswith("…") or len(cut) == limit
    assert re.sub(r"&(amp|lt|gt);", "", cut).count("&") == 0


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a & b < c > d", "a &amp; b &lt; c &gt; d"),
        ("<!channel> <!here> <@U012> <#C012> <!subteam^S1>", None),
        ("@here @channel #general", "@\u2060here @\u2060channel #\u2060general"),
        ("*bold* _it_ ~gone~ `code` ```block```", "∗bold∗ ˍitˍ ∼gone∼ ˋcodeˋ ˋˋˋblockˋˋˋ"),
        ("to_billing past_due", "to_billing past_due"),
        ("https://evil.example/x", "https:\u2060//evil.\u2060example/x"),
        ("www.evil.example evil.example a@b.example", None),
        (":tada: :+1:", ":\u2060tada: :\u2060+1:"),
        ("> quoted", "\u2060&gt; quoted"),
        ("two\nlines\u202e", "two␊lines⟨U+202E⟩"),
        ("1.25 at 12:30", "1.25 at 12:\u206030"),
        ("", "–"),
    ],
)
def test_slack_shows_any_text_as_text(text: str, shown: str | None) -> None:
    told = mrkdwn(text, 500)
    assert shown is None or told == shown
    for alive in (r"<", r"(?<!\w)[*_~`]", r"[*_~`](?!\w)", r":[\w+-]+:", r"@\w", r"#\w", r"://", r"\w\.[a-z]"):
        assert re.search(alive, re.sub("&(amp|lt|gt);", "", told)) is None


@given(
    st.dictionaries(st.sampled_from(["summary", "team", "detail", "source", "target", "flow", "runbook"]), st.text())
)
def test_every_word_of_a_notice_stays_within_limits(words: dict[str, str]) -> None:
    long = {name: (text or "<&>") * (6000 // max(1, len(text))) for name, text in words.items()}
    for notice in ({**NOTICE, **words}, {**NOTICE, **long}):
        check_limits(message(notice, dashboard="http://127.0.0.1:8501", possible_repeat=True))


def test_half_a_character_in_a_notice_is_sent_all_the_same(slack: FakeSlack) -> None:
    for sender in (WebhookSender(slack.url), SlackSender(slack.url, dashboard=None)):
        receipt = sender.send({**NOTICE, "summary": "half: \ud800"}, possible_repeat=False)
        assert receipt.outcome == "sent"
    hook, message_ = slack.got
    assert hook["summary"] == "half: \ud800"
    assert "⟨U+D800⟩" in message_["text"]


def deliver(stand: Stand, slack: FakeSlack, now: datetime = NOW) -> bool:
    senders = open_senders(AlertSettings.model_validate({"slack": {"webhook": slack.url}}))
    return deliver_next(stand.ledger, senders, now)


def queue(stand: Stand, transition: str = "opened") -> None:
    with stand.ledger.write() as transaction:
        known = stand.ledger.incidents.recent(transaction, ["x"], NOW)
        values = {
            "fingerprint": "x",
            "breach": "orphan",
            "state": "open",
            "opened_at": NOW,
            "count": 1,
            "peak": 1,
            "told": 1,
            "growth": 0,
            "reopened": 0,
            "summary": "s",
        }
        identity = known["x"].incident_id if known else stand.ledger.incidents.save(transaction, 0, values)
        stand.ledger.outbox.queue(
            transaction, incident_id=identity, transition=transition, sender="slack", notice=NOTICE, at=NOW
        )


def states(stand: Stand) -> list[tuple[object, object]]:
    return [(row["state"], bool(row["possible_repeat"])) for row in stand.rows("alerts")]


def test_a_message_is_sent_once_and_one_transition_is_queued_once(stand: Stand, slack: FakeSlack) -> None:
    queue(stand)
    queue(stand)
    assert deliver(stand, slack)
    assert not deliver(stand, slack)
    assert len(slack.got) == 1
    assert states(stand) == [("sent", False)]


def test_a_refusal_is_tried_again_when_slack_says(stand: Stand, slack: FakeSlack) -> None:
    queue(stand)
    slack.answers = [(429, "rate_limited", {"Retry-After": "30"})]
    assert deliver(stand, slack)
    assert not deliver(stand, slack, NOW + timedelta(seconds=29))
    assert deliver(stand, slack, NOW + timedelta(seconds=31))
    assert len(slack.got) == 1
    assert states(stand) == [("sent", False)]


@pytest.mark.parametrize("asked", ["1e300", "inf", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_receiver_that_asks_for_ages_is_tried_again_after_a_day(stand: Stand, slack: FakeSlack, asked: str) -> None:
    queue(stand)
    slack.answers = [(429, "rate_limited", {"Retry-After": asked})]
    assert deliver(stand, slack)
    assert not deliver(stand, slack, NOW + timedelta(hours=23))
    assert deliver(stand, slack, NOW + timedelta(hours=25))
    assert states(stand) == [("sent", False)]


def test_of_a_receiver_that_never_stops_answering_only_the_beginning_is_read() -> None:
    api = Api(lambda _: Response(document=itertools.repeat(b"no " * 20_000), status=404))
    receipt = WebhookSender(api.url).send(NOTICE, possible_repeat=False)
    assert (receipt.outcome, receipt.error[:15]) == ("rejected", "HTTP 404: no no")
    api.close()


def test_a_lost_answer_is_repeated_and_says_so(stand: Stand, slack: FakeSlack) -> None:
    queue(stand)
    slack.answers = [(-1, "", {})]
    deliver(stand, slack)
    deliver(stand, slack, NOW + timedelta(minutes=1))
    assert ["possible duplicate" in got["text"] for got in slack.got] == [False, True]


def test_a_rejection_is_final_and_visible(stand: Stand, slack: FakeSlack) -> None:
    queue(stand)
    slack.answers = [(404, "no_service", {})]
    deliver(stand, slack)
    assert states(stand) == [("failed", False)]
    assert "no_service" in str(stand.rows("alerts")[0]["error"])


def test_a_sender_that_died_while_sending_repeats_and_says_so(stand: Stand, slack: FakeSlack) -> None:
    queue(stand)
    assert stand.ledger.outbox.claim(NOW) is not None  # and then: kill -9
    assert stand.ledger.outbox.recover(NOW) == 1
    deliver(stand, slack)
    assert "possible duplicate" in slack.got[0]["text"]
    assert states(stand) == [("sent", True)]


def test_nobody_listening_is_retried_with_growing_waits_and_given_up(stand: Stand) -> None:
    queue(stand)
    sender = SlackSender(f"http://127.0.0.1:{free_port()}/secret-part", dashboard=None)
    now, waits = NOW, []
    for _ in range(MOST_TRIES):
        assert deliver_next(stand.ledger, {"slack": sender}, now)
        (row,) = stand.rows("alerts")
        if row["state"] == "failed":
            break
        due = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(str(row["next_try_at"])))
        waits.append((due - now).total_seconds())
        now = due
    assert stand.rows("alerts")[0]["state"] == "failed"
    assert waits == sorted(waits)
    assert len(waits) == MOST_TRIES - 1


def test_the_webhook_address_never_reaches_text(stand: Stand, slack: FakeSlack) -> None:
    answers: list[tuple[int, str, dict[str, str]]] = [(500, slack.url, {}), (404, slack.url, {}), (-1, "", {})]
    for answer in answers:
        for sender in (SlackSender(slack.url, dashboard=None), WebhookSender(slack.url)):
            slack.answers = [answer]
            receipt = sender.send(NOTICE, possible_repeat=False)
            assert receipt.outcome != "sent"
            assert "secret-part" not in repr(receipt)
    assert "secret-part" not in repr(AlertSettings.model_validate({"slack": {"webhook": slack.url}}))


@pytest.mark.parametrize(
    ("receipt", "state"),
    [
        (Receipt(outcome="sent"), "sent"),
        (Receipt(outcome="rejected"), "failed"),
        (Receipt(outcome="refused"), "pending"),
        (Receipt(outcome="ambiguous"), "pending"),
    ],
)
def test_what_becomes_of_a_message_after_a_try(receipt: Receipt, state: str) -> None:
    after = after_try(receipt, 1, NOW, False)
    assert after["state"] == state
    assert bool(after.get("possible_repeat")) == (receipt.outcome == "ambiguous")


def test_growth_is_told_with_the_count_it_grew_from(stand: Stand) -> None:
    flow = stand.map.flow("to_billing")
    for count in (5, 256):
        with stand.ledger.write() as transaction:
            after_audit(
                stand.ledger,
                transaction,
                flow=flow,
                open_by_cause={"late": count},
                failed=None,
                senders=["slack"],
                now=NOW,
            )
    claimed = [stand.ledger.outbox.claim(NOW + timedelta(seconds=1)) for _ in range(2)]
    assert [each.transition for each in claimed if each] == ["opened", "grown 10x"]
    assert claimed[1] is not None
    told = message(claimed[1].notice, dashboard=None, possible_repeat=False)
    assert "GROWN" in str(told)
    assert "256 customer records, 5 when it opened" in str(told)
