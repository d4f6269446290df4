"""What downloads and pushes have in common for those who ask: they are shown, paused, resumed and cancelled alike."""

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from api.catalog.transfers import Transfers
from api.domain.progress import NOTHING_YET, ProgressReport
from api.domain.training import TaskSummary
from api.util.pagination import Page, PageRequest

View = TypeVar("View")


class TransferService(ABC, Generic[View]):
    """The use cases of tasks of one kind that are begun otherwise; what is there of them stays, whatever is asked."""

    def __init__(self, transfers: Transfers) -> None:
        self._transfers = transfers

    @abstractmethod
    def _show(self, task: TaskSummary, report: ProgressReport) -> View:
        """A task as it is answered."""

    def pause(self, task_id: str, actor: str) -> View:
        """Asks one to stop. Raises TaskNotFound, TaskNotStoppable."""
        self._transfers.pause(task_id, actor)
        return self.get(task_id)

    def cancel(self, task_id: str, actor: str) -> View:
        """Gives one up, also one that was paused or failed; it cannot be resumed.

        Raises TaskNotFound, TaskNotStoppable.
        """
        self._transfers.cancel(task_id, actor)
        return self.get(task_id)

    def resume(self, task_id: str, actor: str) -> View:
        """Lets one that was paused, or failed, go on. Raises TaskNotFound, TaskActive, Conflict."""
        self._transfers.resume(task_id, actor)
        return self.get(task_id)

    def get(self, task_id: str) -> View:
        """One of them. Raises TaskNotFound."""
        return self._show(*self._transfers.get(task_id))

    def get_page(self, page: PageRequest) -> Page[View]:
        """A page of those that whoever asks may see, newest first."""
        return self._transfers.get_page(page).map(lambda task: self._show(task, task.progress or NOTHING_YET))
