"""Whether a downloaded file may be kept, by its content: weights are whole, and hold no code unless that was meant."""

from pathlib import Path

from api.domain.cause import CauseCode
from api.domain.reason import Reason
from api.domain.weights import FileForm
from api.files.weights.examination import examine
from api.jobs.downloads.refusal import DownloadRefused

#: Endings of files that hold weights, and those of what is unpickled by who loads it.
_SAFETENSORS = (".safetensors", ".sft")
_UNPICKLED = (
    ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".msgpack", ".h5", ".pt2", ".ptl", ".th", ".t7", ".npy", ".npz",
    ".joblib", ".dill",
)  # fmt: skip

#: What can hold code.
_CODE = (FileForm.TORCH_ZIP, FileForm.PICKLE)


def check_content(path: Path, name: str, *, allows_pickles: bool) -> None:
    """Refuses what is no weights under their name, and what can hold code. Raises DownloadRefused, OSError."""
    facts, lower = examine(path), name.lower()
    if lower.endswith(_SAFETENSORS) and (facts.form is not FileForm.SAFETENSORS or facts.is_whole is False):
        problem = facts.problem or "is no safetensors file"
        told = Reason.of("{name} {problem}.", "download_no_weights", name=name, problem=problem)
        raise DownloadRefused(told, CauseCode.REFUSED_FILE)
    # A file can be safetensors and a pickle at once; who loads it goes by its name.
    is_unpickled = lower.endswith(_UNPICKLED) and facts.form in (FileForm.OTHER, FileForm.SAFETENSORS)
    can_hold_code = facts.form in _CODE or is_unpickled
    if can_hold_code and not allows_pickles:
        raise DownloadRefused(
            Reason.of(
                "{name} can hold code. Give its SHA-256 if you trust this very file, or take a safetensors file; or let"
                " the service run with ALLOW_PICKLED_WEIGHTS=1.",
                "download_can_hold_code",
                name=name,
            ),
            CauseCode.REFUSED_FILE,
        )
