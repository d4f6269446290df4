"""Comparisons of trainings: curves on one axis, settings that differ, figures, and samples of the same prompts."""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from api.domain.access.read_scope import current_scope
from api.domain.finding import pointer
from api.domain.samples.training_sample import TrainingSample
from api.domain.tasks.training import Attempt, TrainingTask
from api.errors import HiddenTask
from api.gpus.service import GPUService
from api.trainers.diffusion_pipe.config.checkout import COMMIT_FILE, TORCH_FILE, read_recorded
from api.trainers.diffusion_pipe.config.findings import Findings
from api.trainers.diffusion_pipe.config.request import read
from api.training.attempts.watch.series import list_stretches
from api.training.comparison.views import (
    CommonPrompt,
    ComparedSample,
    ComparedSetting,
    ComparedTraining,
    ComparedTrainings,
    ComparisonAxis,
)
from api.training.output.artifacts import saved_at
from api.training.output.model_downloads import base_path_of
from api.training.records.attempt_store import AttemptStore
from api.training.task_answers import ProgressAnswers
from api.training.view_builders import show_progress_of
from api.training.views import TaskProgressView
from api.util.clock import Clock
from api.util.copying import copy_fields

if TYPE_CHECKING:
    from api.training.comparison.series import Course

#: Limits of an answer: trainings, values of one series, settings, and prompts.
LEAST_TRAININGS, MOST_TRAININGS, MOST_VALUES, MOST_SETTINGS, MOST_PROMPTS = 2, 8, 2000, 2000, 24

#: Characters of a setting that are shown; longer texts are compared as a whole.
_MOST_TEXT = 500

_PINNED = re.compile(r"[^@]{1,100}@(sha256:[0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class _Compared:
    """One training with what is known of it."""

    task: TrainingTask
    attempts: Sequence[Attempt]
    now: TaskProgressView
    course: "Course"


class CommonSamples(Protocol):
    """The samples of several trainings."""

    def get_common(self, task_ids: Sequence[str], most: int) -> tuple[list[list[TrainingSample]], int]:
        """Return the samples of prompts that these trainings share, by prompt, and the number of such prompts."""
        ...


class TrainingComparison:
    """The use case of `/training/compare`."""

    def __init__(
        self,
        attempts: AttemptStore,
        progress: ProgressAnswers,
        samples: CommonSamples,
        gpus: GPUService,
        clock: Clock,
        require_storage: Callable[[], None],
    ) -> None:
        """Create the service. `attempts` finds trainings only. `require_storage` raises StorageGone."""
        self._attempts = attempts
        self._progress = progress
        self._samples = samples
        self._gpus = gpus
        self._clock = clock
        self._require_storage = require_storage

    def compare(
        self, task_ids: Sequence[str], metrics: Sequence[str], axis: ComparisonAxis, limit: int, *, all_settings: bool
    ) -> ComparedTrainings:
        """Compare trainings that the reader may see. Raise TaskNotFound or StorageGone."""
        self._require_storage()
        compared = [self._find(task_id) for task_id in task_ids]
        names = {gpu.uuid: gpu.name for gpu in self._gpus.get_all_gpus()}
        gpus = [_gpu_names(each, names) for each in compared]
        settings = compare_settings([_describe(each, own) for each, own in zip(compared, gpus, strict=True)])
        settings = [each for each in settings if each.differs or all_settings]
        prompts, prompts_total = self._samples.get_common(task_ids, MOST_PROMPTS)
        limit = min(limit, MOST_VALUES)
        return ComparedTrainings(
            axis=axis,
            trainings=tuple(_summarize(each, own) for each, own in zip(compared, gpus, strict=True)),
            series=tuple(
                series
                for metric in metrics
                for each in compared
                for series in each.course.show(each.task.task_id, metric, axis, limit)
            ),
            available=tuple(sorted(set().union(*[each.course.available for each in compared]))),
            settings=tuple(settings[:MOST_SETTINGS]),
            settings_total=len(settings),
            prompts=tuple(_show_prompt(group, compared, axis) for group in prompts),
            prompts_total=prompts_total,
        )

    def _find(self, task_id: str) -> _Compared:
        # NumPy takes long to import, and only series need it.
        from api.training.comparison.series import Course  # noqa: PLC0415

        task, attempts = self._attempts.with_task(task_id)
        if not current_scope.get().sees(task.owner):
            raise HiddenTask.named(task_id)
        now = show_progress_of(task, attempts, self._progress.live(task, attempts), self._clock.now(), None)
        runs = [
            (each.started_at.timestamp(), None if each.ended_at is None else each.ended_at.timestamp())
            for each in attempts
            if each.started_at is not None
        ]
        per_epoch = now.progress.steps_per_epoch or task.plan.steps_per_epoch or None
        batch = task.plan.global_batch_size or None
        return _Compared(task, attempts, now, Course(list_stretches(attempts), runs, per_epoch, batch))


def _gpu_names(compared: _Compared, names: Mapping[str | None, str | None]) -> tuple[str | None, ...]:
    return tuple(names.get(uuid) for uuid in compared.attempts[-1].gpu_uuids) if compared.attempts else ()


def _summarize(compared: _Compared, gpu_names: tuple[str | None, ...]) -> ComparedTraining:
    task, progress = compared.task, compared.now.progress
    return copy_fields(
        ComparedTraining,
        task,
        step=progress.current_step,
        total_steps=progress.total_steps or task.plan.total_steps,
        steps_per_epoch=compared.course.steps_per_epoch,
        global_batch_size=compared.course.examples_per_step,
        duration=progress.training_time,
        seconds_per_step=compared.now.speed.time_per_step,
        losses=compared.course.losses(),
        gpu_names=gpu_names,
        datasets=task.plan.datasets,
    )


def _show_prompt(group: Sequence[TrainingSample], compared: Sequence[_Compared], axis: ComparisonAxis) -> CommonPrompt:
    def show(sample: TrainingSample, course: "Course") -> ComparedSample:
        saved = sample.checkpoint
        x = 0.0 if saved is None else course.place_saved(*saved_at(saved), axis)
        given = (sample.url, sample.thumbnail, sample.frames, sample.rating, sample.problem)
        return ComparedSample(sample.sample_id, saved, x, *given)

    shown = (
        [show(sample, each.course) for sample in group if sample.task_id == each.task.task_id] for each in compared
    )
    by_position = tuple(tuple(sorted(own, key=lambda each: math.inf if each.x is None else each.x)) for own in shown)
    return CommonPrompt(group[0].prompt, group[0].seed, by_position)


# -- settings --------------------------------------------------------------------------------------------------------


def _describe(compared: _Compared, gpu_names: Sequence[str | None]) -> dict[str, Any]:
    """Return the settings of a training in the form that the trainer reads, and its environment."""
    task, directory = compared.task, Path(compared.attempts[-1].directory) if compared.attempts else None
    documents = read(task.request, Findings())
    config, dataset = ({} if each is None else each.values for each in (documents.config, documents.dataset))
    base = base_path_of(task)
    commit, torch = (directory and read_recorded(directory, name) for name in (COMMIT_FILE, TORCH_FILE))
    pins = {pin.manifest: f"{pin.dataset}@{pin.version}" for pin in task.plan.datasets}
    return {
        "model_type": task.model_type,
        "base_model": None if base is None else str(base),
        "config": _with_versions(config, pins),
        "dataset": _with_versions(dataset, pins),
        "environment": {
            "trainer_commit": commit,
            "torch": torch,
            "gpus": list(gpu_names) or None,
        },
    }


def _with_versions(value: Any, pins: Mapping[str, str]) -> Any:
    """Return the value with `name@3` in place of references to dataset versions by their hash."""
    if isinstance(value, Mapping):
        return {name: _with_versions(inner, pins) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_with_versions(inner, pins) for inner in value]
    found = _PINNED.fullmatch(value) if isinstance(value, str) else None
    return value if found is None else pins.get(found[1], value)


def compare_settings(documents: Sequence[Mapping[str, Any]]) -> list[ComparedSetting]:
    """Return each setting that at least one document has, by pointer, in the order of the documents."""
    flat = [dict(_flatten(document)) for document in documents]
    rows = []
    for name in dict.fromkeys(name for each in flat for name in each):
        values = [each.get(name) for each in flat]
        differs = len({repr(_plain(value)) for value in values}) > 1
        rows.append(ComparedSetting(name, tuple(_shown(value) for value in values), differs))
    return rows


def _plain(value: Any) -> Any:
    """Return a value whose text is the same for equal settings: 1 and 1.0 are, 1 and true are not."""
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _flatten(value: Any, *path: str | int) -> Iterator[tuple[str, Any]]:
    """Yield the pointer and the value of each leaf. A list without objects is a leaf; an empty object has none."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flatten(inner, *path, name)
    elif isinstance(value, list) and any(isinstance(inner, Mapping) for inner in value):
        for index, inner in enumerate(value):
            yield from _flatten(inner, *path, index)
    else:
        yield pointer(*path), value


def _shown(value: Any) -> Any:
    """Return the value as bounded JSON, which has neither infinite nor very large numbers."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float) and abs(value) < 2**63:
        return value
    shown = [_shown(inner) for inner in value] if isinstance(value, list) else str(value)
    text = str(shown)
    return shown if len(text) <= _MOST_TEXT else text[:_MOST_TEXT] + "…"
