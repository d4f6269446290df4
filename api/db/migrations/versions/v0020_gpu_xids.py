"""Xid errors because of which a GPU must not be used until it is reset."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "gpu_xids",
        sa.Column("node", sa.String(255), primary_key=True),
        sa.Column("uuid", sa.String(96), primary_key=True),
        sa.Column("xid", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("token", sa.String(32), nullable=False),
        sa.Column("times", sa.Integer, nullable=False),
        sa.Column("last_at", sa.Float(53), nullable=False),
        sa.Column("boot", sa.String(64), nullable=False),
        sa.Column("was_action_asked", sa.Integer, nullable=False),
        sa.Column("energy_joules", sa.Float(53)),
    )
