"""Render samples of saved models: create the tasks that have ComfyUI render them."""

import logging
import os
import secrets
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from api.domain.datasets.dataset import PinnedDataset
from api.domain.finding import finding_of, make_finding
from api.domain.reason import Reason
from api.domain.samples.sample_set import TRIGGER, SampleOrder, SamplingSpec, SetSettings
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import TaskStatus, TrainingRequest, TrainingTask
from api.errors import (
    ArtifactNotFound,
    CheckpointNotFound,
    Finding,
    FindingText,
    Invalid,
    NoSavedModel,
    NoWorkflow,
    SamplingUnavailable,
)
from api.files.task_files import TaskStorage
from api.files.weights.header import Unsound, read_open_header
from api.jobs.sampling.request import ComfyAddress, LoraFile, Prompt, SamplingRequest, read_request
from api.jobs.sampling.workflows import RECIPES
from api.training.output.artifacts import open_artifact, saved_models
from api.training.output.export_order import ExportMethod
from api.training.output.exports import Exports
from api.training.output.follow_up_tasks import FollowUpTasks
from api.training.output.model_downloads import base_path_of, find_trigger_word
from api.training.records.sample_store import TrainingSampleStore
from api.training.records.task_store import TaskStore
from api.util.copying import copy_fields

logger = logging.getLogger(__name__)

#: Most saved models of a request.
MOST_CHECKPOINTS = 50

#: Most earlier tasks of a training in which a task looks for samples of the base model.
_MOST_EARLIER = 100


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


class SampleRendering:
    """Creates tasks that render samples. Thread-safe."""

    def __init__(
        self,
        tasks: FollowUpTasks,
        trainings: TaskStore,
        store: TrainingSampleStore,
        settings: SamplerSettings,
        exports: Exports,
        storage: TaskStorage,
    ) -> None:
        """Create the service. `exports` makes LoRAs of checkpoints."""
        self._tasks = tasks
        self._trainings = trainings
        self._store = store
        self._settings = settings
        self._exports = exports
        self._storage = storage
        self._turn = count()

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
        self._storage.require()
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
        request = copy_fields(
            SamplingRequest,
            settings,
            wanted,
            self._settings,
            loras=tuple(self._loras(task, checkpoints, actor)),
            prompts=_fill_in(settings, trigger or ""),
            model_type=task.model_type,
            base=None if base is None else base.name,
            servers=self._settings.addresses(next(self._turn)),
        )
        return self._create(task, self._with_earlier(task_id, request), actor, idempotency_key)

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
            raise Invalid(
                mistakes=[
                    make_finding(
                        "/trigger",
                        FindingText(
                            "trigger_unknown",
                            "The prompts contain {trigger}, and no trigger word of the dataset is known.",
                            "Give it as the trigger word, or write it into the prompts.",
                        ),
                    )
                ]
            )

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
            return make_finding(
                "/samples",
                FindingText(
                    "no_comfyui",
                    "There is no ComfyUI to render samples: set {settings}.",
                    "Leave `samples` out, or ask an administrator.",
                ),
                settings=" and ".join(missing),
            )
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
        output = self._storage.files(task.task_id).output
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
        output, path = self._storage.files(task.task_id).output, order.path or ""
        if export is None or export.status is TaskStatus.COMPLETED:
            return LoraFile(order.target, str(output / path), _count_keys(output, path))
        return LoraFile(order.target, str(output / path), export=str(self._storage.files(export.task_id).root))

    def _with_earlier(self, task_id: str, request: SamplingRequest) -> SamplingRequest:
        """Return the request with the tasks whose samples of the base model need not be rendered again."""
        found = sorted(self._trainings.samplings_of(task_id))[-_MOST_EARLIER:]  # their ids begin with the time
        return replace(request, earlier=tuple(str(self.output_of(each)) for each in found))

    def _create(self, task: TrainingTask, request: SamplingRequest, actor: str, idempotency_key: str | None) -> str:
        names = [each.checkpoint for each in request.loras]
        order = {
            "task_id": task.task_id,
            "checkpoints": names,
            "seeds": [each.seed for each in request.prompts],
            "strength": request.strength,
        }
        output = self._storage.files(task.task_id).output
        # An export that has not ended yet makes the others.
        needed = [each.checkpoint for each in request.loras if each.export is None]
        verify = lambda: require_saved(task.task_id, saved_models(output), needed)  # noqa: E731
        sampling_id = self._tasks.create(task, order, request.as_json(), idempotency_key, actor, verify)
        logger.info("sampling submitted", extra={"task_id": sampling_id, "training": task.task_id})
        return sampling_id

    def output_of(self, task_id: str) -> Path:
        """Return the output directory of a task."""
        return self._storage.files(task_id).output

    def repeat(self, task: TrainingTask, actor: str) -> None:
        """Queue a failed task again, with the present addresses of ComfyUI.

        Raise QuotaExceeded, TaskActive or OSError.
        """
        stored = read_request(self._storage.files(task.task_id).output)
        request = replace(stored, servers=self._settings.addresses(next(self._turn)))
        request = self._with_earlier(task.request.config["order"]["task_id"], request)
        self._tasks.repeat(task, request.as_json(), actor, checkpoint=request.loras[0].checkpoint)


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
