"""From the outbox to Slack: once, in time, never falsely, and never with its secret in the open."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from auditor.alerts.delivery import deliver_next, open_senders
from auditor.alerts.delivery_rule import REJECTED_UNTIL, REJECTED_WAIT_S, RETRIED_UNTIL, after_try
from auditor.alerts.reporter import Reporter
from auditor.alerts.signals import signals_of
from auditor.map.settings import AlertSettings
from auditor.senders.contract import Receipt
from auditor.senders.slack import message
from tests.auditor.ledger.rows import incident
from tests.auditor.senders.receivers import NOTICE, NOW, FakeSlack, opened
from tests.servers import free_port
from tests.stand import Stand


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    made = FakeSlack()
    yield made
    made.close()


def deliver(stand: Stand, slack: FakeSlack, now: datetime = NOW) -> bool:
    senders = open_senders(AlertSettings.model_validate({"slack": {"webhook": slack.url}}))
    return deliver_next(stand.ledger, senders, now)


def queue(stand: Stand, transition: str = "opened") -> None:
    with stand.ledger.write() as transaction:
        known = stand.ledger.incidents.live(transaction)
        identity = known[0].incident_id if known else stand.ledger.incidents.save(transaction, 0, incident())
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


def test_a_lost_answer_is_repeated_and_says_so(stand: Stand, slack: FakeSlack) -> None:
    queue(stand)
    slack.answers = [(-1, "", {})]
    deliver(stand, slack)
    deliver(stand, slack, NOW + timedelta(minutes=1))
    assert ["possible duplicate" in got["text"] for got in slack.got] == [False, True]


def test_a_rejection_is_visible(stand: Stand, slack: FakeSlack) -> None:
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


def test_nobody_listening_is_retried_with_growing_waits_and_given_up_after_days(stand: Stand) -> None:
    queue(stand)
    sender = opened("slack", f"http://127.0.0.1:{free_port()}/secret-part")
    now, waits = NOW, []
    while now < NOW + RETRIED_UNTIL:
        assert deliver_next(stand.ledger, {"slack": sender}, now)
        (row,) = stand.rows("alerts")
        assert row["state"] == "pending"
        due = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(str(row["next_try_at"])))
        waits.append((due - now).total_seconds())
        now = due + timedelta(hours=6 if len(waits) > 12 else 0)
    assert waits == sorted(waits)
    assert deliver_next(stand.ledger, {"slack": sender}, now)
    (row,) = stand.rows("alerts")
    assert (row["state"], row["next_try_at"]) == ("failed", None)
    (lost,) = stand.ledger.outbox.undelivered()
    assert (lost.rejected, lost.given_up) == (0, 1)
    assert "not sent any more" in lost.advice


def test_a_rejected_message_is_tried_again_for_a_day_once_people_have_corrected_the_address(
    stand: Stand, slack: FakeSlack
) -> None:
    queue(stand)
    slack.answers = [(404, "no_service", {})]
    deliver(stand, slack)
    (lost,) = stand.ledger.outbox.undelivered()
    assert (lost.rejected, lost.given_up) == (1, 0)
    assert "tried again every 15 minutes" in lost.advice
    assert not deliver(stand, slack, NOW + timedelta(seconds=REJECTED_WAIT_S - 1))
    assert deliver(stand, slack, NOW + timedelta(seconds=REJECTED_WAIT_S))
    assert states(stand) == [("sent", False)]
    after = after_try(Receipt(outcome="rejected"), 90, NOW + REJECTED_UNTIL, False, since_at=NOW)
    assert (after["state"], after["next_try_at"]) == ("failed", None)


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
    after = after_try(receipt, 1, NOW, False, since_at=NOW)
    assert after["state"] == state
    assert bool(after.get("possible_repeat")) == (receipt.outcome == "ambiguous")


def test_growth_is_told_with_the_count_it_grew_from(stand: Stand) -> None:
    flow = stand.map.flow("to_billing")
    reporter = Reporter(stand.ledger, [flow], senders=["slack"])
    for count in (5, 256):
        with stand.ledger.write() as transaction:
            reporter.report(transaction, signals_of(flow, open_by_cause={"late": count}, failed=None), NOW)
    claimed = []
    for _ in range(2):
        alert = stand.ledger.outbox.claim(NOW + timedelta(seconds=1))
        assert alert is not None
        stand.ledger.outbox.settle(alert, state="sent", sent_at=NOW)
        claimed.append(alert)
    assert [each.transition for each in claimed] == ["opened", "grown 10x from 5"]
    told = message(claimed[1].notice, dashboard=None, possible_repeat=False)
    assert "GROWN" in str(told)
    assert "(256 customer records), up from 5" in str(told)


def test_recipients_that_a_server_refuses_are_logged(stand: Stand, caplog: pytest.LogCaptureFixture) -> None:
    class Partial:
        def send(self, _notice: object, *, possible_repeat: bool) -> Receipt:
            return Receipt(outcome="sent", error="not delivered to gone@x.example")

        def close(self) -> None:
            """Nothing is open."""

    queue(stand)
    assert deliver_next(stand.ledger, {"slack": Partial()}, NOW)
    assert states(stand) == [("sent", False)]
    assert "not delivered to gone@x.example" in caplog.text
