"""What a supervisor is told by `spec.json`, and what whoever finds it there learns of the attempt."""

from api.executors.executor import Submission

LOG_SEGMENT_BYTES = 16 * 2**20


def describe(submission: Submission, node: str, use_cgroup: bool = True) -> dict[str, object]:
    """What `spec.json` says, on the machine of this name."""
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
        "node": node,
        "gpu_uuids": list(submission.gpu_uuids),
    }
