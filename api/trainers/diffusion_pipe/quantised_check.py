"""Whether the trainer can load weights that are quantised."""

from api.domain.weights import Quantisation
from api.files.weights.header import Header
from api.files.weights.recognition import read_quantisation
from api.trainers.diffusion_pipe.document import TrainerDocument
from api.trainers.diffusion_pipe.findings import Findings
from api.trainers.diffusion_pipe.model_types import MODELS
from api.trainers.pointers import shown

#: What the trainer's own code for a type loads wrong, or not at all; the words for each.
_TITLES = {
    Quantisation.SCALED_FP8: "fp8 with scales",
    Quantisation.COMFY: "ComfyUI's form, with scales",
    Quantisation.BITSANDBYTES: "bitsandbytes' form",
    Quantisation.NUNCHAKU: "Nunchaku's form",
}

#: What ComfyUI's code loads.
_COMFY_SCALES = (Quantisation.SCALED_FP8, Quantisation.COMFY)


def loadable(model_type: str) -> tuple[Quantisation, ...]:
    """The forms of quantised weights that the trainer loads for a model type."""
    return (Quantisation.PLAIN_FP8, *(_COMFY_SCALES if MODELS[model_type].comfy else ()))


def check_quantised(
    header: Header, name: str, at: str, config: TrainerDocument, model_type: str, is_trained: bool, findings: Findings
) -> None:
    """Checks one file of [model]; `is_trained` is the one with the weights that are trained."""
    facts, found = MODELS[model_type], read_quantisation(header)
    if found is None or found not in _TITLES:
        return
    title = f"{shown(name)} is quantised, in {_TITLES[found]}"
    if found not in loadable(model_type):
        findings.error(
            at,
            f"{title}, which the trainer cannot load for this type, or loads wrong.",
            "Take the bf16 or fp16 file, or one of plain fp8 without scales.",
        )
    elif is_trained and "adapter" not in config.values and facts.dtype_key not in config.table("model"):
        findings.error(at, f"{title}; such weights cannot be trained in full.", "Take the bf16 file, or add [adapter].")
