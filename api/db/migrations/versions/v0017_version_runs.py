"""Which versions of datasets are runs of edits, which of them are kept, and which were superseded."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Adds the columns; of versions from before nothing is known, so none is superseded."""
    op.add_column("dataset_versions", sa.Column("run_started_at", sa.Float(53)))
    op.add_column("dataset_versions", sa.Column("is_kept", sa.Boolean))
    op.add_column("dataset_versions", sa.Column("superseded_at", sa.Float(53)))
    op.create_index("ix_dataset_versions_superseded", "dataset_versions", ["superseded_at"])
