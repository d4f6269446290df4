"""Excluded items, and versions created by a split."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Add the columns. Older servers that run at the same time leave them empty."""
    op.add_column("dataset_items", sa.Column("excluded", sa.Boolean))
    op.add_column("dataset_versions", sa.Column("excluded", sa.Integer))
    op.add_column("dataset_versions", sa.Column("split_from", sa.BigInteger))
    op.add_column("dataset_versions", sa.Column("shared_bytes", sa.BigInteger))
    op.create_index("ix_dataset_versions_split", "dataset_versions", ["split_from"])
