"""A ledger as an earlier version made it."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config

from auditor.ledger import Ledger, database


def made_at(url: str, revision: str) -> Ledger:
    """A ledger with the tables of a migration."""
    ledger = Ledger(url)
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    with ledger.database.unnumbered() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    return ledger
