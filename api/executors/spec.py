"""Build `spec.json`, which describes the attempt to its supervisor and to later readers."""

import errno

from api.executors.executor import Submission
from api.executors.trainer_user import TrainerUser

LOG_SEGMENT_BYTES = 16 * 2**20


def describe(
    submission: Submission, node: str, use_cgroup: bool = True, trainer_user: TrainerUser | None = None
) -> dict[str, object]:
    """Return the content of `spec.json` for a submission on the machine of this name."""
    output, run_as = submission.output_dir, None
    if trainer_user is not None and output is not None:
        run_as = trainer_user.as_json() | {"output": str(output.absolute()), "files": list(submission.files)}
    return {
        "uid": submission.ref.uid,
        "argv": list(submission.argv),
        "cwd": str(submission.cwd.absolute()),
        "log_directory": str(submission.ref.log_directory.absolute()),
        "phrases": list(submission.phrases),
        "step_prefix": submission.step_prefix,
        "log_max_bytes": submission.log_max_bytes,
        "log_segment_bytes": LOG_SEGMENT_BYTES,
        "leftover_seconds": submission.leftover_seconds,
        "cgroup": use_cgroup,
        "run_as": run_as,
        "node": node,
        "gpu_uuids": list(submission.gpu_uuids),
    }


def reject_engine_options(submission: Submission) -> None:
    """Raise OSError if a request has options that only the engine of a cluster supports."""
    if submission.cluster_options is not None:
        why = "it requests a partition, account or limit of a cluster, but trainings run on this machine now"
        raise OSError(errno.ENOTSUP, why)
