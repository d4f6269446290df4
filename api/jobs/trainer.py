"""Jobs as the training loop sees them: the command of an attempt, how it is stopped, and what its output means.

Each attempt has a run directory below the task's output directory. A file in it asks the program to stop, and the
program leaves a file there when its results are complete.
"""

import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import api
from api.domain.log import LogLevel, LogType, Meaning
from api.domain.tasks.cause import Cause, CauseCode
from api.domain.tasks.progress import Point, Progress, Stage
from api.domain.tasks.training import Checkpoint, ResumePoint, TrainingPlan, TrainingRequest
from api.errors import Finding
from api.jobs.kinds import DONE_FILE, STOP_FILE, STOPPED_FILE, JobKind
from api.jobs.messages import MARK, STEP_PREFIX, JobMessage, MessageKind, read_message
from api.trainers.failures.diagnosis import diagnose
from api.trainers.protocol.log_lines import LineClassifier
from api.trainers.trainer import Check, Command, Ending, Launch
from api.util.clock import time_of
from api.util.files.foreign_files import status_of
from api.util.files.foreign_trees import list_names
from api.util.text.formatting import as_sentence

_ENDED_EARLY = Cause.of(
    CauseCode.DID_NOT_TRAIN,
    "job_ended_early",
    "It ended before its work was done.",
    "Read the end of the log, then start it again.",
)

_SAVED_FIELDS = ("step", "first_step", "total_steps", "stage_since", "last_step_at", "last_line_at", "activity")


@dataclass(slots=True)
class ReportedProgress(Progress):
    """Progress as the program itself reports it, because its items differ greatly in size."""

    done_percent: float | None = None
    seconds_left: float | None = None

    @property
    def overall_progress(self) -> float | None:
        """The reported progress, 0 to 100."""
        return self.done_percent

    @property
    def eta_seconds(self) -> float | None:
        """The reported remaining seconds."""
        return self.seconds_left


#: The directory that holds the package, for programs that start in another directory.
_PACKAGE_ROOT = Path(api.__file__).resolve().parents[1]

_RUN_PREFIX = "run_"
_MAX_RUN_DIGITS = 9

_MEANINGS = {
    MessageKind.PROGRESS: (LogLevel.INFO, LogType.TRAIN),
    MessageKind.ACTIVITY: (LogLevel.INFO, LogType.SYSTEM),
    MessageKind.WARNING: (LogLevel.WARNING, LogType.SYSTEM),
    MessageKind.FAILED: (LogLevel.ERROR, LogType.SYSTEM),
    MessageKind.REASON: (LogLevel.DEBUG, LogType.SYSTEM),
}


class MessageReader:
    """Follows the progress of a job by the messages in its output."""

    def __init__(self, kind: JobKind, total: int | None = None) -> None:
        self.reported = ReportedProgress(stage=Stage.TRAINING, total_steps=total)
        self.progress: Progress = self.reported
        self._phrases = (kind.completed_phrase, kind.stopped_phrase)

    def read(self, line: str, at: float) -> Point | None:
        """Read the next line. Jobs have no series, so there is never a point."""
        progress = self.reported
        progress.last_line_at = at
        progress.stage_since = at if progress.stage_since is None else progress.stage_since
        if line in self._phrases:
            progress.phrases.add(line)
        elif (message := read_message(line)) is not None:
            self._take(message, at)
        return None

    def _take(self, message: JobMessage, at: float) -> None:
        progress = self.reported
        if message.kind is MessageKind.PROGRESS:
            # A phrase counts only at the very end.
            progress.phrases.clear()
            progress.step, progress.total_steps = min(message.step, message.total), message.total
            progress.first_step = progress.step if progress.first_step is None else progress.first_step
            progress.done_percent, progress.seconds_left = message.percent, message.seconds_left
            progress.last_step_at = at
        elif message.kind is MessageKind.ACTIVITY:
            progress.activity, progress.last_step_at = message.text, at
        elif message.kind is MessageKind.WARNING and message.text not in progress.warnings:
            progress.warnings.append(message.text)

    def take_point(self, point: Point) -> None:
        """Ignore the point: the program writes no event files."""

    @property
    def step_seconds(self) -> Sequence[float]:
        """Nothing: a program has no steps of equal work."""
        return ()

    def save(self) -> dict[str, Any]:
        """Return the state as JSON."""
        reported = self.reported
        values: dict[str, Any] = {name: getattr(reported, name) for name in _SAVED_FIELDS}
        figures = {"percent": reported.done_percent, "left": reported.seconds_left}
        return {**values, **figures, "phrases": sorted(reported.phrases), "warnings": list(reported.warnings)}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Restore the state that `save` returned. Raise TypeError or ValueError if it is damaged."""
        reported = self.reported
        for name in _SAVED_FIELDS:
            value = saved.get(name)
            if value is not None and not isinstance(value, str if name == "activity" else (int, float)):
                raise TypeError(f"{name} has the wrong type")
            setattr(reported, name, value)
        percent, left = saved.get("percent"), saved.get("left")
        reported.done_percent = None if percent is None else float(percent)
        reported.seconds_left = None if left is None else float(left)
        reported.phrases.update(str(each) for each in saved.get("phrases", ()))
        reported.warnings.extend(str(each) for each in saved.get("warnings", ()))


class MessageClassifier:
    """Classifies the lines of a job's log, from anywhere in it."""

    def __init__(self, kind: JobKind) -> None:
        self._phrases = (kind.completed_phrase, kind.stopped_phrase)
        self._others = LineClassifier()

    def read(self, text: str) -> Meaning:
        """Return the meaning of the next line, with the readable text of a JSON message."""
        if text in self._phrases:
            return Meaning(LogLevel.INFO, LogType.TRAIN)
        message = read_message(text)
        if message is None:
            return self._others.read(text)
        step = message.step if message.kind is MessageKind.PROGRESS else None
        return Meaning(*_MEANINGS[message.kind], step=step, shown=message.text if text.startswith(MARK) else None)


class JobTrainer:
    """Runs the program of one kind of job."""

    model_types: frozenset[str] = frozenset()  #: jobs are not chosen by a model type
    step_prefix = STEP_PREFIX

    def __init__(self, kind: JobKind, threads: int = 1, python: str = sys.executable) -> None:
        self.name = kind.name
        self.completed_phrase = kind.completed_phrase
        self.stopped_phrase = kind.stopped_phrase
        self._kind = kind
        self._threads = threads
        self._python = python

    def problems(self) -> tuple[Finding, ...]:
        """Return nothing: the programs come with the service."""
        return ()

    def check(self, request: TrainingRequest, output_dir: Path) -> Check:
        """Return the plan. The service that made the task has checked its request."""
        return Check(plan=TrainingPlan(self.name, request.model_type, request.gpu_count))

    def without_secrets(self, request: TrainingRequest) -> TrainingRequest:
        """Return the request unchanged: it holds no secrets."""
        return request

    def prepare(self, request: TrainingRequest, plan: TrainingPlan, launch: Launch) -> Command:
        """Return the command of one attempt. Raises ValueError or OSError if the task's request file is missing."""
        kind, threads = self._kind, str(self._threads)
        if not status_of(str(launch.output_dir / kind.request_file), levels=2).st_size:
            raise ValueError(f"{kind.request_file} in the task's output directory is empty")
        work = ("--work", str(launch.output_dir), "--run", run_name(launch), "--threads", threads)
        return Command(
            argv=(self._python, "-P", "-u", "-m", kind.module, *work),
            cwd=launch.directory,
            env={"PYTHONPATH": str(_PACKAGE_ROOT), "OMP_NUM_THREADS": threads, **kind.environment},
            files={},
            is_own=kind.is_own,
        )

    def create_reader(self, plan: TrainingPlan, resumed: ResumePoint | None = None) -> MessageReader:
        """Return a new reader of this task's output."""
        return MessageReader(self._kind, plan.total_steps)

    def create_classifier(self, steps_per_epoch: int | None) -> MessageClassifier:
        """Return a new classifier of log lines."""
        return MessageClassifier(self._kind)

    def find_resume_point(self, run_dir: Path, checkpoint: str) -> ResumePoint | None:
        """Return None: each run starts from the list of its items."""
        return None

    def find_run_dir(self, output_dir: Path) -> Path | None:
        """Return the run directory of the latest attempt; None before the first. Raises OSError."""
        names = list_names(str(output_dir), levels=2)[0]
        numbers = [name.removeprefix(_RUN_PREFIX) for name in names if name.startswith(_RUN_PREFIX)]
        known = [int(each) for each in numbers if each.isascii() and each.isdigit() and len(each) <= _MAX_RUN_DIGITS]
        return output_dir / f"{_RUN_PREFIX}{max(known)}" if known else None

    def checkpoints(self, run_dir: Path) -> tuple[Checkpoint, ...]:
        """Return the file that marks the results of a run as complete, as its checkpoint. Raises OSError."""
        for name in (DONE_FILE, STOPPED_FILE):
            try:
                status = status_of(str(run_dir / name))
            except FileNotFoundError:
                continue
            made = time_of(status.st_mtime)
            return (Checkpoint(name, None, status.st_size, made, is_complete=True, is_latest=True),)
        return ()

    def signal_file(self, run_dir: Path) -> Path:
        """Return the file whose presence asks the program to stop."""
        return run_dir / STOP_FILE

    def save_file(self, run_dir: Path) -> Path:
        """Return a file that programs ignore: they store each result immediately."""
        return run_dir / "save"

    def prepare_resume(self, run_dir: Path, checkpoint: str | None) -> None:
        """Change nothing: programs find earlier results by name or hash."""

    def hide_checkpoint(self, run_dir: Path, name: str) -> None:
        """Change nothing: programs save no checkpoints."""

    def unhide_checkpoint(self, run_dir: Path, name: str) -> None:
        """Change nothing: nothing is hidden."""

    def delete_hidden(self, run_dir: Path) -> bool:
        """Delete nothing: nothing is hidden."""
        return True

    def diagnose(self, ending: Ending) -> Cause:
        """Return why an attempt failed: the failure that its program reported, else what its last lines show."""
        read = [read_message(line) for line in ("", *ending.last_lines)]
        for before, message in reversed(tuple(pairwise(read))):
            if message is not None and message.kind is MessageKind.FAILED and ending.exit_code == 1:
                return self._reported_cause(message, before)
        if self._kind.too_long is not None and ending.signal == signal.SIGVTALRM:
            detail, remedy = self._kind.too_long
            code = CauseCode.REFUSED_FILE
            return Cause(code, detail.text, remedy.text, detail_code=detail.said, remedy_code=remedy.said)
        lines = [_readable(line) for line in ending.last_lines]
        found = diagnose(replace(ending, last_lines=lines), stopped_phrase=self.stopped_phrase)
        if found.detail_code is not None and found.detail_code.code == "did_not_train_detail":
            return replace(_ENDED_EARLY, last_lines=found.last_lines)
        return replace(found, detail=as_sentence(found.detail), remedy=as_sentence(found.remedy))

    def _reported_cause(self, message: JobMessage, before: JobMessage | None) -> Cause:
        # Older programs print the code of a failure in the line before it.
        reason = message.reason or (before.reason if before is not None else None)
        # Version 1.0 named no cause.
        code = CauseCode(message.cause) if message.cause in set(CauseCode) else CauseCode.MISSING_FILE
        # With a code, the sentence may begin with a file name, which stays as it is.
        detail = message.text if reason is not None else as_sentence(message.text)
        remedy = self._kind.remedy
        return Cause(code, detail, remedy.text, detail_code=reason, remedy_code=remedy.said)


def _readable(line: str) -> str:
    message = read_message(line) if line.startswith(MARK) else None
    return line if message is None else message.text


def run_name(launch: Launch) -> str:
    """Return the name of an attempt's run directory."""
    return f"{_RUN_PREFIX}{launch.directory.name}"
