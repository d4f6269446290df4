"""The interface of a trainer: check a request, start and stop an attempt, and interpret its output."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from api.domain.datasets.media import MediaProbe, Recipe
from api.domain.log import Classifier
from api.domain.reason import Reason, ReasonOrText
from api.domain.tasks.cause import Cause
from api.domain.tasks.progress import Point, Progress
from api.domain.tasks.rehearsal import PlannedRehearsal
from api.domain.tasks.training import Checkpoint, ResumeOptions, ResumePoint, TrainingPlan, TrainingRequest
from api.errors import Finding


@dataclass(frozen=True, slots=True)
class Check:
    """The findings about a request, and its plan as far as it is known, also when there are errors.

    `secrets` maps names of environment variables to secret values of the request. The trainer gets them only there.
    """

    errors: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()
    plan: TrainingPlan | None = None
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Launch:
    """The parameters of one attempt."""

    directory: Path  #: the attempt's own directory; the command's files are written here
    output_dir: Path  #: the task's output directory; the trainer creates its run directory in it
    gpu_indices: tuple[int, ...]  #: NVML indices of the attempt's GPUs
    master_port: int
    run_dir: Path | None = None  #: the run directory to resume from
    resume: ResumeOptions = field(default_factory=ResumeOptions)
    gpu_names: tuple[str | None, ...] = ()  #: NVML names of the attempt's GPUs


@dataclass(frozen=True, slots=True)
class Command:
    """An argument vector, executed without a shell. `env` extends the allow-listed environment."""

    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str]
    files: Mapping[str, str]  #: by name, written into the attempt's directory before the start
    is_own: bool = False  #: a program of this service: runs as the service's user even if trainers have their own


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt's process ended, as its supervisor recorded it."""

    exit_code: int | None  #: None when a signal ended the process, or its end was not observed
    signal: int | None
    stop_requested: bool
    phrases: frozenset[str]  #: phrases of the trainer that were printed
    last_lines: Sequence[str]  #: the last lines of the log, oldest first
    nan_in_a_row: int = 0  #: number of consecutive NaN losses up to the last step
    warnings: Sequence[str] = ()  #: the trainer's warnings, which can be older than the last lines


@dataclass(frozen=True, slots=True)
class DatasetFile:
    """A media file of a dataset as the trainer will find it.

    The probes are None until the file has been examined. `has_mask` and `has_control` say whether these files exist.
    """

    name: str
    media: MediaProbe | None
    caption: str | None = None  #: None when there is no caption
    has_mask: bool = False
    mask: MediaProbe | None = None
    has_control: bool = False
    control: MediaProbe | None = None


@dataclass(frozen=True, slots=True)
class DatasetSetup:
    """The settings of a dataset, and the configuration values that affect how it is used."""

    model_type: str
    settings: Mapping[str, Any]
    config: Mapping[str, Any] = field(default_factory=dict)
    gpu_count: int = 1


@dataclass(frozen=True, slots=True)
class SizeBucket:
    """Files that are trained at one size.

    `dropped` is the number of examples that no step of an epoch contains, and `reason` says why.
    """

    width: int
    height: int
    frames: int
    names: tuple[str, ...]
    examples: int  #: captions of its files, times repeats
    batch_size: int
    batches: int
    dropped: int
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class DatasetPreview:
    """What the trainer will make of a dataset. `skipped` lists untrained files by reason."""

    errors: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()
    notes: tuple[Reason, ...] = ()
    buckets: tuple[SizeBucket, ...] = ()
    skipped: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    steps_per_epoch: int | None = None
    items: int | None = None  #: number of files that are trained on


@runtime_checkable
class DatasetRules(Protocol):
    """How a trainer uses the files of a dataset, computed without opening any file."""

    model_types: frozenset[str]

    def check_dataset(self, question: DatasetSetup, files: Sequence[DatasetFile]) -> DatasetPreview:
        """Return how the trainer will use these files."""

    def recipes(self, question: DatasetSetup, file: DatasetFile) -> tuple[Recipe, ...]:
        """Return the conversions of a file to training pixels, one per resolution.

        The result is empty when the file is not trained on. Raise Invalid for invalid settings.
        """


@dataclass(frozen=True, slots=True)
class CacheFacts:
    """What the cache of a dataset depends on, besides the dataset's files: equal values mean an equal cache.

    `problem` says why the values are unknown, or why a cache cannot be made in advance.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)  #: request settings, for display
    counts_items: bool = True  #: whether the trainer's caching bars count media files; otherwise they count batches
    problem: ReasonOrText | None = None


@runtime_checkable
class SupportsCaching(Protocol):
    """A trainer that can cache a dataset without training."""

    def cache_facts(self, request: TrainingRequest) -> CacheFacts:
        """Return the values that the cache of this request depends on."""

    def find_cache_gap(self, directories: Sequence[Path]) -> str | None:
        """Return which part of the cache is missing in these media directories, or None. Raise OSError."""


#: About how many steps a rehearsal makes. The first includes a warm-up, so its duration does not count.
STEPS = 8


@dataclass(frozen=True, slots=True)
class ItemFolders:
    """The directories of an item; None for kinds of files that its dataset does not have."""

    media: Path
    masks: Path | None = None
    controls: Path | None = None

    def as_values(self) -> dict[str, str]:
        """Return the keys of a dataset's directory."""
        named = {"path": self.media, "mask_path": self.masks, "control_path": self.controls}
        return {name: str(path) for name, path in named.items() if path is not None}


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """The request with which a trainer rehearses, and the original folders of its items."""

    request: TrainingRequest
    sources: tuple[ItemFolders, ...]


def own_folders(directory: Path, index: int, like: ItemFolders) -> ItemFolders:
    """Return the folders of an item in the directory of a rehearsal."""
    root = directory / str(index)
    return ItemFolders(
        root / "media",
        None if like.masks is None else root / "masks",
        None if like.controls is None else root / "controls",
    )


@runtime_checkable
class SupportsRehearsal(Protocol):
    """A trainer whose `check` plans a rehearsal if the request is one."""

    def rehearse(self, request: TrainingRequest, planned: PlannedRehearsal, directory: Path) -> Rehearsal:
        """Return the request for the planned items, which lie in this directory. Raise ValueError."""


@runtime_checkable
class SupportsPaths(Protocol):
    """A trainer whose requests name files by path."""

    def working_directory(self, attempt: Path) -> Path | None:
        """Return the directory against which an attempt resolves relative paths, or None if it cannot start."""

    def list_dataset_files(self, request: TrainingRequest) -> Sequence[tuple[str, str]]:
        """Return the additional dataset files (TOML) that a request names, each as a pointer and a path."""


@runtime_checkable
class SupportsExport(Protocol):
    """A trainer from whose checkpoints saved models can be made."""

    def export_options(self, plan: TrainingPlan) -> Mapping[str, Any]:
        """Return how to make a saved model without starting the trainer, as JSON values for the program that does it.

        `maker` names the code, and `file_name` is the name of the weights. Raise ExportUnsupported.
        """

    def one_step(self, request: TrainingRequest, step: int) -> TrainingRequest:
        """Return the request of a training that saves a model at this step, and ends. Raise ExportUnsupported."""


class ProgressReader(Protocol):
    """Reads the output of one attempt in order and maintains its progress."""

    progress: Progress

    def read(self, line: str, at: float) -> Point | None:
        """Read the next line, received `at` (Unix seconds), and return the metric point it contains, or None."""

    def take_point(self, point: Point) -> None:
        """Accept a metric point that the trainer wrote outside of its output."""

    @property
    def step_seconds(self) -> Sequence[float]:
        """The durations of the latest steps, oldest first."""

    def save(self) -> dict[str, Any]:
        """Return the state as JSON values for `restore`."""

    def restore(self, saved: dict[str, Any]) -> None:
        """Restore the state that `save` returned. Raise ValueError, TypeError or KeyError if it is damaged."""


class Trainer(Protocol):
    """A trainer. Its methods neither start processes nor change the database."""

    name: str
    model_types: frozenset[str]
    completed_phrase: str  #: the line it prints when training is complete
    stopped_phrase: str  #: the line it prints when it quits on request
    step_prefix: str  #: the text before the number in a step line

    def problems(self) -> tuple[Finding, ...]:
        """Return the reasons why this trainer cannot start anything on this machine; empty if it can."""

    def check(self, request: TrainingRequest, output_dir: Path) -> Check:
        """Check all that can be checked without starting anything, and make the plan."""

    def without_secrets(self, request: TrainingRequest) -> TrainingRequest:
        """Return the request with `***` in place of each secret; it can still be checked and prepared."""

    def prepare(self, request: TrainingRequest, plan: TrainingPlan, launch: Launch) -> Command:
        """Return the command and the files of one attempt."""

    def create_reader(self, plan: TrainingPlan, resumed: ResumePoint | None = None) -> ProgressReader:
        """Return a new reader for the output of an attempt, which may have resumed from a checkpoint."""

    def create_classifier(self, steps_per_epoch: int | None) -> Classifier:
        """Return a classifier of log lines that can start anywhere in a log."""

    def find_run_dir(self, output_dir: Path) -> Path | None:
        """Return the newest run directory, or None if there is none yet. Raise OSError."""

    def checkpoints(self, run_dir: Path) -> tuple[Checkpoint, ...]:
        """Return the checkpoints in a run directory, oldest first. Raise OSError if it cannot be read."""

    def find_resume_point(self, run_dir: Path, checkpoint: str) -> ResumePoint | None:
        """Return where the trainer continues after this checkpoint, or None if that cannot be read."""

    def signal_file(self, run_dir: Path) -> Path:
        """Return the path of the file that requests the trainer to save a checkpoint and quit."""

    def save_file(self, run_dir: Path) -> Path:
        """Return the path of the file that requests the trainer to save a checkpoint and continue."""

    def prepare_resume(self, run_dir: Path, checkpoint: str | None) -> None:
        """Prepare a run directory for a resume: remove signal files, and point `latest` at the checkpoint."""

    def hide_checkpoint(self, run_dir: Path, name: str) -> None:
        """Make a checkpoint or saved model unavailable, and mark it for deletion. Raise OSError."""

    def unhide_checkpoint(self, run_dir: Path, name: str) -> None:
        """Make a hidden checkpoint or saved model available again. Raise OSError."""

    def delete_hidden(self, run_dir: Path) -> bool:
        """Delete the hidden checkpoints and saved models. Return whether none is left."""

    def diagnose(self, ending: Ending) -> Cause:
        """Return the cause of a failed attempt."""
