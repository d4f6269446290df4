"""Caches that are built in advance: identified by everything they depend on, used only while nothing of that changed.

A task of the kind `cache` builds a cache in its own directory of datasets. The trainer's fingerprint includes the
paths there, so a training that uses the cache trains on that directory and only reads it. Only its owner can use a
cache, because a trainer trusts its content.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from api.datasets.caches.seal import Tampered, seal
from api.domain.datasets.dataset_cache import BuiltCache, CacheState, PlannedCache
from api.domain.finding import make_finding
from api.domain.reason import Reason, ReasonOrText, code_of, text_of
from api.domain.tasks.training import TaskStatus, TrainingRequest, TrainingTask
from api.errors import CacheBuilding, CacheExists, FindingText, ServiceError
from api.files.task_files import task_files
from api.trainers.trainer import CacheFacts, SupportsCaching, Trainer
from api.training.dataset_use import CacheChoice, CacheQuestion
from api.training.records.dataset_cache_store import DatasetCacheStore

#: Version of the key format; another value gives other keys.
_FORM = 1


@dataclass(frozen=True, slots=True)
class CacheVerdict:
    """Whether a cache can be used, and why not."""

    state: CacheState
    reason: ReasonOrText | None = None


class DatasetCaches:
    """Finds and checks caches; implements the interface that trainings use before they start."""

    def __init__(
        self,
        store: DatasetCacheStore,
        trainers: Mapping[str, Trainer],
        storage_root: Path,
        *,
        are_apart: bool = False,
    ) -> None:
        """Create the service.

        `are_apart`: trainings run as another user who cannot read the directory of another task.
        """
        self._store = store
        self._trainers = trainers
        self._root = storage_root
        self._are_apart = are_apart

    # -- before a task -------------------------------------------------------------------------------------------------

    def choose(self, question: CacheQuestion) -> CacheChoice:
        """Choose the cache that a request builds, uses or waits for."""
        wanted, used = question.request.cache_only, question.used
        if not used.pins:
            if not wanted or used.mistakes:
                return CacheChoice()
            return CacheChoice(
                mistakes=(
                    make_finding(
                        "/dataset",
                        FindingText(
                            "cache_needs_dataset",
                            "Only dataset versions can be cached in advance, and this request names none.",
                            'Name a dataset, as "dataset": "name".',
                        ),
                    ),
                )
            )
        facts, key = self.key_of(question.trainer, used.given, question.owner, used.beside)
        if key is None:
            why = facts.problem or ""
            planned = PlannedCache(CacheState.NONE, None, reason=text_of(why), reason_code=code_of(why))
            mistake = make_finding(
                "/dataset",
                FindingText(
                    "not_cacheable",
                    "This cannot be cached in advance: {why}.",
                    "Start the training without it: the trainer caches during the run.",
                ),
                why=why,
            )
            return CacheChoice(planned, mistakes=(mistake,) if wanted else ())
        if question.task_id in question.known_by and not wanted:
            return self._resume(question, key)
        maker, state = self._find(key)
        if wanted:
            return self._make(question, facts, key, maker, state)
        if maker is None or question.request.regenerate_cache:
            return CacheChoice(PlannedCache(CacheState.NONE, key))
        return self._use(question, PlannedCache(state, key, maker.task_id))

    def _use(self, question: CacheQuestion, planned: PlannedCache) -> CacheChoice:
        own, shared = (str(task_files(self._root, each or "").datasets) for each in (question.task_id, planned.task_id))
        if planned.state is CacheState.COMPLETE:
            # Any number of trainings may read it at the same time.
            return CacheChoice(planned, place=(own, shared), lease=())
        # The task that builds it holds the lease until it is complete.
        return CacheChoice(planned, lease=(shared,))

    def _resume(self, question: CacheQuestion, key: str) -> CacheChoice:
        """Choose the cache of a task that resumes.

        It keeps its directory, because its order of items comes from there and another directory has another order.
        """
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
        """Return the task that built a usable cache, else a task that is building one."""
        tasks = self._store.with_key(key)
        for task in tasks:
            if task.status is TaskStatus.COMPLETED and self.judge_files(task).state is CacheState.COMPLETE:
                return task, CacheState.COMPLETE
        building = next((task for task in tasks if not task.status.is_finished), None)
        return building, CacheState.NONE if building is None else CacheState.BUILDING

    # -- keys ----------------------------------------------------------------------------------------------------------

    def key_of(
        self, trainer: Trainer, given: TrainingRequest, owner: str | None, beside: Reason | None = None
    ) -> tuple[CacheFacts, str | None]:
        """Return the values on which a request's cache depends, and its key; None if it cannot be cached.

        The directories in the request must be views of versions.
        """
        facts = trainer.cache_facts(given) if isinstance(trainer, SupportsCaching) else CacheFacts(problem="")
        problem = self._problem(trainer, beside) or facts.problem
        if problem is not None:
            return CacheFacts(problem=problem), None
        named: list[Any] = [_FORM, trainer.name, given.model_type, owner, facts.values]
        text = orjson.dumps(named, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS, default=str)
        return facts, hashlib.sha256(text).hexdigest()

    def _problem(self, trainer: Trainer, beside: Reason | None) -> Reason | None:
        if not isinstance(trainer, SupportsCaching):
            return Reason.of("the trainer {trainer} does not cache", "trainer_does_not_cache", trainer=trainer.name)
        if self._are_apart:
            return Reason.of(
                "TRAINER_USER is set, so a training cannot read the files of another task", "cache_not_shared"
            )
        return beside

    def judge_files(self, task: TrainingTask) -> CacheVerdict:
        """Check that the files that a task has built are unchanged."""
        built = BuiltCache.from_json(task.result)
        if built is None:
            return CacheVerdict(CacheState.FAILED, Reason.of("its files were not recorded", "cache_not_taken"))
        try:
            found = seal(task_files(self._root, task.task_id).datasets)
        except (Tampered, OSError) as error:
            reason = Reason.of("it contains unexpected files: {what}", "cache_strange", what=str(error))
            return CacheVerdict(CacheState.CHANGED, reason)
        if found is None:
            return CacheVerdict(CacheState.MISSING, Reason.of("its files are not on this machine", "cache_not_here"))
        if found.digest != built.digest:
            return CacheVerdict(
                CacheState.CHANGED, Reason.of("its files have changed since it was made", "cache_touched")
            )
        return CacheVerdict(CacheState.COMPLETE)

    # -- start of an attempt -------------------------------------------------------------------------------------------

    def find_usable(
        self, task: TrainingTask, give: Callable[[], TrainingRequest], *, is_new: bool
    ) -> tuple[str | None, ReasonOrText | None]:
        """Return the task whose cache an attempt uses, or None; and why not if a cache was planned.

        `give` returns the request with views of versions as directories. Raises ServiceError, OSError.
        """
        planned = task.plan.cache
        if planned is None or planned.is_made or planned.task_id is None:
            return None, None
        has_own = task_files(self._root, task.task_id).datasets.is_dir()
        if has_own or not is_new:
            return (None, None) if has_own else (planned.task_id, None)
        _, key = self.key_of(self._trainers[task.trainer], give(), task.owner)
        if key is None or key != planned.key:
            return None, Reason.of("the model or the trainer has changed since then", "cache_outdated")
        maker = next((each for each in self._store.with_key(key) if each.task_id == planned.task_id), None)
        if maker is None or maker.status is not TaskStatus.COMPLETED:
            return None, Reason.of("it was not built", "cache_not_made")
        verdict = self.judge_files(maker)
        return (planned.task_id, None) if verdict.state is CacheState.COMPLETE else (None, verdict.reason)

    def require_same(self, task: TrainingTask, given: TrainingRequest) -> CacheFacts:
        """Return the values on which the cache of a cache task depends.

        Raises ValueError if that has changed since it was planned.
        """
        facts, key = self.key_of(self._trainers[task.trainer], given, task.owner)
        if task.plan.cache is None or key != task.plan.cache.key:
            raise ValueError("The files of the model or of the trainer have changed since the cache was planned")
        return facts
