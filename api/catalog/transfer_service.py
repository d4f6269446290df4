"""The use cases that downloads and pushes share: show, pause, resume and cancel."""

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from api.catalog.transfers import Transfers
from api.domain.progress import NO_PROGRESS, ProgressReport
from api.domain.training import TaskSummary
from api.util.pagination import Page, PageRequest

View = TypeVar("View")


class TransferService(ABC, Generic[View]):
    """The shared use cases of downloads or pushes. Complete files stay, whatever is requested."""

    def __init__(self, transfers: Transfers) -> None:
        self._transfers = transfers

    @abstractmethod
    def _show(self, task: TaskSummary, report: ProgressReport) -> View:
        """Return the view of a task."""

    def pause(self, task_id: str, actor: str) -> View:
        """Ask a transfer to stop. Raises TaskNotFound, TaskNotStoppable."""
        self._transfers.pause(task_id, actor)
        return self.get(task_id)

    def cancel(self, task_id: str, actor: str) -> View:
        """Cancel a transfer, also a paused or failed one, so that it cannot be resumed.

        Raises TaskNotFound, TaskNotStoppable.
        """
        self._transfers.cancel(task_id, actor)
        return self.get(task_id)

    def resume(self, task_id: str, actor: str) -> View:
        """Resume a paused or failed transfer. Raises TaskNotFound, TaskActive, Conflict."""
        self._transfers.resume(task_id, actor)
        return self.get(task_id)

    def get(self, task_id: str) -> View:
        """Return a transfer. Raises TaskNotFound."""
        return self._show(*self._transfers.get(task_id))

    def get_page(self, page: PageRequest) -> Page[View]:
        """Return a page of the transfers that the user may see, newest first."""
        return self._transfers.get_page(page).map(lambda task: self._show(task, task.progress or NO_PROGRESS))
