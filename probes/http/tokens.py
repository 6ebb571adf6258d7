"""Tokens: requested once for all threads, renewed before they expire and once after a refusal."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from probes.call_deadline import left, within
from probes.contract import ProbeError, Reason
from probes.http.authentication import Credentials, bearing
from probes.http.grants import Grant
from probes.http.token_endpoint import TokenEndpoint

MARGIN_S = 60.0
"""A token is renewed this long before it expires, or in the last tenth of its life if that is shorter."""

EARLY_AGAIN_S = 10.0
"""Retry interval after a valid token could not be renewed."""

VAIN_S = 60.0
"""Pause after the API refused a renewed token, too: another token would be refused as well."""

LONGEST_LIFE_S = 400 * 86_400.0
"""Longer lifetimes are ignored; such a token is renewed when the API refuses it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    """A token, with the monotonic seconds of its renewal and expiry."""

    credentials: Credentials
    due_at: float
    ends_at: float


class TokenSource:
    """Signs in with tokens from a token endpoint.

    Args:
        now: returns monotonic seconds.
    """

    def __init__(self, grant: Grant, endpoint: TokenEndpoint, *, now: Callable[[], float] = time.monotonic) -> None:
        self._grant = grant
        self._endpoint = endpoint
        self._now = now
        self._asking = threading.Lock()
        self._token: _Token | None = None
        self._ended = 0
        self._failure: ProbeError | None = None
        self._early_from = 0.0
        self._vain_until = float("-inf")

    @property
    def secrets(self) -> Sequence[str]:
        return []

    @property
    def token(self) -> str:
        token = self._token
        return "" if token is None else token.credentials.value.partition(" ")[2]

    @property
    def remarks(self) -> tuple[str, ...]:
        return self._grant.remarks

    def credentials(self) -> Credentials:
        token, now = self._token, self._now()
        if token is None or now >= token.ends_at:
            return self._other_than(token)
        if now >= token.due_at:
            self._renew_early(token, now)
            token = self._token or token
        return token.credentials

    def renewed(self, refused: Credentials) -> Credentials | None:
        token = self._token
        if token is None or token.credentials != refused:
            return self.credentials()
        if self._now() < self._vain_until:
            return None
        return self._other_than(token)

    def in_vain(self) -> None:
        self._vain_until = self._now() + VAIN_S

    def _other_than(self, stale: _Token | None) -> Credentials:
        """A token other than the stale one. Threads that arrive during a request share its result."""
        ended = self._ended
        if not self._asking.acquire(timeout=min(left(), threading.TIMEOUT_MAX)):
            left()
            raise ProbeError(Reason.TIMEOUT, "no token came within the deadline")
        try:
            if self._token is not stale and self._token is not None:
                return self._token.credentials
            if self._ended != ended and self._failure is not None:
                raise _again(self._failure)
            return self._ask().credentials
        finally:
            self._asking.release()

    def _renew_early(self, token: _Token, now: float) -> None:
        """Renew a valid token in one thread, while the others keep using it.

        A failure is not reported: the token is still valid, and after it expires, the next caller gets the error.
        """
        if now < self._early_from or not self._asking.acquire(blocking=False):
            return
        try:
            if self._token is token:
                with within(max(left(), 0.0) / 2):
                    self._ask()
        except ProbeError:
            self._early_from = self._now() + EARLY_AGAIN_S
        finally:
            self._asking.release()

    def _ask(self) -> _Token:
        """Request a token; only the holder of the lock does."""
        sent_at = self._now()
        try:
            value, lives_s = self._endpoint.ask(self._grant)
        except ProbeError as failure:
            # A timeout affects only this call.
            self._failure = None if failure.reason is Reason.TIMEOUT else failure
            self._ended += 1
            raise
        life_s = _seconds(lives_s)
        token = _Token(
            credentials=bearing(value),
            due_at=sent_at + life_s - min(MARGIN_S, life_s / 10),
            ends_at=sent_at + life_s,
        )
        self._failure, self._token = None, token
        self._ended += 1
        return token

    def close(self) -> None:
        self._endpoint.close()


def _again(failure: ProbeError) -> ProbeError:
    """A copy of the failure for another thread."""
    return type(failure)(
        failure.reason, failure.message, hint=failure.hint, retry_after_s=failure.retry_after_s, of_key=failure.of_key
    )


def _seconds(value: Any) -> float:
    """A token's lifetime; infinite if the server's value is missing or implausible."""
    try:
        life_s = float(value)
    except (TypeError, ValueError, OverflowError):
        return float("inf")
    return life_s if 1 <= life_s <= LONGEST_LIFE_S else float("inf")
