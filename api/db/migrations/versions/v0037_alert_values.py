"""The values in the texts of alerts, and the codes of their history."""

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"


def upgrade() -> None:
    """Add the columns. They are unknown for existing rows."""
    op.add_column("alerts", sa.Column("text_values", sa.JSON))
    op.add_column("alert_history", sa.Column("message_code", sa.JSON))
