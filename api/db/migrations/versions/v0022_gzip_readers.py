"""Servers that can read compressed manifests; older servers leave the column empty."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    """Add the column."""
    op.add_column("servers", sa.Column("reads_gzip", sa.Integer))
