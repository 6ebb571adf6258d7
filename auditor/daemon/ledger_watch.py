"""Follows how a daemon's transactions end: reports an unwritable ledger once, and sends alerts anyway."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from auditor.alerts.own_notice import NOT_RECORDED
from auditor.alerts.unrecorded import Unrecorded
from auditor.daemon.trouble import News, Trouble
from auditor.ledger import LedgerError, Transaction
from checks.incidents import ABSORB

About = tuple[str, str]
"""An incident's fingerprint and its transition."""


class LedgerWatch:
    """What a daemon knows about its ledger; safe to share between threads.

    Args:
        senders: names of the alert senders.
    """

    def __init__(self, senders: Sequence[str]) -> None:
        self.unrecorded = Unrecorded()
        self.trouble = Trouble("audits are not recorded", self.tell)
        self._senders = tuple(senders)
        self._lock = threading.Lock()
        self._queued: weakref.WeakKeyDictionary[Transaction, list[tuple[str, About, Mapping[str, Any]]]] = (
            weakref.WeakKeyDictionary()
        )

    def report_to(self, senders: Sequence[str]) -> None:
        """Notify these from now on."""
        self._senders = tuple(senders)

    def tell(self, news: News) -> None:
        """Notify people, whether the ledger can record it or not."""
        for sender in self._senders:
            self.unrecorded.take_in(sender, (news.transition, news.since_at), news.notice(), news.at)

    def queued(self, transaction: Transaction, sender: str, about: About, notice: Mapping[str, Any]) -> None:
        """See `auditor.ledger.transaction.Watch`."""
        with self._lock:
            self._queued.setdefault(transaction, []).append((sender, about, notice))

    def sent_at(self, sender: str, about: About) -> datetime | None:
        """See `auditor.ledger.transaction.Watch`.

        A message counts as the same for as long as its incident would reopen as the same one.
        """
        sent_at = self.unrecorded.sent_at(sender, about)
        old = sent_at is not None and datetime.now(UTC) - sent_at > ABSORB
        if old and not self.trouble.lasts:
            self.unrecorded.forget(sender, about)
            return None
        return sent_at

    def failed(self, transaction: Transaction | None, error: LedgerError) -> None:
        """See `auditor.ledger.transaction.Watch`; messages of the transaction go out without it."""
        now = datetime.now(UTC)
        if not error.noted:
            error.noted = True
            self.trouble.failed(str(error), now)
        for sender, about, notice in self._pop(transaction):
            self.unrecorded.take_in(sender, about, {**notice, "incident": NOT_RECORDED}, now)

    def written(self, transaction: Transaction | None) -> None:
        """See `auditor.ledger.transaction.Watch`."""
        self._pop(transaction)
        self.trouble.worked(datetime.now(UTC))

    def _pop(self, transaction: Transaction | None) -> list[tuple[str, About, Mapping[str, Any]]]:
        if transaction is None:
            return []
        with self._lock:
            return self._queued.pop(transaction, [])
