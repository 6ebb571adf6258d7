"""Alembic's entry point: runs on the connection passed by `Ledger.migrate`."""

from alembic import context

from auditor.ledger.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
