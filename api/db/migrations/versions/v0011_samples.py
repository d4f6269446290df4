"""Preview samples of versions."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "registry_samples",
        sa.Column("serial", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("sample_id", sa.String(32), nullable=False, unique=True),
        sa.Column("model", sa.BigInteger, nullable=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("format", sa.String(16), nullable=False),
        sa.Column("facts", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("prompt", sa.Text),
        sa.Column("seed", sa.String(24)),
        sa.Column("step", sa.BigInteger),
        sa.Column("created_at", sa.Float(53), nullable=False),
        sa.Column("actor", sa.String(64), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_registry_samples_version", "registry_samples", ["model", "ordinal"])
    op.create_index("ix_registry_samples_sha256", "registry_samples", ["sha256"])
