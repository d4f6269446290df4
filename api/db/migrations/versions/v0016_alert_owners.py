"""Whom a silence belongs to, and what an alert's actions may act on."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Add the columns. What an earlier server made has none of it."""
    op.add_column("alert_silences", sa.Column("owner", sa.String(64)))
    op.add_column("alert_silences", sa.Column("ended_at", sa.Float(53)))
    op.add_column("alerts", sa.Column("bound", sa.JSON(none_as_null=True)))
    op.add_column("alert_actions", sa.Column("attempt", sa.Integer))
