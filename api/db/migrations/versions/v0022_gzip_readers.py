"""Which servers read compressed manifests; an older one leaves the column empty."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    """Adds the column."""
    op.add_column("servers", sa.Column("reads_gzip", sa.Integer))
