"""Longer trainings of a study's designs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the number of training steps, which only longer trainings have."""
    with op.batch_alter_table("sr_trials") as trials:
        trials.add_column(sa.Column("steps", sa.Integer))


def downgrade() -> None:
    """Takes it away with the longer trainings, which would pass for replicates; their evaluations stay."""
    op.execute("DELETE FROM sr_trials WHERE steps IS NOT NULL")
    with op.batch_alter_table("sr_trials") as trials:
        trials.drop_column("steps")
