"""Datasets: versions, items, media properties, uploads, and their use by tasks."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_JSON = sa.JSON(none_as_null=True)
_SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Create the tables."""
    _create_datasets()
    _create_items()
    _create_blobs()
    _create_registered_files()
    _create_uploads()
    _create_pins()


def _create_datasets() -> None:
    op.create_table(
        "datasets",
        sa.Column("serial", _SERIAL, primary_key=True, autoincrement=True),
        sa.Column("name", sa.String(100), unique=True),
        sa.Column("owner", sa.String(64)),
        sa.Column("description", sa.Text),
        sa.Column("tags", _JSON, nullable=False),
        sa.Column("directory", sa.Text),
        sa.Column("created_at", sa.Float(53), nullable=False),
        sa.Column("updated_at", sa.Float(53), nullable=False),
        sa.Column("deleted_at", sa.Float(53)),
        sa.Column("latest", sa.Integer),
        sa.Column("stored_bytes", sa.BigInteger, nullable=False),
        sa.Column("watch", _JSON),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_datasets_owner", "datasets", ["owner", "serial"])
    op.create_table(
        "dataset_versions",
        sa.Column("dataset", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("ordinal", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("manifest", sa.String(64), nullable=False),
        sa.Column("created_at", sa.Float(53), nullable=False),
        sa.Column("actor", sa.String(64), nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("items", sa.Integer, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("origin", _JSON),
        sa.Column("claim", sa.BigInteger),
    )
    op.create_index("ix_dataset_versions_manifest", "dataset_versions", ["manifest"])


def _create_items() -> None:
    op.create_table(
        "manifests",
        sa.Column("serial", _SERIAL, primary_key=True, autoincrement=True),
        sa.Column("sha256", sa.String(64), nullable=False, unique=True),
        sa.Column("is_indexed", sa.Boolean, nullable=False),
        sa.Column("used_at", sa.Float(53), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "dataset_items",
        sa.Column("manifest", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("item_id", sa.String(16), nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("caption", sa.Text),
        sa.Column("mask", sa.String(64)),
        sa.Column("control", sa.String(64)),
        sa.Column("problem", sa.String(32)),
    )
    op.create_index("ix_dataset_items_item", "dataset_items", ["manifest", "item_id"])
    op.create_index("ix_dataset_items_sha256", "dataset_items", ["manifest", "sha256"])
    op.create_index("ix_dataset_items_problem", "dataset_items", ["manifest", "problem"])


def _create_blobs() -> None:
    op.create_table(
        "dataset_blobs",
        sa.Column("sha256", sa.String(64), primary_key=True),
        sa.Column("dataset", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("claim", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_dataset_blobs_dataset", "dataset_blobs", ["dataset", "claim"])
    op.create_table(
        "blob_store",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("store", sa.String(64), nullable=False),
    )
    op.create_table(
        "media_facts",
        sa.Column("sha256", sa.String(64), primary_key=True),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("format", sa.String(32)),
        sa.Column("width", sa.Integer),
        sa.Column("height", sa.Integer),
        sa.Column("duration", sa.Float(53)),
        sa.Column("fps", sa.Float(53)),
        sa.Column("frame_count", sa.Integer),
        sa.Column("stated_frames", sa.Integer),
        sa.Column("rotation", sa.Integer),
        sa.Column("is_variable_rate", sa.Boolean),
        sa.Column("problem", sa.String(64)),
        sa.Column("problem_text", sa.Text),
        sa.Column("perceptual_hash", sa.String(64)),
        sa.Column("prober", sa.String(64), nullable=False),
        sa.Column("probed_at", sa.Float(53), nullable=False),
    )
    op.create_index("ix_media_facts_problem", "media_facts", ["problem"])
    op.create_index("ix_media_facts_kind", "media_facts", ["kind"])
    op.create_index("ix_media_facts_variable", "media_facts", ["is_variable_rate"])


def _create_registered_files() -> None:
    op.create_table(
        "registered_files",
        sa.Column("dataset", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("path", sa.String(1024), primary_key=True),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("modified_ns", sa.BigInteger, nullable=False),
        sa.Column("inode", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
    )


def _create_uploads() -> None:
    op.create_table(
        "uploads",
        sa.Column("serial", _SERIAL, primary_key=True, autoincrement=True),
        sa.Column("upload_id", sa.String(64), nullable=False, unique=True),
        sa.Column("place", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(64)),
        sa.Column("kind", sa.String(16)),
        sa.Column("filename", sa.Text),
        sa.Column("dataset", sa.String(100)),
        sa.Column("metadata", _JSON, nullable=False),
        sa.Column("size_bytes", sa.BigInteger),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("sha256", sa.String(64)),
        sa.Column("task_id", sa.String(64), unique=True),
        sa.Column("result", _JSON),
        sa.Column("problem", _JSON),
        sa.Column("created_at", sa.Float(53), nullable=False),
        sa.Column("updated_at", sa.Float(53), nullable=False),
        sa.Column("expires_at", sa.Float(53), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_uploads_owner", "uploads", ["owner", "serial"])
    op.create_index("ix_uploads_status", "uploads", ["place", "status", "expires_at"])
    op.create_index("ix_uploads_sha256", "uploads", ["sha256"])


def _create_pins() -> None:
    op.create_table(
        "dataset_pins",
        sa.Column("task_id", sa.String(64), primary_key=True),
        sa.Column("manifest", sa.String(64), primary_key=True),
        sa.Column("dataset", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("ordinal", sa.Integer, nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
    )
    op.create_index("ix_dataset_pins_dataset", "dataset_pins", ["dataset"])
