"""Machines: their addresses, last reports, and draining."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add the columns."""
    for column in (
        sa.Column("role", sa.String(16)),
        sa.Column("host", sa.String(255)),
        sa.Column("port", sa.Integer),
        sa.Column("started", sa.String(64)),
        sa.Column("version", sa.String(64)),
        sa.Column("clock_offset", sa.Float(53)),
        sa.Column("first_seen", sa.Float(53)),
        sa.Column("last_seen", sa.Float(53)),
        sa.Column("left_at", sa.Float(53)),
        sa.Column("drained_at", sa.Float(53)),
        sa.Column("drain_reason", sa.Text),
        sa.Column("drained_by", sa.String(80)),
        sa.Column("report", sa.LargeBinary),
        sa.Column("report_serial", sa.BigInteger),
    ):
        op.add_column("nodes", column)
