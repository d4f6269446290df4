"""Takes up what a task has cached ahead: it counts once its files are whole, sealed, and on the disk."""

import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from api.datasets.cache_seal import Tampered, seal
from api.datasets.caches import DatasetCaches
from api.datasets.references import DatasetReferences
from api.domain.cause import Cause, CauseCode
from api.domain.dataset_cache import BuiltCache
from api.domain.training import TrainingTask
from api.files.task_files import task_files
from api.trainers.trainer import CachesAhead, Trainer
from api.training.attempts.harvest import Harvest
from api.util.clock import Clock


class CacheHarvest:
    """Takes up what a task has cached. Asked again it gives the same: it only has files synced."""

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

    def take_up(self, task: TrainingTask, output_dir: Path) -> Harvest:
        """What was cached, or why it is not to be trusted. Raises OSError, DatabaseUnavailable, ServiceError."""
        trainer, homes = self._trainers[task.trainer], self._references.homes(task)
        gap = trainer.find_cache_gap(homes) if isinstance(trainer, CachesAhead) else "it caches nothing"
        if gap is not None:
            return Harvest(cause=_incomplete(gap))
        try:
            facts = self._caches.require_same(task, self._references.give_views(task))
            os.sync()
            found = seal(task_files(self._root, task.task_id).datasets)
        except (Tampered, ValueError) as error:
            return Harvest(cause=_incomplete(str(error)))
        if found is None or task.plan.cache is None or task.plan.cache.key is None:
            return Harvest(cause=_incomplete("its files are gone"))
        built_at = self._clock.now().isoformat()
        key, figures = task.plan.cache.key, (found.digest, found.files, found.size_bytes)
        return Harvest(result=asdict(BuiltCache(key, *figures, built_at, facts.settings)))


def _incomplete(why: str) -> Cause:
    return Cause.of(
        CauseCode.CACHE_INCOMPLETE,
        "cache_incomplete",
        "The trainer ended with exit code 0, but its cache cannot be used: {why}.",
        "Look into its log for what it left out; then start the caching again.",
        why=why,
    )
