"""A stand-in for Twilio's messages: one account over HTTP on 127.0.0.1. It is not Twilio.

Written from Twilio's documentation as of 2026-11 (twilio.com/docs: "Message resource", "Requests to Twilio",
"Response format and paging", "Error and warning dictionary" 20003, 20404, 20429) and its OpenAPI document (twilio-oai
1.55.0, Apache-2.0); every answer is checked against it in `tests/standins/test_twilio.py`.

Where the documents are silent: lists are the newest first; what a page token is made of; that 429 has no Retry-After
unless a test orders one; how many calls fit in a second (a setting here: Twilio limits concurrency, not a rate that
it publishes).
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any, ClassVar
from urllib.parse import urlencode

from tests.standins.allowance import Allowance
from tests.standins.clock import Clock
from tests.standins.faults import Answer
from tests.standins.service import RefusalError, Request, Service

ACCOUNT = "AC" + "0123456789abcdef" * 2
AUTH_TOKEN = "auth-token-of-the-account"
API_KEY = ("SK" + "fedcba9876543210" * 2, "secret-of-the-key")
ERRORS = {
    401: (20003, "Authenticate"),
    403: (20003, "Permission Denied"),
    404: (20404, "The requested resource was not found"),
    409: (20409, "Conflict"),
    429: (20429, "Too Many Requests"),
    500: (20500, "Internal Server Error"),
}


class Twilio(Service):
    """One account.

    Attributes:
        everything: calls in a second.
    """

    routes: ClassVar[Sequence[tuple[str, str, str]]] = [
        ("GET", "/2010-04-01/Accounts/{account}/Messages.json", "list"),
        ("GET", "/2010-04-01/Accounts/{account}/Messages/{sid}.json", "fetch"),
    ]

    def __init__(self, *, clock: Clock | None = None) -> None:
        super().__init__(clock=clock)
        self.everything = Allowance("rate", 100, timedelta(seconds=1), self.clock)
        self._logins = {(ACCOUNT, AUTH_TOKEN), API_KEY}
        self._messages: dict[str, dict[str, Any]] = {}

    # -- what a test keeps in it

    def create(self, *, to: str, body: str = "", sent: bool = True, **given: Any) -> str:
        """A message; answers its SID. Its price comes later (`update`)."""
        with self.changing():
            sid = f"SM{secrets.token_hex(16)}"
            now = self._stamp()
            uri = f"/2010-04-01/Accounts/{ACCOUNT}/Messages/{sid}"
            self._messages[sid] = {
                "sid": sid,
                "account_sid": ACCOUNT,
                "api_version": "2010-04-01",
                "body": body,
                "date_created": now,
                "date_sent": now if sent else None,
                "date_updated": now,
                "direction": "outbound-api",
                "error_code": None,
                "error_message": None,
                "from": "+15005550006",
                "messaging_service_sid": None,
                "num_media": "0",
                "num_segments": "1",
                "price": None,
                "price_unit": "USD",
                "status": "sent" if sent else "queued",
                "subresource_uris": {"media": f"{uri}/Media.json"},
                "to": to,
                "uri": f"{uri}.json",
                **given,
            }
            return sid

    def update(self, sid: str, /, **changed: Any) -> None:
        """Change members of a message, for example its status."""
        with self.changing():
            self._messages[sid] |= {**changed, "date_updated": self._stamp()}

    def delete(self, sid: str) -> None:
        """Delete a message: it is then as if it never was."""
        with self.changing():
            del self._messages[sid]

    def revoke(self) -> None:
        """Make the auth token and the key worthless."""
        self._logins.clear()

    def _stamp(self) -> str:
        return format_datetime(self.clock.now().replace(microsecond=0))

    # -- letting in

    def refusal(self, status: int, retry_after: str | None) -> Answer:
        """An error in Twilio's words."""
        code, message = ERRORS.get(status, (20001, "Bad Request" if status < 500 else "Internal Server Error"))
        more = f"https://www.twilio.com/docs/errors/{code}"
        document = {"code": code, "message": message, "more_info": more, "status": status}
        return Answer(status=status, document=document, headers={"Retry-After": retry_after} if retry_after else {})

    def admit(self, operation: str, request: Request) -> Mapping[str, str]:
        """Look at the login and at the limit."""
        word, _, told = request.headers.get("authorization", "").partition(" ")
        try:
            login = tuple(base64.b64decode(told).decode().split(":", 1)) if word.lower() == "basic" else ()
        except ValueError:
            login = ()
        if login not in self._logins:
            raise RefusalError(self.refusal(401, None))
        if not self.everything.take():
            raise RefusalError(self.refusal(429, None))
        return {"Twilio-Request-Id": f"RQ{secrets.token_hex(16)}", "Twilio-Concurrent-Requests": "1"}

    # -- reading

    def fetch(self, request: Request, account: str, sid: str) -> Any:
        """Read one message."""
        if account != ACCOUNT or sid not in self._messages:
            raise RefusalError(self._not_there(request))
        return self._messages[sid]

    def list(self, request: Request, account: str) -> Any:
        """List messages, the newest first, narrowed by number or by the day on which they were sent."""
        if account != ACCOUNT:
            raise RefusalError(self._not_there(request))
        size = int(request.value("PageSize") or 50)
        if not 1 <= size <= 1_000:
            raise RefusalError(self.refusal(400, None))
        found = [each for each in reversed(self._messages.values()) if self._chosen(each, request)]
        number, token = int(request.value("Page") or 0), request.value("PageToken")
        start = 0
        if token:
            sids = [each["sid"] for each in found]
            if token[2:] not in sids:
                raise RefusalError(self.refusal(400, None))
            start = sids.index(token[2:]) + 1
        start = max(0, start + request.page * size)
        page = found[start : start + size]
        more = start + size < len(found)
        base = f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
        others = [pair for pair in request.query if pair[0] not in {"Page", "PageToken", "PageSize"}]

        def uri(at: int, token: str | None = None) -> str:
            query = [*others, ("PageSize", str(size)), ("Page", str(at)), *([("PageToken", token)] if token else [])]
            return f"{base}?{urlencode(query)}"

        return {
            "messages": page,
            "first_page_uri": uri(0),
            "next_page_uri": uri(number + 1, f"PA{page[-1]['sid']}") if more else None,
            "previous_page_uri": uri(number - 1) if number else None,
            "page": number,
            "page_size": size,
            "start": start,
            "end": max(start, start + len(page) - 1),
            "uri": uri(number, token),
        }

    def _chosen(self, one: Mapping[str, Any], request: Request) -> bool:
        for name, member in (("To", "to"), ("From", "from")):
            if request.value(name) not in {None, one[member]}:
                return False
        sent = parsedate_to_datetime(one["date_sent"]) if one["date_sent"] else None
        for name, told in request.query:
            how = name.removeprefix("DateSent")
            if how != name and (sent is None or not _within(how, sent, self._moment(told))):
                return False
        return True

    def _moment(self, told: str) -> date | datetime:
        try:
            return date.fromisoformat(told) if len(told) == 10 else datetime.fromisoformat(told)
        except ValueError:
            raise RefusalError(self.refusal(400, None)) from None

    def _not_there(self, request: Request) -> Answer:
        answer = self.refusal(404, None)
        answer.document["message"] = f"The requested resource {request.path} was not found"
        return answer


def _within(how: str, sent: datetime, told: date | datetime) -> bool:
    mine: Any = sent if isinstance(told, datetime) else sent.date()
    return bool({"<": mine <= told, ">": mine >= told}.get(how, mine == told))
