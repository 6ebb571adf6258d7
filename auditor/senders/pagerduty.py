"""PagerDuty: one alert per incident through the Events API v2.

Source: https://developer.pagerduty.com/docs/events-api-v2-overview and /docs/send-alert-event (202 for an accepted
event, 400 for an invalid one, 429 for too many; summary 1024 and dedup_key 255 characters). Events with the same
`dedup_key` belong to one alert, so an event that is sent twice does no harm.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, SecretStr

from auditor.escaping import visible
from auditor.senders.contract import TIMEOUT_S, Address, Key, Receipt, SenderSettings
from auditor.senders.json_post import JsonPost
from auditor.senders.notice_text import clipped, facts, incident_key, links

SUMMARY_LIMIT = 1024
DETAIL_LIMIT = 2000
FACT_LIMIT = 500


def event(
    notice: Mapping[str, Any], *, routing_key: str, severity: str, dashboard: str | None, possible_repeat: bool
) -> dict[str, Any]:
    """Build the event of a notice. Pure."""
    addressed = {"routing_key": routing_key, "dedup_key": incident_key(notice)}
    if notice["transition"] == "resolved":
        return {**addressed, "event_action": "resolve"}
    if notice["transition"] == "acknowledged":
        return {**addressed, "event_action": "acknowledge"}
    details = {name: clipped(text, FACT_LIMIT) for name, text in facts(notice)}
    if notice.get("detail"):
        details["Detail"] = clipped(notice["detail"], DETAIL_LIMIT)
    if possible_repeat:
        details["Possible duplicate"] = "yes"
    return {
        **addressed,
        "event_action": "trigger",
        "client": "Plumbline",
        "payload": {
            "summary": clipped(notice["summary"], SUMMARY_LIMIT),
            "source": clipped(notice.get("flow") or notice.get("system") or "plumbline", FACT_LIMIT),
            "severity": "info" if notice["transition"] == "test" else severity,
            "timestamp": str(notice["at"]),
            "class": visible(notice["breach"]),
            "custom_details": details,
        },
        "links": [{"text": name, "href": url} for name, url in links(dashboard, notice)],
    }


class PagerDutySettings(SenderSettings):
    """A service of PagerDuty that gets an alert per incident.

    Attributes:
        routing_key: the integration key of an Events API v2 integration, a secret.
        severity: of the alerts.
        url: that of the service region.
    """

    title = "PagerDuty"
    address_word = "url"
    needs = ("routing_key",)
    links = True
    closes = True
    acts = frozenset({"acknowledged"})
    ignores_channel = "the routing key decides which service gets the alert"

    routing_key: Key
    severity: Literal["critical", "error", "warning", "info"] = "error"
    url: Address = Field(default=SecretStr("https://events.pagerduty.com/v2/enqueue"), validate_default=True)


class PagerDutySender:
    """Sends events to one integration."""

    def __init__(
        self, settings: PagerDutySettings, *, dashboard: str | None = None, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._dashboard = dashboard
        self._severity = settings.severity
        self._routing_key = settings.routing_key.get_secret_value()
        self._post = JsonPost(settings.url.get_secret_value(), timeout_s=timeout_s, secrets=[self._routing_key])

    def send(self, notice: Mapping[str, Any], *, possible_repeat: bool) -> Receipt:
        return self._post.send(
            event(
                notice,
                routing_key=self._routing_key,
                severity=self._severity,
                dashboard=self._dashboard,
                possible_repeat=possible_repeat,
            )
        )

    def close(self) -> None:
        self._post.cut_off()
