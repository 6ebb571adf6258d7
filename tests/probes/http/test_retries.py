"""What is tried again, how often, and with which pauses."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable

import httpx
import pytest

from probes.call_deadline import within
from probes.contract import ProbeError, Reason
from probes.http.retries import FIRST_WAIT_S, LONGEST_WAIT_S, PassingError, passes, repeated

ERROR = ProbeError(Reason.UNREACHABLE, "not there")


def failing(
    times: int, wait_s: float | None = 0.0, error: Exception | None = None
) -> tuple[Callable[[], str], list[float]]:
    """A request that fails so often, and when it was sent."""
    sent: list[float] = []

    def send() -> str:
        sent.append(time.monotonic())
        if len(sent) <= times:
            raise error or PassingError(ERROR, wait_s)
        return "there"

    return send, sent


def test_what_passes_is_answered() -> None:
    send, sent = failing(2, wait_s=None)
    assert (repeated(send, retries=2, closing=threading.Event()), len(sent)) == ("there", 3)


def test_what_stays_is_told_as_it_was() -> None:
    send, sent = failing(9, wait_s=None)
    with pytest.raises(ProbeError) as failed:
        repeated(send, retries=3, closing=threading.Event())
    assert (failed.value is ERROR, len(sent)) == (True, 4)


def test_who_asks_for_a_pause_twice_is_left_alone_for_longer() -> None:
    send, sent = failing(9, wait_s=0.0)
    with pytest.raises(ProbeError) as failed:
        repeated(send, retries=9, closing=threading.Event())
    assert (failed.value.retry_after_s, len(sent)) == (LONGEST_WAIT_S, 2)


@pytest.mark.parametrize("error", [ERROR, ValueError("a bug")])
def test_what_does_not_pass_is_not_repeated(error: Exception) -> None:
    send, sent = failing(1, error=error)
    with pytest.raises(type(error)):
        repeated(send, retries=3, closing=threading.Event())
    assert len(sent) == 1


def test_a_pause_is_at_least_what_is_asked_for() -> None:
    send, sent = failing(1, wait_s=0.2)
    repeated(send, retries=1, closing=threading.Event())
    assert sent[1] - sent[0] >= 0.2


def test_a_pause_of_our_own_is_never_none() -> None:
    send, sent = failing(1, wait_s=None)
    repeated(send, retries=1, closing=threading.Event())
    assert sent[1] - sent[0] >= FIRST_WAIT_S / 2


def test_a_longer_pause_is_not_made_in_the_middle_of_a_call() -> None:
    send, sent = failing(1, wait_s=LONGEST_WAIT_S + 0.1)
    with pytest.raises(ProbeError):
        repeated(send, retries=3, closing=threading.Event())
    assert len(sent) == 1


def test_no_pause_begins_that_would_end_after_the_deadline_of_the_call() -> None:
    send, sent = failing(10_000, wait_s=None)
    with within(1.0), pytest.raises(ProbeError) as failed:
        repeated(send, retries=10_000, closing=threading.Event())
    assert failed.value is ERROR
    assert 1 <= len(sent) < 100  # pauses grow to between half a second and one
    with within(0.01):
        send, sent = failing(10, wait_s=0.5)
        with pytest.raises(ProbeError):
            repeated(send, retries=10, closing=threading.Event())
    assert len(sent) == 1


def test_what_was_found_before_the_time_ran_out_is_told() -> None:
    sent: list[None] = []

    def send() -> str:
        sent.append(None)
        raise PassingError(ERROR) if len(sent) == 1 else ProbeError(Reason.TIMEOUT, "no time left")

    with pytest.raises(ProbeError) as failed:
        repeated(send, retries=2, closing=threading.Event())
    assert (failed.value is ERROR, len(sent)) == (True, 2)


def test_closing_ends_a_pause_and_every_further_try() -> None:
    closing = threading.Event()
    send, sent = failing(5, wait_s=1.5)
    failed = threading.Event()

    def run() -> None:
        with pytest.raises(ProbeError):
            repeated(send, retries=5, closing=closing)
        failed.set()

    threading.Thread(target=run, daemon=True).start()
    closing.set()
    assert failed.wait(60)
    assert len(sent) <= 2


@pytest.mark.parametrize(
    ("cause", "wanted"),
    [
        (ConnectionRefusedError(), True),
        (ConnectionResetError(), True),
        (ssl.SSLCertVerificationError("self-signed"), False),
        (socket.gaierror(socket.EAI_NONAME, "no such host"), False),
        (socket.gaierror(socket.EAI_AGAIN, "try again"), True),
        (None, True),
    ],
)
def test_names_and_certificates_do_not_pass(cause: Exception | None, wanted: bool) -> None:
    error = httpx.ConnectError("failed")
    error.__cause__ = cause
    assert passes(error) is wanted
