"""Checks of downloaded files by content: weights are complete, and contain no code unless that was allowed."""

from pathlib import Path

from api.domain.cause import CauseCode
from api.domain.reason import Reason
from api.domain.weights import FileForm
from api.files.weights.examination import examine
from api.jobs.errors import JobFailed

#: File extensions of weights, and of files that programs unpickle.
_SAFETENSORS = (".safetensors", ".sft")
_UNPICKLED = (
    ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".msgpack", ".h5", ".pt2", ".ptl", ".th", ".t7", ".npy", ".npz",
    ".joblib", ".dill",
)  # fmt: skip

#: Forms that can contain code.
_CODE = (FileForm.TORCH_ZIP, FileForm.PICKLE)


def check_content(path: Path, name: str, *, allows_pickles: bool) -> None:
    """Reject broken weights and files that can contain code. Raises JobFailed, OSError."""
    facts, lower = examine(path), name.lower()
    if lower.endswith(_SAFETENSORS) and (facts.form is not FileForm.SAFETENSORS or facts.is_whole is False):
        problem = facts.problem or "is not a safetensors file"
        message = Reason.of("{name} {problem}.", "download_no_weights", name=name, problem=problem)
        raise JobFailed(message, CauseCode.REFUSED_FILE)
    # A file can be both safetensors and a pickle. Programs load it by its name.
    is_unpickled = lower.endswith(_UNPICKLED) and facts.form in (FileForm.OTHER, FileForm.SAFETENSORS)
    can_hold_code = facts.form in _CODE or is_unpickled
    if can_hold_code and not allows_pickles:
        raise JobFailed(
            Reason.of(
                "{name} can contain code. If you trust this file, set its SHA-256; or use a safetensors file; or run"
                " the service with ALLOW_PICKLED_WEIGHTS=1.",
                "download_can_hold_code",
                name=name,
            ),
            CauseCode.REFUSED_FILE,
        )
