"""What an ended rehearsal shows about the whole training: its figures."""

from statistics import fmean, median

from api.domain.tasks.progress import Stage
from api.domain.tasks.rehearsal import PlannedRehearsal, RehearsalResult
from api.files.task_files import TaskFiles
from api.training.attempts.watch.watch import AttemptWatch
from api.training.output.artifacts import list_artifacts
from api.util.files.foreign_trees import walk

#: Levels of a task's path in which links are not followed, and the most cache files that are counted.
_LEVELS = 2
_MAX_FILES = 10_000


def summarise(watch: AttemptWatch, files: TaskFiles) -> RehearsalResult:
    """Return the measurements of an ended rehearsal, complete or not. Raise OSError if its files are unreadable."""
    planned = watch.task.plan.rehearsal or PlannedRehearsal()
    progress, spent = watch.progress, watch.progress.stage_seconds
    pace, saving = _pace(watch, planned), spent.get(Stage.SAVING)
    loading = None if progress.first_step is None else spent.get(Stage.LOADING)
    caching = None if progress.first_step is None else _caching(watch, planned)
    model = sum(found.size_bytes for found in list_artifacts(files.output, {}, "") if found.kind == "model") or None
    checkpoint = next((found.size_bytes for found in reversed(watch.checkpoints) if found.is_complete), None)
    cache = _cache_bytes(planned, files)
    seconds = disk = None
    if pace is not None and planned.total_steps is not None:
        models, each = planned.saved_models or 0, (saving or 0) / 2
        steps = planned.total_steps * pace + models * each
        checkpoints = count_checkpoints(planned, planned.total_steps, steps, each)
        seconds = round((loading or 0) + (caching or 0) + steps + checkpoints * each, 1)
    if None not in (model, checkpoint, cache, planned.saved_models, planned.stored_checkpoints):
        disk = (model or 0) * (planned.saved_models or 0) + (checkpoint or 0) * (planned.stored_checkpoints or 0)
        disk += cache or 0
    return RehearsalResult(
        steps=None if progress.first_step is None else progress.step,
        seconds_per_step=pace,
        peak_memory_mb={uuid: watch.peaks.get(uuid) for uuid in watch.attempt.gpu_uuids},
        loading_seconds=_round(loading),
        caching_seconds=_round(caching),
        saving_seconds=_round(saving),
        saved_model_bytes=model,
        checkpoint_bytes=checkpoint,
        cache_bytes=cache,
        total_steps=planned.total_steps,
        estimated_duration=seconds,
        disk_mb=None if disk is None else -(-disk // 2**20),
    )


def _round(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


def count_checkpoints(planned: PlannedRehearsal, total_steps: int, seconds: float, each: float) -> int:
    """Return the number of checkpoints of a training whose steps and saved models take this long.

    `each` is the duration of a checkpoint in seconds, which counts towards the time until the next one.
    """
    if not planned.checkpoint_minutes:
        return planned.checkpoints or 0
    between = planned.checkpoint_steps or total_steps
    left = max(0.0, 60 * planned.checkpoint_minutes - each)
    # The trainer looks at the clock after each step. The time begins again with every checkpoint.
    period = 1 + (int(left * total_steps / seconds) if seconds else total_steps)
    stretches, rest = divmod(total_steps, between)
    return stretches * (1 + (between - 1) // period) + (1 + (rest - 1) // period if rest else 0)


def _pace(watch: AttemptWatch, planned: PlannedRehearsal) -> float | None:
    """Return the expected mean of the seconds per step. The first step includes a warm-up."""
    times = sorted(watch.step_seconds[1:])
    if not times:
        return None
    half, weight = len(times) // 2, planned.first_weight
    if weight is not None and half:
        # Each of the two items has half of the steps, and those of the first take longer.
        return round(weight * fmean(times[-half:]) + (1 - weight) * fmean(times[:half]), 4)
    return round(median(times) if planned.is_uniform else fmean(times), 4)


def _caching(watch: AttemptWatch, planned: PlannedRehearsal) -> float:
    """Return the seconds that caching the whole dataset takes: a fixed part, and one that grows with its items."""
    if planned.is_cached:
        return 0.0
    progress = watch.progress
    spent = progress.stage_seconds.get(Stage.CACHING, 0.0)
    if not planned.items or planned.dataset_items is None or not progress.bar_seconds:
        return spent
    measured = min(spent, progress.bar_seconds)
    each = progress.steady_bar_seconds * measured / progress.bar_seconds / len(planned.items)
    return spent - measured + each * planned.dataset_items


def _cache_bytes(planned: PlannedRehearsal, files: TaskFiles) -> int | None:
    if planned.is_cached or not planned.items:
        return 0
    size = sum(status.st_size for path, status in walk(str(files.datasets), _LEVELS, _MAX_FILES) if "/cache/" in path)
    if not size or planned.dataset_items is None:
        return None
    return size * planned.dataset_items // len(planned.items)
