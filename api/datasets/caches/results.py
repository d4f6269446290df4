"""Record a cache that a task has built: accepted once its files are complete, synced and sealed."""

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from api.datasets.caches.seal import Tampered, seal
from api.datasets.caches.service import DatasetCaches
from api.datasets.versions.references import DatasetReferences
from api.domain.datasets.dataset_cache import BuiltCache
from api.domain.tasks.cause import Cause, CauseCode
from api.domain.tasks.training import TrainingTask
from api.files.task_files import task_files
from api.trainers.trainer import SupportsCaching, Trainer
from api.training.attempts.task_results import TaskResult
from api.util.clock import Clock


class CacheResultRecorder:
    """Records the caches of tasks. A repeated call gives the same result, because it only syncs and reads files."""

    def __init__(
        self,
        caches: DatasetCaches,
        references: DatasetReferences,
        trainers: Mapping[str, Trainer],
        storage_root: Path,
        clock: Clock,
    ) -> None:
        self._caches = caches
        self._references = references
        self._trainers = trainers
        self._root = storage_root
        self._clock = clock

    def record(self, task: TrainingTask, output_dir: Path) -> TaskResult:
        """Return the built cache, or the reason why it cannot be used.

        Raises OSError, DatabaseUnavailable, ServiceError.
        """
        trainer, homes = self._trainers[task.trainer], self._references.homes(task)
        gap = trainer.find_cache_gap(homes) if isinstance(trainer, SupportsCaching) else "it caches nothing"
        if gap is not None:
            return TaskResult(cause=_incomplete(gap))
        try:
            facts = self._caches.require_same(task, self._references.with_views(task))
            os.sync()
            found = seal(task_files(self._root, task.task_id).datasets)
        except (Tampered, ValueError) as error:
            return TaskResult(cause=_incomplete(str(error)))
        if found is None or task.plan.cache is None or task.plan.cache.key is None:
            return TaskResult(cause=_incomplete("its files are missing"))
        built_at = self._clock.now().isoformat()
        key, figures = task.plan.cache.key, (found.digest, found.files, found.size_bytes)
        return TaskResult(result=asdict(BuiltCache(key, *figures, built_at, facts.settings)))


def _incomplete(why: str) -> Cause:
    return Cause.of(
        CauseCode.CACHE_INCOMPLETE,
        "cache_incomplete",
        "The trainer ended with exit code 0, but its cache cannot be used: {why}.",
        "Check its log for errors, then build the cache again.",
        why=why,
    )
