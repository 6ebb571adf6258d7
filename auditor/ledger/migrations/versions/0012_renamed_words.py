"""Rename causes, breaches and digests to their present names."""

import sqlalchemy as sa
from alembic import op

from auditor.storage.renamed_words import BREACHES, CAUSES, renamed_differences

revision = "0012"
down_revision = "0011"

ROWS = 1_000
"""Rows per batch."""


def upgrade() -> None:
    connection = op.get_bind()
    for side in ("owner", "target"):
        op.execute(f"ALTER TABLE baselines RENAME COLUMN {side}_marks TO {side}_digests")
    divergences = sa.table("divergences", *map(sa.column, ("id", "cause", "differences")))
    conflicts = sa.table("conflicts", sa.column("cause"))
    incidents = sa.table("incidents", *map(sa.column, ("flow", "breach", "fingerprint")))
    last = 0
    while rows := connection.execute(
        sa.select(divergences.c.id, divergences.c.differences)
        .where(divergences.c.id > last, divergences.c.differences.contains('"conflict"'))
        .order_by(divergences.c.id)
        .limit(ROWS)
    ).all():
        for row in rows:
            connection.execute(
                sa.update(divergences)
                .where(divergences.c.id == row.id)
                .values(differences=renamed_differences(row.differences))
            )
        last = rows[-1].id
    for old, new in CAUSES.items():
        for table in (divergences, conflicts):
            connection.execute(sa.update(table).where(table.c.cause == old).values(cause=new))
    for old, new in BREACHES.items():
        connection.execute(
            sa.update(incidents)
            .where(incidents.c.breach == old)
            .values(
                breach=new,
                fingerprint=sa.case(
                    (
                        incidents.c.fingerprint == "flow/" + incidents.c.flow + "/" + old,
                        "flow/" + incidents.c.flow + "/" + new,
                    ),
                    else_=incidents.c.fingerprint,
                ),
            )
        )
