"""The heartbeat: what counts as accepted, and that its address stays secret."""

from __future__ import annotations

import pytest

from auditor.daemon.heartbeat import Heartbeat
from auditor.map.settings import AlertSettings
from auditor.senders.heartbeat import HeartbeatSettings
from tests.auditor.senders.receivers import dripping, receiver
from tests.http_api import Response

SECRET = "0c8983c9-9d73-446f-adb5-0641fdacc9d4"


def heartbeat(url: str, timeout_s: float = 10.0) -> Heartbeat:
    return Heartbeat(HeartbeatSettings.model_validate({"url": url}), timeout_s=timeout_s)


def test_it_sends_one_get_to_the_address_as_it_is() -> None:
    with receiver(lambda _: b"OK") as api:
        assert heartbeat(f"{api.url}/api/push/{SECRET}?status=up&msg=OK&ping=").send() == ""
    (request,) = api.asked
    assert (request.method, api.paths) == ("GET", [f"/api/push/{SECRET}?status=up&msg=OK&ping="])


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (Response(document=b"OK (not found)"), "HTTP 200: OK (not found)"),
        (Response(document=b"OK (rate limited)"), "HTTP 200: OK (rate limited)"),
        (Response(document={"ok": False}, status=404), 'HTTP 404: {"ok": false}'),
        (Response(document=b"", status=302, headers={"Location": "/elsewhere"}), "HTTP 302: "),
        (Response(document=f"no check {SECRET}".encode(), status=500), "HTTP 500: no check ***"),
    ],
)
def test_what_is_not_accepted_is_an_error_without_the_address(response: Response, error: str) -> None:
    with receiver(lambda _: response) as api:
        assert heartbeat(f"{api.url}/{SECRET}").send() == error
    assert len(api.asked) == 1


def test_a_service_that_is_down_or_never_ends_its_response_is_bounded() -> None:
    assert heartbeat("http://127.0.0.1:1/x").send() == "no response (ConnectError)"
    with dripping(b"HTTP/1.1 500 No\r\nX: ", again=b"x") as url:
        assert heartbeat(url, timeout_s=1.0).send().startswith("no response")


def test_an_empty_address_is_none() -> None:
    assert AlertSettings.model_validate({"heartbeat": {"url": ""}}).heartbeat is None
