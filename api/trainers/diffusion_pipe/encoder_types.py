"""Checks that the `type` of each text encoder fits its model and file.

ComfyUI uses it to choose tokenizer and encoder (comfy/sd.py, load_text_encoder_state_dicts): for pairs of files
always, and for Qwen3 4B to tell Flux 2 Klein from the rest. It treats unknown types as Stable Diffusion's.
"""

from collections.abc import Mapping

from api.domain.weights import Component
from api.trainers.diffusion_pipe.document import TrainerDocument
from api.trainers.diffusion_pipe.findings import Findings
from api.trainers.diffusion_pipe.model_types import MODELS
from api.trainers.pointers import shown

#: The types for which ComfyUI reads Qwen3 4B as the text encoder of Flux 2 Klein.
_KLEIN = ("flux", "flux2")


def check_encoder_types(
    config: TrainerDocument, model_type: str, components: Mapping[str, Component | None], findings: Findings
) -> None:
    """Check each entry of text_encoders; `components` maps pointers to the recognised files."""
    facts, encoders = MODELS[model_type], config.table("model").get("text_encoders")
    expected = facts.encoder_type
    for index, encoder in enumerate(encoders if expected is not None and isinstance(encoders, list) else []):
        kind = encoder.get("type") if isinstance(encoder, dict) else None
        if not isinstance(kind, str) or kind.lower() == expected or {kind.lower(), expected} <= set(_KLEIN):
            continue
        at = config.at("model", "text_encoders", index)
        names = {
            found.name for location, found in components.items() if found is not None and location.startswith(f"{at}/")
        }
        is_other = "qwen-3-4b" in names and (kind.lower() in _KLEIN) != (expected in _KLEIN)
        add = findings.error if is_other or facts.encoder_files > 1 else findings.warn
        add(
            f"{at}/type",
            f"The text encoder of {model_type} needs the type `{expected}`. With `{shown(kind)}` ComfyUI may use the"
            " tokenizer of another model, so that the trainer fails or learns from wrong captions.",
            f"Set type = '{expected}'.",
        )
