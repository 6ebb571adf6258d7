"""The stand-in as tests hold it: an org with its servers, and what people and mishaps do to it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from tests.standins import faults
from tests.standins.clock import Clock
from tests.standins.faults import Fault, Faults
from tests.standins.salesforce.errors import ApiError
from tests.standins.salesforce.events import Bus
from tests.standins.salesforce.faults import Answer
from tests.standins.salesforce.http_front import HttpFront
from tests.standins.salesforce.limits import Limits, check_lengths
from tests.standins.salesforce.oauth import App, Authority, OAuthError
from tests.standins.salesforce.pubsub import PubSub
from tests.standins.salesforce.rest import Request, Rest
from tests.standins.salesforce.schema import Field, objects
from tests.standins.salesforce.store import Store, Transaction, Values

APP = App(client_id="3MVG9.stand-in", client_secret="not-a-secret-of-anybody")


class Salesforce:
    """An org on 127.0.0.1.

    Args:
        start: where its clock stands until it is advanced; None follows the machine's clock.
        multi_currency: whether records have a CurrencyIsoCode.
        apps: the connected apps; `APP` unless told.
        daily: API calls in 24 hours.

    Attributes:
        calls: how often each kind of call came in, refused ones too.
        bus: the events of changes, and platform events.
        requests: what came in, in order.
    """

    def __init__(
        self,
        *,
        start: datetime | None = None,
        multi_currency: bool = True,
        apps: list[App] | None = None,
        daily: int = 100_000,
    ) -> None:
        self.clock = Clock(start)
        self.store = Store(objects(multi_currency=multi_currency), self.clock)
        self.authority = Authority(self.clock, [APP] if apps is None else apps)
        self.limits = Limits(self.clock, daily)
        self.rest = Rest(self.store, self.clock, self.limits)
        self.bus = Bus(self.store, self.clock)
        self.faults = Faults()
        self.calls: Counter[str] = Counter()
        self.requests: list[Request] = []
        self._revoke_after: int | None = None
        self._lock = threading.Lock()
        self._front = HttpFront(self._answer, self.clock)
        self.url = self._front.url
        self._pubsub: PubSub | None = None

    def __enter__(self) -> Salesforce:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the servers."""
        self._front.close()
        if self._pubsub is not None:
            self._pubsub.close()

    @property
    def pubsub(self) -> PubSub:
        """The Pub/Sub API, which is started when it is asked for first."""
        if self._pubsub is None:
            self._pubsub = PubSub(self.bus, self.authority, self.url)
        return self._pubsub

    # what people do

    def begin(self) -> Transaction:
        """Start a transaction that is committed later."""
        return self.store.begin()

    def put(self, sobject: str, values: Values | None = None, /, **more: Any) -> str:
        """Create a record.

        Returns: its id of 18 characters.
        """
        with self.begin() as transaction:
            return transaction.put(sobject, {**(values or {}), **more})

    def update(self, record_id: str, values: Values | None = None, /, **more: Any) -> None:
        """Change some fields of a record."""
        with self.begin() as transaction:
            transaction.update(record_id, {**(values or {}), **more})

    def touch(self, record_id: str, **values: Any) -> None:
        """Change a record as the system does: without LastModifiedDate and without an event."""
        with self.begin() as transaction:
            transaction.touch(record_id, values)

    def delete(self, record_id: str, *, purge: bool = False) -> None:
        """Delete a record; `purge` empties it from the recycle bin at once."""
        with self.begin() as transaction:
            transaction.delete(record_id, purge=purge)

    def undelete(self, record_id: str) -> None:
        """Take a record out of the recycle bin."""
        with self.begin() as transaction:
            transaction.undelete(record_id)

    def get(self, record_id: str) -> Mapping[str, Any] | None:
        """A record as it is, deleted or not."""
        return self.store.get(record_id)

    # what administrators do

    def drop_field(self, sobject: str, name: str) -> None:
        """Delete a field, or hide it from the reading user, which looks the same."""
        self.store.objects[sobject.lower()] = self.store.objects[sobject.lower()].without(name)
        self.rest.schema_changed_at = self.clock.now()

    def set_field(self, sobject: str, new: Field) -> None:
        """Add a field, or change one that is there."""
        self.store.objects[sobject.lower()] = self.store.objects[sobject.lower()].having(new)
        self.rest.schema_changed_at = self.clock.now()

    def revoke_tokens(self, *, refresh_tokens: bool = False, after_calls: int | None = None) -> None:
        """End all sessions, now or in the midst of a run after so many more calls of the API."""
        if after_calls is None:
            self.authority.revoke_all(refresh_tokens=refresh_tokens)
        else:
            self._revoke_after = after_calls

    # what goes wrong

    def fail(self, fault: Fault, *, on: str = "*", times: int = 1) -> None:
        """The next calls of a kind get the fault."""
        self.faults.order(on, fault, times)

    def lag(self, seconds: float) -> None:
        """Queries, collections and getUpdated see the org as it was so long ago."""
        self.rest.lag_s = seconds

    # how it answers

    def _answer(self, request: Request) -> faults.Answer:
        path = request.path
        kind = {"/services/oauth2/token": "token", "/services/oauth2/revoke": "revoke"}.get(path)
        kind = kind or (self.rest.kind(request) if path.startswith("/services/data") else "other")
        with self._lock:
            self.calls[kind] += 1
            self.requests.append(request)
        fault = self.faults.next(kind)
        if fault and fault.instead:
            return self._with_usage(fault.instead(), kind)
        answer: faults.Answer
        try:
            answer = self._oauth(kind, request) if kind in {"token", "revoke"} else self._data(request, fault)
        except ApiError as failed:
            answer = Answer(status=failed.status, document=failed.document, headers=failed.headers)
        except OAuthError as refused:
            answer = Answer(status=refused.status, document=refused.document)
        if fault and fault.after:
            answer = fault.after(answer)
        return self._with_usage(answer, kind)

    def _oauth(self, kind: str, request: Request) -> Answer:
        if request.method != "POST":
            raise OAuthError("invalid_request", "must use HTTP POST")
        if kind == "token":
            token = self.authority.token(request.body, request.headers, self.url)
            return Answer(document=token, headers={"Cache-Control": "no-cache, no-store"})
        self.authority.revoke(request.body.decode().removeprefix("token="))
        return Answer()

    def _data(self, request: Request, fault: Fault | None) -> Answer:
        check_lengths(request.target, dict(request.headers))
        if request.path.rstrip("/") != "/services/data":  # the list of versions is for everybody
            scheme, _, token = request.headers.get("Authorization", "").partition(" ")
            with self._lock:
                if self._revoke_after is not None:
                    if self._revoke_after == 0:
                        self.authority.revoke_all()
                        self._revoke_after = None
                    else:
                        self._revoke_after -= 1
            self.authority.check(token if scheme in {"Bearer", "OAuth"} else "")
        return self.rest.answer(request, fault.page if fault else 0)

    def _with_usage(self, answer: faults.Answer, kind: str) -> faults.Answer:
        if kind in {"token", "revoke", "versions"}:
            return answer
        return replace(answer, headers={"Sforce-Limit-Info": self.limits.header, **answer.headers})
