"""What a session has on the Query page: its SQL, where that came from, the last result, and what was tried before."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from urllib.parse import quote

from auditor.console.limits import STOPPED
from auditor.console.query import QueryResult
from auditor.escaping import block
from checks.saved_queries import SavedQuery

TRIED = 20
"""How many of a session's queries are remembered."""

LINK_BYTES = 4_000
"""The longest statement in an address, as the address spells it. Proxies and chat programs cut longer ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """One query of the session.

    Attributes:
        outcome: how it ended, in a few words of ours.
    """

    sql: str
    at: datetime
    outcome: str


@dataclass(slots=True)
class Sheet:
    """The state of the page in one session.

    Attributes:
        sql: what stands in the editor.
        put: what the editor shows next; None to leave what people type.
        source: where `sql` came from, if it has not been run since.
        saved: the saved query that was opened.
        address: the values of `sql` and `saved` in the page's address that were taken.
        tried: the session's queries, the latest first.
        ran: the statement of `result` or `error`.
        number: of the result, so that each has widgets of its own.
        took_s: how long it took.
    """

    sql: str = ""
    put: str | None = None
    source: Literal["", "link", "saved"] = ""
    saved: SavedQuery | None = None
    address: tuple[str, str] = ("", "")
    tried: deque[Try] = field(default_factory=lambda: deque(maxlen=TRIED))
    ran: str = ""
    result: QueryResult | None = None
    error: str = ""
    number: int = 0
    took_s: float = 0.0

    @property
    def failure(self) -> str:
        """How the last run ended without a result, in a word."""
        return "stopped" if self.error.startswith(STOPPED) else "refused"

    def show(
        self, sql: str, now: datetime, *, source: Literal["", "link", "saved"] = "", saved: SavedQuery | None = None
    ) -> None:
        """Put a statement into the editor; what stood there and was not run is remembered."""
        left = self.sql.strip()
        known = {sql.strip(), *(each.sql.strip() for each in self.tried), self.saved.sql if self.saved else ""}
        if left and left not in known:
            self.tried.appendleft(Try(sql=self.sql, at=now, outcome="not run"))
        self.put = self.sql = whole(sql)
        self.source, self.saved = source, saved

    def ended(self, sql: str, now: datetime, took_s: float, answer: QueryResult | str) -> None:
        """Record how a run ended: with a result, or with an error's text."""
        self.ran, self.took_s, self.source = sql, took_s, ""
        self.number += 1
        self.result, self.error = (None, answer) if isinstance(answer, str) else (answer, "")
        rows = 0 if self.result is None else self.result.table.num_rows
        outcome = self.failure if self.result is None else f"{rows:,} row{'s' * (rows != 1)}"
        same = [each for each in self.tried if each.sql == sql]
        for each in same:
            self.tried.remove(each)
        self.tried.appendleft(Try(sql=sql, at=now, outcome=outcome))


def whole(sql: str) -> str:
    """A statement without half characters, which no page can show."""
    return sql.encode("utf-8", "replace").decode()


def deceptive(sql: str) -> bool:
    """Whether a statement holds characters that cannot be seen, or that change the order of others."""
    return block(sql) != sql


def fits(sql: str) -> bool:
    """Whether an address has room for a statement."""
    return len(quote(whole(sql))) <= LINK_BYTES
