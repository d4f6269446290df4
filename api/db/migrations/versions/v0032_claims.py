"""Claims of other programs on GPUs: the memory that they announce."""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"


def upgrade() -> None:
    """Create the column."""
    op.add_column("holds", sa.Column("memory_mb", sa.Integer))
