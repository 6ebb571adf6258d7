"""Moving settled rows from the ledger to the archive, as a job of the daemon; people hear if it cannot be written."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime

from auditor.daemon.trouble import News, Trouble
from auditor.history.archive import archive_settled
from auditor.ledger import Ledger, LedgerError

ARCHIVE_EVERY_S = 900.0

ARCHIVE_HANGS_S = 3_600.0


class Archiving:
    """Archives what has settled, one turn at a time.

    Args:
        location: folder or fsspec address of the archive.
        tell: called with each notification.
    """

    def __init__(self, location: str, tell: Callable[[News], None]) -> None:
        self._location = location
        self._trouble = Trouble("settled rows stay in the ledger", tell)
        self._under_way = threading.Lock()

    def turn(self, ledger: Ledger) -> None:
        """Archive what has settled, unless a turn is under way. Raises LedgerError."""
        if not self._under_way.acquire(blocking=False):
            return  # that of an older map goes on
        try:
            self._archive(ledger)
        finally:
            self._under_way.release()

    def _archive(self, ledger: Ledger) -> None:
        try:
            archive_settled(ledger, self._location, datetime.now(UTC))
        except LedgerError:
            raise
        except Exception as error:
            # Every kind of storage has its own errors; with a folder, errors other than the system's are our bugs.
            if not isinstance(error, OSError) and "://" not in self._location:
                raise
            why = getattr(error, "strerror", None) or type(error).__name__
            remedy = "make room there, and let the auditor's user write"
            self._trouble.failed(f"cannot write the archive {self._location}: {why}; {remedy}", datetime.now(UTC))
        else:
            self._trouble.worked(datetime.now(UTC))
