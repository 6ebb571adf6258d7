"""Messages through Apprise, to a receiver of its JSON notifications."""

from __future__ import annotations

import json
import threading

import pytest
from pydantic import ValidationError

from auditor.senders.apprise import AppriseSettings
from auditor.senders.contract import Receipt
from tests.auditor.senders.receivers import NOTICE, SECRET, opened, receiver, sent
from tests.http_api import Api, Request, Response
from tests.waiting import PATIENCE_S


def address(api: Api) -> str:
    return api.url.replace("http://", "json://") + f"/{SECRET}"


def test_a_message_says_what_where_and_how_many() -> None:
    with receiver(lambda _: "ok") as api:
        sender = opened("apprise", address(api), dashboard="http://d")
        assert sender.send({**NOTICE, "summary": "<b>*half* \ud800"}, possible_repeat=True) == Receipt(outcome="sent")
    told = json.loads(api.asked[0].body)
    assert told["title"] == "[OPENED] <b>*half* ⟨U+D800⟩"
    for word in ("possible duplicate", "crm → billing", "http://d/drift?flow=to_billing"):
        assert word in told["message"]


@pytest.mark.parametrize("status", [404, 429, 500])
def test_a_failure_may_have_arrived_and_shows_no_secret(status: int, caplog: pytest.LogCaptureFixture) -> None:
    with receiver(lambda _: Response(document=SECRET, status=status)) as api:
        receipt = sent(opened("apprise", address(api)))
    assert receipt.outcome == "ambiguous"
    assert SECRET not in repr(receipt) + caplog.text


def test_an_address_that_apprise_does_not_support_is_rejected() -> None:
    assert sent(opened("apprise", "nothing-of-the-kind://x")).outcome == "rejected"
    with pytest.raises(ValidationError, match="such as tgram"):
        AppriseSettings.model_validate({"url": "tgram"})


def test_a_try_that_hangs_ends_at_the_deadline_or_when_it_is_closed() -> None:
    reached, released = threading.Event(), threading.Event()

    def hang(_: Request) -> Response:
        reached.set()
        released.wait(PATIENCE_S)
        return Response(status=500)

    with receiver(hang) as api:
        assert sent(opened("apprise", address(api), timeout_s=0.5)).outcome == "ambiguous"
        reached.clear()
        sender = opened("apprise", address(api), timeout_s=10 * PATIENCE_S)
        receipts: list[Receipt] = []
        trying = threading.Thread(target=lambda: receipts.append(sender.send(NOTICE, possible_repeat=False)))
        trying.start()
        assert reached.wait(PATIENCE_S)
        sender.close()
        trying.join(PATIENCE_S)
        released.set()
        assert [each.outcome for each in receipts] == ["ambiguous"]
        assert sender.send(NOTICE, possible_repeat=False).outcome == "refused"
