"""What trackers have received of each training, in the database."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import and_, exists, not_, or_, select, update

from api.db.database import Database
from api.db.insertion import insert_missing
from api.db.rows import to_seconds
from api.db.tables import tasks, tracker_runs, training_samples
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import FINISHED, TaskStatus

#: A training that ended longer ago, and of which nothing was sent, is left out: it ended before TRACKERS was set.
_RECENT = timedelta(hours=1)

#: Most trainings of a round.
_MOST = 200


#: The status of a run that was deleted in the tracker.
DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Sent:
    """What a tracker has received of a training."""

    steps: Mapping[str, int] = field(default_factory=dict)  #: the last step of each series, by tag
    sample: int = 0  #: serial number of the last sample
    rows: int = 0  #: number of rows that the tracker should have, if it counts them
    status: str | None = None  #: how the training ended, or DELETED; None: the run is open
    attempts: int = 0  #: the number of its attempts then


class TrackerStore:
    """The table of trackers' cursors."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def pending(self, tracker: str, now: datetime, *, with_deleted: bool = False) -> list[str]:
        """Return the trainings of which the tracker may lack something, oldest first.

        One whose run was deleted counts again in its next attempt, or while it is not finished if `with_deleted`.
        """
        row = and_(tracker_runs.c.task_id == tasks.c.task_id, tracker_runs.c.tracker == tracker)
        new_sample = exists().where(
            training_samples.c.task_id == tasks.c.task_id, training_samples.c.serial > tracker_runs.c.sample
        )
        has_more = or_(
            tracker_runs.c.status.is_(None),
            tracker_runs.c.status != tasks.c.status,
            tracker_runs.c.attempts != tasks.c.attempts,
            new_sample,
        )
        is_new = and_(tracker_runs.c.task_id.is_(None), tasks.c.finished_at > to_seconds(now - _RECENT))
        ended = and_(tasks.c.status.in_(FINISHED), or_(and_(tracker_runs.c.task_id.is_not(None), has_more), is_new))
        is_refused = and_(tracker_runs.c.status == DELETED, tracker_runs.c.attempts == tasks.c.attempts)
        if with_deleted:
            is_refused = and_(is_refused, tasks.c.status.in_(FINISHED))
        query = (
            select(tasks.c.task_id)
            .outerjoin(tracker_runs, row)
            .where(
                tasks.c.kind == TaskType.TRAINING,
                tasks.c.started_at.is_not(None),
                or_(tracker_runs.c.status.is_(None), not_(is_refused)),
                or_(tasks.c.status.not_in((TaskStatus.QUEUED, *FINISHED)), ended),
            )
        )
        with self._database.read() as connection:
            return list(connection.scalars(query.order_by(tasks.c.serial).limit(_MOST)))

    def get(self, tracker: str, task_id: str) -> Sent:
        """Return how far a training has been sent to the tracker."""
        mine = (tracker_runs.c.task_id == task_id, tracker_runs.c.tracker == tracker)
        with self._database.read() as connection:
            row = connection.execute(select(tracker_runs).where(*mine)).one_or_none()
        return Sent() if row is None else Sent(row.steps, row.sample, row.rows, row.status, row.attempts)

    def begin(self, tracker: str, task_ids: Collection[str]) -> None:
        """Note these trainings, so that they stay pending however long the tracker is unreachable."""
        known = select(tracker_runs.c.task_id).where(tracker_runs.c.tracker == tracker)
        with self._database.read() as connection:
            new = set(task_ids) - set(connection.scalars(known.where(tracker_runs.c.task_id.in_(task_ids))))
        for task_id in sorted(new):
            self.put(tracker, task_id, Sent())

    def put(self, tracker: str, task_id: str, sent: Sent) -> None:
        """Store what the tracker has received. Nothing is stored for a training that was deleted meanwhile."""
        values = {**asdict(sent), "steps": dict(sent.steps)}
        key = {"task_id": task_id, "tracker": tracker}
        with self._database.write(is_audited=False) as connection:
            if connection.scalar(select(tasks.c.serial).where(tasks.c.task_id == task_id)) is not None:
                insert_missing(connection, tracker_runs, [{**key, **values}])
                mine = (tracker_runs.c.task_id == task_id, tracker_runs.c.tracker == tracker)
                connection.execute(update(tracker_runs).where(*mine).values(values))
