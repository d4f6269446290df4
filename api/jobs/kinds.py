"""The kinds of jobs: the program of each, its request file, and the phrases with which it ends."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from api.domain.reason import Reason

#: The names under which tasks store their trainer.
DOWNLOADS, PUSHES, PREPROCESSING, CAPTIONING = "downloads", "pushes", "preprocessing", "captioning"
EXPORTS, SAMPLING = "exports", "sampling"

#: Files in a task's output directory: the request of a transfer or export, and the items of other jobs.
REQUEST_FILE, ITEMS_FILE = "wish.json", "items.jsonl"

#: Files in a run directory: the program finished, it stopped on request, and the request to stop.
DONE_FILE, STOPPED_FILE, STOP_FILE = "done.json", "stopped.json", "stop"

#: The environment variable with the key of the caption endpoint.
CAPTION_KEY_VARIABLE = "CAPTION_API_KEY"

#: Settings of the hub's library: no telemetry, and no log lines, because addresses in them can hold keys.
_QUIET_HUB = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_XET": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_VERBOSITY": "critical",
}


@dataclass(frozen=True, slots=True)
class JobKind:
    """What the trainer of a job has to know about its program.

    Supervisors that started before an upgrade look for the phrases, so these must not change.
    """

    name: str
    module: str
    request_file: str  #: in the task's output directory
    completed_phrase: str
    stopped_phrase: str
    remedy: Reason  #: for failures that the program reports
    environment: Mapping[str, str] = field(default_factory=dict)
    is_own: bool = False  #: runs as the service's user though trainers have another
    too_long: tuple[Reason, Reason] | None = None  #: detail and remedy if the program ends itself by SIGVTALRM


DOWNLOAD_JOB = JobKind(
    DOWNLOADS,
    "api.jobs.downloads.program",
    REQUEST_FILE,
    "DOWNLOAD COMPLETE",
    "Download stopped as it was asked to",
    Reason.of("Fix the problem, then resume: finished files are not downloaded again.", "download_refused_remedy"),
    _QUIET_HUB,
    is_own=True,
)

PUSH_JOB = JobKind(
    PUSHES,
    "api.jobs.pushes.program",
    REQUEST_FILE,
    "PUSH COMPLETE",
    "Push stopped as it was asked to",
    Reason.of("Fix the problem, then resume: files that the hub has are not sent again.", "push_refused_remedy"),
    _QUIET_HUB,
    is_own=True,
)

_ITEM_REMEDY = Reason.of("Fix the problem, then resume: finished items are not processed again.", "item_job_remedy")

PREPROCESSING_JOB = JobKind(
    PREPROCESSING,
    "api.jobs.preprocessing.program",
    ITEMS_FILE,
    "PREPROCESSING COMPLETE",
    "Stopped as it was asked to",
    _ITEM_REMEDY,
)

CAPTIONING_JOB = JobKind(
    CAPTIONING,
    "api.jobs.preprocessing.caption_program",
    ITEMS_FILE,
    "PREPROCESSING COMPLETE",
    "Stopped as it was asked to",
    _ITEM_REMEDY,
)

EXPORT_JOB = JobKind(
    EXPORTS,
    "api.jobs.exports.program",
    REQUEST_FILE,
    "EXPORT COMPLETE",
    "Export stopped as it was asked to",
    Reason.of("Fix the problem, then export the checkpoint again.", "export_refused_remedy"),
    # Trainers' processes cannot reach the directories of other tasks.
    is_own=True,
    too_long=(
        Reason.of(
            "Opening the checkpoint took more than a minute of computing, after which an export is ended. An intact "
            "checkpoint takes a second.",
            "export_too_long",
        ),
        Reason.of(
            "Export another checkpoint. If others end like this, too, let the trainer make the model, which takes its "
            'GPUs and one more step: "method": "resume".',
            "export_too_long_remedy",
        ),
    ),
)

SAMPLING_JOB = JobKind(
    SAMPLING,
    "api.jobs.sampling.program",
    REQUEST_FILE,
    "SAMPLING COMPLETE",
    "Sampling stopped as it was asked to",
    Reason.of("Fix the problem, then request the samples again.", "sampling_remedy"),
    is_own=True,
)
