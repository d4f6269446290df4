"""Z-Image."""

from api.domain.models.base_model import Medium, MemoryNeed, ModelVariant, Origin
from api.domain.reason import Reason
from api.trainers.diffusion_pipe.models.adapter_layers import AdapterForm
from api.trainers.diffusion_pipe.models.description import ComfyModel, FileHint, ModelDescription
from api.trainers.diffusion_pipe.models.parts import FLUX_AE, QWEN3_4B, SPLIT, D, H, need, source
from api.trainers.diffusion_pipe.models.recipes import BF16, estimated_preset

MODEL = ModelDescription(
    model_type="z_image",
    title="Z-Image",
    medium=Medium.IMAGE,
    facts=ComfyModel().facts("layers", 30, "lumina2"),
    memory=MemoryNeed(16, 24, "Its weights take 12.3 GB in bf16, 6.2 in float8.", Origin.UNVERIFIED),
    adapter=AdapterForm(("layers",), block="layer"),
    hints={
        "diffusion_model": (
            FileHint(
                "turbo",
                Reason.of(
                    "Z-Image Turbo, which is distilled and needs an adapter that removes the distillation",
                    "file_z_turbo",
                ),
                Reason.of(
                    "Add zimage_turbo_training_adapter_v1.safetensors to merge_adapters, or train the base model.",
                    "advice_z_turbo",
                ),
                lacking="merge_adapters",
            ),
        )
    },
    fits={
        "diffusion_model": "z-image",
        "text_encoders": "qwen-3-4b",
        "vae": "vae-flux-diffusers vae-flux",
    },
    variants=tuple(
        ModelVariant(
            name,
            title,
            (
                need(
                    "diffusion_model",
                    f"the transformer of {title}",
                    source(repository, path, 12.3, H),
                    known_as="z-image",
                    needs_name=True,
                ),
                FLUX_AE,
                need("text_encoders", "the text encoder Qwen3 4B", QWEN3_4B, known_as="qwen-3-4b"),
                *adapters,
            ),
        )
        for name, title, repository, path, adapters in (
            (
                "base",
                "Z-Image",
                "Comfy-Org/z_image",
                "z_image_bf16.safetensors",
                (),
            ),
            (
                "turbo",
                "Z-Image Turbo",
                "Comfy-Org/z_image_turbo",
                f"{SPLIT}/diffusion_models/z_image_turbo_bf16.safetensors",
                (
                    need(
                        "merge_adapters",
                        "the adapter that removes the distillation",
                        source(
                            "ostris/zimage_turbo_training_adapter",
                            "zimage_turbo_training_adapter_v1.safetensors",
                            None,
                            D,
                        ),
                        needs_name=True,
                    ),
                ),
            ),
        )
    ),
    presets=(
        estimated_preset("24gb", "base", "bf16", "Z-Image", BF16, {}),
        estimated_preset("24gb-turbo", "turbo", "Turbo with its training adapter: bf16", "Z-Image", BF16, {}),
    ),
)
