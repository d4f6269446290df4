"""Pages of task events."""

from api.domain.training import TaskEvent
from api.training.store import TaskStore
from api.util.pagination import MAX_LIMIT, Page, PageRequest, Pagination


def event_page(tasks: TaskStore, task_id: str, page: PageRequest) -> Page[TaskEvent]:
    """Return a page of a task's events, oldest first. Raise TaskNotFound."""
    tasks.get_summary(task_id)
    limit, after = min(page.limit, MAX_LIMIT), int(page.cursor or 0)
    skipped = 0 if page.cursor is not None else page.offset or 0
    found = tasks.events(task_id, after, limit + 1 + skipped)[skipped:]
    rows, has_more = tuple(found[:limit]), len(found) > limit
    total, offset = tasks.count_events(task_id), None if page.cursor is not None else skipped
    return Page(rows, Pagination(total, limit, offset, has_more, str(rows[-1].id) if has_more else None))
