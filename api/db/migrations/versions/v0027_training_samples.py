"""Samples of trainings, and the saved model that a user has chosen."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    """Create the table and the column. Earlier trainings have neither samples nor a chosen model."""
    op.add_column("tasks", sa.Column("chosen", sa.String(64)))
    op.create_table(
        "training_samples",
        sa.Column("serial", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("sample_id", sa.String(32), nullable=False, unique=True),
        sa.Column("task_id", sa.String(64), nullable=False),
        sa.Column("sampling_id", sa.String(64), nullable=False),
        sa.Column("checkpoint", sa.String(64), nullable=False),
        sa.Column("prompt_index", sa.Integer, nullable=False),
        sa.Column("settings", sa.String(64), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("negative", sa.Text),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("strength", sa.Float(53), nullable=False),
        sa.Column("file", sa.String(255)),
        sa.Column("sha256", sa.String(64)),
        sa.Column("pixels", sa.String(64)),
        sa.Column("width", sa.Integer),
        sa.Column("height", sa.Integer),
        sa.Column("frames", sa.Integer),
        sa.Column("keys_missing", sa.Integer),
        sa.Column("workflow_hash", sa.String(64)),
        sa.Column("comfyui_version", sa.String(64)),
        sa.Column("problem", sa.Text),
        sa.Column("rating", sa.Integer),
        sa.Column("created_at", sa.Float(53), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_training_samples_task", "training_samples", ["task_id", "serial"])
    op.create_index("ix_training_samples_sampling", "training_samples", ["sampling_id"])
