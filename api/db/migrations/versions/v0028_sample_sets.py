"""Sample sets, workflows, and automatic samples of trainings."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    """Create the tables. Earlier trainings have no automatic samples."""
    serial = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    document = sa.JSON(none_as_null=True)
    op.create_table(
        "sample_sets",
        sa.Column("serial", serial, primary_key=True, autoincrement=True),
        sa.Column("name", sa.String(100), nullable=False, unique=True),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("shared", sa.Boolean, nullable=False),
        sa.Column("latest", sa.Integer, nullable=False),
        sa.Column("created_at", sa.Float(53), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "sample_set_versions",
        sa.Column("sample_set", serial, primary_key=True, autoincrement=False),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("content", document, nullable=False),
        sa.Column("created_at", sa.Float(53), nullable=False),
    )
    op.create_table(
        "workflows",
        sa.Column("serial", serial, primary_key=True, autoincrement=True),
        sa.Column("workflow_id", sa.String(32), nullable=False, unique=True),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("model_type", sa.String(64), nullable=False),
        sa.Column("workflow", document, nullable=False),
        sa.Column("nodes", document, nullable=False),
        sa.Column("shared", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.Float(53), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_workflows_name", "workflows", ["owner", "name"], unique=True)
    op.create_table(
        "sample_orders",
        sa.Column("task_id", sa.String(64), primary_key=True),
        sa.Column("sample_set", sa.String(100), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("every", sa.Integer, nullable=False),
        sa.Column("trigger", sa.Text),
        sa.Column("spec", document, nullable=False),
        sa.Column("created_at", sa.Float(53), nullable=False),
        sa.Column("problem", sa.Text),
        sa.Column("problem_code", document),
        sa.Column("settled_at", sa.Float(53)),
    )
    op.create_table(
        "sampled_models",
        sa.Column("task_id", sa.String(64), primary_key=True),
        sa.Column("path", sa.String(512), primary_key=True),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("is_due", sa.Boolean, nullable=False),
        sa.Column("sampling_id", sa.String(64)),
    )
