"""Check that the trainer can load quantised weights."""

from api.domain.weights import Quantisation
from api.files.weights.header import Header
from api.files.weights.recognition import read_quantisation
from api.trainers.diffusion_pipe.document import TrainerDocument
from api.trainers.diffusion_pipe.findings import Findings
from api.trainers.diffusion_pipe.model_types import MODELS
from api.trainers.pointers import shown

#: Formats that the trainer's own code loads incorrectly or not at all, with descriptions.
_TITLES = {
    Quantisation.SCALED_FP8: "fp8 with scales",
    Quantisation.COMFY: "ComfyUI's format with scales",
    Quantisation.BITSANDBYTES: "the format of bitsandbytes",
    Quantisation.NUNCHAKU: "the format of Nunchaku",
}

#: Formats that ComfyUI's code loads.
_COMFY_SCALES = (Quantisation.SCALED_FP8, Quantisation.COMFY)


def loadable(model_type: str) -> tuple[Quantisation, ...]:
    """Return the formats of quantised weights that the trainer loads for a model type."""
    return (Quantisation.PLAIN_FP8, *(_COMFY_SCALES if MODELS[model_type].comfy else ()))


def check_quantised(
    header: Header, name: str, at: str, config: TrainerDocument, model_type: str, is_trained: bool, findings: Findings
) -> None:
    """Check one file of [model]; `is_trained` marks the file with the trained weights."""
    facts, found = MODELS[model_type], read_quantisation(header)
    if found is None or found not in _TITLES:
        return
    title = f"{shown(name)} is quantised in {_TITLES[found]}"
    if found not in loadable(model_type):
        findings.error(at, "quantised_not_loadable", title=title)
    elif is_trained and "adapter" not in config.values and facts.dtype_key not in config.table("model"):
        findings.error(at, "quantised_not_trainable", title=title)
