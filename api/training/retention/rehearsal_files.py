"""Remove the files of finished rehearsals, and of finished exports by the trainer."""

import logging
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import and_, or_, select, text

from api.db.database import Database
from api.db.tables import tasks
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import TaskStatus
from api.errors import DatabaseUnavailable
from api.files.task_files import task_files
from api.jobs.kinds import EXPORTS
from api.util.files.foreign_files import is_gone
from api.util.files.foreign_trees import remove_tree
from api.util.periodic import PeriodicThread

logger = logging.getLogger(__name__)

#: Seconds between two removals of files, besides those after a rehearsal has ended.
_TIDY_SECONDS = 60.0

#: Written exactly as in the definition of the index on other kinds than training, so that the database uses the index.
_IS_FINISHED = and_(
    or_(tasks.c.kind == TaskType.REHEARSAL, and_(tasks.c.kind == TaskType.EXPORT, tasks.c.trainer != EXPORTS)),
    text("tasks.kind <> 'training'"),
    tasks.c.status.in_([status for status in TaskStatus if status.is_finished]),
)


class RehearsalFiles:
    """Removes the files of these tasks: after each has ended, and after a kill at the next start."""

    def __init__(
        self, database: Database, storage_root: Path, removed: Callable[[str], None] = lambda task_id: None
    ) -> None:
        """Create the remover, which calls `removed` with the id of each task whose files it has removed."""
        self._database = database
        self._on_removed = removed
        self._root = storage_root
        self._removed: set[str] = set()  #: ids of tasks that have no files any more
        self.thread = PeriodicThread("rehearsal-files", _TIDY_SECONDS, self.run_once)

    def remove_soon(self) -> None:
        """Remove the files of a task that has just ended."""
        self.thread.trigger()

    def run_once(self) -> None:
        """Remove the output, the items and the cache of each finished task. Its log stays."""
        try:
            with self._database.read() as connection:
                finished = set(connection.scalars(select(tasks.c.task_id).where(_IS_FINISHED)))
        except DatabaseUnavailable:
            return
        self._removed &= finished
        for task_id in finished - self._removed:
            files = task_files(self._root, task_id)
            own = [str(files.output), str(files.datasets)]
            for path in own:
                remove_tree(path, levels=1)
            if all(map(is_gone, own)):
                self._removed.add(task_id)
                self._on_removed(task_id)
            else:
                logger.warning("files of a finished task cannot be removed", extra={"task_id": task_id})
