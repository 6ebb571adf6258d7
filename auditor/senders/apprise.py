"""Every service that Apprise supports: a notice as plain text.

Source: https://github.com/caronc/apprise/wiki. Apprise reports success or failure alone, so after a failure the
message may have arrived.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from threading import Thread
from typing import Any

from pydantic import SecretStr, field_validator

from auditor.escaping import visible
from auditor.senders.contract import TIMEOUT_S, Receipt, SenderSettings
from auditor.senders.notice_text import REPEAT, clipped, facts, links

TITLE_LIMIT = 200
TEXT_LIMIT = 1000

_TYPES = {"resolved": "success", "test": "info"}


def text(notice: Mapping[str, Any], *, dashboard: str | None, possible_repeat: bool) -> tuple[str, str]:
    """The title and the body for a notice. Pure."""
    title = f"[{visible(notice['transition']).upper()}] {clipped(notice['summary'], TITLE_LIMIT)}"
    lines = [clipped(notice["summary"], TEXT_LIMIT)]
    if possible_repeat:
        lines.append(f"({REPEAT})")
    if notice.get("detail"):
        lines.append(clipped(notice["detail"], TEXT_LIMIT))
    lines += [f"{name}: {clipped(each, TEXT_LIMIT)}" for name, each in (*facts(notice), *links(dashboard, notice))]
    return title, "\n".join(lines)


class AppriseSettings(SenderSettings):
    """A service by its address in Apprise's notation, which holds its secrets."""

    title = "Apprise"
    address_word = "url"
    links = True
    folds = True
    ignores_channel = "its url decides where messages go"

    url: SecretStr

    @field_validator("url")
    @classmethod
    def _has_scheme(cls, url: SecretStr) -> SecretStr:
        if url.get_secret_value() and not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://\S", url.get_secret_value()):
            raise ValueError("write an address of Apprise, such as tgram://TOKEN/CHAT")
        return url


class AppriseSender:
    """Sends through Apprise; a try that hangs is abandoned at the deadline."""

    def __init__(
        self, settings: AppriseSettings, *, dashboard: str | None = None, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._url = settings.url.get_secret_value()
        self._dashboard = dashboard
        self._timeout_s = timeout_s
        self._closed: Future[Any] = Future()

    def send(self, notice: Mapping[str, Any], *, possible_repeat: bool) -> Receipt:
        title, body = text(notice, dashboard=self._dashboard, possible_repeat=possible_repeat)
        tried: Future[Any] = Future()

        def run() -> None:
            try:
                tried.set_result(self._try(title, body, _TYPES.get(str(notice["transition"]), "failure")))
            except Exception as error:  # a plug-in's
                tried.set_result(Receipt(outcome="ambiguous", error=f"Apprise failed ({type(error).__name__})"))

        if self._closed.done():
            return Receipt(outcome="refused", error="the sender is closed")
        Thread(target=run, name="apprise", daemon=True).start()
        wait([tried, self._closed], self._timeout_s, return_when=FIRST_COMPLETED)
        if not tried.done():
            return Receipt(outcome="ambiguous", error="no answer before the deadline")
        receipt: Receipt = tried.result()
        return receipt

    def _try(self, title: str, body: str, kind: str) -> Receipt:
        try:
            import apprise
        except ImportError:
            return Receipt(outcome="rejected", error="Apprise is missing; install plumbline-auditor[apprise]")
        logging.getLogger("apprise").disabled = True  # its messages hold addresses
        asset = apprise.AppriseAsset(async_mode=False, interpret_escapes=False, interpret_emojis=False)
        service = apprise.Apprise(asset=asset)
        if not service.add(self._url):
            return Receipt(outcome="rejected", error="Apprise supports no such address")
        if service.notify(body=body, title=title, notify_type=kind, body_format="text"):
            return Receipt(outcome="sent")
        return Receipt(outcome="ambiguous", error="Apprise reports a failure, without a reason")

    def close(self) -> None:
        if not self._closed.done():
            self._closed.set_result(None)
