"""Preprocessing: started, shown, cancelled. What it does on its own is its program's and the training loop's."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from api.datasets.names import parse_reference
from api.datasets.preprocess_harvest import PreprocessHarvest
from api.datasets.preprocess_view import STATUSES, show_preprocess
from api.datasets.preprocess_views import PreprocessStatus, PreprocessView
from api.datasets.preprocess_wish import PreprocessWish
from api.datasets.service import DatasetService
from api.datasets.store import DatasetStore
from api.datasets.targets import find_writable
from api.datasets.work_files import SourceFiles, lay_out_work
from api.domain.access import Principal
from api.domain.dataset import Dataset, DatasetVersion, ManifestItem, PinnedDataset, included_items
from api.domain.media_settings import CutBy, MediaSettings
from api.domain.sight import current_sight
from api.domain.task import TASK_ID_KINDS, TaskType
from api.domain.training import GPURequest, NewTask, TaskEvent, TaskFilter, TaskSummary, TrainingPlan, TrainingRequest
from api.errors import (
    Conflict,
    HiddenTask,
    Invalid,
    Mistake,
    TaskNotFound,
)
from api.files.disk import find_shortage
from api.files.task_files import task_files
from api.jobs.preprocessing.words import PREPROCESSING
from api.jobs.preprocessing.work import WorkItem, key_of
from api.training.task_events import event_page
from api.training.task_means import TaskMeans
from api.training.views import Deleted
from api.util.extras import describe_missing
from api.util.foreign_files import is_gone
from api.util.foreign_trees import remove_tree
from api.util.ids import new_task_id
from api.util.pagination import Page, PageRequest, read_page
from api.util.suggestions import nearest

logger = logging.getLogger(__name__)

#: The most items whose files one task works on: their names lie in one directory.
MAX_WORK_ITEMS = 200_000

_BY_SCENE = "Cutting by scene"


class PreprocessingService:
    """The use cases of `/preprocess`."""

    def __init__(
        self,
        means: TaskMeans,
        datasets: DatasetService,
        store: DatasetStore,
        harvest: PreprocessHarvest,
        files: SourceFiles,
        rates: Mapping[str, float | None],
        find_upload: Callable[[str], PreprocessView],
    ) -> None:
        """`rates`: how many frames a second each model type is trained with; None: it takes no videos. `find_upload`
        knows the tasks of uploads; it raises TaskNotFound.
        """
        self._find_upload = find_upload
        self._means = means
        self._datasets = datasets
        self._store = store
        self._harvest = harvest
        self._files = files
        self._rates = rates

    # -- beginning -----------------------------------------------------------------------------------------------------

    def start(
        self,
        wish: PreprocessWish,
        asks: Principal,
        idempotency_key: str | None = None,
        task_id: str | None = None,
    ) -> PreprocessView:
        """Makes a task that works on a version of a dataset; `task_id` None: it gets a new one.

        Raises DatasetNotFound, VersionNotFound, DatasetIsRegistered, DatasetExists, NotYours, Invalid, InvalidPattern,
        QuotaExceeded, InsufficientStorage.
        """
        first = self._means.tasks.find_by_key(idempotency_key)
        if first is not None:
            return self.get(first.task_id)
        wish = self._with_rate(wish)
        dataset, version, items = self.find_input(wish.dataset)
        into = wish.into or dataset.name
        writable = find_writable(self._datasets, into, asks)
        target = {"name": into, "serial": None if writable is None else writable.serial}
        if wish.captions is not None:
            wish.captions.apply([])
        self.require_disk()
        chosen = [item for item in included_items(items) if wish.chooses(item.path)]
        todo = self._todo(chosen, wish.media)
        request = _request_of(wish, dataset, version, target)
        pin = PinnedDataset(
            dataset.name, version.ordinal, f"sha256:{version.manifest_sha256}", len(items), dataset.serial
        )
        plan = TrainingPlan(
            PREPROCESSING, request.model_type, 0, total_steps=len(todo), dataset_items=len(chosen), datasets=(pin,)
        )
        task_id = task_id or new_task_id(TASK_ID_KINDS[TaskType.PREPROCESSING], self._means.clock.now())
        new = NewTask(task_id, PREPROCESSING, request, plan, None, idempotency_key, asks.owner, TaskType.PREPROCESSING)
        self.submit(new, dataset, wish.media.as_json(), todo, asks.actor)
        return self.get(task_id)

    def submit(self, new: NewTask, dataset: Dataset, settings: Any, todo: Sequence[WorkItem], actor: str) -> None:
        """Lays the work of a task out, and puts it into the queue; all of it or nothing. Raises what `start` does."""
        files = task_files(self._means.storage_root, new.task_id)
        sources = [sha256 for item in todo for sha256 in (item.sha256, item.mask, item.control) if sha256 is not None]
        lines = [item.as_json() for item in todo] or [b"\n"]
        try:
            lay_out_work(files, settings, lines, sources, self._files.linker(dataset))
            self._means.intake.create(new, actor)
        except (OSError, Conflict, Invalid):
            remove_tree(str(files.root), levels=0)
            raise
        logger.info("preprocessing submitted", extra={"task_id": new.task_id, "items": len(todo)})
        self._means.wake()

    def find_input(self, text: str) -> tuple[Dataset, DatasetVersion, list[ManifestItem]]:
        """The version that a reference names, with its items. Raises DatasetNotFound, VersionNotFound, Invalid."""
        reference = parse_reference(text)
        if reference is None:
            remedy = 'Name one of GET /datasets: "name", "name@3", or "name@sha256:…".'
            raise Invalid(mistakes=[Mistake("/dataset", f'"{text[:100]}" is no name of a dataset.', remedy)])
        dataset = self._datasets.find(reference.name)
        version = self._datasets.find_version(dataset, reference.version)
        items = list(self._datasets.read_items(version.manifest_sha256))
        if not items:
            what = f"Version {version.ordinal} of {dataset.name} has no items."
            remedy = "Upload something into it first."
            if dataset.directory is not None:
                remedy = f"Put files into {dataset.directory}, then POST …/datasets/{dataset.name}/refresh."
            raise Invalid(mistakes=[Mistake("/dataset", what, remedy)])
        return dataset, version, items

    def find_directory(self, directory: str) -> str:
        """The name of the dataset that a directory on the server is registered as. Raises Invalid."""
        for found in self._store.registered():
            if found.directory == directory and current_sight.get().sees(found.owner):
                return found.name
        what = f'"{directory[:200]}" is not registered as a dataset.'
        remedy = "Register it first: POST /datasets with name and directory."
        raise Invalid(mistakes=[Mistake("/directory", what, remedy)])

    def require_disk(self) -> None:
        """Raises InsufficientStorage while the disk is nearly full."""
        shortage = find_shortage(self._means.storage_root, self._means.min_free_mb)
        if shortage is not None:
            raise shortage

    def _todo(self, items: Sequence[ManifestItem], media: MediaSettings) -> list[WorkItem]:
        """The files that have to be worked on: none that was before with the same settings, and each once.

        Raises Invalid.
        """
        if media.is_empty:
            return []
        if media.cut is not None and media.cut.by is CutBy.SCENE and (missing := describe_missing("scenes", _BY_SCENE)):
            raise Invalid(mistakes=[Mistake("/cut/by", f"{missing}.", "Cut by seconds, or ask who runs this server.")])
        by_key: dict[str, WorkItem] = {}
        for item in items:
            key = key_of((item.sha256, item.mask_sha256, item.control_sha256), media)
            by_key.setdefault(
                key,
                WorkItem(item.path, item.sha256, item.size_bytes, key, item.mask_sha256, item.control_sha256),
            )
        known = self._harvest.known(list(by_key))
        todo = [item for key, item in by_key.items() if key not in known]
        if len(todo) > MAX_WORK_ITEMS:
            what = f"One task works on {MAX_WORK_ITEMS:,} files at most, and these are {len(todo):,}."
            raise Invalid(mistakes=[Mistake("/dataset", what, "Divide the dataset.")])
        return todo

    def _with_rate(self, wish: PreprocessWish) -> PreprocessWish:
        """The wish with the rate of its model type, unless it says another. Raises Invalid."""
        if wish.model_type is None:
            return wish
        if wish.model_type not in self._rates:
            what = f'No trainer knows the model type "{wish.model_type[:80]}".'
            close = nearest(wish.model_type, sorted(self._rates))
            remedy = f'Did you mean "{close}"?' if close else "GET /models/list has them all."
            raise Invalid(mistakes=[Mistake("/model_type", what, remedy)])
        if wish.media.fps is not None or wish.keeps_rate:
            return wish
        return replace(wish, media=replace(wish.media, fps=self._rates[wish.model_type]))

    # -- looking and cancelling ----------------------------------------------------------------------------------------

    def get(self, task_id: str) -> PreprocessView:
        """One task, or an upload that is being made a dataset of. Raises TaskNotFound."""
        try:
            task, attempts = self._means.attempts.with_task(task_id)
        except TaskNotFound:
            upload = self._find_upload(task_id)
            try:
                # An upload that is completed by now began its task just before.
                task, attempts = self._means.attempts.with_task(task_id)
            except TaskNotFound:
                return upload
        if not current_sight.get().sees(task.owner):
            raise HiddenTask.named(task_id)
        return show_preprocess(
            task, self._means.progress.live(task, attempts), self._means.dispatcher.why_waiting(task)
        )

    def get_page(
        self, status: PreprocessStatus | None, search: str | None, owner: str | None, page: PageRequest
    ) -> Page[PreprocessView]:
        """A page of the tasks that whoever asks may see, newest first."""
        statuses = () if status is None else STATUSES[status]
        wanted = TaskFilter(statuses, search=search, owner=owner, seen_by=current_sight.get().only_of)
        found = read_page(lambda *cut: self._means.tasks.page(wanted, *cut), lambda row: row.serial, page)
        inputs = self._store.used_by([task.task_id for task in found.rows])

        def show(task: TaskSummary) -> PreprocessView:
            view = show_preprocess(task, None, self._means.dispatcher.why_waiting(task))
            return replace(view, dataset=inputs.get(task.task_id))

        return found.map(show)

    def cancel(self, task_id: str, actor: str) -> PreprocessView:
        """Asks a task to stop; one that was cancelled stays so. Raises TaskNotFound, TaskNotStoppable."""
        watch = self._means.stops.ask(task_id, force=False, timeout_seconds=None, actor=actor)
        if watch is not None:
            return replace(show_preprocess(watch.task, watch.show(), None), current_step="stopping")
        return self.get(task_id)

    def delete(self, task_id: str) -> Deleted:
        """Forgets a finished task and removes its files: log, records, and what was laid out for it; the version that
        it made stays. Raises TaskNotFound, TaskNotFinished, and Conflict for an upload.
        """
        try:
            self._means.tasks.delete(task_id, self._means.clock.steady.now())
        except TaskNotFound:
            upload = self._find_upload(task_id)
            raise Conflict(
                f"{upload.task_id} is an upload, which no preprocessing was asked of: it goes by itself, or with "
                "DELETE /uploads/{upload_id}."
            ) from None
        root = str(task_files(self._means.storage_root, task_id).root)
        remove_tree(root, levels=0)
        is_left = not is_gone(root)
        if self._means.quotas is not None and not is_left:
            self._means.quotas.forget_files(task_id)
        logger.info("preprocessing deleted", extra={"task_id": task_id})
        return Deleted(task_id, not is_left, root if is_left else None)

    def get_events(self, task_id: str, page: PageRequest) -> Page[TaskEvent]:
        """What happened to a task, oldest first. Raises TaskNotFound."""
        return event_page(self._means.tasks, task_id, page)


def _request_of(
    wish: PreprocessWish, dataset: Dataset, version: DatasetVersion, target: Mapping[str, Any]
) -> TrainingRequest:
    """What the task keeps of what was asked for."""
    given = {"dataset": dataset.name, "version": version.ordinal, "manifest": version.manifest_sha256}
    return TrainingRequest(
        wish.model_type or "",
        GPURequest(count=0),
        name=wish.name,
        description=wish.description,
        priority=wish.priority,
        config={"wish": wish.as_config(), "input": given, "target": target},
    )
