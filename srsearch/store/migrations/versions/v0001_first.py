"""The first tables: architectures, evaluations, studies and trials."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the tables."""
    op.create_table(
        "sr_architectures",
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("description", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_sr_architectures"),
    )
    op.create_table(
        "sr_evaluations",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("recipe", sa.JSON, nullable=False),
        sa.Column("recipe_hash", sa.String(64), nullable=False),
        sa.Column("data_fingerprint", sa.String(64), nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("psnr", sa.Double, nullable=False),
        sa.Column("ssim", sa.Double),
        sa.Column("curve", sa.JSON, nullable=False),
        sa.Column("seconds", sa.Double),
        sa.Column("versions", sa.JSON, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sr_evaluations"),
        sa.ForeignKeyConstraint(["key"], ["sr_architectures.key"], name="fk_sr_evaluations_key_sr_architectures"),
        sa.UniqueConstraint("key", "recipe_hash", "data_fingerprint", "seed", name="uq_sr_evaluations_key"),
    )
    op.create_table(
        "sr_studies",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("space", sa.JSON, nullable=False),
        sa.Column("space_text", sa.Text, nullable=False),
        sa.Column("space_hash", sa.String(64), nullable=False),
        sa.Column("scale", sa.Integer, nullable=False),
        sa.Column("objectives", sa.JSON, nullable=False),
        sa.Column("sampler", sa.Text, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("recipe", sa.JSON, nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
        sa.Column("data_fingerprint", sa.String(64), nullable=False),
        sa.Column("reference", sa.JSON, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sr_studies"),
        sa.UniqueConstraint("name", name="uq_sr_studies_name"),
    )
    _create_trials()


def _create_trials() -> None:
    op.create_table(
        "sr_trials",
        sa.Column("study_id", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("key", sa.String(64)),
        sa.Column("evaluation_id", sa.Integer),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("axes", sa.JSON, nullable=False),
        sa.Column("params", sa.BigInteger),
        sa.Column("mult_adds", sa.BigInteger),
        sa.Column("activations", sa.BigInteger),
        sa.Column("curve", sa.JSON, nullable=False),
        sa.Column("cached", sa.Boolean, nullable=False),
        sa.Column("sampler_state", sa.JSON, nullable=False),
        sa.Column("started_at", sa.DateTime, nullable=False),
        sa.Column("finished_at", sa.DateTime),
        sa.PrimaryKeyConstraint("study_id", "number", name="pk_sr_trials"),
        sa.ForeignKeyConstraint(["study_id"], ["sr_studies.id"], name="fk_sr_trials_study_id_sr_studies"),
        sa.ForeignKeyConstraint(["key"], ["sr_architectures.key"], name="fk_sr_trials_key_sr_architectures"),
        sa.ForeignKeyConstraint(
            ["evaluation_id"], ["sr_evaluations.id"], name="fk_sr_trials_evaluation_id_sr_evaluations"
        ),
        sa.CheckConstraint(
            "state IN ('running', 'complete', 'failed', 'infeasible', 'repeated')", name=op.f("ck_sr_trials_state")
        ),
        sa.CheckConstraint("state != 'complete' OR evaluation_id IS NOT NULL", name=op.f("ck_sr_trials_evaluated")),
    )


def downgrade() -> None:
    """Drops the tables."""
    for table in ("sr_trials", "sr_studies", "sr_evaluations", "sr_architectures"):
        op.drop_table(table)
