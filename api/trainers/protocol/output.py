"""Read the progress of a training from its output."""

import math
import re
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from api.domain.tasks.progress import Point, Progress, Stage
from api.domain.tasks.training import ResumePoint, TrainingPlan
from api.trainers.protocol.phrases import (
    BATCH_SIZE,
    CACHING,
    CACHING_LOGGED,
    DATA_WARNINGS,
    EVALUATING,
    LARGEST_COUNT,
    LEARNING_RATE,
    LOGGED_STEP_PART,
    LOST_FILE,
    NEW_EPOCH,
    RESUMING,
    SAVING_CHECKPOINT,
    SAVING_MODEL,
    STEP,
    is_not_finite,
)

#: Characters of a line that are examined; no meaningful line is longer.
LINE_LIMIT = 4096
WARNING_LIMIT = 500

#: Limits of the warning about files that the trainer leaves out: counted files, named ones, and characters of a name.
LOST_FILES_LIMIT, LOST_NAMES, LOST_NAME_LIMIT = 1000, 10, 60

#: Characters at the end of a path that distinguish it. All of them are part of the watch's note, which has a limit.
_LOST_PATH = 200

#: The tag of the learning rate, which event files lack for some optimizers.
LEARNING_RATE_TAG = "train/learning_rate"

_LOG_PREFIX = re.compile(r"(?:\[[^\]]{1,100}\] ?){1,4}")

#: A progress bar, which other output follows on the same line.
_BAR = re.compile(r"[^|]{0,100}?\d{1,3}%\|[^|]{0,200}\| \d{1,12}/\d{1,12} \[[^\]]{0,100}\]", re.ASCII)

#: A progress bar without a title, which the trainer prints while it caches: done, total and rate.
_CACHING_BAR = re.compile(
    r" {0,3}\d{1,3}%\|[^|]{0,200}\| (\d{1,9})/(\d{1,9}) \[[^\]]{0,60}?, {1,3}(\d{1,9}\.\d\d)(it/s|s/it)\]", re.ASCII
)

_CACHING_BEGINNINGS = (
    CACHING,
    CACHING_LOGGED,
    "Caching ungrouped metadata",
    "Grouped metadata is not cached",
    "Intermediate metadata is not cached",
)
#: Loggers of libraries print `WARNING:root:` and the like, which do not concern the training.
_WARNING_BEGINNINGS = ("WARNING: ", *DATA_WARNINGS)


class LatestMedian:
    """Computes the median of the latest 50 values, kept sorted because every step needs it."""

    LIMIT = 50

    def __init__(self, values: Iterable[float] = ()) -> None:
        self.latest: list[float] = list(values)[-self.LIMIT :]
        self._sorted = sorted(self.latest)

    def add(self, value: float) -> float:
        """Add a value and return the new median."""
        self.latest.append(value)
        insort(self._sorted, value)
        if len(self.latest) > self.LIMIT:
            del self._sorted[bisect_left(self._sorted, self.latest.pop(0))]
        middle, ordered = len(self._sorted) // 2, self._sorted
        return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


class OutputReader:
    """Reads lines in order and maintains the progress; its state can be saved and restored.

    One reader reads one attempt: a resume starts with a new one.
    """

    def __init__(
        self, plan: TrainingPlan, completed_phrase: str, stopped_phrase: str, resumed: ResumePoint | None = None
    ) -> None:
        self.progress = Progress(epochs=plan.epochs, steps_per_epoch=plan.steps_per_epoch, total_steps=plan.total_steps)
        self._phrases = (completed_phrase, stopped_phrase)
        self._completed_phrase = completed_phrase
        self._global_batch_size = plan.global_batch_size
        self._resumed = resumed
        self._max_steps = _max_steps(plan) if resumed is None else plan.max_steps
        if resumed is not None and plan.epochs is not None and plan.steps_per_epoch is not None:
            self.progress.total_steps = resumed.total_steps(plan.epochs, plan.steps_per_epoch, plan.max_steps)
        self._is_consecutive = False  #: whether the latest step number is the previous one plus 1
        self._loss_sum = 0.0  #: sum of this epoch's losses; restarts on a resume, as in the trainer
        self._loss_count = 0
        self._best_epoch_loss: float | None = None
        self._epoch_of_loss = (
            0  #: epoch of the latest epoch loss, so that an older one that comes late does not replace it
        )
        self._lost_files: list[str] = []
        self._lost_error = ""  #: the error of the first of them
        self._durations = LatestMedian()
        self._bar_start: tuple[int, float] | None = None  #: first items of the current bar: number and seconds
        self._handlers: dict[str, Callable[[str, float], Point | None]] = {
            "s": self._read_step,
            "[": self._read_logged,
            "S": self._read_start_or_save,
            "R": self._read_resume_or_eval,
            "G": self._read_batch_size,
            "c": self._read_caching,
            "C": self._read_caching,
            "I": self._read_caching,
            "W": self._read_warning,
            "v": self._read_warning,
            "M": self._read_warning,
        }

    progress: Progress

    def read(self, line: str, at: float) -> Point | None:
        """Read the next line, without its line end, and return the point of the loss for a step line."""
        progress = self.progress
        progress.last_line_at = at
        if progress.stage_since is None:
            progress.stage_since = at
        if len(line) > LINE_LIMIT:
            line = line[:LINE_LIMIT]
        if "%|" in line and (bar := _BAR.match(line)) is not None:
            if progress.stage is Stage.CACHING:
                self._read_caching_bar(line)
            line = line[bar.end() :]
        for phrase in self._phrases:
            # Several ranks may print the phrase before their line ends, so it may repeat in one line.
            if line.startswith(phrase) and not line.replace(phrase, ""):
                self._record_phrase(phrase, at)
        handler = self._handlers.get(line[:1])
        return None if handler is None else handler(line, at)

    def take_point(self, point: Point) -> None:
        """Accept a point of an event file: gradient norm, learning rate, or loss of an epoch."""
        if not math.isfinite(point.value):
            return
        if point.tag == "train/epoch_loss":
            self._record_epoch_loss(point.step, point.value)
        elif point.tag == "train/grad_norm":
            self.progress.grad_norm = point.value
        elif point.tag == "train/automagic_avg_lr":
            self.progress.learning_rate = point.value

    @property
    def step_seconds(self) -> Sequence[float]:
        """The durations of the latest steps, oldest first."""
        return tuple(self._durations.latest)

    def save(self) -> dict[str, Any]:
        """Return the state as JSON."""
        progress = {name: _to_json(getattr(self.progress, name)) for name in _PROGRESS_FIELDS}
        state = {name: _to_json(getattr(self, "_" + name)) for name in _STATE_FIELDS}
        return {"progress": progress, "state": state, "durations": self._durations.latest}

    def restore(self, saved: dict[str, Any]) -> None:
        """Restore the state that `save` returned."""
        for name, value in saved.get("progress", {}).items():
            if name in _PROGRESS_FIELDS:
                setattr(self.progress, name, _from_json(name, value))
        for name, value in saved.get("state", {}).items():
            if name in _STATE_FIELDS:
                setattr(self, "_" + name, _from_json(name, value))
        self._durations = LatestMedian(saved.get("durations", ()))

    def _enter(self, stage: Stage, at: float) -> None:
        if self.progress.stage is not stage:
            self._end_stage(at)
            self.progress.stage = stage

    def _end_stage(self, at: float) -> None:
        spent, stage = self.progress.stage_seconds, self.progress.stage.value
        since = at if self.progress.stage_since is None else self.progress.stage_since
        spent[stage] = spent.get(stage, 0.0) + max(0.0, at - since)
        self.progress.stage_since = at

    def _read_caching_bar(self, line: str) -> None:
        """Read a bar of the trainer's cache. Its first items include the start of processes and models."""
        found = _CACHING_BAR.match(line)
        if found is None:
            return
        done, total, rate = int(found[1]), int(found[2]), float(found[3])
        if not done or not rate:
            return
        seconds = done / rate if found[4] == "it/s" else done * rate
        if done < total:
            self._bar_start = self._bar_start or (done, seconds)
            return
        first, before = self._bar_start or (0, 0.0)
        self._bar_start = None
        self.progress.bar_seconds += seconds
        self.progress.steady_bar_seconds += max(0.0, seconds - before) * total / max(1, total - first)

    def _record_phrase(self, phrase: str, at: float) -> None:
        if phrase not in self.progress.phrases:
            self._end_stage(at)
            self.progress.phrases.add(phrase)
            # No line follows the last epoch; it ends when all its steps were read.
            if phrase == self._completed_phrase and self._loss_count == self.progress.steps_per_epoch:
                self._close_epoch()

    def _read_step(self, line: str, at: float) -> Point | None:
        found = STEP.match(line)
        if found is None:
            return self._read_warning(line, at)
        step = int(found[1])
        if not 1 <= step <= LARGEST_COUNT:
            return None
        # A further step shows that an earlier phrase did not end the training.
        self.progress.phrases.clear()
        self._record_step(step, at)
        self._record_duration(_positive(found[3]), at)
        self.progress.last_step_at = at
        self._enter(Stage.TRAINING, at)
        speed = _positive(found[4])
        if speed is not None:
            self.progress.samples_per_second = speed
        loss = _loss(found[2])
        if loss is None:
            return None
        self._record_loss(loss)
        return Point("train/loss", step, loss, at)

    def _record_step(self, step: int, at: float) -> None:
        progress = self.progress
        if progress.first_step is None:
            progress.first_step = step
            self._is_consecutive = step == 1 or progress.step == step - 1
            if step == 1 and progress.epoch is None:
                progress.epoch, progress.epoch_began_after = 1, 0
        else:
            self._is_consecutive = progress.step == step - 1
        progress.step = step
        if progress.total_steps is not None and step > progress.total_steps:
            progress.total_steps = step

    def _record_duration(self, seconds: float | None, at: float) -> None:
        progress = self.progress
        if seconds is None and progress.last_step_at is not None and progress.stage is Stage.TRAINING:
            seconds = at - progress.last_step_at
        if seconds is None or seconds < 0:
            return
        progress.seconds_per_step = self._durations.add(seconds)
        if progress.longest_step is None or seconds > progress.longest_step:
            progress.longest_step = seconds

    def _record_loss(self, loss: float) -> None:
        progress = self.progress
        progress.loss = loss
        self._loss_sum += loss
        self._loss_count += 1
        if math.isnan(loss):
            progress.nan_in_a_row += 1
            progress.nan_steps += 1
            return
        progress.nan_in_a_row = 0
        if progress.best_loss is None or loss < progress.best_loss:
            progress.best_loss = loss

    def _read_logged(self, line: str, at: float) -> Point | None:
        found = LEARNING_RATE.search(line) if LOGGED_STEP_PART in line else None
        if found is not None:
            rate = _positive(found[2])
            if rate is not None:
                self.progress.learning_rate = rate
                return Point(LEARNING_RATE_TAG, int(found[1]), rate, at)
        elif SAVING_CHECKPOINT in line:
            self._enter(Stage.SAVING, at)
        elif line.startswith(CACHING_LOGGED):
            self._read_caching(line, at)
        elif "[WARNING]" in line[:100]:
            prefix = _LOG_PREFIX.match(line)
            self._warn(line if prefix is None else line[prefix.end() :])
        elif self.progress.stage is Stage.CACHING and "DeepSpeed info: " in line:
            self._enter(Stage.LOADING, at)
        return None

    def _read_caching(self, line: str, at: float) -> Point | None:
        if line.startswith(_CACHING_BEGINNINGS):
            if self.progress.first_step is None:
                self._enter(Stage.CACHING, at)
            return None
        return self._read_warning(line, at)

    def _read_batch_size(self, line: str, at: float) -> Point | None:
        if line.startswith("Grouped metadata"):
            return self._read_caching(line, at)
        found = BATCH_SIZE.match(line)
        if found is not None:
            if self.progress.first_step is None:
                self._enter(Stage.LOADING, at)
            planned = self._global_batch_size
            if planned is not None and int(found[1]) != planned:
                self._warn(f"the trainer's global batch size is {int(found[1])}; {planned} was planned")
        return None

    def _read_resume_or_eval(self, line: str, at: float) -> Point | None:
        if line.startswith(EVALUATING):
            self._enter(Stage.EVALUATING, at)
            return None
        found = RESUMING.match(line)
        if found is not None:
            epoch, step = int(found[1]), int(found[2])
            if 1 <= epoch <= LARGEST_COUNT and 1 <= step <= LARGEST_COUNT:
                self._enter(Stage.LOADING, at)
                self.progress.epoch, self.progress.epoch_began_after = epoch, None
                self.progress.step = step - 1
                if self._resumed is not None and (self._resumed.epoch, self._resumed.step) == (epoch, step - 1):
                    self.progress.epoch_began_after = step - 1 - self._resumed.skipped
                self._update_total()
        return None

    def _read_start_or_save(self, line: str, at: float) -> Point | None:
        if line.startswith(SAVING_MODEL):
            self._enter(Stage.SAVING, at)
            return None
        found = NEW_EPOCH.match(line)
        if found is not None and 1 <= int(found[1]) <= LARGEST_COUNT:
            self._start_epoch(int(found[1]))
        return None

    def _start_epoch(self, epoch: int) -> None:
        """Start an epoch. The steps between two starts give the length of an epoch."""
        progress = self.progress
        self._close_epoch()
        step = progress.step if self._is_consecutive else None
        if step is not None and progress.epoch_began_after is not None and progress.epoch == epoch - 1:
            steps = step - progress.epoch_began_after
            if steps > 0:
                progress.steps_per_epoch = steps
        progress.epoch, progress.epoch_began_after = epoch, step
        self._update_total()

    def _close_epoch(self) -> None:
        if self._loss_count and self.progress.epoch is not None and math.isfinite(self._loss_sum):
            self._record_epoch_loss(self.progress.epoch, self._loss_sum / self._loss_count)
        self._loss_sum, self._loss_count = 0.0, 0

    def _record_epoch_loss(self, epoch: int, loss: float) -> None:
        if epoch >= self._epoch_of_loss:
            self.progress.epoch_loss, self._epoch_of_loss = loss, epoch
        best = self._best_epoch_loss
        if best is None or loss < best or epoch == self.progress.best_epoch:
            self._best_epoch_loss = loss
            self.progress.best_epoch = epoch

    def _update_total(self) -> None:
        progress = self.progress
        total: int | None = None
        if progress.epochs is not None and progress.steps_per_epoch is not None:
            total = progress.epochs * progress.steps_per_epoch
            if progress.epoch is not None and progress.epoch_began_after is not None:
                left = max(1, progress.epochs - progress.epoch + 1)
                total = progress.epoch_began_after + left * progress.steps_per_epoch
        if self._max_steps is not None:
            total = self._max_steps if total is None else min(total, self._max_steps)
        if total is not None:
            progress.total_steps = max(total, progress.step or 0)

    def _read_warning(self, line: str, at: float) -> Point | None:
        if line.startswith(_WARNING_BEGINNINGS):
            self._warn(line)
        return None

    def _warn(self, text: str) -> None:
        lost = LOST_FILE.match(text)
        if lost is not None:
            self._count_lost_file(lost[1], lost[2])
            return
        warnings, text = self.progress.warnings, text[:WARNING_LIMIT].strip()
        if text and text not in warnings:
            warnings.append(text)

    def _count_lost_file(self, path: str, error: str) -> None:
        """Count a file that the trainer leaves out, in one warning for all of them."""
        path = path[-_LOST_PATH:]
        if path in self._lost_files or len(self._lost_files) >= LOST_FILES_LIMIT:
            return
        warnings = self.progress.warnings
        with suppress(ValueError):
            warnings.remove(_describe_lost_files(self._lost_files, self._lost_error))
        self._lost_error = self._lost_error or error[: WARNING_LIMIT // 2].strip()
        self._lost_files.append(path)
        warnings.append(_describe_lost_files(self._lost_files, self._lost_error))


def _describe_lost_files(paths: Sequence[str], error: str) -> str:
    names = [path.rpartition("/")[2][:LOST_NAME_LIMIT] for path in paths[:LOST_NAMES]]
    more = f" and {len(paths) - LOST_NAMES} more" if len(paths) > LOST_NAMES else ""
    count = f"at least {len(paths)}" if len(paths) >= LOST_FILES_LIMIT else str(len(paths))
    files, them = (f"{count} files were", "them") if len(paths) != 1 else ("1 file was", "it")
    what = f"{files} left out because the trainer could not open {them}: {', '.join(names)}{more}."
    if "has no attribute 'get_frame" in error:
        return f"{what} Its ComfyUI is too old: run `git submodule update --init --recursive` in its directory."
    return f"{what} The first error: {error}" if error else what


_PROGRESS_FIELDS = frozenset(Progress.__dataclass_fields__)
_STATE_FIELDS = frozenset(
    {"lost_files", "lost_error", "is_consecutive", "loss_sum", "loss_count", "best_epoch_loss", "epoch_of_loss"}
)


def _max_steps(plan: TrainingPlan) -> int | None:
    """Return the plan's limit of steps, or its total if the epochs do not explain it, else None."""
    if plan.max_steps is not None:
        return plan.max_steps
    if plan.total_steps is None or plan.epochs is None or plan.steps_per_epoch is None:
        return plan.total_steps
    return plan.total_steps if plan.total_steps < plan.epochs * plan.steps_per_epoch else None


def _loss(text: str) -> float | None:
    """Return a printed loss (infinity as NaN), or None if it is not a number."""
    if is_not_finite(text):
        return math.nan
    return _finite(text)


def _positive(text: str | None) -> float | None:
    number = None if text is None else _finite(text)
    return number if number is not None and number >= 0 else None


def _finite(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _to_json(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return sorted(value) if isinstance(value, set) else list(value) if isinstance(value, deque) else value


def _from_json(name: str, value: Any) -> Any:
    if name == "lost_error":
        return str(value)
    if name == "lost_files":
        return [str(each)[-_LOST_PATH:] for each in value[:LOST_FILES_LIMIT]]
    if name == "stage":
        return Stage(value)
    if name == "stage_seconds":
        return {str(stage): float(seconds) for stage, seconds in dict(value).items()}
    if name == "phrases":
        return set(value)
    if name == "warnings":
        return deque(value, maxlen=20)
    return float(value) if isinstance(value, str) else value
