"""Owners of silences, and the tasks that an alert's actions may affect."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Add the columns. They are null in rows of earlier servers."""
    op.add_column("alert_silences", sa.Column("owner", sa.String(64)))
    op.add_column("alert_silences", sa.Column("ended_at", sa.Float(53)))
    op.add_column("alerts", sa.Column("bound", sa.JSON(none_as_null=True)))
    op.add_column("alert_actions", sa.Column("attempt", sa.Integer))
