"""Alembic runs this file to apply revisions on the connection that `srsearch.store.schema.upgrade` hands over."""

from __future__ import annotations

from alembic import context

from srsearch.store.schema import VERSION_TABLE
from srsearch.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    # Tables of others (Optuna's) may be in the same database.
    include_name=lambda name, kind, _: kind != "table" or str(name).startswith("sr_"),
)
with context.begin_transaction():
    context.run_migrations()
