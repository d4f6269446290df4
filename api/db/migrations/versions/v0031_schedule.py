"""Weekly windows in which trainings may run, and pauses of GPUs."""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"


def upgrade() -> None:
    """Create the table and the column. Trainings may always run, as before."""
    op.add_column("holds", sa.Column("expires_at", sa.Float(53)))
    op.create_table(
        "schedule",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("time_zone", sa.String(64), nullable=False),
        sa.Column("windows", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("updated_at", sa.Float(53), nullable=False),
        sa.Column("updated_by", sa.String(64), nullable=False),
    )
