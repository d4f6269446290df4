"""What trackers (W&B, MLflow, Trackio) have received of each training."""

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0034"


def upgrade() -> None:
    """Create the table. Nothing was sent before."""
    op.create_table(
        "tracker_runs",
        sa.Column("task_id", sa.String(64), primary_key=True),
        sa.Column("tracker", sa.String(16), primary_key=True),
        sa.Column("steps", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("sample", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(16)),
        sa.Column("attempts", sa.Integer(), nullable=False),
    )
