"""The table of what trainings used of GPUs, as SQLAlchemy knows it; a migration makes the same."""

from sqlalchemy import Column, Float, Index, Integer, String, Table

from api.storage.columns import Document, Serial, metadata

#: The memory of the fullest GPU of an attempt. It outlives its task, whose name it does not have.
memory_runs = Table(
    "memory_runs",
    metadata,
    Column("serial", Serial, primary_key=True, autoincrement=True),
    Column("attempt_uid", String(80), nullable=False, unique=True),
    Column("model_type", String(64), nullable=False),
    Column("variant", String(200)),
    Column("facts", Document, nullable=False),
    Column("peak_mb", Integer, nullable=False),
    Column("measured_at", Float(53), nullable=False),
    sqlite_autoincrement=True,
)
Index("ix_memory_runs_variant", memory_runs.c.model_type, memory_runs.c.variant, memory_runs.c.serial)
