"""Runs of edits: which dataset versions they created, keep, and superseded."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Add the columns. Earlier versions have null, so none is superseded."""
    op.add_column("dataset_versions", sa.Column("run_started_at", sa.Float(53)))
    op.add_column("dataset_versions", sa.Column("is_kept", sa.Boolean))
    op.add_column("dataset_versions", sa.Column("superseded_at", sa.Float(53)))
    op.create_index("ix_dataset_versions_superseded", "dataset_versions", ["superseded_at"])
