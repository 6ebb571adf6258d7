"""The heartbeat: a request to a monitoring service after each cycle, which notices when it stays away.

healthchecks.io (https://healthchecks.io/docs/http_api/), push monitors of Uptime Kuma and many others expect a GET
of a secret address within a period.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import httpx

from auditor.daemon.vitals import Vitals
from auditor.ledger import Ledger
from auditor.senders.contract import TIMEOUT_S
from auditor.senders.heartbeat import HeartbeatSettings
from auditor.senders.json_post import scrubber_of
from probes.bounded_http import BoundedClient, beginning

log = logging.getLogger(__name__)


class Heartbeat:
    """Sends heartbeats to one address."""

    def __init__(self, settings: HeartbeatSettings, *, timeout_s: float = TIMEOUT_S) -> None:
        self._url = settings.url.get_secret_value()
        self._client = BoundedClient(timeout_s=timeout_s)

    def send(self) -> str:
        """Send one; never raises.

        Returns:
            Why it was not accepted, without the address; "" if it was.
        """
        try:
            with self._client.stream("GET", self._url) as response:
                raw = beginning(response)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError):
            return "the address is not a URL"
        except httpx.HTTPError as error:
            return f"no response ({type(error).__name__})"
        text = scrubber_of(self._url)(" ".join(raw.decode(errors="replace").split()))[:100]
        # healthchecks.io reports an unknown address, or too many requests, after the OK.
        if not response.is_success or text.startswith("OK ("):
            return f"HTTP {response.status_code}: {text}"
        return ""

    def close(self) -> None:
        """End a request under way, from another thread."""
        self._client.cut_off()


class Cycles:
    """Sends a heartbeat after each cycle of audits.

    Attributes:
        begun_s: when the present cycle began, by the clock of the vitals.
    """

    def __init__(self, heartbeat: Heartbeat, every_s: float, ledger: Ledger, vitals: Vitals) -> None:
        self.every_s = every_s
        self.begun_s = vitals.now_s()
        self._heartbeat = heartbeat
        self._ledger = ledger
        self._vitals = vitals

    def turn(self) -> None:
        """Send the heartbeat if audits were recorded since the last one, and none is overdue."""
        begun_s = self._vitals.now_s()
        if not self._vitals.all_recorded_since(self.begun_s):
            return
        error = self._heartbeat.send()
        before = self._ledger.heartbeats.state()
        self._ledger.heartbeats.note(datetime.now(UTC), error)
        if not error:
            self.begun_s = begun_s
        elif not before.failures:
            log.warning("the heartbeat was not accepted: %s; it is tried again in its next turn", error)

    def close(self) -> None:
        """End a request under way, from another thread."""
        self._heartbeat.close()
