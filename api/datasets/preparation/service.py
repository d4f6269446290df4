"""Start, show, cancel and delete preprocessing tasks. Their program and the training loop do the work."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from api.datasets.names import DATASET_NAME_INVALID, parse_reference
from api.datasets.preparation.request import PreprocessRequest
from api.datasets.preparation.results import PreprocessResultRecorder
from api.datasets.preparation.views import STATUSES, PreprocessStatus, PreprocessView, show_preprocess
from api.datasets.preparation.work_files import SourceFiles, lay_out_work
from api.datasets.records.dataset_store import DatasetStore
from api.datasets.service import DatasetService
from api.datasets.targets import find_writable
from api.domain.access.principal import Principal
from api.domain.access.read_scope import current_scope
from api.domain.datasets.dataset import Dataset, DatasetVersion, ManifestItem, PinnedDataset, included_items
from api.domain.datasets.media_settings import CutBy, MediaSettings
from api.domain.finding import make_finding
from api.domain.reason import Reason
from api.domain.tasks.task import TASK_ID_KINDS, TaskType
from api.domain.tasks.training import (
    GPURequest,
    NewTask,
    TaskEvent,
    TaskFilter,
    TaskSummary,
    TrainingPlan,
    TrainingRequest,
)
from api.errors import (
    Conflict,
    FindingText,
    HiddenTask,
    Invalid,
    TaskNotFound,
)
from api.jobs.kinds import PREPROCESSING
from api.jobs.preprocessing.work import WorkItem, key_of
from api.training.task_answers import event_page
from api.training.task_resources import TaskResources
from api.training.views import Deleted
from api.util.extras import describe_missing
from api.util.files.foreign_files import is_gone
from api.util.files.foreign_trees import remove_tree
from api.util.http.pagination import Page, PageRequest, read_page
from api.util.text.ids import new_task_id
from api.util.text.suggestions import nearest_variant

logger = logging.getLogger(__name__)

#: Most files that one task processes: their names are in one directory.
MAX_WORK_ITEMS = 200_000

_BY_SCENE = "Cutting by scene"


class PreprocessingService:
    """Use cases of `/preprocess`."""

    def __init__(
        self,
        context: TaskResources,
        datasets: DatasetService,
        store: DatasetStore,
        recorder: PreprocessResultRecorder,
        files: SourceFiles,
        rates: Mapping[str, float | None],
        find_upload: Callable[[str], PreprocessView],
    ) -> None:
        """Create the service.

        `rates`: the frame rate of each model type, None if it takes no videos. `find_upload` returns the tasks of
        uploads and raises TaskNotFound.
        """
        self._find_upload = find_upload
        self._context = context
        self._datasets = datasets
        self._store = store
        self._recorder = recorder
        self._files = files
        self._rates = rates

    # -- creation ------------------------------------------------------------------------------------------------------

    def start(
        self,
        request: PreprocessRequest,
        principal: Principal,
        idempotency_key: str | None = None,
        task_id: str | None = None,
    ) -> PreprocessView:
        """Create a task that processes a dataset version; `task_id` None: it gets a new id.

        Raises DatasetNotFound, VersionNotFound, DatasetIsRegistered, DatasetExists, NotYours, Invalid, InvalidPattern,
        QuotaExceeded, InsufficientStorage.
        """
        first = self._context.tasks.find_by_key(idempotency_key)
        if first is not None:
            return self.get(first.task_id)
        request = self._with_rate(request)
        dataset, version, items = self.find_input(request.dataset)
        into = request.into or dataset.name
        writable = find_writable(self._datasets, into, principal)
        target = {"name": into, "serial": None if writable is None else writable.serial}
        if request.captions is not None:
            request.captions.apply([])
        self.require_disk()
        chosen = [item for item in included_items(items) if request.chooses(item.path)]
        todo = self._todo(chosen, request.media)
        task_request = _to_task_request(request, dataset, version, target)
        pin = PinnedDataset(
            dataset.name, version.ordinal, f"sha256:{version.manifest_sha256}", len(items), dataset.serial
        )
        plan = TrainingPlan(
            PREPROCESSING, task_request.model_type, 0, total_steps=len(todo), dataset_items=len(chosen), datasets=(pin,)
        )
        task_id = task_id or new_task_id(TASK_ID_KINDS[TaskType.PREPROCESSING], self._context.clock.now())
        new = NewTask(
            task_id, PREPROCESSING, task_request, plan, None, idempotency_key, principal.owner, TaskType.PREPROCESSING
        )
        self.submit(new, dataset, request.media.as_json(), todo, principal.actor)
        return self.get(task_id)

    def submit(self, new: NewTask, dataset: Dataset, settings: Any, todo: Sequence[WorkItem], actor: str) -> None:
        """Write the files of a task and queue it, both or neither. Raises the errors of `start`."""
        files = self._context.storage.files(new.task_id)
        sources = [sha256 for item in todo for sha256 in (item.sha256, item.mask, item.control) if sha256 is not None]
        lines = [item.as_json() for item in todo] or [b"\n"]
        lay_out = lambda: lay_out_work(files, settings, lines, sources, self._files.linker(dataset))  # noqa: E731
        self._context.intake.create_with_files(new, actor, files, lay_out)
        logger.info("preprocessing submitted", extra={"task_id": new.task_id, "items": len(todo)})

    def find_input(self, text: str) -> tuple[Dataset, DatasetVersion, list[ManifestItem]]:
        """Return the version that a reference names, with its items.

        Raises DatasetNotFound, VersionNotFound, Invalid.
        """
        reference = parse_reference(text)
        if reference is None:
            raise Invalid(mistakes=[make_finding("/dataset", DATASET_NAME_INVALID, name=text[:100])])
        dataset = self._datasets.find(reference.name)
        version = self._datasets.find_version(dataset, reference.version)
        items = list(self._datasets.read_items(version.manifest_sha256))
        if not items:
            remedy = (
                Reason.of("Upload files into it first.", "advice_upload_files")
                if dataset.directory is None
                else Reason.of(
                    "Put files into {directory}, then POST …/datasets/{name}/refresh.",
                    "advice_fill_directory",
                    directory=dataset.directory,
                    name=dataset.name,
                )
            )
            mistake = make_finding(
                "/dataset",
                FindingText("dataset_version_empty", "Version {version} of {name} has no items."),
                remedy=remedy,
                version=version.ordinal,
                name=dataset.name,
            )
            raise Invalid(mistakes=[mistake])
        return dataset, version, items

    def find_directory(self, directory: str) -> str:
        """Return the name of the dataset that uses this directory on the server. Raises Invalid."""
        for found in self._store.registered():
            if found.directory == directory and current_scope.get().sees(found.owner):
                return found.name
        raise Invalid(
            mistakes=[
                make_finding(
                    "/directory",
                    FindingText(
                        "directory_not_registered",
                        '"{directory}" is not registered as a dataset.',
                        "Register it first: POST /datasets with name and directory.",
                    ),
                    directory=directory[:200],
                )
            ]
        )

    def require_disk(self) -> None:
        """Raise InsufficientStorage if the disk is nearly full."""
        shortage = self._context.storage.find_shortage()
        if shortage is not None:
            raise shortage

    def _todo(self, items: Sequence[ManifestItem], media: MediaSettings) -> list[WorkItem]:
        """Return the files to process, each once, without those that have an earlier result. Raises Invalid."""
        if media.is_empty:
            return []
        if media.cut is not None and media.cut.by is CutBy.SCENE and (missing := describe_missing("scenes", _BY_SCENE)):
            raise Invalid(
                mistakes=[
                    make_finding(
                        "/cut/by",
                        FindingText(
                            "scenes_not_installed",
                            "{why}.",
                            "Cut by seconds, or ask the administrator of this server to install it.",
                        ),
                        why=missing,
                    )
                ]
            )
        by_key: dict[str, WorkItem] = {}
        for item in items:
            key = key_of((item.sha256, item.mask_sha256, item.control_sha256), media)
            by_key.setdefault(
                key,
                WorkItem(item.path, item.sha256, item.size_bytes, key, item.mask_sha256, item.control_sha256),
            )
        known = self._recorder.known(list(by_key))
        todo = [item for key, item in by_key.items() if key not in known]
        if len(todo) > MAX_WORK_ITEMS:
            most, number = f"{MAX_WORK_ITEMS:,}", f"{len(todo):,}"
            raise Invalid(
                mistakes=[
                    make_finding(
                        "/dataset",
                        FindingText(
                            "files_to_process_too_many",
                            "One task processes at most {most} files; this request has {number}.",
                            "Divide the dataset.",
                        ),
                        most=most,
                        number=number,
                    )
                ]
            )
        return todo

    def _with_rate(self, request: PreprocessRequest) -> PreprocessRequest:
        """Return the request with the frame rate of its model type, unless it sets another. Raises Invalid."""
        if request.model_type is None:
            return request
        if request.model_type not in self._rates:
            close = nearest_variant(request.model_type, sorted(self._rates))
            remedy = (
                Reason.of('Did you mean "{close}"?', "advice_close_name", close=close)
                if close
                else Reason.of("GET /models/list returns all model types.", "advice_list_types")
            )
            name = request.model_type[:80]
            mistake = make_finding(
                "/model_type",
                FindingText("model_type_of_no_trainer", 'No trainer has the model type "{name}".'),
                remedy=remedy,
                name=name,
            )
            raise Invalid(mistakes=[mistake])
        if request.media.fps is not None or request.keeps_rate:
            return request
        return replace(request, media=replace(request.media, fps=self._rates[request.model_type]))

    # -- views and cancellation ----------------------------------------------------------------------------------------

    def get(self, task_id: str) -> PreprocessView:
        """Return one task, or an upload that is being processed. Raises TaskNotFound."""
        try:
            task, attempts = self._context.attempts.with_task(task_id)
        except TaskNotFound:
            upload = self._find_upload(task_id)
            try:
                # An upload that is complete by now started its task just before.
                task, attempts = self._context.attempts.with_task(task_id)
            except TaskNotFound:
                return upload
        if not current_scope.get().sees(task.owner):
            raise HiddenTask.named(task_id)
        return show_preprocess(
            task, self._context.progress.live(task, attempts), self._context.dispatcher.why_waiting(task)
        )

    def get_page(
        self, status: PreprocessStatus | None, search: str | None, owner: str | None, page: PageRequest
    ) -> Page[PreprocessView]:
        """Return a page of the tasks that the caller may see, newest first."""
        statuses = () if status is None else STATUSES[status]
        wanted = TaskFilter(statuses, search=search, owner=owner, seen_by=current_scope.get().only_of)
        found = read_page(lambda *cut: self._context.tasks.page(wanted, *cut), lambda row: row.serial, page)
        inputs = self._store.used_by([task.task_id for task in found.rows])

        def show(task: TaskSummary) -> PreprocessView:
            view = show_preprocess(task, None, self._context.dispatcher.why_waiting(task))
            return replace(view, dataset=inputs.get(task.task_id))

        return found.map(show)

    def cancel(self, task_id: str, actor: str) -> PreprocessView:
        """Cancel a task; a cancelled one stays cancelled. Raises TaskNotFound, TaskNotStoppable."""
        watch = self._context.stops.request_stop(task_id, force=False, timeout_seconds=None, actor=actor)
        if watch is not None:
            return replace(show_preprocess(watch.task, watch.show(), None), current_step="stopping")
        return self.get(task_id)

    def delete(self, task_id: str) -> Deleted:
        """Delete a finished task and its files: log, records and working files; the version that it made stays.

        Raises TaskNotFound, TaskNotFinished, and Conflict for an upload.
        """
        try:
            self._context.tasks.delete(task_id, self._context.clock.steady.now())
        except TaskNotFound:
            upload = self._find_upload(task_id)
            raise Conflict(
                f"{upload.task_id} is an upload without preprocessing: it expires by itself, or delete it with "
                "DELETE /uploads/{upload_id}.",
            ) from None
        root = str(self._context.storage.files(task_id).root)
        remove_tree(root, levels=0)
        is_left = not is_gone(root)
        if self._context.quotas is not None and not is_left:
            self._context.quotas.forget_files(task_id)
        logger.info("preprocessing deleted", extra={"task_id": task_id})
        return Deleted(task_id, not is_left, root if is_left else None)

    def get_events(self, task_id: str, page: PageRequest, *, is_newest_first: bool = False) -> Page[TaskEvent]:
        """Return the events of a task, oldest first, or newest first. Raises TaskNotFound."""
        return event_page(self._context.tasks, task_id, page, is_newest_first=is_newest_first)


def _to_task_request(
    request: PreprocessRequest, dataset: Dataset, version: DatasetVersion, target: Mapping[str, Any]
) -> TrainingRequest:
    """Return the request in the form that the task stores."""
    given = {"dataset": dataset.name, "version": version.ordinal, "manifest": version.manifest_sha256}
    return TrainingRequest(
        request.model_type or "",
        GPURequest(count=0),
        name=request.name,
        description=request.description,
        priority=request.priority,
        config={"wish": request.as_config(), "input": given, "target": target},
    )
