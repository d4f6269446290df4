"""The tables in SQLAlchemy Core. Times are Unix seconds; the migrations create the same tables."""

from pathlib import Path

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    text,
)

from api.db import alert_tables, dataset_tables, measurement_tables, registry_tables, saved_tables
from api.db.columns import Document, Serial

#: The revision of the latest migration, which creates these tables.
REVISION = max(file.name[1:5] for file in Path(__file__).parent.glob("migrations/versions/v*.py"))

#: All tables, including those of the other modules.
metadata = dataset_tables.datasets.metadata
# Imported so that `metadata` contains their tables.
_OTHER_MODULES = (alert_tables, measurement_tables, registry_tables, saved_tables)

#: Tasks of all kinds. Columns of lists and the scheduler come first, large columns last.
tasks = Table(
    "tasks",
    metadata,
    Column("serial", Serial, primary_key=True, autoincrement=True),
    Column("task_id", String(64), nullable=False, unique=True),
    Column("status", String(16), nullable=False),
    Column("model_type", String(64), nullable=False),
    Column("trainer", String(64), nullable=False),
    Column("name", String(200)),
    Column("description", Text),
    Column("tags", Text),  #: one per line, between line breaks; null: none
    Column("priority", Integer, nullable=False),
    Column("priority_class", Integer, nullable=False, server_default="0"),  #: its rank: 1 urgent, -1 background
    Column("gpu_count", Integer, nullable=False),
    Column("min_memory", Integer, nullable=False),
    Column("gpu_references", Document, nullable=False),
    Column("caches", Document, nullable=False),
    Column("created_at", Float(53), nullable=False),
    Column("queued_at", Float(53), nullable=False),
    Column("queue_rank", Float(53)),  #: its order among equal priorities; null: `queued_at`
    Column("not_before", Float(53), nullable=False),  #: no attempt starts before this time (delayed retry)
    Column("start_not_before", Float(53)),  #: the same, as a user has requested; null: no such time
    Column("started_at", Float(53)),
    Column("finished_at", Float(53)),
    Column("updated_at", Float(53), nullable=False),
    Column("attempts", Integer, nullable=False),  #: the number of attempts
    Column("retries", Integer, nullable=False),  #: the number of used retries, out of max_retries
    Column("retries_in_a_row", Integer, nullable=False),  #: consecutive retries for causes outside of the training
    Column("restarted_from", String(64)),
    Column("idempotency_key", String(320), unique=True),
    Column("owner", String(64)),  #: the user that started it; null if no keys were required
    Column("gpu_uuids", Document, nullable=False),  #: of the latest attempt
    Column("progress", Document),  #: the latest known progress
    Column("cause", Document),
    Column("stop", Document),  #: the requested stop, its author, and its present rung
    Column("resume", Document),  #: how the next attempt resumes
    Column("warning", Text),  #: a problem that needs attention while it runs
    Column("warning_code", Document),  #: the code of the warning
    Column("kind", String(16), nullable=False, server_default="training"),
    Column("result", Document),  #: the result of a completed task that is not a training
    Column("chosen", String(64)),  #: the saved model that a user has chosen
    Column("sweep_id", String(64)),  #: the sweep that it belongs to
    Column("sweep_values", Document),  #: its own values in the sweep, by JSON pointer
    Column("preempted_by", String(64)),  #: the urgent task for which its last attempt made room
    Column("notes", Text),
    Column("trigger_word", String(200)),
    Column("retention", Document),  #: which saved models and checkpoints stay; null: the default
    Column("request", Document, nullable=False),
    Column("plan", Document, nullable=False),
    sqlite_autoincrement=True,
)
Index("ix_tasks_status", tasks.c.status, tasks.c.serial)
Index("ix_tasks_model_type", tasks.c.model_type, tasks.c.serial)
Index("ix_tasks_owner", tasks.c.owner, tasks.c.serial)
#: Without trainings, which are the most: their lists use the serial number.
_OTHER_KINDS, _IN_QUEUE = text("kind <> 'training'"), text("status = 'queued'")
_IN_SWEEP = text("sweep_id IS NOT NULL")
Index("ix_tasks_kind", tasks.c.kind, tasks.c.serial, sqlite_where=_OTHER_KINDS, postgresql_where=_OTHER_KINDS)
#: For queued tasks only: a new task is placed after the latest.
Index("ix_tasks_queued", tasks.c.queued_at, sqlite_where=_IN_QUEUE, postgresql_where=_IN_QUEUE)

Index("ix_tasks_sweep", tasks.c.sweep_id, tasks.c.serial, sqlite_where=_IN_SWEEP, postgresql_where=_IN_SWEEP)

#: Sweeps: trainings of one request that differ in some values. Everything else is known from their trainings.
sweeps = Table(
    "sweeps",
    metadata,
    Column("serial", Serial, primary_key=True, autoincrement=True),
    Column("sweep_id", String(64), nullable=False, unique=True),
    Column("name", String(200)),
    Column("owner", String(64)),
    Column("varied", Document, nullable=False),  #: pointers and their values, in the order of the request
    Column("early_stop", Document),  #: the rule that stops unpromising trainings; null: none
    Column("created_at", Float(53), nullable=False),
    sqlite_autoincrement=True,
)
Index("ix_sweeps_owner", sweeps.c.owner, sweeps.c.serial)

#: A small row per task with its immutable values, for fast counts: PostgreSQL can count `tasks` by an index alone only
#: where rows have not changed lately.
task_roll = Table(
    "task_roll",
    metadata,
    Column("serial", Serial, primary_key=True, autoincrement=False),
    Column("owner", String(64)),
)
Index("ix_task_roll_owner", task_roll.c.owner)

#: The attempts of tasks.
attempts = Table(
    "attempts",
    metadata,
    Column("uid", String(80), primary_key=True),
    Column("task_id", String(64), nullable=False),
    Column("number", Integer, nullable=False),
    Column("status", String(16), nullable=False),
    Column("token", String(64), nullable=False),
    Column("node", String(255), nullable=False),
    Column("directory", Text, nullable=False),
    Column("gpu_uuids", Document, nullable=False),
    Column("gpu_indices", Document, nullable=False),
    Column("master_port", Integer),
    Column("created_at", Float(53), nullable=False),
    Column("started_at", Float(53)),
    Column("ended_at", Float(53)),
    Column("pid", Integer),
    Column("pid_start", Float(53)),  #: clock ticks since boot, to recognise a later process with the same pid
    Column("run_dir", Text),
    Column("known_run_dirs", Document, nullable=False),  #: run directories of earlier attempts
    Column("resumed_from", String(64)),
    Column("first_step", Integer),
    Column("last_step", Integer),
    Column("peak_memory_mb", Integer),
    Column("outcome", Document),
    Column("cause", Document),
)
Index("ix_attempts_task", attempts.c.task_id, attempts.c.number)
Index("ix_attempts_ended", attempts.c.ended_at)
_NOT_ENDED = text("status <> 'ended'")
Index("ix_attempts_open", attempts.c.status, sqlite_where=_NOT_ENDED, postgresql_where=_NOT_ENDED)


#: Samples of trainings' saved models. The pictures are in the output directories of the tasks that render them.
training_samples = Table(
    "training_samples",
    metadata,
    Column("serial", Serial, primary_key=True, autoincrement=True),
    Column("sample_id", String(32), nullable=False, unique=True),
    Column("task_id", String(64), nullable=False),  #: the training
    Column("sampling_id", String(64), nullable=False),  #: the task that renders it
    Column("checkpoint", String(64), nullable=False),  #: the saved model; empty: the base model
    Column("prompt_index", Integer, nullable=False),  #: in the request of that task
    Column("settings", String(64), nullable=False),  #: a hash of prompt, seed, size, steps and workflow
    Column("text", Text, nullable=False),
    Column("negative", Text),
    Column("seed", BigInteger, nullable=False),
    Column("strength", Float(53), nullable=False),
    Column("file", String(255)),
    Column("sha256", String(64)),
    Column("pixels", String(64)),
    Column("width", Integer),
    Column("height", Integer),
    Column("frames", Integer),
    Column("keys_missing", Integer),
    Column("workflow_hash", String(64)),
    Column("comfyui_version", String(64)),
    Column("problem", Text),
    Column("rating", Integer),
    Column("created_at", Float(53), nullable=False),
    sqlite_autoincrement=True,
)
#: What each tracker (W&B, MLflow, Trackio) has received of a training.
tracker_runs = Table(
    "tracker_runs",
    metadata,
    Column("task_id", String(64), primary_key=True),
    Column("tracker", String(16), primary_key=True),
    Column("steps", Document, nullable=False),  #: the last step of each series, by tag
    Column("sample", Serial, nullable=False),  #: serial number of the last sample
    Column("rows", Integer, nullable=False),  #: number of rows that the tracker should have, if it counts them
    Column("status", String(16)),  #: how the training ended; null: it runs, as far as the tracker knows
    Column("attempts", Integer, nullable=False),  #: the number of its attempts then
)
Index("ix_training_samples_task", training_samples.c.task_id, training_samples.c.serial)
Index("ix_training_samples_sampling", training_samples.c.sampling_id)

#: GPU use of deleted tasks in the last day, which still counts for their owners' quotas.
past_use = Table(
    "past_use",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("owner", String(64), nullable=False),
    Column("gpus", Integer, nullable=False),
    Column("began_at", Float(53), nullable=False),
    Column("ended_at", Float(53), nullable=False),
    sqlite_autoincrement=True,
)
Index("ix_past_use_ended", past_use.c.ended_at)

#: Leases on GPUs by UUID, ports and cache directories. The primary key makes them exclusive.
leases = Table(
    "leases",
    metadata,
    Column("resource", String(2048), primary_key=True),
    Column("kind", String(8), nullable=False),
    Column("task_id", String(128), nullable=False),
    Column("attempt_uid", String(80)),
    Column("token", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("claimed_at", Float(53), nullable=False),
    Column("expires_at", Float(53)),
    Column("draining_since", Float(53)),
    Column("reason", Text),
    Column("reason_code", Document),
)
Index("ix_leases_task", leases.c.task_id)

#: The GPUs that a task used, for filters of lists.
task_gpus = Table(
    "task_gpus",
    metadata,
    Column("gpu_uuid", String(128), primary_key=True),
    Column("serial", BigInteger, primary_key=True),
)

#: Registrations of external programs.
registrations = Table(
    "registrations",
    metadata,
    Column("serial", Serial, primary_key=True, autoincrement=True),
    Column("task_id", String(128), nullable=False, unique=True),
    Column("task_type", String(16), nullable=False),
    Column("gpu_uuids", Document, nullable=False),
    Column("description", Text),
    Column("pid", Integer),
    Column("pid_start", Float(53)),
    Column("node", String(255), nullable=False),
    Column("progress", Float(53)),
    Column("estimated_remaining_time", Float(53)),
    Column("started_at", Float(53), nullable=False),
    Column("updated_at", Float(53)),
    Column("owner", String(64)),
    sqlite_autoincrement=True,
)

#: Events of tasks, append-only.
events = Table(
    "events",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("task_id", String(64), nullable=False),
    Column("attempt_uid", String(80)),
    Column("at", Float(53), nullable=False),
    Column("type", String(16), nullable=False),
    Column("previous", String(255)),
    Column("current", String(255)),
    Column("actor", String(64), nullable=False),
    Column("message", Text, nullable=False),
    Column("message_code", Document),  #: the code of the message; null if the message is a user's or a program's text
    Column("details", Document),
    sqlite_autoincrement=True,
)
Index("ix_events_task", events.c.task_id, events.c.id)

#: The leaders of scopes. The fence increases with each new leader, and every write of a leader checks it.
leadership = Table(
    "leadership",
    metadata,
    Column("scope", String(64), primary_key=True),
    Column("fence", BigInteger, nullable=False),
    Column("holder", String(512), nullable=False),  #: empty after the leader has resigned
    Column("expires_at", Float(53), nullable=False),  #: renewed by the holder, by its own clock
)

#: Machines.
nodes = Table(
    "nodes",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("machine", String(64), nullable=False),  #: the installation's id, which distinguishes machines of one name
    # Of machines that report to a head, and of heads; null in rows of older versions.
    Column("role", String(16)),
    Column("host", String(255)),
    Column("port", Integer),
    Column("started", String(64)),
    Column("version", String(64)),
    Column("clock_offset", Float(53)),
    Column("first_seen", Float(53)),
    Column("last_seen", Float(53)),
    Column("left_at", Float(53)),
    Column("drained_at", Float(53)),  #: since then it starts nothing new
    Column("drain_reason", Text),
    Column("drained_by", String(80)),
    Column("report", LargeBinary),  #: its last report, compressed
    Column("report_serial", BigInteger),  #: incremented by each report
)

#: The running servers.
servers = Table(
    "servers",
    metadata,
    Column("server_id", String(64), primary_key=True),
    Column("process", String(512), nullable=False),  #: unique among all processes, also later ones
    Column("node", String(255), nullable=False),
    Column("host", String(255), nullable=False),
    Column("port", Integer),  #: null: a free port chosen by the system
    Column("pid", Integer, nullable=False),
    Column("version", String(64), nullable=False),
    Column("started_at", Float(53), nullable=False),
    Column("last_seen", Float(53), nullable=False),  #: updated every 10 s, by its own clock
    Column("reads_gzip", Integer),  #: whether it can read compressed manifests; null: an older version, which cannot
)

#: The steady time of each machine, so that it continues after a restart.
machine_clocks = Table(
    "machine_clocks",
    metadata,
    Column("node", String(255), primary_key=True),
    Column("boot_id", String(64), nullable=False),
    Column("boot_seconds", Float(53), nullable=False),  #: since that boot
    Column("steady_at", Float(53), nullable=False),
)

#: The first responses to requests with an Idempotency-Key.
kept_answers = Table(
    "kept_answers",
    metadata,
    Column("scope", String(320), primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("owner", String(80), nullable=False),  #: the server process that handles the request
    Column("began_at", Float(53), nullable=False),
    Column("status", Integer),
    Column("body", LargeBinary),
    Column("headers", Document),
    Column("made", Document),  #: what the request created, stored with it
)
Index("ix_kept_answers_began", kept_answers.c.began_at)

#: Users with keys: people and programs.
users = Table(
    "users",
    metadata,
    Column("user_id", String(64), primary_key=True),
    Column("quota", Document),
    Column("created_at", Float(53), nullable=False),
)

#: Keys. Only the SHA-256 of a secret is stored.
keys = Table(
    "keys",
    metadata,
    Column("key_id", String(32), primary_key=True),
    Column("user_id", String(64), nullable=False),
    Column("name", String(200), nullable=False),
    Column("role", String(16)),
    Column("permissions", Document),
    Column("hash", String(64), nullable=False),
    Column("created_at", Float(53), nullable=False),
    Column("created_by", String(64), nullable=False),
    Column("expires_at", Float(53)),
    Column("last_used_at", Float(53)),
    Column("revoked_at", Float(53)),
    Column("revoked_by", String(64)),
    Column("rotated_to", String(32)),
)
Index("ix_keys_user", keys.c.user_id)

#: Browser sessions, by the SHA-256 of their cookie.
sessions = Table(
    "sessions",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("user_id", String(64), nullable=False),
    Column("name", String(200)),
    Column("role", String(16)),
    Column("permissions", Document),
    Column("key_id", String(32)),  #: the key used to sign in; null after signing in by OIDC
    Column("created_at", Float(53), nullable=False),
    Column("expires_at", Float(53), nullable=False),
)
Index("ix_sessions_expiry", sessions.c.expires_at)

#: Unused tickets, each for one stream, by their SHA-256.
tickets = Table(
    "tickets",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("key_id", String(32)),
    Column("session", String(64)),
    Column("expires_at", Float(53), nullable=False),
)

#: OpenID Connect sign-ins in progress, by the SHA-256 of the browser's cookie.
sign_ins = Table(
    "sign_ins",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("state", String(64), nullable=False),
    Column("nonce", String(64), nullable=False),
    Column("verifier", String(64), nullable=False),
    Column("redirect_uri", String(2048), nullable=False),
    Column("next", String(2048), nullable=False),
    Column("expires_at", Float(53), nullable=False),
)

#: One row with a version that increases with every change of keys, sessions and users; all servers check it.
access_state = Table(
    "access_state",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
)

#: Settings that were changed at run time, by their names in the environment; all servers read them again.
stored_settings = Table(
    "stored_settings",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("value", Text),  #: as in the environment; null if it is a secret
    Column("sealed", LargeBinary),  #: a secret, encrypted
    Column("updated_at", Float(53), nullable=False),
    Column("updated_by", String(64), nullable=False),
)

#: When trainings may run: at most one row.
schedule = Table(
    "schedule",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("time_zone", String(64), nullable=False),
    Column("windows", Document, nullable=False),
    Column("updated_at", Float(53), nullable=False),
    Column("updated_by", String(64), nullable=False),
)

#: How far the end of an idle machine is, one row per machine.
idle_ends = Table(
    "idle_ends",
    metadata,
    Column("node", String(255), primary_key=True),
    Column("boot_id", String(64), nullable=False),  #: the boot of the machine in which `stage` was reached
    Column("stage", String(16), nullable=False),
    Column("idle_since", Float(53)),
    Column("ends_at", Float(53)),  #: for display: the leader counts by its own monotonic clock
    Column("held_by", String(64)),  #: the user that holds the end; null: no hold
    Column("held_until", Float(53)),  #: null: until the hold is ended
    Column("problem", Text),
    Column("problem_code", Document),
    Column("changed_at", Float(53), nullable=False),
)

#: Power limits of GPUs that users have set.
power_limits = Table(
    "power_limits",
    metadata,
    Column("gpu_uuid", String(100), primary_key=True),
    Column("node", String(255), nullable=False),
    Column("watts", Float(53), nullable=False),
    Column("restore_watts", Float(53), nullable=False),  #: the limit before this one
    Column("is_removed", Boolean, nullable=False),  #: whether `restore_watts` is to be set
    Column("time_zone", String(64), nullable=False),
    Column("windows", Document, nullable=False),  #: empty: always
    Column("updated_at", Float(53), nullable=False),
    Column("updated_by", String(64), nullable=False),
)

#: The energy of each task by GPU.
task_energy = Table(
    "task_energy",
    metadata,
    Column("task_id", String(64), primary_key=True),
    Column("gpu_uuid", String(100), primary_key=True),
    Column("begun_at", Float(53), nullable=False),  #: start of the attempt that is being measured
    Column("joules", Float(53), nullable=False),
    Column("counter_joules", Float(53)),  #: the GPU's counter at `measured_at`; null: it has none
    Column("measured_at", Float(53), nullable=False),
    Column("is_open", Boolean, nullable=False),  #: whether the end of the attempt has not been measured yet
    Column("is_partial", Boolean, nullable=False),  #: whether some of the time could not be measured
)

#: The audit of changes and refusals, append-only; each row has the hash of the previous one.
audit = Table(
    "audit",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Float(53), nullable=False),
    Column("actor", String(64), nullable=False),
    Column("key_id", String(32)),
    Column("operation", String(200), nullable=False),
    Column("object", String(200)),
    Column("address", String(64)),
    Column("via", String(16)),  #: the kind of client that the request named, such as mcp
    Column("request_id", String(128)),
    Column("outcome", String(16), nullable=False),  #: done, refused, or dropped
    Column("code", String(64)),  #: the error code of a refusal
    Column("count", BigInteger, nullable=False),  #: how often within a minute
    Column("before", Document),
    Column("after", Document),
    Column("hash", String(64), nullable=False),
)
Index("ix_audit_actor", audit.c.actor, audit.c.id)
Index("ix_audit_operation", audit.c.operation, audit.c.id)
Index("ix_audit_object", audit.c.object, audit.c.id)
Index("ix_audit_outcome", audit.c.outcome, audit.c.id)
Index("ix_audit_at", audit.c.at)

#: Both ends of the chain: the latest row, and the hash before the oldest stored one.
audit_chain = Table(
    "audit_chain",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("last_id", BigInteger, nullable=False),
    Column("last_hash", String(64), nullable=False),
    Column("first_id", BigInteger, nullable=False),  #: of the oldest stored row
    Column("before_first", String(64), nullable=False),
)
