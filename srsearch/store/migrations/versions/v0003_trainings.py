"""Full trainings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes their table."""
    op.create_table(
        "sr_trainings",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("recipe", sa.JSON, nullable=False),
        sa.Column("recipe_hash", sa.String(64), nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
        sa.Column("data_fingerprint", sa.String(64), nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("study_id", sa.Integer),
        sa.Column("trial", sa.Integer),
        sa.Column("file", sa.Text, nullable=False),
        sa.Column("minutes", sa.Double),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("done", sa.Double, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("curve", sa.JSON, nullable=False),
        sa.Column("bicubic", sa.Double),
        sa.Column("owner", sa.Text),
        sa.Column("heartbeat", sa.Double),
        sa.Column("started_at", sa.DateTime, nullable=False),
        sa.Column("finished_at", sa.DateTime),
        sa.PrimaryKeyConstraint("id", name="pk_sr_trainings"),
        sa.ForeignKeyConstraint(["key"], ["sr_architectures.key"], name="fk_sr_trainings_key_sr_architectures"),
        sa.ForeignKeyConstraint(["study_id"], ["sr_studies.id"], name="fk_sr_trainings_study_id_sr_studies"),
        sa.CheckConstraint("state IN ('running', 'done', 'failed', 'interrupted')", name=op.f("ck_sr_trainings_state")),
    )


def downgrade() -> None:
    """Drops it."""
    op.drop_table("sr_trainings")
