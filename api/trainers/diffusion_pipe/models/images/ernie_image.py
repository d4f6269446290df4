"""ERNIE-Image."""

from api.domain.models.base_model import Medium, MemoryNeed, ModelVariant, Origin
from api.trainers.diffusion_pipe.models.adapter_layers import AdapterForm
from api.trainers.diffusion_pipe.models.description import ComfyModel, ModelDescription
from api.trainers.diffusion_pipe.models.parts import FLUX2_VAE, need, source

MODEL = ModelDescription(
    model_type="ernie_image",
    title="ERNIE-Image",
    medium=Medium.IMAGE,
    facts=ComfyModel().facts("layers", 36, "flux2"),
    memory=MemoryNeed(24, None, "An estimate without reports.", Origin.UNVERIFIED),
    adapter=AdapterForm(("layers",), block="layer"),
    fits={
        "diffusion_model": "ernie-image",
        "text_encoders": "ministral-3-3b",
        "vae": "vae-flux2",
    },
    variants=(
        ModelVariant(
            "base",
            "ERNIE-Image",
            (
                need(
                    "diffusion_model",
                    "the transformer of ERNIE-Image",
                    source("Comfy-Org/ERNIE-Image", "diffusion_models/ernie-image.safetensors", 16),
                    known_as="ernie-image",
                ),
                FLUX2_VAE,
                need(
                    "text_encoders",
                    "the text encoder Ministral 3 3B",
                    source("Comfy-Org/ERNIE-Image", "text_encoders/ministral-3-3b.safetensors", 8),
                    known_as="ministral-3-3b",
                ),
            ),
        ),
    ),
)
