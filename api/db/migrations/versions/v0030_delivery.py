"""Trigger words of trainings, and which of their saved models and checkpoints stay."""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"


def upgrade() -> None:
    """Add the columns. Existing trainings have no trigger word, and no rule of their own."""
    op.add_column("tasks", sa.Column("trigger_word", sa.String(200)))
    op.add_column("tasks", sa.Column("retention", sa.JSON(none_as_null=True)))
