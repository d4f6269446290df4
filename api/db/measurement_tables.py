"""The tables of measured memory and of Xid errors. Migrations create the same tables."""

from sqlalchemy import Column, Float, Index, Integer, String, Table

from api.db.columns import Document, Serial, metadata

#: The peak memory of an attempt's fullest GPU. Kept after its task is deleted, without the task's name.
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

#: Xid errors because of which a GPU must not be used until it is reset, by the reporting machine.
gpu_xids = Table(
    "gpu_xids",
    metadata,
    Column("node", String(255), primary_key=True),
    Column("uuid", String(96), primary_key=True),
    Column("xid", Integer, primary_key=True, autoincrement=False),
    Column("token", String(32), nullable=False),  #: differs for each incident
    Column("times", Integer, nullable=False),
    Column("last_at", Float(53), nullable=False),
    Column("boot", String(64), nullable=False),  #: the boot of the GPU's machine at that time; empty: unknown
    Column("was_action_asked", Integer, nullable=False),  #: whether the driver has requested a recovery action since
    Column("energy_joules", Float(53)),
)
