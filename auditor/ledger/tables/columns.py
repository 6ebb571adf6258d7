"""The column types of the ledger's tables, and the columns they share."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from auditor.storage.kept_text import kept, restored
from checks.values import EPOCH, MICROSECOND


class Instant(sa.types.TypeDecorator[datetime]):
    """An aware UTC datetime, stored as whole microseconds so that every database sorts it alike."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> int | None:
        return None if value is None else (value - EPOCH) // MICROSECOND

    def process_result_value(self, value: int | None, dialect: Any) -> datetime | None:
        return None if value is None else EPOCH + timedelta(microseconds=value)


class Text(sa.types.TypeDecorator[str]):
    """Any text, exactly: characters that a database rejects are stored as `auditor.storage.kept_text` writes them."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        return None if value is None else kept(value)

    def process_result_value(self, value: str | None, dialect: Any) -> str | None:
        return None if value is None else restored(value)


Identity = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
metadata = sa.MetaData()


def identity() -> sa.Column[int]:
    """The number of a row."""
    return sa.Column("id", Identity, primary_key=True, autoincrement=True)


def rev() -> sa.Column[int]:
    """The number of the transaction that last wrote the row."""
    return sa.Column("rev", sa.BigInteger, nullable=False, index=True)
