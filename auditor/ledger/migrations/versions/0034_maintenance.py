"""The column of a silence's maintenance window gets a name that SQL does not reserve."""

from alembic import op

revision = "0034"
down_revision = "0033"


def upgrade() -> None:
    op.execute('ALTER TABLE silences RENAME COLUMN "window" TO maintenance')


def downgrade() -> None:
    op.execute('ALTER TABLE silences RENAME COLUMN maintenance TO "window"')
