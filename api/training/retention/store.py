"""What decides about the saved models of a training, in the database: its rule, its samples, and unfinished tasks."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Text, cast, func, select, update

from api.db.database import Database
from api.db.rows import to_seconds
from api.db.tables import attempts, tasks, training_samples
from api.db.tables import events as event_table
from api.domain.access.audit import note_change
from api.domain.reason import Reason
from api.domain.tasks.retention import RetentionRule
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import UNFINISHED, EventKind, TaskSummary
from api.training.records import event_store as events
from api.training.records.task_queries import OF_TASK, find_summary

_EXPORTED = tasks.c.plan["export"]["task_id"].as_string()  #: the training whose checkpoint the trainer exports


@dataclass(frozen=True, slots=True)
class RetentionFacts:
    """What the database knows about the saved models and checkpoints of a training."""

    task: TaskSummary
    rule: RetentionRule | None  #: of this training
    keep_last_checkpoints: int | None  #: of its request
    resumed_from: str | None  #: the checkpoint from which its last attempt resumed
    ratings: Mapping[str, int]  #: the best rating of each model's samples
    used_by: Mapping[str, str]  #: the unfinished task that needs a model or checkpoint, by name
    all_used_by: str | None  #: an unfinished task that names this training, and none of what it saved
    last_event: int  #: the id of its last event; 0: it has none


class RetentionStore:
    """Rules of trainings, and deletions by them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def facts(self, task_id: str) -> RetentionFacts:
        """Return the facts about a training on which retention decides. Raise TaskNotFound."""
        with self._database.read() as connection:
            return _read_facts(connection, find_summary(connection, task_id, (TaskType.TRAINING, TaskType.REHEARSAL)))

    def rules_of(self, task_id: str) -> tuple[RetentionRule | None, int | None]:
        """Return the rule of a training and `keep_last_checkpoints` of its request; None if there is none."""
        with self._database.read() as connection:
            return _read_rules(connection, task_id)

    def put(self, task_id: str, rule: RetentionRule, now: datetime, actor: str) -> None:
        """Store the rule of a training. Raise TaskNotFound."""
        with self._database.write() as connection:
            find_summary(connection, task_id, (TaskType.TRAINING,), lock=True)
            before, _ = _read_rules(connection, task_id)
            if before == rule:
                return
            note_change(before=None if before is None else asdict(before), after=asdict(rule))
            values = {"retention": asdict(rule), "updated_at": to_seconds(now)}
            connection.execute(update(tasks).where(OF_TASK), {"of_task": task_id, **values})
            message = Reason.of("the rule for saved models and checkpoints was changed", "retention_changed")
            events.append(connection, task_id, now, EventKind.CHANGE, actor, message)

    def delete(
        self, task_id: str, hide: Callable[[RetentionFacts], Iterable[tuple[str, Reason]]], now: datetime
    ) -> None:
        """Record the deletions that `hide` decides and makes. It returns each name with the message of its event.

        The training is locked meanwhile: no resume begins, and no model is chosen or given to another task.
        `hide` must not read the database. Raise TaskNotFound.
        """
        with self._database.write() as connection:
            kinds = (TaskType.TRAINING, TaskType.REHEARSAL)
            facts = _read_facts(connection, find_summary(connection, task_id, kinds, lock=True))
            for name, message in hide(facts):
                events.append(connection, task_id, now, EventKind.CHECKPOINT, "service", message, previous=name)

    def record_missing(
        self, task_id: str, last_event: int, hidden: Callable[[], Iterable[tuple[str, Reason]]], now: datetime
    ) -> None:
        """Record the deletions after an event that a killed server did not record. Raise TaskNotFound.

        `hidden` returns the name and message of each, and is called while the training is locked.
        """
        with self._database.write() as connection:
            find_summary(connection, task_id, (TaskType.TRAINING, TaskType.REHEARSAL), lock=True)
            own = event_table.c.task_id == task_id, event_table.c.id > last_event
            query = select(event_table.c.previous).where(*own, event_table.c.type == EventKind.CHECKPOINT)
            recorded = set(connection.scalars(query))
            for name, message in hidden():
                if name not in recorded:
                    events.append(connection, task_id, now, EventKind.CHECKPOINT, "service", message, previous=name)


def _read_rules(connection: Connection, task_id: str) -> tuple[RetentionRule | None, int | None]:
    limit = tasks.c.request["keep_last_checkpoints"].as_integer().label("keep_last_checkpoints")
    row = connection.execute(select(tasks.c.retention, limit).where(OF_TASK), {"of_task": task_id}).one_or_none()
    if row is None:
        return None, None
    return None if row.retention is None else RetentionRule(**row.retention), row.keep_last_checkpoints


def _read_facts(connection: Connection, task: TaskSummary) -> RetentionFacts:
    task_id = task.task_id
    rule, keep_last_checkpoints = _read_rules(connection, task_id)
    resumed = select(attempts.c.resumed_from).where(attempts.c.task_id == task_id)
    rated = select(training_samples.c.checkpoint, func.max(training_samples.c.rating).label("best"))
    rated = rated.where(training_samples.c.task_id == task_id, training_samples.c.rating.is_not(None))
    ratings = connection.execute(rated.group_by(training_samples.c.checkpoint))
    # A path in the request of another training, such as `init_from_existing`, has the id of this training.
    is_named = cast(tasks.c.request, Text).contains(task_id, autoescape=True) | (task_id == _EXPORTED)
    query = select(tasks.c.task_id, tasks.c.kind, tasks.c.request, tasks.c.plan["export"].label("export")).where(
        tasks.c.status.in_(UNFINISHED), tasks.c.task_id != task_id, is_named
    )
    used_by, all_used_by = _users(connection.execute(query).all(), task_id)
    return RetentionFacts(
        task=task,
        rule=rule,
        keep_last_checkpoints=keep_last_checkpoints,
        resumed_from=connection.scalar(resumed.order_by(attempts.c.number.desc()).limit(1)),
        ratings={row.checkpoint: row.best for row in ratings},
        used_by=used_by,
        all_used_by=all_used_by,
        last_event=connection.scalar(select(func.max(event_table.c.id)).where(event_table.c.task_id == task_id)) or 0,
    )


def _users(rows: Sequence[Any], task_id: str) -> tuple[dict[str, str], str | None]:
    """Return the users of models and checkpoints by name, and a task that may need all of them."""
    used_by: dict[str, str] = {}
    all_used_by = None
    for row in rows:
        # An export by the trainer has its order in its plan.
        order = row.export or row.request.get("config", {}).get("order")
        if row.kind in (TaskType.EXPORT, TaskType.SAMPLE) and isinstance(order, dict):
            if order.get("task_id") != task_id:
                continue
            needed = [order.get("checkpoint"), order.get("target"), *(order.get("checkpoints") or ())]
        else:
            needed = re.findall(rf"/{re.escape(task_id)}/output/[^/]{{1,255}}/(\w{{1,64}})", json.dumps(row.request))
            all_used_by = all_used_by if needed else row.task_id
        used_by.update({str(name): row.task_id for name in needed if name})
    return used_by, all_used_by
