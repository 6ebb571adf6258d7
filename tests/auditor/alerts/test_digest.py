"""A storm becomes one message that counts what it replaces."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from auditor.alerts.delivery import deliver_next, open_pace
from auditor.alerts.digest import FOLD_ABOVE, digest
from auditor.alerts.pace import DIGEST_EVERY, SINGLE, Pace
from auditor.senders.contract import Receipt, Sender
from auditor.senders.registry import SENDERS, sender_settings
from auditor.senders.slack import message
from tests.auditor.ledger.rows import incident
from tests.auditor.senders.receivers import NOTICE, NOW, FakeSlack, opened
from tests.auditor.senders.test_slack import check_limits
from tests.stand import Stand
from tests.standins import faults
from tests.standins.slack import BOT_TOKEN, Slack


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    made = FakeSlack()
    yield made
    made.close()


def storm(stand: Stand, number: int, *, sender: str = "slack", begin: int = 0, **changed: Any) -> None:
    """Queue the opening of incidents."""
    with stand.ledger.write() as transaction:
        for each in range(begin, begin + number):
            identity = stand.ledger.incidents.save(transaction, 0, incident(fingerprint=f"x{each}"))
            notice = {**NOTICE, "incident": identity, **changed}
            stand.ledger.outbox.queue(
                transaction, incident_id=identity, transition="opened", sender=sender, notice=notice, at=NOW
            )


def senders(slack: FakeSlack, name: str = "slack") -> dict[str, Sender]:
    return {name: opened(name, slack.url)}


def test_a_digest_lists_the_most_severe_first_and_stays_within_the_limits() -> None:
    notices = [{**NOTICE, "flow": f"flow_{each}_<&>", "severity": "low", "incident": each} for each in range(2000)]
    notices.append({**NOTICE, "severity": "critical", "cause": "stopped_consumer", "incident": 9999})
    told = digest(notices, NOW + timedelta(minutes=6))
    assert told["rows"][0] == ("critical", 1, "stopped consumer, opened", "to_billing")
    assert "2,001 messages about 2,001 incidents" in told["summary"]
    assert "1 critical, 2,000 low" in told["summary"]
    payload = message(told, dashboard=None, possible_repeat=False)
    check_limits(payload)
    shown = json.dumps(payload, ensure_ascii=False)
    assert "more rows" in shown
    assert "flow_0_&lt;&amp;&gt;" in shown


def test_a_few_messages_stay_single(stand: Stand, slack: FakeSlack) -> None:
    storm(stand, FOLD_ABOVE)
    while deliver_next(stand.ledger, senders(slack), NOW, to="slack"):
        pass
    assert len(slack.got) == FOLD_ABOVE


def test_a_storm_is_at_most_three_messages_in_five_minutes(stand: Stand, slack: FakeSlack) -> None:
    storm(stand, 300)
    pace = Pace()
    for second in range(301):
        if second % 10 == 0:
            storm(stand, 20, begin=1000 + 20 * second)  # it goes on
        deliver_next(stand.ledger, senders(slack), NOW + timedelta(seconds=second), to="slack", pace=pace)
    assert len(slack.got) <= 3
    sent = [row for row in stand.rows("alerts") if row["state"] == "sent"]
    assert len(sent) >= 300
    assert all(row["digest_id"] for row in sent)


def test_a_successor_goes_on_gathering(stand: Stand, slack: FakeSlack) -> None:
    storm(stand, 50)
    assert deliver_next(stand.ledger, senders(slack), NOW, to="slack", pace=Pace())
    storm(stand, FOLD_ABOVE + 1, begin=50)
    pace = open_pace(stand.ledger, "slack", NOW + timedelta(seconds=30))
    assert not deliver_next(stand.ledger, senders(slack), NOW + timedelta(seconds=30), to="slack", pace=pace)
    assert deliver_next(stand.ledger, senders(slack), NOW + DIGEST_EVERY, to="slack", pace=pace)


def test_what_happens_shortly_after_a_digest_is_reported_at_once(stand: Stand, slack: FakeSlack) -> None:
    storm(stand, 50)
    pace = Pace()
    assert deliver_next(stand.ledger, senders(slack), NOW, to="slack", pace=pace)
    storm(stand, 3, begin=50)
    for second in (30, 31, 32):
        deliver_next(stand.ledger, senders(slack), NOW + timedelta(seconds=second), to="slack", pace=pace)
    assert len(slack.got) == 1 + SINGLE
    assert deliver_next(stand.ledger, senders(slack), NOW + DIGEST_EVERY, to="slack", pace=pace)


def test_a_refused_digest_keeps_its_messages(stand: Stand, slack: FakeSlack) -> None:
    storm(stand, 50)
    slack.answers = [(429, "rate_limited", {"Retry-After": "30"})]
    assert deliver_next(stand.ledger, senders(slack), NOW, to="slack")
    assert {row["state"] for row in stand.rows("alerts")} == {"pending"}
    assert deliver_next(stand.ledger, senders(slack), NOW + timedelta(seconds=30), to="slack")
    assert {row["state"] for row in stand.rows("alerts")} == {"sent"}
    assert len(slack.got) == 1


def test_a_digest_that_arrived_although_the_response_was_lost_is_not_sent_again(stand: Stand) -> None:
    with Slack() as workspace:
        workspace.create_channel("x")
        bot = {"slack_bot": opened("slack_bot", f"{workspace.url}/api", token=BOT_TOKEN, channel="#x")}
        storm(stand, 50, sender="slack_bot")
        workspace.fail(faults.cut_off(), on="chat_postMessage")
        assert deliver_next(stand.ledger, bot, NOW, to="slack_bot")
        storm(stand, 10, sender="slack_bot", begin=50)
        assert deliver_next(stand.ledger, bot, NOW + timedelta(minutes=1), to="slack_bot")
        assert len(workspace.messages) == 1
        assert Counter(row["state"] for row in stand.rows("alerts")) == {"sent": 50, "pending": 10}


@pytest.mark.parametrize("name", [name for name in SENDERS if not sender_settings(name).folds])
def test_an_alert_of_its_own_for_each_incident_is_never_folded(stand: Stand, name: str) -> None:
    class Counting:
        sent = 0

        def send(self, _notice: object, *, possible_repeat: bool) -> Receipt:
            Counting.sent += 1
            return Receipt(outcome="sent")

        def close(self) -> None:
            """Nothing is open."""

    storm(stand, 20, sender=name)
    while deliver_next(stand.ledger, {name: Counting()}, NOW, to=name):
        pass
    assert Counting.sent == 20


def test_severe_messages_come_first(stand: Stand) -> None:
    for at, severity in enumerate(("low", "critical", "high")):
        storm(stand, 1, begin=at, severity=severity)
    order = []
    while (alert := stand.ledger.outbox.claim(NOW)) is not None:
        order.append(alert.notice["severity"])
        stand.ledger.outbox.settle(alert, state="sent", sent_at=NOW)
    assert order == ["critical", "high", "low"]
