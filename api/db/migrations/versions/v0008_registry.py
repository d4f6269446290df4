"""Registered models: names, versions and aliases."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_JSON = sa.JSON(none_as_null=True)


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "registry_models",
        sa.Column("serial", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("name", sa.String(100), nullable=False, unique=True),
        sa.Column("owner", sa.String(64)),
        sa.Column("description", sa.Text),
        sa.Column("tags", _JSON, nullable=False),
        sa.Column("created_at", sa.Float(53), nullable=False),
        sa.Column("updated_at", sa.Float(53), nullable=False),
        sa.Column("last_ordinal", sa.Integer, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_registry_models_owner", "registry_models", ["owner", "serial"])
    op.create_table(
        "registry_versions",
        sa.Column("model", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("ordinal", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.Float(53), nullable=False),
        sa.Column("actor", sa.String(64), nullable=False),
        sa.Column("file_name", sa.String(255), nullable=False),
        sa.Column("notes", sa.Text),
        sa.Column("tags", _JSON, nullable=False),
        sa.Column("origin", _JSON, nullable=False),
        sa.Column("format", _JSON, nullable=False),
    )
    op.create_index("ix_registry_versions_sha256", "registry_versions", ["sha256"])
    op.create_table(
        "registry_aliases",
        sa.Column("model", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("alias", sa.String(40), primary_key=True),
        sa.Column("ordinal", sa.Integer, nullable=False),
    )
