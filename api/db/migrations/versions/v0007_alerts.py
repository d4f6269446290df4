"""Rules, alerts, channels, notifications and deliveries."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_JSON = sa.JSON(none_as_null=True)


def upgrade() -> None:
    """Create the tables."""
    _create_rules()
    _create_alerts()
    _create_channels()
    _create_outbox()


def _serial() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _create_rules() -> None:
    op.create_table(
        "alert_rules",
        sa.Column("rule_id", sa.String(64), primary_key=True),
        sa.Column("is_builtin", sa.Boolean, nullable=False),
        sa.Column("document", _JSON, nullable=False),
        sa.Column("updated_at", sa.Float(53), nullable=False),
        sa.Column("updated_by", sa.String(64), nullable=False),
    )
    op.create_table(
        "alert_silences",
        sa.Column("serial", _serial(), primary_key=True, autoincrement=True),
        sa.Column("silence_id", sa.String(64), nullable=False, unique=True),
        sa.Column("matchers", _JSON, nullable=False),
        sa.Column("starts_at", sa.Float(53), nullable=False),
        sa.Column("ends_at", sa.Float(53), nullable=False),
        sa.Column("author", sa.String(64), nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("created_at", sa.Float(53), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "alert_state",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("version", sa.BigInteger, nullable=False),
    )


def _create_alerts() -> None:
    op.create_table(
        "alerts",
        sa.Column("serial", _serial(), primary_key=True, autoincrement=True),
        sa.Column("alert_id", sa.String(64), nullable=False, unique=True),
        sa.Column("open_key", sa.String(64), unique=True),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("rule_id", sa.String(64), nullable=False),
        sa.Column("scope", sa.String(16), nullable=False),
        sa.Column("target", sa.String(255), nullable=False),
        sa.Column("node", sa.String(255)),
        sa.Column("task_id", sa.String(64)),
        sa.Column("labels", _JSON, nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("shown_state", sa.String(16), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("summary", sa.Text, nullable=False),
        sa.Column("remedy", sa.Text, nullable=False),
        sa.Column("link", sa.Text),
        sa.Column("since", sa.Float(53), nullable=False),
        sa.Column("updated_at", sa.Float(53), nullable=False),
        sa.Column("fired_at", sa.Float(53)),
        sa.Column("resolved_at", sa.Float(53)),
        sa.Column("resolution", sa.String(200)),
        sa.Column("value", sa.Float(53)),
        sa.Column("peak", sa.Float(53)),
        sa.Column("is_unknown", sa.Boolean, nullable=False),
        sa.Column("owner", sa.String(64)),
        sa.Column("is_personal", sa.Boolean, nullable=False),
        sa.Column("acknowledged_by", sa.String(64)),
        sa.Column("acknowledged_at", sa.Float(53)),
        sa.Column("acknowledged_until", sa.Float(53)),
        sa.Column("acknowledged_severity", sa.String(16)),
        sa.Column("muted_by", sa.String(64)),
        sa.Column("flips", _JSON, nullable=False),
        sa.Column("flapping_since", sa.Float(53)),
        sa.Column("told", _JSON, nullable=False),
        sa.Column("told_at", sa.Float(53)),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_alerts_state", "alerts", ["shown_state", "serial"])
    op.create_index("ix_alerts_resolved", "alerts", ["resolved_at"])
    op.create_index("ix_alerts_task", "alerts", ["task_id"])
    op.create_table(
        "alert_history",
        sa.Column("id", _serial(), primary_key=True, autoincrement=True),
        sa.Column("alert_id", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("at", sa.Float(53), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("actor", sa.String(64), nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("value", sa.Float(53)),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_alert_history_alert", "alert_history", ["alert_id", "id"])


def _create_channels() -> None:
    op.create_table(
        "alert_channels",
        sa.Column("serial", _serial(), primary_key=True, autoincrement=True),
        sa.Column("channel_id", sa.String(64), nullable=False, unique=True),
        sa.Column("name", sa.String(64), nullable=False, unique=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("shown", sa.Text, nullable=False),
        sa.Column("mark", sa.String(64), nullable=False),
        sa.Column("settings", _JSON, nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("disabled_reason", sa.Text),
        sa.Column("created_at", sa.Float(53), nullable=False),
        sa.Column("created_by", sa.String(64), nullable=False),
        sa.Column("updated_at", sa.Float(53), nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("refusals", sa.Integer, nullable=False),
        sa.Column("last_error", sa.Text),
        sa.Column("last_success_at", sa.Float(53)),
        sqlite_autoincrement=True,
    )


def _create_outbox() -> None:
    op.create_table(
        "alert_notifications",
        sa.Column("id", _serial(), primary_key=True, autoincrement=True),
        sa.Column("alert_id", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("channel_id", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("group_key", sa.String(200), nullable=False),
        sa.Column("told", _JSON, nullable=False),
        sa.Column("created_at", sa.Float(53), nullable=False),
        sa.Column("not_before", sa.Float(53), nullable=False),
        sa.Column("delivery_id", sa.String(64)),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_alert_notifications_once", "alert_notifications", ["alert_id", "number", "channel_id"], unique=True
    )
    op.create_index("ix_alert_notifications_waiting", "alert_notifications", ["delivery_id", "not_before"])
    op.create_table(
        "alert_deliveries",
        sa.Column("serial", _serial(), primary_key=True, autoincrement=True),
        sa.Column("delivery_id", sa.String(64), nullable=False, unique=True),
        sa.Column("channel_id", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("group_key", sa.String(200), nullable=False),
        sa.Column("notifications", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("created_at", sa.Float(53), nullable=False),
        sa.Column("not_before", sa.Float(53), nullable=False),
        sa.Column("lease_token", sa.String(64)),
        sa.Column("lease_until", sa.Float(53)),
        sa.Column("first_attempt_at", sa.Float(53)),
        sa.Column("finished_at", sa.Float(53)),
        sa.Column("status", sa.Integer),
        sa.Column("result", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_alert_deliveries_state", "alert_deliveries", ["state", "not_before"])
    op.create_index("ix_alert_deliveries_channel", "alert_deliveries", ["channel_id", "created_at"])
