"""Reports a failure that lasts: of the ledger or archive to people, of a flow's audits to the log."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from auditor.alerts.own_notice import own_notice
from auditor.audit.gathered import Failure

ALERT_AFTER_S = 10.0
"""People are notified of trouble that lasts this long: a restarted server is not news."""

QUIET_S = 5.0
"""Trouble is over when nothing has failed for this long: on a nearly full disk some writes succeed."""

REPEATED_S = 3_600.0
"""A failure of a flow's audits that lasts is logged again after so long."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """A notification for people: a transition, and the message's text."""

    transition: Literal["opened", "resolved"]
    since_at: datetime
    at: datetime
    summary: str
    detail: str
    breach: str = "unrecorded"

    def notice(self) -> dict[str, Any]:
        """The message in the form that senders expect."""
        return own_notice(
            self.transition,
            breach=self.breach,
            summary=self.summary,
            detail=self.detail,
            count=1 if self.transition == "opened" else 0,
            peak=1,
            opened_at=self.since_at,
            at=self.at,
        )


class Trouble:
    """The failures of one place; safe to share between threads.

    Args:
        what: the effect in words: "audits are not recorded".
        tell: called with each notification.
        verified: whether what happens meanwhile is verified all the same.
    """

    def __init__(self, what: str, tell: Callable[[News], None], *, verified: bool = False) -> None:
        self._what = what
        self._tell = tell
        self._verified = verified
        self._lock = threading.Lock()
        self._since_at: datetime | None = None
        self._failed_at: datetime | None = None
        self._why = ""
        self._failures = 0
        self._told = False

    @property
    def lasts(self) -> bool:
        """Whether the place is failing now."""
        return self._since_at is not None

    def failed(self, why: str, now: datetime) -> None:
        """Note a failure: the first is logged, and people are notified once if it lasts."""
        with self._lock:
            self._failures += 1
            self._failed_at = now
            self._why = why
            first = self._since_at is None
            since_at = self._since_at = self._since_at or now
            tells = not self._told and (now - since_at).total_seconds() >= ALERT_AFTER_S
            self._told = self._told or tells
        if first:
            log.error("%s; %s until it works again", why, self._what)
        if tells:
            meanwhile = "" if self._verified else " What happens meanwhile is not verified."
            self._tell(
                News(
                    transition="opened",
                    since_at=since_at,
                    at=now,
                    summary=f"{why[:1].upper()}{why[1:]}. Meanwhile {self._what}",
                    detail=f"Since {_at(since_at)}.{meanwhile}",
                )
            )

    def worked(self, now: datetime) -> None:
        """Note a success: the trouble is over when nothing has failed for a while."""
        if self._since_at is None:
            return
        with self._lock:
            since_at, failed_at = self._since_at, self._failed_at
            if since_at is None or failed_at is None or (now - failed_at).total_seconds() < QUIET_S:
                return
            reported, failures, why = self._told, self._failures, self._why
            self._since_at = self._failed_at = None
            self._told, self._failures = False, 0
        gap = f"from {_at(since_at)} to {_at(failed_at)}"
        times = f"{failures} time{'s' * (failures != 1)}"
        log.warning("it works again: %s %s (failed %s: %s)", self._what, gap, times, why)
        if reported:
            self._tell(
                News(
                    transition="resolved",
                    since_at=since_at,
                    at=now,
                    summary=f"Works again: {self._what} {gap}",
                    detail=f"It had failed {times}: {why}."
                    + ("" if self._verified else " That time is not verified, and counts as such."),
                )
            )


class FailedAudits:
    """Logs the failures of flows: once for each system and reason, again every hour, and when they are over."""

    def __init__(self) -> None:
        self._logged: dict[str, tuple[str, datetime]] = {}

    def note(self, flow: str, failure: Failure | None, now: datetime) -> None:
        """Note how a regular audit of a flow ended."""
        state, at = self._logged.get(flow, ("", now))
        if failure is None:
            if state:
                del self._logged[flow]
                log.info("flow %s: audited again, after %s", flow, state)
            return
        system, error = failure
        failed = f"{system}: {error.reason}"
        if failed != state or (now - at).total_seconds() >= REPEATED_S:
            self._logged[flow] = failed, now
            log.warning("flow %s: %s: %s", flow, system, error)


def _at(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
