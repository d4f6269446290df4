"""Whether a downloaded file may be kept, by its content: weights are whole, and hold no code unless that was meant."""

from pathlib import Path

from api.models.weights import FileForm
from api.trainers.downloads.refusal import DownloadRefused
from api.weights.examination import examine

#: Endings of files that hold weights, or are taken for them by who loads them.
_SAFETENSORS = (".safetensors", ".sft")
_WEIGHTS = (*_SAFETENSORS, ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".msgpack", ".h5")

#: What can hold code.
_CODE = (FileForm.TORCH_ZIP, FileForm.PICKLE)


def check_content(path: Path, name: str, *, allows_pickles: bool) -> None:
    """Refuses what is no weights under their name, and what can hold code. Raises DownloadRefused, OSError."""
    facts, lower = examine(path), name.lower()
    if lower.endswith(_SAFETENSORS) and (facts.form is not FileForm.SAFETENSORS or facts.is_whole is False):
        raise DownloadRefused(f"{name} {facts.problem or 'is no safetensors file'}.")
    can_hold_code = facts.form in _CODE or (lower.endswith(_WEIGHTS) and facts.form is FileForm.OTHER)
    if can_hold_code and not allows_pickles:
        raise DownloadRefused(
            f"{name} can hold code. Give its SHA-256 if you trust this very file, or take a safetensors file; or let"
            " the service run with ALLOW_PICKLED_WEIGHTS=1."
        )
