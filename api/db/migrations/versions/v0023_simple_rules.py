"""Deliveries no longer escalate."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    """Makes escalations repeats."""
    for name in ("alert_notifications", "alert_deliveries"):
        table = sa.table(name, sa.column("kind", sa.String))
        op.execute(sa.update(table).where(table.c.kind == "escalation").values(kind="repeat"))
