"""Caches made ahead: named by all that they depend on, used only while nothing of that has changed.

A cache is what a task of the kind `cache` has made: it lies in that task's own directory of datasets, whose paths the
trainer's fingerprint covers, so a training that uses it trains on that directory and only reads it. It is its owner's
alone, since a trainer believes what it finds there.
"""

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from api.datasets.cache_seal import Tampered, seal
from api.domain.dataset_cache import BuiltCache, CacheState, PlannedCache
from api.domain.reason import Reason, Words
from api.domain.training import TaskStatus, TrainingRequest, TrainingTask
from api.errors import CacheBuilding, CacheExists, Mistake, ServiceError
from api.files.task_files import task_files
from api.trainers.trainer import CacheFacts, CachesAhead, Trainer
from api.training.cache_use import CacheChoice, CacheQuestion
from api.training.dataset_caches import DatasetCacheStore

logger = logging.getLogger(__name__)

#: What is said where a cache cannot be made ahead, and what to do.
_REMEDY = "Start the training as it is: it caches by itself."

#: Names the form of keys: another one makes other keys.
_FORM = 1


@dataclass(frozen=True, slots=True)
class CacheVerdict:
    """Whether a cache can be used, and why not."""

    state: CacheState
    reason: Words | None = None


class DatasetCaches:
    """Finds and judges caches; implements what trainings ask of them before they are started."""

    def __init__(
        self,
        store: DatasetCacheStore,
        trainers: Mapping[str, Trainer],
        storage_root: Path,
        *,
        are_apart: bool = False,
    ) -> None:
        """`are_apart`: trainings run as another user, which cannot go from one task's directory to another's."""
        self._store = store
        self._trainers = trainers
        self._root = storage_root
        self._are_apart = are_apart

    # -- before a task -------------------------------------------------------------------------------------------------

    def choose(self, question: CacheQuestion) -> CacheChoice:
        """Which cache a request makes, uses or waits for."""
        wanted, used = question.request.cache_only, question.used
        if not used.pins:
            if not wanted or used.mistakes:
                return CacheChoice()
            what = "Only versions of datasets are cached ahead, and this request names none."
            return CacheChoice(mistakes=(Mistake("/dataset", what, 'Name a dataset, as "dataset": "name".'),))
        facts, key = self.key_of(question.trainer, used.given, question.owner, used.beside)
        if key is None:
            planned = PlannedCache(CacheState.NONE, None, reason=facts.problem)
            what = f"This cannot be cached ahead: {facts.problem}."
            return CacheChoice(planned, mistakes=(Mistake("/dataset", what, _REMEDY),) if wanted else ())
        if question.task_id in question.known_by and not wanted:
            return self._go_on(question, key)
        maker, state = self._find(key)
        if wanted:
            return self._make(question, facts, key, maker, state)
        if maker is None or question.request.regenerate_cache:
            return CacheChoice(PlannedCache(CacheState.NONE, key))
        return self._use(question, PlannedCache(state, key, maker.task_id))

    def _use(self, question: CacheQuestion, planned: PlannedCache) -> CacheChoice:
        own, there = (str(task_files(self._root, each or "").datasets) for each in (question.task_id, planned.task_id))
        if planned.state is CacheState.COMPLETE:
            # It is only read, by however many at a time.
            return CacheChoice(planned, place=(own, there), lease=())
        # Whoever makes it holds the lease until it is whole.
        return CacheChoice(planned, lease=(there,))

    def _go_on(self, question: CacheQuestion, key: str) -> CacheChoice:
        """A task that goes on stays where its order of items is from: another directory has another."""
        if task_files(self._root, question.task_id).datasets.is_dir():
            return CacheChoice(PlannedCache(CacheState.NONE, key))
        maker, state = self._find(key)
        if maker is None or state is not CacheState.COMPLETE:
            return CacheChoice(PlannedCache(CacheState.NONE, key))
        return self._use(question, PlannedCache(state, key, maker.task_id))

    def _make(
        self, question: CacheQuestion, facts: CacheFacts, key: str, maker: TrainingTask | None, state: CacheState
    ) -> CacheChoice:
        planned = PlannedCache(
            CacheState.BUILDING, key, question.task_id, is_made=True, counts_items=facts.counts_items
        )
        problems: tuple[ServiceError, ...] = ()
        if maker is not None and state is CacheState.BUILDING:
            problems = (CacheBuilding(data={"task_id": maker.task_id}),)
        elif maker is not None and not question.request.regenerate_cache:
            problems = (CacheExists(data={"task_id": maker.task_id}),)
        return CacheChoice(planned, lease=(str(task_files(self._root, question.task_id).datasets),), problems=problems)

    def _find(self, key: str) -> tuple[TrainingTask | None, CacheState]:
        """The task that has made a cache which can be used, else one that makes it."""
        tasks = self._store.with_key(key)
        for task in tasks:
            if task.status is TaskStatus.COMPLETED and self.judge_files(task).state is CacheState.COMPLETE:
                return task, CacheState.COMPLETE
        building = next((task for task in tasks if not task.status.is_finished), None)
        return building, CacheState.NONE if building is None else CacheState.BUILDING

    # -- what it depends on --------------------------------------------------------------------------------------------

    def key_of(
        self, trainer: Trainer, given: TrainingRequest, owner: str | None, beside: str | None = None
    ) -> tuple[CacheFacts, str | None]:
        """What the cache of a request depends on, whose directories are views of versions, and its name; None where
        there is none.
        """
        facts = trainer.cache_facts(given) if isinstance(trainer, CachesAhead) else CacheFacts(problem="")
        problem = self._problem(trainer, beside) or facts.problem
        if problem is not None:
            return CacheFacts(problem=problem), None
        named: list[Any] = [_FORM, trainer.name, given.model_type, owner, facts.values]
        text = orjson.dumps(named, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS, default=str)
        return facts, hashlib.sha256(text).hexdigest()

    def _problem(self, trainer: Trainer, beside: str | None) -> str | None:
        if not isinstance(trainer, CachesAhead):
            return f"the trainer {trainer.name} caches nothing"
        if self._are_apart:
            return "TRAINER_USER is set, and keeps the trainings of one task from the files of another"
        return beside

    def judge_files(self, task: TrainingTask) -> CacheVerdict:
        """Whether the files that a task has made are still the same."""
        built = BuiltCache.from_json(task.result)
        if built is None:
            return CacheVerdict(CacheState.FAILED, Reason.of("its files were not taken up", "cache_not_taken"))
        try:
            found = seal(task_files(self._root, task.task_id).datasets)
        except (Tampered, OSError) as error:
            said = Reason.of("among its files is what was not made: {what}", "cache_strange", what=str(error))
            return CacheVerdict(CacheState.CHANGED, said)
        if found is None:
            return CacheVerdict(CacheState.MISSING, Reason.of("its files are not on this machine", "cache_not_here"))
        if found.digest != built.digest:
            return CacheVerdict(
                CacheState.CHANGED, Reason.of("its files have changed since it was made", "cache_touched")
            )
        return CacheVerdict(CacheState.COMPLETE)

    # -- when an attempt begins ----------------------------------------------------------------------------------------

    def find_place(
        self, task: TrainingTask, give: Callable[[], TrainingRequest], *, is_new: bool
    ) -> tuple[str | None, Words | None]:
        """The task whose cache an attempt uses, None for none; and why not, where one was planned.

        `give` makes the request with views of versions as directories. Raises ServiceError, OSError.
        """
        planned = task.plan.cache
        if planned is None or planned.is_made or planned.task_id is None:
            return None, None
        has_own = task_files(self._root, task.task_id).datasets.is_dir()
        if has_own or not is_new:
            return (None, None) if has_own else (planned.task_id, None)
        _, key = self.key_of(self._trainers[task.trainer], give(), task.owner)
        if key is None or key != planned.key:
            return None, Reason.of("the model or the trainer has changed since", "cache_outdated")
        maker = next((each for each in self._store.with_key(key) if each.task_id == planned.task_id), None)
        if maker is None or maker.status is not TaskStatus.COMPLETED:
            return None, Reason.of("it was not made", "cache_not_made")
        verdict = self.judge_files(maker)
        return (planned.task_id, None) if verdict.state is CacheState.COMPLETE else (None, verdict.reason)

    def require_same(self, task: TrainingTask, given: TrainingRequest) -> CacheFacts:
        """What the cache that a task makes depends on. Raises ValueError when that has changed since it was planned."""
        facts, key = self.key_of(self._trainers[task.trainer], given, task.owner)
        if task.plan.cache is None or key != task.plan.cache.key:
            raise ValueError("What the cache depends on has changed since: the model's files, or the trainer's")
        return facts
