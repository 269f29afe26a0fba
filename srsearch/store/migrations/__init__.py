"""Alembic's revisions of the tables, run by `srsearch.store.schema.upgrade`."""
