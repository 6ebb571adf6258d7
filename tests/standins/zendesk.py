"""A stand-in for Zendesk Support: tickets and users of one account over HTTP on 127.0.0.1. It is not Zendesk.

Written from Zendesk's developer documentation as of 2026-11 (developer.zendesk.com/api-reference: "Security and
authentication", "Pagination", "Rate limits", "Tickets", "Users", "Incremental Exports"; "Using the Incremental Export
API"). Zendesk's OpenAPI document is in no registry that the tests may reach, so that `tests/standins/test_zendesk.py`
holds its answers to the documented members alone.

Where the documents are silent: what a cursor is made of; that ids which do not exist are left out of show_many
(seen in integrations); the words of the refusal of a recent start_time; the members `deleted` tickets keep.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

from tests.standins.allowance import Allowance
from tests.standins.clock import Clock, seconds
from tests.standins.faults import Answer
from tests.standins.service import RefusalError, Request, Service

LOGIN = ("auditor@example.com/token", "api-token-of-the-auditor")
"""What HTTP basic authentication takes: the address with `/token` behind it, and an API token."""
OAUTH_TOKEN = "oauth-token-of-the-auditor"
MOST_IN_A_PAGE = 100
MOST_BY_OFFSET = 10_000
MOST_EXPORTED = 1_000
SETTLED = timedelta(seconds=60)
"""Records changed within the last minute are not exported."""


@dataclass
class _Kept:
    now: dict[str, Any]
    changed: int
    deleted: bool = False


class Zendesk(Service):
    """One account.

    Attributes:
        everything: calls in a minute; 400 on a Professional plan.
        exports: calls in a minute of the incremental exports.
    """

    routes: ClassVar[Sequence[tuple[str, str, str]]] = [
        (method, f"/api/v2{path}{suffix}", name)
        for suffix in (".json", "")
        for method, path, name in (
            ("GET", "/incremental/{of}/cursor", "export"),
            ("GET", "/{of}/show_many", "show_many"),
            ("GET", "/{of}", "list"),
            ("GET", "/{of}/{record_id}", "show"),
        )
    ]

    def __init__(self, *, clock: Clock | None = None) -> None:
        super().__init__(clock=clock)
        self.everything = Allowance("account", 400, timedelta(minutes=1), self.clock)
        self.exports = Allowance("incremental-exports", 10, timedelta(minutes=1), self.clock)
        self._allowed = True
        self._records: dict[str, dict[int, _Kept]] = {"tickets": {}, "users": {}}
        self._next_id = 35_436

    # -- what a test keeps in it

    def create(self, of: str, /, **given: Any) -> int:
        """A new ticket or user; answers its id."""
        with self.changing():
            made_id = self._next_id
            self._next_id += 1
            own = _ticket(given) if of == "tickets" else _user(given)
            now = seconds(self.clock.now())
            url = f"{self.url}/api/v2/{of}/{made_id}.json"
            made = {"id": made_id, "url": url, "created_at": now, "updated_at": now, **own, **given}
            self._records[of][made_id] = _Kept(now=made, changed=self._now())
            return made_id

    def update(self, of: str, record_id: int, /, **changed: Any) -> None:
        """Change members of a record."""
        with self.changing():
            kept = self._records[of][record_id]
            kept.now |= {**changed, "updated_at": seconds(self.clock.now())}
            kept.changed = self._now()

    def change_silently(self, of: str, record_id: int, /, **changed: Any) -> None:
        """What the system itself does: `updated_at` stays, and exports show it all the same."""
        with self.changing():
            kept = self._records[of][record_id]
            kept.now |= changed
            kept.changed = self._now()

    def delete(self, of: str, record_id: int) -> None:
        """Delete a ticket, which is then only exported; or a user, who stays as not active."""
        with self.changing():
            self.update(of, record_id, **({"status": "deleted"} if of == "tickets" else {"active": False}))
            self._records[of][record_id].deleted = of == "tickets"

    def revoke(self) -> None:
        """Make both tokens worthless."""
        self._allowed = False

    def _now(self) -> int:
        return int(self.clock.now().timestamp())

    # -- letting in

    def refusal(self, status: int, retry_after: str | None) -> Answer:
        """An error in Zendesk's words; 429 is plain text and says how long to wait."""
        headers = {"Retry-After": retry_after} if retry_after else {}
        if status == 429:
            usual = {"Retry-After": str(self.everything.wait_s or 60)} if retry_after == "" else {}
            text = {"Content-Type": "text/plain; charset=utf-8"}
            said = b"Number of allowed API requests per minute exceeded"
            return Answer(status=429, body=said, headers={**usual, **headers, **text})
        documents: dict[int, dict[str, Any]] = {
            401: {"error": "Couldn't authenticate you"},
            403: {"error": {"title": "Forbidden", "message": "You do not have access to this page."}},
            404: {"error": "RecordNotFound", "description": "Not found"},
            409: {"error": "Conflict", "description": "The record was changed by another request"},
        }
        usual_error = {"error": "InternalError", "description": "Something went wrong"}
        return Answer(status=status, document=documents.get(status, usual_error), headers=headers)

    def admit(self, operation: str, request: Request) -> Mapping[str, str]:
        """Look at the token and at the limits."""
        if not self._allowed or not _known(request.headers.get("authorization", "")):
            raise RefusalError(self.refusal(401, None))
        for each in [self.everything, *([self.exports] if operation == "export" else [])]:
            if not each.take():
                raise RefusalError(self.refusal(429, str(each.wait_s)))
        most, left = str(self.everything.most), str(self.everything.left)
        headers = {"X-Rate-Limit": most, "X-Rate-Limit-Remaining": left}
        if operation in {"list", "show", "show_many"}:
            resets = str(60 - self._now() % 60)
            headers |= {"ratelimit-limit": most, "ratelimit-remaining": left, "ratelimit-reset": resets}
        return headers

    # -- reading

    def show(self, request: Request, of: str, record_id: str) -> Any:
        """Read one record."""
        kept = self._of(of).get(int(record_id)) if record_id.isdigit() else None
        if kept is None or kept.deleted:
            raise RefusalError(self.refusal(404, None))
        return {of.removesuffix("s"): kept.now}

    def show_many(self, request: Request, of: str) -> Any:
        """Read up to 100 records by id, users by external id as well; those that do not exist are left out."""
        external = request.value("external_ids") if of == "users" else None
        told = external if external is not None else request.value("ids")
        wanted = list(dict.fromkeys(part.strip() for part in (told or "").split(",") if part.strip()))
        if not wanted or len(wanted) > MOST_IN_A_PAGE:
            raise self._invalid("BadRequest", f"ids: from 1 to {MOST_IN_A_PAGE}")
        member = "id" if external is None else "external_id"
        kept = {str(each.now[member]): each.now for each in self._of(of).values() if not each.deleted}
        found = [kept[each] for each in wanted if each in kept]
        return {of: found, "next_page": None, "previous_page": None, "count": len(found)}

    def list(self, request: Request, of: str) -> Any:
        """List records in the order of their ids, by cursor where `page[size]` is given, by offset elsewhere."""
        records = [each.now for each in self._of(of).values() if not each.deleted]
        if request.value("page[size]") is None:
            return self._by_offset(request, of, records)
        size = min(MOST_IN_A_PAGE, self._number(request, "page[size]", MOST_IN_A_PAGE))
        after, before = request.value("page[after]"), request.value("page[before]")
        last = self._decoded(after) if after else 0
        start = sum(each["id"] <= last for each in records)
        if before:
            start = max(0, sum(each["id"] < self._decoded(before) for each in records) - size)
        start = max(0, start + request.page * size)
        page = records[start : start + size]
        more = start + size < len(records)
        ends = [_encoded(each["id"]) for each in (page[0], page[-1])] if page else [None, None]
        base = f"{self.url}{request.path}?page%5Bsize%5D={size}"
        links = {"next": f"{base}&page%5Bafter%5D={ends[1]}" if more else None}
        links["prev"] = f"{base}&page%5Bbefore%5D={ends[0]}" if page and start else None
        meta = {"has_more": more, "after_cursor": ends[1], "before_cursor": ends[0]}
        return {of: page, "meta": meta, "links": links}

    def _by_offset(self, request: Request, of: str, records: Sequence[dict[str, Any]]) -> Any:
        size = min(MOST_IN_A_PAGE, self._number(request, "per_page", MOST_IN_A_PAGE))
        number = self._number(request, "page", 1)
        if number * size > MOST_BY_OFFSET:
            raise self._invalid("Invalid offset", f"Only the first {MOST_BY_OFFSET} records can be read by page")
        start = max(0, (number - 1 + request.page) * size)
        base = f"{self.url}{request.path}?per_page={size}&page="
        return {
            of: records[start : start + size],
            "count": len(records),
            "next_page": f"{base}{number + 1}" if number * size < len(records) else None,
            "previous_page": f"{base}{number - 1}" if number > 1 else None,
        }

    def export(self, request: Request, of: str) -> Any:
        """Export what changed since an instant, deleted tickets, too, but nothing of the last minute."""
        size = min(MOST_EXPORTED, self._number(request, "per_page", MOST_EXPORTED))
        cursor, since = request.value("cursor"), request.value("start_time")
        if cursor is None and (since is None or not since.isdigit()):
            raise self._invalid("InvalidValue", "start_time: seconds since 1970")
        settled = self._now() - int(SETTLED.total_seconds())
        if cursor is None and int(str(since)) > settled:
            said = "Too recent start_time. Use a start_time older than 60 seconds"
            raise RefusalError(Answer(status=422, document={"error": "StartTimeTooRecent", "description": said}))
        at, last = divmod(self._decoded(cursor), 10**9) if cursor else (int(str(since)), -1)
        changed = sorted((each.changed, each.now["id"], each.now) for each in self._of(of).values())
        due = [each for each in changed if each[:2] > (at, last) and each[0] <= settled]
        skipped = max(0, request.page * size)
        page = due[skipped : skipped + size]
        end = skipped + size >= len(due)
        reached = page[-1][0] * 10**9 + page[-1][1] if page else at * 10**9 + max(last, 0)
        after = _encoded(reached)
        return {
            of: [self._exported(of, stamp, now) for stamp, _, now in page],
            "after_url": f"{self.url}{request.path}?cursor={after}",
            "after_cursor": after,
            "before_url": None,
            "before_cursor": None,
            "end_of_stream": end,
        }

    def _exported(self, of: str, stamp: int, now: dict[str, Any]) -> dict[str, Any]:
        return {**now, "generated_timestamp": stamp} if of == "tickets" else now

    def _of(self, of: str) -> dict[int, _Kept]:
        if of not in self._records:
            raise RefusalError(self.refusal(404, None))
        return self._records[of]

    def _number(self, request: Request, name: str, usual: int) -> int:
        told = request.value(name) or str(usual)
        if not told.isdigit() or not int(told):
            raise self._invalid("InvalidValue", f"{name}: a positive number")
        return int(told)

    def _decoded(self, cursor: str) -> int:
        try:
            return int(base64.urlsafe_b64decode(cursor))
        except (ValueError, binascii.Error):
            raise self._invalid("InvalidPaginationParameter", "The cursor is not valid") from None

    def _invalid(self, error: str, description: str) -> RefusalError:
        return RefusalError(Answer(status=400, document={"error": error, "description": description}))


def _known(told: str) -> bool:
    word, _, secret = told.partition(" ")
    if word.lower() == "bearer":
        return secret == OAUTH_TOKEN
    try:
        return word.lower() == "basic" and tuple(base64.b64decode(secret).decode().split(":", 1)) == LOGIN
    except ValueError:
        return False


def _encoded(position: int) -> str:
    return base64.urlsafe_b64encode(str(position).encode()).decode()


def _empty(names: str) -> dict[str, Any]:
    return dict.fromkeys(names.split())


def _ticket(given: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **_empty(
            "external_id type priority assignee_id organization_id group_id due_at brand_id satisfaction_rating"
        ),
        "subject": "",
        "description": "",
        "status": "new",
        "requester_id": None,
        "tags": [],
        "custom_fields": _lines(given.get("custom_fields") or []),
        "via": {"channel": "api", "source": {"from": {}, "to": {}, "rel": None}},
    }


def _user(given: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **_empty("external_id email phone organization_id last_login_at notes details alias"),
        "name": "",
        "role": "end-user",
        "active": True,
        "suspended": False,
        "verified": False,
        "time_zone": "UTC",
        "locale": "en-US",
        "tags": [],
        "user_fields": {},
    }


def _lines(fields: Iterable[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    return [*fields]
