"""How far the announcements of a flow's owner have been read."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column("flow_state", sa.Column("announced_to", sa.Text(), nullable=True))
