"""The tables of registered models. Times are Unix seconds; a migration creates the same tables."""

from sqlalchemy import BigInteger, Column, Float, Index, Integer, String, Table, Text

from api.db.columns import Document, Serial, metadata

#: Registered models.
registry_models = Table(
    "registry_models",
    metadata,
    Column("serial", Serial, primary_key=True, autoincrement=True),
    Column("name", String(100), nullable=False, unique=True),
    Column("owner", String(64)),
    Column("description", Text),
    Column("tags", Document, nullable=False),
    Column("created_at", Float(53), nullable=False),
    Column("updated_at", Float(53), nullable=False),
    Column("last_ordinal", Integer, nullable=False),  #: of all versions, also deleted ones, so that none is reused
    sqlite_autoincrement=True,
)
Index("ix_registry_models_owner", registry_models.c.owner, registry_models.c.serial)

#: The versions of models, each with its blob.
registry_versions = Table(
    "registry_versions",
    metadata,
    Column("model", BigInteger, primary_key=True, autoincrement=False),
    Column("ordinal", Integer, primary_key=True, autoincrement=False),
    Column("sha256", String(64), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("created_at", Float(53), nullable=False),
    Column("actor", String(64), nullable=False),
    Column("file_name", String(255), nullable=False),
    Column("notes", Text),
    Column("tags", Document, nullable=False),
    Column("origin", Document, nullable=False),
    Column("format", Document, nullable=False),
)
Index("ix_registry_versions_sha256", registry_versions.c.sha256)

#: Aliases: names of versions that can be moved to another version.
registry_aliases = Table(
    "registry_aliases",
    metadata,
    Column("model", BigInteger, primary_key=True, autoincrement=False),
    Column("alias", String(40), primary_key=True),
    Column("ordinal", Integer, nullable=False),
)

#: Preview samples of versions, each with its blob.
registry_samples = Table(
    "registry_samples",
    metadata,
    Column("serial", Serial, primary_key=True, autoincrement=True),
    Column("sample_id", String(32), nullable=False, unique=True),
    Column("model", BigInteger, nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("format", String(16), nullable=False),
    Column("facts", Document, nullable=False),
    Column("prompt", Text),
    Column("seed", String(24)),
    Column("step", BigInteger),
    Column("created_at", Float(53), nullable=False),
    Column("actor", String(64), nullable=False),
    sqlite_autoincrement=True,
)
Index("ix_registry_samples_version", registry_samples.c.model, registry_samples.c.ordinal)
Index("ix_registry_samples_sha256", registry_samples.c.sha256)
