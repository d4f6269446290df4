"""What requests with an Idempotency-Key created before they were answered."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Add the column."""
    op.add_column("kept_answers", sa.Column("made", sa.JSON))
