"""The tables of rules, alerts, channels and the outbox. Times are Unix seconds."""

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, LargeBinary, String, Table, Text

from api.db.columns import Document, Serial, metadata

#: Users' rules, and users' changes of built-in rules.
alert_rules = Table(
    "alert_rules",
    metadata,
    Column("rule_id", String(64), primary_key=True),
    Column("is_builtin", Boolean, nullable=False),
    Column("document", Document, nullable=False),  #: the whole rule; of a built-in one only the differences
    Column("updated_at", Float(53), nullable=False),
    Column("updated_by", String(64), nullable=False),
)

#: Alerts. `open_key` is the fingerprint while the alert is open, so that there is never a second open one.
alerts = Table(
    "alerts",
    metadata,
    Column("serial", Serial, primary_key=True, autoincrement=True),
    Column("alert_id", String(64), nullable=False, unique=True),
    Column("open_key", String(64), unique=True),
    Column("fingerprint", String(64), nullable=False),
    Column("rule_id", String(64), nullable=False),
    Column("scope", String(16), nullable=False),
    Column("target", String(255), nullable=False),
    Column("node", String(255)),
    Column("task_id", String(64)),
    Column("labels", Document, nullable=False),
    Column("severity", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("shown_state", String(16), nullable=False),
    Column("number", Integer, nullable=False),  #: incremented by each change, and checked by it
    Column("title", Text, nullable=False),
    Column("summary", Text, nullable=False),
    Column("remedy", Text, nullable=False),
    Column("text_values", Document),  #: the values in summary and remedy; null: unknown
    Column("link", Text),
    Column("since", Float(53), nullable=False),
    Column("updated_at", Float(53), nullable=False),
    Column("fired_at", Float(53)),
    Column("resolved_at", Float(53)),
    Column("resolution", String(200)),
    Column("value", Float(53)),
    Column("peak", Float(53)),
    Column("is_unknown", Boolean, nullable=False),
    Column("owner", String(64)),
    Column("is_personal", Boolean, nullable=False),  #: it concerns a resource that has an owner
    Column("acknowledged_by", String(64)),
    Column("acknowledged_at", Float(53)),
    Column("acknowledged_until", Float(53)),
    Column("acknowledged_severity", String(16)),
    Column("muted_by", String(64)),
    Column("flips", Document, nullable=False),
    Column("flapping_since", Float(53)),
    Column("told", Document, nullable=False),
    Column("told_at", Float(53)),
    Column("bound", Document),  #: the task that its actions may affect, as of the start of the condition
    sqlite_autoincrement=True,
)
Index("ix_alerts_state", alerts.c.shown_state, alerts.c.serial)
Index("ix_alerts_resolved", alerts.c.resolved_at)
Index("ix_alerts_task", alerts.c.task_id)

#: The history of alerts, append-only.
alert_history = Table(
    "alert_history",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("alert_id", String(64), nullable=False),
    Column("number", Integer, nullable=False),
    Column("at", Float(53), nullable=False),
    Column("state", String(16), nullable=False),
    Column("severity", String(16), nullable=False),
    Column("actor", String(64), nullable=False),
    Column("message", Text, nullable=False),
    Column("value", Float(53)),
    Column("message_code", Document),
    sqlite_autoincrement=True,
)
Index("ix_alert_history_alert", alert_history.c.alert_id, alert_history.c.id)

#: Silences: which alerts send no notifications, and until when.
alert_silences = Table(
    "alert_silences",
    metadata,
    Column("serial", Serial, primary_key=True, autoincrement=True),
    Column("silence_id", String(64), nullable=False, unique=True),
    Column("matchers", Document, nullable=False),
    Column("starts_at", Float(53), nullable=False),
    Column("ends_at", Float(53), nullable=False),
    Column("author", String(64), nullable=False),
    Column("comment", Text, nullable=False),
    Column("created_at", Float(53), nullable=False),
    Column("owner", String(64)),  #: the user whose alerts it silences; null: those of all users
    Column("ended_at", Float(53)),  #: when it was ended by a request
    sqlite_autoincrement=True,
)

#: Channels. The address is a secret: `sealed` is encrypted with a key that is not in the database.
alert_channels = Table(
    "alert_channels",
    metadata,
    Column("serial", Serial, primary_key=True, autoincrement=True),
    Column("channel_id", String(64), nullable=False, unique=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("kind", String(16), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("shown", Text, nullable=False),
    Column("mark", String(64), nullable=False),
    Column("settings", Document, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("disabled_reason", Text),
    Column("created_at", Float(53), nullable=False),
    Column("created_by", String(64), nullable=False),
    Column("updated_at", Float(53), nullable=False),
    Column("failures", Integer, nullable=False),
    Column("refusals", Integer, nullable=False),
    Column("last_error", Text),
    Column("last_success_at", Float(53)),
    sqlite_autoincrement=True,
)

#: Notifications to send. The transaction of a change inserts the notifications about it.
alert_notifications = Table(
    "alert_notifications",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("alert_id", String(64), nullable=False),
    Column("number", Integer, nullable=False),
    Column("channel_id", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("severity", String(16), nullable=False),
    Column("group_key", String(200), nullable=False),
    Column("told", Document, nullable=False),  #: the alert at that time
    Column("created_at", Float(53), nullable=False),
    Column("not_before", Float(53), nullable=False),
    Column("delivery_id", String(64)),  #: the message that includes it; null while it waits
    sqlite_autoincrement=True,
)
Index(
    "ix_alert_notifications_once",
    alert_notifications.c.alert_id,
    alert_notifications.c.number,
    alert_notifications.c.channel_id,
    unique=True,
)
Index("ix_alert_notifications_waiting", alert_notifications.c.delivery_id, alert_notifications.c.not_before)

#: The outbox: messages to deliver.
alert_deliveries = Table(
    "alert_deliveries",
    metadata,
    Column("serial", Serial, primary_key=True, autoincrement=True),
    Column("delivery_id", String(64), nullable=False, unique=True),
    Column("channel_id", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("severity", String(16), nullable=False),
    Column("group_key", String(200), nullable=False),
    Column("notifications", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created_at", Float(53), nullable=False),
    Column("not_before", Float(53), nullable=False),
    Column("lease_token", String(64)),
    Column("lease_until", Float(53)),
    Column("first_attempt_at", Float(53)),
    Column("finished_at", Float(53)),
    Column("status", Integer),
    Column("result", Text),
    sqlite_autoincrement=True,
)
Index("ix_alert_deliveries_state", alert_deliveries.c.state, alert_deliveries.c.not_before)
Index("ix_alert_deliveries_channel", alert_deliveries.c.channel_id, alert_deliveries.c.created_at)

#: One row with a number that each request that changes rules, silences, channels or alerts increments.
alert_state = Table(
    "alert_state",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
)

#: The holds in force, on the queue or on a GPU.
holds = Table(
    "holds",
    metadata,
    Column("serial", Serial, primary_key=True, autoincrement=True),
    Column("hold_id", String(64), nullable=False, unique=True),
    Column("kind", String(16), nullable=False),
    Column("gpu_uuid", String(255)),
    Column("reason", Text, nullable=False),
    Column("made_by", String(80), nullable=False),
    Column("alert_id", String(64)),
    Column("created_at", Float(53), nullable=False),
    Column("expires_at", Float(53)),  #: of pauses and claims
    Column("memory_mb", Integer),  #: of claims
    sqlite_autoincrement=True,
)

#: Actions of alerts. The transaction of an alert's change inserts its actions; each is executed once.
alert_actions = Table(
    "alert_actions",
    metadata,
    Column("serial", Serial, primary_key=True, autoincrement=True),
    Column("action_id", String(64), nullable=False, unique=True),
    Column("alert_id", String(64), nullable=False),
    Column("number", Integer, nullable=False),  #: of the change that fired the alert
    Column("kind", String(32), nullable=False),
    Column("rule_id", String(64), nullable=False),
    Column("node", String(255)),  #: the machine that executes it; null: any
    Column("about", String(255)),  #: the task or the GPU
    Column("attempt", Integer),  #: the task's attempt; null: any
    Column("owner", String(64)),  #: the owner of the task
    Column("acts_for", String(64)),  #: the only user whose tasks the rule may affect; null: all users
    Column("set_by", String(64)),  #: the user who configured the action
    Column("state", String(16), nullable=False),
    Column("created_at", Float(53), nullable=False),
    Column("not_before", Float(53), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("lease_token", String(64)),
    Column("lease_until", Float(53)),
    Column("finished_at", Float(53)),
    Column("result", Text),
    sqlite_autoincrement=True,
)
Index("ix_alert_actions_once", alert_actions.c.alert_id, alert_actions.c.number, alert_actions.c.kind, unique=True)
Index("ix_alert_actions_state", alert_actions.c.state, alert_actions.c.not_before)
