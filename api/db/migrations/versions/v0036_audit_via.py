"""The kind of client in the audit."""

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"


def upgrade() -> None:
    """Add the column. It is unknown for existing rows, whose hashes do not include it."""
    op.add_column("audit", sa.Column("via", sa.String(16)))
