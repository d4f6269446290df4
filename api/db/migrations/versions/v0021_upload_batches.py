"""Batches of uploads that were started together."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """Add the columns. Earlier uploads belong to no batch."""
    op.add_column("uploads", sa.Column("batch", sa.String(64)))
    op.add_column("uploads", sa.Column("batch_size", sa.Integer))
    op.create_index("ix_uploads_batch", "uploads", ["place", "batch"])
