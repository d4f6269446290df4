"""What requests with an Idempotency-Key have made, before they were answered."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Adds the column."""
    op.add_column("kept_answers", sa.Column("made", sa.JSON))
