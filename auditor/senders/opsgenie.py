"""Opsgenie: one alert per incident through the Alert API.

Source: https://docs.opsgenie.com/docs/alert-api (202 for an accepted request, 429 for too many; message 130, alias
512, description 15000, entity 512 characters). An open alert with the same alias is not created twice, so a request
that is sent twice does no harm.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import quote

from pydantic import Field, SecretStr

from auditor.escaping import visible
from auditor.senders.contract import TIMEOUT_S, Address, Key, Receipt, SenderSettings
from auditor.senders.json_post import JsonPost
from auditor.senders.notice_text import clipped, facts, incident_key, links

MESSAGE_LIMIT = 130
DESCRIPTION_LIMIT = 5000
FACT_LIMIT = 500

_ACTS = {"acknowledged": "acknowledge", "unacknowledged": "unacknowledge"}
"""By act of a person, the action on the alert."""


def alert(
    notice: Mapping[str, Any], *, priority: str, dashboard: str | None, possible_repeat: bool
) -> tuple[str, dict[str, Any]]:
    """The path and the body of the request for a notice. Pure."""
    alias = incident_key(notice)
    if notice["transition"] == "resolved":
        closed = f"/v2/alerts/{quote(alias, safe='')}/close?identifierType=alias"
        return closed, {"source": "Plumbline", "note": clipped(notice["summary"], DESCRIPTION_LIMIT)}
    if (act := _ACTS.get(notice["transition"])) is not None:
        path = f"/v2/alerts/{quote(alias, safe='')}/{act}?identifierType=alias"
        return path, {"source": "Plumbline", "note": clipped(notice.get("act") or "", DESCRIPTION_LIMIT)}
    details = {name: clipped(text, FACT_LIMIT) for name, text in facts(notice)}
    details |= dict(links(dashboard, notice))
    if possible_repeat:
        details["Possible duplicate"] = "yes"
    lines = (clipped(notice["summary"], DESCRIPTION_LIMIT), clipped(notice.get("detail") or "", DESCRIPTION_LIMIT))
    return "/v2/alerts", {
        "message": clipped(notice["summary"], MESSAGE_LIMIT),
        "alias": alias,
        "description": "\n".join(filter(None, lines)),
        "details": details,
        "entity": clipped(notice.get("flow") or notice.get("system") or "plumbline", FACT_LIMIT),
        "tags": [visible(notice["breach"])],
        "source": "Plumbline",
        "priority": "P5" if notice["transition"] == "test" else priority,
    }


class OpsgenieSettings(SenderSettings):
    """A team of Opsgenie that gets an alert per incident.

    Attributes:
        api_key: of an API integration, a secret.
        priority: of the alerts.
        url: that of the service region.
    """

    title = "Opsgenie"
    address_word = "url"
    needs = ("api_key",)
    links = True
    closes = True
    acts = frozenset(_ACTS)
    ignores_channel = "the API integration decides which team gets the alert"

    api_key: Key
    priority: Literal["P1", "P2", "P3", "P4", "P5"] = "P3"
    url: Address = Field(default=SecretStr("https://api.opsgenie.com"), validate_default=True)


class OpsgenieSender:
    """Creates and closes the alerts of one API integration."""

    def __init__(
        self, settings: OpsgenieSettings, *, dashboard: str | None = None, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._dashboard = dashboard
        self._priority = settings.priority
        key = settings.api_key.get_secret_value()
        headers = {"Authorization": f"GenieKey {key}"}
        self._post = JsonPost(
            settings.url.get_secret_value().rstrip("/"), timeout_s=timeout_s, headers=headers, secrets=[key]
        )

    def send(self, notice: Mapping[str, Any], *, possible_repeat: bool) -> Receipt:
        path, body = alert(
            notice, priority=self._priority, dashboard=self._dashboard, possible_repeat=possible_repeat
        )
        return self._post.send(body, path=path)

    def close(self) -> None:
        self._post.cut_off()
