"""The seam to a trainer: what would this request do, how is it started and asked to stop, what does its output mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from api.domain.cause import Cause
from api.domain.log import Classifier
from api.domain.media import MediaProbe, Recipe
from api.domain.progress import Point, Progress
from api.domain.training import Checkpoint, ResumeOptions, TrainingPlan, TrainingRequest
from api.errors import Mistake


@dataclass(frozen=True, slots=True)
class Check:
    """Everything that was found in a request; the plan is None when an error leaves none to make.

    `secrets` are values that were in the request and reach the trainer by its environment only, by the variable's name.
    """

    errors: tuple[Mistake, ...] = ()
    warnings: tuple[Mistake, ...] = ()
    plan: TrainingPlan | None = None
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Launch:
    """The circumstances of one attempt."""

    directory: Path  #: the attempt's own; the files of the command are written here
    output_dir: Path  #: the task's; the trainer makes its run directory in it
    gpu_indices: tuple[int, ...]  #: NVML's indices of its GPUs
    master_port: int
    run_dir: Path | None = None  #: the run directory to resume from
    resume: ResumeOptions = field(default_factory=ResumeOptions)
    gpu_names: tuple[str | None, ...] = ()  #: the names of the boards in NVML


@dataclass(frozen=True, slots=True)
class Command:
    """What is executed: an argument vector, never a shell. The environment is added to the allow-listed one."""

    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str]
    files: Mapping[str, str]  #: by name, written into the attempt's directory first
    is_own: bool = False  #: a program of the service's, which runs as its user though trainers have another


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt's process ended, as its supervisor recorded it."""

    exit_code: int | None  #: None when a signal ended it, or nobody saw the end
    signal: int | None
    stop_requested: bool
    phrases: frozenset[str]  #: those of the trainer's phrases that were printed
    last_lines: Sequence[str]  #: the last lines of the log, oldest first
    nan_in_a_row: int = 0  #: how many of the last steps in a row had a loss of NaN


@dataclass(frozen=True, slots=True)
class SeenFile:
    """A media file of a dataset as the trainer will find it, with what is known of its bytes; None: not looked at yet.

    Of a mask and a control image it counts whether there is one, too.
    """

    name: str
    media: MediaProbe | None
    caption: str | None = None  #: None: it has none
    has_mask: bool = False
    mask: MediaProbe | None = None
    has_control: bool = False
    control: MediaProbe | None = None


@dataclass(frozen=True, slots=True)
class DatasetQuestion:
    """What would be trained on, and how: settings of a dataset, and those of a configuration that bear on it."""

    model_type: str
    settings: Mapping[str, Any]
    config: Mapping[str, Any] = field(default_factory=dict)
    gpu_count: int = 1


@dataclass(frozen=True, slots=True)
class SizeBucket:
    """Files that are trained on in one size. `dropped` of its examples are in no step of an epoch, and why."""

    width: int
    height: int
    frames: int
    names: tuple[str, ...]
    examples: int  #: captions of its files, repeated
    batch_size: int
    batches: int
    dropped: int
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class DatasetOutlook:
    """What the trainer will make of a dataset. `skipped` has files that it will not train on, by a word for why."""

    errors: tuple[Mistake, ...] = ()
    warnings: tuple[Mistake, ...] = ()
    notes: tuple[str, ...] = ()
    buckets: tuple[SizeBucket, ...] = ()
    skipped: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    steps_per_epoch: int | None = None
    items: int | None = None  #: how many are trained on


@runtime_checkable
class DatasetRules(Protocol):
    """What a trainer does with the files of a dataset; nothing is opened to tell."""

    model_types: frozenset[str]

    def check_dataset(self, question: DatasetQuestion, files: Sequence[SeenFile]) -> DatasetOutlook:
        """What it will make of these files."""
        ...

    def recipes(self, question: DatasetQuestion, file: SeenFile) -> tuple[Recipe, ...]:
        """How it makes the pixels of a file, once a resolution; none when it does not train on it. Raises Invalid."""
        ...


@dataclass(frozen=True, slots=True)
class CacheFacts:
    """What the cache of a dataset depends on, besides the dataset's own files: the same values make the same cache.

    `problem` says why that cannot be told, or why a cache cannot be made ahead.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)  #: those of the request, for people
    counts_items: bool = True  #: whether its bars count media files; else batches of them
    problem: str | None = None


@runtime_checkable
class CachesAhead(Protocol):
    """A trainer that can be asked to cache a dataset and no more."""

    def cache_facts(self, request: TrainingRequest) -> CacheFacts:
        """What the cache of this request depends on."""
        ...

    def find_cache_gap(self, directories: Sequence[Path]) -> str | None:
        """What is missing of a cache in these directories of media; None when each has one. Raises OSError."""
        ...


@runtime_checkable
class OpensPaths(Protocol):
    """A trainer whose requests name files by path."""

    def working_directory(self, attempt: Path) -> Path | None:
        """The directory from which an attempt with this directory opens relative paths; None: it cannot be started."""
        ...

    def list_dataset_files(self, request: TrainingRequest) -> Sequence[tuple[str, str]]:
        """The files of datasets, in TOML, that a request names besides its own: a pointer to each, and its path."""
        ...


class ProgressReader(Protocol):
    """Reads the output of one attempt in its order, and knows how far the attempt is."""

    progress: Progress

    def read(self, line: str, at: float) -> Point | None:
        """Takes the next line, which came `at` a time in Unix seconds; returns the point of a series in it, if any."""
        ...

    def take_point(self, point: Point) -> None:
        """Takes a point that the trainer wrote elsewhere than in its output."""
        ...

    def save(self) -> dict[str, Any]:
        """What it knows, as JSON values that `restore` takes."""
        ...

    def restore(self, saved: dict[str, Any]) -> None:
        """Goes on from what `save` gave. Raises ValueError, TypeError or KeyError when that is damaged."""
        ...


class Trainer(Protocol):
    """One trainer. Nothing here starts a process or changes the database."""

    name: str
    model_types: frozenset[str]
    completed_phrase: str  #: what it prints when its work is done
    stopped_phrase: str  #: what it prints when it quits because it was asked to
    step_prefix: str  #: what a step line begins with; the number follows

    def problems(self) -> tuple[Mistake, ...]:
        """Why it can start nothing on this machine, whatever is asked for; empty when it can."""
        ...

    def check(self, request: TrainingRequest, output_dir: Path) -> Check:
        """Checks everything that can be checked without starting anything, and makes the plan."""
        ...

    def without_secrets(self, request: TrainingRequest) -> TrainingRequest:
        """The same request with *** where `check` found secrets; it can be checked and prepared again."""
        ...

    def prepare(self, request: TrainingRequest, plan: TrainingPlan, launch: Launch) -> Command:
        """The command and the files of one attempt."""
        ...

    def create_reader(self, plan: TrainingPlan) -> ProgressReader:
        """A reader of this task's output that has seen nothing yet."""
        ...

    def create_classifier(self, steps_per_epoch: int | None) -> Classifier:
        """A reader that tells what lines mean, from anywhere in a log."""
        ...

    def find_run_dir(self, output_dir: Path) -> Path | None:
        """The newest run directory; None until the trainer has made one. Raises OSError."""
        ...

    def checkpoints(self, run_dir: Path) -> tuple[Checkpoint, ...]:
        """The checkpoints in a run directory, oldest first. Raises OSError: what cannot be read is not absent."""
        ...

    def signal_file(self, run_dir: Path) -> Path:
        """The file whose presence asks it to save a checkpoint and quit."""
        ...

    def save_file(self, run_dir: Path) -> Path:
        """The file whose presence asks it to save a checkpoint and go on."""
        ...

    def prepare_resume(self, run_dir: Path, checkpoint: str | None) -> None:
        """Makes a run directory ready to be resumed from: no left-over signal files, `latest` on the checkpoint."""
        ...

    def prune(self, run_dir: Path, keep: int) -> tuple[str, ...]:
        """Removes all but the newest `keep` complete checkpoints (at least one stays); the names of those removed."""
        ...

    def diagnose(self, ending: Ending) -> Cause:
        """Why an attempt failed."""
        ...
