"""A ledger as an earlier version made it."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from auditor.ledger import Ledger, database


def made_at(url: str, revision: str) -> Ledger:
    """A ledger with the tables of a migration."""
    ledger = Ledger(url)
    with ledger.database.unnumbered() as connection:
        command.upgrade(_config(connection), revision)
    return ledger


def taken_back(ledger: Ledger, revision: str) -> None:
    """Bring a ledger back to an earlier migration."""
    with ledger.database.unnumbered() as connection:
        command.downgrade(_config(connection), revision)


def _config(connection: sa.Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config
