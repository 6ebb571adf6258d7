"""What every sender of the registry keeps to, whoever receives: each try ends in time, and says what is certain."""

from __future__ import annotations

import gzip
import itertools
import re
import threading
from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from auditor.map.settings import AlertSettings
from auditor.senders.contract import Receipt
from auditor.senders.registry import SENDERS, sender_settings
from tests import HOME
from tests.auditor.senders.receivers import (
    KEY,
    NOTICE,
    OVER_HTTP,
    SECRET,
    WORDS,
    FakeSlack,
    dripping,
    opened,
    receiver,
    sent,
    words,
)
from tests.http_api import Response
from tests.servers import free_port
from tests.waiting import PATIENCE_S

IMPATIENT_S = 1.0


@pytest.fixture(params=OVER_HTTP)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("sender", SENDERS)
def test_its_settings_say_where_it_sends(sender: str) -> None:
    address = "x.example" if sender == "email" else "https://x.example/y"
    model = sender_settings(sender)
    assert model.title
    assert model.model_validate(words(sender, address)).address == address
    alerts = AlertSettings.model_validate({sender: words(sender, address)})
    assert list(alerts.senders) == [sender]


@pytest.mark.parametrize("sender", SENDERS)
def test_an_empty_address_is_none(sender: str) -> None:
    assert AlertSettings.model_validate({sender: words(sender, "")}).senders == {}


@pytest.mark.parametrize("sender", SENDERS)
def test_an_empty_key_is_none(sender: str) -> None:
    for key in sender_settings(sender).needs:
        given = {**words(sender, "https://x.example/y"), key: ""}
        assert AlertSettings.model_validate({sender: given}).senders == {}
        with pytest.raises(ValidationError, match="copy it again"):
            AlertSettings.model_validate({sender: {**given, key: "a b"}})


@pytest.mark.parametrize("name", SENDERS)
def test_the_documentation_names_it_and_each_of_its_words(name: str) -> None:
    row = re.search(rf"^\| `{name}` \| (.+) \|$", (HOME / "docs" / "map.md").read_text(), re.MULTILINE)
    assert row, name
    assert [
        word
        for field, described in sender_settings(name).model_fields.items()
        if f"`{(word := described.alias or field)}`" not in row[1]
    ] == []
    views = (HOME / "docs" / "views.md").read_text()
    senders = re.search(r"^\| `sender` \| (.+) \|$", views, re.MULTILINE)
    assert senders
    assert name in re.findall(r"\w+", senders[1])


@pytest.mark.parametrize(
    ("data", "again"),
    [(b"", b"H"), (b"HTTP/1.1 200 OK\r\n", b"x: y\r\n"), (b"HTTP/1.1 200 OK\r\nx: ", b"y")],
    ids=["one letter again and again", "headers without end", "one header without end"],
)
def test_an_answer_that_drips_before_its_body_ends_at_the_deadline(name: str, data: bytes, again: bytes) -> None:
    with dripping(data, again=again) as url:
        receipt = sent(opened(name, url, timeout_s=IMPATIENT_S))
    assert receipt.outcome == "ambiguous"
    assert SECRET not in receipt.error


@pytest.mark.parametrize(("status", "outcome"), [(404, "rejected"), (500, "ambiguous"), (429, "refused")])
def test_an_error_whose_text_drips_is_known_by_its_status(name: str, status: int, outcome: str) -> None:
    with dripping(b"HTTP/1.1 %d No\r\nConnection: close\r\n\r\nno such channel " % status, again=b".") as url:
        receipt = sent(opened(name, url, timeout_s=IMPATIENT_S))
    assert receipt.outcome == outcome
    assert receipt.error.startswith(f"HTTP {status}: no such channel")


def test_a_success_is_one_however_long_its_body_goes_on(name: str) -> None:
    with dripping(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok", again=b".") as url:
        assert sent(opened(name, url)) == Receipt(outcome="sent")


def test_an_endless_error_is_read_no_further_than_it_is_told(name: str) -> None:
    told = threading.Event()

    def endless() -> Iterator[bytes]:
        try:
            for _ in itertools.count():
                yield b"x" * 65536
        finally:
            told.set()  # the receiver was hung up on

    with receiver(lambda _: Response(document=endless(), status=404)) as api:
        receipt = sent(opened(name, api.url))
        assert told.wait(PATIENCE_S)
    assert receipt == Receipt(outcome="rejected", error=f"HTTP 404: {'x' * 100}")


@pytest.mark.parametrize("packing", ["gzip", "br", "zstd", "deflate"])
def test_a_packed_error_that_stands_for_gigabytes_is_not_unpacked(name: str, packing: str) -> None:
    bomb = gzip.compress(b"y" * 20_000_000) * 10
    with receiver(lambda _: Response(document=bomb, status=500, headers={"Content-Encoding": packing})) as api:
        receipt = sent(opened(name, api.url))
    assert receipt.outcome == "ambiguous"
    assert receipt.error == "HTTP 500: " + ("y" * 100 if packing == "gzip" else "")
    assert api.asked[0].headers["Accept-Encoding"] == "gzip"


def test_of_a_receiver_that_never_stops_answering_only_the_beginning_is_read(name: str) -> None:
    with receiver(lambda _: Response(document=itertools.repeat(b"no " * 20_000), status=404)) as api:
        receipt = opened(name, api.url).send(NOTICE, possible_repeat=False)
    assert (receipt.outcome, receipt.error[:15]) == ("rejected", "HTTP 404: no no")


def test_its_address_never_reaches_text(name: str, slack: FakeSlack) -> None:
    answers: list[tuple[int, str, dict[str, str]]] = [
        (500, slack.url, {}),
        (404, slack.url, {}),
        (403, f"no integration has the key {KEY}", {}),
        (-1, "", {}),
    ]
    for answer in answers:
        slack.answers = [answer]
        receipt = opened(name, slack.url).send(NOTICE, possible_repeat=False)
        assert receipt.outcome != "sent"
        assert SECRET not in repr(receipt)
        assert KEY not in repr(receipt) or name not in WORDS
    shown = repr(AlertSettings.model_validate({name: words(name, slack.url)}))
    assert SECRET not in shown
    assert KEY not in shown


def test_half_a_character_in_a_notice_is_sent_all_the_same(name: str, slack: FakeSlack) -> None:
    receipt = opened(name, slack.url).send({**NOTICE, "summary": "half: \ud800"}, possible_repeat=False)
    assert receipt.outcome == "sent"
    assert len(slack.got) == 1


def test_a_possible_repeat_says_so(name: str, slack: FakeSlack) -> None:
    for possible_repeat in (False, True):
        opened(name, slack.url).send(NOTICE, possible_repeat=possible_repeat)
    first, again = slack.got
    assert first != again


def test_closing_it_cuts_off_a_try_under_way(name: str) -> None:
    asked, released = threading.Event(), threading.Event()

    def hang(_: object) -> Response:
        asked.set()
        released.wait(PATIENCE_S)
        return Response(status=500)

    with receiver(hang) as api:
        sender = opened(name, api.url, timeout_s=10 * PATIENCE_S)
        receipts: list[Receipt] = []
        trying = threading.Thread(target=lambda: receipts.append(sender.send(NOTICE, possible_repeat=False)))
        trying.start()
        assert asked.wait(PATIENCE_S)
        sender.close()
        trying.join(PATIENCE_S)
        released.set()
    assert [each.outcome for each in receipts] == ["ambiguous"]


def test_alerts_go_through_the_proxy_of_the_environment_by_the_same_deadline(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with dripping(b"HTTP/1.1 200 OK\r\n", again=b"x: y\r\n") as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy)
        monkeypatch.setenv("NO_PROXY", "")
        monkeypatch.delenv("no_proxy", raising=False)
        receipt = sent(opened(name, "http://receiver.invalid/x", timeout_s=IMPATIENT_S))
    assert receipt.outcome == "ambiguous"  # without the proxy: refused, for nobody is called that


def test_nobody_at_any_address_is_a_refusal(name: str) -> None:
    for host in (f"localhost:{free_port()}", "no-such-host.invalid"):
        assert sent(opened(name, f"http://{host}/x")).outcome == "refused"
