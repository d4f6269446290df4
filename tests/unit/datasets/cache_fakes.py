"""A service with one dataset, the toy trainer, and tasks that cache it without a process."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from api.datasets.caches.listing import DatasetCacheList
from api.datasets.caches.results import CacheResultRecorder
from api.datasets.caches.service import DatasetCaches
from api.datasets.materials import DatasetDirectories
from api.datasets.versions.references import DatasetReferences
from api.domain.reason import Reason
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import NewTask, TaskStatus, TrainingPlan, TrainingRequest, TrainingTask
from api.errors import ServiceError
from api.files.task_files import task_files
from api.trainers.toy.trainer import Toy
from api.training.attempts.task_results import TaskResult
from api.training.dataset_use import CacheChoice, CacheQuestion
from api.training.records.dataset_cache_store import DatasetCacheStore
from tests.unit.datasets.conftest import Shelf
from tests.unit.db.builders import Stores, new_attempt

WANTED = TrainingRequest("toy", config={"epochs": 1}, dataset={"directories": [{"dataset": "cats"}]})


@dataclass
class CacheWorld:
    """The objects under test, and shortcuts."""

    shelf: Shelf
    root: Path
    owner: str | None = "ann"
    are_apart: bool = False
    events: list[tuple[str, Reason]] = field(default_factory=list)

    def __post_init__(self) -> None:
        shelf, trainers = self.shelf, {"toy": Toy()}
        self.stores = Stores(shelf.database)
        self.store = DatasetCacheStore(shelf.database)
        self.caches = DatasetCaches(self.store, trainers, self.root, are_apart=self.are_apart)
        materials = DatasetDirectories(shelf.service, shelf.store, shelf.blobs)

        def tell(task_id: str, said: Reason) -> None:
            self.events.append((task_id, said))

        self.references = DatasetReferences(shelf.service, shelf.store, materials, self.root, self.caches, tell)
        self.recorder = CacheResultRecorder(self.caches, self.references, trainers, self.root, shelf.clock)
        self.list = DatasetCacheList(
            self.store, self.stores.tasks, self.caches, self.references, shelf.service, self.root, shelf.clock
        )

    def choose(
        self, task_id: str, request: TrainingRequest = WANTED, *, wanted: bool = False, **more: Any
    ) -> CacheChoice:
        request = replace(request, cache_only=wanted)
        used = self.references.use(request, task_id)
        owner = more.pop("owner", self.owner)
        return self.caches.choose(CacheQuestion(request, used, Toy(), task_id, owner, **more))

    def create(self, task_id: str, *, wanted: bool = True, request: TrainingRequest = WANTED) -> TrainingTask:
        """Create a queued task. Raise the first problem."""
        choice, request = self.choose(task_id, request, wanted=wanted), replace(request, cache_only=wanted)
        problems: tuple[ServiceError, ...] = choice.problems
        for problem in problems:
            raise problem
        used = self.references.use(request, task_id)
        plan = choice.finish(used.finish(TrainingPlan("toy", "toy", 1)))
        kind = TaskType.CACHE if wanted else TaskType.TRAINING
        new = NewTask(task_id, "toy", used.stored, plan, owner=self.owner, kind=kind)
        self.stores.tasks.create(new, self.shelf.clock.now(), "ann")
        return self.stores.tasks.get(task_id)

    def media(self, task_id: str) -> Path:
        (found,) = task_files(self.root, task_id).datasets.glob("*/media")
        return found

    def fill(self, task: TrainingTask) -> None:
        """Write the files that the trainer would leave."""
        self.references.lay_out(task, is_new=True)
        for name in ("metadata/grouping_keys.json", "cache_1/latents/metadata.db", "cache_1/latents/shard_0.bin"):
            path = self.media(task.task_id) / "cache" / "toy" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)

    def record(self, task: TrainingTask) -> TaskResult:
        return self.recorder.record(task, task_files(self.root, task.task_id).output)

    def finish(self, task_id: str, status: TaskStatus = TaskStatus.COMPLETED, **more: Any) -> None:
        attempt = self.stores.attempts.claim(new_attempt(task_id), self.shelf.clock.now())
        self.stores.finish(attempt, status, **more)
        for lease in self.stores.attempts.leases():
            self.stores.attempts.release_drained(lease)

    def make(self, task_id: str = "c1", request: TrainingRequest = WANTED) -> TrainingTask:
        """Build a complete cache."""
        task = self.create(task_id, request=request)
        self.fill(task)
        self.finish(task_id, result=self.record(task).result)
        return self.stores.tasks.get(task_id)
