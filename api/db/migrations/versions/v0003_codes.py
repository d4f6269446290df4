"""Codes for the messages of events, warnings and holds."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the columns."""
    for table, column in (("events", "message_code"), ("tasks", "warning_code"), ("leases", "reason_code")):
        op.add_column(table, sa.Column(column, sa.JSON(none_as_null=True), nullable=True))
