"""The values in the texts of alerts."""

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"


def upgrade() -> None:
    """Add the column. It is unknown for existing rows."""
    op.add_column("alerts", sa.Column("text_values", sa.JSON))
