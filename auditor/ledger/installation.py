"""The ledger's identity, and the digest key of its fingerprints."""

from __future__ import annotations

import hashlib
import hmac

import sqlalchemy as sa

from auditor.ledger import tables as t
from auditor.ledger.database import Database
from auditor.storage.ledger_error import LedgerError


class Installation:
    """The ledger's own row."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def check_key(self, digest_key: bytes, *, adopt: bool = False, accept_new: bool = False) -> None:
        """Make sure that the ledger's fingerprints were made with this digest key.

        Args:
            adopt: a ledger without a key takes this one.
            accept_new: a ledger with another key takes this one; a new series of fingerprints begins.

        Raises:
            LedgerError: they were made with another key.
        """
        column = t.installation.c
        with self._database.read() as connection:
            row = connection.execute(sa.select(t.installation)).one()
        proof = hashlib.blake2b(
            str(row.ledger).encode(), key=digest_key, digest_size=16, person=b"key check"
        ).digest()
        if row.key_check is not None and hmac.compare_digest(row.key_check, proof):
            return
        if row.key_check is not None and not accept_new:
            raise LedgerError(
                f"the ledger {self._database.name} was made with a digest key other than this one: every record "
                "would seem to have changed. Use the key it was made with (AUDITOR_DIGEST_KEY, or digest.key of its "
                "data folder); where that is lost, `--new-digest-key` begins a new series of fingerprints"
            )
        if not adopt and not accept_new:
            return
        unchanged = column.key_check.is_(None) if row.key_check is None else column.key_check == row.key_check
        with self._database.unnumbered() as connection:
            adopted = connection.execute(sa.update(t.installation).where(unchanged).values(key_check=proof)).rowcount
        if not adopted:  # another process was faster: its key counts
            self.check_key(digest_key)

    def knows_key(self) -> bool:
        """Whether the ledger can check the digest key that its fingerprints were made with."""
        with self._database.read() as connection:
            return connection.execute(sa.select(t.installation.c.key_check)).scalar_one() is not None

    def ledger_id(self) -> str:
        """Identifies this ledger among all others, also among those that share its archive folder."""
        with self._database.read() as connection:
            return str(connection.execute(sa.select(t.installation.c.ledger)).scalar_one())
