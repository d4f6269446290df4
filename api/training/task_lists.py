"""Selection and order of tasks in a list."""

from collections.abc import Sequence

from api.domain.training import TaskFilter, TaskOrder, TaskStatus, TaskSummary
from api.training.quotas import Quotas
from api.training.store import TaskStore


class TaskLists:
    """Pages of tasks, newest first or in queue order."""

    def __init__(self, tasks: TaskStore, quotas: Quotas | None) -> None:
        """Create the lists. Without `quotas`, tasks have no owners, and only priority and age count."""
        self._tasks = tasks
        self._quotas = quotas

    def page(
        self, criteria: TaskFilter, limit: int, offset: int | None, cursor: int | None, order: TaskOrder
    ) -> tuple[list[TaskSummary], int]:
        """Return up to `limit` tasks after the serial number `cursor` or after `offset` rows, and the total number."""
        if order is TaskOrder.QUEUE and self._quotas is not None:
            return self._served_page(self._quotas, criteria, limit, offset or 0, cursor)
        return self._tasks.page(criteria, limit, offset, cursor, order)

    def _served_page(
        self, quotas: Quotas, criteria: TaskFilter, limit: int, offset: int, cursor: int | None
    ) -> tuple[list[TaskSummary], int]:
        queue = self._tasks.queued()
        last = None if cursor is None else self._tasks.find_by_serial(cursor)
        if last is not None and criteria.seen_by not in (None, last.owner):
            # The reader must not learn the position of another user's task.
            last = None
        if last is not None and last.status is not TaskStatus.QUEUED:
            # The task has left the queue: use the position that it would have.
            queue = sorted([*queue, last], key=lambda task: (-task.priority, task.queued_at, task.serial))
        serials = [task.serial for task in quotas.in_order(queue)]
        if last is None:
            return self._tasks.served_page(criteria, serials, limit, 0 if cursor is not None else offset)
        rows, _ = self._tasks.served_page(criteria, _behind(serials, last.serial), limit, 0)
        return rows, self._tasks.served_page(criteria, serials, 0, 0)[1]


def _behind(serials: Sequence[int], serial: int) -> Sequence[int]:
    return serials[serials.index(serial) + 1 :]
