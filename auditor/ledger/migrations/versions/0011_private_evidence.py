"""Remove record-specific evidence of private fields: exact differences and lengths."""

import sqlalchemy as sa
from alembic import op

from auditor.storage.private_evidence import cleaned, without_sizes

revision = "0011"
down_revision = "0010"

ROWS = 1_000
"""Rows per batch."""


def upgrade() -> None:
    connection = op.get_bind()
    divergences = sa.table("divergences", *map(sa.column, ("id", "differences", "detail")))
    unverified = sa.table("unverified", *map(sa.column, ("id", "reason")))
    last = 0
    while rows := connection.execute(
        sa.select(divergences).where(divergences.c.id > last).order_by(divergences.c.id).limit(ROWS)
    ).all():
        for row in rows:
            told = cleaned(row.differences, row.detail)
            if told != (row.differences, row.detail):
                connection.execute(
                    sa.update(divergences)
                    .where(divergences.c.id == row.id)
                    .values(differences=told[0], detail=told[1])
                )
        last = rows[-1].id
    last = 0
    while rows := connection.execute(
        sa.select(unverified).where(unverified.c.id > last).order_by(unverified.c.id).limit(ROWS)
    ).all():
        for row in rows:
            if without_sizes(row.reason) != row.reason:
                connection.execute(
                    sa.update(unverified).where(unverified.c.id == row.id).values(reason=without_sizes(row.reason))
                )
        last = rows[-1].id
