"""Simplify custom rules to one bound, remove two actions, and remove escalating deliveries."""

import logging
import time
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"

logger = logging.getLogger("api.db.migrations")

_METRICS = {"certificate_days_left", "log_growth", "log_has_lost", "loss_flat_percent"}
_ACTIONS = {"hold_queue", "save_checkpoint"}
_RULES = sa.table(
    "alert_rules",
    sa.column("rule_id", sa.String),
    sa.column("is_builtin", sa.Boolean),
    sa.column("document", sa.JSON(none_as_null=True)),
    sa.column("updated_at", sa.Float),
    sa.column("updated_by", sa.String),
)


def upgrade() -> None:
    """Disable custom rules that no longer fit, remove dropped actions, and turn escalations into repeats."""
    connection = op.get_bind()
    switched_off: list[str] = []
    without_action: list[str] = []
    for row in connection.execute(sa.select(_RULES).order_by(_RULES.c.rule_id)).all():
        before = row.document
        after = dict(before)
        if "actions" in before:
            after["actions"] = [each for each in before["actions"] if each not in _ACTIONS]
        if not row.is_builtin and (after != before or not _fits(before)):
            after["enabled"] = False
        if after == before:
            continue
        values = {"document": after, "updated_at": time.time(), "updated_by": "upgrade"}
        connection.execute(sa.update(_RULES).where(_RULES.c.rule_id == row.rule_id).values(values))
        (without_action if row.is_builtin else switched_off).append(row.rule_id)
    if switched_off or without_action:
        logger.warning(
            "alert rules of an older version no longer fit: custom ones were disabled, built-in ones lost an action",
            extra={"switched_off": ", ".join(switched_off), "without_action": ", ".join(without_action)},
        )
    for name in ("alert_notifications", "alert_deliveries"):
        table = sa.table(name, sa.column("kind", sa.String))
        connection.execute(sa.update(table).where(table.c.kind == "escalation").values(kind="repeat"))


def _fits(rule: dict[str, Any]) -> bool:
    if len(rule["when"]) != 1 or rule.get("critical_when"):
        return False
    (clause,) = rule["when"]
    return clause.get("of") is None and clause["compare"] not in ("==", "!=") and clause["metric"] not in _METRICS
