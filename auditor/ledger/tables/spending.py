"""The calls that were sent to each system within a day."""

from __future__ import annotations

import sqlalchemy as sa

from auditor.ledger.tables.columns import Instant, Text, metadata

sent_calls = sa.Table(
    "sent_calls",
    metadata,
    sa.Column("system", Text, primary_key=True),
    sa.Column("slot_at", Instant, primary_key=True),
    sa.Column("holder", Text, primary_key=True),
    sa.Column("calls", sa.BigInteger, nullable=False),
)
