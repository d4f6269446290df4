"""The table of presets. Times are Unix seconds; a migration creates the same table."""

from sqlalchemy import Boolean, Column, Float, Index, String, Table

from api.db.columns import Document, Serial, metadata

#: The settings of trainings that users save.
presets = Table(
    "presets",
    metadata,
    Column("serial", Serial, primary_key=True, autoincrement=True),
    Column("preset_id", String(32), nullable=False, unique=True),
    Column("name", String(100), nullable=False),
    Column("owner", String(64), nullable=False),  #: empty if the service had no keys
    Column("model_type", String(64), nullable=False),
    Column("settings", Document, nullable=False),
    Column("dataset", Document, nullable=False),
    Column("shared", Boolean, nullable=False),
    Column("created_at", Float(53), nullable=False),
    Column("updated_at", Float(53), nullable=False),
    sqlite_autoincrement=True,
)
#: Names are unique among the presets of a user.
Index("ix_presets_name", presets.c.owner, presets.c.name, unique=True)
