"""Leases and early stopping of trials, replicates, and the number of workers of a study."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_BEFORE = ("running", "complete", "failed", "infeasible", "repeated")
_ADDED = ("replicate_of", "seed", "cleared", "owner", "heartbeat")


def upgrade() -> None:
    """Adds the columns, and the state of a trial that is set aside."""
    with op.batch_alter_table("sr_studies") as studies:
        studies.add_column(sa.Column("workers", sa.Integer))
    with op.batch_alter_table("sr_trials") as trials:
        trials.add_column(sa.Column("replicate_of", sa.Integer))
        trials.add_column(sa.Column("seed", sa.BigInteger))
        trials.add_column(sa.Column("cleared", sa.Integer, nullable=False, server_default="0"))
        trials.add_column(sa.Column("owner", sa.Text))
        trials.add_column(sa.Column("heartbeat", sa.Double))
        trials.drop_constraint(op.f("ck_sr_trials_state"), type_="check")
        trials.create_check_constraint(op.f("ck_sr_trials_state"), _one_of(("running", "stopped", *_BEFORE[1:])))


def downgrade() -> None:
    """Takes them away; what was set aside has failed then."""
    op.execute("UPDATE sr_trials SET state = 'failed', reason = 'stopped early' WHERE state = 'stopped'")
    with op.batch_alter_table("sr_trials") as trials:
        trials.drop_constraint(op.f("ck_sr_trials_state"), type_="check")
        trials.create_check_constraint(op.f("ck_sr_trials_state"), _one_of(_BEFORE))
        for name in _ADDED:
            trials.drop_column(name)
    with op.batch_alter_table("sr_studies") as studies:
        studies.drop_column("workers")


def _one_of(states: tuple[str, ...]) -> str:
    return f"state IN ({', '.join(repr(state) for state in states)})"
