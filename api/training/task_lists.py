"""Which tasks a page of a list shows, and in which order."""

from collections.abc import Sequence

from api.domain.training import TaskFilter, TaskOrder, TaskStatus, TaskSummary
from api.training.quotas import Quotas
from api.training.store import TaskStore


class TaskLists:
    """Pages of tasks: newest first, or those that wait in the order in which they are served."""

    def __init__(self, tasks: TaskStore, quotas: Quotas | None) -> None:
        """`quotas` None: tasks belong to nobody, and are served by priority and age alone."""
        self._tasks = tasks
        self._quotas = quotas

    def page(
        self, wanted: TaskFilter, limit: int, offset: int | None, cursor: int | None, order: TaskOrder
    ) -> tuple[list[TaskSummary], int]:
        """Up to `limit` tasks, after the one with the serial number `cursor` or after `offset` rows; and how many
        there are in all.
        """
        if order is TaskOrder.QUEUE and self._quotas is not None:
            return self._served_page(self._quotas, wanted, limit, offset or 0, cursor)
        return self._tasks.page(wanted, limit, offset, cursor, order)

    def _served_page(
        self, quotas: Quotas, wanted: TaskFilter, limit: int, offset: int, cursor: int | None
    ) -> tuple[list[TaskSummary], int]:
        queue = self._tasks.queued()
        last = None if cursor is None else self._tasks.find_by_serial(cursor)
        if last is not None and wanted.seen_by not in (None, last.owner):
            # As if there were none: its place is not theirs to know.
            last = None
        if last is not None and last.status is not TaskStatus.QUEUED:
            # It has left the queue meanwhile: its place is the one that it would have.
            queue = sorted([*queue, last], key=lambda task: (-task.priority, task.queued_at, task.serial))
        serials = [task.serial for task in quotas.in_order(queue)]
        if last is None:
            return self._tasks.served_page(wanted, serials, limit, 0 if cursor is not None else offset)
        rows, _ = self._tasks.served_page(wanted, _behind(serials, last.serial), limit, 0)
        return rows, self._tasks.served_page(wanted, serials, 0, 0)[1]


def _behind(serials: Sequence[int], serial: int) -> Sequence[int]:
    return serials[serials.index(serial) + 1 :]
