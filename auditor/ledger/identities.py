"""The unique keys of records, by digest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from auditor.ledger import tables as t
from auditor.ledger.database import Database
from auditor.ledger.statements import IN_LIMIT, chunks
from auditor.ledger.transaction import Transaction
from probes.contract import Key


class Identities:
    """The unique keys of the records of every system."""

    def __init__(self, database: Database) -> None:
        self._database = database
        identity = t.identities.c
        self._save = database.statements.upsert(t.identities)
        self._held = database.statements.among(sa.select(identity.key, identity.digest), identity).where(
            identity.system == sa.bindparam("system"), identity.called == sa.bindparam("called")
        )

    def save(
        self,
        transaction: Transaction,
        flow: str,
        system: str,
        called: str,
        identities: Mapping[Key, bytes],
        gone: Iterable[Key],
    ) -> None:
        """Store which records of a system have which unique key, and forget those that no longer have one."""
        mine = {"flow": flow, "system": system, "called": called}
        column = t.identities.c
        here = (column.flow == flow) & (column.system == system) & (column.called == called)
        parameters = {**mine, "keys": self._database.statements.keys([str(key) for key in (*identities, *gone)])}
        stored: dict[str, bytes] = dict(transaction.execute(self._held, parameters).all())
        rows = [
            {**mine, "key": str(key), "digest": digest}
            for key, digest in identities.items()
            if stored.get(str(key)) != digest
        ]
        if rows:
            transaction.execute(self._save, rows)
        for chunk in chunks([str(key) for key in gone if str(key) in stored], IN_LIMIT):
            transaction.execute(sa.delete(t.identities).where(here, column.key.in_(chunk)))

    def holders(self, flow: str, system: str, called: str, digests: Iterable[bytes]) -> dict[bytes, list[str]]:
        """By digest of a unique key, the records of a system that have it."""
        column = t.identities.c
        here = (column.flow == flow) & (column.system == system) & (column.called == called)
        keys_of: dict[bytes, list[str]] = {}
        with self._database.read() as connection:
            for chunk in chunks(list(digests), IN_LIMIT):
                rows = connection.execute(
                    sa.select(column.digest, column.key).where(here, column.digest.in_(chunk)).order_by(column.key)
                )
                for digest, key in rows:
                    keys_of.setdefault(digest, []).append(key)
        return keys_of
