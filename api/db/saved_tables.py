"""The tables of what users save (sample sets, workflows, presets) and of automatic samples. Times are Unix seconds."""

from sqlalchemy import Boolean, Column, Float, Index, Integer, String, Table, Text, text

from api.db.columns import Document, Serial, metadata

#: Sets of prompts that users save.
sample_sets = Table(
    "sample_sets",
    metadata,
    Column("serial", Serial, primary_key=True, autoincrement=True),
    Column("name", String(100), nullable=False),
    Column("owner", String(64), nullable=False),  #: empty if the service had no keys
    Column("shared", Boolean, nullable=False),
    Column("latest", Integer, nullable=False),  #: the newest version
    Column("created_at", Float(53), nullable=False),
    sqlite_autoincrement=True,
)
#: Names are unique among the sets of a user, and among the shared ones.
Index("ix_sample_sets_name", sample_sets.c.owner, sample_sets.c.name, unique=True)
Index(
    "ix_sample_sets_shared",
    sample_sets.c.name,
    unique=True,
    sqlite_where=text("shared"),
    postgresql_where=text("shared"),
)

#: The versions of sample sets, which never change.
sample_set_versions = Table(
    "sample_set_versions",
    metadata,
    Column("sample_set", Serial, primary_key=True, autoincrement=False),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("content", Document, nullable=False),
    Column("created_at", Float(53), nullable=False),
)

#: Workflows of ComfyUI that users register.
workflows = Table(
    "workflows",
    metadata,
    Column("serial", Serial, primary_key=True, autoincrement=True),
    Column("workflow_id", String(32), nullable=False, unique=True),
    Column("name", String(100), nullable=False),
    Column("owner", String(64), nullable=False),  #: empty if the service had no keys
    Column("model_type", String(64), nullable=False),
    Column("workflow", Document, nullable=False),
    Column("nodes", Document, nullable=False),  #: the inputs that samples set
    Column("shared", Boolean, nullable=False),
    Column("created_at", Float(53), nullable=False),
    sqlite_autoincrement=True,
)
#: Names are unique among the workflows of a user.
Index("ix_workflows_name", workflows.c.owner, workflows.c.name, unique=True)

#: The automatic samples of trainings.
sample_orders = Table(
    "sample_orders",
    metadata,
    Column("task_id", String(64), primary_key=True),  #: the training
    Column("sample_set", String(100), nullable=False),
    Column("version", Integer, nullable=False),
    Column("every", Integer, nullable=False),
    Column("trigger", Text),
    Column("spec", Document, nullable=False),  #: prompts, settings and workflow
    Column("created_at", Float(53), nullable=False),  #: models that were saved before are left out
    Column("problem", Text),  #: why samples are late; null: they are not
    Column("problem_code", Document),
    Column("settled_at", Float(53)),  #: when nothing was left to do after the training's end
)

#: The saved models of trainings with automatic samples.
sampled_models = Table(
    "sampled_models",
    metadata,
    Column("task_id", String(64), primary_key=True),  #: the training
    Column("path", String(512), primary_key=True),  #: of its file
    Column("name", String(64), nullable=False),
    Column("ordinal", Integer, nullable=False),  #: from 1, in the order in which they were found
    Column("is_due", Boolean, nullable=False),  #: whether a task is still to be created
    Column("sampling_id", String(64)),  #: the task that renders it; null: none
)


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
