"""List the caches of a dataset, and remove those of deleted datasets."""

import logging
from datetime import datetime
from pathlib import Path

from api.datasets.caches.service import CacheVerdict, DatasetCaches
from api.datasets.service import DatasetService
from api.datasets.versions.references import DatasetReferences
from api.domain.access.read_scope import current_scope
from api.domain.datasets.dataset_cache import BuiltCache, CacheState, DatasetCacheView
from api.domain.reason import Reason, ReasonOrText, code_of, text_of
from api.domain.tasks.training import TaskStatus, TrainingTask
from api.errors import Conflict, NotFound, ServiceError
from api.files.task_files import task_files
from api.training.records.dataset_cache_store import DatasetCacheStore
from api.training.records.task_store import TaskStore
from api.util.clock import Clock
from api.util.files.foreign_trees import remove_tree

logger = logging.getLogger(__name__)


class DatasetCacheList:
    """The list of caches; their state is checked on each call."""

    def __init__(
        self,
        store: DatasetCacheStore,
        tasks: TaskStore,
        caches: DatasetCaches,
        references: DatasetReferences,
        datasets: DatasetService,
        storage_root: Path,
        clock: Clock,
    ) -> None:
        self._store = store
        self._tasks = tasks
        self._caches = caches
        self._references = references
        self._datasets = datasets
        self._root = storage_root
        self._clock = clock

    def of_dataset(self, name: str) -> list[DatasetCacheView]:
        """Return the caches of a dataset that the caller may see, newest first. Raises DatasetNotFound."""
        dataset = self._datasets.find(name)
        seen = [task for task in self._store.of_dataset(dataset.serial) if current_scope.get().sees(task.owner)]
        users = self._store.users([task.task_id for task in seen])
        shown = (self._show(task, dataset.serial, tuple(users.get(task.task_id, ()))) for task in seen)
        return [each for each in shown if each is not None]

    def _show(self, task: TrainingTask, serial: int, used_by: tuple[str, ...]) -> DatasetCacheView | None:
        pin = next((pin for pin in task.plan.datasets if pin.serial == serial), None)
        if pin is None or task.plan.cache is None or task.plan.cache.key is None:
            return None
        verdict, built = self._judge(task), BuiltCache.from_json(task.result)
        return DatasetCacheView(
            key=task.plan.cache.key,
            task_id=task.task_id,
            state=verdict.state,
            reason=None if verdict.reason is None else text_of(verdict.reason),
            reason_code=code_of(verdict.reason),
            dataset=pin.dataset,
            version=pin.version,
            manifest=pin.manifest,
            model_type=task.model_type,
            trainer=task.trainer,
            owner=task.owner,
            settings={} if built is None else built.settings,
            size_bytes=None if built is None else built.size_bytes,
            files=None if built is None else built.files,
            created_at=task.created_at,
            built_at=None if built is None else datetime.fromisoformat(built.built_at),
            used_by=used_by,
        )

    def _judge(self, task: TrainingTask) -> CacheVerdict:
        if not task.status.is_finished:
            return CacheVerdict(CacheState.BUILDING)
        if task.status is not TaskStatus.COMPLETED:
            return CacheVerdict(CacheState.FAILED, _why_lost(task))
        verdict = self._caches.judge_files(task)
        if verdict.state is not CacheState.COMPLETE:
            return verdict
        try:
            self._caches.require_same(task, self._references.with_views(task))
        except (ServiceError, ValueError, OSError) as error:
            return CacheVerdict(CacheState.CHANGED, str(error))
        return verdict

    def collect(self) -> int:
        """Remove the caches of deleted datasets and return their number. Raises DatabaseUnavailable."""
        removed = 0
        for task_id in self._store.abandoned():
            root = task_files(self._root, task_id).root
            if not root.is_dir():
                # The cache is on another machine, whose server removes it.
                continue
            try:
                self._tasks.delete(task_id, self._clock.steady.now())
            except (Conflict, NotFound):
                continue
            remove_tree(str(root), levels=0)
            removed += 1
        if removed:
            logger.info("caches of deleted datasets removed", extra={"caches": removed})
        return removed


def _why_lost(task: TrainingTask) -> ReasonOrText:
    if task.cause is not None:
        return task.cause.message
    return Reason.of("its task was stopped", "cache_stopped")
