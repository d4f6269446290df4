"""Samples of saved models: pictures and clips that ComfyUI renders, so that users can compare the models."""

import hashlib
import json
import logging
import os
import secrets
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import Literal

import orjson

from api.domain.dataset import PinnedDataset
from api.domain.finding import finding_of, make_finding
from api.domain.media import Decoder, MediaSource
from api.domain.reason import Reason
from api.domain.sample_set import TRIGGER, SampleOrder, SamplingSpec, SetSettings
from api.domain.task import TaskType
from api.domain.training import TaskStatus, TrainingRequest, TrainingTask
from api.errors import (
    ArtifactNotFound,
    CheckpointNotFound,
    DecoderBusy,
    Finding,
    Invalid,
    NoPicture,
    NoSavedModel,
    NoWorkflow,
    SamplingUnavailable,
    TaskNotFound,
)
from api.files.thumbnail_files import ThumbnailStore, side_for
from api.files.weights.header import Unsound, read_open_header
from api.jobs.kinds import REQUEST_FILE
from api.jobs.sampling.request import (
    PICTURES,
    RESULTS,
    THUMBNAILS,
    ComfyAddress,
    LoraFile,
    Prompt,
    SamplingRequest,
    read_records,
)
from api.jobs.sampling.workflows import RECIPES
from api.training.artifacts import OpenFile, open_artifact, saved_models
from api.training.delivery import base_path_of, find_trigger_word
from api.training.export_order import ExportMethod
from api.training.exports import Exports
from api.training.follow_up_tasks import FollowUpTasks
from api.training.sample_grid import SampleGrid, arrange
from api.training.sample_ranking import rank_models
from api.training.sample_store import StoredSample, TrainingSampleStore
from api.training.sample_views import SampleRanking, TrainingSample
from api.training.store import TaskStore
from api.util.base_path import BASE_PATH
from api.util.clock import Clock
from api.util.pagination import Page, PageRequest, read_page

logger = logging.getLogger(__name__)

#: Most saved models of a request.
MOST_CHECKPOINTS = 50

#: Seconds that a request for a sheet waits for another one.
_SHEET_WAIT_SECONDS = 10.0

_MEDIA_TYPES = {
    ".png": "image/png",
    ".webp": "image/webp",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".mp4": "video/mp4",
    ".webm": "video/webm",
}

#: What stands for the base model in a filter by checkpoint.
BASE = "base"


@dataclass(frozen=True, slots=True)
class SamplerSettings:
    """How samples are rendered."""

    urls: tuple[str, ...] = ()  #: of ComfyUI; empty if there is none
    loras: tuple[Path, ...] = ()  #: the directory of LoRAs of each ComfyUI, or one for all
    command: tuple[str, ...] = ()  #: renders instead of ComfyUI
    extensions: tuple[str, ...] = ()  #: whose nodes workflows may use
    most_seconds: float = 1800.0  #: for one sample

    @property
    def missing(self) -> list[str]:
        """The settings without which nothing can be rendered."""
        if self.command:
            return []
        needed: dict[str, tuple[object, ...]] = {"COMFYUI_URL": self.urls, "COMFYUI_LORAS": self.loras}
        return [name for name, value in needed.items() if not value]

    def addresses(self, first: int) -> tuple[ComfyAddress, ...]:
        """Return every ComfyUI with a directory, beginning with this one, so that tasks take turns."""
        loras = self.loras * len(self.urls) if len(self.loras) == 1 else self.loras
        found = [ComfyAddress(url, str(path)) for url, path in zip(self.urls, loras, strict=bool(loras))]
        first = first % len(found) if found else 0
        return (*found[first:], *found[:first])


class TrainingSamples:
    """The use cases of `/training/{task_id}/samples`. Thread-safe."""

    def __init__(
        self,
        tasks: FollowUpTasks,
        samplings: TaskStore,
        trainings: TaskStore,
        store: TrainingSampleStore,
        clock: Clock,
        settings: SamplerSettings,
        decoder: Decoder,
        exports: Exports,
        require_storage: Callable[[], None] = lambda: None,
    ) -> None:
        """Create the service. `exports` makes LoRAs of checkpoints. `require_storage` raises StorageGone."""
        self._exports = exports
        self._turn = count()
        self._tasks = tasks
        self._samplings = samplings
        self._trainings = trainings
        self._store = store
        self._clock = clock
        self._settings = settings
        self._decoder = decoder
        self._require_storage = require_storage
        #: Size and time of the results that were taken over, by task that still runs.
        self._taken: dict[str, tuple[int, int]] = {}
        self._sheet_lock = threading.Lock()

    # -- rendering -----------------------------------------------------------------------------------------------------

    def start(
        self,
        task_id: str,
        checkpoints: Sequence[str] | None,
        wanted: SamplingSpec,
        trigger: str | None,
        actor: str,
        idempotency_key: str | None = None,
    ) -> str:
        """Queue a task that renders samples, by default of the latest saved model. Return its id.

        A LoRA is made first of a checkpoint to resume from. `trigger` replaces {trigger}; None: the training's.

        Raise TaskNotFound, Invalid, SamplingUnavailable, NoWorkflow, NoSavedModel, CheckpointNotFound, QuotaExceeded,
        InsufficientStorage, the errors of Exports, or OSError.
        """
        self._require_storage()
        task = self._trainings.get(task_id)
        if task.kind is not TaskType.TRAINING:
            raise NoSavedModel(f"{task_id} is no training.")
        missing = self._settings.missing
        if missing:
            raise SamplingUnavailable(data={"missing": missing})
        settings, base = wanted.settings, base_path_of(task)
        if settings.uses_trigger:
            given = trigger or task.trigger_word
            trigger = self._find_trigger(given, task.request, task.plan.datasets)
        self.require_fit(task.model_type, wanted, trigger is not None)
        request = SamplingRequest(
            loras=tuple(self._loras(task, checkpoints, actor)),
            prompts=_fill_in(settings, trigger or ""),
            model_type=task.model_type,
            strength=settings.strength,
            width=settings.width,
            height=settings.height,
            frames=settings.frames,
            steps=settings.steps,
            base=None if base is None else base.name,
            graph=wanted.graph,
            places=wanted.places,
            servers=self._settings.addresses(next(self._turn)),
            command=self._settings.command,
            extensions=self._settings.extensions,
            most_seconds=self._settings.most_seconds,
        )
        return self._create(task, self._with_known_base(task_id, request), actor, idempotency_key)

    def require_fit(self, model_type: str, wanted: SamplingSpec, has_trigger: bool) -> None:
        """Raise NoWorkflow or Invalid if a training of this type cannot be rendered so."""
        if wanted.workflow_type not in (None, model_type):
            raise NoWorkflow(
                Reason.of(
                    "The workflow is for {found}, and this training is of the type {model_type}. Choose another"
                    " workflow in the sample set.",
                    "workflow_of_other_type",
                    found=wanted.workflow_type,
                    model_type=model_type,
                )
            )
        if wanted.graph is None and not self._settings.command and model_type not in RECIPES:
            raise NoWorkflow(
                Reason.of(
                    "There is no built-in workflow for {model_type}. Choose a workflow in the sample set, or register"
                    " one first: ComfyUI exports it with “Export (API)”.",
                    "no_builtin_workflow",
                    model_type=model_type,
                ),
                data={"model_types": sorted(RECIPES)},
            )
        if wanted.settings.uses_trigger and not has_trigger:
            raise Invalid(mistakes=[make_finding("/trigger", "trigger_unknown")])

    def _find_trigger(
        self, given: str | None, request: TrainingRequest, datasets: Sequence[PinnedDataset]
    ) -> str | None:
        """Return the given trigger word, or else that of the captions: their prefix, or what preprocessing added."""
        return find_trigger_word(given, request) or self._store.find_trigger(datasets)

    def find_problem(
        self, request: TrainingRequest, order: SampleOrder, datasets: Sequence[PinnedDataset]
    ) -> Finding | None:
        """Return why a training with this request and these datasets cannot have automatic samples, or None."""
        missing = self._settings.missing
        if missing:
            return make_finding("/samples", "no_comfyui", settings=" and ".join(missing))
        trigger = None
        if order.spec.settings.uses_trigger:
            trigger = self._find_trigger(order.trigger or request.trigger_word, request, datasets)
        try:
            self.require_fit(request.model_type, order.spec, trigger is not None)
        except NoWorkflow as problem:
            return finding_of("/samples/sample_set", problem)
        except Invalid as problem:
            return replace(problem.mistakes[0], pointer="/samples/trigger")
        return None

    def _loras(self, task: TrainingTask, names: Sequence[str] | None, actor: str) -> list[LoraFile]:
        output = self._tasks.files(task.task_id).output
        saved = saved_models(output)
        if not saved and names is None:
            raise NoSavedModel
        chosen = list(dict.fromkeys(names)) if names is not None else [list(saved)[-1]]
        require_saved(task.task_id, saved, (name for name in chosen if not _is_checkpoint(name)))
        found = [
            self._export(task, name, actor)
            if _is_checkpoint(name)
            else LoraFile(name, str(output / saved[name]), _count_keys(output, saved[name]))
            for name in chosen
        ]
        return list({lora.checkpoint: lora for lora in found}.values())

    def _export(self, task: TrainingTask, name: str, actor: str) -> LoraFile:
        """Return the LoRA that is made of a checkpoint, or that was made of it."""
        order, export = self._exports.make(task.task_id, name, actor, ExportMethod.DIRECT)
        # A direct export knows the name of its file from the beginning.
        output, path = self._tasks.files(task.task_id).output, order.path or ""
        if export is None or export.status is TaskStatus.COMPLETED:
            return LoraFile(order.target, str(output / path), _count_keys(output, path))
        return LoraFile(order.target, str(output / path), export=str(self._tasks.files(export.task_id).root))

    def _with_known_base(self, task_id: str, request: SamplingRequest) -> SamplingRequest:
        """Return the request with the hashes of those samples of the base model that were rendered before."""
        keys = _settings_of(request)
        known = self._store.pixels_of_base(task_id, set(keys))
        pixels = {str(index): known[key] for index, key in enumerate(keys) if key in known}
        return replace(request, base_pixels=pixels)

    def _create(self, task: TrainingTask, request: SamplingRequest, actor: str, idempotency_key: str | None) -> str:
        names = [each.checkpoint for each in request.loras]
        order = {
            "task_id": task.task_id,
            "checkpoints": names,
            "seeds": [each.seed for each in request.prompts],
            "strength": request.strength,
        }
        output = self._tasks.files(task.task_id).output
        # An export that has not ended yet makes the others.
        needed = [each.checkpoint for each in request.loras if each.export is None]
        verify = lambda: require_saved(task.task_id, saved_models(output), needed)  # noqa: E731
        sampling_id = self._tasks.create(task, order, request.as_json(), idempotency_key, actor, verify)
        logger.info("sampling submitted", extra={"task_id": sampling_id, "training": task.task_id})
        return sampling_id

    def output_of(self, task_id: str) -> Path:
        """Return the output directory of a task."""
        return self._tasks.files(task_id).output

    def repeat(self, task: TrainingTask, actor: str) -> None:
        """Queue a failed task again, with the present addresses of ComfyUI.

        Raise QuotaExceeded, TaskActive or OSError.
        """
        stored = orjson.loads((self.output_of(task.task_id) / REQUEST_FILE).read_bytes())
        request = replace(SamplingRequest.from_json(stored), servers=self._settings.addresses(next(self._turn)))
        self._tasks.repeat(task, request.as_json(), actor, checkpoint=request.loras[0].checkpoint)

    # -- taking over ---------------------------------------------------------------------------------------------------

    def take_over(self, sampling_id: str) -> None:
        """Record the samples that a task has rendered so far. Repeated calls change nothing.

        Raise DatabaseUnavailable.
        """
        output = self._tasks.files(sampling_id).output
        try:
            status = (output / RESULTS).stat()
            seen = (status.st_size, status.st_mtime_ns)
            if self._taken.get(sampling_id) == seen:
                return
            task = self._samplings.get(sampling_id)
            training = task.request.config["order"]["task_id"]
            request = SamplingRequest.from_json(orjson.loads((output / REQUEST_FILE).read_bytes()))
        except FileNotFoundError:
            return
        except (TaskNotFound, OSError, ValueError, TypeError, KeyError) as error:
            logger.warning("samples cannot be read", extra={"task_id": sampling_id, "problem": str(error)})
            return
        keys, now, prompts = _settings_of(request), self._clock.now(), request.prompts
        found = [
            StoredSample(
                training,
                sampling_id,
                record,
                keys[record.prompt],
                prompts[record.prompt].text,
                prompts[record.prompt].negative,
                now,
            )
            for record in read_records(output)
            if record.prompt in range(len(prompts))
        ]
        self._store.put(found)
        self._taken[sampling_id] = seen

    def end(self, sampling_id: str) -> None:
        """Record the samples of a task that ends."""
        self.take_over(sampling_id)
        self._taken.pop(sampling_id, None)

    # -- reading -------------------------------------------------------------------------------------------------------

    def get_page(
        self, task_id: str, checkpoint: str | None, prompt: str | None, page: PageRequest
    ) -> tuple[Page[TrainingSample], list[str]]:
        """Return samples of a training, newest first, and the ids of the tasks that render more. Raise TaskNotFound."""
        self._trainings.get_summary(task_id)
        rendering = self._take_over_all(task_id)
        name = "" if checkpoint == BASE else checkpoint
        read = lambda limit, offset, cursor: self._store.page(task_id, name, prompt, limit, offset, cursor)  # noqa: E731
        return read_page(read, lambda sample: sample.serial, page).map(_show), rendering

    def _take_over_all(self, task_id: str) -> list[str]:
        """Record what was rendered for a training so far, and return the ids of the tasks that have not ended."""
        statuses = self._samplings.samplings_of(task_id)
        for sampling_id, status in statuses.items():
            if status.is_active:
                self.take_over(sampling_id)
        return sorted(each for each, status in statuses.items() if not status.is_finished)

    def rank(self, task_id: str) -> SampleRanking:
        """Rank the saved models of a training by the ratings of their samples. Raise TaskNotFound."""
        return rank_models(self._grid(task_id))

    def make_sheet(self, task_id: str, form: Literal["png", "html"], names: Sequence[str] | None) -> bytes:
        """Return a contact sheet, of all saved models or of these.

        Raise TaskNotFound, NoPicture, CheckpointNotFound, SheetTooLarge, DecoderBusy.
        """
        # It loads Pillow.
        from api.training.sample_sheet import SIDE, Headings, make_html, make_png  # noqa: PLC0415

        grid, task = self._grid(task_id), self._trainings.get(task_id)
        if names is not None:
            wanted = {"" if name == BASE else name for name in names}
            unknown = wanted - set(grid.rows)
            if unknown:
                raise CheckpointNotFound(
                    f"There are no samples of {min(unknown)!r}.",
                    data={"checkpoints": [row or BASE for row in grid.rows]},
                )
            grid = grid.only(wanted)
        heads = Headings(task.name or task_id, "Base model", task.chosen)
        # A sheet needs up to 100 MB of memory while it is made.
        if not self._sheet_lock.acquire(timeout=_SHEET_WAIT_SECONDS):
            raise DecoderBusy(headers={"Retry-After": "5"})
        try:
            return (make_png if form == "png" else make_html)(grid, heads, lambda sample: self.draw(sample, SIDE))
        finally:
            self._sheet_lock.release()

    def _grid(self, task_id: str) -> SampleGrid:
        self._trainings.get_summary(task_id)
        self._take_over_all(task_id)
        try:
            saved = list(saved_models(self._tasks.files(task_id).output))
        except OSError:
            saved = []
        return arrange(self._store.cells(task_id), saved)

    def get_common(self, task_ids: Sequence[str], most: int) -> tuple[list[list[TrainingSample]], int]:
        """Return the samples of prompts that these trainings share, as `TrainingSampleStore.common` does."""
        for task_id in task_ids:
            self._take_over_all(task_id)
        found, total = self._store.common(task_ids, most)
        return [[_show(sample) for sample in group] for group in found], total

    def find(self, task_id: str, sample_id: str) -> StoredSample:
        """Return a stored sample. Raise TaskNotFound or SampleNotFound."""
        self._trainings.get_summary(task_id)
        return self._store.get(task_id, sample_id)

    def open_file(self, task_id: str, sample_id: str) -> OpenFile:
        """Open the file of a sample for reading. Raise TaskNotFound, SampleNotFound or NoPicture."""
        sample = self.find(task_id, sample_id)
        self._require_storage()
        if sample.record.file is None:
            raise NoPicture("This sample has no picture: its `problem` says why.")
        try:
            return open_artifact(self._tasks.files(sample.sampling_id).output, f"{PICTURES}/{sample.record.file}", "")
        except ArtifactNotFound:
            raise NoPicture("The file of this sample was deleted.") from None

    def best(self, task_id: str, checkpoint: str, limit: int) -> list[tuple[StoredSample, Path]]:
        """Return the samples of a model with their files, the best rated first, without rejected ones."""
        self._require_storage()
        found = self._store.best(task_id, checkpoint, limit)
        pictures = [self._tasks.files(each.sampling_id).output / PICTURES for each in found]
        return [(each, place / str(each.record.file)) for each, place in zip(found, pictures, strict=True)]

    def pictured(self, task_id: str) -> list[str]:
        """Return the saved models of which there are pictures."""
        return self._store.pictured(task_id)

    def draw(self, sample: StoredSample, size: int) -> bytes:
        """Return a JPEG of a sample. Raise NoPicture, DecoderBusy."""
        side, sha256 = side_for(size), sample.record.sha256
        if sample.record.file is None or sha256 is None:
            raise NoPicture("This sample has no picture: its `problem` says why.")
        output = self._tasks.files(sample.sampling_id).output
        thumbnails = ThumbnailStore(output / THUMBNAILS)
        picture = thumbnails.get(sha256, side)
        if picture is None:
            os.close(self.open_file(sample.task_id, sample.sample_id).descriptor)
            path = output / PICTURES / sample.record.file
            picture = self._decoder.thumbnail(MediaSource(path), side) or b""
            try:
                thumbnails.put(sha256, side, picture)
            except OSError as error:
                # The next request makes it again.
                logger.warning("a thumbnail was not stored: %s", error.strerror)
        if not picture:
            raise NoPicture("This sample cannot be shown as a picture.")
        return picture

    def rate(self, task_id: str, sample_id: str, rating: int | None) -> TrainingSample:
        """Rate a sample, or remove its rating. Raise TaskNotFound or SampleNotFound."""
        self._trainings.get_summary(task_id)
        return _show(self._store.rate(task_id, sample_id, rating))


def _fill_in(settings: SetSettings, trigger: str) -> tuple[Prompt, ...]:
    """Return the prompts, each with a seed and the trigger word."""
    spare = secrets.randbelow(2**32) if settings.seed is None else settings.seed
    return tuple(
        Prompt(
            each.text.replace(TRIGGER, trigger),
            spare if each.seed is None else each.seed,
            None if each.negative is None else each.negative.replace(TRIGGER, trigger),
        )
        for each in settings.prompts
    )


def _is_checkpoint(name: str) -> bool:
    return name.startswith("global_step")


def require_saved(task_id: str, saved: Collection[str], names: Iterable[str]) -> None:
    """Raise CheckpointNotFound unless all of these models are saved."""
    unknown = next((name for name in names if name not in saved), None)
    if unknown is not None:
        text = f'{task_id} has no saved model "{unknown[:80]}".'
        raise CheckpointNotFound(text, data={"checkpoints": list(saved)})


def _count_keys(output: Path, path: str) -> int | None:
    """Return the number of a LoRA's tensors, or None if its header cannot be read. Raise CheckpointNotFound."""
    try:
        opened = open_artifact(output, path, "")
    except ArtifactNotFound:
        raise CheckpointNotFound from None
    try:
        header = read_open_header(opened.descriptor, opened.size)
    except (Unsound, OSError):
        return None
    finally:
        os.close(opened.descriptor)
    return None if header is None else len(header.shapes)


def _settings_of(request: SamplingRequest) -> list[str]:
    """Return for each prompt a hash of everything that decides how the base model's picture looks."""
    stored = request.as_json()
    shared = {name: stored[name] for name in ("model_type", "width", "height", "frames", "steps", "base", "graph")}
    common = hashlib.sha256(json.dumps(shared, sort_keys=True).encode())
    found = []
    for prompt in request.prompts:
        one = common.copy()
        one.update(json.dumps(asdict(prompt), sort_keys=True).encode())
        found.append(one.hexdigest())
    return found


def _show(sample: StoredSample) -> TrainingSample:
    record, url = sample.record, f"{BASE_PATH}/training/{sample.task_id}/samples/{sample.sample_id}"
    return TrainingSample(
        sample_id=sample.sample_id,
        task_id=sample.task_id,
        sampling_id=sample.sampling_id,
        checkpoint=record.checkpoint,
        prompt=sample.text,
        prompt_index=record.prompt,
        negative=sample.negative,
        seed=record.seed,
        strength=record.strength,
        settings=sample.settings,
        url=None if record.file is None else f"{url}/file",
        thumbnail=None if record.file is None else f"{url}/thumbnail?file={(record.sha256 or '')[:16]}",
        media_type=None if record.file is None else _MEDIA_TYPES.get(Path(record.file).suffix),
        width=record.width,
        height=record.height,
        frames=record.frames,
        sha256=record.sha256,
        rating=sample.rating,
        keys_missing=record.keys_missing,
        comfyui_version=record.comfyui_version,
        workflow_hash=record.workflow_hash,
        problem=record.problem,
        created_at=sample.created_at,
    )
